"""Endpoints, as Kubernetes, the platform's record and Redis show them: few requests, however many endpoints."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

from pydantic import Field, field_validator

from mehc_checks.clients.kubernetes.paths import object_path
from mehc_checks.clients.kubernetes.reader import Manifest, Reading
from mehc_checks.core import duration
from mehc_checks.core.errors import CannotEvaluate
from mehc_checks.core.parameters import Parameters
from mehc_checks.installation.context import Context, require_cluster
from mehc_checks.installation.endpoint_records import MOST, records
from mehc_checks.installation.keda import attempt
from mehc_checks.installation.nodes import Nodes
from mehc_checks.installation.redis import cached, queue_depth
from mehc_checks.modelengine.endpoints import APP_LABEL, LWS_LABEL, State, is_endpoint, kind_of
from mehc_checks.modelengine.scaling import ENDPOINT_PREFIX, resource_name
from mehc_checks.workload.diagnose import Around
from mehc_checks.workload.objects import (
    Endpoint,
    Event,
    Pod,
    Record,
    ReplicaSet,
    Scaler,
    Workload,
    read_event,
    read_pod,
    read_replica_set,
    read_scaler,
    read_workload,
)
from mehc_checks.workload.scheduling import Selected

_SELECTED: Final = 100
"""Endpoints whose objects are asked for by name; with more that are not ready, all are listed."""
_CACHED: Final = 500


class EndpointParameters(Parameters):
    """Parameters of EndpointsReady."""

    grace_period: str = Field(
        "15m", description="How long an endpoint may be without ready pods before it counts as stuck."
    )
    loading_grace_period: str = Field(
        "45m",
        description="The same while its image is being pulled, or while its main container runs and is not ready yet.",
    )
    read_record: bool = Field(True, description="Read the platform's own record from the database.")

    @field_validator("grace_period", "loading_grace_period")
    @classmethod
    def _is_duration(cls, value: str) -> str:
        duration.parse(value)
        return value


@dataclass(frozen=True, kw_only=True, slots=True)
class EndpointFacts:
    """All endpoints of the installation. ``complete`` are those whose pods and Events were read.

    ``recorded`` is whether the platform's record was read (and all of it); ``unrecorded`` why it was not.
    """

    endpoints: tuple[Endpoint, ...]
    around: Around
    recorded: bool
    unrecorded: CannotEvaluate | None = None
    unseen: tuple[CannotEvaluate, ...] = ()


async def endpoint_facts(context: Context) -> EndpointFacts:
    """What is not ready, in depth; of the rest, that it is. Raises Forbidden where Deployments may not be listed."""
    return await read_endpoints(context)


async def read_endpoints(
    context: Context, *, asked: Callable[[Endpoint], bool] = lambda _: False
) -> EndpointFacts:
    """As ``endpoint_facts``; the endpoints ``asked`` for are read in depth though they be ready."""
    require_cluster(context)
    parameters = context.parameters(EndpointParameters)
    await context.prove_endpoint_namespace()
    read = _Reader(context)
    deployments, sets, scalers, recorded, depth = await asyncio.gather(
        read.all("deployments", "apps"),
        attempt(read.all("leaderworkersets", "leaderworkerset.x-k8s.io")),
        attempt(read.all("scaledobjects", "keda.sh", "v1alpha1")),
        attempt(records(context)) if parameters.read_record else _none(),
        attempt(queue_depth(context)),
    )
    unseen = [found for found in (sets, scalers) if isinstance(found, CannotEvaluate)]
    found = _assembled(
        [read_workload(item, worker_set=False) for item in deployments if is_endpoint(item["metadata"])],
        [read_workload(item, worker_set=True) for item in _items(sets) if is_endpoint(item["metadata"])],
        () if isinstance(recorded, CannotEvaluate) or recorded is None else recorded,
        {item["spec"]["scaleTargetRef"]["name"]: read_scaler(item) for item in _items(scalers)},
    )
    deep = [e for e in found if asked(e) or _needs_a_look(e)]
    if deep:
        in_depth, more = await _in_depth(read, deep)
        unseen += more
        kept = await cached(context, [e.id for e in deep[:_CACHED]])
        by_name = {e.name: replace(e, cached=kept.get(e.id)) for e in in_depth}
        found = [by_name.get(e.name, e) for e in found]
    nodes = await attempt(context.inventory.nodes()) if deep else None
    queue, queued = depth if isinstance(depth, tuple) else ("", None)
    return EndpointFacts(
        endpoints=tuple(found),
        around=Around(
            now=context.clock(),
            grace=duration.parse(parameters.grace_period),
            loading_grace=duration.parse(parameters.loading_grace_period),
            lost=_lost(nodes),
            selected=_selected(nodes),
            queue=queue,
            queued=queued,
        ),
        recorded=isinstance(recorded, tuple) and len(recorded) < MOST,
        unrecorded=recorded if isinstance(recorded, CannotEvaluate) else None,
        unseen=(*unseen, *read.cut),
    )


async def _none() -> None:
    return None


class _Reader:
    """Lists objects of the endpoint namespace."""

    def __init__(self, context: Context) -> None:
        self._namespace = context.endpoint_namespace
        self._read = Reading(context.reader)

    @property
    def cut(self) -> tuple[CannotEvaluate, ...]:
        """Which lists were too long to be read whole."""
        return self._read.unseen

    async def all(
        self, resource: str, group: str = "", version: str = "v1", labels: str = ""
    ) -> tuple[Manifest, ...]:
        """The objects; none where the resource is not served. Raises Forbidden, CannotEvaluate."""
        path = object_path(resource, self._namespace, group=group, version=version)
        return await self._read.all(path, labels=labels)


def _assembled(
    deployments: Iterable[Workload],
    sets: Iterable[Workload],
    recorded: Iterable[Record],
    scalers: Mapping[str, Scaler],
) -> list[Endpoint]:
    """The endpoints by name, from their workloads and their records."""
    workloads = {workload.name: workload for workload in (*deployments, *sets)}
    by_name = {resource_name(record.endpoint_id): record for record in recorded}
    endpoints = []
    for name in sorted(workloads.keys() | by_name.keys()):
        workload, record = workloads.get(name), by_name.get(name)
        kind = workload.endpoint_kind if workload else kind_of({}, worker_set=False)
        known = record.endpoint_id if record else workload.endpoint_id if workload else name
        title = (record.name if record else "") or (workload.endpoint_name if workload else "")
        if record and record.kind:
            kind = kind_of(
                {}, worker_set=bool(workload and workload.kind != "Deployment"), recorded=record.kind
            )
        endpoints.append(
            Endpoint(
                name=name,
                id=known,
                title=title or known,
                kind=kind,
                workload=workload,
                record=record,
                scaler=scalers.get(name),
            )
        )
    return endpoints


def _needs_a_look(endpoint: Endpoint) -> bool:
    if endpoint.workload is None:
        return True
    return (
        endpoint.ready < endpoint.desired
        or not endpoint.desired
        or endpoint.workload.deleting is not None
        or endpoint.state not in ("", State.READY)
    )


async def _in_depth(read: _Reader, deep: list[Endpoint]) -> tuple[list[Endpoint], list[CannotEvaluate]]:
    """``deep`` with their pods, their owners and the Events about them, and what could not be read."""
    names = [e.name for e in deep if e.workload]
    plain = [e.name for e in deep if e.workload and e.workload.kind == "Deployment"]
    grouped = [e.name for e in deep if e.workload and e.workload.kind != "Deployment"]
    answers = await asyncio.gather(
        attempt(_of(read, "pods", "", APP_LABEL, plain)),
        attempt(_of(read, "pods", "", LWS_LABEL, grouped)),
        attempt(_of(read, "replicasets", "apps", APP_LABEL, plain)),
        attempt(_of(read, "statefulsets", "apps", LWS_LABEL, grouped)),
        attempt(read.all("events") if names else _of(read, "events", "", "", [])),
    )
    unseen = {str(a): a for a in answers if isinstance(a, CannotEvaluate)}
    pods, set_pods, owners, stateful, told = (_items(answer) for answer in answers)
    known = frozenset(names)

    def whose(item: Mapping[str, Any]) -> str:
        labels = item["metadata"].get("labels") or {}
        return labels.get(LWS_LABEL) or labels.get(APP_LABEL) or _owner(item["metadata"]["name"], known)

    pods_of: dict[str, list[Pod]] = {}
    for item in {i["metadata"]["name"]: i for i in (*pods, *set_pods)}.values():
        pods_of.setdefault(whose(item), []).append(read_pod(item))
    owners_of: dict[str, list[ReplicaSet]] = {}
    for item in owners:
        owners_of.setdefault(whose(item), []).append(read_replica_set(item, "ReplicaSet"))
    for item in stateful:
        owners_of.setdefault(whose(item), []).append(read_replica_set(item, "StatefulSet"))
    events_of: dict[str, list[Event]] = {}
    for item in told:
        event = read_event(item)
        if event.name.startswith(ENDPOINT_PREFIX) and (owner := _owner(event.name, known)):
            events_of.setdefault(owner, []).append(event)
    oldest = datetime.min.replace(tzinfo=UTC)
    return [
        replace(
            e,
            pods=tuple(sorted(pods_of.get(e.name, ()), key=lambda pod: pod.name)),
            replica_sets=tuple(owners_of.get(e.name, ())),
            events=tuple(sorted(events_of.get(e.name, ()), key=lambda event: event.last or oldest)),
        )
        for e in deep
    ], list(unseen.values())


async def _of(read: _Reader, resource: str, group: str, label: str, names: list[str]) -> tuple[Manifest, ...]:
    """Objects whose ``label`` is one of ``names``; those of all endpoints where the names are too many."""
    if not names:
        return ()
    chosen = f"{label} in ({','.join(names)})" if len(names) <= _SELECTED else label
    return await read.all(resource, group, labels=chosen)


def _owner(name: str, names: frozenset[str]) -> str:
    """The endpoint that an object's name belongs to: the longest of ``names`` that it begins with, or ""."""
    while name and name not in names:
        name = name.rpartition("-")[0]
    return name


def _items(found: tuple[Manifest, ...] | CannotEvaluate) -> tuple[Manifest, ...]:
    return () if isinstance(found, CannotEvaluate) else found


def _lost(nodes: Nodes | CannotEvaluate | None) -> frozenset[str]:
    if not isinstance(nodes, Nodes):
        return frozenset()
    return frozenset(
        node.name for pool in nodes.pools(frozenset()) if not pool.node.ready for node in pool.members
    )


def _selected(nodes: Nodes | CannotEvaluate | None) -> Callable[[Mapping[str, str]], Selected | None]:
    """Counts the nodes that carry all the labels asked for; None where nodes could not be read, or none is asked."""

    def count(selector: Mapping[str, str]) -> Selected | None:
        if not isinstance(nodes, Nodes) or not selector:
            return None
        found = [
            pool
            for pool in nodes.pools(frozenset(selector))
            if all(pool.node.label(key) == value for key, value in selector.items())
        ]
        usable = [pool for pool in found if pool.node.ready and not pool.node.unschedulable]
        return Selected(
            nodes=sum(map(len, found)),
            usable=sum(map(len, usable)),
            taints=tuple(sorted({str(taint) for pool in usable for taint in pool.node.taints})),
        )

    return count
