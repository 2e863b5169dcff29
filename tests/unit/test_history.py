"""When verdicts changed, and what changed shortly before."""

from datetime import UTC, datetime, timedelta

from mehc_checks.core.outcome import Severity, Status
from mehc_operator.history import Changes, flapping, history, turned
from mehc_operator.status import (
    MOST_CHANGES,
    MOST_TRANSITIONS,
    CheckStatus,
    ReleaseStatus,
    StatusReport,
    TransitionStatus,
)

NOW = datetime(2026, 11, 28, 3, 0, tzinfo=UTC)


def check(status: Status, name: str = "RedisReachable", minutes: float = 60) -> CheckStatus:
    return CheckStatus(
        name=name,
        status=status,
        severity=Severity.CRITICAL,
        reason="Some",
        message="some",
        since=NOW - timedelta(minutes=minutes),
    )


def turn(before: Status, after: Status, changes: Changes | None = None) -> list[TransitionStatus]:
    lately = changes.lately(NOW) if changes else ()
    return list(turned([check(before)], [check(after)], lately, NOW))


def test_only_a_verdict_that_differs_is_a_transition() -> None:
    (found,) = turn(Status.PASS, Status.FAIL)
    assert (found.before, found.to, found.duration) == (Status.PASS, Status.FAIL, "1h")
    assert not turn(Status.FAIL, Status.FAIL)
    assert not turn(Status.SKIP, Status.FAIL)
    assert not list(turned([], [check(Status.FAIL)], (), NOW))


def test_what_changed_is_told_of_what_turned_bad_nearest_first() -> None:
    time = NOW - timedelta(minutes=20)
    changes = Changes(lambda: time)
    changes.note("too long ago")
    time = NOW - timedelta(minutes=10)
    changes.note("Secret redis in namespace models")
    changes.note_release(None, ReleaseStatus(name="me", revision=3))
    before, after = ReleaseStatus(name="me", revision=3), ReleaseStatus(name="me", revision=4)
    time = NOW - timedelta(minutes=5)
    changes.note_release(before, after)
    changes.note_release(after, after)
    (found,) = turn(Status.PASS, Status.FAIL, changes)
    assert [each.what for each in found.changes] == [
        "Helm release me revision 3 -> 4",
        "Secret redis in namespace models",
    ]
    time = NOW - timedelta(minutes=1)
    changes.note("Secret redis in namespace models")
    (found,) = turn(Status.WARN, Status.ERROR, changes)
    assert found.changes[0].what == "Secret redis in namespace models"
    assert len(found.changes) == 2
    (found,) = turn(Status.FAIL, Status.PASS, changes)
    assert not found.changes


def test_all_is_bounded() -> None:
    changes = Changes(lambda: NOW)
    for number in range(1000):
        changes.note(f"{number}" + "x" * 1000)
    assert len(changes.lately(NOW)) == MOST_CHANGES
    many = turn(Status.PASS, Status.FAIL, changes) * 100
    kept = history(many, many)
    assert len(kept) == MOST_TRANSITIONS
    assert len(StatusReport(history=kept).model_dump_json()) < 64 * 1024


def test_what_turns_often_flaps() -> None:
    turns = [
        one.model_copy(update={"time": NOW - timedelta(minutes=10 * number)})
        for number, one in enumerate(turn(Status.PASS, Status.FAIL) * 4)
    ]
    assert flapping(turns, "RedisReachable", NOW) == 4
    assert flapping(turns[1:], "RedisReachable", NOW) == 0
    assert flapping(turns, "RedisReachable", NOW + timedelta(hours=1)) == 0
    assert flapping(turns, "DatabaseMigrated", NOW) == 0
