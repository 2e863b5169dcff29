"""The operator's image, installed by its chart on a real node: pulled, restricted, at work, and relieved."""

import itertools
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from testbed.healthchecks import PROBE_NOW, Cluster, is_current, wait, with_redis
from testbed.installation import Tree, aws_values
from testbed.node import Node
from testbed.operatorimage import ServedImage
from testbed.operatoronnode import PATIENCE, OperatorOnNode, deploy
from testbed.redis import Redis
from testbed.waiting import eventually

pytestmark = pytest.mark.timeout(1800)  # the image's first build, on a slow machine
NAME = "mehc-on-node"
_words = itertools.count()


@pytest.fixture(scope="module")
def deployed(real_node: Node, operator_image: ServedImage) -> Iterator[OperatorOnNode]:
    more = {
        "probes": {"trustedNamespaces": ["*"]},
        "proxy": {"https": "http://127.0.0.1:9"},  # where nothing listens: the API is not asked through it
    }
    with deploy(real_node, operator_image, NAME, **more) as deployed:
        yield deployed


@pytest.fixture
def cluster(deployed: OperatorOnNode, redis_server: Redis) -> Iterator[Cluster]:
    """A namespace with a Redis behind a Service, and a resource that watches it, judged."""
    deployed.settled()
    cluster = Cluster(deployed.plane, deployed.plane.create_namespace("served"))
    deployed.node.service(cluster.namespace, "redis", 6379, redis_server.port)
    url = f"redis://redis.{cluster.namespace}.svc.cluster.local:6379/15"
    cluster.apply(with_redis(redis_server, values=aws_values(cache_redis_aws_url=url)) | {"timeout": "60s"})
    # the first probe may come before kube-proxy knows the Service
    eventually(lambda: judged_again(cluster)["health"], lambda health: health == "Healthy", PATIENCE)
    yield cluster
    deployed.plane.delete_namespace(cluster.namespace)


def judged_again(cluster: Cluster) -> Tree:
    """The status after a probe that was asked for just now."""
    word = str(next(_words))
    cluster.patch({"metadata": {"annotations": {PROBE_NOW: word}}})
    return eventually(
        lambda: cluster.get().get("status", {}),
        lambda status: status.get("lastHandledProbeNow") == word,
        PATIENCE,
    )


def transitions(status: Tree) -> list[Any]:
    return [(each["type"], each["status"], each["lastTransitionTime"]) for each in status["conditions"]]


def test_it_judges_through_a_service_by_its_name(cluster: Cluster) -> None:
    assert cluster.condition("RedisReachable")["status"] == "True", cluster.condition("RedisReachable")
    (line,) = cluster.kubectl("get", "mehc", "--no-headers").splitlines()
    assert line.split()[0] == "model-engine"
    assert "Healthy" in line


def test_a_name_of_one_part_means_what_it_means_to_the_installation(
    cluster: Cluster, redis_server: Redis
) -> None:
    """Its namespace has a Service redis, the operator's has none."""
    values = aws_values(cache_redis_aws_url="redis://redis:6379/15")
    cluster.apply(with_redis(redis_server, values=values) | {"timeout": "60s"}, "short")
    wait(lambda: is_current(cluster.get("short")), PATIENCE)
    condition = cluster.condition("RedisReachable", "short")
    assert condition["status"] == "True", condition
    assert "redis://redis:6379" in condition["message"]


def test_an_empty_spec_is_judged(cluster: Cluster) -> None:
    cluster.apply({}, "empty")
    wait(lambda: is_current(cluster.get("empty")), PATIENCE)
    assert (
        cluster.condition("Ready", "empty")["status"] != "True"
    )  # there is no installation in the namespace


def test_it_has_no_rights_on_its_node(deployed: OperatorOnNode) -> None:
    for pod in deployed.settled():
        process = deployed.process(pod)
        known = Path(f"/proc/{process.pid}")
        lines = (known / "status").read_text().splitlines()
        status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
        assert set(status["Uid"].split()) == set(status["Gid"].split()) == {"65532"}
        assert int(status["CapEff"], 16) == int(status["CapBnd"], 16) == 0
        assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
        lines = (known / "mounts").read_text().splitlines()
        mounts = {words[1]: words[3].split(",") for words in map(str.split, lines)}
        assert "ro" in mounts["/"]
        assert "ro" in mounts["/run/secrets/kubernetes.io/serviceaccount"]


def test_it_needs_less_memory_than_it_asks_for(deployed: OperatorOnNode, cluster: Cluster) -> None:
    judged_again(cluster)
    for pod in deployed.settled():
        assert deployed.process(pod).memory_info().rss < 192 * 2**20


def test_a_dns_that_does_not_answer_stops_nothing_else(deployed: OperatorOnNode, cluster: Cluster) -> None:
    """Neither the Lease nor the metrics. The C library gives up by itself after ten seconds: it says unresolvable."""
    pods, holder, renewed = deployed.settled(), deployed.holder(), deployed.renewed()
    with deployed.node.paused("dnsmasq"):
        judged_again(cluster)
        failed = eventually(
            lambda: cluster.condition("RedisReachable"),
            lambda condition: condition["status"] == "False",
            PATIENCE,
        )
        assert failed["reason"] in ("DNSTimeout", "HostUnresolvable"), failed
        eventually(deployed.renewed, lambda now: now > renewed, PATIENCE)
        assert deployed.holder() == holder
        for pod in pods:
            assert "mehc_" in deployed.metrics(pod)
    eventually(lambda: judged_again(cluster)["health"], lambda health: health == "Healthy", PATIENCE)
    assert deployed.settled() == pods


def test_a_deleted_leader_is_replaced(deployed: OperatorOnNode, cluster: Cluster) -> None:
    leader = deployed.leader()
    deployed.plane.api("DELETE", f"/api/v1/namespaces/{NAME}/pods/{leader}")
    eventually(deployed.leader, lambda now: now not in ("", leader), PATIENCE)
    assert judged_again(cluster)["health"] == "Healthy"


def test_a_killed_leader_is_replaced(deployed: OperatorOnNode, cluster: Cluster) -> None:
    holder = deployed.holder()
    os.kill(deployed.process(deployed.leader()).pid, signal.SIGKILL)
    eventually(deployed.holder, lambda now: now not in ("", holder), PATIENCE)
    assert judged_again(cluster)["health"] == "Healthy"


def test_a_leader_that_stands_still_is_replaced(deployed: OperatorOnNode, cluster: Cluster) -> None:
    holder, process = deployed.holder(), deployed.process(deployed.leader())
    process.suspend()
    try:
        eventually(deployed.holder, lambda now: now not in ("", holder), PATIENCE)
        assert judged_again(cluster)["health"] == "Healthy"
    finally:
        if process.is_running():
            process.resume()


def test_a_rollout_moves_no_condition(deployed: OperatorOnNode, cluster: Cluster) -> None:
    before = transitions(cluster.get()["status"])
    old = set(deployed.settled())
    deployed.plane.kubectl("-n", NAME, "rollout", "restart", f"deployment/{NAME}")
    eventually(lambda: set(deployed.settled()), lambda now: not now & old, PATIENCE)
    assert transitions(judged_again(cluster)) == before
