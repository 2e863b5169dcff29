"""The operator's image, installed by its chart on a real node: pulled, restricted, at work, and relieved."""

import itertools
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from testbed.chart import CHART
from testbed.controlplane import ControlPlane
from testbed.healthchecks import PROBE_NOW, Cluster, is_current, wait, with_redis
from testbed.helm import Helm
from testbed.installation import Tree, aws_values
from testbed.node import Node
from testbed.operatorimage import ServedImage, tag
from testbed.operatorprocess import install_crd
from testbed.redis import Redis
from testbed.waiting import eventually

pytestmark = pytest.mark.timeout(1800)  # the image's first build, on a slow machine
PATIENCE = 300
NAME = "mehc-on-node"
"""Of the release, its objects, and its namespace."""
_words = itertools.count()


@dataclass(frozen=True, slots=True)
class Deployed:
    """The chart's release, as its administrator and its node see it."""

    plane: ControlPlane
    node: Node

    def pods(self) -> list[Tree]:
        """Those that are ready and stay."""
        path = f"/api/v1/namespaces/{NAME}/pods?labelSelector=app.kubernetes.io/instance%3D{NAME}"
        return [
            pod
            for pod in self.plane.api("GET", path)["items"]
            if "deletionTimestamp" not in pod["metadata"]
            and any(
                each["type"] == "Ready" and each["status"] == "True"
                for each in pod["status"].get("conditions", ())
            )
        ]

    def settled(self) -> list[str]:
        """The names of its two pods, once both are ready, and one of them leads."""
        pods = eventually(self.pods, lambda pods: len(pods) == 2, PATIENCE)
        names = [pod["metadata"]["name"] for pod in pods]
        eventually(self.leader, lambda leader: leader in names, PATIENCE)
        return names

    def holder(self) -> str:
        path = f"/apis/coordination.k8s.io/v1/namespaces/{NAME}/leases/{NAME}"
        return str(self.plane.api("GET", path)["spec"].get("holderIdentity", ""))

    def leader(self) -> str:
        """The name of the pod that the Lease names."""
        return self.holder().partition("_")[0]

    def process(self, pod: str) -> psutil.Process:
        """`mehc run` of the pod, as this machine sees it."""
        (found,) = [each for each in self.node.processes("mehc") if each.environ().get("POD_NAME") == pod]
        return found


@pytest.fixture(scope="module")
def deployed(real_node: Node, operator_image: ServedImage) -> Iterator[Deployed]:
    plane = real_node.control_plane
    real_node.reach(operator_image.registry.port)
    install_crd(plane)
    level = {"pod-security.kubernetes.io/enforce": "restricted"}
    plane.api("POST", "/api/v1/namespaces", {"metadata": {"name": NAME, "labels": level}})
    values = {
        "fullnameOverride": NAME,
        "crds": {"enabled": False},  # another release may own it
        "image": {"repository": operator_image.repository, "tag": tag()},
        "proxy": {"https": "http://127.0.0.1:9"},  # where nothing listens: the API is not asked through it
    }
    helm = Helm(plane)
    helm.install(NAME, NAME, values, "--wait", f"--timeout={PATIENCE}s", chart=CHART)
    yield Deployed(plane, real_node)
    helm.run("uninstall", NAME, "-n", NAME)
    plane.delete_namespace(NAME)


@pytest.fixture
def cluster(deployed: Deployed, redis_server: Redis) -> Iterator[Cluster]:
    """A namespace with a Redis behind a Service, and a resource that watches it, judged."""
    deployed.settled()
    cluster = Cluster(deployed.plane, deployed.plane.create_namespace("served"))
    deployed.node.service(cluster.namespace, "redis", 6379, redis_server.port)
    service = deployed.plane.api("GET", f"/api/v1/namespaces/{cluster.namespace}/services/redis")
    address = service["spec"]["clusterIP"]
    cluster.apply(
        with_redis(redis_server, values=aws_values(cache_redis_aws_url=f"redis://{address}:6379/15"))
        | {"timeout": "60s"}
    )
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


def test_it_judges_through_a_service(cluster: Cluster) -> None:
    assert cluster.condition("RedisReachable")["status"] == "True", cluster.condition("RedisReachable")
    (line,) = cluster.kubectl("get", "mehc", "--no-headers").splitlines()
    assert line.split()[0] == "model-engine"
    assert "Healthy" in line


def test_an_empty_spec_is_judged(cluster: Cluster) -> None:
    cluster.apply({}, "empty")
    wait(lambda: is_current(cluster.get("empty")), PATIENCE)
    assert (
        cluster.condition("Ready", "empty")["status"] != "True"
    )  # there is no installation in the namespace


def test_it_has_no_rights_on_its_node(deployed: Deployed) -> None:
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


def test_it_needs_less_memory_than_it_asks_for(deployed: Deployed, cluster: Cluster) -> None:
    judged_again(cluster)
    for pod in deployed.settled():
        assert deployed.process(pod).memory_info().rss < 192 * 2**20


def test_a_deleted_leader_is_replaced(deployed: Deployed, cluster: Cluster) -> None:
    leader = deployed.leader()
    deployed.plane.api("DELETE", f"/api/v1/namespaces/{NAME}/pods/{leader}")
    eventually(deployed.leader, lambda now: now not in ("", leader), PATIENCE)
    assert judged_again(cluster)["health"] == "Healthy"


def test_a_killed_leader_is_replaced(deployed: Deployed, cluster: Cluster) -> None:
    holder = deployed.holder()
    os.kill(deployed.process(deployed.leader()).pid, signal.SIGKILL)
    eventually(deployed.holder, lambda now: now not in ("", holder), PATIENCE)
    assert judged_again(cluster)["health"] == "Healthy"


def test_a_leader_that_stands_still_is_replaced(deployed: Deployed, cluster: Cluster) -> None:
    holder, process = deployed.holder(), deployed.process(deployed.leader())
    process.suspend()
    try:
        eventually(deployed.holder, lambda now: now not in ("", holder), PATIENCE)
        assert judged_again(cluster)["health"] == "Healthy"
    finally:
        if process.is_running():
            process.resume()


def test_a_rollout_moves_no_condition(deployed: Deployed, cluster: Cluster) -> None:
    before = transitions(cluster.get()["status"])
    old = set(deployed.settled())
    deployed.plane.kubectl("-n", NAME, "rollout", "restart", f"deployment/{NAME}")
    eventually(lambda: set(deployed.settled()), lambda now: not now & old, PATIENCE)
    assert transitions(judged_again(cluster)) == before
