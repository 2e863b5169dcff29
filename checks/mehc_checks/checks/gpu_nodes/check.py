"""GpuNodesReady: nodes carry the labels, taints and GPUs that endpoints, balloons and image caches ask for."""

from collections import Counter
from collections.abc import Sequence

from mehc_checks.checks.gpu_nodes.balloons import judge_balloons
from mehc_checks.checks.gpu_nodes.caches import judge_caches
from mehc_checks.checks.gpu_nodes.coverage import Coverage, cover, size
from mehc_checks.checks.gpu_nodes.facts import GpuFacts, GpuParameters, Pools
from mehc_checks.checks.gpu_nodes.nodes import (
    judge_control_plane,
    judge_excluded,
    judge_lost,
    judge_shared,
    judge_sick,
    judge_untainted,
)
from mehc_checks.checks.gpu_nodes.reasons import GpuNodesReasons
from mehc_checks.checks.gpu_nodes.tiers import judge_faults, judge_tiers
from mehc_checks.checks.gpu_nodes.words import nodes, verb
from mehc_checks.clients.kubernetes.reasons import incomplete
from mehc_checks.core.outcome import Evidence, Outcome, Severity, Status
from mehc_checks.core.permission import Permission
from mehc_checks.engine.check import check
from mehc_checks.modelengine.accelerators import ACCELERATOR_LABEL

R = GpuNodesReasons


@check(
    "GpuNodesReady",
    title="GPU nodes have the labels, taints and GPUs that endpoints need",
    severity=Severity.HIGH,
    reasons=GpuNodesReasons,
    parameters=GpuParameters,
    follows_nodes=True,
    permissions=(
        Permission(resource="nodes", verbs=("list", "watch"), scope="cluster"),
        Permission(resource="pods", verbs=("list", "watch"), scope="cluster"),
        Permission(group="apps", resource="deployments", verbs=("list",), scope="own", followed=True),
        Permission(group="apps", resource="deployments", verbs=("list",), scope="endpoints", followed=True),
        Permission(
            group="leaderworkerset.x-k8s.io",
            resource="leaderworkersets",
            verbs=("list",),
            scope="endpoints",
            followed=True,
        ),
        Permission(group="apps", resource="daemonsets", verbs=("list",), scope="endpoints", followed=True),
        Permission(resource="configmaps", verbs=("get",), scope="endpoints"),
        Permission(
            resource="events",
            verbs=("list",),
            scope="endpoints",
            lost="that the cluster autoscaler is adding a node is not noticed",
        ),
        Permission(
            group="karpenter.sh",
            resource="nodepools",
            verbs=("list",),
            scope="cluster",
            lost="accelerators of Karpenter's NodePools count as absent while they have no node",
        ),
    ),
)
def gpu_nodes_ready(facts: GpuFacts) -> Outcome:
    """Ask for each demand which nodes are left after every question of the scheduler."""
    pools = facts.nodes.pools(facts.label_keys)
    tiers = [cover(tier, pools) for tier in facts.tiers]
    unmet = list(judge_tiers(tiers, facts, pools))
    findings = [
        *judge_faults(facts),
        *unmet,
        *judge_control_plane(facts, pools),
        *judge_excluded(tiers, facts),
        *judge_sick(unmet, facts, pools),
        *judge_lost(unmet, facts, pools),
        *judge_shared(facts, pools),
        *judge_untainted(facts, pools),
        *judge_balloons(facts, pools),
        *judge_caches(facts, pools),
        *map(incomplete, facts.unseen),
    ]
    if all(finding.status is Status.PASS for finding in findings):
        findings.insert(0, R.COVERED(covered=_summary(tiers)))
    return Outcome.of(findings, evidence=_evidence(tiers, facts, pools))


def _summary(tiers: Sequence[Coverage]) -> str:
    if not tiers:
        return "balloons and image caches are covered"
    ready = {c.demand.accelerator: size(c.equipped) for c in tiers}
    listed = ", ".join(nodes(count, accelerator) for accelerator, count in sorted(ready.items()))
    return f"{verb(len(tiers), 'tier is', 'tiers are')} covered by {listed}"


def _evidence(tiers: Sequence[Coverage], facts: GpuFacts, pools: Pools) -> Evidence:
    evidence: dict[str, str | int | float | bool | None] = {"nodes": len(facts.nodes)}
    counts = Counter[str]()
    for pool in pools:
        if value := pool.node.label(ACCELERATOR_LABEL):
            counts[value] += len(pool)
    evidence.update({f"nodes {value}": count for value, count in sorted(counts.items())})
    for coverage in tiers:
        verdict = coverage.scheduler or f"{nodes(size(coverage.holding))} can hold it"
        evidence[f"{coverage.demand.path} ({coverage.demand.name})"] = verdict
    return evidence
