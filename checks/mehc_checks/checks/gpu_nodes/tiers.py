"""Which tiers of recommendedHardware no node can take, and why."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from mehc_checks.checks.gpu_nodes.coverage import (
    Coverage,
    Pools,
    has_gpus,
    lasting,
    only_mig,
    size,
)
from mehc_checks.checks.gpu_nodes.gather import GpuFacts
from mehc_checks.checks.gpu_nodes.reasons import GpuNodesReasons as R
from mehc_checks.clients.kubernetes.scheduling.filters import INSUFFICIENT, shortages, tolerated, untolerated
from mehc_checks.clients.kubernetes.scheduling.model import Taint
from mehc_checks.clients.kubernetes.scheduling.quantity import show
from mehc_checks.core.outcome import Finding, Reason
from mehc_checks.installation.nodes import Pool
from mehc_checks.modelengine.gpu import (
    ACCELERATOR_LABEL,
    ACCELERATORS,
    GPU,
    NOT_FOR_LLM,
    PRODUCT_LABEL,
    Demand,
    accelerator_of,
    suggestion,
)

_NAMES_SHOWN = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Trouble:
    """Why a demand is not met, in words that do not depend on whose demand it is."""

    reason: Reason
    text: str
    placeholders: Mapping[str, str] = field(default_factory=dict)


def judge_tiers(coverages: list[Coverage], facts: GpuFacts, pools: Pools) -> Iterator[Finding]:
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
        return unknown(demand)
    if not coverage.labelled:
        return _unlabelled(accelerator, facts, pools)
    if not coverage.selected:
        return Trouble(reason=R.NODE_SELECTOR_UNMATCHED, text=lacking(coverage))
    if not coverage.tolerated:
        return _tainted(coverage)
    if not coverage.usable:
        return _unusable(coverage)
    if not coverage.equipped:
        return _unequipped(coverage)
    if not coverage.holding:
        return Trouble(reason=R.TIER_TOO_LARGE, text=too_large(coverage))
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


def unknown(demand: Demand) -> Trouble:
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
        text = f"{wanted}; {size(bare)} GPU nodes lack the label: {nodes_of(bare)}"
        return Trouble(reason=R.GPU_NODES_UNLABELLED, text=text, placeholders=placeholders)
    return Trouble(reason=R.NO_NODE_WITH_LABEL, text=wanted, placeholders=placeholders)


def lacking(coverage: Coverage) -> str:
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
    parts = [f"{size(cordoned)} are cordoned ({nodes_of(cordoned)})"] if cordoned else []
    parts += [f"{size(others)} are NotReady ({nodes_of(others)})"] if others else []
    reason = R.NODES_NOT_READY if others else R.NODES_CORDONED
    return Trouble(reason=reason, text=count + " and ".join(parts))


def _unequipped(coverage: Coverage) -> Trouble:
    mig = tuple(pool for pool in coverage.usable if only_mig(pool.node))
    absent = tuple(pool for pool in coverage.usable if GPU not in pool.node.allocatable)
    nodes = f"of {size(coverage.usable)} {coverage.demand.accelerator} nodes"
    if mig:
        slices = sorted({name for pool in mig for name in pool.node.allocatable if "/mig-" in name})
        text = f"{nodes}, {size(mig)} offer {', '.join(slices)} and no {GPU}: {nodes_of(mig)}"
        return Trouble(reason=R.MIG_NOT_SINGLE, text=text)
    zero = size(coverage.usable) - size(absent)
    text = f"{nodes}, {size(absent)} offer no {GPU} and {zero} offer 0: {nodes_of(coverage.usable)}"
    return Trouble(reason=R.NO_GPU_ALLOCATABLE, text=text)


def too_large(coverage: Coverage) -> str:
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


def judge_duplicates(facts: GpuFacts) -> Iterator[Finding]:
    for path, first, key in facts.duplicates:
        yield R.DUPLICATE_TIER.finding(f"{path} has {key} as {first} has, and is never used", subject=path)


def of_accelerator(accelerator: str, pools: Pools) -> Pools:
    return tuple(pool for pool in pools if pool.node.label(ACCELERATOR_LABEL) == accelerator)


def nodes_of(pools: Iterable[Pool]) -> str:
    return some(sorted(node.name for pool in pools for node in pool.members))


def some(names: list[str]) -> str:
    more = len(names) - _NAMES_SHOWN
    return ", ".join(names[:_NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")
