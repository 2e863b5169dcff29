"""Results to status: confirmations, transitions, summary, what is news. The clock is the test's."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mehc_checks.core.outcome import EndpointStatus, Outcome, Reason, ReasonSet, Severity, Status
from mehc_checks.engine.check import Check
from mehc_checks.engine.health import Health
from mehc_checks.engine.report import CheckResult, Found
from mehc_checks.installation.context import Context
from mehc_operator.events import transitions
from mehc_operator.judgement import (
    Verdict,
    heartbeat_due,
    judge,
    significant,
    suspended,
    unconfirmed,
)
from mehc_operator.status import ConditionStatus, StatusReport
from mehc_operator.store import merge_patch

START = datetime(2026, 1, 1, tzinfo=UTC)
EMPTY = StatusReport()


async def nothing(_: Context) -> None:
    return None


class Reasons(ReasonSet):
    FINE = Reason("Fine", Status.PASS, "It is fine.")
    EXPIRING = Reason("Expiring", Status.WARN, "It expires.")
    REFUSED = Reason("Refused", Status.FAIL, "It is refused.")
    FORBIDDEN = Reason("Forbidden", Status.ERROR, "It is forbidden.")
    NOT_APPLICABLE = Reason("NotApplicable", Status.SKIP, "There is none.")


REASON_OF = {reason.status: reason.name for reason in Reasons.all()}


def declared(name: str, severity: Severity = Severity.CRITICAL) -> Check:
    def never(_: object) -> Outcome:
        raise NotImplementedError

    return Check(
        name=name,
        title=f"{name} holds",
        severity=severity,
        gather=nothing,
        judge=never,
        reasons=Reasons,
    )


CHECKS = {
    check.name: check
    for check in (declared("Alpha"), declared("Beta", Severity.HIGH), declared("Gamma", Severity.WARNING))
}
CAUSE_OF = {"Beta": ("Alpha",)}


def finding(name: str, status: Status, message: str = "said", **other: Any) -> Found:
    return Found(
        **{
            "subject": "",
            "status": status,
            "severity": CHECKS[name].severity,
            "reason": REASON_OF[status],
            "message": message,
            "remediation": "" if status is Status.PASS else f"Fix {name}.",
            "explained_by": CAUSE_OF.get(name),
            **other,
        }
    )


def result(name: str, *findings: Found, **other: Any) -> CheckResult:
    return CheckResult(
        name=name,
        title=CHECKS[name].title,
        severity=CHECKS[name].severity,
        findings=findings,
        duration=timedelta(milliseconds=12),
        evidence={"latencyMs": 1.5, "absent": None},
        **other,
    )


def with_alpha(given: Verdict, *findings: Found, **other: Any) -> Verdict:
    """``given``, with these findings of Alpha."""
    return replace(given, results=(result("Alpha", *findings, **other), *given.results[1:]))


def verdict(alpha: Status, beta: Status = Status.PASS, gamma: Status = Status.PASS) -> Verdict:
    return Verdict(
        generation=1,
        results=tuple(
            result(name, finding(name, status))
            for name, status in zip(CHECKS, (alpha, beta, gamma), strict=True)
        ),
        confirmations=2,
        started=START,
        took=timedelta(milliseconds=30),
        next_probe=START + timedelta(minutes=5),
    )


def judged(given: Verdict, previous: StatusReport = EMPTY, *, after: float = 0) -> StatusReport:
    """``after``: seconds since START."""
    return judge(given, previous, CHECKS, START + timedelta(seconds=after))


@pytest.mark.parametrize(
    ("alpha", "beta", "gamma", "health", "ready", "degraded", "passing"),
    [
        (Status.PASS, Status.PASS, Status.PASS, Health.HEALTHY, "True", "False", "3/3"),
        (Status.FAIL, Status.PASS, Status.PASS, Health.FAILING, "False", "True", "2/3"),
        (Status.PASS, Status.FAIL, Status.PASS, Health.FAILING, "False", "True", "2/3"),
        (Status.PASS, Status.PASS, Status.FAIL, Health.DEGRADED, "True", "True", "2/3"),
        (Status.PASS, Status.WARN, Status.PASS, Health.DEGRADED, "True", "True", "2/3"),
        (Status.PASS, Status.ERROR, Status.PASS, Health.UNKNOWN, "Unknown", "Unknown", "2/3"),
        (Status.FAIL, Status.ERROR, Status.PASS, Health.FAILING, "False", "True", "1/3"),
        (Status.ERROR, Status.WARN, Status.PASS, Health.UNKNOWN, "Unknown", "True", "1/3"),
        (Status.PASS, Status.PASS, Status.ERROR, Health.DEGRADED, "True", "Unknown", "2/3"),
        (Status.PASS, Status.SKIP, Status.PASS, Health.HEALTHY, "True", "False", "2/2"),
        (Status.SKIP, Status.SKIP, Status.SKIP, Health.UNKNOWN, "Unknown", "Unknown", "0/0"),
    ],
)
def test_summary(
    alpha: Status, beta: Status, gamma: Status, health: Health, ready: str, degraded: str, passing: str
) -> None:
    status = judged(verdict(alpha, beta, gamma))
    found = {condition.type: str(condition.status) for condition in status.conditions}
    assert (status.health, found["Ready"], found["Degraded"], status.passing) == (
        health, ready, degraded, passing,
    )  # fmt: skip


def test_each_status_has_its_condition_and_a_skip_has_none() -> None:
    status = judged(verdict(Status.WARN, Status.ERROR, Status.SKIP))
    found = {condition.type: (condition.status, condition.reason) for condition in status.conditions}
    assert found["Alpha"] == (ConditionStatus.TRUE, "Expiring")
    assert found["Beta"] == (ConditionStatus.UNKNOWN, "Forbidden")
    assert "Gamma" not in found
    assert [check.name for check in status.checks] == ["Alpha", "Beta", "Gamma"]
    assert status.checks[2].duration is None


def test_a_consequence_is_no_root_cause_and_the_cause_names_the_summary() -> None:
    status = judged(verdict(Status.FAIL, Status.FAIL, Status.FAIL))
    assert [(cause.check, cause.explains) for cause in status.root_causes] == [
        ("Alpha", ["Beta"]),
        ("Gamma", []),
    ]
    assert status.summary == "Alpha: said (and 1 more root cause)"
    assert status.cause == "Alpha/Refused"
    assert status.causes == ["Alpha/Refused: said. Fix: Fix Alpha.", "Gamma/Refused: said. Fix: Fix Gamma."]
    ready, degraded = status.condition("Ready"), status.condition("Degraded")
    assert ready
    assert degraded
    assert (ready.reason, ready.message) == ("Refused", "Alpha: said")
    assert (degraded.reason, degraded.message) == ("Refused", "Alpha: said (and 1 more root cause)")


def test_a_failure_that_is_not_confirmed_explains_nothing() -> None:
    before = judged(verdict(Status.PASS, Status.FAIL))
    first = judged(verdict(Status.FAIL, Status.FAIL), before, after=5)
    assert [(cause.check, cause.explains) for cause in first.root_causes] == [("Beta", [])]
    second = judged(verdict(Status.FAIL, Status.FAIL), first, after=10)
    assert [(cause.check, cause.explains) for cause in second.root_causes] == [("Alpha", ["Beta"])]


def test_an_unconfirmed_consequence_is_none() -> None:
    before = judged(verdict(Status.FAIL))
    first = judged(verdict(Status.FAIL, Status.FAIL), before, after=5)
    assert [(cause.check, cause.explains) for cause in first.root_causes] == [("Alpha", [])]


def test_ready_is_false_by_what_a_lesser_check_explains() -> None:
    """The check that names the cause may be of any severity: what it keeps from working decides."""
    lesser = finding("Alpha", Status.FAIL, severity=Severity.INFO)
    ready = judged(with_alpha(verdict(Status.FAIL, Status.FAIL), lesser)).condition("Ready")
    assert ready
    assert (ready.status, ready.message) == (ConditionStatus.FALSE, "Alpha: said")


def test_an_error_is_told_as_one() -> None:
    status = judged(verdict(Status.ERROR, gamma=Status.WARN))
    ready, degraded = status.condition("Ready"), status.condition("Degraded")
    assert ready
    assert degraded
    assert (ready.reason, ready.message) == ("Forbidden", "Alpha could not be evaluated: said")
    assert (degraded.reason, degraded.message) == ("Expiring", "Gamma: said")
    assert status.summary == "Alpha could not be evaluated: said"


@given(st.lists(st.sampled_from([f"Reason{letter}" for letter in "ABCDEFGHIJKLMN"]), unique=True))
def test_ten_root_causes_are_listed_and_the_others_counted(reasons: list[str]) -> None:
    failures = [finding("Alpha", Status.FAIL, name, reason=name) for name in reasons]
    status = judged(with_alpha(verdict(Status.PASS), *failures or [finding("Alpha", Status.PASS)]))
    ready = status.condition("Ready")
    assert ready
    assert [cause.reason for cause in status.root_causes] == reasons[:10]
    others = len(reasons) - 1
    more = f" (and {others} more root cause{'s' * (others > 1)})" if others > 0 else ""
    if reasons:
        assert (ready.reason, ready.message, status.summary) == (
            reasons[0],
            *[f"Alpha: {reasons[0]}{more}"] * 2,
        )
    else:
        assert ready.message == "no critical or high check fails"


@given(st.lists(st.sampled_from(Status), min_size=3, max_size=3))
def test_ready_is_false_exactly_when_a_decisive_check_fails(given_: list[Status]) -> None:
    status = judged(verdict(*given_))
    ready = status.condition("Ready")
    assert ready
    assert (ready.status is ConditionStatus.FALSE) == (Status.FAIL in given_[:2])
    if status.root_causes:
        first = status.root_causes[0]
        assert status.summary.startswith(f"{first.check}: {first.message}")
        if Status.FAIL in given_[:2]:
            assert ready.message.startswith(f"{first.check}: {first.message}")


def test_the_first_failure_ever_is_shown_at_once() -> None:
    status = judged(verdict(Status.FAIL))
    assert status.health is Health.FAILING
    assert unconfirmed(status) == []


@pytest.mark.parametrize("bad", [Status.FAIL, Status.ERROR])
def test_a_condition_leaves_true_only_after_consecutive_failures(bad: Status) -> None:
    healthy = judged(verdict(Status.PASS))
    once = judged(verdict(bad), healthy, after=10)
    assert once.condition("Alpha") == healthy.condition("Alpha")
    assert once.health is Health.HEALTHY
    assert unconfirmed(once) == ["Alpha"]
    recovered = judged(verdict(Status.PASS), once, after=12)
    assert unconfirmed(recovered) == []
    assert unconfirmed(judged(verdict(bad), recovered, after=20)) == ["Alpha"]
    twice = judged(verdict(bad), once, after=12)
    condition = twice.condition("Alpha")
    assert condition
    assert condition.status is not ConditionStatus.TRUE
    assert condition.last_transition_time == START + timedelta(seconds=12)
    assert (twice.checks[0].failures, unconfirmed(twice)) == (2, [])
    assert judged(verdict(bad), twice, after=300).checks[0].failures == 2


def test_recovery_needs_no_confirmation() -> None:
    broken = judged(verdict(Status.FAIL))
    assert judged(verdict(Status.PASS), broken, after=5).health is Health.HEALTHY


def test_a_changed_spec_is_answered_at_once() -> None:
    healthy = judged(verdict(Status.PASS))
    status = judged(replace(verdict(Status.FAIL), generation=2), healthy)
    assert status.health is Health.FAILING
    assert {condition.observed_generation for condition in status.conditions} == {2}


def test_times_move_only_with_the_status() -> None:
    first = judged(verdict(Status.FAIL))
    same = judged(replace(verdict(Status.FAIL), started=START + timedelta(seconds=60)), first, after=60)
    assert [c.last_transition_time for c in same.conditions] == [START] * len(same.conditions)
    assert same.checks[0].since == START
    turned = judged(verdict(Status.PASS), same, after=120)
    moved = {c.type for c in turned.conditions if c.last_transition_time != START}
    assert moved == {"Ready", "Degraded", "Alpha"}
    assert turned.checks[0].since == START + timedelta(seconds=120)


def test_suspended_keeps_what_the_checks_said() -> None:
    before = judged(verdict(Status.FAIL))
    status = suspended(before, 2, START + timedelta(seconds=9))
    assert (status.health, status.next_probe_time) == (Health.SUSPENDED, None)
    ready, alpha, was = status.condition("Ready"), status.condition("Alpha"), before.condition("Alpha")
    assert ready
    assert (ready.status, ready.reason) == (ConditionStatus.UNKNOWN, "Suspended")
    assert alpha
    assert was
    assert (alpha.status, alpha.last_transition_time) == (was.status, was.last_transition_time)
    assert suspended(status, 2, START + timedelta(seconds=99)) == status


def test_times_durations_evidence_and_passing_messages_are_no_news() -> None:
    before = judged(verdict(Status.PASS, gamma=Status.FAIL))
    later = verdict(Status.PASS, gamma=Status.FAIL)
    later = replace(
        later,
        started=START + timedelta(minutes=1),
        took=timedelta(seconds=1),
        results=(
            replace(
                result("Alpha", finding("Alpha", Status.PASS, "PING in 9 ms")), evidence={"latencyMs": 9}
            ),
            *later.results[1:],
        ),
    )
    assert significant(judged(later, before, after=60)) == significant(before)


@pytest.mark.parametrize(
    "changed",
    [
        verdict(Status.FAIL, gamma=Status.FAIL),
        verdict(Status.WARN, gamma=Status.FAIL),
        verdict(Status.PASS),
        replace(verdict(Status.PASS, gamma=Status.FAIL), generation=2),
        replace(
            verdict(Status.PASS, gamma=Status.FAIL),
            results=(
                *verdict(Status.PASS).results[:2],
                result("Gamma", finding("Gamma", Status.FAIL, "something else")),
            ),
        ),
    ],
)
def test_everything_else_is_news(changed: Verdict) -> None:
    before = judged(verdict(Status.PASS, gamma=Status.FAIL))
    assert significant(judged(changed, before)) != significant(before)


def test_events_only_for_what_turned() -> None:
    healthy, broken = judged(verdict(Status.PASS)), judged(verdict(Status.FAIL))
    assert [(e.type, e.reason) for e in transitions(EMPTY, healthy)] == [("Normal", "ChecksPass")]
    assert list(transitions(healthy, healthy)) == []
    fall = {(e.type, e.reason, e.message) for e in transitions(healthy, broken)}
    assert fall == {
        ("Warning", "Refused", "Ready is False: Alpha: said. Fix: Fix Alpha."),
        ("Warning", "Refused", "Alpha is False: said. Fix: Fix Alpha."),
    }
    assert {e.type for e in transitions(broken, healthy)} == {"Normal"}
    paused = suspended(healthy, 2, START)
    assert list(transitions(healthy, paused)) == []
    assert list(transitions(paused, healthy)) == []


def test_an_event_fits_the_api_servers_limit_in_bytes() -> None:
    long = with_alpha(verdict(Status.FAIL), finding("Alpha", Status.FAIL, "ü" * 5000))
    for event in transitions(EMPTY, judged(long)):
        assert 1000 < len(event.message.encode()) <= 1024
        assert event.message.endswith(". Fix: Fix Alpha.")


def test_what_does_not_pass_is_listed_by_finding_and_what_passes_is_not() -> None:
    found = [
        finding("Alpha", Status.FAIL, subject=f"part-{number}", docs="docs/x.md#y") for number in range(25)
    ]
    alpha, beta, gamma = judged(with_alpha(verdict(Status.PASS, gamma=Status.SKIP), *found)).checks
    assert (len(alpha.findings), beta.findings, gamma.findings) == (20, [], [])
    assert alpha.message == "said (and 24 more)"
    assert alpha.findings[1].subject == "part-1"
    assert alpha.findings[1].remediation == "Fix Alpha."
    assert alpha.findings[1].docs == "docs/x.md#y"


def test_a_finding_may_weigh_more_than_its_check() -> None:
    lesser = verdict(Status.PASS, gamma=Status.FAIL)
    critical = finding("Gamma", Status.FAIL, severity=Severity.CRITICAL)
    status = judged(replace(lesser, results=(*lesser.results[:2], result("Gamma", critical))))
    ready = status.condition("Ready")
    assert ready
    assert (ready.status, status.health) == (ConditionStatus.FALSE, Health.FAILING)


def test_the_first_column_of_a_resource_that_warns_or_is_unknown_has_a_cause_too() -> None:
    status = judged(verdict(Status.WARN, gamma=Status.ERROR))
    assert status.cause == "Gamma/Forbidden"
    assert [line.partition(":")[0] for line in status.causes] == ["Gamma/Forbidden", "Alpha/Expiring"]
    assert judged(verdict(Status.PASS)).cause is None


def test_a_handled_request_is_news_and_stays() -> None:
    before = judged(verdict(Status.PASS))
    asked = judged(replace(verdict(Status.PASS), probe_now="1"), before)
    assert asked.last_handled_probe_now == "1"
    assert significant(asked) != significant(before)
    assert judged(verdict(Status.PASS), asked).last_handled_probe_now == "1"


@pytest.mark.parametrize("interval", [15, 60, 300])
def test_the_time_of_the_last_probe_run_in_the_cluster_is_never_older_than_five_minutes(
    interval: int,
) -> None:
    """Whatever part of the interval a probe run is early by."""
    for early in (0.9, 0.93, 0.97, 1.0):
        written, at = judged(verdict(Status.PASS)), 0.0
        for _ in range(100):
            at += interval * early
            started = START + timedelta(seconds=at)
            status = judged(replace(verdict(Status.PASS), started=started), written, after=at)
            assert written.last_probe_time
            assert started - written.last_probe_time <= timedelta(minutes=5)
            written = status if heartbeat_due(status, written) else written
    assert not heartbeat_due(suspended(written, 1, START), written)


def test_the_sentence_of_a_summary_is_short() -> None:
    status = judged(with_alpha(verdict(Status.PASS), finding("Alpha", Status.FAIL, "word " * 500 + "end")))
    assert len(status.summary or "") <= 120
    assert (status.summary or "").endswith("word end")


def test_a_status_survives_the_cluster_and_its_patch_empties_what_is_gone() -> None:
    status = judged(verdict(Status.FAIL))
    patch = merge_patch(status)
    assert StatusReport.model_validate({k: v for k, v in patch.items() if v is not None}) == status
    assert patch["release"] is None
    assert patch["endpoints"] is None
    assert merge_patch(judged(verdict(Status.PASS)))["rootCauses"] is None
    assert patch["lastProbeTime"] == "2026-01-01T00:00:00Z"
    assert patch["checks"][0]["evidence"] == {"latencyMs": 1.5}


def stuck(number: int) -> EndpointStatus:
    return EndpointStatus(
        endpoint_id=f"end_{number}",
        name="llama",
        kind="sync",
        ready=0,
        desired=1,
        cause="ImageNotFound",
        message="m" * 9000,
        remediation="push it",
    )


def endpoints(*found: EndpointStatus) -> StatusReport:
    return judged(with_alpha(verdict(Status.FAIL), finding("Alpha", Status.FAIL), endpoints=found))


def test_endpoints_that_are_not_ready_are_counted_and_listed_up_to_a_limit() -> None:
    status = endpoints(*map(stuck, range(300)))
    assert (status.stuck_endpoints, len(status.endpoints)) == (300, 200)
    assert len(status.model_dump_json(by_alias=True)) < 500_000
    assert status.endpoints[0].endpoint_id == "end_0"


def test_nothing_is_said_of_endpoints_that_nobody_read() -> None:
    assert judged(verdict(Status.PASS)).stuck_endpoints is None
    assert endpoints().stuck_endpoints == 0
