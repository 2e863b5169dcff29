"""What the Kubernetes API shows is judged when it happens, not when an interval is over.

The interval is a day, so a condition turns because the operator was told: by a watch of what its checks have read.
"""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from mehc_checks.engine.check import catalogue
from testbed import keda
from testbed.controlplane import ControlPlane
from testbed.endpoints import GPU, NAME, World
from testbed.healthchecks import Cluster, wait
from testbed.installation import aws_values, overlaid
from testbed.kwok import CONTAINER_ANNOTATION, Kwok
from testbed.operatorprocess import Operator
from testbed.postgres import Postgres
from testbed.redis import Redis
from testbed.waiting import eventually

Tree = dict[str, Any]
LIMIT = 120
"""Seconds; what is measured, `make bench` says."""
ENDPOINTS = {"gracePeriod": "0s", "loadingGracePeriod": "0s", "readRecord": False}


@pytest.fixture(scope="module")
def operator(control_plane: ControlPlane) -> Iterator[Operator]:
    keda.install(control_plane)
    with Operator(control_plane) as running:
        yield running


@pytest.fixture
def world(cluster: Cluster, kwok: Kwok, postgres: Postgres, redis_server: Redis) -> World:
    return World(
        plane=cluster.plane,
        kwok=kwok,
        postgres=postgres,
        redis=redis_server,
        database="",
        namespace=cluster.namespace,
    )


def judged(cluster: Cluster, name: str, parameters: Tree) -> None:
    """Have one check alone carried out, of an installation whose endpoints are in the resource's own namespace."""
    checks: Tree = {each: {"enabled": False} for each in catalogue() if each != name}
    launch = {"endpoint_namespace": cluster.namespace}
    cluster.apply(
        {
            "checks": {**checks, name: {"parameters": parameters}},
            "values": overlaid(aws_values(), {"config": {"values": {"launch": launch}}}),
            "interval": "24h",
        }
    )
    cluster.probed()


def scaling(world: World) -> None:
    world.deployment(replicas=0)
    world.scaled_object(ready=True)
    path = world.path("scaledobjects", NAME, group="keda.sh", version="v1alpha1")
    condition = {"type": "Ready", "status": "False", "reason": "ScaledObjectCheckFailed"}
    world.patch(f"{path}/status", {"status": {"conditions": [condition]}})


@pytest.mark.parametrize(
    ("stage", "reason"),
    [
        pytest.param(
            lambda world: world.deployment(stage="err-image-pull"), "ImageNotFound", id="ImagePullBackOff"
        ),
        pytest.param(
            lambda world: world.deployment(stage="crash-loop", notes={CONTAINER_ANNOTATION: "main"}),
            "ContainerCrashing",
            id="CrashLoopBackOff",
        ),
        pytest.param(
            lambda world: world.deployment(requests={GPU: "1"}, nodeSelector={"x": "y"}),
            "NodeLabelsUnmatched",
            id="unschedulable",
        ),
        pytest.param(
            lambda world: world.deployment(serviceAccountName="gone"),
            "ServiceAccountMissing",
            id="no account",
        ),
        pytest.param(scaling, "StuckAtZero", id="ScaledObject"),
    ],
)
def test_an_endpoint_that_gets_stuck_is_news_at_once_and_so_is_its_end(
    cluster: Cluster, world: World, stage: Callable[[World], None], reason: str
) -> None:
    judged(cluster, "EndpointsReady", ENDPOINTS)
    assert cluster.condition("EndpointsReady")["status"] == "True"
    stage(world)
    wait(lambda: cluster.condition("EndpointsReady")["reason"] == reason, LIMIT)
    world.plane.api("DELETE", world.path("deployments", NAME, group="apps"))
    wait(lambda: cluster.condition("EndpointsReady")["status"] == "True", LIMIT)


def test_the_end_of_a_grace_period_needs_no_change_and_no_interval(cluster: Cluster, world: World) -> None:
    judged(cluster, "EndpointsReady", {**ENDPOINTS, "gracePeriod": "8s"})
    world.deployment(requests={GPU: "1"}, nodeSelector={"x": "y"})
    wait(lambda: cluster.condition("EndpointsReady")["reason"] == "NodeLabelsUnmatched", LIMIT)


def test_only_the_checks_that_read_what_changed_are_carried_out(
    cluster: Cluster, world: World, operator: Operator
) -> None:
    judged(cluster, "EndpointsReady", ENDPOINTS)
    cluster.patch({"spec": {"checks": {"ConfigValid": {"enabled": True}}}})
    cluster.probed()
    endpoints, others = probes(operator, "EndpointsReady"), probes(operator, "ConfigValid")
    world.deployment(stage="err-image-pull")
    wait(lambda: cluster.condition("EndpointsReady")["status"] == "False", LIMIT)
    assert probes(operator, "EndpointsReady") > endpoints
    assert probes(operator, "ConfigValid") == others


def probes(operator: Operator, check: str) -> float:
    return counter(operator, f'mehc_probe_duration_seconds_count{{check="{check}"}}')


def test_a_rollout_is_a_handful_of_probe_runs(cluster: Cluster, world: World, operator: Operator) -> None:
    judged(cluster, "EndpointsReady", ENDPOINTS)
    before = runs(operator)
    world.deployment(replicas=100)
    path = world.path("deployments", NAME, group="apps")
    eventually(
        lambda: world.plane.api("GET", path)["status"].get("readyReplicas"),
        lambda ready: ready == 100,
        seconds=300,
    )
    wait(lambda: cluster.condition("EndpointsReady")["status"] == "True", LIMIT)
    assert 0 < runs(operator) - before < 50  # of 400 changes of its pods


def runs(operator: Operator) -> float:
    return counter(operator, "mehc_probe_run_duration_seconds_count")


def counter(operator: Operator, name: str) -> float:
    _, page = operator.get("/metrics")
    (line,) = (line for line in page.splitlines() if line.startswith(name))
    return float(line.split()[-1])
