"""All installations on one page: how many are how, a filter, and a row for each, the worst first."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, Self
from urllib.parse import urlencode

from mehc_checks.render.html import rendered
from mehc_checks.render.page import Served
from mehc_operator.screen import NOT_PROBED, ranked, tally
from mehc_operator.stored import Resource

ROWS: Final = 100
"""Of a page."""
STALE: Final = "stale"
_LONGEST: Final = 253
"""Characters of what is asked for: as long as a name may be."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What a query string asks for. ``health`` is a word of the counts; "" is any."""

    health: str = ""
    namespace: str = ""
    number: int = 1

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Self:
        """Read ``query``; what it should not have is left out."""
        number = query.get("page", "")
        return cls(
            health=query.get("health", "")[:_LONGEST],
            namespace=query.get("namespace", "")[:_LONGEST],
            number=int(number) if number.isascii() and number.isdigit() and len(number) < 6 else 1,
        )

    def __str__(self) -> str:
        said = {"health": self.health, "namespace": self.namespace}
        if self.number > 1:
            said["page"] = str(self.number)
        return urlencode({name: value for name, value in said.items() if value})

    @property
    def link(self) -> str:
        """Relative to the page's root."""
        return f"./?{self}" if str(self) else "./"


@dataclass(frozen=True, slots=True)
class _Count:
    word: str
    count: int
    link: str
    current: bool

    @property
    def said(self) -> str:
        return f"{self.count} {self.word}"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Row:
    namespace: str
    name: str
    path: str
    health: str
    stale: bool
    passing: str
    cause: str
    stuck: int
    probed: datetime | None


def fleet(resources: Iterable[Resource], asked: Asked, now: datetime, served: Served) -> str:
    """The page. No final newline."""
    everyone = ranked(resources, now)
    matching = [one for one in everyone if _matches(one, asked, now)]
    pages = max(1, -(-len(matching) // ROWS))
    number = min(max(1, asked.number), pages)
    return rendered(
        "fleet.html",
        now=now,
        served=served,
        total=len(everyone),
        counts=_counts(everyone, asked, now),
        namespaces=sorted({one.namespace for one in everyone}),
        namespace=asked.namespace,
        filtered=bool(asked.health or asked.namespace),
        rows=[_row(one, now) for one in matching[(number - 1) * ROWS : number * ROWS]],
        matching=len(matching),
        number=number,
        pages=pages,
        before=replace(asked, number=number - 1).link if number > 1 else "",
        after=replace(asked, number=number + 1).link if number < pages else "",
    )


def _matches(one: Resource, asked: Asked, now: datetime) -> bool:
    if asked.namespace not in ("", one.namespace):
        return False
    if asked.health == STALE:
        return one.stale(now)
    return asked.health in ("", str(one.health or NOT_PROBED))


def _counts(everyone: Sequence[Resource], asked: Asked, now: datetime) -> list[_Count]:
    stale = sum(one.stale(now) for one in everyone)
    counts = {**tally(everyone), **({STALE: stale} if stale else {})}
    return [
        _Count(word, count, replace(asked, health=word, number=1).link, word == asked.health)
        for word, count in counts.items()
    ]


def _row(one: Resource, now: datetime) -> _Row:
    return _Row(
        namespace=one.namespace,
        name=one.name,
        path=f"installations/{one.namespace}/{one.name}",
        health=one.health or "",
        stale=one.stale(now),
        passing=one.status.passing or "",
        cause=one.status.cause or "",
        stuck=one.status.stuck_endpoints or 0,
        probed=one.status.last_probe_time,
    )
