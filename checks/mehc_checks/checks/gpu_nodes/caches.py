"""Image caches: DaemonSets of the cacher that pull images onto GPU nodes before endpoints need them."""

from collections.abc import Iterator
from typing import Any, Final

from mehc_checks.checks.gpu_nodes.coverage import cover, lasting, size, those
from mehc_checks.checks.gpu_nodes.facts import GpuFacts, Pools
from mehc_checks.checks.gpu_nodes.reasons import GpuNodesReasons as R
from mehc_checks.checks.gpu_nodes.words import nodes, verb
from mehc_checks.clients.kubernetes.scheduling.filters import untolerated
from mehc_checks.core.outcome import Finding, Status
from mehc_checks.modelengine.accelerators import ACCELERATOR_LABEL, CACHE_DEVICES, CPU_DEVICE
from mehc_checks.modelengine.gpu import IMAGE_CACHE_PREFIX, Demand

_KNOWN: Final = (*CACHE_DEVICES.values(), CPU_DEVICE)
_PULLING: Final = ("ImagePullBackOff", "ErrImagePull", "InvalidImageName")


def judge_caches(facts: GpuFacts, pools: Pools) -> Iterator[Finding]:
    for device, demand in facts.devices.items():
        if device not in _KNOWN:
            near = f"one of {', '.join(_KNOWN)}"
            yield R.CACHE_DEVICE_UNKNOWN(subject=demand.name, path=demand.path, device=device, near=near)
        else:
            yield from _cache(device, demand, facts, pools)
    wanted = {tier.accelerator for tier in facts.tiers} | {pod.accelerator for pod in facts.endpoints}
    for accelerator, device in CACHE_DEVICES.items():
        there = _of(accelerator, pools)
        if accelerator in wanted and device not in facts.devices and facts.devices_known and there:
            has = verb(size(there), f"{accelerator} node has", f"{accelerator} nodes have")
            yield R.CACHE_DEVICE_MISSING(
                subject=f"imageCache {device}", nodes=has, device=device, accelerator=accelerator
            )


def _of(accelerator: str, pools: Pools) -> Pools:
    return those(pools, lambda node: node.label(ACCELERATOR_LABEL) == accelerator)


def _cache(device: str, demand: Demand, facts: GpuFacts, pools: Pools) -> Iterator[Finding]:
    chosen = cover(demand, pools).selected
    there = _of(demand.accelerator, pools) if demand.accelerator else ()
    if not chosen:
        if there:
            yield R.CACHE_SELECTOR_UNMATCHED(
                subject=demand.name,
                nodes=f"{nodes(size(there), demand.accelerator)} {'exists' if size(there) == 1 else 'exist'}",
                path=demand.path,
                accelerator=demand.accelerator,
            )
        return
    matching = those(chosen, lambda node: node.ready)
    kept_out = those(matching, lambda node: bool(lasting(untolerated(demand.pod, node))))
    if kept_out:
        taint = lasting(untolerated(demand.pod, kept_out[0].node))[0]
        of = f"of {nodes(size(matching))}"
        yield R.CACHE_TOLERATION_MISSING(
            subject=demand.name,
            nodes=verb(size(kept_out), f"{of} has", f"{of} have"),
            taint=taint,
            path=demand.path,
            key=taint.key,
            effect=taint.effect,
        )
    reached = tuple(pool for pool in matching if pool not in kept_out)
    if facts.caches is not None and reached:
        yield from _daemons(device, demand, facts, reached)


def _daemons(device: str, demand: Demand, facts: GpuFacts, reached: Pools) -> Iterator[Finding]:
    """What is wrong with the DaemonSet, which has ``reached`` to run on."""
    name, cache = f"{IMAGE_CACHE_PREFIX}{device}", (facts.caches or {}).get(device)
    where: dict[str, Any] = {"daemonset": name, "namespace": facts.endpoint_namespace}
    if cache is None:
        yield R.CACHE_ABSENT(subject=demand.name, **where, nodes=nodes(size(reached)))
        return
    new = sum(facts.is_new(node) for pool in reached for node in pool.members)
    lagging = cache.desired - cache.ready if cache.desired else size(reached)
    if not cache.observed or lagging <= new:
        return
    own = (pod for pod in facts.cache_pods if pod.name.rpartition("-")[0] == name)
    pulling = sum(pod.waiting in _PULLING for pod in own)
    yield R.CACHE_NOT_READY(
        subject=demand.name,
        **where,
        ready=cache.ready,
        nodes=nodes(cache.desired or size(reached)),
        # An image that cannot be pulled ahead of time costs nothing but that: VllmImagePullable names it.
        status=Status.PASS if cache.desired and lagging <= new + pulling else None,
        why=f"; {verb(pulling, 'pod waits', 'pods wait')} for an image pull" if pulling else "",
    )
