"""A workload's objects, from manifests of the API."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from mehc_checks.clients.kubernetes.scheduling.model import requests
from mehc_checks.workload.objects import Condition, Container, Event, Pod, ReplicaSet, Workload

Manifest = Mapping[str, Any]
_REVISION: Final = "deployment.kubernetes.io/revision"


def read_pod(item: Manifest) -> Pod:
    """A Pod of the API."""
    metadata, spec, status = item["metadata"], item.get("spec") or {}, item.get("status") or {}
    sidecars = {c["name"] for c in spec.get("initContainers") or () if c.get("restartPolicy") == "Always"}
    return Pod(
        name=metadata["name"],
        owner=next((owner["name"] for owner in metadata.get("ownerReferences") or ()), ""),
        created=time(metadata.get("creationTimestamp")),
        node=spec.get("nodeName") or "",
        phase=status.get("phase") or "",
        reason=status.get("reason") or "",
        message=status.get("message") or "",
        deleting=time(metadata.get("deletionTimestamp")),
        node_selector=spec.get("nodeSelector") or {},
        gated=tuple(gate["name"] for gate in spec.get("schedulingGates") or ()),
        gates=tuple(gate["conditionType"] for gate in spec.get("readinessGates") or ()),
        account=spec.get("serviceAccountName") or "default",
        pull_secrets=tuple(each["name"] for each in spec.get("imagePullSecrets") or () if each.get("name")),
        volumes=dict(_sources(spec.get("volumes") or ())),
        requests=requests(spec),
        memory_limits={
            container["name"]: str(limit)
            for container in spec.get("containers") or ()
            if (limit := ((container.get("resources") or {}).get("limits") or {}).get("memory"))
        },
        conditions=conditions(status),
        containers=(
            *(
                _container(c, init=c["name"] not in sidecars)
                for c in status.get("initContainerStatuses") or ()
            ),
            *(_container(c, init=False) for c in status.get("containerStatuses") or ()),
        ),
    )


def _sources(volumes: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    for volume in volumes:
        if name := (volume.get("configMap") or {}).get("name"):
            yield volume["name"], f"ConfigMap {name}"
        elif name := (volume.get("secret") or {}).get("secretName"):
            yield volume["name"], f"Secret {name}"


def _container(status: Manifest, *, init: bool) -> Container:
    state, last = status.get("state") or {}, (status.get("lastState") or {}).get("terminated") or {}
    waiting, ended = state.get("waiting") or {}, state.get("terminated") or {}
    return Container(
        name=status["name"],
        image=status.get("image") or "",
        init=init,
        ready=bool(status.get("ready")),
        restarts=status.get("restartCount") or 0,
        waiting=waiting.get("reason") or "",
        message=waiting.get("message") or "",
        running_since=time((state.get("running") or {}).get("startedAt")),
        exit_code=ended.get("exitCode"),
        exit_reason=ended.get("reason") or "",
        exit_message=ended.get("message") or "",
        finished=time(ended.get("finishedAt")),
        last_exit_code=last.get("exitCode"),
        last_exit_reason=last.get("reason") or "",
        last_exit_message=last.get("message") or "",
        last_started=time(last.get("startedAt")),
        last_finished=time(last.get("finishedAt")),
    )


def read_workload(item: Manifest, kind: str) -> Workload:
    """A workload of ``kind``, without its pods."""
    metadata, spec, status = item["metadata"], item.get("spec") or {}, item.get("status") or {}
    desired = spec.get("replicas")
    seen = (status.get("observedGeneration") or 0) >= (metadata.get("generation") or 0)
    return Workload(
        kind=kind,
        name=metadata["name"],
        namespace=metadata.get("namespace", ""),
        labels=metadata.get("labels") or {},
        annotations=metadata.get("annotations") or {},
        created=time(metadata.get("creationTimestamp")),
        deleting=time(metadata.get("deletionTimestamp")),
        desired=1 if desired is None else desired,
        ready=status.get("readyReplicas") or 0,
        paused=bool(spec.get("paused")),
        observed=seen or kind == "LeaderWorkerSet",
        conditions=conditions(status),
    )


def read_replica_set(item: Manifest, kind: str) -> ReplicaSet:
    """A ReplicaSet or StatefulSet of the API."""
    metadata, spec, status = item["metadata"], item.get("spec") or {}, item.get("status") or {}
    failure = conditions(status).get("ReplicaFailure")
    desired = spec.get("replicas")
    revision = str((metadata.get("annotations") or {}).get(_REVISION, ""))
    return ReplicaSet(
        name=metadata["name"],
        kind=kind,
        revision=int(revision) if revision.isdecimal() else 0,
        desired=1 if desired is None else desired,
        current=status.get("replicas") or 0,
        ready=status.get("readyReplicas") or 0,
        created=time(metadata.get("creationTimestamp")),
        failure=failure if failure and failure.status == "True" else None,
    )


def read_event(item: Manifest) -> Event:
    """An Event of the API, as the old recorders and the new ones write it."""
    about, series = item.get("involvedObject") or {}, item.get("series") or {}
    first = item.get("firstTimestamp") or item.get("eventTime") or item["metadata"].get("creationTimestamp")
    last = series.get("lastObservedTime") or item.get("lastTimestamp") or first
    return Event(
        kind=about.get("kind", ""),
        name=about.get("name", ""),
        reason=item.get("reason") or "",
        message=item.get("message") or "",
        warning=item.get("type") == "Warning",
        first=time(first),
        last=time(last),
        count=series.get("count") or item.get("count") or 1,
    )


def conditions(status: Manifest) -> dict[str, Condition]:
    """The conditions of a status, by type."""
    return {
        item["type"]: Condition(
            status=item.get("status") or "",
            reason=item.get("reason") or "",
            message=item.get("message") or "",
            since=time(item.get("lastTransitionTime")),
        )
        for item in status.get("conditions") or ()
    }


def time(text: str | None) -> datetime | None:
    """A time of the API."""
    return datetime.fromisoformat(text) if text else None
