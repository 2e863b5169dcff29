"""Which tiers of recommendedHardware no node can take, and why."""

from collections.abc import Iterator, Sequence
from typing import Any

from mehc_checks.checks.gpu_nodes.coverage import Coverage, size
from mehc_checks.checks.gpu_nodes.facts import GpuFacts, Pools
from mehc_checks.checks.gpu_nodes.reasons import GpuNodesReasons as R
from mehc_checks.checks.gpu_nodes.unmet import Cause, cause_of
from mehc_checks.checks.gpu_nodes.words import nodes, verb
from mehc_checks.core.outcome import Finding


def judge_tiers(coverages: Sequence[Coverage], facts: GpuFacts, pools: Pools) -> Iterator[Finding]:
    """One finding for each thing that is wrong, naming all tiers that it concerns."""
    causes: dict[Any, tuple[Cause, Coverage, list[str]]] = {}
    for coverage in coverages:
        cause = cause_of(coverage, facts, pools) or _crowded(coverage, facts)
        if cause is not None:
            key = (cause.reason.name, coverage.demand.accelerator, tuple(cause.words.items()))
            causes.setdefault(key, (cause, coverage, []))[2].append(coverage.demand.name)
    for cause, first, named in causes.values():
        names = ", ".join(dict.fromkeys(named))
        words: dict[str, Any] = {
            "demand": f" (recommendedHardware: {names})",
            "path": first.demand.path,
            **cause.words,
        }
        yield cause.reason(subject=first.demand.accelerator, status=cause.status, **words)


def _crowded(coverage: Coverage, facts: GpuFacts) -> Cause | None:
    """Whether the tier would have to wait for others to go."""
    if facts.pods is None:
        return None
    free = coverage.free(facts.pods, balloons_yield=not facts.reserve_high_priority)
    if free >= coverage.demand.count:
        return None
    words = {
        "nodes": nodes(size(coverage.holding), coverage.demand.accelerator),
        "free": verb(free, "has", "have"),
    }
    return Cause(reason=R.NO_ROOM_NOW, words=words)


def judge_faults(facts: GpuFacts) -> Iterator[Finding]:
    """Entries of recommendedHardware that no request can get, whatever the nodes are."""
    for fault in facts.faults:
        words: dict[str, Any] = {"subject": fault.path, "path": fault.path, "detail": fault.message}
        if fault.winner:
            yield R.DUPLICATE_TIER(**words)
        elif fault.path.endswith(".gpu_type"):
            yield R.UNKNOWN_ACCELERATOR(near=fault.near or "a GPU type that model engine knows", **words)
        else:
            yield R.HARDWARE_INVALID(**words)
