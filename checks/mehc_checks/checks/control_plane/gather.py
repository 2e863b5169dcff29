"""The control plane as the cluster has it: its workloads with their pods, and the objects that they cannot do
without."""

import asyncio
from typing import Final

from mehc_checks.checks.control_plane.components import components
from mehc_checks.checks.control_plane.facts import ControlPlaneFacts, GatewayAnswer, Keys
from mehc_checks.checks.control_plane.gateway import gateway_answer
from mehc_checks.checks.control_plane.jobs import open_jobs
from mehc_checks.clients.kubernetes.paths import cluster_path, object_path
from mehc_checks.clients.kubernetes.reader import Reading
from mehc_checks.core.errors import CannotEvaluate, NotApplicable, UsageError
from mehc_checks.installation.context import Context, require_cluster
from mehc_checks.installation.redis import cache_age, cached
from mehc_checks.modelengine import paths
from mehc_checks.modelengine.endpoints import endpoint_id, is_endpoint
from mehc_checks.modelengine.gpu import tiers
from mehc_checks.modelengine.manifests import volume
from mehc_checks.modelengine.names import (
    BALLOON_PRIORITY_CLASS,
    PRIORITY_CLASSES,
    fullname,
    service_config_map,
)
from mehc_checks.workload.objects import Condition
from mehc_checks.workload.read import conditions

CONFIG_MAPS: Final = (
    "{name}-service-config",
    "{name}-service-template-config",
    "model-engine-inference-framework-latest-config",
    "model-engine-recommended-hardware-config",
)
"""Of the gateway's namespace. The last two are looked for by these names whatever the fullname is."""
_LEADER_WORKER_SETS: Final = "leaderworkerset.x-k8s.io"
_OPTIONAL: Final = (
    ("HorizontalPodAutoscaler", "autoscaling", "v2", "autoscaling.horizontal.enabled"),
    ("PodDisruptionBudget", "policy", "v1", "podDisruptionBudget.enabled"),
)
"""Of the gateway: kind, API group and version, and the value that asks for it."""
_SAMPLE: Final = 20
"""Endpoints whose cacher key is looked at."""
_YOUNG: Final = 90
"""Seconds that a cache which was started lately may lack keys: the cacher connects again, and writes every 15."""


async def gather(context: Context) -> ControlPlaneFacts:
    """Raises NotApplicable without a cluster, UsageError for bad parameters."""
    require_cluster(context)
    read = Reading(context.reader)
    name = fullname(context.values)
    (found, missing, jobs), (scaler, spread), (keys, (service, answer)) = await asyncio.gather(
        asyncio.gather(
            components(context, read, name), _missing(context, read, name), open_jobs(context, read)
        ),
        asyncio.gather(_scaler(context, read, name), _spread(context, read)),
        asyncio.gather(_keys(context), _gateway(context, read, name)),
    )
    installation = context.installation
    release = installation.release if installation else None
    return ControlPlaneFacts(
        namespace=context.namespace,
        autoscaled=context.values.text("config.values.infra.cloud_provider") in (None, "aws", "azure"),
        components=found,
        now=context.clock(),
        missing=(*missing, *service),
        jobs=jobs,
        scaler=scaler,
        keys=keys,
        gateway=answer,
        spread=spread,
        release=release.name if release else "",
        revision=release.revision if release else 0,
        left_over=installation.left_over if installation else (),
        broker=context.configuration.text(paths.CELERY_BROKER_TYPE),
        unseen=read.unseen,
    )


async def _missing(context: Context, read: Reading, name: str) -> tuple[str, ...]:
    own, values, endpoints = context.namespace, context.values, context.endpoint_namespace
    rbac = "rbac.authorization.k8s.io"
    gateway = await read.attempt(read.get(object_path("deployments", own, name, group="apps")), None) or {}
    wanted = {
        **{
            f"ConfigMap {each}": object_path("configmaps", own, each)
            for each in (volume(gateway, text.format(name=name)) for text in CONFIG_MAPS)
        },
        f"ServiceAccount {name}": object_path("serviceaccounts", own, name),
        **{
            f"PriorityClass {each}": cluster_path("priorityclasses", each, group="scheduling.k8s.io")
            for each in (*PRIORITY_CLASSES, BALLOON_PRIORITY_CLASS)
        },
        f"ClusterRoleBinding {name}": cluster_path("clusterrolebindings", name, group=rbac),
    }
    for kind, group, version, switch in _OPTIONAL:
        if values.text(switch) == "true":
            path = object_path(f"{kind.lower()}s", own, name, group=group, version=version)
            wanted[f"{kind} {name}"] = path
    if endpoints != own:  # the very object by which the namespace is proved to be ours
        config = service_config_map(values)
        wanted[f"ConfigMap {config} in {endpoints}"] = object_path("configmaps", endpoints, config)
    found = await asyncio.gather(*(read.attempt(read.exists(path), None) for path in wanted.values()))
    return tuple(what for what, exists in zip(wanted, found, strict=True) if exists is False)


async def _gateway(context: Context, read: Reading, name: str) -> tuple[list[str], GatewayAnswer | None]:
    """The gateway's Service if it is missing, and what the gateway answers; None if the Service cannot be read."""
    try:
        service = await read.get(object_path("services", context.namespace, name))
    except CannotEvaluate as error:
        read.note(error)
        return [], None
    answer = await gateway_answer(context, service)
    return [] if service else [f"Service {name}"], answer


async def _spread(context: Context, read: Reading) -> str:
    values = context.values
    try:
        wide = [tier.name for tier in tiers(values) if tier.count > 1]
    except UsageError:
        return ""  # GpuNodesReady says so
    if not wide:
        return ""
    try:
        served = await read.get(f"/apis/{_LEADER_WORKER_SETS}")
    except CannotEvaluate as error:
        read.note(error)
        return ""
    return "" if served else wide[0]


async def _scaler(context: Context, read: Reading, name: str) -> Condition | None:
    path = object_path("horizontalpodautoscalers", context.namespace, name, group="autoscaling", version="v2")
    held = conditions((await read.attempt(read.get(path), None) or {}).get("status") or {})
    troubled = (held[kind] for kind in ("AbleToScale", "ScalingActive") if kind in held)
    return next((condition for condition in troubled if condition.status == "False"), None)


async def _keys(context: Context) -> Keys | None:
    """The cacher's keys of endpoints that have been there for a while; None where endpoints cannot be read."""
    try:
        await context.prove_endpoint_namespace()
        found = await context.reader.all(object_path("deployments", context.endpoint_namespace, group="apps"))
    except (CannotEvaluate, NotApplicable):
        return None  # EndpointsReady says so
    ids = [
        endpoint_id(item["metadata"]["name"], item["metadata"].get("labels") or {})
        for item in found.items
        if is_endpoint(item["metadata"])
    ][:_SAMPLE]
    if not ids:
        return Keys()
    kept = await cached(context, ids)
    if not kept:
        return Keys(asked=False) if context.inside else None
    ttl = {each: kept[each].ttl for each in ids if each in kept}
    age = await cache_age(context) if all(each is None for each in ttl.values()) else None
    return Keys(ttl=ttl, young=age is not None and age < _YOUNG)
