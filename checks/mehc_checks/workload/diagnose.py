"""One cause for a workload that lacks ready pods, with the lines that prove it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from mehc_checks.clients.kubernetes.scheduling.readiness import Unready
from mehc_checks.core.outcome import Finding, Reason
from mehc_checks.core.text import counted, shortened
from mehc_checks.core.text import since as dated
from mehc_checks.modelengine.endpoints import FORWARDERS, PROXY
from mehc_checks.workload import creation
from mehc_checks.workload.ended import is_rejected, rejection
from mehc_checks.workload.evidence import event_line
from mehc_checks.workload.objects import Event, Pod, Workload
from mehc_checks.workload.pods import PodCause, Surroundings, cause, ending, why
from mehc_checks.workload.reasons import IN_PROGRESS, OF_THE_OWNER, ORDER
from mehc_checks.workload.reasons import WorkloadReasons as R
from mehc_checks.workload.registry import Answer
from mehc_checks.workload.scheduling import Selected
from mehc_checks.workload.stability import FEWEST, STABLE, failed_in_a_row, looping, looping_since
from mehc_checks.workload.trouble import Trouble

_EVIDENCE: Final = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Around:
    """What is known beside the workloads: the time, the nodes, and what registries answered (``Surroundings``)."""

    now: datetime
    grace: timedelta = timedelta(minutes=15)
    loading_grace: timedelta = timedelta(minutes=45)
    lost: Mapping[str, Unready] = field(default_factory=dict)
    selected: Callable[[Mapping[str, str]], Selected | None] = lambda _: None
    answered: Callable[[Pod, str], Answer | None] = lambda *_: None


@dataclass(frozen=True, kw_only=True, slots=True)
class Cause:
    """Why a workload is not ready. ``overdue``: for longer than its grace period, which ends at ``grace_ends``
    (None for none). ``serving``: some pods serve.

    ``of_owner``: it lies with whoever wrote the bundle or chose its resources. ``pod`` is the one it is about, or "".
    """

    finding: Finding
    evidence: tuple[str, ...] = ()
    since: datetime | None = None
    overdue: bool = True
    grace_ends: datetime | None = None
    serving: bool = False
    of_owner: bool = False
    pod: str = ""

    @property
    def reason(self) -> Reason:
        return self.finding.reason

    @property
    def message(self) -> str:
        return self.finding.message

    @property
    def remedy(self) -> str:
        """What to do."""
        return self.finding.remediation

    @property
    def explained_by(self) -> tuple[str, ...]:
        """The failures of other checks that would explain it, as correlation reads names."""
        given = self.finding.explained_by
        return self.reason.explained_by if given is None else given


def diagnose(workload: Workload, around: Around) -> Cause | None:
    """The cause, or None where ``workload`` is as it should be: ready, or scaled to zero."""
    if workload.deleting:
        what = f"{workload.kind} {workload.name}"
        words = {"what": what, "since": dated(workload.deleting), "namespace": workload.namespace}
        return _of(Trouble(reason=R.DELETION_STUCK, words=words), workload, around, since=workload.deleting)
    if not workload.desired:
        return None
    failed = failed_in_a_row(_of_newest(workload))
    unstable = [pod for pod in workload.pods if pod.is_ready and _is_unstable(pod, failed, around.now)]
    if workload.ready >= workload.desired and not unstable:
        return None
    events = _by_object(workload.events)
    surroundings = Surroundings(
        now=around.now,
        namespace=workload.namespace,
        events=events,
        lost=around.lost,
        selected=around.selected,
        answered=around.answered,
    )
    unready = [pod for pod in workload.pods if not pod.is_ready or pod in unstable]
    living = [pod for pod in unready if not pod.deleting and not pod.has_ended]
    refused = _refused(workload, around)
    if refused and len(living) <= workload.desired - workload.ready - len(living):
        return refused
    current = living or failed[:1] or unready
    if not current:
        return refused or _no_pods(workload, around)
    found = [_why(pod, failed, surroundings) for pod in current]
    counts: dict[Reason, int] = {}
    for _, each in found:
        counts[each.finding.reason] = counts.get(each.finding.reason, 0) + 1
    pod, chosen = min(
        found,
        key=lambda item: (
            -counts[item[1].finding.reason],
            ORDER.index(item[1].finding.reason),
            item[0].name,
        ),
    )
    if chosen.finding.reason in _NO_ROOM and (earlier := _displaced(workload, list(current), surroundings)):
        counts = {earlier[1].finding.reason: 1}
        message = f"{earlier[1].finding.message}; its successor waits: {chosen.finding.message}"
        evidence = (*earlier[1].evidence, *chosen.evidence)
        pod, chosen = (
            earlier[0],
            replace(earlier[1], finding=replace(earlier[1].finding, message=message), evidence=evidence),
        )
    return _chosen(workload, pod, chosen, counts, around, failed=failed, unstable=unstable)


_NO_ROOM = frozenset({R.GPU_INSUFFICIENT, R.RESOURCES_INSUFFICIENT, R.NODES_UNUSABLE})
_DISPLACED = frozenset(
    {R.PREEMPTED, R.EVICTED, R.REJECTED, R.DEADLINE_EXCEEDED, R.TERMINATION_STUCK, R.NODE_LOST}
)
"""Of a pod that is replaced: why its successor, which finds no room, is needed at all."""


def _is_unstable(pod: Pod, failed: tuple[Pod, ...], now: datetime) -> bool:
    """Whether ``pod``, ready at the moment, is about to fail as before: a container keeps exiting, or pods fail."""
    if looping(pod, now):
        return True
    return len(failed) >= FEWEST and pod.created is not None and now - pod.created < STABLE


def _why(pod: Pod, failed: tuple[Pod, ...], around: Surroundings) -> tuple[Pod, PodCause]:
    """The cause, and the pod that it is about: of a pod that is ready and not stable, maybe the one before it."""
    if is_rejected(pod):
        rejected = sum(map(is_rejected, failed))
        found = cause(pod, rejection(pod, about(rejected, "pod")), around, evidence=why(pod, around).evidence)
        return pod, found
    if pod.deleting or not pod.is_ready:
        return pod, why(pod, around)
    container = looping(pod, around.now)
    return (pod, ending(pod, container, around)) if container else _why(failed[0], failed, around)


def about(count: int, what: str) -> str:
    """ "3 pods", "over 20 pods": a number that grows with each look must not make each a new message."""
    floor = next((floor for floor in (100, 50, 20, 10) if count > floor), 0)
    return f"over {floor} {what}s" if floor else counted(count, what)


def _of_newest(workload: Workload) -> tuple[Pod, ...]:
    """The pods of the newest ReplicaSet; all where the workload has none."""
    newest = workload.newest
    return tuple(pod for pod in workload.pods if newest is None or pod.owner in ("", newest.name))


def _displaced(workload: Workload, current: list[Pod], around: Surroundings) -> tuple[Pod, PodCause] | None:
    """The pod whose place is to be filled, where something took it; the scheduler deletes those that it preempts."""
    failed = failed_in_a_row(_of_newest(workload))
    others = [
        pod for pod in (*failed, *workload.pods) if pod not in current and (pod.deleting or not pod.is_ready)
    ]
    for pod in others:
        _, found = _why(pod, failed, around)
        if found.finding.reason in _DISPLACED:
            return pod, found
    for name, told in around.events.items():
        event = next((event for event in reversed(told) if event.reason == "Preempted"), None)
        if event:
            gone = Pod(name=name)
            line = event_line(event, around.now)
            return gone, cause(gone, Trouble(reason=R.PREEMPTED), around, evidence=(line,))
    return None


def _chosen(
    workload: Workload,
    pod: Pod,
    chosen: PodCause,
    counts: Mapping[Reason, int],
    around: Around,
    *,
    failed: tuple[Pod, ...],
    unstable: list[Pod],
) -> Cause:
    reason = chosen.finding.reason
    others = [
        f"{counted(count, 'pod')}: {other.name}" for other, count in counts.items() if other is not reason
    ]
    same = counts[reason] - 1
    tail = f" (and {counted(same, 'more pod')})" if same else ""
    since = _in_trouble_since(workload, failed, around.now)
    grace = around.loading_grace if reason in IN_PROGRESS else around.grace
    ends = since and since + grace
    return Cause(
        finding=replace(chosen.finding, message=f"pod {pod.name}: {chosen.finding.message}{tail}"),
        evidence=(*chosen.evidence[:_EVIDENCE], *others),
        since=since,
        overdue=ends is None or around.now >= ends,
        grace_ends=ends,
        serving=workload.ready > len(unstable),
        of_owner=reason in OF_THE_OWNER and chosen.container not in (*FORWARDERS, PROXY),
        pod=pod.name,
    )


def _of(trouble: Trouble, workload: Workload, around: Around, *, since: datetime | None) -> Cause:
    """A cause of the workload itself, not of one of its pods."""
    ends = since and since + around.grace
    return Cause(
        finding=trouble.finding(namespace=workload.namespace),
        since=since,
        overdue=ends is None or around.now >= ends,
        grace_ends=ends,
        serving=workload.ready > 0,
        of_owner=trouble.reason in OF_THE_OWNER,
    )


def _refused(workload: Workload, around: Around) -> Cause | None:
    """Why the API server does not let the newest ReplicaSet, or a StatefulSet, make its pods."""
    told = [event for event in workload.events if event.reason == "FailedCreate" and event.kind != "Pod"]
    owners = sorted(workload.replica_sets, key=lambda owner: (owner.revision, owner.name), reverse=True)
    message, since = "", None
    for owner in owners:
        if owner.failure and owner.desired > owner.current:
            message, since = owner.failure.message, owner.failure.since
            break
    else:
        short = {owner.name for owner in owners if owner.desired > owner.current}
        if not owners:
            short.add(workload.name)
        for event in reversed(told):
            if event.name in short or event.kind == "LeaderWorkerSet":
                message, since = event.message, event.first
                break
    if not message:
        return None
    lines = [event_line(event, around.now) for event in told][-2:]
    found = _of(creation.read(message), workload, around, since=_unready_since(workload) or since)
    return replace(found, evidence=tuple(lines or [f"FailedCreate: {shortened(message, 300)}"]))


def _no_pods(workload: Workload, around: Around) -> Cause:
    words = {"workload": workload.kind, "desired": counted(workload.desired, "pod")}
    if workload.paused:
        words["detail"] = "it is paused"
    elif not workload.observed:
        words["detail"] = "its controller has not seen it"
    return _of(Trouble(reason=R.NO_PODS, words=words), workload, around, since=_unready_since(workload))


def _in_trouble_since(workload: Workload, failed: tuple[Pod, ...], now: datetime) -> datetime | None:
    """Since when it lacks pods that stay ready; that a pod is ready for a moment does not start it over."""
    events = _by_object(workload.events)
    times = [
        looping_since(pod, container, events.get(pod.name, ()), now)
        for pod in workload.pods
        if (container := looping(pod, now))
    ]
    young = all(pod.created and now - pod.created < STABLE for pod in workload.pods if not pod.has_ended)
    if failed and young and (first := failed[-1].created):
        times.append(first)
    if workload.ready < workload.desired and (flipped := _unready_since(workload)):
        times.append(flipped)
    return min(times, default=None)


def _unready_since(workload: Workload) -> datetime | None:
    """Since when pods are missing: by the workload's condition while none is ready, else by the pods' own."""
    available = workload.conditions.get("Available")
    if not workload.ready and available and available.status == "False" and available.since:
        return available.since
    times = [
        since
        for pod in workload.pods
        if not pod.is_ready and not pod.has_ended
        if (since := (ready.since if (ready := pod.conditions.get("Ready")) else pod.created))
    ]
    return min(times, default=workload.created)


def _by_object(events: tuple[Event, ...]) -> dict[str, tuple[Event, ...]]:
    grouped: dict[str, list[Event]] = {}
    for event in events:
        if event.kind == "Pod":
            grouped.setdefault(event.name, []).append(event)
    return {name: tuple(found) for name, found in grouped.items()}
