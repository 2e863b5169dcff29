"""Which Events a new status is worth: one for each condition that turned."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from mehc_checks.core.outcome import Finding
from mehc_checks.engine.health import Health
from mehc_operator.conditions import DEGRADED, READY
from mehc_operator.limits import with_fix
from mehc_operator.status import Condition, ConditionStatus, StatusReport

_LIMIT: Final = 1024
"""Bytes that the API server accepts as an Event's message."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """``type`` is Normal or Warning. Events with the same ``series`` are the same transition, seen again."""

    type: str
    reason: str
    message: str
    series: str


def transitions(previous: StatusReport, status: StatusReport) -> Iterator[Event]:
    """An Event for each condition whose status changed.

    Degraded has none: what turns it has one of its own. A condition that is new has one only
    when it is not True (Ready always), so a first healthy probe run is one Event, not a dozen. A
    suspended resource has none: its conditions did not turn, probing did.
    """
    if Health.SUSPENDED in (status.health, previous.health):
        return
    remedies = {check.name: check.findings[0].remediation for check in status.checks if check.findings}
    if status.root_causes:
        remedies[READY] = status.root_causes[0].remediation
    for condition in status.conditions:
        if condition.type != DEGRADED and _is_news(previous.condition(condition.type), condition):
            fine = condition.status is ConditionStatus.TRUE
            what = f"{condition.type} is {condition.status}"
            yield Event(
                type="Normal" if fine else "Warning",
                reason=condition.reason,
                message=_fitting(
                    f"{what}: {condition.message}", "" if fine else remedies.get(condition.type, "")
                ),
                series=f"{what}/{condition.reason}",
            )


def refusal(finding: Finding) -> Event:
    """An Event that a status could not be written."""
    reason = finding.reason.name
    return Event(
        type="Warning", reason=reason, message=_fitting(finding.message, finding.remediation), series=reason
    )


def _is_news(before: Condition | None, after: Condition) -> bool:
    if before is None:
        return after.type == READY or after.status is not ConditionStatus.TRUE
    return before.status is not after.status


def _fitting(text: str, remedy: str) -> str:
    said = with_fix(text, remedy, _LIMIT)
    size = len(said.encode())
    return said if size <= _LIMIT else with_fix(text, remedy, _LIMIT * len(said) // size)
