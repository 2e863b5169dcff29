"""GpuNodesReady: nodes carry the labels, taints and GPUs that endpoints, balloons and image caches ask for."""

from collections import Counter
from collections.abc import Iterator

from mehc_checks.checks.gpu_nodes.coverage import Coverage, Pools, cover, size
from mehc_checks.checks.gpu_nodes.gather import GpuFacts, GpuParameters, gpu_facts
from mehc_checks.checks.gpu_nodes.nodes import (
    judge_control_plane,
    judge_excluded,
    judge_lost,
    judge_untainted,
)
from mehc_checks.checks.gpu_nodes.reasons import GpuNodesReasons
from mehc_checks.checks.gpu_nodes.tiers import judge_duplicates, judge_tiers
from mehc_checks.checks.gpu_nodes.warming import judge_balloons, judge_caches
from mehc_checks.core.outcome import Evidence, Finding, Outcome, Severity, Status
from mehc_checks.core.permission import Permission
from mehc_checks.engine.check import check
from mehc_checks.installation.reasons import InstallationReasons
from mehc_checks.modelengine.gpu import ACCELERATOR_LABEL

R = GpuNodesReasons


@check(
    "GpuNodesReady",
    title="nodes carry the labels, taints and GPUs that endpoints ask for",
    severity=Severity.HIGH,
    gather=gpu_facts,
    reasons=GpuNodesReasons,
    parameters=GpuParameters,
    follows_nodes=True,
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
    unmet = list(judge_tiers(tiers, facts, pools))
    findings = [
        *unmet,
        *judge_control_plane(facts, pools),
        *judge_excluded(tiers),
        *judge_lost(unmet, facts, pools),
        *judge_untainted(pools),
        *judge_duplicates(facts),
        *judge_balloons(facts, pools),
        *judge_caches(facts, pools),
        *_unseen(facts),
    ]
    if all(finding.status is Status.PASS for finding in findings):
        findings.insert(0, R.COVERED.finding(_summary(tiers, facts)))
    return Outcome.of(findings, evidence=_evidence(tiers, facts, pools))


def _unseen(facts: GpuFacts) -> Iterator[Finding]:
    for error in facts.unseen:
        unproven = error.reason is InstallationReasons.NAMESPACE_NOT_VERIFIED
        reason = R.NAMESPACE_UNPROVEN if unproven else R.PARTLY_UNSEEN
        yield reason.finding(str(error), remediation=error.remediation)


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
