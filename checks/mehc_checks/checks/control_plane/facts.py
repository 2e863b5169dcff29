"""The control plane as the check judges it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from mehc_checks.core.errors import CannotEvaluate
from mehc_checks.workload.diagnose import Cause
from mehc_checks.workload.objects import Condition


class Proof(StrEnum):
    """What the gateway's answer proves."""

    ANSWERS = "answers"
    FAILS = "fails"
    """An error of the gateway's own."""
    SILENT = "silent"
    """Nothing listens, or what listens does not answer."""
    SHADOWED = "shadowed"
    """A proxy answers that it does not reach the gateway."""
    NOTHING = "nothing"
    """Neither that it works nor that it does not."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GatewayAnswer:
    """``text`` says in one line what was answered, in our own words."""

    proof: Proof
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Component:
    """One workload. ``role`` is "gateway", "cacher", "builder" or "autoscaler"; ``cause`` why not all its pods
    are ready.

    ``exists`` is None where it could not be read; ``paused``: its latest template is not rolled out; ``restarts`` is
    the most that one container has been restarted, ``ended`` how the last one ended, ``outdated`` how many pods are of
    an older template. ``released`` is the tag that the Helm release gives it, "" where none does. ``changed`` maps
    objects of its environment, like "Secret x", to when they changed after its pods had started.
    """

    role: str
    kind: str
    name: str
    exists: bool | None = True
    desired: int = 0
    ready: int = 0
    paused: bool = False
    image: str = ""
    released: str = ""
    cause: Cause | None = None
    restarts: int = 0
    ended: str = ""
    ended_at: datetime | None = None
    outdated: int = 0
    progressing: Condition | None = None
    changed: Mapping[str, datetime] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """A Job that works on the database and has not succeeded. ``failed`` is why it failed, "" while it has not.

    ``cause`` is what keeps its pod. ``sidecar`` runs on though ``container`` has completed; both "" otherwise.
    """

    name: str
    began: datetime | None = None
    failed: str = ""
    cause: Cause | None = None
    pod: str = ""
    container: str = ""
    sidecar: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Keys:
    """The cacher's keys: ``ttl`` in seconds by endpoint, None where the key is absent; empty without endpoints.

    ``asked`` is False where the cache did not answer; ``young``: it was started so lately that keys may be missing.
    """

    ttl: Mapping[str, int | None] = field(default_factory=dict)
    asked: bool = True
    young: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class ControlPlaneFacts:
    """``autoscaled`` is whether the Celery autoscaler has any work on this cloud. ``missing`` are like "ConfigMap x".

    ``scaler`` is the condition of the gateway's HPA that is not as it should be; ``spread`` the tier whose workers span
    nodes, "" for none and where they can be made; ``release`` and ``revision`` name the Helm release, if there is one;
    ``left_over`` are StatefulSets of Celery autoscalers for another broker than ``broker``.
    """

    namespace: str
    components: tuple[Component, ...]
    now: datetime
    autoscaled: bool = True
    missing: tuple[str, ...] = ()
    jobs: tuple[Job, ...] = ()
    scaler: Condition | None = None
    keys: Keys | None = None
    gateway: GatewayAnswer | None = None
    spread: str = ""
    release: str = ""
    revision: int = 0
    left_over: tuple[str, ...] = ()
    broker: str = ""
    unseen: tuple[CannotEvaluate, ...] = ()
