"""Who knows the nodes and pods of the cluster: a command lists them once, the operator watches them for all."""

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

from mehc_checks.clients.kubernetes.api import Cluster, KubernetesCluster
from mehc_checks.clients.kubernetes.watch import Watch, listed
from mehc_checks.installation.nodes import Nodes, Pods

NODES: Final = "/api/v1/nodes"
PODS: Final = "/api/v1/pods"
ALIVE: Final = {"fieldSelector": "status.phase!=Succeeded,status.phase!=Failed"}
"""Pods that have ended hold nothing on their node."""


class Inventory(Protocol):
    """Who knows nodes and pods. Both raise Forbidden, CannotEvaluate, and NotApplicable without a cluster.

    What they return is live: read it before the next ``await``.
    """

    async def nodes(self) -> Nodes:
        """All nodes."""

    async def pods(self) -> Pods:
        """All pods of all namespaces that have not ended."""


class ListedInventory:
    """Lists when first asked, once. For one pass, as the command makes it."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._lock = asyncio.Lock()
        self._nodes: Nodes | None = None
        self._pods: Pods | None = None

    async def nodes(self) -> Nodes:
        async with self._lock:
            if self._nodes is None:
                nodes = Nodes()
                await listed(self._cluster, NODES, nodes)
                self._nodes = nodes
        return self._nodes

    async def pods(self) -> Pods:
        async with self._lock:
            if self._pods is None:
                pods = Pods()
                await listed(self._cluster, PODS, pods, query=ALIVE)
                self._pods = pods
        return self._pods


class WatchedInventory:
    """Watches for the life of the operator, for all resources. Each watch begins when it is first asked for.

    ``changed`` is called after a change of a node that may matter (heartbeats do not); pods call nobody.
    """

    def __init__(self, cluster: KubernetesCluster, changed: Callable[[], None] = lambda: None) -> None:
        self._nodes = Watch(cluster=cluster, path=NODES, make=Nodes, changed=changed)
        self._pods = Watch(cluster=cluster, path=PODS, make=Pods, query=ALIVE)

    def start(self) -> None:
        """Begin both watches now, rather than with the first question."""
        self._nodes.start()
        self._pods.start()

    async def stop(self) -> None:
        """End both watches."""
        await self._nodes.stop()
        await self._pods.stop()

    async def nodes(self) -> Nodes:
        return await self._nodes.snapshot()

    async def pods(self) -> Pods:
        return await self._pods.snapshot()
