"""The table of environments is the kubelet's: each of its containers, created on a real node."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed.environments import CASES, OBJECTS, Case
from testbed.installation import Tree
from testbed.node import Node
from testbed.node.archives import BUSYBOX_IMAGE
from testbed.waiting import eventually

PATIENCE = 600.0

pytestmark = pytest.mark.timeout(1200)


_KNOWS_SERVICES = {
    "name": "services",
    "image": BUSYBOX_IMAGE,
    "command": ["sh", "-c", 'test -n "$MY_REDIS_SERVICE_HOST"'],
}
"""It is run again until the kubelet has heard of the Service, which has just been made."""
_STAYS = {"name": "stays", "image": BUSYBOX_IMAGE, "command": ["sleep", "10000"]}
"""The kubelet takes away the volume of a pod that has ended."""


class Pods:
    """A pod for all cases that have links to Services, and one for the others: a container for each case."""

    def __init__(self, node: Node, namespace: str) -> None:
        self._node, self._plane = node, node.control_plane
        self._namespace = namespace
        self._plane.apply([*OBJECTS], namespace=namespace)
        service = self._plane.api("GET", f"/api/v1/namespaces/{namespace}/services/my-redis")
        self.address = str(service["spec"]["clusterIP"])
        self._pods = {links: self._make(links) for links in (True, False)}

    def _make(self, links: bool) -> Tree:
        containers = [
            {
                "name": _name(case),
                "image": BUSYBOX_IMAGE,
                # no shell, which would drop names that it does not like
                "command": ["/bin/busybox", "cp", "/proc/self/environ", f"/v/{_name(case)}"],
                "env": list(case.env),
                "envFrom": list(case.env_from),
                "volumeMounts": [{"name": "v", "mountPath": "/v"}],
            }
            for case in CASES
            if (case.links is not False) is links
        ]
        pod = {
            "metadata": {"name": f"links-{links}".lower(), "labels": {"app": "model-engine"}},
            "spec": {
                "enableServiceLinks": links,
                "restartPolicy": "OnFailure",
                "terminationGracePeriodSeconds": 0,
                "volumes": [{"name": "v", "emptyDir": {}}],
                "initContainers": [_KNOWS_SERVICES] if links else [],
                "containers": [*containers, _STAYS],
            },
        }
        made: Tree = self._plane.api("POST", f"/api/v1/namespaces/{self._namespace}/pods", pod)
        return made

    def state(self, case: Case) -> Tree:
        """What became of the container: ``terminated``, or ``waiting`` for what it cannot have."""
        pod = self._pods[case.links is not False]

        def ask() -> Tree:
            path = f"/api/v1/namespaces/{self._namespace}/pods/{pod['metadata']['name']}"
            statuses = self._plane.api("GET", path)["status"].get("containerStatuses", ())
            found: Tree = next((each["state"] for each in statuses if each["name"] == _name(case)), {})
            return found

        def is_settled(state: Tree) -> bool:
            reason = state.get("waiting", {}).get("reason")
            return "terminated" in state or reason == "CreateContainerConfigError"

        return eventually(ask, is_settled, PATIENCE)

    def environment(self, case: Case) -> dict[str, str]:
        """What the container had when it ran."""
        uid = self._pods[case.links is not False]["metadata"]["uid"]
        volume = self._node.directory / "kubelet" / "pods" / uid / "volumes" / "kubernetes.io~empty-dir" / "v"
        text = Path(volume / _name(case)).read_text()
        return dict(each.split("=", 1) for each in text.split("\0") if each)


def _name(case: Case) -> str:
    return f"case-{CASES.index(case)}"


@pytest.fixture(scope="module")
def pods(real_node: Node) -> Iterator[Pods]:
    namespace = real_node.control_plane.create_namespace("env")
    yield Pods(real_node, namespace)
    real_node.control_plane.delete_namespace(namespace)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_the_kubelet_makes_it_so(case: Case, pods: Pods) -> None:
    state = pods.state(case)
    if case.fails:
        assert case.fails in state["waiting"]["message"]
        return
    assert state["terminated"]["exitCode"] == 0, state
    found = pods.environment(case)
    for name, expected in case.has.items():
        assert found.get(name) == (expected and expected.replace("{ADDRESS}", pods.address)), name
