"""The control plane as the cluster has it: its workloads with their pods, and the objects that they cannot do
without."""

import asyncio
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from mehc_checks.checks.control_plane.gateway import GatewayAnswer, gateway_answer
from mehc_checks.clients.kubernetes.paths import cluster_path, object_path
from mehc_checks.clients.kubernetes.reader import Manifest, Reading
from mehc_checks.core.errors import CannotEvaluate, NotApplicable, UsageError
from mehc_checks.core.permission import Permission
from mehc_checks.installation.context import Context, require_cluster
from mehc_checks.installation.redis import cached
from mehc_checks.modelengine.endpoints import endpoint_id, is_endpoint
from mehc_checks.modelengine.gpu import tiers
from mehc_checks.modelengine.names import fullname, service_config_map
from mehc_checks.modelengine.workloads import AUTOSCALER, BUILDER, CACHER
from mehc_checks.workload.diagnose import Around, Cause, diagnose
from mehc_checks.workload.objects import (
    Condition,
    Endpoint,
    Pod,
    conditions,
    read_event,
    read_pod,
    read_replica_set,
    read_workload,
    time,
)

PERMISSIONS: Final = (
    Permission(group="apps", resource="deployments", verbs=("get", "list")),
    Permission(group="apps", resource="replicasets", verbs=("list",)),
    Permission(group="apps", resource="statefulsets", verbs=("get",)),
    Permission(resource="pods", verbs=("list",)),
    Permission(resource="events", verbs=("list",)),
    Permission(resource="configmaps"),
    Permission(resource="serviceaccounts"),
    Permission(resource="services"),
    Permission(group="batch", resource="jobs", verbs=("list",)),
    Permission(group="autoscaling", resource="horizontalpodautoscalers"),
    Permission(group="policy", resource="poddisruptionbudgets"),
    Permission(group="scheduling.k8s.io", resource="priorityclasses", scope="cluster"),
    Permission(group="rbac.authorization.k8s.io", resource="clusterrolebindings", scope="cluster"),
    Permission(group="apps", resource="deployments", verbs=("list",), scope="endpoints"),
    Permission(resource="configmaps", scope="endpoints"),
)
CONFIG_MAPS: Final = (
    "{name}-service-config",
    "{name}-service-template-config",
    "model-engine-inference-framework-latest-config",
    "model-engine-recommended-hardware-config",
)
"""Of the gateway's namespace. The last two are looked for by these names whatever the fullname is."""
PRIORITY_CLASSES: Final = (
    "model-engine-high-priority",
    "model-engine-default-priority",
    "model-engine-low-priority",
)
"""Of gateway, endpoints and balloons, by these names whatever the fullname is."""
_MIGRATION: Final = re.compile(r".*-database-(migration|setup)-\d+")
_LEADER_WORKER_SETS: Final = "leaderworkerset.x-k8s.io"
_OPTIONAL: Final = (
    ("HorizontalPodAutoscaler", "autoscaling", "v2", "autoscaling.horizontal.enabled"),
    ("PodDisruptionBudget", "policy", "v1", "podDisruptionBudget.enabled"),
)
"""Of the gateway: kind, API group and version, and the value that asks for it."""
STARTING: Final = timedelta(minutes=5)
"""For as long a pod may just be starting, while others serve."""
_SAMPLE: Final = 20
"""Endpoints whose cacher key is looked at."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Component:
    """One workload. ``role`` is "gateway", "cacher", "builder" or "autoscaler"; ``cause`` why not all its pods
    are ready.

    ``exists`` is None where it may not be read; ``paused``: nobody rolls its latest template out; ``restarts`` is the
    most that one container has been restarted, ``ended`` how the last one ended, ``outdated`` how many pods are of an
    older template.
    """

    role: str
    kind: str
    name: str
    exists: bool | None = True
    desired: int = 0
    ready: int = 0
    paused: bool = False
    image: str = ""
    cause: Cause | None = None
    restarts: int = 0
    ended: str = ""
    ended_at: datetime | None = None
    outdated: int = 0
    progressing: Condition | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ControlPlaneFacts:
    """``autoscaled`` is whether the Celery autoscaler has any work on this cloud. ``missing`` are like "ConfigMap x".

    ``failed_jobs`` maps names to why, ``open_jobs`` to when those began that have not ended. ``scaler`` is the
    condition of the gateway's HPA that is not as it should be; ``keys`` the TTL of the cacher's key by endpoint (None:
    absent), None if not asked; ``spread`` the tier whose workers span nodes, "" for none and where they can be made.
    """

    namespace: str
    components: tuple[Component, ...]
    now: datetime
    autoscaled: bool = True
    missing: tuple[str, ...] = ()
    failed_jobs: Mapping[str, str] = field(default_factory=dict)
    open_jobs: Mapping[str, datetime] = field(default_factory=dict)
    scaler: Condition | None = None
    keys: Mapping[str, int | None] | None = None
    gateway: GatewayAnswer | None = None
    spread: str = ""
    unseen: tuple[CannotEvaluate, ...] = ()


async def control_plane_facts(context: Context) -> ControlPlaneFacts:
    """Raises NotApplicable without a cluster, UsageError for bad parameters."""
    require_cluster(context)
    read = _Reader(context)
    name = fullname(context.values)
    (
        (components, missing),
        (failed, unfinished),
        (scaler, spread),
        keys,
        (service, answer),
    ) = await asyncio.gather(
        asyncio.gather(read.components(name), read.missing(name)),
        read.jobs(),
        asyncio.gather(read.scaler(name), read.spread()),
        read.keys(),
        read.gateway(name),
    )
    return ControlPlaneFacts(
        namespace=context.namespace,
        autoscaled=context.values.text("config.values.infra.cloud_provider") in (None, "aws", "azure"),
        components=components,
        now=context.clock(),
        missing=(*missing, *service),
        failed_jobs=failed,
        open_jobs=unfinished,
        scaler=scaler,
        keys=keys,
        gateway=answer,
        spread=spread,
        unseen=read.unseen,
    )


class _Reader:
    def __init__(self, context: Context) -> None:
        self._context = context
        self._namespace = context.namespace
        self._read = Reading(context.reader)

    @property
    def unseen(self) -> tuple[CannotEvaluate, ...]:
        return self._read.unseen

    async def components(self, name: str) -> tuple[Component, ...]:
        values = self._context.values
        wanted = [
            ("gateway", "deployments", name),
            ("cacher", "deployments", name + CACHER),
            ("builder", "deployments", name + BUILDER),
        ]
        identifier = values.text("serviceIdentifier")
        if values.text("celery_autoscaler.enabled") != "false" and not identifier:
            broker = values.text("celeryBrokerType") or ""
            wanted.append(("autoscaler", "statefulsets", f"{AUTOSCALER}{broker}"))
        selector = f"app in ({','.join(name for _, _, name in wanted)})"
        pods, owners = await asyncio.gather(
            self._list("pods", labels=selector), self._list("replicasets", group="apps", labels=selector)
        )
        events = await self._list("events") if any(not _is_ready(pod) for pod in pods) or not pods else ()
        found = await asyncio.gather(
            *(self._component(role, resource, name, pods, owners, events) for role, resource, name in wanted)
        )
        return tuple(found)

    async def _component(
        self,
        role: str,
        resource: str,
        name: str,
        pods: Iterable[Mapping[str, Any]],
        owners: Iterable[Mapping[str, Any]],
        events: Iterable[Mapping[str, Any]],
    ) -> Component:
        kind = "Deployment" if resource == "deployments" else "StatefulSet"
        try:
            item = await self._read.get(object_path(resource, self._namespace, name, group="apps"))
        except CannotEvaluate as error:
            self._read.note(error)
            return Component(role=role, kind=kind, name=name, exists=None)
        if item is None:
            return Component(role=role, kind=kind, name=name, exists=False)
        own = [read_pod(pod) for pod in pods if _app(pod) == name]
        told = sorted(
            (read_event(event) for event in events if _is_about(event, name)),
            key=lambda event: event.last or datetime.min.replace(tzinfo=UTC),
        )
        workload = read_workload(item, worker_set=False)
        endpoint = Endpoint(
            name=name,
            id=name,
            workload=workload,
            pods=tuple(sorted(own, key=lambda pod: pod.name)),
            replica_sets=tuple(
                read_replica_set(owner, "ReplicaSet") for owner in owners if _app(owner) == name
            ),
            events=tuple(told),
        )
        status, template = item.get("status") or {}, item["spec"]["template"]["spec"]
        progressing = conditions(status).get("Progressing")
        if progressing and progressing.status == "False" and workload.ready >= workload.desired:
            # what keeps the new pods is hidden by the old ones, which are as many as are wanted
            endpoint = replace(endpoint, workload=replace(workload, ready=workload.desired - 1))
        around = Around(now=self._context.clock(), grace=STARTING, loading_grace=STARTING)
        cause = diagnose(endpoint, around) if workload.desired else None
        restarts, ended, ended_at = _restarts(own)
        return Component(
            role=role,
            kind=kind,
            name=name,
            desired=workload.desired,
            ready=workload.ready,
            paused=workload.paused,
            image=str((template.get("containers") or [{}])[0].get("image", "")),
            cause=cause,
            restarts=restarts,
            ended=ended,
            ended_at=ended_at,
            outdated=max((status.get("replicas") or 0) - (status.get("updatedReplicas") or 0), 0),
            progressing=progressing,
        )

    async def missing(self, name: str) -> tuple[str, ...]:
        wanted = {
            **{
                f"ConfigMap {each}": object_path("configmaps", self._namespace, each)
                for each in (text.format(name=name) for text in CONFIG_MAPS)
            },
            f"ServiceAccount {name}": object_path("serviceaccounts", self._namespace, name),
            **{
                f"PriorityClass {each}": cluster_path("priorityclasses", each, group="scheduling.k8s.io")
                for each in PRIORITY_CLASSES
            },
            f"ClusterRoleBinding {name}": cluster_path(
                "clusterrolebindings", name, group="rbac.authorization.k8s.io"
            ),
        }
        values, endpoints = self._context.values, self._context.endpoint_namespace
        for kind, group, version, switch in _OPTIONAL:
            if values.text(switch) == "true":
                wanted[f"{kind} {name}"] = object_path(
                    f"{kind.lower()}s", self._namespace, name, group=group, version=version
                )
        if endpoints != self._namespace:  # the very object by which the namespace is proved to be ours
            config = service_config_map(values)
            wanted[f"ConfigMap {config} in {endpoints}"] = object_path("configmaps", endpoints, config)
        found = await asyncio.gather(*(self._exists(path) for path in wanted.values()))
        return tuple(what for what, exists in zip(wanted, found, strict=True) if exists is False)

    async def _exists(self, path: str) -> bool | None:
        try:
            return await self._read.exists(path)
        except CannotEvaluate as error:
            self._read.note(error)
            return None

    async def jobs(self) -> tuple[dict[str, str], dict[str, datetime]]:
        """Of those that work on the database: why they failed, and since when they are at it."""
        failed, unfinished = {}, {}
        for job in await self._list("jobs", group="batch"):
            name, held = job["metadata"]["name"], conditions(job.get("status") or {})
            if not _MIGRATION.fullmatch(name):
                continue
            if (condition := held.get("Failed")) and condition.status == "True":
                failed[name] = condition.reason or "it failed"
            elif "Complete" not in held and (began := time(job["metadata"].get("creationTimestamp"))):
                unfinished[name] = began
        return failed, unfinished

    async def gateway(self, name: str) -> tuple[list[str], GatewayAnswer | None]:
        """The gateway's Service if it is missing, and what the gateway answers; None if the Service may not be read."""
        try:
            service = await self._read.get(object_path("services", self._namespace, name))
        except CannotEvaluate as error:
            self._read.note(error)
            return [], None
        answer = await gateway_answer(self._context, service)
        return [] if service else [f"Service {name}"], answer

    async def spread(self) -> str:
        values = self._context.values
        try:
            wide = [tier.name for tier in tiers(values) if tier.count > 1]
        except UsageError:
            return ""  # GpuNodesReady says so
        try:
            served = bool(wide) and await self._read.get(f"/apis/{_LEADER_WORKER_SETS}")
        except CannotEvaluate as error:
            self._read.note(error)
            return ""
        return wide[0] if wide and not served else ""

    async def scaler(self, name: str) -> Condition | None:
        path = object_path(
            "horizontalpodautoscalers", self._namespace, name, group="autoscaling", version="v2"
        )
        try:
            found = await self._read.get(path)
        except CannotEvaluate as error:
            self._read.note(error)
            return None
        held = conditions((found or {}).get("status") or {})
        return next(
            (
                held[kind]
                for kind in ("AbleToScale", "ScalingActive")
                if kind in held and held[kind].status == "False"
            ),
            None,
        )

    async def keys(self) -> dict[str, int | None] | None:
        """The cacher's keys of endpoints that have been there for a while."""
        context = self._context
        try:
            await context.prove_endpoint_namespace()
            found = await context.reader.all(
                object_path("deployments", context.endpoint_namespace, group="apps")
            )
        except (CannotEvaluate, NotApplicable):
            return None  # EndpointsReady says so
        ids = [endpoint_id(item["metadata"]) for item in found.items if is_endpoint(item["metadata"])][
            :_SAMPLE
        ]
        kept = await cached(context, ids) if ids else {}
        return {each: kept[each].ttl for each in ids if each in kept} or None

    async def _list(self, resource: str, *, group: str = "", labels: str = "") -> tuple[Manifest, ...]:
        """The objects. None, and noted, where they may not be read."""
        path = object_path(resource, self._namespace, group=group)
        return await self._read.attempt(self._read.all(path, labels=labels), ())


def _app(item: Mapping[str, Any]) -> str:
    return str((item["metadata"].get("labels") or {}).get("app", ""))


def _is_about(event: Mapping[str, Any], name: str) -> bool:
    about = str((event.get("involvedObject") or {}).get("name", ""))
    return about == name or re.fullmatch(rf"{re.escape(name)}-[a-z0-9]+(-[a-z0-9]+)?", about) is not None


def _is_ready(pod: Mapping[str, Any]) -> bool:
    ready = conditions(pod.get("status") or {}).get("Ready")
    return bool(ready and ready.status == "True")


def _restarts(pods: Iterable[Pod]) -> tuple[int, str, datetime | None]:
    """Of the container that was restarted most: how often, how it ended last, and when."""
    most, ended, when = 0, "", None
    for pod in pods:
        for container in pod.containers:
            if container.restarts > most:
                most, ended, when = container.restarts, container.last_exit_reason, container.last_finished
    return most, ended, when
