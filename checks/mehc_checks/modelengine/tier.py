"""One entry of ``recommendedHardware``: whether the platform makes an endpoint with it, and of what size.

Sources: the creation of LLM endpoints and its limits of resources by GPU type in model engine; held against its
answers by ``tests/platform``.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from mehc_checks.clients.kubernetes.scheduling.model import Amounts
from mehc_checks.clients.kubernetes.scheduling.quantity import amount, show
from mehc_checks.modelengine.accelerators import ACCELERATORS, NOT_FOR_LLM, suggestion

BY_MEMORY: Final = "byGpuMemoryGb"
FIELDS: Final = ("gpus", "gpu_type", "cpus", "memory", "storage", "nodes_per_worker")
_RESOURCES: Final = {"cpus": "cpu", "memory": "memory", "storage": "ephemeral-storage"}

FORWARDER_LIMITS: Final[Amounts] = {"cpu": 1000, "memory": 2 * 2**30, "ephemeral-storage": 10**9}
"""What the platform adds for the forwarder before it compares a tier with the limits."""
_LIMITS: Final = {
    "nvidia-tesla-t4": (63, 250, 640),
    "nvidia-ampere-a10": (63, 250, 640),
    "nvidia-ampere-a100": (95, 1000, 640),
    "nvidia-hopper-h100": (191, 2000, 1300),
    "nvidia-hopper-h100-1g20gb": (47, 500, 640),
    "nvidia-hopper-h100-3g40gb": (95, 1000, 640),
}
"""By GPU type: CPUs, GiB of memory and GiB of storage that a pod may ask for, with its forwarder."""
_CPUS: Final = re.compile(r"[0-9]+m?|[0-9]+\.[0-9]+", re.ASCII)
_BYTES: Final = re.compile(r"[0-9]+(\.[0-9]+)?([kMGTPE]|[KMGTPE]i)?", re.ASCII)


class Harm(StrEnum):
    """What a fault of the tables costs."""

    ALL = "no hardware can be chosen"
    TIER = "this tier cannot be used"
    HIDDEN = "this tier is never chosen"


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """``message`` goes on after ``path``: "is not set". ``near`` is the GPU type that was probably meant.

    ``winner`` is the path of the entry that is used in place of this one.
    """

    path: str
    message: str
    harm: Harm = Harm.TIER
    near: str = ""
    winner: str = ""

    def __str__(self) -> str:
        return f"{self.path} {self.message}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Tier:
    """One usable entry: ``fields`` as the platform reads them, ``requests`` of the main container."""

    path: str
    key: Any
    fields: Mapping[str, Any]
    requests: Amounts

    @property
    def name(self) -> str:
        """For people: "24 GB", or the model's name."""
        return f"{self.key} GB" if f".{BY_MEMORY}" in self.path else str(self.key)

    @property
    def gpus(self) -> int:
        return int(self.fields["gpus"])

    @property
    def accelerator(self) -> str:
        return str(self.fields["gpu_type"])

    @property
    def nodes(self) -> int:
        """Over how many nodes a worker spans."""
        return int(self.fields["nodes_per_worker"])


def read_tier(path: str, key: Any, seen: Mapping[str, Any]) -> Tier | Fault:
    """The entry, or the first thing for which the platform refuses an endpoint that gets it."""

    def fault(name: str, message: str, near: str = "") -> Fault:
        return Fault(path=f"{path}.{name}", message=message, near=near)

    fields = dict(seen)
    for name in ("gpus", "nodes_per_worker"):
        whole = _whole(fields[name])
        if fields[name] is not None and whole is None:
            return fault(name, f"must be a whole number, not {fields[name]!r}")
        fields[name] = whole
    accelerator = fields["gpu_type"]
    if accelerator is not None and accelerator not in ACCELERATORS:
        near = suggestion(str(accelerator))
        hint = f" (did you mean {near}?)" if near else ""
        return fault("gpu_type", f"is {accelerator}, which is not a GPU type of model engine{hint}", near)
    for name in FIELDS:
        if not fields[name]:
            return fault(name, "is not set" if fields[name] in (None, "") else f"is {fields[name]}")
    if accelerator == NOT_FOR_LLM:
        return fault("gpu_type", f"is {accelerator}, which LLM endpoints cannot have", "nvidia-hopper-h100")
    if fields["gpus"] < 0:  # the gateway accepts it; the API server refuses the pods
        return fault("gpus", f"is {fields['gpus']}")
    requests = {}
    for (name, resource), limit in zip(_RESOURCES.items(), _LIMITS[accelerator], strict=True):
        requested = _requested(name, fields[name])
        if requested is None:
            return fault(name, f"is {fields[name]!r}, which is no quantity that model engine accepts")
        if requested <= 0:
            return fault(name, f"is {fields[name]}")
        most = limit * (1000 if resource == "cpu" else 2**30)
        if requested + FORWARDER_LIMITS[resource] > most:
            left = show(resource, most - FORWARDER_LIMITS[resource])
            return fault(name, f"is {fields[name]}; model engine allows {accelerator} at most {left}")
        requests[resource] = requested
    return Tier(path=path, key=key, fields=fields, requests=requests)


def _whole(value: Any) -> int | None:
    """A whole number as the gateway takes one: also as text, or as a float without a fraction."""
    if isinstance(value, str) and re.fullmatch(r"[+-]?[0-9]+", value.strip(), re.ASCII):
        return int(value)
    if isinstance(value, int | float) and math.isfinite(value) and value == int(value):
        return int(value)
    return None


def _requested(name: str, value: Any) -> int | None:
    """A quantity in thousandths of a CPU, or in bytes; None where the platform cannot read it."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, str):
        if not (_CPUS if name == "cpus" else _BYTES).fullmatch(value):
            return None
        return amount(_RESOURCES[name], value)
    return math.ceil(value * 1000) if name == "cpus" else math.ceil(value)
