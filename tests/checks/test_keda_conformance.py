"""KEDA's own operator judges the ScaledObjects that the platform would create; our verdicts are held against its."""

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

from mehc_checks.outcome import Status
from mehc_checks.platform.scaling import resource_name, scaled_object
from mehc_checks.values import Layer, Values
from testbed import keda
from testbed.controlplane import ControlPlane
from testbed.judging import judged
from testbed.keda import Keda
from testbed.prometheusfaults import CASES, Case, Stage, values
from testbed.waiting import eventually

NAMESPACE = "endpoints"
ASKED = [case for case in CASES if case.name != "unset"]
"""Without an address the gateway creates no ScaledObject."""

Verdicts = dict[str, list[str]]


@pytest.fixture(scope="module")
def cluster() -> Iterator[ControlPlane]:
    """An API server of our own with KEDA's resources; KEDA needs no controller for what we ask."""
    plane = ControlPlane()
    with contextlib.closing(plane):
        plane.etcd.start()
        plane.apiserver.start()
        keda.install(plane)
        plane.api("POST", "/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
        yield plane


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with Stage() as everything:
        yield everything


def target(name: str) -> dict[str, Any]:
    """An endpoint's Deployment, scaled to zero."""
    labels = {"app": name}
    containers = [{"name": "main", "image": "vllm:1"}]
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": containers}},
        },
    }


def create(plane: ControlPlane, scaled: dict[str, Any]) -> None:
    where = f"namespaces/{NAMESPACE}"
    plane.api("POST", f"/apis/apps/v1/{where}/deployments", target(scaled["metadata"]["name"]))
    plane.api("POST", f"/apis/keda.sh/v1alpha1/{where}/scaledobjects", scaled)


def polled(plane: ControlPlane) -> dict[str, bool]:
    """Whether KEDA has come to a conclusion about each ScaledObject: active, not active, or refused."""
    found = plane.api("GET", f"/apis/keda.sh/v1alpha1/namespaces/{NAMESPACE}/scaledobjects")
    return {
        item["metadata"]["name"]: any(
            condition["type"] == "Active" and condition.get("reason")
            for condition in item.get("status", {}).get("conditions", [])
        )
        for item in found["items"]
    }


@pytest.fixture(scope="module")
def addresses(stage: Stage) -> dict[str, str | None]:
    return {case.name: case.address(stage) for case in ASKED}


@pytest.fixture(scope="module")
def verdicts(cluster: ControlPlane, stage: Stage, addresses: dict[str, str | None]) -> Iterator[Verdicts]:
    """What KEDA complains about, by ScaledObject, after it has polled each; all are created at once."""
    for case in ASKED:
        merged = Values.merged([Layer(source="test", values=values(addresses[case.name]))])
        create(cluster, scaled_object(merged, case.endpoint_id, namespace=NAMESPACE))
    with Keda(cluster, ca_dir=stage.ca.ca_file.parent) as operator:
        eventually(lambda: polled(cluster), lambda found: all(found.values()), seconds=40)
        expected = {resource_name(case.endpoint_id) for case in ASKED if not case.keda}
        # What KEDA is content with, it has to be content with for as long as it takes to complain about the rest
        with contextlib.suppress(AssertionError):
            eventually(
                lambda: set(operator.complaints(NAMESPACE)), lambda found: found >= expected, seconds=20
            )
        yield operator.complaints(NAMESPACE)


@pytest.mark.parametrize("case", ASKED, ids=lambda case: case.name)
async def test_keda_and_we_agree(
    case: Case, stage: Stage, addresses: dict[str, str | None], verdicts: Verdicts
) -> None:
    complaints = verdicts.get(resource_name(case.endpoint_id), [])
    assert bool(complaints) is not case.keda, complaints
    result = await judged(
        "PrometheusQueryable",
        values(addresses[case.name]),
        parameters={"caBundle": stage.ca.ca_pem},
        seconds=case.seconds,
    )
    ours = result.status is Status.PASS
    assert ours is (case.keda and not case.stricter), result
