"""Ready and Degraded: a table of what decides them. Pure."""

from collections.abc import Iterable
from datetime import datetime
from typing import Final, NamedTuple

from mehc_checks.core.outcome import Finding, Severity, Status
from mehc_checks.engine.health import DECISIVE
from mehc_checks.engine.report import RootCause
from mehc_operator.limits import MESSAGE, SUMMARY, cut
from mehc_operator.reasons import OperatorReasons as R
from mehc_operator.status import CheckStatus, Condition, ConditionStatus, StatusReport

READY, DEGRADED = "Ready", "Degraded"
OF_STATUS: Final = {
    Status.PASS: ConditionStatus.TRUE,
    Status.WARN: ConditionStatus.TRUE,
    Status.FAIL: ConditionStatus.FALSE,
    Status.ERROR: ConditionStatus.UNKNOWN,
}
"""The condition of a check; one that is skipped has none."""
_READY: Final = ((Status.FAIL, ConditionStatus.FALSE), (Status.ERROR, ConditionStatus.UNKNOWN))
_DEGRADED: Final = (
    (Status.FAIL, ConditionStatus.TRUE),
    (Status.WARN, ConditionStatus.TRUE),
    (Status.ERROR, ConditionStatus.UNKNOWN),
)
"""Rows of a summary's table: the first status that any trouble has decides."""

Undated = tuple[str, ConditionStatus, str, str]
"""Type, status, reason and message of a condition."""


class Trouble(NamedTuple):
    """What a summary can lead with. Of failures only the root causes are: the others follow from them."""

    status: Status
    severity: Severity
    check: str
    reason: str
    message: str
    remediation: str

    @property
    def key(self) -> str:
        """Check and reason: "RedisReachable/ConnectionRefused"."""
        return f"{self.check}/{self.reason}"

    @property
    def text(self) -> str:
        """What is wrong, and with which check."""
        unknown = " could not be evaluated" if self.status is Status.ERROR else ""
        return f"{self.check}{unknown}: {self.message}"


def troubles(checks: Iterable[CheckStatus], causes: Iterable[RootCause]) -> list[Trouble]:
    """Root causes as they are ranked, then what could not be evaluated, then what warns, the most severe first."""
    found = [
        Trouble(Status.FAIL, cause.severity, cause.check, cause.reason, cause.message, cause.remediation)
        for cause in causes
    ]
    others = []
    for check in checks:
        if check.status in (Status.ERROR, Status.WARN):
            worst = min((one.severity for one in check.findings), key=_rank, default=check.severity)
            remedy = check.findings[0].remediation if check.findings else ""
            others.append(Trouble(check.status, worst, check.name, check.reason, check.message, remedy))
    others.sort(key=lambda one: (one.status is Status.WARN, one.severity.rank))
    return found + others


def summary(checks: Iterable[CheckStatus], found: list[Trouble]) -> str:
    """The verdict in one sentence."""
    if found:
        return _first(found, found[0].status, SUMMARY)[1]
    passing = sum(check.status is Status.PASS for check in checks)
    if passing > 1:
        return f"all {passing} checks pass"
    return "the only check that applies passes" if passing else R.NOTHING_TO_CHECK().message


def summary_conditions(checks: Iterable[CheckStatus], found: list[Trouble]) -> list[Undated]:
    """Ready and Degraded. Reason and message are those of the worst trouble that the deciding row covers."""
    evaluated = any(check.status is not Status.SKIP for check in checks)
    decisive = [trouble for trouble in found if trouble.severity in DECISIVE]
    conditions: list[Undated] = []
    for kind, table, concerned, fine, detail in (
        (READY, _READY, decisive, ConditionStatus.TRUE, "no critical or high check fails"),
        (DEGRADED, _DEGRADED, found, ConditionStatus.FALSE, "every check passes"),
    ):
        for status, becomes in table:
            if any(trouble.status is status for trouble in concerned):
                conditions.append((kind, becomes, *_first(concerned, status, MESSAGE)))
                break
        else:
            if evaluated:
                conditions.append((kind, fine, *_of(R.CHECKS_PASS(detail=detail))))
            else:
                conditions.append((kind, ConditionStatus.UNKNOWN, *_of(R.NOTHING_TO_CHECK())))
    return conditions


def suspended_conditions() -> list[Undated]:
    """Ready and Degraded of a suspended resource."""
    return [(kind, ConditionStatus.UNKNOWN, *_of(R.SUSPENDED())) for kind in (READY, DEGRADED)]


def dated(
    conditions: Iterable[Undated], previous: StatusReport, generation: int, now: datetime
) -> list[Condition]:
    """The ``conditions`` with the times of ``previous`` where their status is the same."""
    found = []
    for kind, status, reason, message in conditions:
        known = previous.condition(kind)
        since = known.last_transition_time if known and known.status is status else now
        found.append(
            Condition(
                type=kind,
                status=status,
                reason=reason,
                message=message,
                last_transition_time=since,
                observed_generation=generation,
            )
        )
    return found


def _rank(severity: Severity) -> int:
    return severity.rank


def _of(finding: Finding) -> tuple[str, str]:
    return finding.reason.name, finding.message


def _first(found: list[Trouble], status: Status, limit: int) -> tuple[str, str]:
    """Reason and text of the first with ``status``, with the number of the others; at most ``limit`` characters."""
    first, *others = [trouble for trouble in found if trouble.status is status]
    what = "root cause" if status is Status.FAIL else "check"
    more = f" (and {len(others)} more {what}{'s' * (len(others) > 1)})" if others else ""
    return first.reason, cut(first.text, limit - len(more)) + more
