"""The node is a real one: what a kubelet, containerd and kube-proxy do, they do here."""

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from testbed.controlplane import ControlPlane
from testbed.installation import Tree
from testbed.kwok import Kwok
from testbed.node import GPU, Node, cgroups, impossible
from testbed.node.archives import BUSYBOX_IMAGE, busybox, push
from testbed.ports import free_port
from testbed.redis import Redis
from testbed.registry import Registry
from testbed.waiting import eventually

PATIENCE = 180
ENTER = Path(cgroups.__file__).with_name("enter.sh")


class Pods:
    """Pods in a namespace of the test's own."""

    def __init__(self, plane: ControlPlane, namespace: str) -> None:
        self.plane = plane
        self.namespace = namespace
        self._path = f"/api/v1/namespaces/{namespace}/pods"

    def make(self, script: str = "exec sleep 1000", **container: object) -> str:
        name = f"pod-{secrets.token_hex(3)}"
        main = {"name": "main", "image": BUSYBOX_IMAGE, "command": ["sh", "-c", script], **container}
        spec = {"terminationGracePeriodSeconds": 0, "containers": [main]}
        self.plane.api("POST", self._path, {"metadata": {"name": name}, "spec": spec})
        return name

    def runs(self, name: str) -> Tree:
        return eventually(
            lambda: self.plane.api("GET", f"{self._path}/{name}")["status"],
            lambda status: status.get("phase") == "Running",
            PATIENCE,
        )

    def waiting(self, name: str) -> Tree:
        """What the container waits for."""

        def state() -> Tree:
            (status,) = self.plane.api("GET", f"{self._path}/{name}")["status"].get("containerStatuses") or [
                {}
            ]
            found: Tree = status.get("state", {}).get("waiting", {})
            return found

        return eventually(
            state, lambda found: found.get("reason") not in (None, "ContainerCreating"), PATIENCE
        )

    def kubectl(self, *words: str) -> str:
        return self.plane.kubectl("-n", self.namespace, *words, timeout=PATIENCE)

    def answers(self, name: str, script: str, expected: str) -> None:
        """The script, run in the pod, prints ``expected``, as soon as kube-proxy knows the Service."""
        run = ("exec", name, "--", "sh", "-c", script)
        eventually(lambda: self.kubectl(*run), lambda said: expected in said, PATIENCE)

    def events(self, name: str) -> list[str]:
        path = f"/api/v1/namespaces/{self.namespace}/events"
        items = self.plane.api("GET", path)["items"]
        return [item["message"] for item in items if item["involvedObject"]["name"] == name]


@pytest.fixture
def pods(real_node: Node) -> Iterator[Pods]:
    plane = real_node.control_plane
    namespace = plane.create_namespace()
    yield Pods(plane, namespace)
    plane.delete_namespace(namespace)


def test_a_pod_runs_and_is_spoken_to(pods: Pods) -> None:
    name = pods.make("echo hello; exec sleep 1000")
    pods.runs(name)
    eventually(lambda: pods.kubectl("logs", name), lambda text: text == "hello\n", PATIENCE)
    assert pods.kubectl("exec", name, "--", "cat", "/proc/1/comm") == "sleep\n"


def test_a_pod_reaches_the_api_server_and_a_server_of_the_test_through_services(
    real_node: Node, pods: Pods, redis_server: Redis
) -> None:
    real_node.service(pods.namespace, "redis", 6379, redis_server.port)
    service = pods.plane.api("GET", f"/api/v1/namespaces/{pods.namespace}/services/redis")
    name = pods.make()
    pods.runs(name)
    redis = f"printf 'PING\\r\\nQUIT\\r\\n' | nc {service['spec']['clusterIP']} 6379 || true"
    pods.answers(name, redis, "+PONG")
    kubernetes = "printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc 10.96.0.1 443 || true"
    pods.answers(name, kubernetes, "HTTP request to an HTTPS server")


def test_an_image_is_pulled_from_the_tests_registry(real_node: Node, pods: Pods, tmp_path: Path) -> None:
    with Registry(storage=tmp_path) as registry:
        real_node.reach(registry.port)
        push(busybox("any:1", {"etc/pulled": b"yes"}), f"{registry.address}/pulled:1")
        name = pods.make(image=f"{registry.address}/pulled:1")
        pods.runs(name)
        assert pods.kubectl("exec", name, "--", "cat", "/etc/pulled") == "yes"
        missing = pods.make(image=f"{registry.address}/pulled:2")
        assert pods.waiting(missing)["reason"] in ("ErrImagePull", "ImagePullBackOff")
        eventually(
            lambda: pods.events(missing),
            lambda said: any("pulled:2: not found" in each for each in said),
            PATIENCE,
        )


def test_a_registry_that_does_not_listen(real_node: Node, pods: Pods) -> None:
    name = pods.make(image=f"127.0.0.1:{free_port()}/vllm:1")
    assert pods.waiting(name)["reason"] in ("ErrImagePull", "ImagePullBackOff")
    eventually(
        lambda: pods.events(name), lambda said: any("connection refused" in each for each in said), PATIENCE
    )


def test_a_gpu_is_given_and_what_is_too_much_is_not(real_node: Node, pods: Pods) -> None:
    name = pods.make("echo $NVIDIA_VISIBLE_DEVICES; exec sleep 1000", resources={"limits": {GPU: "1"}})
    pods.runs(name)
    eventually(lambda: pods.kubectl("logs", name), lambda text: text.startswith("fake-"), PATIENCE)
    more = pods.make(resources={"limits": {GPU: "2"}})
    eventually(
        lambda: pods.events(more), lambda said: any(f"Insufficient {GPU}" in each for each in said), PATIENCE
    )


def test_gpus_that_fail_are_not_offered_and_those_of_a_new_kubelet_are(real_node: Node) -> None:
    def offered() -> str:
        node = real_node.control_plane.api("GET", f"/api/v1/nodes/{real_node.node}")
        count: str = node["status"]["allocatable"][GPU]
        return count

    real_node.break_gpus("unhealthy")
    eventually(offered, lambda count: count == "0", PATIENCE)
    real_node.break_gpus("")
    eventually(offered, lambda count: count == "2", PATIENCE)
    with real_node.without("kubelet"):
        assert not real_node.processes("kubelet")
    eventually(lambda: real_node.processes("kubelet"), bool, PATIENCE)
    eventually(offered, lambda count: count == "2", PATIENCE)


def test_kwok_leaves_a_real_node_alone(real_node: Node, pods: Pods) -> None:
    with Kwok(real_node.control_plane, own_nodes=True) as kwok:
        played = kwok.add_node("played", taints=[{"key": "played", "effect": "NoSchedule"}])
        name = pods.make()
        pods.runs(name)
        assert pods.kubectl("exec", name, "--", "hostname") == f"{name}\n"
        kwok.delete_node(played)


def test_memory_that_is_not_given_kills(pods: Pods) -> None:
    name = pods.make(
        "sleep 1; exec dd if=/dev/zero of=/dev/null bs=200M count=1", resources={"limits": {"memory": "48Mi"}}
    )
    path = f"/api/v1/namespaces/{pods.namespace}/pods/{name}"
    eventually(
        lambda: json.dumps(pods.plane.api("GET", path)["status"]), lambda text: "OOMKilled" in text, PATIENCE
    )


def test_a_machine_with_cgroups_of_version_2_is_refused_and_left_alone(tmp_path: Path) -> None:
    if why := impossible():
        pytest.skip(why)
    (tmp_path / "cgroup").write_text("0::/\n")
    script = 'mount --bind "$1/cgroup" /proc/$$/cgroup && exec sh "$2" probe "$1" /dev/null'
    words = ["unshare", "--mount", "sh", "-c", script, "sh", tmp_path, ENTER]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "its cgroups are of version 2\n")
    assert (tmp_path / cgroups.RECORD).read_text() == ""


KILLED = """
import time
from testbed.controlplane import ControlPlane
from testbed.node import Node
with ControlPlane() as plane, Node(plane) as node:
    print(node.directory, node.pid, flush=True)
    time.sleep(10000)
"""


def test_nothing_is_left_of_a_test_run_that_is_killed() -> None:
    if why := impossible():
        pytest.skip(why)
    with subprocess.Popen(
        [sys.executable, "-c", KILLED],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
    ) as run:
        assert run.stdout
        directory, pid = run.stdout.readline().split()
        groups = [Path(line) for line in (Path(directory) / cgroups.RECORD).read_text().splitlines()]
        family = psutil.Process(int(pid)).children(recursive=True)
        assert {"kubelet", "containerd"} <= {
            Path(word).name for each in family for word in each.cmdline()[:2]
        }
        run.kill()
    eventually(lambda: [each for each in family if each.is_running()], lambda left: not left, PATIENCE)
    cgroups.sweep()
    assert [group for group in groups if group.exists()] == []
