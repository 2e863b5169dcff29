"""One cause for each endpoint that is not ready: of its workload, of the platform's record, or of its scaling."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from mehc_checks.checks.endpoints.objects import Endpoint
from mehc_checks.checks.endpoints.reasons import SPREAD, ZERO
from mehc_checks.checks.endpoints.reasons import EndpointReasons as R
from mehc_checks.core.outcome import Reason
from mehc_checks.core.text import ago, counted, shortened
from mehc_checks.core.text import since as dated
from mehc_checks.modelengine.endpoints import TASK_LIMIT, Shown, State, min_workers, shown
from mehc_checks.workload import diagnose as workloads
from mehc_checks.workload.diagnose import Around, Cause
from mehc_checks.workload.evidence import event_line

_EVIDENCE: Final = 12


@dataclass(frozen=True, kw_only=True, slots=True)
class Queue:
    """The builder's queue. ``depth`` is None where it cannot be read."""

    name: str = ""
    depth: int | None = None


NO_QUEUE: Final = Queue()


def word(endpoint: Endpoint) -> Shown:
    """The state of ``endpoint`` in the word of the documents."""
    if endpoint.workload is None and not endpoint.state:
        return Shown.UNKNOWN
    if endpoint.workload is None and endpoint.state == State.READY:
        return Shown.INITIALIZING
    return shown(endpoint.state, ready=endpoint.ready, desired=endpoint.desired)


def diagnose(endpoint: Endpoint, around: Around, queue: Queue = NO_QUEUE) -> Cause | None:
    """The cause, or None where the endpoint is as it should be: ready, scaled to zero, or just being built."""
    cause = _of_kubernetes(endpoint, around)
    recorded = _of_record(endpoint, around, has_cause=cause is not None)
    if cause is None or (recorded is not None and endpoint.workload is None):
        cause = recorded
    return _with_record(cause, endpoint, around, queue) if cause else None


def orphaned(endpoint: Endpoint, around: Around) -> Cause | None:
    """The cause where ``endpoint`` has a workload, and all of the platform's record was read and has none of it."""
    workload = endpoint.workload
    if endpoint.record or workload is None or workload.deleting:
        return None
    words = {"workload": workload.kind, "ready": counted(endpoint.ready, "ready pod")}
    return _cause(endpoint, R.ORPHANED, around, workload.created, words)


def _cause(
    endpoint: Endpoint,
    reason: Reason,
    around: Around,
    since: datetime | None,
    words: Mapping[str, Any],
    *,
    at_once: bool = False,
) -> Cause:
    """``at_once``: there is no grace, what it waits for has run out already."""
    ends = since and since + around.grace
    return Cause(
        finding=reason(name=endpoint.name, namespace=endpoint.namespace, **words),
        since=since,
        overdue=at_once or ends is None or around.now >= ends,
        grace_ends=ends,
        serving=endpoint.ready > 0,
    )


def _of_record(endpoint: Endpoint, around: Around, *, has_cause: bool) -> Cause | None:
    record = endpoint.record
    if record is None:
        return None
    since = record.updated or record.created
    words: dict[str, Any] = {
        "since": dated(since),
        "ready": str(endpoint.ready),
        "desired": str(endpoint.desired),
    }
    match record.state:
        case State.PENDING:
            return _cause(endpoint, R.TASK_NOT_TAKEN, around, since, words)
        case State.IN_PROGRESS if since is None or around.now - since >= TASK_LIMIT:
            return _cause(endpoint, R.TASK_KILLED, around, since, words, at_once=True)
        case State.FAILED:
            if record.reason:
                words["detail"] = shortened(record.reason, 300)
            reached = endpoint.workload and not has_cause and endpoint.desired
            reason = R.FAILED_WITH_PODS if reached else R.UPDATE_FAILED
            if record.reason and "leaderworkerset" not in record.reason.lower():
                words["explained_by"] = tuple(name for name in reason.explained_by if name != SPREAD)
            return _cause(endpoint, reason, around, since, words, at_once=True)
        case State.DELETING:
            return _cause(endpoint, R.DELETION_STUCK, around, since, {"what": "the endpoint", **words})
        case State.READY if endpoint.workload is None:
            return _cause(endpoint, R.WORKLOAD_MISSING, around, since, words)
    return None


def _with_record(cause: Cause, endpoint: Endpoint, around: Around, queue: Queue) -> Cause:
    """``cause`` with what the platform itself says beside it."""
    lines = list(cause.evidence)
    if record := endpoint.record:
        since = record.updated or record.created
        task = f", task {shortened(record.task, 60)}" if record.task else ""
        lines.append(f"record: {record.state or 'no state'} for {ago(around.now, since)}{task}")
        if record.state == State.PENDING and queue.depth is not None:
            lines.append(f"queue {queue.name} holds {counted(queue.depth, 'task')}")
        if record.reason:
            lines.append(f"record says: {shortened(record.reason, 300)}")
    if endpoint.cached is not None and endpoint.workload is not None:
        ttl = endpoint.cached.ttl
        lines.append("cacher's key: absent" if ttl is None else f"cacher's key: expires in {ttl}s")
    return replace(cause, evidence=tuple(dict.fromkeys(lines))[:_EVIDENCE])


def _of_kubernetes(endpoint: Endpoint, around: Around) -> Cause | None:
    workload = endpoint.workload
    if workload is None:
        return None
    if workload.desired or workload.deleting:
        return workloads.diagnose(workload, around)
    return _zero(endpoint, around)


def _zero(endpoint: Endpoint, around: Around) -> Cause | None:
    """Scaled to zero: healthy while something can wake it."""
    workload, scaler = endpoint.workload, endpoint.scaler
    if workload is None:
        return None
    progressing = workload.conditions.get("Progressing")
    since = (progressing.since if progressing else None) or workload.created
    if scaler is None:
        if min_workers(workload.annotations) == 0:  # async: the platform's own autoscaler wakes it
            return None
        return _cause(endpoint, R.ZERO_WITHOUT_SCALER, around, since, {"workload": workload.kind})
    demand = endpoint.cached.demand if endpoint.cached else 0
    said = counted(demand, "request")
    if scaler.paused:
        detail = ZERO["paused"]
    elif scaler.ready == "False":
        detail = ZERO["not ready"].format(why=shortened(scaler.why, 80) or ZERO["no reason"])
    elif demand:
        detail = ZERO["asleep"].format(demand=said)
    else:
        return None
    if demand and said not in detail:
        detail += ZERO["demand"].format(demand=said)
    keda = [
        event_line(event, around.now)
        for event in workload.events
        if event.kind == "ScaledObject" and event.warning
    ]
    found = _cause(endpoint, R.STUCK_AT_ZERO, around, since, {"detail": detail}, at_once=True)
    return replace(found, evidence=tuple(keda[-2:]))
