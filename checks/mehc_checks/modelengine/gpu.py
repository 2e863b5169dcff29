"""The pods that the platform puts on GPU nodes, as far as the scheduler cares, and the objects that make them.

Sources: the chart's ``service_template_config_map.yaml``, ``balloon_*.yaml`` and ``recommended_hardware``
templates; ``gpu_type.py`` and ``image_cache_gateway.py`` of model engine.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from mehc_checks.clients.kubernetes.scheduling.model import Amounts, Pod, Toleration, read_toleration
from mehc_checks.core.errors import UsageError
from mehc_checks.modelengine import hardware
from mehc_checks.modelengine.accelerators import ACCELERATOR_LABEL, CACHE_DEVICES, CPU_DEVICE, GPU
from mehc_checks.modelengine.values import Values

BALLOON_PREFIX: Final = "model-engine-balloon-"
IMAGE_CACHE_PREFIX: Final = "launch-image-cache-"
FORWARDER: Final[Amounts] = {"cpu": 1000, "memory": 100 * 10**6, "ephemeral-storage": 100 * 10**6}
"""What the forwarder beside the main container requests: 1 CPU, 100M, 100M. LLM endpoints are sync or streaming; only
the forwarder of async ones requests 0.1 CPU."""
_BALLOON: Final = {"cpu": 4000, "memory": 28 * 2**30}
_CPU_BALLOON: Final = {"cpu": 6000, "memory": 28 * 2**30}
_DAEMON: Final = tuple(
    Toleration(key=f"node.kubernetes.io/{what}", operator="Exists", effect=effect)
    for what, effect in (
        ("not-ready", "NoExecute"),
        ("unreachable", "NoExecute"),
        ("disk-pressure", "NoSchedule"),
        ("memory-pressure", "NoSchedule"),
        ("pid-pressure", "NoSchedule"),
        ("unschedulable", "NoSchedule"),
    )
)
"""What the DaemonSet controller adds to its pods."""


class Kind(StrEnum):
    """What asks for nodes."""

    TIER = "tier"
    BALLOON = "balloon"
    CACHE = "imageCache device"
    CONTROL_PLANE = "control plane"


@dataclass(frozen=True, kw_only=True, slots=True)
class Demand:
    """A pod that the platform makes, or will make. ``name`` is for people, ``path`` where the values ask for it.

    ``count`` is how many such pods there are: nodes per worker of a tier, replicas of a balloon.
    """

    kind: Kind
    name: str
    path: str
    pod: Pod
    accelerator: str = ""
    count: int = 1


def tiers(values: Values) -> list[Demand]:
    """The endpoint pods of ``recommendedHardware`` that a request can get. Raises UsageError."""
    selector, tolerations = _strings(values, "nodeSelector"), gpu_tolerations(values)
    return [
        Demand(
            kind=Kind.TIER,
            name=tier.name,
            path=tier.path,
            accelerator=tier.accelerator,
            count=tier.nodes,
            pod=Pod(
                node_selector={**selector, ACCELERATOR_LABEL: tier.accelerator},
                tolerations=tolerations,
                requests={
                    **{name: count + FORWARDER[name] for name, count in tier.requests.items()},
                    GPU: tier.gpus,
                },
            ),
        )
        for tier in hardware.read(values).tiers
    ]


def balloons(values: Values) -> list[Demand]:
    """The balloon Deployments, also those with no replicas (``count`` 0). Raises UsageError."""
    if values.text("serviceIdentifier"):  # the chart has none then
        return []
    selector, tolerations = _strings(values, "balloonNodeSelector"), gpu_tolerations(values)
    found = []
    for path, entry in _entries(values, "balloons"):
        accelerator = str(entry.get("acceleratorName") or "")
        requested: Amounts = _CPU_BALLOON
        wanted = dict(selector)
        if accelerator != CPU_DEVICE:
            # An unset or null gpuCount is what the chart writes as 1.
            requested = {**_BALLOON, GPU: _integer(f"{path}.gpuCount", entry.get("gpuCount"), 1)}
            wanted = {ACCELERATOR_LABEL: accelerator, **selector}
        found.append(
            Demand(
                kind=Kind.BALLOON,
                name=f"balloon {accelerator}",
                path=path,
                accelerator="" if accelerator == CPU_DEVICE else accelerator,
                count=_integer(f"{path}.replicaCount", entry.get("replicaCount"), 0),
                pod=Pod(
                    node_selector=wanted,
                    # The one without GPUs tolerates nothing.
                    tolerations=() if accelerator == CPU_DEVICE else tolerations,
                    requests=requested,
                ),
            )
        )
    return found


def cache_devices(values: Values) -> dict[str, Demand]:
    """The pods of the image-cache DaemonSets, by device name. Raises UsageError."""
    by_device = {device: accelerator for accelerator, device in CACHE_DEVICES.items()}
    found = {}
    for path, entry in _entries(values, "imageCache.devices"):
        device = str(entry.get("name") or "")
        tolerations = entry.get("tolerations") or []
        if not isinstance(tolerations, Sequence) or not all(isinstance(t, Mapping) for t in tolerations):
            raise UsageError(f"{values.describe(f'{path}.tolerations')}: expected a list of tolerations")
        found[device] = Demand(
            kind=Kind.CACHE,
            name=f"imageCache {device}",
            path=path,
            accelerator=by_device.get(device, ""),
            pod=Pod(
                node_selector=_string_map(f"{path}.nodeSelector", entry.get("nodeSelector")),
                tolerations=(*map(read_toleration, tolerations), *_DAEMON),
            ),
        )
    return found


def control_plane(values: Values) -> Demand:
    """Gateway, builder and cacher: the top-level nodeSelector is theirs too. Raises UsageError."""
    tolerations = values.get("tolerations") or []
    if not isinstance(tolerations, Sequence) or not all(isinstance(t, Mapping) for t in tolerations):
        raise UsageError(f"{values.describe('tolerations')}: expected a list of tolerations")
    return Demand(
        kind=Kind.CONTROL_PLANE,
        name="gateway, builder and cacher",
        path="nodeSelector",
        pod=Pod(
            node_selector=_strings(values, "nodeSelector"),
            tolerations=tuple(map(read_toleration, tolerations)),
        ),
    )


def gpu_tolerations(values: Values) -> tuple[Toleration, ...]:
    """What endpoint pods and balloons tolerate: keys only, and NoSchedule only, whatever else is written."""
    keys = [GPU]
    for path, entry in _entries(values, "gpuTolerations"):
        if not entry.get("key"):
            raise UsageError(f"{values.describe('gpuTolerations')}: {path} has no key")
        keys.append(str(entry["key"]))
    return tuple(Toleration(key=key, operator="Exists", effect="NoSchedule") for key in keys)


def _entries(values: Values, path: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The maps of the list at ``path``, each with its own path."""
    given = values.get(path)
    if given is None:
        return
    if isinstance(given, Mapping):  # Helm takes its values, in the order of their keys
        entries = [(f"{path}.{key}", given[key]) for key in sorted(given, key=str)]
    elif isinstance(given, list):
        entries = [(f"{path}[{index}]", entry) for index, entry in enumerate(given)]
    else:
        raise UsageError(f"{values.describe(path)}: expected a list")
    for where, entry in entries:
        if not isinstance(entry, Mapping):
            raise UsageError(f"{values.describe(path)}: {where} is not a map")
        yield where, entry


def _strings(values: Values, path: str) -> dict[str, str]:
    return _string_map(path, values.get(path))


def _string_map(path: str, value: Any) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise UsageError(f"{path}: expected a map of labels")
    return {str(k): str(v).lower() if isinstance(v, bool) else str(v) for k, v in value.items()}


def _integer(path: str, value: Any, default: int) -> int:
    if value is None or value == "":
        return default
    try:
        return max(int(str(value)), 0)
    except ValueError:
        raise UsageError(f"{path}: expected a whole number, not {value!r}") from None
