"""From the request for an endpoint to now: what waited for what, and for how long."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from mehc_checks.checks.endpoints.objects import Endpoint
from mehc_checks.modelengine.endpoints import FORWARDERS, PROXY, State
from mehc_checks.workload.diagnose import Cause
from mehc_checks.workload.objects import Event, Pod


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """``who`` waited for ``whom`` to do something. ``until`` is None where the wait goes on."""

    who: str
    whom: str
    since: datetime
    until: datetime | None

    def took(self, now: datetime) -> timedelta:
        """How long the wait was, or is by ``now``; never negative, for clocks differ."""
        return max((self.until or now) - self.since, timedelta())


def timeline(endpoint: Endpoint, cause: Cause | None) -> tuple[Step, ...]:
    """The steps of the making of ``endpoint``, the last one that goes on if ``cause`` keeps it.

    Of several pods it is about the one that ``cause`` names, else about the first that became ready.
    """
    steps = [step for step in (*_of_record(endpoint), *_of_workload(endpoint, cause)) if step]
    return tuple(sorted(steps, key=lambda step: step.since))


def _of_record(endpoint: Endpoint) -> Iterator[Step | None]:
    record, workload = endpoint.record, endpoint.workload
    if record is None:
        return
    begun = record.updated or record.created
    match record.state:
        case State.PENDING:
            yield _step("the gateway", "the builder to pick up the task", begun, None)
        case State.IN_PROGRESS:
            yield _step("the gateway", "the builder to finish the task", begun, None)
        case State.DELETING:
            yield _step("the gateway", "the builder to delete the objects", begun, None)
        case State.READY if workload is None:
            yield _step("the platform", "a Deployment that is not created", begun, None)
    if workload and workload.created and record.created:
        whom = f"the builder to create the {workload.kind}"
        yield _step("the gateway", whom, record.created, max(workload.created, record.created))


def _of_workload(endpoint: Endpoint, cause: Cause | None) -> Iterator[Step | None]:
    workload = endpoint.workload
    if workload is None:
        return
    if workload.deleting:
        yield _step(f"the {workload.kind}", "its finalizers, in order to end", workload.deleting, None)
        return
    if not workload.desired:
        progressing = workload.conditions.get("Progressing")
        since = (progressing.since if progressing else None) or workload.created
        waker = "a ScaledObject" if cause and not endpoint.scaler else "a request, and KEDA"
        yield _step(f"the {workload.kind} with 0 pods", waker, since, None)
        return
    pod = _pod(endpoint, cause)
    made = max((owner.created for owner in workload.replica_sets if owner.created), default=workload.created)
    if pod is None or pod.created is None:
        yield _step(f"the {workload.kind}", "a pod that is not created", made, None)
        return
    yield _step(
        f"the {workload.kind}", "its pod to be created", min(made or pod.created, pod.created), pod.created
    )
    yield from _of_pod(pod, [event for event in workload.events if event.name == pod.name])


def _pod(endpoint: Endpoint, cause: Cause | None) -> Pod | None:
    named = next((pod for pod in endpoint.pods if cause and pod.name == cause.pod), None)
    living = [pod for pod in endpoint.pods if not pod.deleting and not pod.has_ended]
    return named or next((pod for pod in living if pod.is_ready), None) or next(iter(living), None)


def _of_pod(pod: Pod, events: list[Event]) -> Iterator[Step | None]:
    who = f"pod {pod.name}"
    scheduled = pod.conditions.get("PodScheduled")
    placed = scheduled.since if scheduled and scheduled.status == "True" else None
    if not pod.node:
        yield _step(who, "the scheduler to find a node", pod.created, None)
        return
    placed = placed or pod.created
    yield _step(who, "the scheduler to find a node", pod.created, placed)
    pulling = _first(events, "Pulling")
    pulled = _first(events, "Pulled", pulling)  # not of an image that was there
    ready = pod.conditions.get("Ready")
    done = ready.since if ready and ready.status == "True" else None
    for container in pod.containers:
        if container.init:
            continue
        name = f"container {container.name}"
        if container.waiting:
            what = (
                container.waiting
                if container.waiting != "ContainerCreating"
                else "volumes, network and image"
            )
            if container.last_finished:
                yield _step(name, "the kubelet to start it once more", container.last_finished, None)
            else:
                yield _step(name, f"the kubelet: {what}", placed, None)
        elif container.running_since:
            if container.name not in FORWARDERS and container.name != PROXY:
                yield _step(name, "the kubelet to start it", placed, container.running_since)
            if not container.ready:
                yield _step(name, "its readiness probe to pass", container.running_since, None)
            elif done and container.name not in FORWARDERS and container.name != PROXY:
                yield _step(name, "its readiness probe to pass", container.running_since, done)
    if pulling:
        whom = f"the registry of node {pod.node}'s images"
        if pulled or not any(container.waiting for container in pod.containers):
            yield _step("the kubelet", whom, pulling, pulled)
    if not pod.containers:
        yield _step(who, f"the kubelet of node {pod.node}", placed, None)


def _first(events: list[Event], reason: str, earliest: datetime | None = None) -> datetime | None:
    times = (event.first for event in events if event.reason == reason and event.first)
    return next((time for time in times if earliest is None or time >= earliest), None)


def _step(who: str, whom: str, since: datetime | None, until: datetime | None) -> Step | None:
    return Step(who=who, whom=whom, since=since, until=until) if since else None
