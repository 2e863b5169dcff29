"""What is wrong with GPU nodes, whoever uses them; and the nodes of the control plane."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from mehc_checks.checks.gpu_nodes.coverage import (
    Coverage,
    cover,
    has_gpus,
    lasting,
    only_mig,
    renamed,
    sick,
    size,
    those,
)
from mehc_checks.checks.gpu_nodes.facts import GpuFacts, Pools
from mehc_checks.checks.gpu_nodes.reasons import GpuNodesReasons as R
from mehc_checks.checks.gpu_nodes.unmet import unhealthy
from mehc_checks.checks.gpu_nodes.words import lacking, names_of, nodes, one_of, verb, with_products
from mehc_checks.clients.kubernetes.scheduling.filters import selected, untolerated
from mehc_checks.clients.kubernetes.scheduling.model import Node
from mehc_checks.clients.kubernetes.scheduling.states import NodeState, held
from mehc_checks.core.outcome import Finding, Status
from mehc_checks.installation.nodes import Pool
from mehc_checks.modelengine.accelerators import (
    ACCELERATOR_LABEL,
    ACCELERATORS,
    GPU,
    accelerator_of,
    is_part,
    product_of,
)


def judge_control_plane(facts: GpuFacts, pools: Pools) -> Iterator[Finding]:
    if not facts.has_node_selector:
        return
    coverage = cover(facts.control_plane, pools)
    if coverage.total and not coverage.selected:
        text, label = lacking(coverage)
        demand = f" ({facts.control_plane.name})"
        yield R.NODE_SELECTOR_UNMATCHED(subject="nodeSelector", lacking=text, missing=label, demand=demand)


def judge_lost(unmet: Iterable[Finding], facts: GpuFacts, pools: Pools) -> Iterator[Finding]:
    """GPU nodes that no endpoint asks for, unless that has been said of them as the cause of a failure."""
    if any(finding.reason in (R.GPU_NODES_UNLABELLED, R.LABEL_MISSPELT) for finding in unmet):
        return
    known = (*ACCELERATORS, *facts.parameters.unused_accelerators)
    lost = those(settled(pools, facts), lambda n: has_gpus(n) and n.label(ACCELERATOR_LABEL) not in known)
    if lost:
        kinds = {accelerator_of(product_of(pool.node.label)) for pool in lost} - {""}
        yield R.SOME_GPU_NODES_UNLABELLED(
            found=verb(size(lost), "GPU node has", "GPU nodes have"),
            names=with_products(lost),
            node=one_of(lost),
            known="|".join(sorted(kinds) or ACCELERATORS),
        )


def judge_untainted(facts: GpuFacts, pools: Pools) -> Iterator[Finding]:
    """GPU nodes that ordinary pods may occupy."""

    def untainted(node: Node) -> bool:
        kept = any(taint.key == GPU and taint.effect != "PreferNoSchedule" for taint in node.taints)
        return node.label(ACCELERATOR_LABEL) in ACCELERATORS and has_gpus(node) and not kept

    if found := those(settled(pools, facts), untainted):
        has = verb(size(found), "GPU node has", "GPU nodes have")
        yield R.TAINT_MISSING(found=has, names=with_products(found), node=one_of(found))


def judge_shared(facts: GpuFacts, pools: Pools) -> Iterator[Finding]:
    """Nodes whose GPUs are parts of GPUs, though their label promises whole ones."""

    def shared(node: Node) -> bool:
        return node.label(ACCELERATOR_LABEL) in ACCELERATORS and is_part(product_of(node.label))

    unused = facts.parameters.unused_accelerators
    if found := those(pools, lambda n: shared(n) and n.label(ACCELERATOR_LABEL) not in unused):
        yield R.GPU_SHARED(
            nodes=nodes(size(found)),
            offer="offers" if size(found) == 1 else "offer",
            products=", ".join(sorted({product_of(pool.node.label) for pool in found})),
            names=names_of(found),
        )


def judge_excluded(tiers: Sequence[Coverage], facts: GpuFacts) -> Iterator[Finding]:
    """Nodes of an accelerator that take nothing, beside others that do. All its tiers differ in size only."""
    for coverage in {c.demand.accelerator: c for c in tiers if c.equipped}.values():
        rest = tuple(pool for pool in coverage.labelled if pool not in coverage.equipped)
        rest = those(settled(rest, facts), lambda node: not _leaves(node))
        if not rest:
            continue
        which = nodes(size(coverage.labelled), coverage.demand.accelerator)
        why = Counter[tuple[str, str]]()
        for pool in rest:
            why[_why_not(coverage, pool.node)] += len(pool)
        yield R.SOME_NODES_EXCLUDED(
            subject=coverage.demand.accelerator,
            excluded=verb(size(rest), f"of {which} accepts", f"of {which} accept"),
            why=", ".join(verb(count, *what) for what, count in why.items()),
            node=one_of(rest),
        )


def judge_sick(said: Iterable[Finding], facts: GpuFacts, pools: Pools) -> Iterator[Finding]:
    """GPU nodes of which a part is broken, unless a tier has failed by it."""
    if any(finding.reason is R.GPU_UNHEALTHY for finding in said):
        return
    unused = facts.parameters.unused_accelerators
    found = those(pools, lambda n: n.allocatable.get(GPU, 0) > 0 and sick(n) > 0)
    if found := those(found, lambda n: n.label(ACCELERATOR_LABEL) not in unused):
        yield R.GPU_UNHEALTHY(status=Status.WARN, **unhealthy(found))


def settled(pools: Pools, facts: GpuFacts) -> Pools:
    """``pools`` without the nodes that are joining."""
    kept = (
        (pool, tuple(node for node in pool.members if not facts.is_joining(node)))
        if any(map(facts.is_joining, pool.members))
        else (pool, pool.members)
        for pool in pools
    )
    return tuple(
        pool if members is pool.members else Pool(members[0], members) for pool, members in kept if members
    )


def _leaves(node: Node) -> bool:
    """Whether a controller is removing the node, as it does when fewer are needed; a cordon is no controller's."""
    states = (held(taint) for taint in node.taints if taint.key != "node.kubernetes.io/unschedulable")
    return any(state is not None and state.state is NodeState.LEAVING for state in states)


def _why_not(coverage: Coverage, node: Node) -> tuple[str, str]:
    """The first question that the node does not pass, of one node and of several."""
    pod = coverage.demand.pod
    if not selected(pod, node):
        return "lacks a label of nodeSelector", "lack a label of nodeSelector"
    if lasting(untolerated(pod, node)):
        return "has a taint that is not tolerated", "have a taint that is not tolerated"
    if not node.ready:
        return "is NotReady", "are NotReady"
    if node.unschedulable:
        return "is cordoned", "are cordoned"
    if state := next((s for taint in untolerated(pod, node) if (s := held(taint))), None):
        return f"is {state.state}", f"are {state.state}"
    if only_mig(node):
        return "offers only nvidia.com/mig-*", "offer only nvidia.com/mig-*"
    if other := renamed(node):
        return f"offers {other[0]} in place of {GPU}", f"offer {other[0]} in place of {GPU}"
    if sick(node):
        return "has no healthy GPU", "have no healthy GPU"
    return f"offers no {GPU}", f"offer no {GPU}"
