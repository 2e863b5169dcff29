"""The pods that the platform puts on GPU nodes, as far as the scheduler cares, and the objects that make them.

Sources: the chart's ``service_template_config_map.yaml``, ``balloon_*.yaml`` and ``recommended_hardware``
templates; ``gpu_type.py`` and ``image_cache_gateway.py`` of model engine.
"""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from mehc_checks.clients.kubernetes.scheduling.model import Amounts, Pod, Toleration, read_toleration
from mehc_checks.clients.kubernetes.scheduling.quantity import amount
from mehc_checks.core.errors import UsageError
from mehc_checks.modelengine.values import Values

ACCELERATOR_LABEL: Final = "k8s.amazonaws.com/accelerator"
PRODUCT_LABEL: Final = "nvidia.com/gpu.product"
"""Set by NVIDIA's GPU feature discovery."""
GPU: Final = "nvidia.com/gpu"
MIG_PREFIX: Final = "nvidia.com/mig-"
BALLOON_PREFIX: Final = "model-engine-balloon-"
IMAGE_CACHE_PREFIX: Final = "launch-image-cache-"
CPU_DEVICE: Final = "cpu"

CACHE_DEVICES: Final = {
    "nvidia-ampere-a10": "a10",
    "nvidia-ampere-a100": "a100",
    "nvidia-tesla-t4": "t4",
    "nvidia-hopper-h100": "h100",
    "nvidia-hopper-h100-1g20gb": "h100-1g20gb",
    "nvidia-hopper-h100-3g40gb": "h100-3g40gb",
}
"""Accelerator → the imageCache device that fills its nodes' image store."""
ACCELERATORS: Final = (*CACHE_DEVICES, "nvidia-ampere-a100e")
"""What model engine's GpuType knows. The a100e has no image cache."""
NOT_FOR_LLM: Final = "nvidia-ampere-a100e"
"""Known, but refused for LLM endpoints."""

_FORWARDER: Final = {"cpu": 100, "memory": 100 * 10**6, "ephemeral-storage": 100 * 10**6}
"""What the forwarder beside an endpoint's main container requests: 0.1 CPU, 100M, 100M."""
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
    """The endpoint pods of ``recommendedHardware`` that take GPUs. Raises UsageError for what cannot be read."""
    selector, tolerations = _strings(values, "nodeSelector"), gpu_tolerations(values)
    found = []
    for table, key in (("byGpuMemoryGb", "gpu_memory_le"), ("byModelName", "name")):
        for path, entry in _entries(values, f"recommendedHardware.{table}"):
            gpus = _integer(f"{path}.gpus", entry.get("gpus"), 0)
            if not gpus:
                continue
            accelerator = str(entry.get("gpu_type") or "")
            requested: dict[str, int] = dict(_FORWARDER)
            for name, field in (("cpu", "cpus"), ("memory", "memory"), ("ephemeral-storage", "storage")):
                requested[name] += _amount(f"{path}.{field}", name, entry.get(field))
            found.append(
                Demand(
                    kind=Kind.TIER,
                    name=f"{entry.get(key)} GB" if key == "gpu_memory_le" else str(entry.get(key)),
                    path=path,
                    accelerator=accelerator,
                    count=max(_integer(f"{path}.nodes_per_worker", entry.get("nodes_per_worker"), 1), 1),
                    pod=Pod(
                        node_selector={**selector, ACCELERATOR_LABEL: accelerator},
                        tolerations=tolerations,
                        requests={**requested, GPU: gpus},
                    ),
                )
            )
    return found


def duplicates(values: Values) -> list[tuple[str, str, str]]:
    """Entries of ``recommendedHardware`` that an earlier one hides: path, the path that wins, the shared key."""
    found = []
    for table, key in (("byGpuMemoryGb", "gpu_memory_le"), ("byModelName", "name")):
        first: dict[str, str] = {}
        for path, entry in _entries(values, f"recommendedHardware.{table}"):
            shared = str(entry.get(key))
            if shared in first:
                found.append((path, first[shared], f"{key} {shared}"))
            first.setdefault(shared, path)
    return found


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
                pod=Pod(node_selector=wanted, tolerations=tolerations, requests=requested),
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


def suggestion(name: str) -> str:
    """The accelerator that ``name`` was probably meant to be, or "": a slip of the pen, or the same GPU's model."""
    name = name.lower()
    for cutoff in (0.9, 0.7):
        if near := difflib.get_close_matches(name, ACCELERATORS, n=1, cutoff=cutoff):
            return near[0]
        for accelerator in ACCELERATORS:
            if accelerator.split("-", 2)[2] in name.split("-"):
                return accelerator
    return ""


def accelerator_of(product: str) -> str:
    """The accelerator of a GPU by the product name of NVIDIA's discovery ("NVIDIA-A10G"), or ""."""
    words = product.upper().replace("_", "-").split("-")
    for model, accelerator in (
        ("A100", "nvidia-ampere-a100"),
        ("H100", "nvidia-hopper-h100"),
        ("A10", "nvidia-ampere-a10"),
        ("A10G", "nvidia-ampere-a10"),
        ("T4", "nvidia-tesla-t4"),
    ):
        if model in words:
            return accelerator
    return ""


def _entries(values: Values, path: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The maps of the list at ``path``, each with its own path."""
    entries = values.get(path)
    if entries is None:
        return
    if not isinstance(entries, list):
        raise UsageError(f"{values.describe(path)}: expected a list")
    for index, entry in enumerate(entries):
        if not isinstance(entry, Mapping):
            raise UsageError(f"{values.describe(path)}: item {index} is no map")
        yield f"{path}[{index}]", entry


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


def _amount(path: str, resource: str, value: Any) -> int:
    if value is None or value == "":
        return 0
    try:
        return amount(resource, str(value))
    except ValueError as error:
        raise UsageError(f"{path}: {error}") from None
