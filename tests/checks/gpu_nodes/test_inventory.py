"""The inventory on a real API server: what a list sees at once, a watch keeps seeing through every trouble."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from mehc_checks.clients.kubernetes import reader
from mehc_checks.clients.kubernetes import watch as watching
from mehc_checks.clients.kubernetes.api import KubernetesCluster
from mehc_checks.core.errors import CannotEvaluate, Forbidden
from mehc_checks.installation.inventory import ListedInventory, WatchedInventory
from mehc_checks.installation.nodes import Nodes, Pods
from mehc_operator.connection import Access, connected
from testbed.controlplane import ControlPlane

pytestmark = pytest.mark.integration
LABELS = frozenset({"pool"})


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    """Of this module alone: its API server is stopped."""
    with ControlPlane() as plane:
        yield plane


class Counting(KubernetesCluster):
    """Counts what is asked of the API."""

    asked = 0

    async def get(self, path: str, **query: str) -> Mapping[str, Any] | None:
        self.asked += 1
        return await super().get(path, **query)


@asynccontextmanager
async def watched(
    plane: ControlPlane, changed: Callable[[], None] = lambda: None, kubeconfig: Path | None = None
) -> AsyncIterator[tuple[WatchedInventory, Counting]]:
    async with connected(Access(kubeconfig=str(kubeconfig or plane.kubeconfig))) as api:
        cluster = Counting(api)
        inventory = WatchedInventory(cluster, changed)
        try:
            yield inventory, cluster
        finally:
            await inventory.stop()


async def until(ask: Callable[[], Any], seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while not ask():  # noqa: ASYNC110 - what it waits for is elsewhere
            await asyncio.sleep(0.02)


def add_node(plane: ControlPlane, name: str, gpus: str = "4", **labels: str) -> str:
    resources = {"cpu": "8", "memory": "16Gi", "pods": "110", "nvidia.com/gpu": gpus}
    ready = {"type": "Ready", "status": "True", "reason": "x", "message": "x"}
    plane.api(
        "POST",
        "/api/v1/nodes",
        {
            "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, **labels}},
            "status": {"capacity": resources, "allocatable": resources, "conditions": [ready]},
        },
    )
    return name


def patch(plane: ControlPlane, path: str, body: Mapping[str, Any]) -> None:
    plane.api("PATCH", path, body, content_type="application/merge-patch+json")


def pools(nodes: Nodes) -> dict[str | None, int]:
    found: dict[str | None, int] = {}
    for pool in nodes.pools(LABELS):
        pool_name = pool.node.label("pool")
        found[pool_name] = found.get(pool_name, 0) + len(pool)
    return found


def add_pod(plane: ControlPlane, namespace: str, name: str, node: str, cpu: str) -> str:
    path = f"/api/v1/namespaces/{namespace}/pods"
    container = {"name": "c", "image": "x", "resources": {"requests": {"cpu": cpu}}}
    plane.api(
        "POST", path, {"metadata": {"name": name}, "spec": {"nodeName": node, "containers": [container]}}
    )
    return f"{path}/{name}"


async def test_a_watch_follows_the_nodes(plane: ControlPlane) -> None:
    changes: list[None] = []
    async with watched(plane, lambda: changes.append(None)) as (inventory, cluster):
        before = len(await inventory.nodes())
        add_node(plane, "follow-1", pool="a")
        add_node(plane, "follow-2", pool="a")
        nodes = await inventory.nodes()
        await until(lambda: pools(nodes).get("a") == 2)
        patch(plane, "/api/v1/nodes/follow-2", {"metadata": {"labels": {"pool": "b"}}})
        await until(lambda: pools(nodes).get("b") == 1)
        plane.api("DELETE", "/api/v1/nodes/follow-1")
        plane.api("DELETE", "/api/v1/nodes/follow-2")
        await until(lambda: len(nodes) == before)
        assert len(changes) >= 5
        assert cluster.asked == 1  # the list; all else came by the watch, however often it was asked for


async def test_a_heartbeat_is_no_change(plane: ControlPlane) -> None:
    name = add_node(plane, "heartbeat", pool="steady")
    changes: list[str] = []
    async with watched(plane, lambda: changes.append("node")) as (inventory, _):
        nodes = await inventory.nodes()
        changes.append("added")
        while changes:  # controllers finish what they do to a new node
            changes.clear()
            await asyncio.sleep(0.5)
        groups = nodes.pools(LABELS)
        patch(plane, f"/api/v1/nodes/{name}", {"metadata": {"annotations": {"seen": "now"}}})
        patch(plane, f"/api/v1/nodes/{name}", {"metadata": {"labels": {"pool": "moved"}}})
        await until(lambda: pools(nodes).get("moved") == 1)
        assert len(changes) == 1  # the label; the annotation came before it
        assert nodes.pools(LABELS) is not groups
        assert nodes.pools(LABELS) is nodes.pools(LABELS)
    plane.api("DELETE", f"/api/v1/nodes/{name}")


async def test_loads_are_kept_up_to_date(plane: ControlPlane) -> None:
    name, namespace = add_node(plane, "loaded"), plane.create_namespace()
    async with watched(plane) as (inventory, _):
        pods: Pods = await inventory.pods()
        first = add_pod(plane, namespace, "first", name, "1500m")
        add_pod(plane, namespace, "model-engine-balloon-x-1-1", name, "2")
        await until(lambda: pods.usage(name).pods == 2)
        assert pods.usage(name).requests == {"cpu": 3500}
        assert pods.usage(name, balloons=False).requests["cpu"] == 1500
        assert {pod.name for pod in pods.within(namespace)} == {"first", "model-engine-balloon-x-1-1"}
        patch(
            plane, f"{first}/status", {"status": {"phase": "Succeeded"}}
        )  # it has ended, and is still there
        await until(lambda: pods.usage(name).pods == 1)
        assert pods.usage(name).requests == {"cpu": 2000}
    async with connected(Access(kubeconfig=str(plane.kubeconfig))) as api:
        listed = await ListedInventory(KubernetesCluster(api)).pods()
    assert listed.usage(name).requests == {"cpu": 2000}
    plane.api("DELETE", f"/api/v1/nodes/{name}")


async def test_a_list_of_many_pages_is_whole(plane: ControlPlane, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "PAGE", 3)
    names = [add_node(plane, f"page-{index}", pool="paged") for index in range(8)]
    async with connected(Access(kubeconfig=str(plane.kubeconfig))) as api:
        cluster = Counting(api)
        inventory = ListedInventory(cluster)
        nodes = await inventory.nodes()
        assert await inventory.nodes() is nodes
    assert pools(nodes)["paged"] == 8
    assert cluster.asked == -(-len(nodes) // 3)
    for name in names:
        plane.api("DELETE", f"/api/v1/nodes/{name}")


async def test_a_right_that_is_missing_is_named_and_its_grant_is_noticed(plane: ControlPlane) -> None:
    namespace = plane.create_namespace()
    kubeconfig = plane.service_account_kubeconfig(namespace, "prober")
    async with watched(plane, kubeconfig=kubeconfig) as (inventory, _):
        with pytest.raises(Forbidden, match="not allowed to list nodes in the whole cluster"):
            await inventory.nodes()
        plane.kubectl("create", "clusterrole", namespace, "--verb=list", "--resource=nodes")
        account = f"--serviceaccount={namespace}:prober"
        plane.kubectl("create", "clusterrolebinding", namespace, f"--clusterrole={namespace}", account)
        async with asyncio.timeout(10):
            while True:
                try:
                    await inventory.nodes()
                except Forbidden as error:
                    if error.verb == "watch":
                        break
                await asyncio.sleep(0.05)
        patch(
            plane,
            f"/apis/rbac.authorization.k8s.io/v1/clusterroles/{namespace}",
            {"rules": [{"apiGroups": [""], "resources": ["nodes"], "verbs": ["list", "watch"]}]},
        )
        async with asyncio.timeout(15):
            while True:
                try:
                    await inventory.nodes()
                    break
                except Forbidden:
                    await asyncio.sleep(0.05)


async def test_an_api_server_that_restarts(plane: ControlPlane, monkeypatch: pytest.MonkeyPatch) -> None:
    name = add_node(plane, "survivor", pool="before")
    async with watched(plane) as (inventory, _):
        nodes = await inventory.nodes()
        plane.apiserver.stop()
        await until(lambda: inventory._nodes._error is not None)
        assert await inventory.nodes() is nodes  # what was seen a moment ago still counts
        monkeypatch.setattr(watching, "STALE_AFTER", 0.0)
        with pytest.raises(CannotEvaluate, match="is unreachable") as caught:
            await inventory.nodes()
        assert caught.value.reason.name == "KubernetesApiUnreachable"
        # A version that the restarted server has forgotten: it answers 410, and all is listed anew.
        inventory._nodes._version = "1"
        plane.apiserver.start()
        patch(plane, f"/api/v1/nodes/{name}", {"metadata": {"labels": {"pool": "after"}}})
        async with asyncio.timeout(20):
            while True:
                try:
                    now = await inventory.nodes()
                except CannotEvaluate:
                    now = nodes
                if now is not nodes and pools(now).get("after") == 1:
                    break
                await asyncio.sleep(0.05)
    plane.api("DELETE", f"/api/v1/nodes/{name}")


async def test_a_stopped_watch_leaves_nothing_running(plane: ControlPlane) -> None:
    before = asyncio.all_tasks()
    async with watched(plane) as (inventory, _):
        inventory.start()
        await inventory.pods()
        assert len(asyncio.all_tasks() - before) == 2
    assert asyncio.all_tasks() <= before
