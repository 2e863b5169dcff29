"""Names and states of endpoints, in the platform's words and in Kubernetes'.

Sources: model engine's ``k8s_endpoint_resource_delegate.py``, ``k8s_resource_types.py``,
``model_endpoint_entity.py``, ``live_endpoint_builder_service.py``, ``service_builder/celery.py``,
``redis_model_endpoint_cache_repository.py`` and the chart's ``service_template_config_map.yaml``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from mehc_checks.modelengine.scaling import ENDPOINT_PREFIX

ID_LABEL: Final = "endpoint_id"
NAME_LABEL: Final = "endpoint_name"
TYPE_LABEL: Final = "endpoint_type"
APP_LABEL: Final = "app"
LWS_LABEL: Final = "leaderworkerset.sigs.k8s.io/name"
QUEUE_ANNOTATION: Final = "celery.scaleml.autoscaler/queue"
MIN_WORKERS_ANNOTATION: Final = "celery.scaleml.autoscaler/minWorkers"
FORWARDERS: Final = ("http-forwarder", "celery-forwarder")
PROXY: Final = "istio-proxy"

TASK_LIMIT: Final = timedelta(seconds=1800)
"""After this the builder's worker kills the task that makes an endpoint, and its record stays as it was."""


class State(StrEnum):
    """``hosted_model_inference.endpoints.endpoint_status``."""

    READY = "READY"
    PENDING = "UPDATE_PENDING"
    IN_PROGRESS = "UPDATE_IN_PROGRESS"
    FAILED = "UPDATE_FAILED"
    DELETING = "DELETE_IN_PROGRESS"


class Shown(StrEnum):
    """What people say: INITIALIZING is a word of the platform's documents, and no state of its code."""

    INITIALIZING = "INITIALIZING"
    READY = "READY"
    FAILED = "FAILED"
    DELETING = "DELETING"
    SCALED_TO_ZERO = "SCALED_TO_ZERO"
    UNKNOWN = "UNKNOWN"


class EndpointKind(StrEnum):
    """How requests reach it."""

    SYNC = "sync"
    ASYNC = "async"
    STREAMING = "streaming"


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


def shown(state: str, *, ready: int, desired: int) -> Shown:
    """The word of the documents for a recorded state (""  where there is no record) and its pods.

    READY says only that the objects were made: while no pod is ready, people see INITIALIZING.
    """
    match state:
        case State.PENDING | State.IN_PROGRESS:
            return Shown.INITIALIZING
        case State.FAILED:
            return Shown.FAILED
        case State.DELETING:
            return Shown.DELETING
    if not desired:
        return Shown.SCALED_TO_ZERO
    if ready >= desired:
        return Shown.READY
    return Shown.INITIALIZING


def is_endpoint(metadata: Mapping[str, Any]) -> bool:
    """Whether an object is an endpoint's, by the platform's name for it."""
    return str(metadata.get("name", "")).startswith(ENDPOINT_PREFIX)


def endpoint_id(name: str, labels: Mapping[str, str]) -> str:
    """The id that the label says; without one, the name's, whose hyphens were underscores."""
    return labels.get(ID_LABEL) or name.removeprefix(ENDPOINT_PREFIX).replace("-", "_")


def min_workers(annotations: Mapping[str, str]) -> int | None:
    """The fewest workers of an async endpoint; None where its annotation does not say."""
    least = str(annotations.get(MIN_WORKERS_ANNOTATION, ""))
    return int(least) if least.isdecimal() else None


def kind_of(
    labels: Mapping[str, str], annotations: Mapping[str, str], *, worker_set: bool, recorded: str = ""
) -> EndpointKind:
    """The kind by its record's ``endpoint_type``, else by the object: only async ones name a queue."""
    if recorded in list(EndpointKind):
        return EndpointKind(recorded)
    if QUEUE_ANNOTATION in annotations or MIN_WORKERS_ANNOTATION in annotations:
        return EndpointKind.ASYNC
    if worker_set or EndpointKind.STREAMING in labels.get(TYPE_LABEL, ""):
        return EndpointKind.STREAMING
    return EndpointKind.SYNC


def cache_key(identifier: str, endpoint: str) -> str:
    """The cacher's key of an endpoint's state. ``identifier`` is ``serviceIdentifier``, or ""."""
    return f"launch-k8s-cache:{identifier + ':' if identifier else ''}{endpoint}"


def demand_key(endpoint: str) -> str:
    """The list whose length wakes an endpoint from zero."""
    return f"launch-endpoint-autoscaling:{endpoint}"


def builder_queue(service_identifier: str, override: str) -> str:
    """The queue that the builder consumes: ``serviceBuilderQueue``, else by the service identifier."""
    if override:
        return override
    return (
        f"model-engine-{service_identifier}-service-builder"
        if service_identifier
        else ("model-engine-service-builder")
    )
