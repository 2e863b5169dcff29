"""What was read of the Kubernetes API, kept until a watch tells of a change, so that it need not be read again.

Kept is the text of the answer, compressed: an object of some kilobytes takes some hundred bytes, and who reads it
gets one of his own. It ends with the first event of a watch about it, whatever that says.
"""

import asyncio
import re
import time
import zlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Protocol

from mehc_checks.clients.kubernetes.api import KubernetesCluster
from mehc_checks.clients.kubernetes.paths import parts
from mehc_checks.clients.kubernetes.texts import Texts, parsed
from mehc_checks.core.errors import CannotEvaluate

MOST: Final = 32 * 1024 * 1024
"""Bytes of all that is kept: of some 500 installations. What has not been read for longest goes first."""
LARGEST: Final = 512 * 1024
"""Bytes of one answer, before it is compressed to some tenth. Larger ones are read again."""
_OVERHEAD: Final = 700
"""Bytes that an answer takes beside its text."""
_RENEWED: Final = 3600.0
"""Seconds after which a probe run reads again what is kept, one at a time: who lost a permission is told so."""
_AT_ONCE: Final = 8
_CONTINUE: Final = re.compile(rb'"continue":"[^"]')
_BEGINNING = _END = 1024
"""Bytes of a list among which its own metadata are: at the end for the kinds of CRDs."""
DISCOVERY: Final = ("", "")
"""The kind of answers about which kinds there are."""

Kind = tuple[str, str]
"""Group ("" for core) and resource."""


class Cover(Protocol):
    """A watch of what was read."""

    @property
    def is_listed(self) -> bool:
        """Whether every change from now on will be told, be it late."""

    @property
    def is_current(self) -> bool:
        """Whether changes are told as they happen."""


Covering = Callable[[str, Mapping[str, str]], Cover | None]
"""The watch of what a GET of path and query reads; None where there is none."""
Condense = Callable[[str, bytes], Awaitable[bytes]]
"""Makes an answer that means the same of one that is large."""


@dataclass(frozen=True, slots=True)
class Question:
    """A GET: path, query and the header Accept."""

    path: str
    query: tuple[tuple[str, str], ...]
    accept: str

    @property
    def place(self) -> tuple[Kind, str, str]:
        """Kind, namespace and name of what is asked for, each "" where it is of none."""
        group, namespace, resource, name = parts(self.path)
        return ((group, resource) if resource else DISCOVERY), namespace or "", name or ""

    @property
    def is_list(self) -> bool:
        """Whether it is for a collection: one that is not there is of a kind that is not served."""
        kind, _, name = self.place
        return kind != DISCOVERY and not name

    @property
    def of_kinds(self) -> str:
        """The path at which the API server says which kinds of this group it serves."""
        group = parts(self.path)[0]
        return f"/apis/{group}" if group else "/apis"


@dataclass(frozen=True, slots=True)
class Kept:
    """An answer; ``packed`` is None for a 404."""

    packed: bytes | None
    cover: Cover
    since: float

    @property
    def text(self) -> bytes | None:
        return None if self.packed is None else zlib.decompress(self.packed)

    @property
    def size(self) -> int:
        return _OVERHEAD + len(self.packed or b"")


@dataclass(slots=True, eq=False)
class _Reading:
    """A read that is under way; ``spoilt`` once there may have been a change of what it reads."""

    places: tuple[tuple[Kind, str, str], ...]
    spoilt: bool = False


class Memory:
    """For all resources of an operator, of one event loop."""

    def __init__(
        self,
        cluster: KubernetesCluster,
        covering: Covering,
        *,
        condense: Condense | None = None,
        most: int = MOST,
    ) -> None:
        self.cluster = cluster
        self._covering = covering
        self._condense = condense
        self._most = most
        self._kept: OrderedDict[Question, Kept] = OrderedDict()
        self._at: dict[tuple[Kind, str, str], set[Question]] = {}
        self._readings: set[_Reading] = set()
        self.size = 0
        """Bytes of all that is kept."""

    def __len__(self) -> int:
        return len(self._kept)

    def recall(self, question: Question) -> Kept | None:
        """The answer where it is known, and known to be what the API server would answer."""
        kept = self._kept.get(question)
        if kept is None or not kept.cover.is_current:
            return None
        self._kept.move_to_end(question)
        return kept

    async def read(self, question: Question) -> bytes | None:
        """The API server's answer, which is kept where a watch covers it. Raises what ``Cluster.get`` raises."""
        query = dict(question.query)
        cover, of_kinds = self._covering(question.path, query), self._covering(question.of_kinds, {})
        told, kinds_told = _is_listed(cover), _is_listed(of_kinds)
        with self._reading(question) as reading:
            try:
                text = await self.cluster.text(question.path, query, question.accept)
            except CannotEvaluate:
                self._drop(question)
                raise
            if text and self._condense:
                text = await self._condense(question.path, text)
        unserved = text is None and question.is_list
        if unserved:
            cover, told = of_kinds, kinds_told
        if cover and told and cover.is_listed and not reading.spoilt and _is_whole(question, text):
            packed = None if text is None else zlib.compress(text, 1)
            self._keep(question, Kept(packed, cover, time.monotonic()), unserved=unserved)
        else:
            self._drop(question)
        return text

    def forget(self, kind: Kind, namespace: str | None = None, name: str | None = None) -> None:
        """What was read of an object, of a ``namespace`` ("": of what is in none) or of a ``kind`` may have changed."""
        for reading in self._readings:
            reading.spoilt |= any(_concerns(place, kind, namespace, name) for place in reading.places)
        if namespace is None or name is None:
            places = [place for place in self._at if _concerns(place, kind, namespace, name)]
        else:
            places = [(kind, namespace, name), (kind, namespace, ""), (kind, "", "")]
        for place in places:
            for question in tuple(self._at.get(place, ())):
                self._drop(question)

    def clear(self) -> None:
        """Forget all."""
        for reading in self._readings:
            reading.spoilt = True
        self._kept.clear()
        self._at.clear()
        self.size = 0

    @contextmanager
    def _reading(self, question: Question) -> Iterator[_Reading]:
        reading = _Reading(_places(question))
        self._readings.add(reading)
        try:
            yield reading
        finally:
            self._readings.discard(reading)

    def _keep(self, question: Question, kept: Kept, *, unserved: bool) -> None:
        self._drop(question)
        self._kept[question] = kept
        self.size += kept.size
        for place in _places(question)[: 2 if unserved else 1]:
            self._at.setdefault(place, set()).add(question)
        while self.size > self._most:
            self._drop(next(iter(self._kept)))

    def _drop(self, question: Question) -> None:
        kept = self._kept.pop(question, None)
        if kept is None:
            return
        self.size -= kept.size
        for place in _places(question):
            if there := self._at.get(place):
                there.discard(question)
                if not there:
                    del self._at[place]


class Remembering(Texts):
    """A Cluster for one probe run, with what is remembered; with ``fresh``, everything is read."""

    def __init__(self, memory: Memory, *, fresh: bool) -> None:
        self._memory = memory
        self._fresh = fresh
        self._remembered: dict[Question, Kept] = {}
        self._renewed = False

    @property
    def surrounds_us(self) -> bool:
        return self._memory.cluster.surrounds_us

    async def text(self, path: str, query: Mapping[str, str], accept: str) -> bytes | None:
        question = Question(path, tuple(sorted(query.items())), accept)
        kept = None if self._fresh else self._memory.recall(question)
        if kept and not self._renewed and time.monotonic() - kept.since > _RENEWED:
            kept, self._renewed = None, True
        if kept is None:
            return await self._memory.read(question)
        self._remembered[question] = kept
        return kept.text

    async def confirm(self) -> bool:
        """Read again what was remembered; whether all of it is so."""
        slots = asyncio.Semaphore(_AT_ONCE)

        async def same(question: Question, kept: Kept) -> bool:
            async with slots:
                try:
                    now = await self._memory.read(question)
                except CannotEvaluate:
                    return False
            return bool(_content(now) == _content(kept.text))

        remembered, self._remembered = self._remembered, {}
        return all(await asyncio.gather(*(same(*each) for each in remembered.items())))

    async def create(self, path: str, manifest: Mapping[str, Any]) -> Mapping[str, Any] | str:
        return await self._memory.cluster.create(path, manifest)

    async def delete(self, path: str, *, uid: str) -> None:
        await self._memory.cluster.delete(path, uid=uid)


def _is_listed(cover: Cover | None) -> bool:
    return cover is not None and cover.is_listed


def _is_whole(question: Question, text: bytes | None) -> bool:
    """Whether this is all there is to the answer, and not too much; a page of a long list is not."""
    if text is None:
        return True
    more = _CONTINUE.search(text, 0, _BEGINNING) or _CONTINUE.search(text, max(0, len(text) - _END))
    return len(text) <= LARGEST and not more and "continue" not in dict(question.query)


def _places(question: Question) -> tuple[tuple[Kind, str, str], ...]:
    """Of what the answer is about; the second is which kinds there are."""
    return question.place, (DISCOVERY, "", "")


def _concerns(place: tuple[Kind, str, str], kind: Kind, namespace: str | None, name: str | None) -> bool:
    of, where, what = place
    if of != kind:
        return False
    if namespace is None:
        return True
    if where != namespace:
        return not where and not what
    return name is None or what in ("", name)


def _content(text: bytes | None) -> Any:
    """An answer without the version of a list, which is another with every change anywhere."""
    if text is None:
        return None
    answer = parsed(text)
    return {**answer, "metadata": None} if "items" in answer else answer
