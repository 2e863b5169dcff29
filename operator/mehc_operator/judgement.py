"""From results to a status: confirmations, transitions, what is news. Pure; the clock is an argument."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from mehc_checks.core import duration
from mehc_checks.core.outcome import EndpointStatus as Endpoint
from mehc_checks.core.outcome import Severity, Status
from mehc_checks.engine.check import Check
from mehc_checks.engine.correlate import SHOWN, root_causes
from mehc_checks.engine.health import Health, health
from mehc_checks.engine.report import CheckResult, Found, RootCause
from mehc_operator.conditions import (
    DEGRADED,
    OF_STATUS,
    READY,
    dated,
    summary,
    summary_conditions,
    suspended_conditions,
    troubles,
)
from mehc_operator.history import history, turned
from mehc_operator.limits import CAUSE, ENDPOINT, MESSAGE, SUMMARY, cut, evidence, with_fix
from mehc_operator.models import Mute
from mehc_operator.mutes import Muted, settled
from mehc_operator.status import (
    MOST_ENDPOINTS,
    MOST_FINDINGS,
    ChangeStatus,
    CheckStatus,
    EndpointStatus,
    FindingStatus,
    ReleaseStatus,
    RootCauseStatus,
    StatusReport,
)

HEARTBEAT: Final = timedelta(minutes=4)
"""The least age of ``lastProbeTime`` at which a probe run that changes nothing else renews it.

Less than the default interval, because probe runs come up to a tenth earlier than that: one that just missed the time
would leave it to the next, and a healthy resource would look as if nothing had probed it for ten minutes.
"""
_GOOD = frozenset({Status.PASS, Status.WARN})
_FINE = frozenset({Status.PASS, Status.SKIP})


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What is known about a resource after a probe run. ``results`` are in the order of the catalogue.

    ``confirmations`` is how often a check must fail before it counts; 1 judges at once. ``probe_now`` is the value of
    the annotation that the run has handled, None where it was not about that. ``changes`` is what else changed lately.
    """

    generation: int
    results: tuple[CheckResult, ...]
    confirmations: int
    started: datetime
    took: timedelta
    next_probe: datetime
    release: ReleaseStatus | None = None
    probe_now: str | None = None
    changes: tuple[ChangeStatus, ...] = ()
    mutes: tuple[Mute, ...] = ()


def judge(
    verdict: Verdict, previous: StatusReport, checks: Mapping[str, Check], now: datetime
) -> StatusReport:
    """The new status. What is unchanged keeps the times that ``previous`` gives it.

    A changed spec is a new question, so it is answered at once, whatever ``confirmations`` says.
    """
    asked_before = previous.observed_generation == verdict.generation
    confirmations = verdict.confirmations if asked_before else 1
    known = {check.name: check for check in previous.checks}
    states = [_confirmed(result, known.get(result.name), confirmations, now) for result in verdict.results]
    # What is not confirmed explains nothing.
    failing = {state.name for state in states if state.status is Status.FAIL}
    causes = root_causes([result for result in verdict.results if result.name in failing], checks.values())
    stuck = next((result.endpoints for result in verdict.results if result.endpoints is not None), None)
    mutes = settled(verdict.mutes, previous.mutes, states, len(stuck or ()), now)
    muted = Muted.by(mutes)
    unmuted, explained = muted.causes(causes)
    counted = [muted.counted(state, explained) for state in states]
    states = [
        state.model_copy(update={"muted": True})
        if one.status is not state.status and not one.findings
        else state
        for state, one in zip(states, counted, strict=True)
    ]
    wrong = troubles(counted, unmuted)
    conditions = [
        *summary_conditions(counted, wrong),
        *((s.name, OF_STATUS[s.status], s.reason, s.message) for s in states if s.status in OF_STATUS),
    ]
    applicable = [state for state in states if state.status is not Status.SKIP]
    passing = sum(state.status is Status.PASS for state in applicable)
    return StatusReport(
        observed_generation=verdict.generation,
        health=health(weight for state in counted for weight in _weights(state)),
        passing=f"{passing}/{len(applicable)}",
        summary=_with_mutes(summary(states, wrong), states),
        cause=wrong[0].key if wrong else None,
        causes=[with_fix(f"{one.key}: {one.message}", one.remediation, CAUSE) for one in wrong[:SHOWN]],
        root_causes=[_cause(cause) for cause in unmuted[:SHOWN]],
        release=verdict.release,
        stuck_endpoints=None if stuck is None else len(stuck),
        endpoints=[_endpoint(found) for found in (stuck or ())[:MOST_ENDPOINTS]],
        last_probe_time=verdict.started,
        next_probe_time=verdict.next_probe,
        last_handled_probe_now=verdict.probe_now or previous.last_handled_probe_now,
        duration=duration.show(verdict.took),
        conditions=dated(conditions, previous, verdict.generation, now),
        checks=states,
        mutes=mutes,
        history=history(turned(previous.checks, states, verdict.changes, now), previous.history),
    )


def _with_mutes(text: str, states: Iterable[CheckStatus]) -> str:
    """``text`` of a summary, with the checks that are muted."""
    muted = [state.name for state in states if state.muted]
    return cut(f"{text}; muted: {', '.join(muted)}", SUMMARY) if muted else text


def suspended(previous: StatusReport, generation: int, now: datetime) -> StatusReport:
    """The status of a suspended resource: the checks stand as last seen, the summary is unknown."""
    kept = [
        (c.type, c.status, c.reason, c.message)
        for c in previous.conditions
        if c.type not in (READY, DEGRADED)
    ]
    return previous.model_copy(
        update={
            "observed_generation": generation,
            "health": Health.SUSPENDED,
            "summary": "probing is suspended",
            "next_probe_time": None,
            "conditions": dated([*suspended_conditions(), *kept], previous, generation, now),
        }
    )


def unconfirmed(status: StatusReport) -> list[str]:
    """The checks whose failure is still to be confirmed."""
    return [check.name for check in status.checks if check.failures and check.status in _GOOD]


def significant(status: StatusReport) -> object:
    """What must differ for a status to be worth writing.

    Everything but times, durations and evidence. Of what passes, only that it passes, because its
    message may contain a latency; of what fails, not how often.
    """
    good = {check.name for check in status.checks if check.status is Status.PASS}
    return (
        status.observed_generation,
        status.health,
        status.passing,
        status.summary,
        status.root_causes,
        status.release,
        status.last_handled_probe_now,
        status.stuck_endpoints,
        status.endpoints,
        status.mutes,
        [(c.type, c.status, c.reason, "" if c.type in good else c.message) for c in status.conditions],
        [
            (c.name, c.status, c.severity, c.reason, c.muted)
            + ((c.failures,) if c.status in _GOOD else ())
            + (() if c.name in good else (c.message, c.findings))
            for c in status.checks
        ],
    )


def heartbeat_due(status: StatusReport, written: StatusReport) -> bool:
    """Whether ``status`` is to be written for its time alone, ``written`` being the one in the cluster."""
    if status.last_probe_time is None or status.health is Health.SUSPENDED:
        return False
    return (
        written.last_probe_time is None or abs(status.last_probe_time - written.last_probe_time) >= HEARTBEAT
    )


def _weights(state: CheckStatus) -> list[tuple[Status, Severity]]:
    """What decides the health: a rule may be critical in a check that is not."""
    return [(found.status, found.severity) for found in state.findings] or [(state.status, state.severity)]


def _confirmed(
    result: CheckResult, known: CheckStatus | None, confirmations: int, now: datetime
) -> CheckStatus:
    good = result.status in _GOOD or result.status is Status.SKIP
    failures = 0 if good else min(confirmations, (known.failures if known else 0) + 1)
    if known and known.status in _GOOD and not good and failures < confirmations:
        return known.model_copy(update={"failures": failures, "severity": result.severity})
    return CheckStatus(
        name=result.name,
        status=result.status,
        severity=result.severity,
        reason=result.reason,
        message=cut(result.message, MESSAGE),
        since=known.since if known and known.status is result.status else now,
        duration=None if result.status is Status.SKIP else duration.show(result.duration),
        failures=failures,
        findings=[_finding(found) for found in result.findings if found.status not in _FINE][:MOST_FINDINGS],
        evidence=evidence(dict(result.evidence)),
    )


def _finding(found: Found) -> FindingStatus:
    return FindingStatus(
        subject=found.subject,
        status=found.status,
        severity=found.severity,
        reason=found.reason,
        message=cut(found.message, MESSAGE),
        remediation=cut(found.remediation, MESSAGE),
        docs=found.docs,
    )


def _cause(cause: RootCause) -> RootCauseStatus:
    return RootCauseStatus(
        check=cause.check,
        reason=cause.reason,
        severity=cause.severity,
        endpoints=cause.endpoints,
        message=cut(cause.message, MESSAGE),
        remediation=cut(cause.remediation, MESSAGE),
        docs=cause.docs,
        explains=list(cause.explains),
    )


def _endpoint(found: Endpoint) -> EndpointStatus:
    return EndpointStatus(
        endpoint_id=found.endpoint_id,
        name=found.name,
        kind=found.kind,
        ready=found.ready,
        desired=found.desired,
        cause=found.cause,
        message=cut(found.message, ENDPOINT),
        remediation=cut(found.remediation, ENDPOINT),
    )
