"""What the API server itself refuses of a spec for its size, and what becomes of resources older than the bounds."""

import contextlib
import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from mehc_operator.crd import custom_resource_definition
from testbed import tools
from testbed.controlplane import ControlPlane
from testbed.healthchecks import PROBE_NOW, Cluster, manifest, wait, with_redis
from testbed.installation import Tree
from testbed.operatorprocess import Operator, install_crd
from testbed.process import ComponentError
from testbed.redis import Redis


def schema_of(document: Mapping[str, Any]) -> Tree:
    (version,) = document["spec"]["versions"]
    schema: Tree = version["schema"]["openAPIV3Schema"]
    return schema


def beyond(schema: Tree, path: str = "spec") -> Iterator[tuple[str, Any]]:
    """For each bound within ``schema``: the path of its field, and the whole in which that field goes beyond it."""
    if most := schema.get("maxLength"):
        yield path, "x" * (most + 1)
    if most := schema.get("maximum"):
        yield path, most + 1
    if most := schema.get("maxItems"):
        yield path, [example(schema["items"], number) for number in range(most + 1)]
    if most := schema.get("maxProperties"):
        yield path, {f"k{number}": {} for number in range(most + 1)}
    for name, field in schema.get("properties", {}).items():
        for at, value in beyond(field, f"{path}.{name}"):
            yield at, {**example(schema, 0), name: value}
    if "items" in schema:
        for at, value in beyond(schema["items"], f"{path}[0]"):
            yield at, [value]
    if isinstance(inner := schema.get("additionalProperties"), dict):
        for at, value in beyond(inner, f"{path}.RedisReachable"):
            yield at, {"RedisReachable": value}


def example(schema: Tree, number: int) -> Any:
    """What ``schema`` takes, one of many that differ."""
    if schema["type"] != "object":
        return f"x{number}"
    known = {"id": f"S{1 + number // 100}-{number % 100:02}", "until": "2999-01-01T00:00:00Z"}
    return {name: known.get(name, "a") for name in schema.get("required", ())}


BEYOND = [
    *beyond(schema_of(custom_resource_definition())["properties"]["spec"]),
    ("spec.timeout", {"timeout": "121s"}),
    ("spec.timeout", {"timeout": "1h", "interval": "2h"}),
    ("spec.interval", {"interval": "4s", "timeout": "1s"}),
    (
        "spec.checks.RedisReachable.timeout",
        {"checks": {"RedisReachable": {"timeout": "3m", "interval": "1h"}}},
    ),
    (
        "spec.checks.RedisReachable.interval",
        {"checks": {"RedisReachable": {"interval": "4s", "timeout": "1s"}}},
    ),
]


def test_kubectl_names_the_field_of_every_bound(control_plane: ControlPlane, namespace: str) -> None:
    install_crd(control_plane)
    assert len(BEYOND) > 35
    items = [manifest(spec, f"r{number}") for number, (_, spec) in enumerate(BEYOND)]
    done = subprocess.run(
        [
            *(str(tools.kubectl()), "--kubeconfig", str(control_plane.kubeconfig), "-n", namespace),
            *("apply", "--server-side", "--dry-run=server", "-f", "-"),
        ],
        input=json.dumps({"apiVersion": "v1", "kind": "List", "items": items}),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    said = dict(re.findall(r'"(r\d+)" is invalid: \[?(.*)', done.stderr))
    for number, (path, _) in enumerate(BEYOND):
        line = said[f"r{number}"].replace("[RedisReachable]", ".RedisReachable")
        assert line.startswith(f"{path}: ")
        assert len(line) < 400


def without_bounds(value: Any) -> Any:
    """An older CRD."""
    if isinstance(value, list):
        return [without_bounds(item) for item in value]
    if not isinstance(value, dict):
        return value
    left = ("maxLength", "maxItems", "maxProperties", "maximum", "x-kubernetes-validations")
    return {key: without_bounds(item) for key, item in value.items() if key not in left}


@pytest.fixture
def older(control_plane: ControlPlane) -> Iterator[None]:
    """The API server has a CRD that bounds nothing, which a test may replace."""
    control_plane.apply(without_bounds(custom_resource_definition()))
    control_plane.wait_established()
    yield
    install_crd(control_plane)


OLDER: dict[str, Tree] = {
    "timeout": {"interval": "2h", "timeout": "1h"},
    "interval": {"interval": "4s", "timeout": "3s"},
    "check": {"checks": {"RedisReachable": {"timeout": "3m", "interval": "4m"}}},
    "tag": {"checks": {"VllmImagePullable": {"enabled": False, "parameters": {"tag": "x" * 200}}}},
    "values": {"values": {f"k{number}": "v" for number in range(300)}},
}


@pytest.mark.usefixtures("older")
def test_resources_older_than_the_bounds_are_probed_as_before(
    control_plane: ControlPlane, namespace: str, redis_server: Redis
) -> None:
    cluster = Cluster(control_plane, namespace)
    for name, changed in OLDER.items():
        spec = with_redis(redis_server, timeout="60s")
        for key, value in changed.items():
            spec[key] = {**spec[key], **value} if isinstance(value, dict) else value
        wait_applied(cluster, spec, name)
    wait_applied(cluster, with_redis(redis_server, interval="30s", timeout="60s"), BROKEN)
    with Operator(control_plane) as operator:  # which brings the CRD of today
        for name in OLDER:
            status = cluster.probed(name)["status"]
            assert status["health"] == "Healthy" or name == "interval"  # whose timeout is short
        for name in OLDER:
            cluster.patch({"metadata": {"annotations": {PROBE_NOW: "again"}}}, name)
            wait(lambda name=name: cluster.get(name)["status"].get("lastHandledProbeNow") == "again")
        wait(lambda: cluster.events(BROKEN))
        rejected = [event for event in cluster.events(BROKEN) if event["reason"] == "StatusRejected"]
        assert "rejected the status for spec.timeout." in rejected[0]["message"]
        assert "status" not in cluster.get(BROKEN)
        assert operator.get("/healthz")[0] == 200
        cluster.patch({"spec": {"timeout": "20s"}}, BROKEN)
        cluster.probed(BROKEN)
        cluster.patch({"spec": {"suspend": True}}, "timeout")
        wait(lambda: cluster.get("timeout")["status"]["health"] == "Suspended")


BROKEN = "broken"
"""A resource that breaks a rule between fields, so that the API server takes no status of it."""


def wait_applied(cluster: Cluster, spec: Tree, name: str) -> None:
    """The API server takes a moment to forget the CRD that it had."""

    def applied() -> bool:
        with contextlib.suppress(ComponentError):
            cluster.apply(spec, name)
            return True
        return False

    wait(applied)
