"""The resources as the watch shows them, for the status page: the leader's process and a standby's know the same.

A status is kept packed, and of the spec no more than the age of a verdict needs: no values, so no secret.
"""

import asyncio
import hashlib
import json
import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from mehc_checks.core.bounds import oversized
from mehc_checks.core.errors import UsageError
from mehc_operator.stored import Resource

_ROW: Final = (
    "health",
    "passing",
    "cause",
    "rootCauses",
    "stuckEndpoints",
    "lastProbeTime",
    "observedGeneration",
)
"""Of a status, what a row of the fleet is made of."""
_SPEC: Final = ("interval", "suspend")
_METADATA: Final = ("namespace", "name", "resourceVersion", "generation", "creationTimestamp")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Kept:
    row: Resource
    packed: bytes
    mark: int
    """What tells this version of it from every other."""


class Board:
    """Feed it with ``observe`` and ``forget``. ``revision`` is the same wherever the same was observed."""

    def __init__(self) -> None:
        self._kept: dict[str, _Kept] = {}
        self._mark = 0
        self._change = asyncio.Event()

    @property
    def revision(self) -> str:
        """Names all that is shown, whatever the order in which it came."""
        return f"{self._mark:016x}"

    def observe(self, manifest: Mapping[str, Any]) -> None:
        """Take note of a ModelEngineHealthCheck that was listed, created or changed."""
        metadata = manifest["metadata"]
        kept = {
            "metadata": {name: metadata[name] for name in _METADATA if name in metadata},
            "spec": _of(manifest.get("spec"), _SPEC),
        }
        status = manifest.get("status") or {}
        if oversized(status):
            status = {}
        try:
            row = Resource.of({**kept, "status": _of(status, _ROW)})
        except UsageError:  # a status that another version wrote: there is none that could be shown
            status = {}
            row = Resource.of({**kept, "status": status})
        packed = zlib.compress(json.dumps({**kept, "status": status}).encode(), level=1)
        named = f"{metadata['uid']} {metadata.get('resourceVersion')}"
        mark = int.from_bytes(hashlib.sha256(named.encode()).digest()[:8])
        self._replace(metadata["uid"], _Kept(row=row, packed=packed, mark=mark))

    def forget(self, uid: str) -> None:
        """A resource was deleted."""
        self._replace(uid, None)

    def rows(self) -> list[Resource]:
        """Each resource, without its checks, endpoints and history."""
        return [kept.row for kept in self._kept.values()]

    def has(self, namespace: str, name: str) -> bool:
        """Whether there is such a resource."""
        return any((kept.row.namespace, kept.row.name) == (namespace, name) for kept in self._kept.values())

    def one(self, namespace: str, name: str) -> Resource | None:
        """The resource, whole. Without a status where another version wrote one that cannot be read."""
        for kept in list(self._kept.values()):  # a thread asks, too
            if (kept.row.namespace, kept.row.name) == (namespace, name):
                try:
                    return Resource.of(json.loads(zlib.decompress(kept.packed)))
                except UsageError:
                    return kept.row
        return None

    async def changed(self, since: str, *, seconds: float) -> None:
        """Return when ``revision`` is not ``since``, or when the time is over."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self.revision == since:
                    await self._change.wait()

    def _replace(self, uid: str, new: _Kept | None) -> None:
        old = self._kept.pop(uid, None)
        if new is not None:
            self._kept[uid] = new
        self._mark ^= (old.mark if old else 0) ^ (new.mark if new else 0)
        self._change.set()
        self._change = asyncio.Event()


def _of(tree: Any, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: tree[name] for name in names if name in tree} if isinstance(tree, Mapping) else {}
