"""When verdicts changed, and what else changed shortly before: the first question of whoever is on call.

What turned is kept in the status, so it survives a restart. What changed is remembered by the leader alone, for as long
as it may explain anything; it is a coincidence in time, and is worded as one.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final

from mehc_checks.core import duration
from mehc_checks.core.outcome import Status
from mehc_operator.limits import SUMMARY, cut
from mehc_operator.status import (
    MOST_CHANGES,
    MOST_TRANSITIONS,
    ChangeStatus,
    CheckStatus,
    ReleaseStatus,
    TransitionStatus,
)

BEFORE: Final = timedelta(minutes=15)
"""How long a change is remembered."""
FLAPPING: Final = (4, timedelta(hours=1))
"""A check that turned so often in this time flaps."""
_BAD: Final = frozenset({Status.FAIL, Status.ERROR})


class Changes:
    """What was seen to change around one installation, the last ones only."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._seen: deque[ChangeStatus] = deque(maxlen=MOST_CHANGES * 4)

    def note(self, what: str) -> None:
        """Remember ``what`` as changed now; seen again, only its last time counts."""
        what = cut(what, SUMMARY)
        others = [one for one in self._seen if one.what != what]
        self._seen.clear()
        self._seen.extend([*others, ChangeStatus(time=self._clock(), what=what)])

    def note_release(self, before: ReleaseStatus | None, after: ReleaseStatus | None) -> None:
        """Remember that another revision, or another state of it, was found."""
        if before is None or after is None or before == after:
            return
        if before.name != after.name:
            self.note(f"Helm release {before.name} -> {after.name}")
        elif before.revision != after.revision:
            self.note(f"Helm release {after.name} revision {before.revision} -> {after.revision}")
        elif before.status != after.status:
            self.note(f"Helm release {after.name} status {before.status} -> {after.status}")

    def lately(self, now: datetime) -> list[ChangeStatus]:
        """What changed in the time before ``now`` that counts, nearest first."""
        recent = [one for one in self._seen if now - one.time <= BEFORE]
        return sorted(recent, key=lambda one: one.time, reverse=True)[:MOST_CHANGES]


def turned(
    before: Iterable[CheckStatus],
    after: Iterable[CheckStatus],
    changes: Sequence[ChangeStatus],
    now: datetime,
) -> Iterator[TransitionStatus]:
    """The checks whose status is another one now. ``changes`` are told of those that turned bad."""
    known = {check.name: check for check in before}
    for check in after:
        old = known.get(check.name)
        if old is None or old.status is check.status or Status.SKIP in (old.status, check.status):
            continue
        yield TransitionStatus(
            time=now,
            check=check.name,
            before=old.status,
            to=check.status,
            reason=check.reason,
            duration=duration.show(timedelta(seconds=max(0, round((now - old.since).total_seconds())))),
            changes=list(changes) if check.status in _BAD else [],
        )


def history(news: Iterable[TransitionStatus], previous: Sequence[TransitionStatus]) -> list[TransitionStatus]:
    """Newest first, at most MOST_TRANSITIONS."""
    return [*news, *previous][:MOST_TRANSITIONS]


def flapping(transitions: Iterable[TransitionStatus], check: str, now: datetime) -> int:
    """How often ``check`` turned lately, 0 where that is no flapping."""
    most, period = FLAPPING
    count = sum(one.check == check and now - one.time <= period for one in transitions)
    return count if count >= most else 0
