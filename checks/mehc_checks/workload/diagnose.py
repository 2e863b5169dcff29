"""One cause for each endpoint that is not ready, with the lines that prove it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from mehc_checks.core.outcome import Reason
from mehc_checks.core.text import ago, counted, shortened
from mehc_checks.core.text import since as dated
from mehc_checks.modelengine.endpoints import TASK_LIMIT, Shown, State, shown
from mehc_checks.workload import creation
from mehc_checks.workload.objects import Endpoint, Event, Pod
from mehc_checks.workload.pods import PodCause, Surroundings, event_line, why
from mehc_checks.workload.reasons import CONSEQUENCE_OF, IN_PROGRESS, RANK
from mehc_checks.workload.reasons import EndpointReasons as R
from mehc_checks.workload.scheduling import Selected

_EVIDENCE = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Around:
    """What is known beside the endpoints: the time, the nodes, and the builder's queue where it can be read."""

    now: datetime
    grace: timedelta = timedelta(minutes=15)
    loading_grace: timedelta = timedelta(minutes=45)
    lost: frozenset[str] = frozenset()
    selected: Callable[[Mapping[str, str]], Selected | None] = lambda _: None
    queue: str = ""
    queued: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Cause:
    """Why an endpoint is not ready. ``overdue``: for longer than its grace period; ``serving``: some pods are ready."""

    reason: Reason
    message: str
    evidence: tuple[str, ...] = ()
    since: datetime | None = None
    overdue: bool = True
    serving: bool = False
    pod: str = ""

    @property
    def remedy(self) -> str:
        """What to do."""
        return self.reason.remedy

    @property
    def consequence_of(self) -> tuple[str, ...]:
        """The checks that would explain it, were they failing."""
        names = CONSEQUENCE_OF.get(self.reason, ())
        return tuple(dict.fromkeys(name.partition("/")[0] for name in names))


def word(endpoint: Endpoint) -> Shown:
    """The state of ``endpoint`` in the word of the documents."""
    if endpoint.workload is None and not endpoint.state:
        return Shown.UNKNOWN
    if endpoint.workload is None and endpoint.state == State.READY:
        return Shown.INITIALIZING
    return shown(endpoint.state, ready=endpoint.ready, desired=endpoint.desired)


def diagnose(endpoint: Endpoint, around: Around) -> Cause | None:
    """The cause, or None where the endpoint is as it should be: ready, scaled to zero, or just being built."""
    cause = _of_kubernetes(endpoint, around)
    recorded = _of_record(endpoint, around, has_pods=cause is not None)
    if cause is None or (recorded is not None and endpoint.workload is None):
        return _with_record(recorded, endpoint, around) if recorded else None
    return _with_record(cause, endpoint, around)


def _of_record(endpoint: Endpoint, around: Around, *, has_pods: bool) -> Cause | None:
    record = endpoint.record
    if record is None:
        return None
    since = record.updated or record.created
    age = around.now - since if since else around.grace

    def found(reason: Reason, text: str, *, overdue: bool = True) -> Cause:
        return Cause(reason=reason, message=text, since=since, overdue=overdue, serving=endpoint.ready > 0)

    late = age >= around.grace
    match record.state:
        case State.PENDING:
            return found(R.TASK_NOT_TAKEN, f"nobody takes its build task, {dated(since)}", overdue=late)
        case State.IN_PROGRESS if age >= TASK_LIMIT:
            text = f"its build task is under way {dated(since)}, and a task may take 30m"
            return found(R.TASK_KILLED, text)
        case State.FAILED:
            said = f": {shortened(record.reason, 300)}" if record.reason else ""
            if endpoint.workload and not has_pods and endpoint.desired:
                text = f"{endpoint.ready} of {endpoint.desired} pods are ready, and its update failed{said}"
                return found(R.FAILED_WITH_PODS, text)
            return found(R.UPDATE_FAILED, f"its update failed{said}")
        case State.DELETING:
            text = f"its deletion is under way {dated(since)}"
            return found(R.DELETION_STUCK, text, overdue=late)
        case State.READY if endpoint.workload is None:
            text = "it is recorded as READY, and it has no Deployment or LeaderWorkerSet"
            return found(R.WORKLOAD_MISSING, text, overdue=late)
    return None


def _with_record(cause: Cause, endpoint: Endpoint, around: Around) -> Cause:
    """``cause`` with what the platform itself says beside it."""
    lines = list(cause.evidence)
    if record := endpoint.record:
        since = record.updated or record.created
        task = f", task {shortened(record.task, 60)}" if record.task else ""
        lines.append(f"record: {record.state or 'no state'} for {ago(around.now, since)}{task}")
        if record.state == State.PENDING and around.queued is not None:
            lines.append(f"queue {around.queue} holds {counted(around.queued, 'task')}")
        if record.reason:
            lines.append(f"record says: {shortened(record.reason, 300)}")
    if endpoint.cached is not None and endpoint.workload is not None:
        ttl = endpoint.cached.ttl
        lines.append("cacher's key: absent" if ttl is None else f"cacher's key: expires in {ttl}s")
    return replace(cause, evidence=tuple(dict.fromkeys(lines))[: _EVIDENCE + 4])


def _of_kubernetes(endpoint: Endpoint, around: Around) -> Cause | None:
    workload = endpoint.workload
    if workload is None:
        return None
    if workload.deleting:
        late = around.now - workload.deleting >= around.grace
        text = f"its {workload.kind} is being deleted {dated(workload.deleting)}"
        return Cause(reason=R.DELETION_STUCK, message=text, since=workload.deleting, overdue=late)
    if not workload.desired:
        return _zero(endpoint, around)
    if workload.ready >= workload.desired:
        return None
    events = _by_object(endpoint.events)
    surroundings = Surroundings(now=around.now, events=events, lost=around.lost, selected=around.selected)
    unready = [pod for pod in endpoint.pods if not pod.is_ready]
    current = [pod for pod in unready if not pod.deleting and not pod.has_ended] or unready
    refused = _refused(endpoint, around)
    if refused and len(current) <= workload.desired - workload.ready - len(current):
        return refused
    if not current:
        return refused or _no_pods(endpoint, around)
    found = [(pod, why(pod, surroundings)) for pod in current]
    counts: dict[Reason, int] = {}
    for _, cause in found:
        counts[cause.reason] = counts.get(cause.reason, 0) + 1
    pod, chosen = min(found, key=lambda item: (-counts[item[1].reason], RANK[item[1].reason], item[0].name))
    if chosen.reason in _NO_ROOM:
        others = [(other, why(other, surroundings)) for other in endpoint.pods if other not in current]
        gone = [_gone(name, told, around.now) for name, told in events.items()]
        for other, cause in (*others, *(found for found in gone if found)):
            if cause.reason in _DISPLACED:
                message = f"{cause.message}; its successor waits: {chosen.message}"
                counts = {cause.reason: 1}
                evidence = (*cause.evidence, *chosen.evidence)
                chosen = PodCause(reason=cause.reason, message=message, evidence=evidence)
                pod = other
                break
    return _chosen(endpoint, pod, chosen, counts, around)


_NO_ROOM = frozenset({R.GPU_INSUFFICIENT, R.RESOURCES_INSUFFICIENT, R.NODES_UNUSABLE})
_DISPLACED = frozenset({R.PREEMPTED, R.EVICTED, R.TERMINATION_STUCK, R.NODE_LOST})
"""Of a pod that is replaced: why its successor, which finds no room, is needed at all."""


def _gone(name: str, told: tuple[Event, ...], now: datetime) -> tuple[Pod, PodCause] | None:
    """The scheduler deletes a pod that it preempts: only the Event is left of it."""
    event = next((event for event in reversed(told) if event.reason == "Preempted"), None)
    if event is None:
        return None
    text = "a pod of higher priority took its place"
    return Pod(name=name), PodCause(reason=R.PREEMPTED, message=text, evidence=(event_line(event, now),))


def _chosen(
    endpoint: Endpoint, pod: Pod, chosen: PodCause, counts: Mapping[Reason, int], around: Around
) -> Cause:
    since = _unready_since(endpoint)
    grace = around.loading_grace if chosen.reason in IN_PROGRESS else around.grace
    others = [
        f"{counted(count, 'pod')}: {reason.name}"
        for reason, count in counts.items()
        if reason is not chosen.reason
    ]
    same = counts[chosen.reason] - 1
    tail = f" (and {counted(same, 'pod')} more)" if same else ""
    return Cause(
        reason=chosen.reason,
        message=f"pod {pod.name}: {chosen.message}{tail}",
        evidence=(*chosen.evidence[:_EVIDENCE], *others),
        since=since,
        overdue=since is None or around.now - since >= grace,
        serving=endpoint.ready > 0,
        pod=pod.name,
    )


def _zero(endpoint: Endpoint, around: Around) -> Cause | None:
    """Scaled to zero: healthy while somebody can wake it."""
    workload, scaler = endpoint.workload, endpoint.scaler
    if workload is None:
        return None
    since = _condition_since(endpoint, "Progressing") or workload.created
    demand = endpoint.cached.demand if endpoint.cached else 0
    if scaler is None:
        if workload.min_workers == 0:  # async: the platform's own autoscaler wakes it
            return None
        text = f"its {workload.kind} wants 0 pods, and there is no ScaledObject to wake it"
        return Cause(
            reason=R.ZERO_WITHOUT_SCALER,
            message=text,
            since=since,
            overdue=since is None or around.now - since >= around.grace,
        )
    if scaler.paused:
        said = "its ScaledObject is paused"
    elif scaler.ready == "False":
        said = f"its ScaledObject is not ready ({shortened(scaler.why, 80) or 'no reason given'})"
    elif demand:
        said = f"{counted(demand, 'request')} waits to wake it, and KEDA does not act"
    else:
        return None
    keda = tuple(
        event_line(event, around.now)
        for event in endpoint.events
        if event.kind == "ScaledObject" and event.warning
    )
    waiting = f", {counted(demand, 'request')} waiting" if demand and "waits" not in said else ""
    return Cause(
        reason=R.STUCK_AT_ZERO,
        message=f"it has 0 pods{waiting}, and {said}",
        evidence=keda[-2:],
        since=since,
    )


def _refused(endpoint: Endpoint, around: Around) -> Cause | None:
    """Why the API server does not let the newest ReplicaSet, or a StatefulSet, make its pods."""
    owners = sorted(endpoint.replica_sets, key=lambda owner: owner.created or around.now, reverse=True)
    lines = [
        event_line(event, around.now)
        for event in endpoint.events
        if event.reason == "FailedCreate" and event.kind in ("ReplicaSet", "StatefulSet", "LeaderWorkerSet")
    ]
    message, since = "", None
    for owner in owners:
        if owner.failure and owner.desired > owner.current:
            message, since = owner.failure.message, owner.failure.since
            break
    else:
        short = {owner.name for owner in owners if owner.desired > owner.current} or {
            endpoint.name if not owners else ""
        }
        for event in reversed(endpoint.events):
            if event.reason == "FailedCreate" and (event.name in short or event.kind == "LeaderWorkerSet"):
                message, since = event.message, event.first
                break
    if not message:
        return None
    refusal = creation.read(message)
    begun = _unready_since(endpoint) or since
    return Cause(
        reason=refusal.reason,
        message=f"no pod can be made: {refusal.message}",
        evidence=(*(lines[-2:] or [f"FailedCreate: {shortened(message, 300)}"]),),
        since=begun,
        overdue=begun is None or around.now - begun >= around.grace,
        serving=endpoint.ready > 0,
    )


def _no_pods(endpoint: Endpoint, around: Around) -> Cause:
    workload = endpoint.workload
    since = _unready_since(endpoint)
    kind = workload.kind if workload else "Deployment"
    why_not = ""
    if workload and workload.paused:
        why_not = "; it is paused"
    elif workload and not workload.observed:
        why_not = "; its controller has not seen it"
    return Cause(
        reason=R.NO_PODS,
        message=f"its {kind} wants {counted(endpoint.desired, 'pod')} and has none that is on its way{why_not}",
        since=since,
        overdue=since is None or around.now - since >= around.grace,
        serving=endpoint.ready > 0,
    )


def _unready_since(endpoint: Endpoint) -> datetime | None:
    """Since when pods are missing: by the workload's condition while none is ready, else by the pods' own."""
    if not endpoint.ready and (available := _condition_since(endpoint, "Available", status="False")):
        return available
    times = [
        since
        for pod in endpoint.pods
        if not pod.is_ready
        if (since := (ready.since if (ready := pod.conditions.get("Ready")) else pod.created))
    ]
    return min(times, default=endpoint.workload.created if endpoint.workload else None)


def _condition_since(endpoint: Endpoint, kind: str, *, status: str = "") -> datetime | None:
    condition = endpoint.workload.conditions.get(kind) if endpoint.workload else None
    if condition is None or (status and condition.status != status):
        return None
    return condition.since


def _by_object(events: tuple[Event, ...]) -> dict[str, tuple[Event, ...]]:
    grouped: dict[str, list[Event]] = {}
    for event in events:
        if event.kind == "Pod":
            grouped.setdefault(event.name, []).append(event)
    return {name: tuple(found) for name, found in grouped.items()}
