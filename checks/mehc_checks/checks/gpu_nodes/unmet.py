"""Why no node can take the pods of a demand: the first question that leaves none."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mehc_checks.checks.gpu_nodes.coverage import (
    Coverage,
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
from mehc_checks.checks.gpu_nodes.words import (
    lacking,
    names_of,
    nodes,
    one_of,
    too_large,
    verb,
    with_products,
)
from mehc_checks.clients.kubernetes.scheduling.filters import shortages, tolerated, untolerated
from mehc_checks.clients.kubernetes.scheduling.model import Node, Taint
from mehc_checks.clients.kubernetes.scheduling.states import held
from mehc_checks.core.outcome import Reason, Status
from mehc_checks.modelengine.accelerators import (
    ACCELERATOR_LABEL,
    ACCELERATORS,
    GPU,
    accelerator_of,
    product_of,
    suggestion,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Cause:
    """A reason with the words that do not depend on whose demand it is; ``status`` where it hurts less."""

    reason: Reason
    words: Mapping[str, Any] = field(default_factory=dict)
    status: Status | None = None


def cause_of(coverage: Coverage, facts: GpuFacts, pools: Pools) -> Cause | None:
    """Why no node can ever take the demand as things are, or None. It only warns while nodes are still joining."""
    cause = _cause_of(coverage, facts, pools)
    if cause is None:
        return None
    joining = sum(facts.is_joining(node) for pool in coverage.labelled for node in pool.members)
    if joining and cause.reason in (R.NODES_NOT_READY, R.NODE_STATE_TAINT, R.NO_GPU_ALLOCATABLE):
        joined = f"; {verb(joining, 'node has', 'nodes have')} just joined"
        return Cause(reason=cause.reason, words={**cause.words, "joined": joined}, status=Status.WARN)
    return cause


def _cause_of(coverage: Coverage, facts: GpuFacts, pools: Pools) -> Cause | None:
    demand = coverage.demand
    if not coverage.labelled:
        return _unlabelled(demand.accelerator, facts, pools)
    if not coverage.selected:
        text, label = lacking(coverage)
        return Cause(reason=R.NODE_SELECTOR_UNMATCHED, words={"lacking": text, "missing": label})
    if not coverage.tolerated:
        return _tainted(coverage)
    if not coverage.usable:
        return _unusable(coverage)
    if not coverage.equipped:
        return _unequipped(coverage)
    if not coverage.holding:
        return _too_small(coverage)
    words = {"nodes": nodes(size(coverage.holding), demand.accelerator), "needed": str(demand.count)}
    if size(coverage.holding) < demand.count:
        return Cause(reason=R.TOO_FEW_NODES, words=words)
    if facts.pods is not None and (left := coverage.beside_daemons(facts.pods)) < demand.count:
        return Cause(reason=R.ONLY_WHEN_EMPTY, words={**words, "left": str(left)})
    return None


def _unlabelled(accelerator: str, facts: GpuFacts, pools: Pools) -> Cause:
    """Nothing has the label; which of the ways there?"""

    def misspelt(node: Node) -> bool:
        value = node.label(ACCELERATOR_LABEL)
        return bool(value) and value not in ACCELERATORS and suggestion(str(value)) == accelerator

    def bare(node: Node) -> bool:
        of = accelerator_of(product_of(node.label))
        known = of == accelerator or (not of and has_gpus(node))
        return node.label(ACCELERATOR_LABEL) is None and known

    words = {"accelerator": accelerator}
    if near := those(pools, misspelt):
        values = Counter[str]()
        for pool in near:
            values[str(pool.node.label(ACCELERATOR_LABEL))] += len(pool)
        found = ", ".join(f"{verb(count, 'has', 'have')} {value}" for value, count in values.items())
        return Cause(reason=R.LABEL_MISSPELT, words={**words, "found": found, "node": one_of(near)})
    if accelerator in facts.provisioned:
        return Cause(reason=R.POOL_AT_ZERO, words={**words, "shown": facts.provisioned[accelerator]})
    if unlabelled := those(pools, bare):
        lack = f"{verb(size(unlabelled), 'GPU node lacks', 'GPU nodes lack')} the label: {with_products(unlabelled)}"
        return Cause(
            reason=R.GPU_NODES_UNLABELLED, words={**words, "found": lack, "node": one_of(unlabelled)}
        )
    if facts.needs(accelerator):
        return Cause(reason=R.NO_NODE_WITH_LABEL, words=words)
    words["unused"] = "; no endpoint, balloon or image cache uses it"
    return Cause(reason=R.NO_NODE_WITH_LABEL, words=words, status=Status.WARN)


def _tainted(coverage: Coverage) -> Cause:
    pod = coverage.demand.pod
    taints = Counter[Taint]()
    for pool in coverage.selected:
        for taint in lasting(untolerated(pod, pool.node)):
            taints[taint] += len(pool)
    known = all(tolerated(pod, Taint(taint.key, taint.value, "NoSchedule")) for taint in taints)
    words = {
        "nodes": nodes(size(coverage.selected), coverage.demand.accelerator),
        "taints": ", ".join(f"{taint} on {count}" for taint, count in taints.items()),
        "key": next(iter(taints)).key,
        "node": one_of(coverage.selected),
    }
    return Cause(reason=R.TAINT_NO_EXECUTE if known else R.UNTOLERATED_TAINT, words=words)


def _unusable(coverage: Coverage) -> Cause:
    """The nodes are cordoned, NotReady, or held by a controller's taint."""
    left, pod = coverage.tolerated, coverage.demand.pod
    unready = those(left, lambda node: not node.ready)
    cordoned = those(left, lambda node: node.ready and node.unschedulable)
    states = tuple(pool for pool in left if pool not in (*unready, *cordoned))
    parts, first = [], None
    for pool in states:
        taint, state = next((t, s) for t in untolerated(pod, pool.node) if (s := held(t)))
        first = first or (taint, state)
        parts.append(f"{verb(len(pool), 'is', 'are')} {state.state} ({taint}, {names_of([pool])})")
    if cordoned:
        parts.append(f"{verb(size(cordoned), 'is', 'are')} cordoned ({names_of(cordoned)})")
    if unready:
        parts.append(f"{verb(size(unready), 'is', 'are')} NotReady ({names_of(unready)})")
    words = {
        "nodes": nodes(size(left), coverage.demand.accelerator),
        "states": ", ".join(parts),
        "node": one_of(unready or states or cordoned),
    }
    if unready:
        return Cause(reason=R.NODES_NOT_READY, words=words)
    if first is None:
        return Cause(reason=R.NODES_CORDONED, words=words)
    words |= {"key": first[0].key, "owner": first[1].owner, "state": str(first[1].state)}
    return Cause(reason=R.NODE_STATE_TAINT, words=words)


def _unequipped(coverage: Coverage) -> Cause:
    """The nodes have no GPU to give."""
    which, accelerator = coverage.usable, coverage.demand.accelerator
    mig, other = those(which, only_mig), those(which, lambda node: bool(renamed(node)))
    for found, reason in ((mig, R.MIG_NOT_SINGLE), (other, R.GPU_RENAMED)):
        if found:
            resources = sorted({name for pool in found for name in renamed(pool.node)})
            words = {
                "nodes": nodes(size(found), accelerator),
                "offer": "offers" if size(found) == 1 else "offer",
                "resources": ", ".join(resources),
                "names": names_of(found),
            }
            return Cause(reason=reason, words=words)
    if broken := those(which, lambda node: bool(sick(node))):
        return _unhealthy(broken)
    offer = verb(size(which), f"{accelerator} node offers", f"{accelerator} nodes offer")
    return Cause(
        reason=R.NO_GPU_ALLOCATABLE,
        words={"offer": offer, "names": names_of(which), "node": one_of(which)},
    )


def _too_small(coverage: Coverage) -> Cause:
    """No node is large enough; or one would be, were its GPUs healthy."""
    requests = coverage.demand.pod.requests
    broken = those(
        coverage.equipped,
        lambda node: (
            sick(node) > 0 and not shortages(requests, {**node.allocatable, GPU: node.devices.get(GPU, 0)})
        ),
    )
    if broken:
        return _unhealthy(broken)
    words = {"accelerator": coverage.demand.accelerator, "short": too_large(coverage)}
    return Cause(reason=R.TIER_TOO_LARGE, words=words)


def _unhealthy(broken: Pools) -> Cause:
    return Cause(reason=R.GPU_UNHEALTHY, words=unhealthy(broken))


def unhealthy(broken: Pools) -> dict[str, Any]:
    """The words of GpuUnhealthy for ``broken``: the first node by name, and how many more there are."""
    node = min((node for pool in broken for node in pool.members), key=lambda node: node.name)
    has, more = node.devices.get(GPU, 0), size(broken) - 1
    return {
        "node": node.name,
        "gpus": "1 GPU" if has == 1 else f"{has} GPUs",
        "healthy": str(node.allocatable.get(GPU, 0)),
        "more": f" (and {nodes(more)} more)" if more else "",
    }
