"""The operator as the chart deploys it: two replicas under the chart's own RBAC, one of which leads."""

from collections.abc import Iterator

import pytest

from testbed.controlplane import ControlPlane
from testbed.deployedoperator import DeployedOperator
from testbed.healthchecks import Cluster, wait, with_redis
from testbed.kwok import Kwok
from testbed.redis import Redis


@pytest.fixture
def plane() -> Iterator[ControlPlane]:
    """Without the CRD: the chart brings it."""
    with ControlPlane() as plane, Kwok(plane) as kwok:
        kwok.add_node("node-1")
        yield plane


def test_two_replicas_hand_over_and_take_over(plane: ControlPlane) -> None:
    cluster = Cluster(plane, plane.create_namespace())
    with Redis() as redis, DeployedOperator(plane, {}, environment={}) as deployed:
        cluster.apply(with_redis(redis))
        assert cluster.probed()["status"]["health"] == "Healthy"
        first = deployed.leader()
        (second,) = [replica for replica in deployed.replicas if replica is not first]
        assert first.get("/readyz") == (200, "watching 1 resource, leader\n")
        assert "mehc_health{" not in second.get("/metrics")[1]

        before = cluster.get()["status"]
        first.stop()  # as a rolling update does
        wait(lambda: "mehc_health{" in second.get("/metrics")[1])
        assert deployed.leader() is second
        assert cluster.get()["status"] == before

        first.start()
        wait(lambda: "standby" in first.get("/readyz")[1])
        redis.stop()
        second.kill()
        wait(lambda: first.get("/readyz")[1] == "watching 1 resource, leader\n")
        assert deployed.leader() is first
        wait(lambda: cluster.condition("Ready")["status"] == "False")
        own = [line for line in first.log_lines() + second.log_lines() if line["logger"].startswith("mehc")]
        assert not [line for line in own if line["level"] == "error"]  # kopf's own retries are none
