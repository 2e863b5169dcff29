"""All endpoints that something keeps from being ready, worst first."""

from collections.abc import Iterable
from dataclasses import dataclass

from mehc_checks.checks.endpoints.diagnose import NO_QUEUE, Queue, diagnose, orphaned
from mehc_checks.checks.endpoints.objects import Endpoint
from mehc_checks.checks.endpoints.reasons import ORDER
from mehc_checks.core.outcome import EndpointStatus, Status
from mehc_checks.workload.diagnose import Around, Cause


@dataclass(frozen=True, kw_only=True, slots=True)
class Stuck:
    """An endpoint, and what keeps it from being ready."""

    endpoint: Endpoint
    cause: Cause

    @property
    def status(self) -> EndpointStatus:
        """As ``status.endpoints`` shows it."""
        return EndpointStatus(
            endpoint_id=self.endpoint.id,
            name=self.endpoint.title,
            kind=str(self.endpoint.kind),
            ready=self.endpoint.ready,
            desired=self.endpoint.desired,
            cause=self.cause.reason.name,
            message=self.cause.message,
            remediation=self.cause.remedy,
        )


def not_ready(
    endpoints: Iterable[Endpoint], around: Around, *, recorded: bool, queue: Queue = NO_QUEUE
) -> tuple[Stuck, ...]:
    """Every endpoint that something keeps, also for less than its grace period; worst first.

    ``recorded``: whether all of the platform's record was read, so that what is not in it is in no record.
    """
    by_id: dict[str, Stuck] = {}
    for endpoint in endpoints:
        found = orphaned(endpoint, around) if recorded else None
        if cause := found or diagnose(endpoint, around, queue):
            by_id.setdefault(endpoint.id, Stuck(endpoint=endpoint, cause=cause))
    return tuple(sorted(by_id.values(), key=_badness))


def _badness(stuck: Stuck) -> tuple[bool, bool, bool, int, str]:
    cause = stuck.cause
    return (
        cause.finding.status is not Status.FAIL,
        not cause.overdue,
        cause.serving,
        ORDER.index(cause.reason),
        stuck.endpoint.title,
    )
