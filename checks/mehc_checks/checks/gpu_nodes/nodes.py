"""What is wrong with GPU nodes, whoever wants them; and the nodes of the control plane."""

from collections import Counter
from collections.abc import Iterable, Iterator

from mehc_checks.checks.gpu_nodes.coverage import (
    Coverage,
    Pools,
    cover,
    has_gpus,
    is_usable,
    only_mig,
    size,
)
from mehc_checks.checks.gpu_nodes.gather import GpuFacts
from mehc_checks.checks.gpu_nodes.reasons import GpuNodesReasons as R
from mehc_checks.checks.gpu_nodes.tiers import lacking, nodes_of
from mehc_checks.core.outcome import Finding
from mehc_checks.installation.nodes import Pool
from mehc_checks.modelengine.gpu import (
    ACCELERATOR_LABEL,
    ACCELERATORS,
    GPU,
    PRODUCT_LABEL,
    accelerator_of,
)


def judge_control_plane(facts: GpuFacts, pools: Pools) -> Iterator[Finding]:
    if not facts.has_node_selector:
        return
    coverage = cover(facts.control_plane, pools)
    if coverage.total and not coverage.selected:
        yield R.NODE_SELECTOR_UNMATCHED.finding(
            f"{lacking(coverage)} ({facts.control_plane.name})", subject="nodeSelector"
        )


def judge_lost(unmet: Iterable[Finding], facts: GpuFacts, pools: Pools) -> Iterator[Finding]:
    """GPU nodes that no endpoint asks for, unless that has been said of them as the cause of a failure."""
    if any(finding.reason in (R.GPU_NODES_UNLABELLED, R.LABEL_MISSPELT) for finding in unmet):
        return
    known = (*ACCELERATORS, *facts.parameters.unused_accelerators)
    lost = tuple(p for p in pools if has_gpus(p.node) and p.node.label(ACCELERATOR_LABEL) not in known)
    if lost:
        kinds = {accelerator_of(pool.node.label(PRODUCT_LABEL) or "") for pool in lost} - {""}
        yield R.SOME_GPU_NODES_UNLABELLED.finding(
            f"{size(lost)} GPU nodes have no accelerator label that model engine knows: {nodes_of(lost)}",
            known="|".join(sorted(kinds) or ACCELERATORS),
        )


def judge_untainted(pools: Pools) -> Iterator[Finding]:
    """GPU nodes that ordinary pods may occupy."""
    untainted = tuple(
        pool
        for pool in pools
        if pool.node.label(ACCELERATOR_LABEL) in ACCELERATORS
        and has_gpus(pool.node)
        and not any(taint.key == GPU and taint.effect != "PreferNoSchedule" for taint in pool.node.taints)
    )
    if untainted:
        yield R.TAINT_MISSING.finding(
            f"{size(untainted)} GPU nodes have no taint {GPU}:NoSchedule: {nodes_of(untainted)}"
        )


def judge_excluded(tiers: list[Coverage]) -> Iterator[Finding]:
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
