"""Balloons: low-priority pods that hold GPU nodes until an endpoint needs them."""

from collections.abc import Iterator
from typing import Any

from mehc_checks.checks.gpu_nodes.coverage import Coverage, cover
from mehc_checks.checks.gpu_nodes.facts import Balloon, GpuFacts, Pools
from mehc_checks.checks.gpu_nodes.reasons import GpuNodesReasons as R
from mehc_checks.checks.gpu_nodes.words import some, too_large, verb
from mehc_checks.clients.kubernetes.scheduling.model import Amounts
from mehc_checks.core.outcome import Finding
from mehc_checks.modelengine.accelerators import ACCELERATORS, CPU_DEVICE, suggestion
from mehc_checks.modelengine.gpu import BALLOON_PREFIX


def judge_balloons(facts: GpuFacts, pools: Pools) -> Iterator[Finding]:
    used = {pod.accelerator for pod in facts.endpoints}
    for demand in facts.balloons:
        if demand.count:
            yield from _balloon(cover(demand, pools), facts)
        elif demand.accelerator in used:
            yield R.NO_WARM_NODES(subject=demand.name, accelerator=demand.accelerator, path=demand.path)
    yield from _blocked(facts)


def _balloon(coverage: Coverage, facts: GpuFacts) -> Iterator[Finding]:
    demand = coverage.demand
    detail = ""
    if demand.accelerator and demand.accelerator not in ACCELERATORS:
        near = suggestion(demand.accelerator)
        detail = f"{demand.accelerator} is not a GPU type of model engine"
        detail += f" (did you mean {near}?)" if near else ""
    elif demand.accelerator in facts.provisioned and not coverage.labelled:
        return
    elif not coverage.equipped:
        detail = coverage.scheduler
    if detail:
        yield R.BALLOON_UNMATCHED(subject=demand.name, balloon=demand.name, detail=detail, path=demand.path)
    elif not coverage.holding:
        short = too_large(coverage)
        yield R.BALLOON_TOO_LARGE(subject=demand.name, balloon=demand.name, short=short, path=demand.path)
    elif facts.deployments is not None:
        name = demand.accelerator or CPU_DEVICE
        balloon = facts.deployments.get(name)
        if balloon is None:
            deployment = f"{BALLOON_PREFIX}{name}"
            yield R.BALLOON_ABSENT(subject=demand.name, deployment=deployment, namespace=facts.namespace)
        elif balloon.ready < balloon.desired:
            yield _not_running(coverage, balloon, facts)


def _not_running(coverage: Coverage, balloon: Balloon, facts: GpuFacts) -> Finding:
    demand = coverage.demand
    words: dict[str, Any] = {"balloon": demand.name, "ready": balloon.ready, "desired": balloon.desired}
    if _displaced(coverage, balloon, facts):
        return R.BALLOON_DISPLACED(subject=demand.name, **words)
    return R.BALLOON_PENDING(
        subject=demand.name,
        **words,
        detail=_why_pending(balloon),
        path=demand.path,
        namespace=facts.namespace,
    )


def _why_pending(balloon: Balloon) -> str:
    if balloon.failure:
        return balloon.failure
    for pod in balloon.pods:
        if pod.unscheduled:
            return pod.unscheduled.partition(". ")[0]
    waiting = [pod.waiting for pod in balloon.pods if pod.waiting]
    return f"a pod waits: {waiting[0]}" if waiting else "no pod and no Event says why"


def _displaced(coverage: Coverage, balloon: Balloon, facts: GpuFacts) -> bool:
    """Whether the balloons would all run if it were not for endpoints: to make room for them is what they are for."""
    if facts.pods is None or balloon.failure:
        return False
    taken: dict[str, dict[str, int]] = {}
    for pod in facts.endpoints:
        on_node = taken.setdefault(pod.node, {})
        for name, count in pod.requests.items():
            on_node[name] = on_node.get(name, 0) + count
    room, displacing = 0, False
    for node in (node for pool in coverage.holding for node in pool.members):
        theirs = taken.get(node.name, {})
        displacing |= bool(theirs)
        usage = facts.pods.usage(node.name, balloons=False).requests
        left = {
            name: most - usage.get(name, 0) + theirs.get(name, 0) for name, most in node.allocatable.items()
        }
        room += _copies(coverage.demand.pod.requests, left)
    return displacing and room >= balloon.desired


def _copies(requests: Amounts, left: Amounts) -> int:
    """How many pods with ``requests`` have room in ``left``."""
    return max(min(left.get(name, 0) // count for name, count in requests.items() if count), 0)


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
        yield R.BALLOONS_BLOCK(
            subject=f"balloon {accelerator}",
            pods=verb(
                len(names), "endpoint pod of default priority waits", "endpoint pods of default priority wait"
            ),
            accelerator=accelerator,
            names=some(names),
        )
