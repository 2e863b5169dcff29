"""What the values make of GPU nodes, and what the cluster has there."""

import asyncio
from collections.abc import Awaitable, Iterator, Mapping
from typing import Any, Final, TypeVar

from mehc_checks.checks.gpu_nodes.facts import Balloon, CacheSet, GpuFacts, GpuParameters
from mehc_checks.clients.kubernetes.paths import object_path
from mehc_checks.clients.kubernetes.reader import Manifest, Reading
from mehc_checks.core.errors import CannotEvaluate, NotApplicable
from mehc_checks.installation.context import Context, require_cluster
from mehc_checks.installation.nodes import Pods, PodSummary
from mehc_checks.modelengine import hardware
from mehc_checks.modelengine.accelerators import ACCELERATOR_LABEL, GPU
from mehc_checks.modelengine.configuration import Configuration
from mehc_checks.modelengine.endpoints import is_endpoint
from mehc_checks.modelengine.gpu import (
    BALLOON_PREFIX,
    IMAGE_CACHE_PREFIX,
    balloons,
    cache_devices,
    control_plane,
    tiers,
)
from mehc_checks.modelengine.tier import Harm
from mehc_checks.modelengine.values import Part

T = TypeVar("T")

_RESERVE: Final = "balloonConfig.reserveHighPriority"
_NODE_POOLS: Final = tuple(f"/apis/karpenter.sh/{version}/nodepools" for version in ("v1", "v1beta1"))


async def gather(context: Context) -> GpuFacts:
    """Read the values, then nodes, pods and objects at once.

    Raises NotApplicable where no GPU is configured, UsageError for values that cannot be read, and Forbidden
    where the nodes may not be.
    """
    values, parameters = context.values, context.parameters(GpuParameters)
    unused = set(parameters.unused_accelerators)
    wanted = [tier for tier in tiers(values) if tier.accelerator not in unused]
    faults = [f for f in hardware.read(values).faults if f.harm is Harm.TIER or f.winner]
    warm = [balloon for balloon in balloons(values) if balloon.accelerator not in unused]
    devices = {
        name: device for name, device in cache_devices(values).items() if device.accelerator not in unused
    }
    gpu_devices = [d for d in devices.values() if d.accelerator or ACCELERATOR_LABEL in d.pod.node_selector]
    if not (wanted or faults or gpu_devices or any(b.count and b.pod.requests.get(GPU) for b in warm)):
        raise NotApplicable("no GPU is configured: recommendedHardware, balloons and imageCache name none")
    plane = control_plane(values)
    require_cluster(context)
    read = Reading(context.reader)
    nodes, pods, deployments, caches, used = await asyncio.gather(
        context.inventory.nodes(),
        read.attempt(_pods(context, parameters), None),
        read.attempt(_deployments(context, read), None),
        read.attempt(_caches(context, read), None),
        read.attempt(_used(context, read), None),
    )
    proven = caches is not None or used is not None
    theirs = pods.within(context.endpoint_namespace) if pods is not None and proven else ()
    own = tuple(pods.within(context.namespace)) if pods is not None else ()
    endpoints = tuple(pod for pod in theirs if pod.accelerator and not pod.daemon and not pod.is_balloon)
    labels = {pool.node.label(ACCELERATOR_LABEL) for pool in nodes.pools(frozenset({ACCELERATOR_LABEL}))}
    lacking = {demand.accelerator for demand in (*wanted, *warm) if demand.accelerator} - labels
    return GpuFacts(
        tiers=tuple(wanted),
        faults=tuple(faults),
        balloons=tuple(warm),
        devices=devices,
        devices_known=values.get("imageCache") is not None or _knows_chart_values(context),
        control_plane=plane,
        # The chart's default.
        reserve_high_priority=values.get(_RESERVE) is None or Configuration(values).flag(_RESERVE),
        has_node_selector=bool(plane.pod.node_selector),
        nodes=nodes,
        pods=pods,
        deployments=None if deployments is None else _with_pods(deployments, own),
        caches=caches,
        endpoints=endpoints,
        cache_pods=tuple(pod for pod in theirs if pod.daemon and pod.name.startswith(IMAGE_CACHE_PREFIX)),
        used=None if used is None else used | {pod.accelerator for pod in endpoints},
        provisioned=await _provisioned(context, lacking, endpoints, parameters),
        unseen=read.unseen,
        namespace=context.namespace,
        endpoint_namespace=context.endpoint_namespace,
        now=context.clock(),
        parameters=parameters,
    )


def _knows_chart_values(context: Context) -> bool:
    return context.installation is None or Part.CHART in context.installation.whole


async def _pods(context: Context, parameters: GpuParameters) -> Pods | None:
    return await context.inventory.pods() if parameters.count_pods else None


async def _deployments(context: Context, read: Reading) -> Mapping[str, Manifest]:
    """The balloons' Deployments by accelerator."""
    found = await read.all(object_path("deployments", context.namespace, group="apps"))
    return {
        name.removeprefix(BALLOON_PREFIX): item
        for item in found
        if (name := item["metadata"]["name"]).startswith(BALLOON_PREFIX)
    }


def _with_pods(deployments: Mapping[str, Manifest], pods: tuple[PodSummary, ...]) -> dict[str, Balloon]:
    found = {}
    for accelerator, item in deployments.items():
        status = item.get("status") or {}
        failures = (
            c.get("message") or c.get("reason") or ""
            for c in status.get("conditions") or ()
            if c["type"] == "ReplicaFailure" and c["status"] == "True"
        )
        found[accelerator] = Balloon(
            desired=item["spec"].get("replicas", 1),
            ready=status.get("readyReplicas") or 0,
            failure=next(failures, ""),
            # A Deployment's pod is named <deployment>-<hash of its template>-<suffix>.
            pods=tuple(p for p in pods if p.name.rsplit("-", 2)[0] == f"{BALLOON_PREFIX}{accelerator}"),
        )
    return found


async def _caches(context: Context, read: Reading) -> Mapping[str, CacheSet]:
    """The image-cache DaemonSets by device."""
    await context.prove_endpoint_namespace()
    found = {}
    for item in await read.all(object_path("daemonsets", context.endpoint_namespace, group="apps")):
        name, status = item["metadata"]["name"], item.get("status") or {}
        if name.startswith(IMAGE_CACHE_PREFIX):
            found[name.removeprefix(IMAGE_CACHE_PREFIX)] = CacheSet(
                desired=status.get("desiredNumberScheduled") or 0,
                ready=status.get("numberReady") or 0,
                observed=status.get("observedGeneration", 0) >= item["metadata"].get("generation", 0),
            )
    return found


async def _used(context: Context, read: Reading) -> frozenset[str]:
    """The accelerators of endpoints, whatever their replicas."""
    await context.prove_endpoint_namespace()
    where = context.endpoint_namespace
    plain, grouped = await asyncio.gather(
        read.all(object_path("deployments", where, group="apps")),
        read.all(object_path("leaderworkersets", where, group="leaderworkerset.x-k8s.io")),
    )
    found = (_accelerator(item) for item in (*plain, *grouped) if is_endpoint(item["metadata"]))
    return frozenset(filter(None, found))


def _accelerator(workload: Manifest) -> str:
    """What the pods of a Deployment or LeaderWorkerSet ask of the accelerator label, or ""."""
    spec = workload["spec"]
    template = spec.get("template") or (spec.get("leaderWorkerTemplate") or {}).get("workerTemplate") or {}
    selector = (template.get("spec") or {}).get("nodeSelector") or {}
    return str(selector.get(ACCELERATOR_LABEL, ""))


async def _provisioned(
    context: Context, lacking: set[str], endpoints: tuple[PodSummary, ...], parameters: GpuParameters
) -> dict[str, str]:
    """The accelerators that an autoscaler adds nodes for, and what shows it, of those that have none now."""
    found = dict.fromkeys(parameters.autoscaled_pools, "parameters.autoscaledPools lists it")
    for path in _NODE_POOLS if lacking - found.keys() else ():
        for pool in await _if_readable(context.reader.all(path)):
            for accelerator in _offered(pool):
                found.setdefault(accelerator, f"Karpenter NodePool {pool['metadata']['name']} adds them")
    waiting = {pod.name: pod.accelerator for pod in endpoints if pod.unscheduled}
    if lacking & set(waiting.values()) - found.keys():
        events = object_path("events", context.endpoint_namespace)
        for event in await _if_readable(context.reader.all(events, fields="reason=TriggeredScaleUp")):
            if needed := waiting.get(event["involvedObject"].get("name", "")):
                found.setdefault(needed, "the cluster autoscaler is adding one")
    return found


async def _if_readable(listing: Awaitable[Any]) -> tuple[Manifest, ...]:
    """The objects; none where they cannot be read: without them a verdict is only harder."""
    try:
        items: tuple[Manifest, ...] = (await listing).items
    except CannotEvaluate:
        return ()
    return items


def _offered(node_pool: Manifest) -> Iterator[str]:
    """The accelerators that nodes of a Karpenter NodePool are labelled with."""
    template = (node_pool.get("spec") or {}).get("template") or {}
    if label := ((template.get("metadata") or {}).get("labels") or {}).get(ACCELERATOR_LABEL):
        yield str(label)
    for requirement in (template.get("spec") or {}).get("requirements") or ():
        if requirement.get("key") == ACCELERATOR_LABEL and requirement.get("operator") == "In":
            yield from map(str, requirement.get("values") or ())
