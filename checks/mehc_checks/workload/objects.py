"""What is read of a workload's objects, slim and typed. Times are as Kubernetes gives them, in UTC."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

PULLING: Final = frozenset({"ErrImagePull", "ImagePullBackOff"})
"""The states of a container whose image its node tries to pull."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Container:
    """A container's state. ``last_*`` are of the run before; exit codes are None where it has not ended.

    ``init``: it runs before the others and ends; a sidecar among the init containers, which runs on, is none.
    """

    name: str
    image: str = ""
    init: bool = False
    ready: bool = False
    restarts: int = 0
    waiting: str = ""
    message: str = ""
    running_since: datetime | None = None
    exit_code: int | None = None
    exit_reason: str = ""
    exit_message: str = ""
    finished: datetime | None = None
    last_exit_code: int | None = None
    last_exit_reason: str = ""
    last_exit_message: str = ""
    last_started: datetime | None = None
    last_finished: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Condition:
    """Of a pod or a workload."""

    status: str
    reason: str = ""
    message: str = ""
    since: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Pod:
    """``owner`` is the name of the ReplicaSet, StatefulSet or Job that made it.

    ``requests`` are in the scheduler's units, ``memory_limits`` by container as they are written. ``gates`` are its
    readiness gates, ``gated`` what keeps the scheduler from looking at it. ``account`` is its ServiceAccount,
    ``pull_secrets`` are those that the kubelet pulls with: admission has added the ServiceAccount's. ``volumes`` has
    those made of one object, by their names: "ConfigMap a", "Secret b".
    """

    name: str
    owner: str = ""
    created: datetime | None = None
    node: str = ""
    phase: str = ""
    reason: str = ""
    message: str = ""
    deleting: datetime | None = None
    gated: tuple[str, ...] = ()
    gates: tuple[str, ...] = ()
    account: str = ""
    pull_secrets: tuple[str, ...] = ()
    volumes: Mapping[str, str] = field(default_factory=dict)
    node_selector: Mapping[str, str] = field(default_factory=dict)
    requests: Mapping[str, int] = field(default_factory=dict)
    memory_limits: Mapping[str, str] = field(default_factory=dict)
    conditions: Mapping[str, Condition] = field(default_factory=dict)
    containers: tuple[Container, ...] = ()

    @property
    def is_ready(self) -> bool:
        ready = self.conditions.get("Ready")
        return ready is not None and ready.status == "True" and not self.has_ended

    @property
    def has_ended(self) -> bool:
        return self.phase in ("Succeeded", "Failed")


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """``kind`` and ``name`` are of the object that it is about; ``count`` how often it was seen."""

    kind: str
    name: str
    reason: str
    message: str
    warning: bool
    first: datetime | None
    last: datetime | None
    count: int = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class ReplicaSet:
    """A ReplicaSet, or a StatefulSet of a LeaderWorkerSet: what makes the pods."""

    name: str
    kind: str = "ReplicaSet"
    revision: int = 0
    desired: int = 0
    current: int = 0
    ready: int = 0
    created: datetime | None = None
    failure: Condition | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Workload:
    """A Deployment, a StatefulSet, a Job, or a LeaderWorkerSet, whose replicas are groups of pods.

    ``pods``, ``replica_sets`` and ``events`` (oldest first) are empty where they were not read.
    """

    kind: str
    name: str
    namespace: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    created: datetime | None = None
    deleting: datetime | None = None
    desired: int = 1
    ready: int = 0
    paused: bool = False
    observed: bool = True
    conditions: Mapping[str, Condition] = field(default_factory=dict)
    pods: tuple[Pod, ...] = ()
    replica_sets: tuple[ReplicaSet, ...] = ()
    events: tuple[Event, ...] = ()

    @property
    def newest(self) -> ReplicaSet | None:
        """The ReplicaSet of the newest revision; None for a workload that makes its pods itself."""
        return max(self.replica_sets, key=lambda owner: (owner.revision, owner.name), default=None)
