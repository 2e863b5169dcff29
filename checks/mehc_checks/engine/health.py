"""One word for the whole installation."""

from collections.abc import Iterable
from enum import StrEnum
from typing import Final

from mehc_checks.core.outcome import Severity, Status

DECISIVE: Final = frozenset({Severity.CRITICAL, Severity.HIGH})
"""The severities that decide whether an installation is ready."""


class Health(StrEnum):
    """The verdict, in one word. Suspended is the operator's alone."""

    HEALTHY = "Healthy"
    DEGRADED = "Degraded"
    FAILING = "Failing"
    UNKNOWN = "Unknown"
    SUSPENDED = "Suspended"


def health(judged: Iterable[tuple[Status, Severity]]) -> Health:
    """The verdict on checks, or findings, each with its status and how much a failure of it weighs."""
    seen = [(status, severity) for status, severity in judged if status is not Status.SKIP]
    decisive = {status for status, severity in seen if severity in DECISIVE}
    if Status.FAIL in decisive:
        return Health.FAILING
    if Status.ERROR in decisive or not seen:
        return Health.UNKNOWN
    return Health.HEALTHY if {status for status, _ in seen} == {Status.PASS} else Health.DEGRADED
