"""What the values want on GPU nodes, and what the cluster has there."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from pydantic import Field

from mehc_checks.clients.kubernetes.api import object_path
from mehc_checks.clients.kubernetes.reader import Manifest, Reading
from mehc_checks.core.errors import CannotEvaluate, NotApplicable
from mehc_checks.core.parameters import Parameters
from mehc_checks.installation.context import Context, require_cluster
from mehc_checks.installation.nodes import Nodes, Pods, PodSummary
from mehc_checks.modelengine import paths
from mehc_checks.modelengine.gpu import (
    ACCELERATOR_LABEL,
    BALLOON_PREFIX,
    GPU,
    IMAGE_CACHE_PREFIX,
    PRODUCT_LABEL,
    Demand,
    balloons,
    cache_devices,
    control_plane,
    duplicates,
    tiers,
)
from mehc_checks.modelengine.values import Part

_KEYS: Final = frozenset({ACCELERATOR_LABEL, PRODUCT_LABEL})


class GpuParameters(Parameters):
    """Parameters of GpuNodesReady."""

    autoscaled_pools: tuple[str, ...] = Field(
        (),
        description="Accelerators whose nodes an autoscaler adds when they are needed: having none is a warning, "
        "no failure.",
    )
    unused_accelerators: tuple[str, ...] = Field(
        (), description="Accelerators that nobody uses here; what the values ask of them is not judged."
    )
    count_pods: bool = Field(
        True,
        description="Read the pods of the whole cluster, to say what fits beside them and why balloons wait.",
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Balloon:
    """A balloon Deployment. ``failure`` is why its ReplicaSet could not make pods, or ""."""

    desired: int
    ready: int
    failure: str
    pods: tuple[PodSummary, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class CacheSet:
    """An image-cache DaemonSet, by its status. ``observed`` is false until its controller has seen it."""

    desired: int
    ready: int
    observed: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class GpuFacts:
    """Everything that the check judges.

    ``pods`` is None where they are not counted; ``caches`` where the endpoint namespace could not be read.
    ``unseen`` says what could not be read, and why.
    """

    tiers: tuple[Demand, ...]
    duplicates: tuple[tuple[str, str, str], ...]
    balloons: tuple[Demand, ...]
    devices: Mapping[str, Demand]
    devices_known: bool
    """Whether there are no others: where the values of the release are not known, ``imageCache`` is not either."""
    control_plane: Demand
    reserve_high_priority: bool
    has_node_selector: bool
    nodes: Nodes
    pods: Pods | None
    deployments: Mapping[str, Balloon] | None
    caches: Mapping[str, CacheSet] | None
    endpoints: tuple[PodSummary, ...]
    unseen: tuple[CannotEvaluate, ...]
    namespace: str
    endpoint_namespace: str
    parameters: GpuParameters

    @property
    def label_keys(self) -> frozenset[str]:
        """The labels by which nodes are told apart."""
        demands = (*self.tiers, *self.balloons, *self.devices.values(), self.control_plane)
        return _KEYS.union(*(demand.pod.label_keys for demand in demands))


async def gpu_facts(context: Context) -> GpuFacts:
    """Read the values, then nodes, pods and objects at once.

    Raises NotApplicable where no GPU is configured, UsageError for values that cannot be read, and Forbidden
    where the nodes may not be.
    """
    values, parameters = context.values, context.parameters(GpuParameters)
    unused = set(parameters.unused_accelerators)
    wanted = [tier for tier in tiers(values) if tier.accelerator not in unused]
    warm = [balloon for balloon in balloons(values) if balloon.accelerator not in unused]
    devices = {
        name: device for name, device in cache_devices(values).items() if device.accelerator not in unused
    }
    gpu_devices = [d for d in devices.values() if d.accelerator or ACCELERATOR_LABEL in d.pod.node_selector]
    if not (wanted or gpu_devices or any(b.count and b.pod.requests.get(GPU) for b in warm)):
        raise NotApplicable("no GPU is configured: recommendedHardware, balloons and imageCache name none")
    plane = control_plane(values)
    twice = tuple(duplicates(values))
    require_cluster(context)
    read = Reading(context.reader)
    nodes, pods, deployments, caches = await asyncio.gather(
        context.inventory.nodes(),
        read.attempt(_pods(context, parameters), None),
        read.attempt(_deployments(context, read), None),
        read.attempt(_caches(context, read), None),
    )
    proven = caches is not None
    endpoints = pods.within(context.endpoint_namespace) if pods is not None and proven else ()
    own = tuple(pods.within(context.namespace)) if pods is not None else ()
    return GpuFacts(
        tiers=tuple(wanted),
        duplicates=twice,
        balloons=tuple(warm),
        devices=devices,
        devices_known=values.get("imageCache") is not None or _knows_chart_values(context),
        control_plane=plane,
        # The chart's default is true.
        reserve_high_priority=not _knows_chart_values(context)
        or context.configuration.flag(paths.RESERVE_HIGH_PRIORITY),
        has_node_selector=bool(plane.pod.node_selector),
        nodes=nodes,
        pods=pods,
        deployments=None if deployments is None else _with_pods(deployments, own),
        caches=caches,
        endpoints=tuple(
            pod for pod in endpoints if pod.accelerator and not pod.daemon and not pod.is_balloon
        ),
        unseen=read.unseen,
        namespace=context.namespace,
        endpoint_namespace=context.endpoint_namespace,
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
