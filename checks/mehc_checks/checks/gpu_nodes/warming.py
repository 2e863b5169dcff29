"""What keeps GPU nodes warm: balloons that hold them, and image caches on them."""

from collections.abc import Iterator

from mehc_checks.checks.gpu_nodes.coverage import (
    Coverage,
    Pools,
    cover,
    lasting,
    size,
)
from mehc_checks.checks.gpu_nodes.gather import Balloon, GpuFacts
from mehc_checks.checks.gpu_nodes.reasons import GpuNodesReasons as R
from mehc_checks.checks.gpu_nodes.tiers import of_accelerator, some, too_large, unknown
from mehc_checks.clients.kubernetes.scheduling.filters import untolerated
from mehc_checks.core.outcome import Finding
from mehc_checks.modelengine.gpu import (
    ACCELERATORS,
    BALLOON_PREFIX,
    CACHE_DEVICES,
    CPU_DEVICE,
    IMAGE_CACHE_PREFIX,
    Demand,
)


def judge_balloons(facts: GpuFacts, pools: Pools) -> Iterator[Finding]:
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
        trouble = unknown(demand).text
    elif demand.accelerator in facts.parameters.autoscaled_pools and not coverage.labelled:
        return
    elif not coverage.equipped:
        trouble = coverage.scheduler
    if trouble:
        yield R.BALLOON_UNMATCHED.finding(f"{demand.name}: {trouble}", subject=demand.name, path=demand.path)
    elif not coverage.holding:
        yield R.BALLOON_TOO_LARGE.finding(
            f"{demand.name}: {too_large(coverage)}", subject=demand.name, path=demand.path
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
            f"{some(names)}",
            subject=f"balloon {accelerator}",
        )


def judge_caches(facts: GpuFacts, pools: Pools) -> Iterator[Finding]:
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
        there = of_accelerator(accelerator, pools)
        if accelerator in wanted and device not in facts.devices and facts.devices_known and there:
            yield R.CACHE_DEVICE_MISSING.finding(
                f"{size(there)} {accelerator} nodes have no image cache: imageCache.devices lacks {device}",
                subject=f"imageCache {device}",
                device=device,
            )


def _cache(device: str, demand: Demand, facts: GpuFacts, pools: Pools) -> Iterator[Finding]:
    matching = tuple(pool for pool in cover(demand, pools).selected if pool.node.ready)
    there = of_accelerator(demand.accelerator, pools) if demand.accelerator else ()
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
