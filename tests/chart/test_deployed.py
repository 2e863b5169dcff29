"""The operator as the chart deploys it: two replicas under the chart's own RBAC, one of which leads, behind a proxy."""

from collections.abc import Iterator

import pytest

from testbed.controlplane import ControlPlane
from testbed.deployedoperator import DeployedOperator
from testbed.healthchecks import Cluster, wait, with_redis
from testbed.httpserver import Proxy, Reply, ScriptedServer
from testbed.installation import aws_values, only, overlaid
from testbed.kwok import Kwok
from testbed.pki import CertificateAuthority
from testbed.redis import Redis

REGISTRY = "registry.example.com"
REFUSED = 403


@pytest.fixture(scope="module")
def registry(certificate_authority: CertificateAuthority) -> Iterator[ScriptedServer]:
    with ScriptedServer(
        lambda _: Reply(REFUSED), certificate=certificate_authority.issue(names=(REGISTRY,))
    ) as server:
        yield server


@pytest.fixture(scope="module")
def deployed(
    registry: ScriptedServer, certificate_authority: CertificateAuthority
) -> Iterator[DeployedOperator]:
    """Without the CRD: the chart brings it. Its proxy lets nothing through but the registry, so not the API."""
    environment = {"SSL_CERT_FILE": str(certificate_authority.ca_file)}
    with (
        ControlPlane() as plane,
        Kwok(plane) as kwok,
        Proxy({f"{REGISTRY}:443": registry.address}) as proxy,
    ):
        kwok.add_node("node-1")
        values = {"proxy": {"http": proxy.url, "https": proxy.url}}
        with DeployedOperator(plane, values, environment=environment) as deployed:
            yield deployed


@pytest.fixture
def cluster(deployed: DeployedOperator) -> Iterator[Cluster]:
    cluster = Cluster(deployed.control_plane, deployed.control_plane.create_namespace())
    yield cluster
    deployed.control_plane.delete_namespace(cluster.namespace)


def test_the_registry_is_asked_through_the_proxy_and_the_cluster_is_not(
    cluster: Cluster, registry: ScriptedServer
) -> None:
    infra = {"docker_repo_prefix": f"{REGISTRY}/ml"}
    with Redis() as redis:
        values = aws_values(cache_redis_aws_url=redis.url(15), vllm_repository="vllm")
        spec = with_redis(redis, values=overlaid(values, {"config": {"values": {"infra": infra}}}))
        cluster.apply(spec | only("RedisReachable", "VllmImagePullable"))
        cluster.probed()
    assert cluster.condition("RedisReachable")["status"] == "True"
    assert [request for request in registry.requests if request.path.startswith("/v2/")]


def test_two_replicas_hand_over_and_take_over(cluster: Cluster, deployed: DeployedOperator) -> None:
    with Redis() as redis:
        cluster.apply(with_redis(redis))
        assert cluster.probed()["status"]["health"] == "Healthy"
        first = deployed.leader()
        (second,) = [replica for replica in deployed.replicas if replica is not first]
        wait(lambda: first.get("/readyz") == (200, "watching 1 resource, leader\n"))
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
