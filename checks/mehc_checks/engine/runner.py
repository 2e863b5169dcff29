"""One pass: all checks at once, each within its own time, correlated into a report."""

import asyncio
import logging
import time
import traceback
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from mehc_checks.core import duration
from mehc_checks.core.errors import CannotEvaluate, NotApplicable, UsageError
from mehc_checks.core.outcome import (
    EndpointStatus,
    Evidence,
    Finding,
    Outcome,
    Reason,
    ReasonSet,
    Severity,
    Status,
)
from mehc_checks.core.redact import Redactor
from mehc_checks.engine.check import Check
from mehc_checks.engine.correlate import RootCause, root_causes
from mehc_checks.installation.context import Context

log = logging.getLogger(__name__)


class RunnerReasons(ReasonSet):
    """Reasons that every check can have, because they are about carrying it out."""

    SKIPPED = Reason("Skipped", Status.SKIP, "The check was disabled, or not selected.")
    NOT_APPLICABLE = Reason(
        "NotApplicable", Status.SKIP, "The check has nothing to judge in this installation."
    )
    INVALID_VALUE = Reason(
        "InvalidValue",
        Status.ERROR,
        "A value that the check needs cannot be read.",
        "Correct the value that the message names.",
    )
    FORBIDDEN = Reason(
        "Forbidden",
        Status.ERROR,
        "The Kubernetes API refused what the check must read.",
        "Grant the verb on the resource that the message names.",
    )
    PROBE_TIMEOUT = Reason(
        "ProbeTimeout",
        Status.ERROR,
        "The check did not finish within its own timeout; dependencies that do not answer are named otherwise.",
        "Raise spec.timeout, or the check's own timeout, if the dependency is known to be slow.",
    )
    INTERNAL_ERROR = Reason(
        "InternalError",
        Status.ERROR,
        "The check itself crashed, which says nothing about the installation.",
        "Please report this with the operator's log.",
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Planned:
    """A check as it shall run: with the severity and time asked for, or skipped for the reason given."""

    check: Check
    severity: Severity
    timeout: timedelta
    skip: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckResult:
    """One check, judged and redacted: safe to write anywhere.

    ``findings`` has a line for each part of the check: (subject, status, reason, message). ``failures`` are those
    that fail, from which root causes are told.
    """

    name: str
    title: str
    status: Status
    severity: Severity
    reason: str
    message: str
    remediation: str = ""
    docs: str = ""
    duration: timedelta = timedelta()
    evidence: Evidence = field(default_factory=dict)
    findings: tuple[tuple[str, Status, str, str], ...] = ()
    endpoints: tuple[EndpointStatus, ...] | None = None
    failures: tuple[Finding, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """A pass: its results in the order of the plan, and all root causes among them, worst first."""

    checks: tuple[CheckResult, ...]
    root_causes: tuple[RootCause, ...]
    started: datetime
    duration: timedelta


class Limiter:
    """Bounds the probes in flight, over all passes that share it."""

    def __init__(self, probes: int) -> None:
        self._slots = asyncio.Semaphore(probes)

    async def __aenter__(self) -> None:
        await self._slots.acquire()

    async def __aexit__(self, *exc: object) -> None:
        self._slots.release()


def plan(
    checks: Iterable[Check],
    *,
    timeout: timedelta,
    only: Iterable[str] = (),
    skip: Iterable[str] = (),
    severities: Mapping[str, Severity] | None = None,
    timeouts: Mapping[str, timedelta] | None = None,
) -> list[Planned]:
    """Which checks run, and how. Nothing vanishes: what is left out is planned as a skip with its reason."""
    only, skip = set(only), set(skip)
    severities, timeouts = severities or {}, timeouts or {}
    planned = []
    for item in checks:
        left_out = ""
        if item.name in skip:
            left_out = "disabled"
        elif only and item.name not in only:
            left_out = "not selected"
        planned.append(
            Planned(
                check=item,
                severity=severities.get(item.name, item.severity),
                timeout=timeouts.get(item.name, timeout),
                skip=left_out,
            )
        )
    return planned


async def run(planned: Iterable[Planned], context: Context, limiter: Limiter | None = None) -> Report:
    """Carry out the plan and close ``context``. Never raises for what a check does."""
    planned = list(planned)
    limiter = limiter or Limiter(32)
    started, clock = context.clock(), time.monotonic()
    try:
        results = tuple(await asyncio.gather(*(_run_one(item, context, limiter) for item in planned)))
    finally:
        await context.close()
    return Report(
        checks=results,
        root_causes=root_causes(results, [item.check for item in planned]),
        started=started,
        duration=timedelta(seconds=time.monotonic() - clock),
    )


async def _run_one(planned: Planned, context: Context, limiter: Limiter) -> CheckResult:
    if planned.skip:
        skipped = Outcome.of([RunnerReasons.SKIPPED.finding(planned.skip)])
        return _result(planned, skipped, context.redactor)
    async with limiter:
        clock = time.monotonic()
        outcome = await _judge(planned, context)
        took = timedelta(seconds=time.monotonic() - clock)
    return _result(planned, outcome, context.redactor, took)


async def _judge(planned: Planned, context: Context) -> Outcome:
    try:
        async with asyncio.timeout(planned.timeout.total_seconds()):
            facts = await context.gather(planned.check.gather)
        return planned.check.judge(facts)
    except NotApplicable as reason:
        return Outcome.of([RunnerReasons.NOT_APPLICABLE.finding(str(reason))])
    except CannotEvaluate as error:
        return Outcome(
            status=Status.ERROR, reason=error.reason, message=str(error), remediation=error.remediation
        )
    except UsageError as error:
        return Outcome.of([RunnerReasons.INVALID_VALUE.finding(str(error))])
    except TimeoutError:
        allowed = duration.show(planned.timeout)
        return Outcome.of(
            [
                RunnerReasons.PROBE_TIMEOUT.finding(
                    f"the check did not finish within its own timeout of {allowed}"
                )
            ]
        )
    except Exception as error:  # a defect of ours must not take the other checks with it
        # Not log.exception: the text of a foreign error may quote a connection's password.
        where = context.redactor.text(traceback.format_exc())
        log.error("check %s crashed\n%s", planned.check.name, where)  # noqa: TRY400
        return Outcome.of(
            [RunnerReasons.INTERNAL_ERROR.finding(f"the check itself crashed ({type(error).__name__})")]
        )


def _result(
    planned: Planned, outcome: Outcome, redactor: Redactor, took: timedelta = timedelta()
) -> CheckResult:
    evidence: dict[str, Any] = redactor.tree(outcome.evidence)
    return CheckResult(
        name=planned.check.name,
        title=planned.check.title,
        status=outcome.status,
        severity=planned.severity,
        reason=outcome.reason,
        message=redactor.text(outcome.message),
        remediation=redactor.text(outcome.remediation),
        docs="" if outcome.status is Status.SKIP else planned.check.docs_of(outcome.reason),
        duration=took,
        evidence=evidence,
        findings=tuple(
            (finding.subject, finding.status, finding.reason.name, redactor.text(finding.message))
            for finding in outcome.findings
        ),
        endpoints=None
        if outcome.endpoints is None
        else tuple(
            replace(
                endpoint,
                name=redactor.text(endpoint.name),
                message=redactor.text(endpoint.message),
                remediation=redactor.text(endpoint.remediation),
            )
            for endpoint in outcome.endpoints
        ),
        failures=tuple(
            replace(
                finding,
                message=redactor.text(finding.message),
                remediation=redactor.text(finding.remediation),
            )
            for finding in outcome.findings
            if finding.status is Status.FAIL
        ),
    )
