"""Why one pod is not ready: from its conditions, its containers' states, and the Events about it."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from mehc_checks.core.outcome import Reason
from mehc_checks.core.text import ago, shortened, since
from mehc_checks.modelengine.endpoints import FORWARDERS, PROXY
from mehc_checks.workload import mounts, scheduling, waiting
from mehc_checks.workload.objects import Container, Event, Pod
from mehc_checks.workload.reasons import RANK
from mehc_checks.workload.reasons import EndpointReasons as R


@dataclass(frozen=True, kw_only=True, slots=True)
class PodCause:
    """Why, in words that do not name the pod, and the lines that prove it."""

    reason: Reason
    message: str
    evidence: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Surroundings:
    """What is known beside the pod. ``lost`` are nodes that are not Ready; None where nodes could not be read.

    ``selected`` finds the nodes that carry all of a nodeSelector.
    """

    now: datetime
    events: Mapping[str, tuple[Event, ...]] = field(default_factory=dict)
    """Of pods by name, oldest first."""
    lost: frozenset[str] = frozenset()
    selected: Callable[[Mapping[str, str]], scheduling.Selected | None] = lambda _: None


_TERMINATION_SECONDS: Final = 1800 + 300
"""The longest grace of an endpoint's pods, and some more."""
_PREEMPTING: Final = frozenset({"Preempting", "Preempted"})


def why(pod: Pod, around: Surroundings) -> PodCause:
    """The one cause that keeps ``pod`` from being ready. Always one: at last, that nothing more is known."""
    events = around.events.get(pod.name, ())
    for ask in (_lost, _ended, _unscheduled, _containers, _preparing, _unready):
        if found := ask(pod, events, around):
            return found
    return PodCause(reason=R.POD_NOT_READY, message=_plain(pod), evidence=(_state(pod),))


def _lost(pod: Pod, events: tuple[Event, ...], around: Surroundings) -> PodCause | None:
    if pod.node and (pod.node in around.lost or pod.reason == "NodeLost"):
        return PodCause(
            reason=R.NODE_LOST,
            message=f"node {pod.node} is not ready",
            evidence=(_state(pod), *_lines(events, ("NodeNotReady", "TaintManagerEviction"), around)),
        )
    if pod.deleting and (around.now - pod.deleting).total_seconds() > _TERMINATION_SECONDS:
        return PodCause(
            reason=R.TERMINATION_STUCK,
            message=f"it shall end {since(pod.deleting)} and does not",
            evidence=(_state(pod),),
        )
    return None


_DISRUPTIONS: Final = {
    "PreemptionByScheduler": (R.PREEMPTED, "a pod of higher priority took its place"),
    "DeletionByTaintManager": (R.EVICTED, "a NoExecute taint of its node drove it away"),
    "EvictionByEvictionAPI": (R.EVICTED, "a drain evicted it"),
    "TerminationByKubelet": (R.EVICTED, "the kubelet ended it"),
    "DeletionByPodGC": (R.NODE_LOST, "its node is gone"),
}


def _ended(pod: Pod, events: tuple[Event, ...], around: Surroundings) -> PodCause | None:
    if not (pod.has_ended or pod.deleting):
        return None
    evidence = (_state(pod), *_lines(events, ("Evicted", "Preempted", "Preempting"), around))
    disruption = pod.conditions.get("DisruptionTarget")
    if disruption and disruption.status == "True" and disruption.reason in _DISRUPTIONS:
        reason, says = _DISRUPTIONS[disruption.reason]
        detail = shortened(pod.message or disruption.message, 140)
        return PodCause(reason=reason, message=f"{says}: {detail}" if detail else says, evidence=evidence)
    if pod.reason in _PREEMPTING or any(event.reason in _PREEMPTING for event in events):
        return PodCause(
            reason=R.PREEMPTED, message="a pod of higher priority took its place", evidence=evidence
        )
    if pod.reason == "Evicted":
        said = shortened(pod.message, 160) or "the kubelet evicted it"
        return PodCause(reason=R.EVICTED, message=said, evidence=evidence)
    return None


def _unscheduled(pod: Pod, events: tuple[Event, ...], around: Surroundings) -> PodCause | None:
    if pod.node or pod.has_ended:
        return None
    scheduled = pod.conditions.get("PodScheduled")
    latest = next((event for event in reversed(events) if event.reason == "FailedScheduling"), None)
    message = (scheduled.message if scheduled else "") or (latest.message if latest else "")
    if pod.gated:
        return PodCause(
            reason=R.NOT_CONSIDERED, message=f"scheduling gates hold it back: {', '.join(pod.gated)}"
        )
    if not message:
        said = "no scheduler has said a word about it"
        return PodCause(reason=R.NOT_CONSIDERED, message=said, evidence=(_state(pod),))
    verdict = scheduling.read(message)
    reason = scheduling.decide(verdict, around.selected(pod.node_selector))
    if verdict.total is None:
        text = shortened(message)
    elif not verdict.total:
        text = "the cluster has no nodes for it"
    else:
        text = f"0 of {verdict.total} nodes take it: {verdict.said}"
    evidence = [f"kube-scheduler: {shortened(message, 300)}"]
    if reason is R.LABEL_UNMATCHED and pod.node_selector:
        wanted = ", ".join(f"{key}={value}" for key, value in sorted(pod.node_selector.items()))
        selected = around.selected(pod.node_selector)
        text = f"no node carries {wanted} ({text})" if selected and not selected.nodes else text
        evidence.append(f"nodeSelector: {wanted}")
    if reason is R.TAINT_UNTOLERATED and (selected := around.selected(pod.node_selector)):
        evidence.append(f"taints of the nodes with its labels: {', '.join(selected.taints)}")
    if verdict.preemption:
        evidence.append(f"preemption: {shortened(verdict.preemption, 160)}")
    evidence += _lines(events, ("NotTriggerScaleUp", "TriggeredScaleUp", "FailedScaleUp"), around)
    return PodCause(reason=reason, message=text, evidence=tuple(evidence))


def _containers(pod: Pod, events: tuple[Event, ...], around: Surroundings) -> PodCause | None:
    found: list[tuple[Container, waiting.Trouble]] = []
    for container in pod.containers:
        if container.ready and not container.init:
            continue
        if trouble := waiting.read_container(container):
            found.append((container, _refined(container, trouble, events)))
    if not found:
        return None
    container, trouble = min(found, key=lambda item: RANK[item[1].reason])
    reason, message = trouble.reason, trouble.message
    if reason is R.OUT_OF_MEMORY and (limit := pod.memory_limits.get(container.name)):
        message = f"{message}; its limit is {limit}"
    if reason is R.CRASHING and container.name in FORWARDERS:
        reason = R.FORWARDER_NOT_READY
    names = ("Failed", "BackOff", "Unhealthy", "Killing", "FailedPostStartHook")
    return PodCause(
        reason=reason,
        message=message,
        evidence=(_container_line(container), *_lines(events, names, around)),
    )


def _refined(container: Container, trouble: waiting.Trouble, events: tuple[Event, ...]) -> waiting.Trouble:
    """``trouble`` as the Events tell it more exactly."""
    if trouble.vague:
        for event in reversed(events):
            if event.reason == "Failed" and "pull" in event.message.lower():
                named = waiting.read_pull(event.message, container.image)
                if named.reason is not R.IMAGE_PULL_FAILED:
                    return named
    if trouble.reason is R.CRASHING:
        for event in reversed(events):
            if event.reason in ("Killing", "Unhealthy") and _kills(event, container.name):
                probe = "startup" if "startup" in event.message.lower() else "liveness"
                said = f"the kubelet restarts container {container.name}: its {probe} probe fails"
                return waiting.Trouble(reason=R.KILLED_BY_PROBE, message=said)
    return trouble


def _kills(event: Event, container: str) -> bool:
    text = event.message.lower()
    return (
        event.reason == "Killing"
        and container in event.message
        and ("failed liveness probe" in text or "failed startup probe" in text)
    )


def _preparing(pod: Pod, events: tuple[Event, ...], around: Surroundings) -> PodCause | None:
    """Scheduled, and its containers are not made yet."""
    if pod.phase != "Pending":
        return None
    found: list[mounts.Trouble] = []
    for event in reversed(events):
        if event.reason in mounts.EVENTS:
            found.append(mounts.read_mount(event.message))
        elif event.reason in mounts.SANDBOX_EVENTS:
            found.append(mounts.read_sandbox(event.message))
    names = (*mounts.EVENTS, *mounts.SANDBOX_EVENTS)
    if found:
        exact = next((trouble for trouble in found if not trouble.vague), found[0])
        return PodCause(
            reason=exact.reason, message=exact.message, evidence=tuple(_lines(events, names, around))
        )
    pulls = [event for event in events if event.reason in ("Pulling", "Pulled")]
    if pulls and pulls[-1].reason == "Pulling":
        image = next(iter(pulls[-1].message.split('"')[1:2]), "")
        return PodCause(
            reason=R.IMAGE_PULL_SLOW,
            message=f"{shortened(image, 160) or 'its image'} is being pulled {since(pulls[-1].last)}",
            evidence=tuple(_lines(events, ("Pulling",), around)),
        )
    return None


def _unready(pod: Pod, events: tuple[Event, ...], around: Surroundings) -> PodCause | None:
    """Every container that is asked to runs, and some are not ready."""
    unready = [c for c in pod.containers if not c.init and c.running_since and not c.ready]
    if not unready:
        return None
    evidence = tuple(_lines(events, ("Unhealthy", "ProbeWarning"), around))
    says = _probe(events)
    mains = [c for c in unready if c.name not in FORWARDERS and c.name != PROXY]
    if mains:
        first = mains[0]
        text = f"container {first.name} runs {since(first.running_since)} and is not ready{says}"
        return PodCause(reason=R.HEALTH_FAILING, message=text, evidence=evidence or (_container_line(first),))
    first = unready[0]
    reason = R.SIDECAR_NOT_READY if first.name == PROXY else R.FORWARDER_NOT_READY
    text = f"container {first.name} runs {since(first.running_since)} and is not ready{says}"
    return PodCause(reason=reason, message=text, evidence=evidence or (_container_line(first),))


_PROBES: Final = (
    ("connection refused", "nothing listens on the probe's port"),
    ("statuscode: 404", "the probe's route does not exist (404)"),
    ("statuscode: 503", "the route says it is not ready (503)"),
    ("statuscode: 500", "the route fails (500)"),
    ("context deadline exceeded", "the route does not answer in time"),
    ("client.timeout", "the route does not answer in time"),
    ("timeout", "the probe does not end in time"),
)


def _probe(events: tuple[Event, ...]) -> str:
    for event in reversed(events):
        if event.reason == "Unhealthy":
            text = event.message.lower()
            return next(
                (f": {says}" for words, says in _PROBES if words in text), f": {shortened(event.message)}"
            )
    return ""


def _lines(events: Iterable[Event], reasons: tuple[str, ...], around: Surroundings) -> list[str]:
    """The latest Event of each of ``reasons``, as a line."""
    latest = {event.reason: event for event in events if event.reason in reasons}
    return [event_line(event, around.now) for event in latest.values()]


def event_line(event: Event, now: datetime) -> str:
    """ "Event FailedMount ×7, last 40s ago: …"."""
    times = f" ×{event.count}" if event.count > 1 else ""
    return f"Event {event.reason}{times}, last {ago(now, event.last)} ago: {shortened(event.message, 300)}"


def _container_line(container: Container) -> str:
    parts = [f"container {container.name}"]
    if container.waiting:
        parts.append(f"waits, {container.waiting}")
        if container.message:
            parts.append(shortened(container.message, 300))
    ended = container.last_exit_reason or container.exit_reason
    code = container.last_exit_code if container.last_exit_code is not None else container.exit_code
    if code is not None:
        parts.append(f"last ended {ended or 'by itself'} with exit code {code}")
    if container.restarts:
        parts.append(f"{container.restarts} restarts")
    return ": ".join(parts[:2]) + "".join(f"; {part}" for part in parts[2:])


def _state(pod: Pod) -> str:
    reason = f" ({shortened(pod.reason, 60)})" if pod.reason else ""
    where = f" on node {pod.node}" if pod.node else ", on no node"
    return f"pod {pod.name}: {pod.phase or 'no phase'}{reason}{where}"


def _plain(pod: Pod) -> str:
    ready = pod.conditions.get("Ready")
    if ready and ready.message:
        return f"it is {pod.phase}: {shortened(ready.message, 140)}"
    return f"it is {pod.phase or 'without a phase'} and says nothing more"
