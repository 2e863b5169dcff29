"""Which collections of objects probe runs read, and watches that tell when something in them changes.

The watches keep a digest of each object and say no more than where one changed. What changes at every heartbeat (times,
measured metrics, counts in messages) asks for no check; what was read of the object is forgotten with any change.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol

from mehc_checks.clients.kubernetes.api import KubernetesCluster
from mehc_checks.clients.kubernetes.paths import everywhere, parts, within
from mehc_checks.clients.kubernetes.watch import Watch

log = logging.getLogger(__name__)

MOST: Final = 128
"""Watches at once: each holds a connection. What is beyond is noticed when an interval is over."""
MOST_NAMESPACES: Final = 4
"""Of one kind that are watched each by its own; beyond, the kind is watched in the whole cluster at once, from then on:
who has been read once is not followed again."""
_VOLATILE: Final = frozenset(
    {
        *("containerID", "currentMetrics", "finishedAt", "imageID", "lastActiveTime", "lastHeartbeatTime"),
        *(
            "lastProbeTime",
            "lastScaleTime",
            "lastTransitionTime",
            "lastUpdateTime",
            "message",
            "observedGeneration",
        ),
        *("numberOfFailures", "podIP", "podIPs", "resourceVersion", "startTime", "startedAt"),
    }
)
"""Keys, of a status above all, that say when, or how much, and not what."""
_OF_METADATA: Final = ("generation", "labels", "deletionTimestamp", "ownerReferences")
_EVENTS: Final = ("", "events")
_WARNINGS: Final = "type=Warning"
"""Events of other types are many, and none asks for a check."""
_OF_EVENT: Final = ("type", "reason", "message", "involvedObject")


class Forget(Protocol):
    """What was read of an object, a namespace or a kind may be so no longer (``Memory.forget``)."""

    def __call__(
        self, kind: tuple[str, str], namespace: str | None = None, name: str | None = None
    ) -> None: ...


@dataclass(frozen=True, slots=True)
class Read:
    """A collection that was read, whole or an object of it: its API path, and labels that choose, where it is not of
    one namespace.
    """

    path: str
    labels: str = ""

    @classmethod
    def of(cls, path: str, query: Mapping[str, str]) -> "Read | None":
        """What a GET of ``path`` reads; None for what is in no collection, as discovery."""
        _, namespace, resource, name = parts(path)
        if not resource:
            return None
        if name is not None:
            head, _, tail = path.rpartition(f"/{resource}/")
            return None if "/" in tail else cls(f"{head}/{resource}")
        return cls(path, "" if namespace else query.get("labelSelector", ""))

    @property
    def kind(self) -> tuple[str, str]:
        """Group ("" for core) and resource."""
        group, _, resource, _ = parts(self.path)
        return group, resource

    @property
    def namespace(self) -> str | None:
        return parts(self.path)[1]


class Following:
    """Watches for the life of the operator, of the ``kinds`` that checks want to be told of.

    ``changed`` is called, in the event loop, with what was read and has changed, ``forget`` with each object of which
    there was an event. ``clusterwide``: whether the operator is allowed to watch the whole cluster.
    """

    def __init__(
        self,
        cluster: KubernetesCluster,
        kinds: Collection[tuple[str, str]],
        changed: Callable[[Read], None],
        *,
        forget: Forget = lambda kind, namespace=None, name=None: None,
        clusterwide: bool = True,
    ) -> None:
        self._cluster = cluster
        self._kinds = kinds
        self._changed = changed
        self._forget = forget
        self._clusterwide = clusterwide
        self._watches: dict[Read, _Followed] = {}
        self._namespaces: dict[tuple[str, str], set[str]] = defaultdict(set)
        self._full = False

    async def follow(self, read: Read, seconds: float) -> None:
        """Watch what is about to be read; waits so many ``seconds`` for the watch, so that no change falls between.

        A watch that has not begun by then tells of ``read`` once it has.
        """
        followed = self._of(read)
        if followed is None or followed.has_begun:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(max(seconds, 0)):
                await followed.watch.settled()
        if not followed.has_begun:  # nor has it where the kind is not served, or not allowed, yet
            followed.early.add(read)

    def covering(self, path: str, query: Mapping[str, str]) -> Watch["_Digests"] | None:
        """The watch that tells of every change of what a GET of ``path`` reads; None where there is none."""
        read = Read.of(path, query)
        if read is None or (
            read.kind == _EVENTS and _WARNINGS not in query.get("fieldSelector", "").split(",")
        ):
            return None
        followed = self._watches.get(self._wide(read))
        return followed.watch if followed else None

    async def retain(self, reads: Iterable[Read]) -> None:
        """End the watches that none of ``reads`` needs."""
        wanted = {self._wide(read) for read in reads if read.kind in self._kinds}
        gone = [self._watches.pop(read) for read in self._watches.keys() - wanted]
        self._full = False
        for followed in gone:
            await followed.watch.stop()

    async def stop(self) -> None:
        """End all watches."""
        await self.retain(())
        self._namespaces.clear()

    def _of(self, read: Read) -> "_Followed | None":
        if read.kind not in self._kinds:
            return None
        if read.namespace:
            self._namespaces[read.kind].add(read.namespace)
        wide = self._wide(read)
        if wide not in self._watches:
            if len(self._watches) >= MOST:
                if not self._full:
                    self._full = True
                    log.warning("%d watches: what else changes is noticed when an interval is over", MOST)
                return None
            self._watches[wide] = _Followed(self._cluster, wide, self._changed, self._forget)
        return self._watches[wide]

    def _wide(self, read: Read) -> Read:
        many = len(self._namespaces[read.kind]) > MOST_NAMESPACES
        return Read(everywhere(read.path)) if read.namespace and many and self._clusterwide else read


class _Followed:
    """One watch. What its first list has is not news; what a later one has may be."""

    def __init__(
        self, cluster: KubernetesCluster, read: Read, changed: Callable[[Read], None], forget: Forget
    ) -> None:
        self._read = read
        self._told = changed
        self._forget = forget
        self.has_begun = False
        self.early: set[Read] = set()
        """What was read before the watch had begun."""
        self._where: set[str] = set()
        query = {"labelSelector": read.labels} if read.labels else {}
        if read.kind == _EVENTS:
            query["fieldSelector"] = _WARNINGS
        self.watch = Watch(
            cluster=cluster,
            path=read.path,
            make=self._empty,
            query=query,
            changed=self._changed,
            optional=True,
        )

    def _empty(self) -> "_Digests":
        """For a list, before which anything may have happened."""
        self._forget(self._read.kind, self._read.namespace)
        return _Digests(self._where, self._changes)

    def _changes(self, namespace: str, name: str) -> None:
        """An event is about an object; what a list has is all forgotten already, and not kept while it is read."""
        if self.watch.is_listed:
            self._forget(self._read.kind, namespace, name)

    def _changed(self) -> None:
        where = set(self._where)
        self._where.clear()
        if not self.has_begun:
            self.has_begun = True
            for read in self.early:
                self._told(read)
            return
        if where:
            self._told(self._read)
        if self._read.namespace is None:
            for namespace in filter(None, where):
                self._told(replace(self._read, path=within(self._read.path, namespace)))


@dataclass(slots=True)
class _Digests:
    """``watching.Store`` that keeps a digest of each object, and notes the namespaces in which one changed."""

    changed: set[str]
    forget: Callable[[str, str], None]
    _digests: dict[tuple[str, str], int] = field(default_factory=dict)

    def put(self, manifest: Mapping[str, Any]) -> bool:
        metadata = manifest["metadata"]
        name, now = (metadata.get("namespace") or "", metadata["name"]), digest(manifest)
        self.forget(*name)
        if self._digests.get(name) == now:
            return False
        self._digests[name] = now
        self.changed.add(name[0])
        return True

    def remove(self, manifest: Mapping[str, Any]) -> None:
        metadata = manifest["metadata"]
        name = (metadata.get("namespace") or "", metadata["name"])
        self.forget(*name)
        self._digests.pop(name, None)
        self.changed.add(name[0])


def digest(manifest: Mapping[str, Any]) -> int:
    """A number that is the same for an object that did not change in what checks judge. Of one process."""
    metadata = manifest["metadata"]
    kept = [metadata.get(key) for key in _OF_METADATA]
    if "involvedObject" in manifest:
        kept += [manifest.get(key) for key in _OF_EVENT]
    else:
        kept += [value for key, value in sorted(manifest.items()) if key != "metadata"]
    return hash(_frozen(kept))


def _frozen(value: Any) -> Any:
    if isinstance(value, Mapping):
        return tuple((key, _frozen(item)) for key, item in sorted(value.items()) if key not in _VOLATILE)
    if isinstance(value, list):
        return tuple(_frozen(item) for item in value)
    return value
