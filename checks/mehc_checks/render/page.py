"""What a page of one installation shows besides its report. All texts are plain."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from mehc_checks.core.outcome import EndpointStatus, Status
from mehc_checks.engine.report import Report


@dataclass(frozen=True, kw_only=True, slots=True)
class Doubt:
    """Why the verdict may not be about now, and what to do about it. ``warns``: it is stale."""

    text: str
    fix: str = ""
    warns: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class MuteLine:
    """A mute: what of, and what has become of it."""

    name: str
    state: str
    why: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Turn:
    """A check that changed, after ``lasted``. ``changes``: what else did before it, and how long before."""

    time: datetime
    check: str
    before: Status
    to: Status
    reason: str
    lasted: str
    changes: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a bar, in minutes from its left end."""

    start: int
    length: int
    status: Status


@dataclass(frozen=True, kw_only=True, slots=True)
class Bar:
    """A check over the last 24 hours, and the same in words."""

    check: str
    said: str
    parts: tuple[Part, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """One installation. All texts are plain. ``report`` is None before the first probe run.

    ``stuck`` counts the stuck endpoints, of which ``endpoints`` are the first; None where nothing says which are stuck.
    ``notes``: by check, what its line ends with.
    """

    title: str
    place: str
    health: str
    verdict: str
    report: Report | None
    probed: datetime | None = None
    doubts: tuple[Doubt, ...] = ()
    notes: Mapping[str, str] = field(default_factory=dict)
    endpoints: tuple[EndpointStatus, ...] = ()
    stuck: int | None = None
    explain: str = ""
    mutes: tuple[MuteLine, ...] = ()
    turns: tuple[Turn, ...] = ()
    bars: tuple[Bar, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Served:
    """Where a server has the page: the relative path to its root, and what the page is of, as its events say it."""

    root: str
    revision: str
