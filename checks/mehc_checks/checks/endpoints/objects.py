"""An endpoint with all that is known of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from mehc_checks.modelengine.endpoints import Cached, EndpointKind, Record
from mehc_checks.workload.objects import Pod, Workload
from mehc_checks.workload.read import conditions


@dataclass(frozen=True, kw_only=True, slots=True)
class Scaler:
    """A ScaledObject. ``ready`` is its condition, "" before KEDA's first look; ``paused``: it does not scale out."""

    ready: str = ""
    why: str = ""
    message: str = ""
    paused: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Endpoint:
    """One endpoint with all that is known of it. ``name`` is that of its Kubernetes objects."""

    name: str
    id: str
    namespace: str = ""
    title: str = ""
    kind: EndpointKind = EndpointKind.SYNC
    workload: Workload | None = None
    record: Record | None = None
    scaler: Scaler | None = None
    cached: Cached | None = None

    @property
    def desired(self) -> int:
        return self.workload.desired if self.workload else 0

    @property
    def ready(self) -> int:
        return self.workload.ready if self.workload else 0

    @property
    def pods(self) -> tuple[Pod, ...]:
        return self.workload.pods if self.workload else ()

    @property
    def state(self) -> str:
        return self.record.state if self.record else ""


def read_scaler(item: Mapping[str, Any]) -> Scaler:
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
