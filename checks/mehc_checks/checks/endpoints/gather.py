"""Endpoints, as Kubernetes, the platform's record and Redis show them: few requests, however many endpoints."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final, TypeVar

from mehc_checks.checks.endpoints.diagnose import Queue
from mehc_checks.checks.endpoints.facts import EndpointFacts
from mehc_checks.checks.endpoints.objects import Endpoint, Scaler, read_scaler
from mehc_checks.checks.endpoints.parameters import EndpointParameters, percentage
from mehc_checks.clients.kubernetes.paths import object_path
from mehc_checks.clients.kubernetes.reader import Manifest, Reading
from mehc_checks.core import duration
from mehc_checks.core.errors import CannotEvaluate
from mehc_checks.installation import placement, waitingimages
from mehc_checks.installation.context import Context, require_cluster
from mehc_checks.installation.endpoint_records import MOST, records
from mehc_checks.installation.redis import cached, queue_depth
from mehc_checks.modelengine.endpoints import (
    APP_LABEL,
    LWS_LABEL,
    NAME_LABEL,
    Record,
    State,
    endpoint_id,
    is_endpoint,
    kind_of,
)
from mehc_checks.modelengine.scaling import ENDPOINT_PREFIX, resource_name
from mehc_checks.workload.diagnose import Around
from mehc_checks.workload.objects import Event, Pod, ReplicaSet, Workload
from mehc_checks.workload.read import read_event, read_pod, read_replica_set, read_workload
from mehc_checks.workload.stability import STABLE

T = TypeVar("T")

_SELECTED: Final = 100
"""Endpoints whose objects are asked for by name; with more that are not ready, all are listed."""
_CACHED: Final = 500


async def gather(context: Context) -> EndpointFacts:
    """What is not ready, in depth; of the rest, that it is. Raises Forbidden where Deployments may not be listed."""
    return await read_endpoints(context)


async def read_endpoints(
    context: Context, *, asked: Callable[[Endpoint], bool] = lambda _: False, patience: float = 2
) -> EndpointFacts:
    """As ``gather``; the endpoints ``asked`` for are read in depth though they be ready.

    ``patience`` is how many seconds the registries of the images that endpoints wait for have to answer.
    """
    require_cluster(context)
    parameters = context.parameters(EndpointParameters)
    await context.prove_endpoint_namespace()
    read = _Endpoints(context)
    deployments, sets, scalers, recorded, depth = await asyncio.gather(
        read.all("deployments", "apps"),
        read.attempt("leaderworkersets", "leaderworkerset.x-k8s.io"),
        read.attempt("scaledobjects", "keda.sh", "v1alpha1"),
        _or_why(records(context)) if parameters.read_record else _none(),
        _or_why(queue_depth(context)),
    )
    found = _assembled(
        context.endpoint_namespace,
        [
            *(read_workload(item, "Deployment") for item in deployments if is_endpoint(item["metadata"])),
            *(read_workload(item, "LeaderWorkerSet") for item in sets if is_endpoint(item["metadata"])),
        ],
        () if isinstance(recorded, CannotEvaluate) or recorded is None else recorded,
        {item["spec"]["scaleTargetRef"]["name"]: read_scaler(item) for item in scalers},
    )
    now = context.clock()
    deep = [e for e in found if asked(e) or _needs_a_look(e, now)]
    if deep:
        kept = await cached(context, [e.id for e in deep[:_CACHED]])
        by_name = {e.name: replace(e, cached=kept.get(e.id)) for e in await read.in_depth(deep)}
        found = [by_name.get(e.name, e) for e in found]
    answer = await _or_why(context.inventory.nodes()) if deep else None
    nodes = None if isinstance(answer, CannotEvaluate) else answer
    waiting = [pod for endpoint in found for pod in endpoint.pods]
    answered = await waitingimages.answers(context, waiting, context.endpoint_namespace, seconds=patience)
    return EndpointFacts(
        endpoints=tuple(found),
        around=Around(
            now=now,
            grace=duration.parse(parameters.grace_period),
            loading_grace=duration.parse(parameters.loading_grace_period),
            lost=placement.lost(nodes),
            selected=placement.selected(nodes),
            answered=answered,
        ),
        fail_above=percentage(parameters.fail_above),
        queue=Queue(name=depth[0], depth=depth[1]) if isinstance(depth, tuple) else Queue(),
        recorded=isinstance(recorded, tuple) and len(recorded) < MOST,
        unrecorded=recorded if isinstance(recorded, CannotEvaluate) else None,
        unseen=read.unseen,
    )


async def _none() -> None:
    return None


async def _or_why(asked: Awaitable[T]) -> T | CannotEvaluate:
    try:
        return await asked
    except CannotEvaluate as problem:
        return problem


def _assembled(
    namespace: str, workloads: Iterable[Workload], recorded: Iterable[Record], scalers: Mapping[str, Scaler]
) -> list[Endpoint]:
    """The endpoints by name, from their workloads and their records."""
    by_name = {workload.name: workload for workload in workloads}
    records_by_name = {resource_name(record.endpoint_id): record for record in recorded}
    endpoints = []
    for name in sorted(by_name.keys() | records_by_name.keys()):
        workload, record = by_name.get(name), records_by_name.get(name)
        labels, annotations = (workload.labels, workload.annotations) if workload else ({}, {})
        known = record.endpoint_id if record else endpoint_id(name, labels)
        endpoints.append(
            Endpoint(
                name=name,
                id=known,
                namespace=namespace,
                title=(record.name if record else "") or labels.get(NAME_LABEL, "") or known,
                kind=kind_of(
                    labels,
                    annotations,
                    worker_set=workload is not None and workload.kind == "LeaderWorkerSet",
                    recorded=record.kind if record else "",
                ),
                workload=workload,
                record=record,
                scaler=scalers.get(name),
            )
        )
    return endpoints


_LATELY: Final = 6 * STABLE
"""A Deployment that became available within this time may do so again and again."""


def _needs_a_look(endpoint: Endpoint, now: datetime) -> bool:
    workload = endpoint.workload
    if workload is None:
        return True
    available = workload.conditions.get("Available")
    return (
        endpoint.ready < endpoint.desired
        or not endpoint.desired
        or workload.deleting is not None
        or endpoint.state not in ("", State.READY)
        or (available is not None and available.since is not None and now - available.since < _LATELY)
    )


class _Endpoints:
    """Lists objects of the endpoint namespace. ``unseen`` is what could not be read, or not whole."""

    def __init__(self, context: Context) -> None:
        self._namespace = context.endpoint_namespace
        self._read = Reading(context.reader)

    @property
    def unseen(self) -> tuple[CannotEvaluate, ...]:
        return self._read.unseen

    async def all(
        self, resource: str, group: str = "", version: str = "v1", labels: str = ""
    ) -> tuple[Manifest, ...]:
        """The objects; none where the resource is not served. Raises Forbidden, CannotEvaluate."""
        path = object_path(resource, self._namespace, group=group, version=version)
        return await self._read.all(path, labels=labels)

    async def attempt(
        self, resource: str, group: str = "", version: str = "v1", labels: str = ""
    ) -> tuple[Manifest, ...]:
        """The objects; none where they cannot be read, which is noted."""
        return await self._read.attempt(self.all(resource, group, version, labels), ())

    async def in_depth(self, deep: list[Endpoint]) -> list[Endpoint]:
        """``deep`` with their pods, their owners and the Events about them."""
        plain = [e.name for e in deep if e.workload and e.workload.kind == "Deployment"]
        grouped = [e.name for e in deep if e.workload and e.workload.kind != "Deployment"]
        known = frozenset((*plain, *grouped))
        pods, set_pods, owners, stateful, told = await asyncio.gather(
            self._of("pods", "", APP_LABEL, plain),
            self._of("pods", "", LWS_LABEL, grouped),
            self._of("replicasets", "apps", APP_LABEL, plain),
            self._of("statefulsets", "apps", LWS_LABEL, grouped),
            self.attempt("events") if known else self._of("events", "", "", []),
        )

        def whose(item: Manifest) -> str:
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

        def whole(workload: Workload) -> Workload:
            name = workload.name
            return replace(
                workload,
                pods=tuple(sorted(pods_of.get(name, ()), key=lambda pod: pod.name)),
                replica_sets=tuple(owners_of.get(name, ())),
                events=tuple(sorted(events_of.get(name, ()), key=lambda event: event.last or _OLDEST)),
            )

        return [replace(e, workload=whole(e.workload)) if e.workload else e for e in deep]

    async def _of(self, resource: str, group: str, label: str, names: list[str]) -> tuple[Manifest, ...]:
        """Objects whose ``label`` is one of ``names``; those of all endpoints where the names are too many."""
        if not names:
            return ()
        chosen = f"{label} in ({','.join(names)})" if len(names) <= _SELECTED else label
        return await self.attempt(resource, group, labels=chosen)


_OLDEST: Final = datetime.min.replace(tzinfo=UTC)


def _owner(name: str, names: frozenset[str]) -> str:
    """The endpoint that an object's name belongs to: the longest of ``names`` that it begins with, or ""."""
    while name and name not in names:
        name = name.rpartition("-")[0]
    return name
