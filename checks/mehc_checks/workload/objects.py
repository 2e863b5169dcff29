"""What is read of an endpoint's objects, slim and typed. Times are as Kubernetes gives them, in UTC."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from mehc_checks.modelengine.endpoints import (
    MIN_WORKERS_ANNOTATION,
    EndpointKind,
    endpoint_id,
)

Manifest = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Container:
    """A container's state. ``last_*`` are of the run before; exit codes are None where it has not ended."""

    name: str
    image: str = ""
    init: bool = False
    ready: bool = False
    restarts: int = 0
    waiting: str = ""
    message: str = ""
    running_since: datetime | None = None
    exit_code: int | None = None
    exit_reason: str = ""
    exit_message: str = ""
    last_exit_code: int | None = None
    last_exit_reason: str = ""
    last_exit_message: str = ""
    last_finished: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Condition:
    """Of a pod or a workload."""

    status: str
    reason: str = ""
    message: str = ""
    since: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Pod:
    name: str
    created: datetime | None = None
    node: str = ""
    phase: str = ""
    reason: str = ""
    message: str = ""
    deleting: datetime | None = None
    gated: tuple[str, ...] = ()
    node_selector: Mapping[str, str] = field(default_factory=dict)
    memory_limits: Mapping[str, str] = field(default_factory=dict)
    conditions: Mapping[str, Condition] = field(default_factory=dict)
    containers: tuple[Container, ...] = ()

    @property
    def is_ready(self) -> bool:
        return (ready := self.conditions.get("Ready")) is not None and ready.status == "True"

    @property
    def has_ended(self) -> bool:
        return self.phase in ("Succeeded", "Failed")


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """``kind`` and ``name`` are of the object that it is about; ``count`` how often it was seen."""

    kind: str
    name: str
    reason: str
    message: str
    warning: bool
    first: datetime | None
    last: datetime | None
    count: int = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class ReplicaSet:
    """A ReplicaSet, or a StatefulSet of a LeaderWorkerSet: whoever makes the pods."""

    name: str
    kind: str = "ReplicaSet"
    desired: int = 0
    current: int = 0
    ready: int = 0
    created: datetime | None = None
    failure: Condition | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Workload:
    """A Deployment, or a LeaderWorkerSet, whose replicas are groups of pods."""

    kind: str
    name: str
    endpoint_id: str
    endpoint_name: str = ""
    endpoint_kind: EndpointKind = EndpointKind.SYNC
    created: datetime | None = None
    deleting: datetime | None = None
    desired: int = 1
    ready: int = 0
    paused: bool = False
    observed: bool = True
    min_workers: int | None = None
    """Of an async endpoint, by its annotation."""
    conditions: Mapping[str, Condition] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Scaler:
    """A ScaledObject. ``ready`` is its condition, "" before KEDA's first look; ``paused``: it does not scale out."""

    ready: str = ""
    why: str = ""
    message: str = ""
    paused: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """The platform's own record. ``reason`` is written by the platform, at most 500 characters."""

    endpoint_id: str
    name: str = ""
    kind: str = ""
    state: str = ""
    reason: str = ""
    task: str = ""
    created: datetime | None = None
    updated: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Cached:
    """The cacher's key: ``ttl`` in seconds, None where the key is absent. ``demand`` is the waking list's length."""

    ttl: int | None = None
    demand: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Endpoint:
    """One endpoint with all that is known of it. ``name`` is that of its Kubernetes objects."""

    name: str
    id: str
    title: str = ""
    kind: EndpointKind = EndpointKind.SYNC
    workload: Workload | None = None
    record: Record | None = None
    scaler: Scaler | None = None
    pods: tuple[Pod, ...] = ()
    replica_sets: tuple[ReplicaSet, ...] = ()
    events: tuple[Event, ...] = ()
    cached: Cached | None = None

    @property
    def desired(self) -> int:
        return self.workload.desired if self.workload else 0

    @property
    def ready(self) -> int:
        return self.workload.ready if self.workload else 0

    @property
    def state(self) -> str:
        return self.record.state if self.record else ""


def read_pod(item: Manifest) -> Pod:
    """A Pod of the API."""
    metadata, spec, status = item["metadata"], item.get("spec") or {}, item.get("status") or {}
    return Pod(
        name=metadata["name"],
        created=time(metadata.get("creationTimestamp")),
        node=spec.get("nodeName") or "",
        phase=status.get("phase") or "",
        reason=status.get("reason") or "",
        message=status.get("message") or "",
        deleting=time(metadata.get("deletionTimestamp")),
        node_selector=spec.get("nodeSelector") or {},
        gated=tuple(gate["name"] for gate in spec.get("schedulingGates") or ()),
        memory_limits={
            container["name"]: str(limit)
            for container in spec.get("containers") or ()
            if (limit := ((container.get("resources") or {}).get("limits") or {}).get("memory"))
        },
        conditions=conditions(status),
        containers=(
            *(_container(c, init=True) for c in status.get("initContainerStatuses") or ()),
            *(_container(c, init=False) for c in status.get("containerStatuses") or ()),
        ),
    )


def _container(status: Manifest, *, init: bool) -> Container:
    state, last = status.get("state") or {}, (status.get("lastState") or {}).get("terminated") or {}
    waiting, ended = state.get("waiting") or {}, state.get("terminated") or {}
    return Container(
        name=status["name"],
        image=status.get("image") or "",
        init=init,
        ready=bool(status.get("ready")),
        restarts=status.get("restartCount") or 0,
        waiting=waiting.get("reason") or "",
        message=waiting.get("message") or "",
        running_since=time((state.get("running") or {}).get("startedAt")),
        exit_code=ended.get("exitCode"),
        exit_reason=ended.get("reason") or "",
        exit_message=ended.get("message") or "",
        last_exit_code=last.get("exitCode"),
        last_exit_reason=last.get("reason") or "",
        last_exit_message=last.get("message") or "",
        last_finished=time(last.get("finishedAt")),
    )


def read_workload(item: Manifest, *, worker_set: bool) -> Workload:
    """A Deployment, or a LeaderWorkerSet, of an endpoint."""
    metadata, spec, status = item["metadata"], item.get("spec") or {}, item.get("status") or {}
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    desired = spec.get("replicas")
    least = str(annotations.get(MIN_WORKERS_ANNOTATION, ""))
    is_async = MIN_WORKERS_ANNOTATION in annotations
    streaming = worker_set or "streaming" in str(labels.get("endpoint_type", ""))
    return Workload(
        kind="LeaderWorkerSet" if worker_set else "Deployment",
        name=metadata["name"],
        endpoint_id=endpoint_id(metadata),
        endpoint_name=labels.get("endpoint_name", ""),
        endpoint_kind=EndpointKind.ASYNC
        if is_async
        else EndpointKind.STREAMING
        if streaming
        else EndpointKind.SYNC,
        created=time(metadata.get("creationTimestamp")),
        deleting=time(metadata.get("deletionTimestamp")),
        desired=1 if desired is None else desired,
        ready=status.get("readyReplicas") or 0,
        paused=bool(spec.get("paused")),
        observed=(status.get("observedGeneration") or 0) >= (metadata.get("generation") or 0) or worker_set,
        min_workers=int(least) if least.isdecimal() else None,
        conditions=conditions(status),
    )


def read_replica_set(item: Manifest, kind: str) -> ReplicaSet:
    """A ReplicaSet or StatefulSet of the API."""
    spec, status = item.get("spec") or {}, item.get("status") or {}
    failure = conditions(status).get("ReplicaFailure")
    desired = spec.get("replicas")
    return ReplicaSet(
        name=item["metadata"]["name"],
        kind=kind,
        desired=1 if desired is None else desired,
        current=status.get("replicas") or 0,
        ready=status.get("readyReplicas") or 0,
        created=time(item["metadata"].get("creationTimestamp")),
        failure=failure if failure and failure.status == "True" else None,
    )


def read_event(item: Manifest) -> Event:
    """An Event of the API, as the old recorders and the new ones write it."""
    about, series = item.get("involvedObject") or {}, item.get("series") or {}
    first = item.get("firstTimestamp") or item.get("eventTime") or item["metadata"].get("creationTimestamp")
    last = series.get("lastObservedTime") or item.get("lastTimestamp") or first
    return Event(
        kind=about.get("kind", ""),
        name=about.get("name", ""),
        reason=item.get("reason") or "",
        message=item.get("message") or "",
        warning=item.get("type") == "Warning",
        first=time(first),
        last=time(last),
        count=series.get("count") or item.get("count") or 1,
    )


def read_scaler(item: Manifest) -> Scaler:
    """A ScaledObject of the API."""
    found = conditions(item.get("status") or {})
    ready = found.get("Ready")
    annotations = item["metadata"].get("annotations") or {}
    return Scaler(
        ready=ready.status if ready else "",
        why=ready.reason if ready else "",
        message=ready.message if ready else "",
        paused=f"{_PAUSED}-replicas" in annotations
        or any(_is_on(annotations.get(key)) for key in (_PAUSED, f"{_PAUSED}-scale-out")),
    )


_PAUSED: Final = "autoscaling.keda.sh/paused"
_OFF: Final = frozenset({"0", "f", "F", "false", "False", "FALSE"})


def _is_on(annotation: str | None) -> bool:
    """As KEDA reads a switch: any value but one of Go's words for false. Source: ``getBoolAnnotation`` of KEDA."""
    return annotation is not None and annotation not in _OFF


def conditions(status: Manifest) -> dict[str, Condition]:
    """The conditions of a status, by type."""
    return {
        item["type"]: Condition(
            status=item.get("status") or "",
            reason=item.get("reason") or "",
            message=item.get("message") or "",
            since=time(item.get("lastTransitionTime")),
        )
        for item in status.get("conditions") or ()
    }


def time(text: str | None) -> datetime | None:
    """A time of the API."""
    return datetime.fromisoformat(text) if text else None
