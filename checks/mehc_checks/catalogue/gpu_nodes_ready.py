"""GpuNodesReady: nodes carry the labels, taints and GPUs that endpoints, balloons and image caches ask for."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from mehc_checks.check import Permission, check
from mehc_checks.gatherers.gpu import Balloon, GpuFacts, GpuParameters, gpu_facts
from mehc_checks.inventory import Pool
from mehc_checks.outcome import Evidence, Finding, Outcome, Reason, ReasonSet, Severity, Status
from mehc_checks.platform.gpu import (
    ACCELERATOR_LABEL,
    ACCELERATORS,
    BALLOON_PREFIX,
    CACHE_DEVICES,
    CPU_DEVICE,
    GPU,
    IMAGE_CACHE_PREFIX,
    NOT_FOR_LLM,
    PRODUCT_LABEL,
    Demand,
    accelerator_of,
    suggestion,
)
from mehc_checks.scheduling.coverage import (
    Coverage,
    Pools,
    cover,
    has_gpus,
    is_usable,
    lasting,
    only_mig,
    size,
)
from mehc_checks.scheduling.filters import INSUFFICIENT, shortages, tolerated, untolerated
from mehc_checks.scheduling.model import Taint
from mehc_checks.scheduling.quantity import show

_NAMES_SHOWN = 5


class GpuNodesReasons(ReasonSet):
    """Reasons of GpuNodesReady."""

    COVERED = Reason(
        "GpuNodesCovered",
        Status.PASS,
        "Every tier of recommendedHardware, balloon and image cache has nodes that can take it.",
    )
    NO_ROOM_NOW = Reason(
        "NoRoomNow",
        Status.PASS,
        "Nodes are large enough, and all of them are occupied now; the next such endpoint waits.",
    )
    NO_WARM_NODES = Reason(
        "NoWarmNodes",
        Status.PASS,
        "Endpoints use a GPU type for which no balloon keeps a node warm: every scale-up is a cold start.",
        "Set {path}.replicaCount above 0 if cold starts hurt.",
    )
    UNKNOWN_ACCELERATOR = Reason(
        "UnknownAccelerator",
        Status.FAIL,
        "The values name a GPU type that model engine does not know, or does not accept for LLM endpoints.",
        "Set {path} to {near}.",
    )
    LABEL_MISSPELT = Reason(
        "AcceleratorLabelMisspelt",
        Status.FAIL,
        "No node has the accelerator label with the value asked for, and some have it with a value much like it.",
        "Label those nodes (or their node pool) k8s.amazonaws.com/accelerator={accelerator}.",
    )
    GPU_NODES_UNLABELLED = Reason(
        "GpuNodesUnlabelled",
        Status.FAIL,
        "No node has the accelerator label with the value asked for, and there are GPU nodes without that label.",
        "Label the nodes (or their node pool) k8s.amazonaws.com/accelerator={accelerator} if that is their GPU.",
    )
    NO_NODE_WITH_LABEL = Reason(
        "NoNodeWithLabel",
        Status.FAIL,
        "No node has the accelerator label with the value asked for.",
        "Add such nodes, labelled k8s.amazonaws.com/accelerator={accelerator}. If an autoscaler adds them on demand, "
        "list the accelerator in parameters.autoscaledPools; if nobody uses it, in parameters.unusedAccelerators, or "
        "remove it from the values.",
    )
    POOL_AT_ZERO = Reason(
        "AutoscaledPoolAtZero",
        Status.WARN,
        "There are no nodes of this accelerator now; parameters.autoscaledPools says that an autoscaler adds them, "
        "so their labels, taints and sizes cannot be judged.",
        "Nothing, if the autoscaler works; keep one node warm with a balloon to have the pool judged.",
    )
    NODE_SELECTOR_UNMATCHED = Reason(
        "NodeSelectorUnmatched",
        Status.FAIL,
        "Nodes of the accelerator lack a label of the top-level nodeSelector, which endpoint pods carry too; or no "
        "node at all is left for gateway, builder and cacher.",
        "Label the nodes, or remove the key from nodeSelector with null ({{}} does not clear the chart's default).",
    )
    UNTOLERATED_TAINT = Reason(
        "UntoleratedTaint",
        Status.FAIL,
        "A taint that endpoint pods do not tolerate is on every node of the accelerator. They tolerate "
        "nvidia.com/gpu and the keys of gpuTolerations.",
        "Add the taint's key to gpuTolerations, or remove the taint.",
    )
    TAINT_NO_EXECUTE = Reason(
        "TaintNoExecute",
        Status.FAIL,
        "The taint's key is tolerated, its effect is not: model engine tolerates NoSchedule only.",
        "Put the taint on the nodes with effect NoSchedule in place of NoExecute.",
    )
    NODES_CORDONED = Reason(
        "GpuNodesCordoned",
        Status.FAIL,
        "All nodes that could take the pods are cordoned.",
        "Uncordon the nodes (kubectl uncordon), or wait for the end of their maintenance.",
    )
    NODES_NOT_READY = Reason(
        "GpuNodesNotReady",
        Status.FAIL,
        "All nodes that could take the pods are NotReady, cordoned, or held back by a controller's taint.",
        "Look at the nodes' conditions (kubectl describe node): kubelet, network, disk.",
    )
    NO_GPU_ALLOCATABLE = Reason(
        "NoGpuAllocatable",
        Status.FAIL,
        "The nodes have the label and offer no nvidia.com/gpu: driver or device plugin is missing, or all devices "
        "are unhealthy.",
        "Check the NVIDIA driver and device plugin on the nodes: its DaemonSet must tolerate the nodes' taints.",
    )
    MIG_NOT_SINGLE = Reason(
        "MigStrategyNotSingle",
        Status.FAIL,
        "The nodes offer nvidia.com/mig-* in place of nvidia.com/gpu; model engine asks for nvidia.com/gpu always.",
        "Set the device plugin's MIG strategy to single on these nodes.",
    )
    TIER_TOO_LARGE = Reason(
        "TierTooLarge",
        Status.FAIL,
        "A tier asks for more than any node of the accelerator has, even when empty; its endpoints stay Pending.",
        "Lower {path}, or add larger nodes. The forwarder beside the model takes 0.1 CPU, 100M memory and 100M "
        "storage more.",
    )
    TOO_FEW_NODES = Reason(
        "TooFewNodesForWorker",
        Status.FAIL,
        "A worker of the tier spans more nodes than there are that can hold its part.",
        "Add nodes, or lower {path}.nodes_per_worker.",
    )
    ONLY_WHEN_EMPTY = Reason(
        "FitsOnlyWhenEmpty",
        Status.FAIL,
        "A tier fits a node of the accelerator only without the pods of DaemonSets, which are always there.",
        "Lower {path} by what the DaemonSets on these nodes request, or lower their requests.",
    )
    SOME_NODES_EXCLUDED = Reason(
        "SomeGpuNodesExcluded",
        Status.WARN,
        "Some nodes of the accelerator can take no endpoint, while others can.",
        "Mend what the message says of these nodes.",
    )
    SOME_GPU_NODES_UNLABELLED = Reason(
        "SomeGpuNodesUnlabelled",
        Status.WARN,
        "There are GPU nodes without the accelerator label, or with a value that model engine does not know; no "
        "endpoint uses them.",
        "Label the nodes k8s.amazonaws.com/accelerator=<{known}> if endpoints shall use them.",
    )
    TAINT_MISSING = Reason(
        "GpuTaintMissing",
        Status.WARN,
        "GPU nodes have no taint nvidia.com/gpu: ordinary pods occupy their CPU and memory, and endpoints wait.",
        "Taint the nodes (or their node pool) nvidia.com/gpu=present:NoSchedule.",
    )
    DUPLICATE_TIER = Reason(
        "DuplicateTier",
        Status.WARN,
        "Two entries of recommendedHardware have the same key; the first wins, the other is never used.",
        "Remove the later entry, or give it a key of its own.",
    )
    BALLOON_UNMATCHED = Reason(
        "BalloonUnmatched",
        Status.WARN,
        "No node can take the balloon: accelerator, balloonNodeSelector, taint, or the state of the nodes. It stays "
        "Pending, and makes an autoscaler grow the cluster without end.",
        "Correct {path} or balloonNodeSelector, or label the nodes so.",
    )
    BALLOON_TOO_LARGE = Reason(
        "BalloonTooLarge",
        Status.WARN,
        "The balloon asks for more than any node has: 28Gi and 4 CPU (the one without GPU: 6), and gpuCount GPUs.",
        "Lower {path}.gpuCount, use larger nodes, or set its replicaCount to 0.",
    )
    BALLOON_ABSENT = Reason(
        "BalloonAbsent",
        Status.WARN,
        "The values ask for balloons whose Deployment does not exist.",
        "Run the chart's upgrade with these values.",
    )
    BALLOON_PENDING = Reason(
        "BalloonPending",
        Status.WARN,
        "Balloons exist and do not run, although nodes could take them.",
        "Mend what the message quotes; with 'Insufficient', lower {path}.replicaCount or add nodes.",
    )
    BALLOONS_BLOCK = Reason(
        "BalloonsBlockEndpoints",
        Status.WARN,
        "An endpoint of default priority waits for GPUs that balloons hold: with balloonConfig.reserveHighPriority, "
        "only endpoints of high priority may take their place.",
        "Create the endpoint with high_priority, or set balloonConfig.reserveHighPriority to false.",
    )
    CACHE_DEVICE_UNKNOWN = Reason(
        "ImageCacheDeviceUnknown",
        Status.WARN,
        "imageCache.devices has a name that the cacher does not know; it makes nothing of it.",
        "Rename {path}.name to {near}.",
    )
    CACHE_DEVICE_MISSING = Reason(
        "ImageCacheDeviceMissing",
        Status.WARN,
        "There are nodes of an accelerator that imageCache.devices lacks; every endpoint there waits for its pull.",
        "Add the device {device} to imageCache.devices.",
    )
    CACHE_SELECTOR_UNMATCHED = Reason(
        "ImageCacheSelectorUnmatched",
        Status.WARN,
        "The device's nodeSelector matches no node, although there are nodes of its accelerator.",
        "Set {path}.nodeSelector to k8s.amazonaws.com/accelerator: {accelerator}.",
    )
    CACHE_TOLERATION_MISSING = Reason(
        "ImageCacheTolerationMissing",
        Status.WARN,
        "The device's nodeSelector matches nodes with a taint that its tolerations do not cover: no image is cached "
        "there.",
        "Add to {path}.tolerations: key {key}, operator Exists, effect {effect}.",
    )
    CACHE_ABSENT = Reason(
        "ImageCacheAbsent",
        Status.WARN,
        "A device has nodes, and the cacher has not made its DaemonSet.",
        "Look at the cacher's log; it makes the DaemonSets in its first round.",
    )
    CACHE_NOT_READY = Reason(
        "ImageCacheNotReady",
        Status.WARN,
        "The DaemonSet of a device does not run on all nodes that it is for; mostly an image that cannot be pulled.",
        "Look at the pods of the DaemonSet (kubectl describe); see VllmImagePullable.",
    )
    NAMESPACE_UNPROVEN = Reason(
        "EndpointNamespaceUnproven",
        Status.WARN,
        "The endpoint namespace that the values name does not say that it belongs to this installation, so nothing "
        "is read there: no image caches, no endpoints.",
        "{remediation}",
    )
    PARTLY_UNSEEN = Reason(
        "PartlyUnseen",
        Status.ERROR,
        "Nodes could be judged; pods, Deployments or DaemonSets could not be read.",
        "{remediation}",
    )


R = GpuNodesReasons


@dataclass(frozen=True, kw_only=True, slots=True)
class Trouble:
    """Why a demand is not met, in words that do not depend on whose demand it is."""

    reason: Reason
    text: str
    placeholders: Mapping[str, str] = field(default_factory=dict)


@check(
    "GpuNodesReady",
    title="nodes carry the labels, taints and GPUs that endpoints ask for",
    severity=Severity.HIGH,
    gather=gpu_facts,
    reasons=GpuNodesReasons,
    parameters=GpuParameters,
    permissions=(
        Permission(resource="nodes", verbs=("list", "watch"), scope="cluster"),
        Permission(resource="pods", verbs=("list", "watch"), scope="cluster"),
        Permission(group="apps", resource="deployments", verbs=("list",), scope="own"),
        Permission(group="apps", resource="daemonsets", verbs=("list",), scope="endpoints"),
        Permission(resource="configmaps", verbs=("get",), scope="endpoints"),
    ),
)
def gpu_nodes_ready(facts: GpuFacts) -> Outcome:
    """Ask for each demand which nodes are left after every question of the scheduler."""
    pools = facts.nodes.pools(facts.label_keys)
    tiers = [cover(tier, pools) for tier in facts.tiers]
    findings = [
        *_tiers(tiers, facts, pools),
        *_control_plane(facts, pools),
        *_whole_nodes(tiers, facts, pools),
        *_duplicates(facts),
        *_balloons(facts, pools),
        *_caches(facts, pools),
        *_unseen(facts),
    ]
    if all(finding.status is Status.PASS for finding in findings):
        findings.insert(0, R.COVERED.finding(_summary(tiers, facts)))
    return Outcome.of(findings, evidence=_evidence(tiers, facts, pools))


def _tiers(coverages: list[Coverage], facts: GpuFacts, pools: Pools) -> Iterator[Finding]:
    """One finding for each thing that is wrong, naming all tiers that it concerns."""
    troubled: dict[tuple[str, str], tuple[Trouble, list[Demand]]] = {}
    for coverage in coverages:
        trouble = _unmet(coverage, facts, pools) or _crowded(coverage, facts)
        if trouble is not None:
            key = (trouble.reason.name, trouble.text)
            troubled.setdefault(key, (trouble, []))[1].append(coverage.demand)
    for trouble, demands in troubled.values():
        names = ", ".join(dict.fromkeys(demand.name for demand in demands))
        yield trouble.reason.finding(
            f"{trouble.text} (recommendedHardware: {names})",
            subject=demands[0].accelerator,
            **{"path": demands[0].path, **trouble.placeholders},
        )


def _unmet(coverage: Coverage, facts: GpuFacts, pools: Pools) -> Trouble | None:
    """Why no node can ever take the tier as things are, or None."""
    demand = coverage.demand
    accelerator = demand.accelerator
    if accelerator not in ACCELERATORS or accelerator == NOT_FOR_LLM:
        return _unknown(demand)
    if not coverage.labelled:
        return _unlabelled(accelerator, facts, pools)
    if not coverage.selected:
        return Trouble(reason=R.NODE_SELECTOR_UNMATCHED, text=_lacking(coverage))
    if not coverage.tolerated:
        return _tainted(coverage)
    if not coverage.usable:
        return _unusable(coverage)
    if not coverage.equipped:
        return _unequipped(coverage)
    if not coverage.holding:
        return Trouble(reason=R.TIER_TOO_LARGE, text=_too_large(coverage))
    if size(coverage.holding) < demand.count:
        text = f"a worker takes {demand.count} {accelerator} nodes and {size(coverage.holding)} can hold its part"
        return Trouble(reason=R.TOO_FEW_NODES, text=text)
    if facts.pods is not None and coverage.beside_daemons(facts.pods) < demand.count:
        text = (
            f"{size(coverage.holding)} {accelerator} nodes would hold it empty, "
            f"{coverage.beside_daemons(facts.pods)} beside the pods of their DaemonSets"
        )
        return Trouble(reason=R.ONLY_WHEN_EMPTY, text=text)
    return None


def _crowded(coverage: Coverage, facts: GpuFacts) -> Trouble | None:
    """Whether the tier would have to wait for others to go."""
    if facts.pods is None:
        return None
    free = coverage.free(facts.pods, balloons_yield=not facts.reserve_high_priority)
    if free >= coverage.demand.count:
        return None
    text = f"{size(coverage.holding)} {coverage.demand.accelerator} nodes can hold it, {free} have room now"
    return Trouble(reason=R.NO_ROOM_NOW, text=text)


def _unknown(demand: Demand) -> Trouble:
    near = suggestion(demand.accelerator)
    if demand.accelerator == NOT_FOR_LLM:
        text, near = f"{demand.accelerator} is refused for LLM endpoints", "nvidia-ampere-a100"
    else:
        text = f"model engine knows no GPU type {demand.accelerator or '(empty)'}"
        text += f"; did you mean {near}?" if near else ""
    known = near or f"one of {', '.join(ACCELERATORS)}"
    placeholders = {"near": known, "path": f"{demand.path}.gpu_type"}
    return Trouble(reason=R.UNKNOWN_ACCELERATOR, text=text, placeholders=placeholders)


def _unlabelled(accelerator: str, facts: GpuFacts, pools: Pools) -> Trouble:
    """Nothing has the label; which of the ways there?"""
    wanted = f"no node has {ACCELERATOR_LABEL}={accelerator}"
    placeholders = {"accelerator": accelerator}
    near = tuple(
        pool
        for pool in pools
        if (value := pool.node.label(ACCELERATOR_LABEL))
        and value not in ACCELERATORS
        and suggestion(value) == accelerator
    )
    if near:
        values = Counter[str]()
        for pool in near:
            values[str(pool.node.label(ACCELERATOR_LABEL))] += len(pool)
        have = ", ".join(f"{count} have {value}" for value, count in values.items())
        return Trouble(reason=R.LABEL_MISSPELT, text=f"{wanted}; {have}", placeholders=placeholders)
    if accelerator in facts.parameters.autoscaled_pools:
        return Trouble(reason=R.POOL_AT_ZERO, text=f"{wanted} now", placeholders=placeholders)
    bare = tuple(
        pool
        for pool in pools
        if pool.node.label(ACCELERATOR_LABEL) is None
        and has_gpus(pool.node)
        and accelerator_of(pool.node.label(PRODUCT_LABEL) or "") in (accelerator, "")
    )
    if bare:
        text = f"{wanted}; {size(bare)} GPU nodes lack the label: {_nodes(bare)}"
        return Trouble(reason=R.GPU_NODES_UNLABELLED, text=text, placeholders=placeholders)
    return Trouble(reason=R.NO_NODE_WITH_LABEL, text=wanted, placeholders=placeholders)


def _lacking(coverage: Coverage) -> str:
    """Which labels of the selector the nodes of the accelerator lack, and on how many."""
    selector = coverage.demand.pod.node_selector
    lacking = [
        f"{missing} lack {key}={value}"
        for key, value in selector.items()
        if key != ACCELERATOR_LABEL
        and (missing := sum(len(p) for p in coverage.labelled if p.node.label(key) != value))
    ]
    count = size(coverage.labelled)
    return f"of {count} {coverage.demand.accelerator or 'schedulable'} nodes, {' and '.join(lacking)}"


def _tainted(coverage: Coverage) -> Trouble:
    pod = coverage.demand.pod
    taints = Counter[Taint]()
    for pool in coverage.selected:
        for taint in lasting(untolerated(pod, pool.node)):
            taints[taint] += len(pool)
    known = all(tolerated(pod, Taint(taint.key, taint.value, "NoSchedule")) for taint in taints)
    shown = ", ".join(f"{taint} on {count}" for taint, count in taints.items())
    text = f"none of {size(coverage.selected)} {coverage.demand.accelerator} nodes is tolerated: {shown}"
    return Trouble(reason=R.TAINT_NO_EXECUTE if known else R.UNTOLERATED_TAINT, text=text)


def _unusable(coverage: Coverage) -> Trouble:
    cordoned = tuple(pool for pool in coverage.tolerated if pool.node.unschedulable)
    others = tuple(pool for pool in coverage.tolerated if not pool.node.unschedulable)
    count = f"of {size(coverage.tolerated)} {coverage.demand.accelerator} nodes, "
    parts = [f"{size(cordoned)} are cordoned ({_nodes(cordoned)})"] if cordoned else []
    parts += [f"{size(others)} are NotReady ({_nodes(others)})"] if others else []
    reason = R.NODES_NOT_READY if others else R.NODES_CORDONED
    return Trouble(reason=reason, text=count + " and ".join(parts))


def _unequipped(coverage: Coverage) -> Trouble:
    mig = tuple(pool for pool in coverage.usable if only_mig(pool.node))
    absent = tuple(pool for pool in coverage.usable if GPU not in pool.node.allocatable)
    nodes = f"of {size(coverage.usable)} {coverage.demand.accelerator} nodes"
    if mig:
        slices = sorted({name for pool in mig for name in pool.node.allocatable if "/mig-" in name})
        text = f"{nodes}, {size(mig)} offer {', '.join(slices)} and no {GPU}: {_nodes(mig)}"
        return Trouble(reason=R.MIG_NOT_SINGLE, text=text)
    zero = size(coverage.usable) - size(absent)
    text = f"{nodes}, {size(absent)} offer no {GPU} and {zero} offer 0: {_nodes(coverage.usable)}"
    return Trouble(reason=R.NO_GPU_ALLOCATABLE, text=text)


def _too_large(coverage: Coverage) -> str:
    """Which resources do not suffice, against the most that any node has of each."""
    requests = coverage.demand.pod.requests
    short = dict.fromkeys(
        why.removeprefix(INSUFFICIENT)
        for pool in coverage.equipped
        for why in shortages(requests, pool.node.allocatable)
        if why.startswith(INSUFFICIENT)
    )
    parts = []
    for name in short:
        most = max(pool.node.allocatable.get(name, 0) for pool in coverage.equipped)
        parts.append(f"{name}: {show(name, requests[name])} asked, {show(name, most)} at most")
    whose = coverage.demand.accelerator or "matching"
    return f"no {whose} node is large enough: {'; '.join(parts) or 'no pod may run there'}"


def _control_plane(facts: GpuFacts, pools: Pools) -> Iterator[Finding]:
    if not facts.has_node_selector:
        return
    coverage = cover(facts.control_plane, pools)
    if coverage.total and not coverage.selected:
        yield R.NODE_SELECTOR_UNMATCHED.finding(
            f"{_lacking(coverage)} ({facts.control_plane.name})", subject="nodeSelector"
        )


def _whole_nodes(tiers: list[Coverage], facts: GpuFacts, pools: Pools) -> Iterator[Finding]:
    """What is wrong with GPU nodes, whoever wants them."""
    yield from _excluded(tiers)
    lost = tuple(
        pool
        for pool in pools
        if has_gpus(pool.node)
        and pool.node.label(ACCELERATOR_LABEL) not in (*ACCELERATORS, *facts.parameters.unused_accelerators)
    )
    if lost:
        kinds = {accelerator_of(pool.node.label(PRODUCT_LABEL) or "") for pool in lost} - {""}
        yield R.SOME_GPU_NODES_UNLABELLED.finding(
            f"{size(lost)} GPU nodes have no accelerator label that model engine knows: {_nodes(lost)}",
            known="|".join(sorted(kinds) or ACCELERATORS),
        )
    untainted = tuple(
        pool
        for pool in pools
        if pool.node.label(ACCELERATOR_LABEL) in ACCELERATORS
        and has_gpus(pool.node)
        and not any(taint.key == GPU and taint.effect != "PreferNoSchedule" for taint in pool.node.taints)
    )
    if untainted:
        yield R.TAINT_MISSING.finding(
            f"{size(untainted)} GPU nodes have no taint {GPU}:NoSchedule: {_nodes(untainted)}"
        )


def _excluded(tiers: list[Coverage]) -> Iterator[Finding]:
    """Nodes of an accelerator that take nothing, beside others that do. All its tiers differ in size only."""
    for coverage in {c.demand.accelerator: c for c in tiers if c.equipped}.values():
        rest = tuple(pool for pool in coverage.labelled if pool not in coverage.equipped)
        if not rest:
            continue
        why = Counter[str]()
        for pool in rest:
            why[_why_not(coverage, pool)] += len(pool)
        yield R.SOME_NODES_EXCLUDED.finding(
            f"{size(rest)} of {size(coverage.labelled)} {coverage.demand.accelerator} nodes take no endpoint: "
            + ", ".join(f"{count} {what}" for what, count in why.items()),
            subject=coverage.demand.accelerator,
        )


def _duplicates(facts: GpuFacts) -> Iterator[Finding]:
    for path, first, key in facts.duplicates:
        yield R.DUPLICATE_TIER.finding(f"{path} has {key} as {first} has, and is never used", subject=path)


def _balloons(facts: GpuFacts, pools: Pools) -> Iterator[Finding]:
    used = {pod.accelerator for pod in facts.endpoints}
    for demand in facts.balloons:
        if demand.count:
            yield from _balloon(cover(demand, pools), facts)
        elif demand.accelerator in used:
            yield R.NO_WARM_NODES.finding(
                f"endpoints use {demand.accelerator}, and its balloon has no replicas",
                subject=demand.name,
                path=demand.path,
            )
    yield from _blocked(facts)


def _balloon(coverage: Coverage, facts: GpuFacts) -> Iterator[Finding]:
    demand = coverage.demand
    trouble = ""
    if demand.accelerator and demand.accelerator not in ACCELERATORS:
        trouble = _unknown(demand).text
    elif demand.accelerator in facts.parameters.autoscaled_pools and not coverage.labelled:
        return
    elif not coverage.equipped:
        trouble = coverage.scheduler
    if trouble:
        yield R.BALLOON_UNMATCHED.finding(f"{demand.name}: {trouble}", subject=demand.name, path=demand.path)
    elif not coverage.holding:
        yield R.BALLOON_TOO_LARGE.finding(
            f"{demand.name}: {_too_large(coverage)}", subject=demand.name, path=demand.path
        )
    elif facts.deployments is not None:
        name = demand.accelerator or CPU_DEVICE
        balloon = facts.deployments.get(name)
        if balloon is None:
            yield R.BALLOON_ABSENT.finding(
                f"Deployment {BALLOON_PREFIX}{name} does not exist in {facts.namespace}", subject=demand.name
            )
        elif balloon.ready < balloon.desired:
            yield R.BALLOON_PENDING.finding(
                f"{demand.name}: {balloon.ready} of {balloon.desired} run; {_why_pending(balloon)}",
                subject=demand.name,
                path=demand.path,
            )


def _why_pending(balloon: Balloon) -> str:
    if balloon.failure:
        return balloon.failure
    for pod in balloon.pods:
        if pod.unscheduled:
            return pod.unscheduled.partition(" preemption:")[0]
    waiting = [pod.waiting for pod in balloon.pods if pod.waiting]
    return f"a pod waits: {waiting[0]}" if waiting else "no pod says why"


def _blocked(facts: GpuFacts) -> Iterator[Finding]:
    """Endpoints that wait for what balloons hold and will not give."""
    if not facts.reserve_high_priority or facts.deployments is None:
        return
    held = {name for name, balloon in facts.deployments.items() if any(pod.node for pod in balloon.pods)}
    waiting = [
        pod
        for pod in facts.endpoints
        if pod.unscheduled and pod.accelerator in held and not pod.priority_class.endswith("-high-priority")
    ]
    for accelerator in sorted({pod.accelerator for pod in waiting}):
        names = sorted(pod.name for pod in waiting if pod.accelerator == accelerator)
        yield R.BALLOONS_BLOCK.finding(
            f"{len(names)} endpoint pods of default priority wait for {accelerator} while balloons hold its nodes: "
            f"{_some(names)}",
            subject=f"balloon {accelerator}",
        )


def _caches(facts: GpuFacts, pools: Pools) -> Iterator[Finding]:
    known = (*CACHE_DEVICES.values(), CPU_DEVICE)
    for device, demand in facts.devices.items():
        if device not in known:
            yield R.CACHE_DEVICE_UNKNOWN.finding(
                f"{demand.path} is named {device}, which the cacher does not know",
                subject=demand.name,
                path=demand.path,
                near=f"one of {', '.join(known)}",
            )
        else:
            yield from _cache(device, demand, facts, pools)
    wanted = {tier.accelerator for tier in facts.tiers} | {pod.accelerator for pod in facts.endpoints}
    for accelerator, device in CACHE_DEVICES.items():
        there = _of(accelerator, pools)
        if accelerator in wanted and device not in facts.devices and there:
            yield R.CACHE_DEVICE_MISSING.finding(
                f"{size(there)} {accelerator} nodes have no image cache: imageCache.devices lacks {device}",
                subject=f"imageCache {device}",
                device=device,
            )


def _cache(device: str, demand: Demand, facts: GpuFacts, pools: Pools) -> Iterator[Finding]:
    matching = tuple(pool for pool in cover(demand, pools).selected if pool.node.ready)
    there = _of(demand.accelerator, pools) if demand.accelerator else ()
    if not matching:
        if there:
            yield R.CACHE_SELECTOR_UNMATCHED.finding(
                f"{demand.name}: its nodeSelector matches no node, {size(there)} are {demand.accelerator}",
                subject=demand.name,
                path=demand.path,
                accelerator=demand.accelerator,
            )
        return
    kept_out = [(p, taints) for p in matching if (taints := lasting(untolerated(demand.pod, p.node)))]
    if kept_out:
        taint = kept_out[0][1][0]
        yield R.CACHE_TOLERATION_MISSING.finding(
            f"{demand.name}: {size(p for p, _ in kept_out)} of {size(matching)} matching nodes have {taint}, which "
            "it does not tolerate",
            subject=demand.name,
            path=demand.path,
            key=taint.key,
            effect=taint.effect,
        )
    if facts.caches is None or len(kept_out) == len(matching):
        return
    name = f"{IMAGE_CACHE_PREFIX}{device}"
    cache = facts.caches.get(device)
    reachable = size(matching) - size(p for p, _ in kept_out)
    if cache is None:
        yield R.CACHE_ABSENT.finding(
            f"DaemonSet {name} does not exist in {facts.endpoint_namespace}; {reachable} nodes are for it",
            subject=demand.name,
        )
    elif cache.observed and (cache.ready < cache.desired or (not cache.desired and reachable)):
        yield R.CACHE_NOT_READY.finding(
            f"DaemonSet {name} wants {cache.desired} nodes and is ready on {cache.ready}; {reachable} match the values",
            subject=demand.name,
        )


def _unseen(facts: GpuFacts) -> Iterator[Finding]:
    for error in facts.unseen:
        unproven = error.reason == R.NAMESPACE_UNPROVEN.name
        reason = R.NAMESPACE_UNPROVEN if unproven else R.PARTLY_UNSEEN
        yield reason.finding(str(error), remediation=error.remediation)


def _why_not(coverage: Coverage, pool: Pool) -> str:
    """The first question that the pool does not pass, in few words."""
    if pool not in coverage.selected:
        return "lack a label of nodeSelector"
    if pool not in coverage.tolerated:
        return "have a taint that is not tolerated"
    if pool.node.unschedulable:
        return "are cordoned"
    if not is_usable(pool.node):
        return "are NotReady"
    return "offer only nvidia.com/mig-*" if only_mig(pool.node) else f"offer no {GPU}"


def _of(accelerator: str, pools: Pools) -> Pools:
    return tuple(pool for pool in pools if pool.node.label(ACCELERATOR_LABEL) == accelerator)


def _nodes(pools: Iterable[Pool]) -> str:
    return _some(sorted(node.name for pool in pools for node in pool.members))


def _some(names: list[str]) -> str:
    more = len(names) - _NAMES_SHOWN
    return ", ".join(names[:_NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _summary(tiers: list[Coverage], facts: GpuFacts) -> str:
    nodes = {c.demand.accelerator: size(c.equipped) for c in tiers}
    listed = ", ".join(f"{count} {accelerator}" for accelerator, count in sorted(nodes.items()))
    return (
        f"{len(tiers)} tiers are covered by {listed or 'no'} nodes"
        if tiers
        else "all GPU demands are covered"
    )


def _evidence(tiers: list[Coverage], facts: GpuFacts, pools: Pools) -> Evidence:
    evidence: dict[str, str | int | float | bool | None] = {"nodes": len(facts.nodes)}
    counts = Counter[str]()
    for pool in pools:
        if value := pool.node.label(ACCELERATOR_LABEL):
            counts[value] += len(pool)
    evidence.update({f"nodes {value}": count for value, count in sorted(counts.items())})
    for coverage in tiers:
        verdict = coverage.scheduler or f"{size(coverage.holding)} nodes can hold it"
        evidence[f"{coverage.demand.path} ({coverage.demand.name})"] = verdict
    return evidence
