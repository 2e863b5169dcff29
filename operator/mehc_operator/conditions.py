"""From results to a status: confirmations, transitions, the summary. Pure; the clock is an argument."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from mehc_checks.core import duration
from mehc_checks.core.outcome import EndpointStatus as Endpoint
from mehc_checks.core.outcome import Severity, Status
from mehc_checks.engine.check import Check
from mehc_checks.engine.correlate import SHOWN, root_causes
from mehc_checks.engine.health import DECISIVE, health
from mehc_checks.engine.report import CheckResult, RootCause
from mehc_operator.models import (
    CheckStatus,
    Condition,
    ConditionStatus,
    EndpointStatus,
    Health,
    ReleaseStatus,
    RootCauseStatus,
    StatusReport,
)

READY, DEGRADED = "Ready", "Degraded"
_GOOD = frozenset({Status.PASS, Status.WARN})
_OF_STATUS = {
    Status.PASS: ConditionStatus.TRUE,
    Status.WARN: ConditionStatus.TRUE,
    Status.FAIL: ConditionStatus.FALSE,
    Status.ERROR: ConditionStatus.UNKNOWN,
}
_MESSAGE_LIMIT = 4096
_SUMMARY_LIMIT = 512
_ENDPOINT_LIMIT = 200
"""Of the endpoints that are not ready, the worst: an object of the API must not exceed 1.5 MB."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What is known about a resource after a pass. ``results`` are in the order of the catalogue.

    ``confirmations`` is how often a check must fail before it counts; 1 judges at once.
    """

    generation: int
    results: tuple[CheckResult, ...]
    confirmations: int
    started: datetime
    took: timedelta
    next_probe: datetime
    release: ReleaseStatus | None = None


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
    failing = {
        state.name for state in states if state.status is Status.FAIL
    }  # what is not confirmed explains nothing
    causes = root_causes([result for result in verdict.results if result.name in failing], checks.values())
    troubles = _troubles(states, causes)
    stuck = next((result.endpoints for result in verdict.results if result.endpoints is not None), None)
    conditions = [
        *_summary_conditions(states, troubles),
        *((s.name, _OF_STATUS[s.status], s.reason, s.message) for s in states if s.status in _OF_STATUS),
    ]
    applicable = [state for state in states if state.status is not Status.SKIP]
    passing = sum(state.status is Status.PASS for state in applicable)
    return StatusReport(
        observed_generation=verdict.generation,
        health=health((state.status, state.severity) for state in states),
        passing=f"{passing}/{len(applicable)}",
        summary=_summary(states, troubles),
        root_causes=[_cause(cause) for cause in causes[:SHOWN]],
        release=verdict.release,
        stuck_endpoints=None if stuck is None else len(stuck),
        endpoints=[_endpoint(found) for found in (stuck or ())[:_ENDPOINT_LIMIT]],
        last_probe_time=verdict.started,
        next_probe_time=verdict.next_probe,
        duration=duration.show(verdict.took),
        conditions=_dated(conditions, previous, verdict.generation, now),
        checks=states,
    )


def suspended(previous: StatusReport, generation: int, now: datetime) -> StatusReport:
    """The status of a suspended resource: the checks stand as last seen, the summary is unknown."""
    message = "spec.suspend is true; what the checks say is of the last pass"
    summary = [(kind, ConditionStatus.UNKNOWN, "Suspended", message) for kind in (READY, DEGRADED)]
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
            "conditions": _dated([*summary, *kept], previous, generation, now),
        }
    )


def unconfirmed(status: StatusReport) -> list[str]:
    """The checks whose failure is still to be confirmed."""
    return [check.name for check in status.checks if check.failures and check.status in _GOOD]


def significant(status: StatusReport) -> object:
    """What must differ for a status to be worth writing.

    Everything but times, durations and evidence. Of what passes, only that it passes, because its
    message may tell a latency; of what fails, not how often.
    """
    good = {check.name for check in status.checks if check.status is Status.PASS}
    return (
        status.observed_generation,
        status.health,
        status.passing,
        status.summary,
        status.root_causes,
        status.release,
        status.stuck_endpoints,
        status.endpoints,
        [(c.type, c.status, c.reason, "" if c.type in good else c.message) for c in status.conditions],
        [
            (c.name, c.status, c.severity, c.reason)
            + ((c.failures,) if c.status in _GOOD else ())
            + (() if c.name in good else (c.message, c.remediation))
            for c in status.checks
        ],
    )


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
        message=_cut(result.message, _MESSAGE_LIMIT),
        remediation=_cut(result.remediation, _MESSAGE_LIMIT),
        docs=result.docs,
        since=known.since if known and known.status is result.status else now,
        duration=None if result.status is Status.SKIP else duration.show(result.duration),
        failures=failures,
        evidence={key: value for key, value in result.evidence.items() if value is not None},
    )


class _Trouble(NamedTuple):
    """What a summary can lead with. Of failures only the root causes are: the others follow from them."""

    status: Status
    severity: Severity
    reason: str
    text: str


def _troubles(states: Iterable[CheckStatus], causes: Iterable[RootCause]) -> list[_Trouble]:
    """Root causes as they are ranked, then what could not be evaluated or warns, the most severe first."""
    troubles = [
        _Trouble(Status.FAIL, cause.severity, cause.reason, f"{cause.check}: {cause.message}")
        for cause in causes
    ]
    for state in sorted(states, key=lambda state: state.severity.rank):
        if state.status in (Status.ERROR, Status.WARN):
            said = " could not be evaluated" if state.status is Status.ERROR else ""
            text = f"{state.name}{said}: {state.message}"
            troubles.append(_Trouble(state.status, state.severity, state.reason, text))
    return troubles


def _first(troubles: list[_Trouble], status: Status, limit: int) -> tuple[str, str] | None:
    """Reason and text of the first with ``status``, with the number of the others; None if there are none."""
    matching = [trouble for trouble in troubles if trouble.status is status]
    if not matching:
        return None
    more = f" (and {len(matching) - 1} more)" if len(matching) > 1 else ""
    return matching[0].reason, _cut(matching[0].text, limit) + more


_READY = ((Status.FAIL, ConditionStatus.FALSE), (Status.ERROR, ConditionStatus.UNKNOWN))
_DEGRADED = (
    (Status.FAIL, ConditionStatus.TRUE),
    (Status.WARN, ConditionStatus.TRUE),
    (Status.ERROR, ConditionStatus.UNKNOWN),
)
"""Rows of a summary's table: the first status that any trouble has decides."""


def _summary_conditions(
    states: list[CheckStatus], troubles: list[_Trouble]
) -> list[tuple[str, ConditionStatus, str, str]]:
    """Ready and Degraded. Reason and message are those of the worst trouble that the deciding row covers."""
    evaluated = any(check.status is not Status.SKIP for check in states)
    decisive = [trouble for trouble in troubles if trouble.severity in DECISIVE]
    conditions = []
    for kind, table, concerned, fine, text in (
        (READY, _READY, decisive, ConditionStatus.TRUE, "no critical or high check fails"),
        (DEGRADED, _DEGRADED, troubles, ConditionStatus.FALSE, "every check passes"),
    ):
        for status, becomes in table:
            if found := _first(concerned, status, _MESSAGE_LIMIT):
                conditions.append((kind, becomes, *found))
                break
        else:
            if evaluated:
                conditions.append((kind, fine, "ChecksPass", text))
            else:
                conditions.append((kind, ConditionStatus.UNKNOWN, "NothingToCheck", "no check applies"))
    return conditions


def _summary(states: list[CheckStatus], troubles: list[_Trouble]) -> str:
    for status in (Status.FAIL, Status.ERROR, Status.WARN):
        if found := _first(troubles, status, _SUMMARY_LIMIT):
            return found[1]
    passing = sum(state.status is Status.PASS for state in states)
    return f"all {passing} checks pass" if passing else "no check applies"


def _cause(cause: RootCause) -> RootCauseStatus:
    return RootCauseStatus(
        check=cause.check,
        reason=cause.reason,
        message=_cut(cause.message, _MESSAGE_LIMIT),
        remediation=_cut(cause.remediation, _MESSAGE_LIMIT),
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
        message=_cut(found.message, _SUMMARY_LIMIT),
        remediation=_cut(found.remediation, _SUMMARY_LIMIT),
    )


def _dated(
    conditions: Iterable[tuple[str, ConditionStatus, str, str]],
    previous: StatusReport,
    generation: int,
    now: datetime,
) -> list[Condition]:
    dated = []
    for kind, status, reason, message in conditions:
        known = previous.condition(kind)
        since = known.last_transition_time if known and known.status is status else now
        dated.append(
            Condition(
                type=kind,
                status=status,
                reason=reason,
                message=message,
                last_transition_time=since,
                observed_generation=generation,
            )
        )
    return dated


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
