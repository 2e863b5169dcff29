"""All endpoints that something keeps from being ready, worst first."""

from collections.abc import Iterable
from dataclasses import dataclass

from mehc_checks.core.outcome import EndpointStatus, Status
from mehc_checks.core.text import counted
from mehc_checks.workload.diagnose import Around, Cause, diagnose
from mehc_checks.workload.objects import Endpoint
from mehc_checks.workload.reasons import RANK
from mehc_checks.workload.reasons import EndpointReasons as R


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


def not_ready(endpoints: Iterable[Endpoint], around: Around, *, recorded: bool) -> tuple[Stuck, ...]:
    """Every endpoint that something keeps, also for less than its grace period; worst first.

    ``recorded``: whether all of the platform's record was read, so that what is not in it is in no record.
    """
    by_id: dict[str, Stuck] = {}
    for endpoint in endpoints:
        orphaned = _orphaned(endpoint, around) if recorded else None
        if cause := orphaned or diagnose(endpoint, around):
            by_id.setdefault(endpoint.id, Stuck(endpoint=endpoint, cause=cause))
    return tuple(sorted(by_id.values(), key=_badness))


def _badness(stuck: Stuck) -> tuple[bool, bool, bool, int, str]:
    cause = stuck.cause
    return (
        cause.reason.status is not Status.FAIL,
        not cause.overdue,
        cause.serving,
        RANK[cause.reason],
        stuck.endpoint.title,
    )


def _orphaned(endpoint: Endpoint, around: Around) -> Cause | None:
    workload = endpoint.workload
    if endpoint.record or workload is None or workload.deleting:
        return None
    return Cause(
        reason=R.ORPHANED,
        message=f"{workload.kind} {workload.name} ({counted(endpoint.ready, 'ready pod')}) has no record",
        since=workload.created,
        overdue=workload.created is None or around.now - workload.created >= around.grace,
        serving=endpoint.ready > 0,
    )
