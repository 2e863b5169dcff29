"""Section 3: GPU nodes, balloons, image cache and recommended hardware.

GpuNodesReady holds these values against the nodes that there are; rules say what the values alone prove.
"""

from collections.abc import Iterator
from typing import Final

from mehc_checks.checks.config.rules.rule import NO_START, Broken, View, known, rule
from mehc_checks.core.outcome import Severity
from mehc_checks.modelengine import hardware
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

_TABLES: Final = ("recommendedHardware.byGpuMemoryGb", "recommendedHardware.byModelName")


@rule(
    "S3-01",
    title="every balloon is for an accelerator that endpoints use",
    severity=Severity.WARNING,
    reads=("balloons[].acceleratorName", "balloons[].gpuCount"),
    consequence="The balloon stays Pending, and a cluster autoscaler adds nodes for it without end.",
    remedy=f"Use one of {', '.join(ACCELERATORS)} or cpu, and a gpuCount that one node has.",
)
def balloon_accelerators(view: View) -> Iterator[Broken]:
    for path, entry in view.entries("balloons"):
        name = str(entry.get("acceleratorName") or "")
        if name != CPU_DEVICE and name not in ACCELERATORS:
            yield Broken(path=f"{path}.acceleratorName", message=_unknown(name))
        count = as_number(entry.get("gpuCount"))
        if count is not None and not 1 <= count <= 8:
            yield Broken(path=f"{path}.gpuCount", message=f"is {count}; nodes have from 1 to 8 GPUs")


@rule(
    "S3-02",
    title="GPUs that recommended hardware uses are kept warm",
    severity=Severity.INFO,
    reads=("balloons[].replicaCount",),
    consequence="The first endpoint waits for a node to start.",
    remedy="Give the accelerator's balloon a replica for each node that shall be ready at once.",
)
def warm_nodes(view: View) -> Iterator[Broken]:
    used = {str(entry.get("gpu_type")) for table in _TABLES for _, entry in view.entries(table)}
    for path, entry in view.entries("balloons"):
        if entry.get("acceleratorName") in used and not as_number(entry.get("replicaCount")):
            yield Broken(path=f"{path}.replicaCount", message=f"is 0, and {entry['acceleratorName']} is used")


@rule(
    "S3-03",
    title="endpoints may take the place of balloons",
    severity=Severity.WARNING,
    reads=("balloonConfig.reserveHighPriority", "balloons[].replicaCount"),
    consequence="Only endpoints created with high_priority preempt balloons; all others wait while balloons hold the "
    "GPUs.",
    remedy="Create endpoints with high_priority, or set balloonConfig.reserveHighPriority to false. The default is "
    "true.",
)
def reserved_balloons(view: View) -> Iterator[Broken]:
    path = "balloonConfig.reserveHighPriority"
    if not view.flag(path):
        return
    for where, entry in view.entries("balloons"):
        if entry.get("acceleratorName") != CPU_DEVICE and as_number(entry.get("replicaCount")):
            yield Broken(
                path=path, message=f"is true, and {where} holds GPUs for high-priority endpoints only"
            )
            return


@rule(
    "S3-04",
    title="the image cache reaches the nodes of every accelerator in use",
    severity=Severity.WARNING,
    reads=(
        "imageCache.devices[].name",
        "imageCache.devices[].nodeSelector",
        "imageCache.devices[].tolerations",
    ),
    consequence="Images are not there before the first endpoint, whose start takes longer by their pull.",
    remedy=f"Name devices {', '.join((*CACHE_DEVICES.values(), CPU_DEVICE))}, select {ACCELERATOR_LABEL} of that "
    f"accelerator, and tolerate {GPU} with NoSchedule.",
)
def image_cache(view: View) -> Iterator[Broken]:
    devices = dict(CACHE_DEVICES)
    named = set()
    for path, entry in view.entries("imageCache.devices"):
        name = str(entry.get("name") or "")
        named.add(name)
        if name not in devices.values() and name != CPU_DEVICE:
            yield Broken(
                path=f"{path}.name", message=f"is {name or 'not set'}, which the platform never looks for"
            )
            continue
        selector = entry.get("nodeSelector")
        label = str(selector.get(ACCELERATOR_LABEL, "")) if isinstance(selector, dict) else ""
        if not selector:
            yield Broken(path=f"{path}.nodeSelector", message="is empty: the cache fills every node")
        elif name != CPU_DEVICE and label and devices.get(label) != name:
            yield Broken(path=f"{path}.nodeSelector", message=f"selects {label} for the device {name}")
        if name != CPU_DEVICE and not _tolerates_gpus(entry.get("tolerations")):
            yield Broken(path=f"{path}.tolerations", message=f"does not tolerate the taint {GPU}:NoSchedule")
    if not named and view.absent("imageCache.devices"):
        return
    used = {str(entry.get("gpu_type")) for table in _TABLES for _, entry in view.entries(table)}
    for accelerator in sorted(used & devices.keys()):
        if devices[accelerator] not in named:
            yield Broken(
                path="imageCache.devices", message=f"has no {devices[accelerator]}, for {accelerator}"
            )


@rule(
    "S3-05",
    title="every tier of the recommended hardware can be chosen and served",
    severity=Severity.WARNING,
    reads=(*_TABLES, "gpu_memory_le"),
    consequence="LLM endpoints created without hardware fail (HTTP 500 or 400), or get another tier than intended.",
    remedy="Give both tables at least one entry, each entry every field, each gpu_memory_le and name once (of the "
    f"sample's two of 640, make the second 1280), and a gpu_type of {', '.join(ACCELERATORS[:-1])}.",
    explains=("GpuNodesReady/RecommendedHardwareInvalid", "GpuNodesReady/UnknownAccelerator"),
)
def hardware_tiers(view: View) -> Iterator[Broken]:
    if view.absent(hardware.ROOT):
        yield Broken(path=_TABLES[0], message="is not set", severity=Severity.HIGH)
    elif view.raw(hardware.ROOT) is not None:
        for fault in hardware.read(view.values).faults:
            if fault.path in _TABLES:
                view.absent(fault.path)  # whether that is known
            severity = Severity.HIGH if fault.harm is Harm.ALL else None
            yield Broken(path=fault.path, message=fault.message, severity=severity)


@rule(
    "S3-06",
    title="nodeSelector matches nodes",
    severity=Severity.HIGH,
    reads=("nodeSelector",),
    consequence="The control plane and every endpoint stay Pending: the selector is put into endpoints' pods too.",
    remedy="Label the nodes so, or set nodeSelector to null. The default is node-lifecycle: normal, and {} in a values "
    "file does not take it away.",
    needs_cluster=True,
    explains=("GpuNodesReady/NodeSelectorUnmatched", *NO_START, "EndpointsReady/NodeLabelsUnmatched"),
)
def node_selector(view: View) -> Iterator[Broken]:
    selector = view.table("nodeSelector")
    if selector and known(view.facts.selected_nodes, "the nodes") == 0:
        wanted = ", ".join(f"{key}={value}" for key, value in selector.items())
        yield Broken(path="nodeSelector", message=f"asks for {wanted}, and no node has that")


def _unknown(name: str) -> str:
    near = suggestion(name)
    hint = f"; did you mean {near}?" if near else ""
    return f"is {name or 'not set'}, which is no accelerator of the platform{hint}"


def _tolerates_gpus(tolerations: object) -> bool:
    return isinstance(tolerations, list) and any(
        isinstance(item, dict)
        and item.get("key") in (GPU, None, "")
        and item.get("effect") in ("NoSchedule", None, "")
        for item in tolerations
    )
