"""The workloads of the control plane, with their pods, and what of their environment changed since these started."""

import asyncio
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from mehc_checks.checks.control_plane.facts import Component
from mehc_checks.clients.kubernetes.paths import object_path
from mehc_checks.clients.kubernetes.reader import Manifest, Reading
from mehc_checks.core.errors import CannotEvaluate
from mehc_checks.installation import placement
from mehc_checks.installation.context import Context
from mehc_checks.modelengine.workloads import AUTOSCALER, BUILDER, CACHER, environment_objects
from mehc_checks.workload.diagnose import Around, diagnose
from mehc_checks.workload.objects import Event, Pod, ReplicaSet
from mehc_checks.workload.read import (
    read_event,
    read_pod,
    read_replica_set,
    read_workload,
    time,
)

STARTING: Final = timedelta(minutes=5)
"""For as long a pod may just be starting, while others serve."""
_OLDEST: Final = datetime.min.replace(tzinfo=UTC)


async def around(context: Context, read: Reading) -> Around:
    """What pods of the control plane are judged by: the time, and the nodes where they can be read."""
    nodes = await read.attempt(context.inventory.nodes(), None)
    return Around(
        now=context.clock(),
        grace=STARTING,
        loading_grace=STARTING,
        lost=placement.lost(nodes),
        selected=placement.selected(nodes),
    )


async def components(context: Context, read: Reading, name: str) -> tuple[Component, ...]:
    """Gateway, cacher and builder of the installation ``name``, and its autoscaler where it has one."""
    values = context.values
    wanted = [
        ("gateway", "deployments", name),
        ("cacher", "deployments", name + CACHER),
        ("builder", "deployments", name + BUILDER),
    ]
    if values.text("celery_autoscaler.enabled") != "false" and not values.text("serviceIdentifier"):
        broker = values.text("celeryBrokerType") or ""
        wanted.append(("autoscaler", "statefulsets", f"{AUTOSCALER}{broker}"))
    found = _Components(context, read, [workload for _, _, workload in wanted])
    await found.read_pods()
    return tuple(await asyncio.gather(*(found.component(*each) for each in wanted)))


class _Components:
    def __init__(self, context: Context, read: Reading, names: list[str]) -> None:
        self._context = context
        self._read = read
        self._selector = f"app in ({','.join(names)})"
        self._pods: tuple[Manifest, ...] = ()
        self._owners: tuple[Manifest, ...] = ()
        self._events: tuple[Manifest, ...] = ()
        self._around = Around(now=context.clock())

    async def read_pods(self) -> None:
        """What all components share; Events and nodes only where a pod is not ready."""
        self._pods, self._owners = await asyncio.gather(
            self._list("pods", labels=self._selector),
            self._list("replicasets", group="apps", labels=self._selector),
        )
        if not self._pods or not all(read_pod(pod).is_ready for pod in self._pods):
            self._events, self._around = await asyncio.gather(
                self._list("events"), around(self._context, self._read)
            )

    async def _list(self, resource: str, *, group: str = "", labels: str = "") -> tuple[Manifest, ...]:
        path = object_path(resource, self._context.namespace, group=group)
        return await self._read.attempt(self._read.all(path, labels=labels), ())

    async def component(self, role: str, resource: str, name: str) -> Component:
        kind = "Deployment" if resource == "deployments" else "StatefulSet"
        try:
            item = await self._read.get(object_path(resource, self._context.namespace, name, group="apps"))
        except CannotEvaluate as error:
            self._read.note(error)
            return Component(role=role, kind=kind, name=name, exists=None)
        if item is None:
            return Component(role=role, kind=kind, name=name, exists=False)
        pods = tuple(sorted(self._of(name), key=lambda pod: pod.name))
        workload = replace(
            read_workload(item, kind),
            pods=pods,
            replica_sets=tuple(self._replica_sets(name)),
            events=tuple(sorted(self._told(name), key=lambda event: event.last or _OLDEST)),
        )
        status, template = item.get("status") or {}, item["spec"]["template"]["spec"]
        progressing = workload.conditions.get("Progressing")
        judged = workload
        if progressing and progressing.status == "False" and workload.ready >= workload.desired:
            # what keeps the new pods is hidden by the old ones, which are as many as are requested
            judged = replace(workload, ready=workload.desired - 1)
        restarts, ended, ended_at = _restarts(pods)
        return Component(
            role=role,
            kind=kind,
            name=name,
            desired=workload.desired,
            ready=workload.ready,
            paused=workload.paused,
            image=_image(template, name),
            released=self._released(role),
            cause=diagnose(judged, self._around) if workload.desired else None,
            restarts=restarts,
            ended=ended,
            ended_at=ended_at,
            outdated=max((status.get("replicas") or 0) - (status.get("updatedReplicas") or 0), 0),
            progressing=progressing,
            changed=await self._changed(template, pods),
        )

    def _released(self, role: str) -> str:
        """The tag of the Helm release, whatever the user's own values say; the autoscaler has one of its own."""
        found = self._context.installation
        if found is None or found.release is None or role == "autoscaler":
            return ""
        return found.under(()).text("tag") or ""

    def _of(self, name: str) -> Iterable[Pod]:
        return (read_pod(pod) for pod in self._pods if _app(pod) == name)

    def _replica_sets(self, name: str) -> Iterable[ReplicaSet]:
        return (read_replica_set(owner, "ReplicaSet") for owner in self._owners if _app(owner) == name)

    def _told(self, name: str) -> Iterable[Event]:
        return (read_event(event) for event in self._events if _is_about(event, name))

    async def _changed(self, template: Mapping[str, Any], pods: Iterable[Pod]) -> dict[str, datetime]:
        """The Secrets and ConfigMaps of the environment that changed after a running container had read them.

        A container that was restarted since, beside one that was not, has read them again.
        """
        started: dict[str, datetime] = {}
        for each in (each for pod in pods if not pod.deleting for each in pod.containers):
            if each.running_since:
                started[each.name] = min(each.running_since, started.get(each.name, each.running_since))
        found = {}
        for container in template.get("containers") or ():
            if (since := started.get(str(container.get("name")))) is None:
                continue
            for kind, name, keys in environment_objects(container):
                resource = "secrets" if kind == "Secret" else "configmaps"
                path = object_path(resource, self._context.namespace, name)
                metadata = await self._read.attempt(self._context.cluster.get_metadata(path), None)
                when = _data_changed(metadata or {}, keys)
                if when and when > since + _SKEW:
                    found[f"{kind} {name}"] = when
        return found


_SKEW: Final = timedelta(minutes=1)
"""What the clocks of API server and node may differ by."""


def _data_changed(item: Manifest, keys: frozenset[str]) -> datetime | None:
    """When ``keys`` of the data, or any where none are named, were last written, by whom the API server noted."""
    times = [
        written
        for entry in (item.get("metadata") or {}).get("managedFields") or ()
        if (data := (entry.get("fieldsV1") or {}).get("f:data")) is not None
        if not keys or any(f"f:{key}" in data for key in keys)
        if (written := time(entry.get("time")))
    ]
    return max(times, default=None)


def _image(template: Mapping[str, Any], name: str) -> str:
    """The image of the process itself: sidecars may have been injected beside it."""
    containers = template.get("containers") or [{}]
    named = [item for item in containers if item.get("name") == name]
    return str((named or containers)[0].get("image", ""))


def _app(item: Manifest) -> str:
    return str((item["metadata"].get("labels") or {}).get("app", ""))


def _is_about(event: Manifest, name: str) -> bool:
    about = str((event.get("involvedObject") or {}).get("name", ""))
    return about == name or re.fullmatch(rf"{re.escape(name)}-[a-z0-9]+(-[a-z0-9]+)?", about) is not None


def _restarts(pods: Iterable[Pod]) -> tuple[int, str, datetime | None]:
    """Of the container that was restarted most: how often, how it ended last, and when."""
    most, ended, when = 0, "", None
    for pod in pods:
        for container in pod.containers:
            if container.restarts > most:
                most, ended, when = container.restarts, container.last_exit_reason, container.last_finished
    return most, ended, when
