"""The one reader of Kubernetes objects: each is read once per probe run, and every list whole, or said to be cut."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Generic, TypeVar, cast

from mehc_checks.clients.kubernetes.api import AnswerTooLarge, Cluster
from mehc_checks.clients.kubernetes.paths import collection
from mehc_checks.clients.kubernetes.reasons import KubernetesReasons as K
from mehc_checks.core.errors import CannotEvaluate
from mehc_checks.core.once import Once

T = TypeVar("T")
D = TypeVar("D")

Manifest = Mapping[str, Any]
"""An object as the API has it."""

PAGE: Final = 500
"""Objects per request of a list: what bounds our memory while it is read, and the API server's work."""
_SMALLER: Final = 8
"""By what a page is divided that is too large: objects have 1.5 MB at most, and most have some KB."""
MOST: Final = 10_000
"""Objects of one list that a probe run reads."""


async def pages(
    cluster: Cluster,
    path: str,
    *,
    query: Mapping[str, str] = MappingProxyType({}),
    metadata_only: bool = False,
    size: int | None = None,
) -> AsyncIterator[Manifest]:
    """The pages, of ``size`` objects (PAGE), of the list at ``path``; none where the API does not serve the resource.

    With ``metadata_only`` the API server sends of each object no more than its metadata. Pages of large objects have
    fewer of them. Raises what
    ``Cluster.get`` raises.
    """
    read = cluster.list_metadata if metadata_only else cluster.get
    more = ""
    limit = size or PAGE
    while True:
        try:
            found = await read(path, limit=str(limit), **query, **({"continue": more} if more else {}))
        except AnswerTooLarge:
            if limit == 1:
                raise
            limit = max(1, limit // _SMALLER)
            continue
        if found is None:
            return
        yield found
        more = found["metadata"].get("continue") or ""
        if not more:
            return


def items(page: Manifest) -> list[Manifest]:
    """The objects of a page: null where there are none and only metadata was asked for."""
    return page.get("items") or []


@dataclass(frozen=True, kw_only=True, slots=True)
class Listing(Generic[T]):
    """The objects of a list. ``served`` is false where the API does not serve the resource.

    ``cut`` says how many were read and of what, where there are more than a probe run reads (IncompleteData).
    """

    items: tuple[T, ...]
    served: bool = True
    cut: CannotEvaluate | None = None


class Reader:
    """What one probe run reads of a cluster, shared by everybody in it.

    Every method raises what ``Cluster.get`` raises: Forbidden, CannotEvaluate, NotApplicable without a cluster.
    What must be asked again while the run lasts is asked of the Cluster. ``page`` and ``most`` are PAGE and MOST.
    """

    def __init__(self, cluster: Cluster, *, page: int | None = None, most: int | None = None) -> None:
        self._cluster = cluster
        self._most = most or MOST
        self._page = min(page or PAGE, self._most)
        self._once = Once()

    async def get(self, path: str) -> Manifest | None:
        """The object at ``path``, or None where it does not exist."""
        found = await self._once.ask(("get", path), lambda: self._cluster.get(path))
        return cast("Manifest | None", found)

    async def exists(self, path: str) -> bool:
        """Whether there is an object at ``path``: the API server sends its metadata only."""
        found = await self._once.ask(("exists", path), lambda: self._cluster.get_metadata(path))
        return found is not None

    async def all(self, path: str, *, labels: str = "", fields: str = "") -> Listing[Manifest]:
        """The objects in the collection at ``path`` that both selectors choose."""
        return await self.each(path, _whole, labels=labels, fields=fields)

    async def each(
        self, path: str, keep: Callable[[Manifest], T | None], *, labels: str = "", fields: str = ""
    ) -> Listing[T]:
        """What ``keep`` makes of each object of ``all``, for lists too long to be held whole; no None is kept.

        The read is shared by those who give the same function.
        """
        selectors = {"labelSelector": labels, "fieldSelector": fields}
        query = {name: selector for name, selector in selectors.items() if selector}
        key = ("list", path, labels, fields, keep)
        return cast("Listing[T]", await self._once.ask(key, lambda: self._list(path, query, keep)))

    async def close(self) -> None:
        """Cancel what still runs, and forget what was read."""
        await self._once.close()

    async def _list(
        self, path: str, query: Mapping[str, str], keep: Callable[[Manifest], T | None]
    ) -> Listing[T]:
        kept: list[T] = []
        read, served, cut = 0, False, None
        async for page in pages(self._cluster, path, query=query, size=self._page):
            served = True
            kept += [one for manifest in items(page) if (one := keep(manifest)) is not None]
            read += len(items(page))
            if read >= self._most and page["metadata"].get("continue"):
                cut = self._cut(path, read, page["metadata"].get("remainingItemCount"))
                break
        return Listing(items=tuple(kept), served=served, cut=cut)

    def _cut(self, path: str, read: int, rest: int | None) -> CannotEvaluate:
        """``rest`` is how many more there are, which the API does not tell where a selector chooses."""
        counted = f"{read} of {read + rest}" if rest else f"the first {read}"
        return CannotEvaluate(
            K.INCOMPLETE_DATA,
            detail=f"only {counted} {collection(path)} were read",
            fix=f"Delete objects that are no longer used: a probe run reads {self._most} of one kind, the rest is "
            "not judged.",
        )


def _whole(manifest: Manifest) -> Manifest:
    return manifest


class Reading:
    """What one gatherer reads of a ``Reader``; ``unseen`` has what it could not read, or not all of, for its facts."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._unseen: dict[str, CannotEvaluate] = {}

    @property
    def unseen(self) -> tuple[CannotEvaluate, ...]:
        """What is missing from the facts, each once; ``incomplete`` makes findings of it."""
        return tuple(problem for _, problem in sorted(self._unseen.items()))  # not as reads happened to end

    def note(self, problem: CannotEvaluate) -> None:
        """``problem`` is why something is missing."""
        self._unseen.setdefault(str(problem), problem)

    async def get(self, path: str) -> Manifest | None:
        """As ``Reader.get``."""
        return await self._reader.get(path)

    async def exists(self, path: str) -> bool:
        """As ``Reader.exists``."""
        return await self._reader.exists(path)

    async def all(self, path: str, *, labels: str = "", fields: str = "") -> tuple[Manifest, ...]:
        """The objects of ``Reader.all``; none where they are not served. That the list was cut is noted."""
        return await self.each(path, _whole, labels=labels, fields=fields)

    async def each(
        self, path: str, keep: Callable[[Manifest], T | None], *, labels: str = "", fields: str = ""
    ) -> tuple[T, ...]:
        """As ``all``, of ``Reader.each``."""
        listing = await self._reader.each(path, keep, labels=labels, fields=fields)
        if listing.cut:
            self.note(listing.cut)
        return listing.items

    async def attempt(self, asked: Awaitable[T], otherwise: D) -> T | D:
        """The answer, or ``otherwise`` where it cannot be had, which is noted."""
        try:
            return await asked
        except CannotEvaluate as problem:
            self.note(problem)
            return otherwise
