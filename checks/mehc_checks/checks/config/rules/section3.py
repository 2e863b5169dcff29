"""Section 3: GPU nodes, balloons, image cache and recommended hardware.

GpuNodesReady holds these values against the nodes that there are; rules say what the values alone prove.
"""

from collections.abc import Iterator
from typing import Final

from mehc_checks.checks.config.rules.fault import NO_START, high, info, warning
from mehc_checks.checks.config.rules.rule import View, known, rule
from mehc_checks.core.outcome import Finding
from mehc_checks.modelengine import hardware, paths
from mehc_checks.modelengine.accelerators import (
    ACCELERATOR_LABEL,
    ACCELERATORS,
    CACHE_DEVICES,
    CPU_DEVICE,
    GPU,
    suggestion,
)
from mehc_checks.modelengine.configuration import as_number
from mehc_checks.modelengine.tier import Harm

_TABLES: Final = (paths.BY_GPU_MEMORY, paths.BY_MODEL_NAME)
_KNOWN: Final = ", ".join(ACCELERATORS)

BALLOON_ACCELERATOR_UNKNOWN: Final = warning(
    "BalloonAcceleratorUnknown",
    "The balloon stays Pending, and a cluster autoscaler adds nodes for it again and again.",
    message="{path} is {value}, which is not an accelerator of the platform{hint}",
    remedy=f"Set {{path}} to one of {_KNOWN} or {CPU_DEVICE}.",
    hint="",
)
BALLOON_GPU_COUNT_UNUSUAL: Final = warning(
    "BalloonGpuCountUnusual",
    "The balloon stays Pending, and a cluster autoscaler adds nodes for it again and again.",
    message="{path} is {value}, but nodes have from 1 to 8 GPUs",
    remedy="Set {path} to a number of GPUs that one node has.",
)


@rule(
    "S3-01",
    title="every balloon is for an accelerator that endpoints use",
    reads=("balloons[].acceleratorName", "balloons[].gpuCount"),
    faults=(BALLOON_ACCELERATOR_UNKNOWN, BALLOON_GPU_COUNT_UNUSUAL),
)
def balloon_accelerators(view: View) -> Iterator[Finding]:
    for path, entry in view.entries(paths.BALLOONS):
        name = str(entry.get("acceleratorName") or "")
        if name != CPU_DEVICE and name not in ACCELERATORS:
            hint = _nearest(name)
            yield BALLOON_ACCELERATOR_UNKNOWN.at(
                f"{path}.acceleratorName", value=name or "not set", hint=hint
            )
        count = as_number(entry.get("gpuCount"))
        if count is not None and not 1 <= count <= 8:
            yield BALLOON_GPU_COUNT_UNUSUAL.at(f"{path}.gpuCount", value=count)


NODES_NOT_KEPT_WARM: Final = info(
    "NodesNotKeptWarm",
    "The first endpoint waits for a node to start.",
    message="{path} is 0, but recommended hardware uses {accelerator}: the first endpoint waits for a node",
    remedy="Set {path} to the number of {accelerator} nodes to keep ready.",
)


@rule(
    "S3-02",
    title="nodes for the recommended hardware are kept warm",
    reads=("balloons[].replicaCount",),
    faults=(NODES_NOT_KEPT_WARM,),
)
def warm_nodes(view: View) -> Iterator[Finding]:
    used = {str(entry.get("gpu_type")) for table in _TABLES for _, entry in view.entries(table)}
    for path, entry in view.entries(paths.BALLOONS):
        if entry.get("acceleratorName") in used and not as_number(entry.get("replicaCount")):
            yield NODES_NOT_KEPT_WARM.at(f"{path}.replicaCount", accelerator=entry["acceleratorName"])


BALLOONS_BLOCK_ORDINARY_ENDPOINTS: Final = warning(
    "BalloonsBlockOrdinaryEndpoints",
    "Only endpoints created with high_priority preempt balloons; all others wait while balloons hold the GPUs.",
    message="{path} is true, and {balloon} holds GPUs that only high-priority endpoints can take",
    remedy="Set {path} to false, or create endpoints with high_priority.",
)


@rule(
    "S3-03",
    title="endpoints can take the place of balloons",
    reads=(paths.RESERVE_HIGH_PRIORITY, "balloons[].replicaCount"),
    faults=(BALLOONS_BLOCK_ORDINARY_ENDPOINTS,),
)
def reserved_balloons(view: View) -> Iterator[Finding]:
    if not view.flag(paths.RESERVE_HIGH_PRIORITY):
        return
    for where, entry in view.entries(paths.BALLOONS):
        if entry.get("acceleratorName") != CPU_DEVICE and as_number(entry.get("replicaCount")):
            yield BALLOONS_BLOCK_ORDINARY_ENDPOINTS.at(paths.RESERVE_HIGH_PRIORITY, balloon=where)
            return


_LATE: Final = "Images are not pre-pulled, so the first endpoint on each node waits for the image pull."
CACHE_DEVICE_UNKNOWN: Final = warning(
    "CacheDeviceUnknown",
    _LATE,
    message="{path} is {value}, a device that the platform never fills",
    remedy=f"Set {{path}} to one of {', '.join((*CACHE_DEVICES.values(), CPU_DEVICE))}.",
)
CACHE_DEVICE_SELECTOR_EMPTY: Final = warning(
    "CacheDeviceSelectorEmpty",
    "The cache pulls its images on every node.",
    message="{path} is empty: the cache pulls its images on every node",
    remedy=f"Select the nodes of the device by {ACCELERATOR_LABEL} in {{path}}.",
)
CACHE_DEVICE_SELECTOR_MISMATCH: Final = warning(
    "CacheDeviceSelectorMismatch",
    _LATE,
    message="{path} selects {value} nodes for the device {device}",
    remedy=f"Set {ACCELERATOR_LABEL} in {{path}} to the accelerator of the device {{device}}.",
)
CACHE_DEVICE_NOT_TOLERATING: Final = warning(
    "CacheDeviceNotTolerating",
    _LATE,
    message=f"{{path}} does not tolerate the taint {GPU}:NoSchedule of GPU nodes",
    remedy=f"Add a toleration of {GPU} with operator Exists and effect NoSchedule to {{path}}.",
)
CACHE_DEVICE_MISSING: Final = warning(
    "CacheDeviceMissing",
    _LATE,
    message="{path} has no device {device}, but recommended hardware uses {accelerator}",
    remedy="Add the device {device} to {path}.",
)


@rule(
    "S3-04",
    title="the image cache reaches the nodes of every accelerator in use",
    reads=(
        "imageCache.devices[].name",
        "imageCache.devices[].nodeSelector",
        "imageCache.devices[].tolerations",
    ),
    faults=(
        CACHE_DEVICE_UNKNOWN,
        CACHE_DEVICE_SELECTOR_EMPTY,
        CACHE_DEVICE_SELECTOR_MISMATCH,
        CACHE_DEVICE_NOT_TOLERATING,
        CACHE_DEVICE_MISSING,
    ),
)
def image_cache(view: View) -> Iterator[Finding]:
    devices = dict(CACHE_DEVICES)
    named = set()
    for path, entry in view.entries(paths.IMAGE_CACHE_DEVICES):
        name = str(entry.get("name") or "")
        named.add(name)
        if name not in devices.values() and name != CPU_DEVICE:
            yield CACHE_DEVICE_UNKNOWN.at(f"{path}.name", value=name or "not set")
            continue
        selector = entry.get("nodeSelector")
        label = str(selector.get(ACCELERATOR_LABEL, "")) if isinstance(selector, dict) else ""
        if not selector:
            yield CACHE_DEVICE_SELECTOR_EMPTY.at(f"{path}.nodeSelector")
        elif name != CPU_DEVICE and label and devices.get(label) != name:
            yield CACHE_DEVICE_SELECTOR_MISMATCH.at(f"{path}.nodeSelector", value=label, device=name)
        if name != CPU_DEVICE and not _tolerates_gpus(entry.get("tolerations")):
            yield CACHE_DEVICE_NOT_TOLERATING.at(f"{path}.tolerations")
    if not named and view.absent(paths.IMAGE_CACHE_DEVICES):
        return
    used = {str(entry.get("gpu_type")) for table in _TABLES for _, entry in view.entries(table)}
    for accelerator in sorted(used & devices.keys()):
        if devices[accelerator] not in named:
            yield CACHE_DEVICE_MISSING.at(
                paths.IMAGE_CACHE_DEVICES, device=devices[accelerator], accelerator=accelerator
            )


HARDWARE_UNUSABLE: Final = high(
    "RecommendedHardwareUnusable",
    "Creating an LLM endpoint without naming hardware fails with HTTP 500.",
    message="{path} {detail}: creating an LLM endpoint without naming hardware fails with HTTP 500",
    remedy="Correct {path}; values_sample.yaml of the chart shows both tables, which need at least one entry each.",
    explains=("GpuNodesReady/RecommendedHardwareInvalid", "GpuNodesReady/UnknownAccelerator"),
)
TIER_REJECTED: Final = warning(
    "TierRejected",
    "Creating an LLM endpoint that gets this tier fails.",
    message="{path} {detail}: creating an endpoint with this tier fails",
    remedy="Correct {path}, or remove the tier.",
)
TIER_HIDDEN: Final = warning(
    "TierHidden",
    "Endpoints get another tier than intended.",
    message="{path} {detail}: this tier is never used",
    remedy="Give {path} a value of its own, or remove the tier.",
)


@rule(
    "S3-05",
    title="every tier of the recommended hardware can be chosen and served",
    reads=(*_TABLES, "gpu_memory_le"),
    faults=(HARDWARE_UNUSABLE, TIER_REJECTED, TIER_HIDDEN),
)
def hardware_tiers(view: View) -> Iterator[Finding]:
    if view.absent(hardware.ROOT):
        yield HARDWARE_UNUSABLE.at(_TABLES[0], detail="is not set")
    elif view.raw(hardware.ROOT) is not None:
        for found in hardware.read(view.values).faults:
            if found.path in _TABLES:
                view.absent(found.path)  # whether that is known
            fault = _BY_HARM[found.harm]
            yield fault.at(found.path, detail=found.message)


_BY_HARM: Final = {Harm.ALL: HARDWARE_UNUSABLE, Harm.TIER: TIER_REJECTED, Harm.HIDDEN: TIER_HIDDEN}


NODE_SELECTOR_MATCHES_NO_NODE: Final = high(
    "NodeSelectorMatchesNoNode",
    "The control plane and every endpoint stay Pending: the selector is put into endpoints' pods too.",
    message="{path} asks for {value}, and no node has that: the control plane and endpoints stay Pending",
    remedy="Label the nodes with {value}, or set {path} to null; an empty map does not clear the default.",
    explains=("GpuNodesReady/NodeSelectorUnmatched", *NO_START, "EndpointsReady/NodeLabelsUnmatched"),
)


@rule(
    "S3-06",
    title="nodeSelector matches nodes",
    reads=(paths.NODE_SELECTOR,),
    faults=(NODE_SELECTOR_MATCHES_NO_NODE,),
    needs_cluster=True,
)
def node_selector(view: View) -> Iterator[Finding]:
    selector = view.table(paths.NODE_SELECTOR)
    if selector and known(view.facts.selected_nodes, "the nodes") == 0:
        wanted = ", ".join(f"{key}={value}" for key, value in selector.items())
        yield NODE_SELECTOR_MATCHES_NO_NODE.at(paths.NODE_SELECTOR, value=wanted)


def _nearest(name: str) -> str:
    near = suggestion(name)
    return f"; did you mean {near}?" if near else ""


def _tolerates_gpus(tolerations: object) -> bool:
    return isinstance(tolerations, list) and any(
        isinstance(item, dict)
        and item.get("key") in (GPU, None, "")
        and item.get("effect") in ("NoSchedule", None, "")
        for item in tolerations
    )
