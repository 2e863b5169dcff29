"""Which Events a new status is worth: one for each condition that turned."""

from collections.abc import Iterator
from dataclasses import dataclass

from mehc_operator.conditions import DEGRADED, READY
from mehc_operator.models import Condition, ConditionStatus, Health, StatusReport

_LIMIT = 1024
"""What the API server accepts as an Event's message."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """``type`` is Normal or Warning."""

    type: str
    reason: str
    message: str


def transitions(previous: StatusReport, status: StatusReport) -> Iterator[Event]:
    """An Event for each condition whose status changed.

    Degraded has none: what turns it has one of its own. A condition that is new has one only
    when it is not True (Ready always), so a first healthy pass is one Event, not a dozen. A
    suspended resource has none: its conditions did not turn, somebody looked away.
    """
    if Health.SUSPENDED in (status.health, previous.health):
        return
    remedies = {check.name: check.remediation for check in status.checks}
    for condition in status.conditions:
        if condition.type != DEGRADED and _is_news(previous.condition(condition.type), condition):
            fine = condition.status is ConditionStatus.TRUE
            text = " ".join(filter(None, (condition.message, remedies.get(condition.type, ""))))
            yield Event(
                type="Normal" if fine else "Warning",
                reason=condition.reason,
                message=_cut(f"{condition.type} is {condition.status}: {text}"),
            )


def _is_news(before: Condition | None, after: Condition) -> bool:
    if before is None:
        return after.type == READY or after.status is not ConditionStatus.TRUE
    return before.status is not after.status


def _cut(message: str) -> str:
    encoded = message.encode()
    if len(encoded) <= _LIMIT:
        return message
    return encoded[: _LIMIT - 3].decode(errors="ignore") + "…"
