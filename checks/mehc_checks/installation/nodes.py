"""The nodes and pods of the cluster, slim, as all installations share them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from sys import intern
from typing import Any

from mehc_checks.clients.kubernetes.scheduling.model import (
    EMPTY,
    Amounts,
    Interner,
    Node,
    Usage,
    read_node,
    requests,
)
from mehc_checks.modelengine.accelerators import ACCELERATOR_LABEL
from mehc_checks.modelengine.gpu import BALLOON_PREFIX


@dataclass(frozen=True, slots=True)
class PodSummary:
    """A pod that has not ended, slim. ``node`` is "" while it is not scheduled.

    ``unscheduled`` is the scheduler's message, ``waiting`` the reason for which a container waits.
    """

    namespace: str
    name: str
    node: str
    requests: Amounts
    daemon: bool
    """Owned by a DaemonSet: it stays on its node whatever else comes and goes."""
    ready: bool
    priority_class: str
    accelerator: str
    """What its nodeSelector asks of the accelerator label, or ""."""
    unscheduled: str = ""
    waiting: str = ""

    @property
    def is_balloon(self) -> bool:
        """Whether it gives way to endpoints."""
        return self.name.startswith(BALLOON_PREFIX)


@dataclass(frozen=True, slots=True, eq=False)
class Pool:
    """Nodes that are alike in all that matters to whoever asked. ``node`` stands for them."""

    node: Node
    members: tuple[Node, ...]

    def __len__(self) -> int:
        return len(self.members)


@dataclass(slots=True)
class Nodes:
    """All nodes by uid (``watching.Store``)."""

    _by_uid: dict[str, Node] = field(default_factory=dict)
    _interner: Interner = field(default_factory=Interner)
    _pools: dict[frozenset[str], tuple[Pool, ...]] = field(default_factory=dict)

    def put(self, manifest: Mapping[str, Any]) -> bool:
        uid, node = manifest["metadata"]["uid"], read_node(manifest, self._interner)
        if self._by_uid.get(uid) == node:  # a heartbeat
            return False
        self._by_uid[uid] = node
        self._pools.clear()
        return True

    def remove(self, manifest: Mapping[str, Any]) -> None:
        if self._by_uid.pop(manifest["metadata"]["uid"], None) is not None:
            self._pools.clear()

    def __len__(self) -> int:
        return len(self._by_uid)

    def pools(self, keys: frozenset[str]) -> tuple[Pool, ...]:
        """The nodes, grouped by all but their names, their age and the labels other than ``keys``.

        Worked out once after each change of a node, however many ask: installations of one chart ask alike.
        """
        if keys not in self._pools:
            groups: dict[Any, list[Node]] = {}
            ordered = tuple(sorted(keys))
            for node in self._by_uid.values():
                # Taints and amounts are shared where they are equal, so their identity groups them.
                same = (
                    tuple(node.label(key) for key in ordered),
                    id(node.taints),
                    id(node.allocatable),
                    id(node.devices),
                    node.unschedulable,
                    node.ready,
                )
                groups.setdefault(same, []).append(node)
            if len(self._pools) >= 64:
                self._pools.clear()
            self._pools[keys] = tuple(Pool(members[0], tuple(members)) for members in groups.values())
        return self._pools[keys]


@dataclass(slots=True)
class _Load:
    """What the pods of one node request, kept up to date: all of them, the daemons', and the balloons'."""

    total: dict[str, int] = field(default_factory=dict)
    daemons: dict[str, int] = field(default_factory=dict)
    balloons: dict[str, int] = field(default_factory=dict)
    pods: int = 0
    daemon_pods: int = 0
    balloon_pods: int = 0

    def count(self, pod: PodSummary, sign: int) -> None:
        self.pods += sign
        _count(self.total, pod.requests, sign)
        if pod.daemon:
            self.daemon_pods += sign
            _count(self.daemons, pod.requests, sign)
        elif pod.is_balloon:
            self.balloon_pods += sign
            _count(self.balloons, pod.requests, sign)


@dataclass(slots=True)
class Pods:
    """All pods that have not ended (``watching.Store``), by namespace, with each node's load."""

    _namespace_of: dict[str, str] = field(default_factory=dict)
    _by_namespace: dict[str, dict[str, PodSummary]] = field(default_factory=dict)
    _loads: dict[str, _Load] = field(default_factory=dict)
    _interner: Interner = field(default_factory=Interner)

    def put(self, manifest: Mapping[str, Any]) -> bool:
        uid, pod = manifest["metadata"]["uid"], read_summary(manifest, self._interner)
        before = self._by_namespace.get(pod.namespace, {}).get(uid)
        if before == pod:
            return False
        if before is not None:
            self._place(before, -1)
        self._namespace_of[uid] = pod.namespace
        self._by_namespace.setdefault(pod.namespace, {})[uid] = pod
        self._place(pod, 1)
        return True

    def remove(self, manifest: Mapping[str, Any]) -> None:
        uid = manifest["metadata"]["uid"]
        namespace = self._namespace_of.pop(uid, None)
        if namespace is None:
            return
        there = self._by_namespace[namespace]
        self._place(there.pop(uid), -1)
        if not there:
            del self._by_namespace[namespace]

    def __len__(self) -> int:
        return len(self._namespace_of)

    def within(self, namespace: str) -> Iterable[PodSummary]:
        """The pods of one namespace."""
        return tuple(self._by_namespace.get(namespace, {}).values())

    def usage(self, node: str, *, balloons: bool = True) -> Usage:
        """What the pods of ``node`` request, with or without the balloons."""
        load = self._loads.get(node)
        if load is None:
            return EMPTY
        if balloons or not load.balloon_pods:
            return Usage(load.total, load.pods)
        left = {name: count - load.balloons.get(name, 0) for name, count in load.total.items()}
        return Usage(left, load.pods - load.balloon_pods)

    def daemons(self, node: str) -> Usage:
        """What the DaemonSets' pods of ``node`` request: an empty node is never emptier."""
        load = self._loads.get(node)
        return EMPTY if load is None else Usage(load.daemons, load.daemon_pods)

    def _place(self, pod: PodSummary, sign: int) -> None:
        if not pod.node:
            return
        load = self._loads.setdefault(pod.node, _Load())
        load.count(pod, sign)
        if not load.pods:
            del self._loads[pod.node]


def read_summary(manifest: Mapping[str, Any], interner: Interner) -> PodSummary:
    """A Pod of the API."""
    metadata, spec, status = manifest["metadata"], manifest["spec"], manifest.get("status") or {}
    owners = metadata.get("ownerReferences") or ()
    conditions = {c["type"]: c for c in status.get("conditions") or ()}
    scheduled = conditions.get("PodScheduled") or {}
    return PodSummary(
        namespace=intern(metadata["namespace"]),
        name=metadata["name"],
        node=intern(spec.get("nodeName") or ""),
        requests=interner.map(requests(spec).items()),
        daemon=any(owner.get("kind") == "DaemonSet" and owner.get("controller") for owner in owners),
        ready=(conditions.get("Ready") or {}).get("status") == "True",
        priority_class=intern(spec.get("priorityClassName") or ""),
        accelerator=intern((spec.get("nodeSelector") or {}).get(ACCELERATOR_LABEL) or ""),
        unscheduled=intern(scheduled.get("message") or "") if scheduled.get("status") == "False" else "",
        waiting=_waiting(status),
    )


def _waiting(status: Mapping[str, Any]) -> str:
    for kind in ("initContainerStatuses", "containerStatuses"):
        for container in status.get(kind) or ():
            if reason := ((container.get("state") or {}).get("waiting") or {}).get("reason"):
                return intern(reason)
    return ""


def _count(into: dict[str, int], requested: Amounts, sign: int) -> None:
    for name, count in requested.items():
        left = into.get(name, 0) + sign * count
        if left:
            into[name] = left
        else:
            into.pop(name, None)
