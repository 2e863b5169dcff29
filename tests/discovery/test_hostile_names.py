"""Names in values, of the resource and of the command lead nowhere but to objects of their own kind and place.

Each name that ends in a path of the Kubernetes API is set to what would leave it, and the API server's audit log says
what was asked.
"""

import asyncio
import contextlib
import io
import json
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from mehc_checks.clients.kubernetes.api import KubernetesCluster
from mehc_checks.clients.kubernetes.paths import object_path
from mehc_checks.core.errors import CannotEvaluate
from mehc_checks.core.outcome import Status
from mehc_checks.engine.check import catalogue
from mehc_checks.engine.report import Report
from mehc_checks.engine.request import Request, Sources, diagnose
from mehc_checks.modelengine.values import Layer
from mehc_operator.cli import main
from mehc_operator.connection import Access, connected
from testbed.controlplane import ControlPlane
from testbed.installation import Tree, aws_values, overlaid
from testbed.operatorprocess import install_crd
from testbed.process import temporary_directory
from testbed.rulejudging import at

USER = "fuzzer"
HOSTILE = {
    "a path": "victim/secrets/planted",
    "the folder above": "..",
    "this folder": ".",
    "a way out": "../../victim/secrets/planted",
    "a quoted way out": "%2e%2e%2fvictim%2fsecrets%2fplanted",
    "a quoted path": "victim%2fsecrets%2fplanted",
    "a query": "planted?limit=1",
    "a fragment": "planted#x",
    "empty": "",
    "blank": " ",
    "300 characters": "x" * 300,
    "NUL": "a\0b",
    "lines": "a\nb: c",
    "Unicode": "ünï-鍵-\u202e",
    "a selector": "planted,app in (x)",
    "a backslash": "..\\..\\victim",
    "a semicolon": "planted;x=1",
}
FIELDS = {
    "endpoint namespace": "config.values.launch.endpoint_namespace",
    "database Secret": "secrets.kubernetesDatabaseSecretName",
    "cloud's database secret": "secrets.cloudDatabaseSecretName",
    "Redis' Secret": "redis.authSecretName",
    "key of Redis' Secret": "redis.authSecretKey",
    "KEDA's secret": "redis.kedaSecretName",
    "full name": "fullnameOverride",
    "identifier": "serviceIdentifier",
    "ServiceAccount": "serviceTemplate.serviceAccountName",
    "ConfigMap of AWS": "aws.configMap.name",
    "queue": "serviceBuilderQueue",
    "context": "context",
    "AWS secret of Redis": "config.values.infra.redis_aws_secret_name",
    "bucket": "config.values.infra.s3_bucket",
    "repository": "config.values.launch.vllm_repository",
}
"""Whose values are names."""
LISTS = {
    "environment from a Secret": lambda name: at(
        "extraEnvVars",
        [{"name": "DB_PASSWORD", "valueFrom": {"secretKeyRef": {"name": name, "key": name}}}],
    ),
    "environment from a ConfigMap": lambda name: at(
        "extraEnvVars",
        [{"name": "DB_HOST", "valueFrom": {"configMapKeyRef": {"name": name, "key": name}}}],
    ),
    "environment of all keys": lambda name: at(
        "extraPodEnvFrom", [{"secretRef": {"name": name}}, {"configMapRef": {"name": name}}]
    ),
    "gateway of Istio": lambda name: at(
        "virtualservice", {"enabled": True, "gateways": [name, f"{name}/{name}"]}
    ),
    "pull secret": lambda name: at("imagePullSecrets", [{"name": name}]),
    "namespaces of a ConfigMap": lambda name: at("aws.configMap.namespaces", [name]),
}
UNSEEN = ("key of Redis' Secret", "ConfigMap of AWS")
"""Of no consequence where the Secret, or the map, is not there."""
ELSEWHERE = re.compile(r"//|/\.\.?(/|$)|%2[fF]|%2[eE]|%25|%00")
"""In the path of a request: what a server resolves, or decodes once more."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Audited:
    plane: ControlPlane
    log: Path
    kubeconfig: Path
    namespace: str

    def strange(self) -> list[str]:
        """The requests of ours that left the namespaces in which they have business, or may have been led."""
        found = []
        for line in self.log.read_text().splitlines():
            entry = json.loads(line)
            where = entry.get("objectRef", {})
            path = entry["requestURI"].partition("?")[0]
            if entry["user"]["username"] != USER:
                continue
            if where.get("namespace") == "victim" or where.get("subresource") or ELSEWHERE.search(path):
                found.append(f"{entry['verb']} {entry['requestURI']}")
            if (
                where.get("resource") == "secrets"
                and entry["verb"] != "get"
                and "helm" not in entry["requestURI"]
            ):
                found.append(f"{entry['verb']} {entry['requestURI']}")
        return found


@pytest.fixture(scope="module")
def audited() -> Iterator[Audited]:
    """A control plane that keeps what it was asked."""
    folder = temporary_directory("audit")
    policy, log = folder / "policy.yaml", folder / "audit.log"
    rules = [{"level": "Metadata", "users": [USER]}, {"level": "None"}]
    document = {
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": rules,
    }
    policy.write_text(json.dumps(document))
    flags = {"audit-policy-file": policy, "audit-log-path": log, "audit-log-mode": "blocking"}
    with ControlPlane(apiserver_flags=flags) as plane:
        install_crd(plane)
        plane.apply(
            [
                {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "victim"}},
                {
                    "apiVersion": "v1",
                    "kind": "Secret",
                    "metadata": {"name": "planted", "namespace": "victim"},
                    "stringData": {"database_url": "postgresql://u:planted@h/d"},
                },
            ]
        )
        kubeconfig = plane.client_kubeconfig(USER, USER, "system:masters")
        yield Audited(plane=plane, log=log, kubeconfig=kubeconfig, namespace=plane.create_namespace("own"))


async def diagnosed(audited: Audited, *, release: str = "", **changes: Tree) -> Report:
    values = overlaid(
        aws_values(cache_redis_aws_url="redis://127.0.0.1:1/0"),
        at("redis.enableAuth", True),
        *changes.values(),
    )
    request = Request(
        namespace=audited.namespace,
        release=release,
        layers=(Layer(source="spec.values", values=values),),
        timeout=timedelta(seconds=60),
    )
    async with connected(Access(kubeconfig=str(audited.kubeconfig))) as api:
        return await diagnose(catalogue().values(), request, Sources(cluster=KubernetesCluster(api)))


def faults(report: Report) -> set[tuple[str, str]]:
    return {
        (found.reason, found.message)
        for result in report.checks
        for found in result.findings
        if found.status in (Status.FAIL, Status.WARN, Status.ERROR)
    }


@pytest.fixture(scope="module")
def usual() -> dict[str, set[tuple[str, str]]]:
    """What is found where no name is hostile, under "": of the first test that asks."""
    return {}


@pytest.mark.usefixtures("on_aws")
@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
async def test_no_name_in_values_leads_elsewhere(
    audited: Audited, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    places = {field: at(path, name) for field, path in FIELDS.items()}
    lists = {field: make(name) for field, make in LISTS.items()}
    namespace = {"endpoint namespace": places.pop("endpoint namespace")}
    full = {field: places.pop(field) for field in ("full name", "identifier")}
    with caplog.at_level(logging.ERROR):
        found = await asyncio.gather(
            *(diagnosed(audited, **changes) for changes in (namespace, full, places, {**places, **lists}))
        )
    for report in found:
        assert {result.reason for result in report.checks} & {"InternalError", "ProbeTimeout"} == set()
    assert [record.getMessage() for record in caplog.records if record.name.startswith("mehc")] == []
    assert audited.strange() == []


@pytest.mark.usefixtures("on_aws")
@pytest.mark.parametrize("field", [field for field in FIELDS if field not in UNSEEN])
async def test_a_name_that_is_a_path_is_found_fault_with(
    audited: Audited, usual: dict[str, set[tuple[str, str]]], field: str
) -> None:
    if "" not in usual:
        usual[""] = faults(await diagnosed(audited))
    name = HOSTILE["a way out"]
    found = await diagnosed(audited, **{field: at(FIELDS[field], name)})
    assert [result.reason for result in found.checks if result.reason == "InternalError"] == []
    assert faults(found) - usual[""]
    assert audited.strange() == []


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
async def test_a_release_of_such_a_name_is_not_found(audited: Audited, name: str) -> None:
    if name:
        with pytest.raises(CannotEvaluate, match="release"):
            await diagnosed(audited, release=name)
    assert audited.strange() == []


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_no_argument_of_a_command_leads_elsewhere(audited: Audited, name: str) -> None:
    own = ("--kubeconfig", str(audited.kubeconfig))
    for words in (
        ("check", "-n", name),
        ("check", "-n", audited.namespace, "--resource", name),
        ("check", "-n", audited.namespace, "--release", name),
        ("explain", "-n", name),
        ("explain", "-n", audited.namespace, name),
    ):
        out = io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            status = main([*words, *own])
        assert status == 2, words
        assert len(out.getvalue().splitlines()) == 1
        assert "internal error" not in out.getvalue()
    assert audited.strange() == []


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_a_path_has_a_name_as_one_part(name: str) -> None:
    paths: list[Any] = [object_path("secrets", "own", name), object_path("secrets", name, "x")]
    for path in paths:
        assert len(path.split("/")) == 7
        assert not ELSEWHERE.search(path)
        assert not set(path) & set("?#;,\\ ")
