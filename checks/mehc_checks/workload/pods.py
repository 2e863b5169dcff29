"""Why one pod is not ready: from its conditions, its containers' states, and the Events about it."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from mehc_checks.clients.kubernetes.scheduling.readiness import Unready
from mehc_checks.core.outcome import Finding
from mehc_checks.core.text import shortened, since
from mehc_checks.modelengine.endpoints import FORWARDERS, PROXY
from mehc_checks.workload import containers, ended, mounts, pulls, scheduling
from mehc_checks.workload.evidence import container_line, event_lines, state_line
from mehc_checks.workload.objects import PULLING, Container, Event, Pod
from mehc_checks.workload.reasons import EXPLAINED_BY_NODES, NODE_FIXES, ORDER
from mehc_checks.workload.reasons import WorkloadReasons as R
from mehc_checks.workload.registry import Answer, confirmed
from mehc_checks.workload.trouble import Trouble


@dataclass(frozen=True, kw_only=True, slots=True)
class PodCause:
    """Why, in words that do not name the pod, and the lines that prove it. ``container`` is the one concerned."""

    finding: Finding
    evidence: tuple[str, ...] = ()
    container: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Surroundings:
    """What is known beside the pod. ``lost`` are nodes that are not Ready, by name, and what keeps each.

    ``selected`` finds the nodes that carry all of a nodeSelector, ``answered`` what the registry of a container's image
    answered when it was asked as the pod asks.
    """

    now: datetime
    namespace: str = ""
    events: Mapping[str, tuple[Event, ...]] = field(default_factory=dict)
    """Of pods by name, oldest first."""
    lost: Mapping[str, Unready] = field(default_factory=dict)
    selected: Callable[[Mapping[str, str]], scheduling.Selected | None] = lambda _: None
    answered: Callable[[Pod, str], Answer | None] = lambda *_: None

    def of(self, pod: Pod) -> tuple[Event, ...]:
        """The Events about ``pod``, not about an earlier one of its name."""
        return tuple(
            event
            for event in self.events.get(pod.name, ())
            if pod.created is None or event.last is None or event.last >= pod.created
        )


_TERMINATION_SECONDS: Final = 1800 + 300
"""The longest grace of an endpoint's pods, and some more."""
_Found = tuple[Trouble, tuple[str, ...], str]
"""The trouble, its evidence, and the container concerned."""


def why(pod: Pod, around: Surroundings) -> PodCause:
    """The one cause that keeps ``pod`` from being ready. Always one: at last, that nothing more is known."""
    events = around.of(pod)
    found: _Found | None = None
    for ask in (_lost, _ended, _unscheduled, _containers, _preparing, _unready):
        if found := ask(pod, events, around):
            break
    trouble, evidence, container = found or (_plain(pod), (state_line(pod),), "")
    return cause(pod, trouble, around, evidence=evidence, container=container)


def cause(
    pod: Pod, trouble: Trouble, around: Surroundings, *, evidence: tuple[str, ...] = (), container: str = ""
) -> PodCause:
    """``trouble`` of ``pod`` with the words that each of its causes has."""
    known = {"pod": pod.name, "namespace": around.namespace, "node": pod.node or "NODE"}
    finding = trouble.finding(**known, container=container or "main")
    return PodCause(finding=finding, evidence=evidence, container=container)


def _lost(pod: Pod, events: tuple[Event, ...], around: Surroundings) -> _Found | None:
    if pod.node and (pod.node in around.lost or pod.reason == "NodeLost"):
        lines = event_lines(events, ("NodeNotReady", "TaintManagerEviction"), around.now)
        return _of_node(pod, around.lost.get(pod.node)), (state_line(pod), *lines), ""
    if pod.deleting and (around.now - pod.deleting).total_seconds() > _TERMINATION_SECONDS:
        words = {"since": since(pod.deleting)}
        return Trouble(reason=R.TERMINATION_STUCK, words=words), (state_line(pod),), ""
    return None


def _of_node(pod: Pod, unready: Unready | None) -> Trouble:
    words = {"fix": NODE_FIXES[unready or Unready.OTHER].format(node=pod.node or "NODE")}
    if unready:
        words["detail"] = f": {unready}"
    return Trouble(reason=R.NODE_LOST, words=words)


def _ended(pod: Pod, events: tuple[Event, ...], around: Surroundings) -> _Found | None:
    trouble = ended.read(pod, events)
    if trouble is None:
        return None
    lines = event_lines(events, ("Evicted", "Preempted", "Preempting"), around.now)
    return trouble, (state_line(pod), *lines), ""


def _unscheduled(pod: Pod, events: tuple[Event, ...], around: Surroundings) -> _Found | None:
    if pod.node or pod.has_ended:
        return None
    scheduled = pod.conditions.get("PodScheduled")
    latest = next((event for event in reversed(events) if event.reason == "FailedScheduling"), None)
    message = (scheduled.message if scheduled else "") or (latest.message if latest else "")
    if pod.gated:
        words = {"detail": f"scheduling gates hold it: {', '.join(pod.gated)}"}
        return Trouble(reason=R.NOT_CONSIDERED, words=words), (state_line(pod),), ""
    if not message:
        return Trouble(reason=R.NOT_CONSIDERED), (state_line(pod),), ""
    selected = around.selected(pod.node_selector)
    verdict = scheduling.read(message)
    reason = scheduling.decide(verdict, selected, pod.requests)
    said = f"0 of {verdict.total} nodes: {verdict.said}" if verdict.total else shortened(message)
    labels = ",".join(f"{key}={value}" for key, value in sorted(pod.node_selector.items()))
    words = {
        "detail": said,
        "labels": f" {labels}" if labels else "",
        "resources": " and ".join(verdict.insufficient) or "room",
    }
    if reason is R.NODE_STATE_TAINT:
        words |= scheduling.hold(verdict, selected)
    if reason is R.NODES_TOO_SMALL:
        words["detail"] = "; ".join(scheduling.too_small(verdict, selected, pod.requests))
    evidence = [f"kube-scheduler: {shortened(message, 300)}"]
    if reason is R.TAINT_UNTOLERATED and selected and selected.taints:
        evidence.append(f"taints of the nodes with its labels: {', '.join(selected.taints)}")
    if verdict.preemption:
        evidence.append(f"preemption: {shortened(verdict.preemption, 160)}")
    evidence += event_lines(events, ("NotTriggerScaleUp", "TriggeredScaleUp", "FailedScaleUp"), around.now)
    why = EXPLAINED_BY_NODES if reason is R.NODE_STATE_TAINT else None
    return Trouble(reason=reason, words=words, explained_by=why), tuple(evidence), ""


_ABOUT_CONTAINERS: Final = (
    "Failed",
    "BackOff",
    "Unhealthy",
    "Killing",
    "FailedPostStartHook",
    "FailedToRetrieveImagePullSecret",
)


def _containers(pod: Pod, events: tuple[Event, ...], around: Surroundings) -> _Found | None:
    found: list[tuple[Container, Trouble]] = []
    for container in pod.containers:
        if container.ready and not container.init:
            continue
        if trouble := containers.read(container, events):
            found.append((container, _refined(container, trouble, events)))
    if not found:
        return None
    return about_container(pod, *min(found, key=lambda item: ORDER.index(item[1].reason)), events, around)


def about_container(
    pod: Pod, container: Container, trouble: Trouble, events: tuple[Event, ...], around: Surroundings
) -> _Found:
    """``trouble`` of ``container`` with its evidence; that of a forwarder is a cause of its own."""
    if trouble.reason is R.OUT_OF_MEMORY and (limit := pod.memory_limits.get(container.name)):
        trouble = replace(trouble, words={**trouble.words, "limit": f" of {limit}"})
    if trouble.reason is R.CRASHING and container.name in FORWARDERS:
        detail = trouble.words.get("detail", "").strip()
        trouble = Trouble(
            reason=R.FORWARDER_NOT_READY, words={"detail": f"it keeps exiting {detail}".strip()}
        )
    said: tuple[str, ...] = ()
    if container.waiting in PULLING:
        trouble, said = confirmed(trouble, around.answered(pod, container.image))
    lines = event_lines(events, _ABOUT_CONTAINERS, around.now)
    return trouble, (container_line(container), *said, *lines), container.name


def ending(pod: Pod, container: Container, around: Surroundings) -> PodCause:
    """Why ``container`` of ``pod``, which runs now, ended the last time."""
    events = around.of(pod)
    trouble = _refined(container, containers.ending(container), events)
    trouble, evidence, name = about_container(pod, container, trouble, events, around)
    return cause(pod, trouble, around, evidence=evidence, container=name)


def _refined(container: Container, trouble: Trouble, events: tuple[Event, ...]) -> Trouble:
    """``trouble`` as the Events tell it more exactly."""
    if trouble.vague and trouble.reason is R.IMAGE_PULL_FAILED:
        for event in reversed(events):
            if event.reason == "Failed" and "pull image" in event.message:
                return pulls.read(event.message, container.image, events)
    if trouble.reason is R.CRASHING:
        for event in reversed(events):
            if event.reason == "FailedPostStartHook":
                return Trouble(reason=R.POST_START_FAILED, words={"detail": shortened(event.message, 140)})
            if probe := _kills(event, container.name):
                return Trouble(reason=R.KILLED_BY_PROBE, words={"probe": probe})
    return trouble


def _kills(event: Event, container: str) -> str:
    """The probe for which the kubelet kills ``container``, by ``event``; "" where it is about something else."""
    if event.reason != "Killing" or container not in event.message:
        return ""
    found = re.search(r"failed (?P<probe>liveness|startup) probe", event.message)
    return found["probe"] if found else ""


def _preparing(pod: Pod, events: tuple[Event, ...], around: Surroundings) -> _Found | None:
    """Scheduled, and its containers are not made yet."""
    if pod.phase != "Pending":
        return None
    found: list[Trouble] = []
    for event in reversed(events):
        if event.reason in mounts.EVENTS:
            found.append(mounts.read_mount(event.message, pod.volumes))
        elif event.reason in mounts.SANDBOX_EVENTS:
            found.append(mounts.read_sandbox(event.message))
    if found:
        exact = next((trouble for trouble in found if not trouble.vague), found[0])
        names = (*mounts.EVENTS, *mounts.SANDBOX_EVENTS)
        return exact, tuple(event_lines(events, names, around.now)), ""
    pulled = [event for event in events if event.reason in ("Pulling", "Pulled")]
    if pulled and pulled[-1].reason == "Pulling":
        image = next(iter(pulled[-1].message.split('"')[1:2]), "")
        words = {"image": shortened(image, 160) or "its image", "since": since(pulled[-1].last)}
        lines = event_lines(events, ("Pulling",), around.now)
        return Trouble(reason=R.IMAGE_PULL_SLOW, words=words), tuple(lines), ""
    return None


def _unready(pod: Pod, events: tuple[Event, ...], around: Surroundings) -> _Found | None:
    """Every container that is asked to runs, and some are not ready."""
    lines = event_lines(events, ("Unhealthy", "ProbeWarning"), around.now)
    unready = [c for c in pod.containers if not c.init and c.running_since and not c.ready]
    starting = [c for c in pod.containers if c.init and c.running_since]
    mains = [c for c in unready if c.name not in FORWARDERS and c.name != PROXY]
    if starting and not mains:
        first = starting[0]
        words = {"since": since(first.running_since)}
        return Trouble(reason=R.INIT_RUNNING, words=words), (container_line(first), *lines), first.name
    if not unready:
        unmet = [gate for gate in pod.gates if not _is_met(pod, gate)]
        if unmet and all(container.ready for container in pod.containers if not container.init):
            return Trouble(reason=R.GATE_UNMET, words={"gate": ", ".join(unmet)}), (state_line(pod),), ""
        return None
    first = (mains or unready)[0]
    evidence = tuple(lines) or (container_line(first),)
    said = _probe(events)
    if mains:
        if missing := _missing_command(events):
            return Trouble(reason=R.PROBE_COMMAND_MISSING, words=missing), evidence, first.name
        words = {"since": since(first.running_since), **({"detail": said} if said else {})}
        return Trouble(reason=R.HEALTH_FAILING, words=words), evidence, first.name
    reason = R.SIDECAR_NOT_READY if first.name == PROXY else R.FORWARDER_NOT_READY
    return Trouble(reason=reason, words={"detail": said} if said else {}), evidence, first.name


def _is_met(pod: Pod, gate: str) -> bool:
    return (held := pod.conditions.get(gate)) is not None and held.status == "True"


_PROBES: Final = (
    ("connection refused", "nothing listens on the probe's port"),
    ("statuscode: 404", "the probe's route does not exist (404)"),
    ("statuscode: 503", "the probe's route returns 503: not ready yet"),
    ("statuscode: 500", "the probe's route returns 500"),
    ("context deadline exceeded", "the probe's route does not answer in time"),
    ("client.timeout", "the probe's route does not answer in time"),
    ("timeout", "the probe does not end in time"),
)
_PROBE_COMMAND = re.compile(r"exec: \\?\"(?P<command>[^\"\\]+)\\?\": (?P<detail>[^:]+)")


def _latest(events: tuple[Event, ...]) -> Event | None:
    return next((event for event in reversed(events) if event.reason == "Unhealthy"), None)


def _probe(events: tuple[Event, ...]) -> str:
    if not (event := _latest(events)):
        return ""
    text = event.message.lower()
    return next((says for words, says in _PROBES if words in text), shortened(event.message))


def _missing_command(events: tuple[Event, ...]) -> dict[str, str]:
    event = _latest(events)
    found = _PROBE_COMMAND.search(event.message) if event else None
    return {key: shortened(value, 80) for key, value in found.groupdict().items()} if found else {}


def _plain(pod: Pod) -> Trouble:
    ready = pod.conditions.get("Ready")
    words = {"phase": pod.phase or "no phase"}
    if ready and ready.message:
        words["detail"] = shortened(ready.message, 140)
    elif pod.message:
        words["detail"] = shortened(pod.message, 140)
    return Trouble(reason=R.POD_NOT_READY, words=words)
