"""All checks at once, each within its own time, their results redacted."""

import asyncio
import logging
import time
import traceback
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import Any

from mehc_checks.core import awaited, duration
from mehc_checks.core.deadline import OwnReasons, own_queues, within
from mehc_checks.core.errors import NotApplicable, Problem, UsageError
from mehc_checks.core.limiter import Limiter
from mehc_checks.core.links import docs_url
from mehc_checks.core.outcome import (
    Outcome,
    Severity,
    Status,
)
from mehc_checks.core.redact import Redactor
from mehc_checks.core.text import camel
from mehc_checks.engine.check import Check, load
from mehc_checks.engine.deputy import withheld
from mehc_checks.engine.reasons import RunnerReasons
from mehc_checks.engine.report import CheckResult, Found
from mehc_checks.engine.vantage import seen_from_outside
from mehc_checks.installation.context import Context
from mehc_checks.installation.delivery import HELM, Delivery

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Planned:
    """A check as it shall run: with the severity and time asked for, or skipped for the reason given."""

    check: Check
    severity: Severity
    timeout: timedelta
    skip: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """What a check says, not redacted yet: another one may still read the secret that it quotes."""

    planned: Planned
    outcome: Outcome
    took: timedelta = timedelta()

    def redacted(self, redactor: Redactor) -> CheckResult:
        return result_of(self.planned, self.outcome, redactor, self.took)


async def run(
    planned: Iterable[Planned], context: Context, limiter: Limiter | None = None
) -> tuple[Judged, ...]:
    """Carry out the plan and close ``context``. Never raises for what a check does."""
    planned, limiter = tuple(planned), limiter or Limiter(32)
    load(item.check for item in planned if not item.skip)
    try:
        with own_queues():
            return tuple(await asyncio.gather(*(_run_one(item, context, limiter) for item in planned)))
    finally:
        await context.close()


async def _run_one(planned: Planned, context: Context, limiter: Limiter) -> Judged:
    if planned.skip:
        skipped = Outcome.of([RunnerReasons.SKIPPED(detail=planned.skip)])
        return Judged(planned=planned, outcome=skipped)
    async with limiter.slot(context.namespace):
        with awaited.under_way(planned.check.name):
            clock = time.monotonic()
            outcome = await _guarded(planned, context, partial(_judged, planned, context))
            outcome = await _guarded(
                planned, context, partial(withheld, outcome, context, planned.check.scope)
            )
            if not context.inside:
                outcome = seen_from_outside(outcome, context.namespace)
            if context.installation is not None:
                outcome = _delivered(outcome, context.installation.delivery)
            took = timedelta(seconds=time.monotonic() - clock)
    return Judged(planned=planned, outcome=outcome, took=took)


def _delivered(outcome: Outcome, delivery: Delivery) -> Outcome:
    """``outcome`` with remedies that name the command by which the chart is applied here."""
    if delivery is HELM:
        return outcome
    return replace(
        outcome,
        findings=tuple(
            replace(found, remediation=delivery.fit(found.remediation)) for found in outcome.findings
        ),
        endpoints=outcome.endpoints
        and tuple(replace(each, remediation=delivery.fit(each.remediation)) for each in outcome.endpoints),
    )


async def _judged(planned: Planned, context: Context) -> Outcome:
    return planned.check.judge(await context.gather(planned.check.gather))


async def _guarded(planned: Planned, context: Context, work: Callable[[], Awaitable[Outcome]]) -> Outcome:
    """What ``work`` comes to within the check's time, or what kept it from that."""
    try:
        async with within(planned.timeout.total_seconds()):
            return await work()
    except NotApplicable as reason:
        return Outcome.of([RunnerReasons.NOT_APPLICABLE(detail=str(reason))])
    except Problem as error:
        return Outcome.of([error.finding()])
    except UsageError as error:
        return Outcome.of([RunnerReasons.INVALID_VALUE(detail=str(error))])
    except TimeoutError:
        allowed = duration.show(planned.timeout)
        return Outcome.of([RunnerReasons.PROBE_TIMEOUT(allowed=allowed, check=planned.check.name)])
    except MemoryError:
        return Outcome.of([OwnReasons.OVERLOADED(detail="mehc has no memory left")])
    except Exception as error:  # a defect of ours must not take the other checks with it
        # Not log.exception: the text of a foreign error may quote a connection's password.
        where = context.redactor.text(traceback.format_exc())
        log.error("check %s crashed\n%s", planned.check.name, where)  # noqa: TRY400
        return Outcome.of([RunnerReasons.INTERNAL_ERROR(error=type(error).__name__)])


def result_of(
    planned: Planned, outcome: Outcome, redactor: Redactor, took: timedelta = timedelta()
) -> CheckResult:
    """``outcome`` as it may be written anywhere."""
    check = planned.check
    evidence: dict[str, Any] = redactor.tree({camel(key): value for key, value in outcome.evidence.items()})
    return CheckResult(
        name=check.name,
        title=check.title,
        severity=planned.severity,
        duration=took,
        changes_at=outcome.changes_at,
        evidence=evidence,
        findings=tuple(
            Found(
                subject=redactor.text(finding.subject),
                status=finding.status,
                severity=finding.severity or planned.severity,
                reason=finding.reason.name,
                message=redactor.text(finding.message),
                remediation=redactor.text(finding.remediation),
                docs="" if finding.status is Status.SKIP else docs_url(check.docs_of(finding.reason)),
                explains=finding.explains,
                explained_by=finding.explained_by,
            )
            for finding in outcome.findings
        ),
        endpoints=None
        if outcome.endpoints is None
        else tuple(
            replace(
                endpoint,
                endpoint_id=redactor.text(endpoint.endpoint_id),
                name=redactor.text(endpoint.name),
                kind=redactor.text(endpoint.kind),
                message=redactor.text(endpoint.message),
                remediation=redactor.text(endpoint.remediation),
            )
            for endpoint in outcome.endpoints
        ),
    )
