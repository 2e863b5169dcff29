"""Which Secrets and ConfigMaps there are and when they change: names and labels, never contents."""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Protocol

from mehc_checks.clients.kubernetes.api import Cluster, KubernetesCluster
from mehc_checks.clients.kubernetes.paths import object_path
from mehc_checks.clients.kubernetes.texts import Secret
from mehc_checks.clients.kubernetes.watch import Watch, listed
from mehc_checks.core.errors import Forbidden
from mehc_checks.installation.following import Forget, Read
from mehc_checks.installation.helm import SECRET_PREFIX, SECRET_TYPE, Release, Stored, read, slim, stored

_KINDS: Final = {"secrets": "Secret", "configmaps": "ConfigMap"}
_OBJECT: Final = re.compile(r"/api/v1/namespaces/([^/]+)/(secrets|configmaps)/([^/]+)")
_DECODER: Final = ThreadPoolExecutor(max_workers=1, thread_name_prefix="helm")
"""One release at a time: one that is large takes a hundred times its size of memory while it is decoded."""
_HELM: Final = {"fieldSelector": f"type={SECRET_TYPE}", "labelSelector": "owner=helm"}


@dataclass(frozen=True, slots=True)
class ObjectName:
    """``kind`` is "Secret" or "ConfigMap"."""

    kind: str
    namespace: str
    name: str

    @property
    def is_release(self) -> bool:
        """Whether Helm keeps a revision of a release in it."""
        return self.kind == "Secret" and self.name.startswith(SECRET_PREFIX)


Follow = Callable[[Read, float], Awaitable[None]]
"""Told what is about to be read, and for how many seconds the read may wait."""
_WAITING: Final = 1.0
"""Seconds that the reads of one probe run wait, all in all, for watches of what they read."""


class Releases(Protocol):
    """Who knows which revisions of Helm releases there are."""

    async def revisions(self, namespace: str) -> list[Stored]:
        """All of one namespace. Raises Forbidden, CannotEvaluate, and NotApplicable without a cluster."""


class ListedReleases:
    """Lists when asked. For one pass, as the command makes it."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    async def revisions(self, namespace: str) -> list[Stored]:
        store = _Names("Secret")
        path = object_path("secrets", namespace)
        await listed(self._cluster, path, store, query=_HELM, metadata_only=True)
        return store.releases(namespace)


async def condensed(path: str, text: bytes) -> bytes:
    """``text`` of a release's Secret without what nothing reads of it, off the event loop; any other as it is."""
    if not path.rpartition("/")[2].startswith(SECRET_PREFIX):
        return text
    return await asyncio.get_running_loop().run_in_executor(_DECODER, slim, text)


async def read_release(cluster: Cluster, namespace: str, revision: Stored) -> Release | None:
    """A stored revision, off the event loop; None where it is gone, or is not one of model engine.

    Raises Unreadable, Forbidden, CannotEvaluate, and NotApplicable without a cluster.
    """
    secret = await cluster.secret(namespace, revision.secret)
    if secret is None:  # gone since it was listed: a newer revision took its place
        return None
    payload = secret.data.get("release", "").encode()
    return await asyncio.get_running_loop().run_in_executor(_DECODER, read, payload, revision.secret)


class WatchedObjects:
    """Watches for the life of the operator, for all resources: ``namespaces``, or all where there are none.

    ``changed`` is called with each object that is new, has changed or is gone; after an interruption, with all.
    ``forget`` is told, too.
    """

    def __init__(
        self,
        cluster: KubernetesCluster,
        namespaces: Iterable[str] = (),
        changed: Callable[[ObjectName], None] = lambda _: None,
        forget: Forget = lambda kind, namespace=None, name=None: None,
    ) -> None:
        self._cluster = cluster
        self._forget = forget
        self._secrets: dict[str, Watch[_Names]] = {}
        self._config_maps: dict[str, Watch[_Names]] = {}
        for namespace in tuple(namespaces) or ("",):
            self._secrets[namespace] = self._watch(namespace, "secrets", changed)
            self._config_maps[namespace] = self._watch(namespace, "configmaps", changed)

    def _watch(self, namespace: str, resource: str, changed: Callable[[ObjectName], None]) -> "Watch[_Names]":
        return Watch(
            cluster=self._cluster,
            path=object_path(resource, namespace) if namespace else f"/api/v1/{resource}",
            make=lambda: self._empty(namespace, resource, changed),
            metadata_only=True,
        )

    def _empty(self, namespace: str, resource: str, changed: Callable[[ObjectName], None]) -> "_Names":
        """For a list, before which anything may have happened."""
        self._forget(("", resource), namespace or None)

        watches = self._secrets if resource == "secrets" else self._config_maps

        def tell(name: ObjectName) -> None:
            if watches[namespace].is_listed:  # what a list has is all forgotten already
                self._forget(("", resource), name.namespace, name.name)
            changed(name)

        return _Names(_KINDS[resource], tell)

    def covering(self, path: str) -> Watch["_Names"] | None:
        """The watch that tells of every change of the Secret or ConfigMap at ``path``; None where there is none."""
        if (match := _OBJECT.fullmatch(path)) is None:
            return None
        namespace, resource, _ = match.groups()
        watches = self._secrets if resource == "secrets" else self._config_maps
        return watches.get(namespace) or watches.get("")

    async def settled(self) -> None:
        """Begin all watches, and wait until what there is has been seen: all of it is reported as changed till then."""
        for watch in (*self._secrets.values(), *self._config_maps.values()):
            watch.start()
        for watch in (*self._secrets.values(), *self._config_maps.values()):
            await watch.settled()

    async def stop(self) -> None:
        """End all watches."""
        for watch in (*self._secrets.values(), *self._config_maps.values()):
            await watch.stop()

    async def revisions(self, namespace: str) -> list[Stored]:
        watch = self._secrets.get(namespace) or self._secrets.get("")
        if watch is not None:
            try:
                return (await watch.snapshot()).releases(namespace)
            except Forbidden:
                pass  # a Role of that namespace may allow what no ClusterRole does
        return await ListedReleases(self._cluster).revisions(namespace)


@dataclass(slots=True)
class _Names:
    """``watching.Store`` that keeps Helm's revisions, by namespace and Secret, and of other objects nothing."""

    kind: str
    changed: Callable[[ObjectName], None] = lambda _: None
    _releases: dict[str, dict[str, Stored]] = field(default_factory=dict)

    def put(self, manifest: Mapping[str, Any]) -> bool:
        name = self._name(manifest)
        if name.is_release and (revision := stored(manifest["metadata"])):
            self._releases.setdefault(name.namespace, {})[name.name] = revision
        self.changed(name)
        return True

    def remove(self, manifest: Mapping[str, Any]) -> None:
        name = self._name(manifest)
        self._releases.get(name.namespace, {}).pop(name.name, None)
        self.changed(name)

    def releases(self, namespace: str) -> list[Stored]:
        return list(self._releases.get(namespace, {}).values())

    def _name(self, manifest: Mapping[str, Any]) -> ObjectName:
        metadata = manifest["metadata"]
        return ObjectName(self.kind, metadata["namespace"], metadata["name"])


class Recording:
    """A Cluster that remembers what was asked for: a change of it matters to who asked.

    ``asked``, the caller's, has the Secrets and ConfigMaps, ``read`` the collections of all else; ``follow`` is awaited
    before one of them is read for the first time.
    """

    def __init__(
        self, cluster: Cluster, asked: set[ObjectName], read: set[Read], follow: Follow | None = None
    ) -> None:
        self._cluster = cluster
        self._follow = follow
        self._until = time.monotonic() + _WAITING
        self._asked = asked
        self._read = read

    @property
    def surrounds_us(self) -> bool:
        return self._cluster.surrounds_us

    async def secret(self, namespace: str, name: str) -> Secret | None:
        self._asked.add(ObjectName("Secret", namespace, name))
        return await self._cluster.secret(namespace, name)

    async def config_map(self, namespace: str, name: str) -> Mapping[str, str] | None:
        self._asked.add(ObjectName("ConfigMap", namespace, name))
        return await self._cluster.config_map(namespace, name)

    async def get(self, path: str, **query: str) -> Mapping[str, Any] | None:
        if match := _OBJECT.fullmatch(path):
            namespace, resource, name = match.groups()
            self._asked.add(ObjectName(_KINDS[resource], namespace, name))
        await self._note(path, query)
        return await self._cluster.get(path, **query)

    async def get_metadata(self, path: str) -> Mapping[str, Any] | None:
        await self._note(path)
        return await self._cluster.get_metadata(path)

    async def list_metadata(self, path: str, **query: str) -> Mapping[str, Any] | None:
        await self._note(path, query)
        return await self._cluster.list_metadata(path, **query)

    async def _note(self, path: str, query: Mapping[str, str] = MappingProxyType({})) -> None:
        read = Read.of(path, query)
        if read is None or read in self._read or self._follow is None:
            return
        self._read.add(read)
        await self._follow(read, self._until - time.monotonic())

    async def create(self, path: str, manifest: Mapping[str, Any]) -> Mapping[str, Any] | str:
        return await self._cluster.create(path, manifest)

    async def delete(self, path: str, *, uid: str) -> None:
        await self._cluster.delete(path, uid=uid)
