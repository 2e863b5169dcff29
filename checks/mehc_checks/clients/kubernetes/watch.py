"""A list of objects, kept up to date by a watch: listed once, then told of every change."""

import asyncio
import contextlib
import json
import logging
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, Final, Generic, Protocol, TypeVar

import aiohttp

from mehc_checks.clients.kubernetes.api import Cluster, KubernetesCluster
from mehc_checks.clients.kubernetes.paths import forbidden
from mehc_checks.clients.kubernetes.reader import items, pages
from mehc_checks.clients.kubernetes.reasons import KubernetesReasons as K
from mehc_checks.core.errors import CannotEvaluate

log = logging.getLogger(__name__)

STALE_AFTER: Final = 60.0
"""Seconds for which what was seen last still counts while the API cannot be asked."""
_SILENCE: Final = 90.0
"""Seconds without a byte after which a watch is dead; the API server sends a bookmark every minute."""
_LIFETIME: Final = 300
"""Seconds after which the API server ends a watch; one that ends is begun again where it stood."""
_BACKOFF: Final = (0.2, 1.0, 3.0, 10.0, 30.0)
_REPLAYED: Final = 2.0
"""Seconds after which a watch that was begun again has told what happened meanwhile: the API server sends it first."""


class Store(Protocol):
    """Keeps what is needed of the objects. A list fills a new store; its changes then go to the same one."""

    def put(self, manifest: Mapping[str, Any]) -> bool:
        """Keep an object that is new or has changed; whether that changed anything that is kept."""

    def remove(self, manifest: Mapping[str, Any]) -> None:
        """Forget an object that was deleted."""


S = TypeVar("S", bound=Store)


async def listed(
    cluster: Cluster,
    path: str,
    store: Store,
    *,
    query: Mapping[str, str] = MappingProxyType({}),
    metadata_only: bool = False,
) -> str:
    """Read the list at ``path`` into ``store``, page by page; its resource version.

    Raises what ``Cluster.get`` raises, and CannotEvaluate where the API does not serve the resource.
    """
    version = ""
    async for page in pages(cluster, path, query=query, metadata_only=metadata_only):
        for manifest in items(page):
            store.put(manifest)
        version = str(page["metadata"]["resourceVersion"])
    if not version:
        raise CannotEvaluate(K.ERROR, detail=f"404 to {path}")
    return version


class _Expired(Exception):  # noqa: N818 - no error: the API server forgets old versions
    """The resource version is too old to watch from."""


@dataclass(slots=True)
class Watch(Generic[S]):
    """A list that follows the cluster: ``start`` it, ask it by ``snapshot``, ``stop`` it.

    ``changed`` is called, in the event loop, after something that the store keeps has changed. ``optional``: nothing
    fails while it cannot watch, so that is no line of the log.
    """

    cluster: KubernetesCluster
    path: str
    make: Callable[[], S]
    query: Mapping[str, str] = field(default_factory=dict)
    metadata_only: bool = False
    changed: Callable[[], None] = lambda: None
    optional: bool = False
    _store: S | None = None
    _version: str = ""
    _error: CannotEvaluate | None = None
    _since: float = 0.0
    _opened: float | None = None
    _heard: float = 0.0
    _task: asyncio.Task[None] | None = None
    _settled: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def is_listed(self) -> bool:
        """Whether every change from now on will be told, be it late."""
        return bool(self._version)

    @property
    def is_current(self) -> bool:
        """Whether changes are told as they happen: what was not told has not happened."""
        now = time.monotonic()
        return self._opened is not None and now - self._opened > _REPLAYED and now - self._heard < _SILENCE

    def start(self) -> None:
        """Begin to watch; does nothing when that has begun."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._follow(), name=f"watch {self.path}")

    async def stop(self) -> None:
        """End the watch and forget what it saw."""
        task, self._task, self._store, self._version = self._task, None, None, ""
        self._settled.clear()
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def settled(self) -> None:
        """Wait until the first list is there, or has failed; starts the watch if need be."""
        self.start()
        await self._settled.wait()

    async def snapshot(self) -> S:
        """What the cluster has now, as soon as it is known; starts the watch if need be.

        The store is live: read it before the next ``await``. Raises Forbidden, and CannotEvaluate when the API
        cannot be asked and what was seen is older than ``STALE_AFTER``.
        """
        await self.settled()
        error = self._error
        if error is not None and (
            self._store is None or error.reason is K.FORBIDDEN or time.monotonic() - self._since > STALE_AFTER
        ):
            raise error.with_traceback(None)
        if self._store is None:
            raise CannotEvaluate(K.UNREACHABLE, detail="the watch was stopped")
        return self._store

    async def _follow(self) -> None:
        attempt = 0
        error: CannotEvaluate | None
        while True:
            began = time.monotonic()
            try:
                await self._once()
                error = None
                if time.monotonic() - began > _BACKOFF[-1]:  # the usual end of a watch
                    attempt = 0
                    continue
            except _Expired:
                self._version = ""
                error = None
            except CannotEvaluate as refused:
                error = refused
            except (aiohttp.ClientError, OSError, TimeoutError) as broken:
                error = CannotEvaluate(K.UNREACHABLE, detail=type(broken).__name__)
            except Exception as garbled:  # whatever it is, the watch goes on, from a new list
                self._version = ""
                error = CannotEvaluate(
                    K.ERROR, detail=f"an unreadable answer to {self.path} ({type(garbled).__name__})"
                )
            if error is not None:
                self._failed(error)
            # Scattered, so that many watches do not come back at once.
            await asyncio.sleep(_BACKOFF[min(attempt, len(_BACKOFF) - 1)] * random.uniform(0.8, 1.2))  # noqa: S311
            attempt += 1

    async def _once(self) -> None:
        """List unless that is done, then watch until the API server ends it."""
        if not self._version or self._store is None:
            store = self.make()
            self._version = await listed(
                self.cluster, self.path, store, query=self.query, metadata_only=self.metadata_only
            )
            self._store = store
            self._well()
            self.changed()
        query = {
            **self.query,
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": self._version,
            "timeoutSeconds": str(_LIFETIME),
        }
        stream = self.cluster.stream(
            self.path, query=query, silence=_SILENCE, metadata_only=self.metadata_only
        )
        async with stream as (status, lines):
            if status == HTTPStatus.FORBIDDEN:
                raise forbidden(self.path, "watch")
            if status == HTTPStatus.GONE:
                raise _Expired
            if status != HTTPStatus.OK:
                raise CannotEvaluate(K.ERROR, detail=f"{status} to the watch of {self.path}")
            self._well()
            self._opened = self._heard = time.monotonic()
            try:
                async for line in lines:
                    self._heard = time.monotonic()
                    if line:
                        self._apply(json.loads(line))
            finally:
                self._opened = None

    def _apply(self, event: Mapping[str, Any]) -> None:
        kind, manifest = event["type"], event["object"]
        if kind == "ERROR":
            if manifest.get("code") == HTTPStatus.GONE:
                raise _Expired
            raise CannotEvaluate(K.ERROR, detail=f"an error to the watch of {self.path}")
        self._version = manifest["metadata"]["resourceVersion"]
        if self._store is None or kind == "BOOKMARK":
            return
        if kind == "DELETED":
            self._store.remove(manifest)
            self.changed()
        elif self._store.put(manifest):
            self.changed()

    def _well(self) -> None:
        if self._error is not None:
            log.log(logging.DEBUG if self.optional else logging.INFO, "watch of %s works again", self.path)
        self._error = None
        self._settled.set()

    def _failed(self, error: CannotEvaluate) -> None:
        if self._error is None:
            self._since = time.monotonic()
            level = logging.DEBUG if self.optional else logging.WARNING
            log.log(level, "watch of %s: %s", self.path, error)
        self._error = error
        self._settled.set()
