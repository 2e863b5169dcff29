"""What is muted is shown and decides nothing, until its time is over or it gets worse. The clock is the test's."""

from datetime import UTC, datetime, timedelta

import pytest

from mehc_checks.core.outcome import EndpointStatus, Outcome, Reason, ReasonSet, Severity, Status
from mehc_checks.engine.check import Check
from mehc_checks.engine.health import Health
from mehc_checks.engine.report import CheckResult, Found
from mehc_checks.installation.context import Context
from mehc_operator.judgement import Verdict, judge
from mehc_operator.metrics import MUTED, Observed
from mehc_operator.metrics import _Resources as Resources
from mehc_operator.models import Mute
from mehc_operator.status import ConditionStatus, MuteState, StatusReport

NOW = datetime(2026, 11, 28, 3, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


class Reasons(ReasonSet):
    FINE = Reason("Fine", Status.PASS, "It is fine.")
    REFUSED = Reason("Refused", Status.FAIL, "It is refused.")
    REJECTED = Reason("Rejected", Status.FAIL, "It is rejected.")
    FOLLOWS = Reason("Follows", Status.FAIL, "It follows.", explained_by=("RedisReachable/Refused",))
    EXPIRING = Reason("Expiring", Status.WARN, "It expires.")


async def nothing(_: Context) -> None:
    return None


def declared(name: str) -> Check:
    def never(_: object) -> Outcome:
        raise NotImplementedError

    return Check(
        name=name, title=name, severity=Severity.CRITICAL, gather=nothing, judge=never, reasons=Reasons
    )


CHECKS = {name: declared(name) for name in ("RedisReachable", "EndpointsReady", "DatabaseMigrated")}


def result(name: str, *reasons: Reason, endpoints: int | None = None) -> CheckResult:
    stuck = [
        EndpointStatus(
            endpoint_id=f"{n}", name=f"{n}", kind="sync", ready=0, desired=1, cause="x", message="x"
        )
        for n in range(endpoints or 0)
    ]
    return CheckResult(
        name=name,
        title=name,
        severity=Severity.CRITICAL,
        findings=tuple(
            Found(
                subject="",
                status=reason.status,
                severity=Severity.CRITICAL,
                reason=reason.name,
                message=reason.meaning,
            )
            for reason in reasons
        ),
        endpoints=tuple(stuck) if endpoints is not None else None,
    )


def verdict(
    *results: CheckResult,
    mutes: tuple[Mute, ...] = (),
    before: StatusReport | None = None,
    now: datetime = NOW,
) -> StatusReport:
    names = {one.name for one in results}
    rest = [result(name, Reasons.FINE) for name in CHECKS if name not in names]
    given = Verdict(
        generation=1,
        results=(*results, *rest),
        confirmations=1,
        started=now,
        took=timedelta(),
        next_probe=now,
        mutes=mutes,
    )
    return judge(given, before or StatusReport(), CHECKS, now)


def mute(check: str = "RedisReachable", reason: str | None = None, until: datetime = NOW + HOUR) -> Mute:
    return Mute(check=check, reason=reason, until=until, why="known")


def states(status: StatusReport) -> list[str]:
    return [str(one.state) for one in status.mutes]


def ready(status: StatusReport) -> ConditionStatus:
    condition = status.condition("Ready")
    assert condition is not None
    return condition.status


@pytest.mark.parametrize("reason", [None, "Refused"])
def test_a_muted_failure_is_shown_and_decides_nothing(reason: str | None) -> None:
    status = verdict(result("RedisReachable", Reasons.REFUSED), mutes=(mute(reason=reason),))
    assert (status.health, ready(status), status.root_causes, status.cause) == (
        Health.HEALTHY,
        ConditionStatus.TRUE,
        [],
        None,
    )
    (redis,) = (check for check in status.checks if check.name == "RedisReachable")
    assert (redis.status, redis.muted, redis.findings[0].reason) == (Status.FAIL, True, "Refused")
    condition = status.condition("RedisReachable")
    assert condition is not None
    assert condition.status is ConditionStatus.FALSE
    assert status.passing == "2/3"
    assert status.summary is not None
    assert status.summary.endswith("; muted: RedisReachable")
    assert states(status) == ["Active"]
    samples = Resources()._samples(Observed(namespace="n", name="m", status=status, interval=None))
    assert ("mehc_check_status", ("RedisReachable", "critical", MUTED), 1) in list(samples)


def test_what_follows_from_a_muted_failure_is_muted_too() -> None:
    found = (
        result("RedisReachable", Reasons.REFUSED),
        result("EndpointsReady", Reasons.FOLLOWS, endpoints=2),
    )
    status = verdict(*found, mutes=(mute(),))
    assert (status.health, status.root_causes) == (Health.HEALTHY, [])
    assert [check.name for check in status.checks if check.muted] == ["RedisReachable", "EndpointsReady"]
    loose = verdict(result("EndpointsReady", Reasons.FOLLOWS, endpoints=2), mutes=(mute(),))
    assert loose.health is Health.FAILING


def test_another_failure_still_counts() -> None:
    status = verdict(
        result("RedisReachable", Reasons.REFUSED),
        result("DatabaseMigrated", Reasons.REFUSED),
        mutes=(mute(),),
    )
    assert (status.health, status.cause) == (Health.FAILING, "DatabaseMigrated/Refused")
    partly = verdict(
        result("RedisReachable", Reasons.REFUSED, Reasons.EXPIRING), mutes=(mute(reason="Refused"),)
    )
    assert (partly.health, partly.cause) == (Health.DEGRADED, "RedisReachable/Expiring")
    assert not any(check.muted for check in partly.checks)


def test_a_mute_ends_with_its_time() -> None:
    failing = result("RedisReachable", Reasons.REFUSED)
    status = verdict(failing, mutes=(mute(),))
    later = verdict(failing, mutes=(mute(),), before=status, now=NOW + HOUR)
    assert (later.health, states(later)) == (Health.FAILING, ["Ended"])


def test_a_mute_ends_when_another_reason_is_found_and_does_not_come_back() -> None:
    mutes = (mute(),)
    status = verdict(result("RedisReachable", Reasons.REFUSED), mutes=mutes)
    worse = verdict(result("RedisReachable", Reasons.REJECTED), mutes=mutes, before=status)
    assert (worse.health, states(worse)) == (Health.FAILING, ["Worse"])
    back = verdict(result("RedisReachable", Reasons.REFUSED), mutes=mutes, before=worse)
    assert (back.health, states(back)) == (Health.FAILING, ["Worse"])


def test_a_mute_ends_when_more_endpoints_are_not_ready() -> None:
    mutes = (mute("EndpointsReady"),)
    status = verdict(result("EndpointsReady", Reasons.REFUSED, endpoints=2), mutes=mutes)
    assert (status.health, status.stuck_endpoints) == (Health.HEALTHY, 2)
    fewer = verdict(result("EndpointsReady", Reasons.REFUSED, endpoints=1), mutes=mutes, before=status)
    assert fewer.health is Health.HEALTHY
    more = verdict(result("EndpointsReady", Reasons.REFUSED, endpoints=3), mutes=mutes, before=fewer)
    assert (more.health, states(more)) == (Health.FAILING, ["Worse"])


def test_a_mute_of_nothing_waits() -> None:
    status = verdict(mutes=(mute(), mute("NoSuchCheck")))
    assert (status.health, states(status)) == (Health.HEALTHY, [MuteState.UNUSED, MuteState.UNUSED])
    assert status.summary == "all 3 checks pass"
    later = verdict(result("RedisReachable", Reasons.REFUSED), mutes=(mute(),), before=status)
    assert states(later) == ["Active"]


def test_a_status_that_was_stored_keeps_what_a_mute_covers() -> None:
    mutes = (mute(until=NOW + HOUR + timedelta(milliseconds=250)),)
    status = verdict(result("RedisReachable", Reasons.REFUSED), mutes=mutes)
    stored = StatusReport.model_validate_json(status.model_dump_json(by_alias=True))
    later = verdict(result("RedisReachable", Reasons.REJECTED), mutes=mutes, before=stored)
    assert states(later) == ["Worse"]
