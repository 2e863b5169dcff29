"""What the operator has stored, as a web page: the same as ``mehc_operator.screen`` has for a terminal."""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final

from mehc_checks.core.outcome import EndpointStatus
from mehc_checks.core.text import ago
from mehc_checks.engine.check import Check
from mehc_checks.render.html import installation
from mehc_checks.render.page import Bar, Page, Part, Served, Turn
from mehc_operator.screen import doubts, mutes, notes, place
from mehc_operator.status import TransitionStatus
from mehc_operator.stored import Resource, length

_DAY: Final = timedelta(hours=24)
_MINUTES: Final = 24 * 60


def page(
    resource: Resource,
    checks: Mapping[str, Check],
    now: datetime,
    *,
    context: str = "",
    served: Served | None = None,
) -> str:
    """The page of one resource: a file of its own, or as a server has it. No final newline."""
    status = resource.status
    return installation(
        Page(
            title=f"{resource.namespace}/{resource.name}",
            place=place(resource, context),
            health=status.health or "",
            verdict=_passing(resource),
            report=resource.report(checks) if status.checks else None,
            probed=status.last_probe_time,
            doubts=tuple(doubts(resource, now)),
            notes=notes(resource, now),
            endpoints=tuple(EndpointStatus(**dict(each)) for each in status.endpoints),
            stuck=status.stuck_endpoints or 0,
            explain=f"mehc explain -n {resource.namespace}",
            mutes=tuple(mutes(resource)),
            turns=tuple(map(_turn, status.history)),
            bars=tuple(bars(resource, now)),
        ),
        now=now,
        served=served,
    )


def bars(resource: Resource, now: datetime) -> Iterator[Bar]:
    """The checks that changed within the last 24 hours. A bar begins where the first status of it is known to."""
    lately: dict[str, list[TransitionStatus]] = {}
    for one in reversed(resource.status.history):
        if now - one.time < _DAY:
            lately.setdefault(one.check, []).append(one)
    for check, turns in lately.items():
        first = turns[0].time - length(turns[0].duration)
        starts = [_minute(first, now), *(_minute(one.time, now) for one in turns), _MINUTES]
        statuses = [turns[0].before, *(one.to for one in turns)]
        since = f" from {first:%H:%M}" if now - first < _DAY else ""
        yield Bar(
            check=check,
            said=", ".join([f"{statuses[0]}{since}", *(f"{one.to} from {one.time:%H:%M}" for one in turns)]),
            parts=tuple(
                Part(start, max(end - start, 1), status)
                for (start, end), status in zip(pairwise(starts), statuses, strict=True)
            ),
        )


def _minute(time: datetime, now: datetime) -> int:
    return min(_MINUTES, max(0, _MINUTES - round((now - time).total_seconds() / 60)))


def _passing(resource: Resource) -> str:
    """The verdict without its first word, which the page shows by itself, and without its age."""
    passing, _, of = (resource.status.passing or "").partition("/")
    return f"{passing} of {of} checks pass" if of else "no probe run has been recorded"


def _turn(one: TransitionStatus) -> Turn:
    return Turn(
        time=one.time,
        check=one.check,
        before=one.before,
        to=one.to,
        reason=one.reason,
        lasted=one.duration,
        changes=tuple((each.what, ago(one.time, each.time)) for each in one.changes),
    )
