"""Endpoints on a real node that is broken: its devices, its network plugin, its disk, its runtime, its kubelet."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from testbed.installation import Tree
from testbed.node import GPU, Node, settings
from testbed.node.archives import BUSYBOX_IMAGE, busybox
from testbed.realstates import SERVES, State, runs
from testbed.waiting import eventually
from testbed.ward import PATIENCE, Ward

Break = Callable[[Node], contextlib.AbstractContextManager[None]]
OWN = [{"key": "testbed", "value": "broken", "effect": "NoSchedule"}]
"""The taint that keeps the pods of others away."""
ONE_GPU: Tree = {"resources": {"limits": {GPU: "1"}}}

pytestmark = pytest.mark.timeout(1800)


@contextlib.contextmanager
def started(plane: Any, name: str, *, gpus: int = 0) -> Iterator[Node]:
    """A node of the tests' own, in a zone of its own: where most of a zone is broken, nothing is evicted."""
    labels = {"topology.kubernetes.io/zone": name}
    with Node(plane, name, gpus=gpus, taints=OWN, labels=labels, has_api=False) as node:
        try:
            node.load(busybox(BUSYBOX_IMAGE))
            yield node
        finally:
            plane.api("DELETE", f"/api/v1/nodes/{name}")


@pytest.fixture(scope="module")
def ward(real_node: Node) -> Iterator[Ward]:
    with Ward(real_node) as ward:
        yield ward


@pytest.fixture(scope="module")
def broken(real_node: Node) -> Iterator[Node]:
    """Each test mends what it breaks."""
    with started(real_node.control_plane, "broken", gpus=1) as node:
        yield node


def on(
    node: str, cause: str = "", *, named: bool = False, selector: Tree | None = None, **more: Any
) -> State:
    """A state of ``node``; ``named`` leaves the scheduler out."""
    lost = [
        {
            "key": f"node.kubernetes.io/{state}",
            "operator": "Exists",
            "effect": "NoExecute",
            "tolerationSeconds": 5,
        }
        for state in ("not-ready", "unreachable")
    ]
    place = {"nodeName": node} if named else {"nodeSelector": {"kubernetes.io/hostname": node}}
    tolerations = [{"key": "testbed", "operator": "Exists"}, *lost]
    pod: Tree = {**place, "tolerations": tolerations, **({"nodeSelector": selector} if selector else {})}
    return State(cause=cause, pod=pod, **more)


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What is broken, the endpoint that is then made, and what must be said of it."""

    breaks: Break
    state: State
    says: str
    fix: str


def gpus(how: str) -> Break:
    @contextlib.contextmanager
    def broken(node: Node) -> Iterator[None]:
        node.break_gpus(how)
        try:
            offered = {"unhealthy": "0"}.get(how, "1")
            eventually(lambda: allocatable(node), lambda count: count == offered, PATIENCE)
            yield
        finally:
            node.break_gpus("")

    return broken


@contextlib.contextmanager
def no_plugin(node: Node) -> Iterator[None]:
    with node.without("device-plugin"):
        eventually(lambda: allocatable(node), lambda count: count == "0", PATIENCE)
        yield


def allocatable(node: Node) -> str:
    status = node.control_plane.api("GET", f"/api/v1/nodes/{node.node}")["status"]
    return str(status["allocatable"].get(GPU))


def network(configuration: Callable[[Node], Tree]) -> Break:
    @contextlib.contextmanager
    def broken(node: Node) -> Iterator[None]:
        node.write_network(configuration(node))
        try:
            yield
        finally:
            node.write_network(settings.network(node.pods))

    return broken


def one_address(node: Node) -> Tree:
    made = settings.network(node.pods)
    address = node.pods.replace(".0/24", ".250")
    (plugin, *_) = made["plugins"]
    plugin["ipam"]["ranges"] = [[{"subnet": node.pods, "rangeStart": address, "rangeEnd": address}]]
    return made


@contextlib.contextmanager
def no_dns(node: Node) -> Iterator[None]:
    with node.without("dnsmasq"):
        yield


@contextlib.contextmanager
def silent_dns(node: Node) -> Iterator[None]:
    with node.paused("dnsmasq"):
        yield


@contextlib.contextmanager
def nothing(_: Node) -> Iterator[None]:
    yield


FAULTS = {
    "devices refused": Fault(
        breaks=gpus("refuse"),
        state=on("broken", "PodRejectedByKubelet", main=ONE_GPU),
        says="UnexpectedAdmissionError",
        fix="Restart the device plugin of node broken",
    ),
    "devices unhealthy": Fault(
        breaks=gpus("unhealthy"),
        state=on("broken", "GpusInsufficient", main=ONE_GPU),
        says="no node has enough free GPUs",
        fix="restart their device plugin",
    ),
    "no device plugin": Fault(
        breaks=no_plugin,
        state=on("broken", "GpusInsufficient", main=ONE_GPU),
        says="no node has enough free GPUs",
        fix="restart their device plugin",
    ),
    "devices in use": Fault(
        breaks=nothing,
        state=on("broken", "GpusInsufficient", main=ONE_GPU, replicas=2),
        says="no node has enough free GPUs",
        fix="free GPUs",
    ),
    "no program of the network plugin": Fault(
        breaks=network(lambda _: {"cniVersion": "0.4.0", "name": "pods", "plugins": [{"type": "aws-cni"}]}),
        state=on("broken", "PodSandboxFailed"),
        says='failed to find plugin "aws-cni"',
        fix="network plugin",
    ),
    "no address left": Fault(
        breaks=network(one_address),
        state=on("broken", "PodSandboxFailed", replicas=2),
        says="no IP addresses available",
        fix="free addresses",
    ),
    "no DNS": Fault(
        breaks=no_dns,
        state=on("broken", "DNSTimeout", main={"image": "registry.example/vllm:1"}),
        says="registry.example was not resolved",
        fix="DNS servers of the node",
    ),
    "DNS that does not answer": Fault(
        breaks=silent_dns,
        state=on("broken", "DNSTimeout", main={"image": "registry.example/vllm:1"}),
        says="registry.example was not resolved",
        fix="DNS servers of the node",
    ),
    "more CPU than the node has": Fault(
        breaks=nothing,
        state=on(
            "broken", "PodRejectedByKubelet", named=True, main={"resources": {"requests": {"cpu": "640"}}}
        ),
        says="OutOfcpu",
        fix="Free the resource on node broken",
    ),
    "labels that the node lost": Fault(
        breaks=nothing,
        state=on("broken", "PodRejectedByKubelet", named=True, selector={"gone": "yes"}),
        says="NodeAffinity",
        fix="Restore the labels of node broken",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_the_cause_on_a_broken_node(broken: Node, ward: Ward, name: str) -> None:
    fault, endpoint = FAULTS[name], name.replace(" ", "-").lower()
    eventually(broken.ready, bool, PATIENCE)
    with fault.breaks(broken):
        ward.make(endpoint, fault.state)
        try:
            found = ward.until(endpoint, fault.state.cause)
        finally:
            ward.remove(endpoint)
    assert found["cause"] == fault.state.cause, found
    assert fault.says in found["message"], found
    assert fault.fix in found["remediation"], found


OUTAGES = {
    "frozen": "its kubelet does not report",
    "no-runtime": "its container runtime does not answer",
    "no-network": "its network plugin is not ready",
}


@pytest.fixture(scope="module")
def outages(real_node: Node, ward: Ward) -> Iterator[None]:
    """Three nodes that stop at once, each with an endpoint that served, and then one more that is to start there."""
    with contextlib.ExitStack() as stack:
        nodes = {name: stack.enter_context(started(real_node.control_plane, name)) for name in OUTAGES}
        for name in OUTAGES:
            ward.make(name, on(name, main=runs(SERVES)))
        for name in OUTAGES:
            assert ward.until(name, "")["ready"] == 1
        stack.enter_context(nodes["frozen"].paused("kubelet"))
        stack.enter_context(nodes["no-runtime"].without("containerd"))
        nodes["no-network"].remove_network()
        for name in OUTAGES:
            ward.make(f"late-{name}", on(name))
        yield


@pytest.mark.parametrize("name", OUTAGES)
@pytest.mark.usefixtures("outages")
def test_endpoints_of_a_node_that_is_not_ready(ward: Ward, name: str) -> None:
    found = ward.until(name, "NodeLost")
    assert found["cause"] == "NodeLost", found
    assert OUTAGES[name] in found["message"]
