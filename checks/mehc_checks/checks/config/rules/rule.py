"""How a rule is declared, and what it may look at.

A rule is a pure function of a `View`, in the file of its section of the values reference::

    @rule("S5-04", title="the gateway's Service listens on port 80", reads=("service.port",), ...)
    def service_port(view: View) -> Iterator[Broken]: ...
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, TypeVar

from mehc_checks.core.outcome import Severity
from mehc_checks.modelengine import paths
from mehc_checks.modelengine.configuration import Configuration
from mehc_checks.modelengine.values import Part, Values

T = TypeVar("T")

INFRA: Final = paths.INFRA
LAUNCH: Final = paths.LAUNCH
NO_START: Final = tuple(
    f"ControlPlaneReady/{reason}"
    for reason in ("GatewayNotReady", "BuilderNotReady", "CacherNotReady", "RolloutStuck")
)
"""What follows when no process of the control plane starts: pods of an older revision may go on."""
NO_INSTALL: Final = ("ControlPlaneReady/ComponentMissing", "ControlPlaneReady/ObjectMissing")
"""What follows when the API server or Helm refuses what the chart makes of the values."""


class Cloud(StrEnum):
    """``config.values.infra.cloud_provider``, as the platform spells it."""

    AWS = "aws"
    AZURE = "azure"
    GCP = "gcp"
    ONPREM = "onprem"


@dataclass(frozen=True, kw_only=True, slots=True)
class ClusterFacts:
    """What rules ask of the cluster. None, and what a map lacks, is not known: no permission, or nothing to ask for.

    ``crds`` are names ("virtualservices.networking.istio.io"); the maps say of a "namespace/name" whether it exists.
    ``selected_nodes`` counts the nodes that the top-level nodeSelector matches; ``request_metric`` is whether the
    custom metrics API is served; ``scaled_twice`` are endpoints with an HPA of the platform's and a ScaledObject.
    """

    namespace: str = ""
    endpoint_namespace_exists: bool | None = None
    istio_namespace_exists: bool | None = None
    crds: frozenset[str] | None = None
    gateways: Mapping[str, bool] = field(default_factory=dict)
    service_accounts: Mapping[str, bool] = field(default_factory=dict)
    secrets: Mapping[str, bool] = field(default_factory=dict)
    selected_nodes: int | None = None
    request_metric: bool | None = None
    scaled_twice: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Broken:
    """One place where a rule is broken. ``path`` is the value at fault; ``message`` goes on after its name.

    ``severity`` is set where this place hurts less, or more, than the rule says; ``explains`` where it breaks less.
    """

    path: str
    message: str
    severity: Severity | None = None
    explains: tuple[str, ...] | None = None


class Unknowable(Exception):  # noqa: N818 - not an error: the rule is skipped
    """The rule needs what is not known here. Its text says what."""


def known(fact: T | None, what: str) -> T:
    """``fact``. Raises Unknowable where it is None."""
    if fact is None:
        raise Unknowable(f"could not read {what}")
    return fact


class View(Configuration):
    """The configuration and the facts that a rule judges. No reader raises for what a user wrote."""

    def __init__(
        self, values: Values, *, facts: ClusterFacts | None = None, whole: frozenset[Part] = frozenset(Part)
    ) -> None:
        super().__init__(values)
        self._facts = facts
        self._whole = whole

    @property
    def facts(self) -> ClusterFacts:
        """Raises Unknowable where there is no cluster."""
        if self._facts is None:
            raise Unknowable("needs the cluster")
        return self._facts

    @property
    def installed(self) -> bool:
        """Whether there is a cluster, whose checks judge what runs; else this is before the install."""
        return self._facts is not None

    def lacks_crd(self, name: str) -> bool:
        """Raises Unknowable where the cluster's CRDs are not known."""
        crds = known(self.facts.crds, "the cluster's CustomResourceDefinitions")
        return name not in crds

    def flag(self, path: str) -> bool:
        """``Configuration.flag``. Raises Unknowable where the value is not there, but may be."""
        self.seen(path)
        return super().flag(path)

    def seen(self, path: str) -> bool:
        """True. Raises Unknowable where the value is not there, but its part of the values is not known whole."""
        return self.raw(path) is not None or self.absent(path)

    def absent(self, path: str) -> bool:
        """Whether the value is not set, null, or empty text.

        Raises Unknowable where it is not there, but its part of the values is not known whole.
        """
        value = self.raw(path)
        if value is not None and (not isinstance(value, str) or value.strip()):
            return False
        self._require_whole(path)
        return True

    def missing(self, path: str) -> bool:
        """Whether the key is not there, as a process finds it: a null is there. Raises as ``absent`` does."""
        if self.has(path):
            return False
        self._require_whole(path)
        return True

    def _require_whole(self, path: str) -> None:
        part = Part.CONFIG if path.startswith(f"{paths.CONFIG}.") else Part.CHART
        if part not in self._whole:
            raise Unknowable(
                "needs the values of the Helm release" if part is Part.CHART else "needs the configuration"
            )


Judge = Callable[[View], Iterable[Broken]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """One declared rule. ``id`` is stable forever; its first digit is the section of the values reference.

    ``title`` is an assertion that is true when the rule holds; ``consequence`` what happens when it does not;
    ``clouds`` where it applies, empty for all; ``reads`` the values that it judges; ``explains`` the failures of checks
    that follow when it is broken, as correlation reads names: those that it surely produces, not all that
    it might.
    """

    id: str
    title: str
    severity: Severity
    reads: tuple[str, ...]
    consequence: str
    remedy: str
    clouds: tuple[Cloud, ...] = ()
    needs_cluster: bool = False
    explains: tuple[str, ...] = ()
    judge: Judge

    @property
    def section(self) -> int:
        return int(self.id[1])

    @property
    def docs(self) -> str:
        """Where the rule is explained, relative to the project's root."""
        return f"docs/rules.md#{self.id.lower()}"


REGISTRY: Final[dict[str, Rule]] = {}


def rule(
    id: str,
    *,
    title: str,
    severity: Severity,
    reads: tuple[str, ...],
    consequence: str,
    remedy: str,
    clouds: tuple[Cloud, ...] = (),
    needs_cluster: bool = False,
    explains: tuple[str, ...] = (),
) -> Callable[[Judge], Judge]:
    """Declare the decorated judgement as a rule. Raises ValueError on an id declared twice."""

    def declare(judge: Judge) -> Judge:
        if id in REGISTRY:
            raise ValueError(f"rule {id} is declared twice")
        REGISTRY[id] = Rule(
            id=id,
            title=title,
            severity=severity,
            reads=reads,
            consequence=consequence,
            remedy=remedy,
            clouds=clouds,
            needs_cluster=needs_cluster,
            explains=explains,
            judge=judge,
        )
        return judge

    return declare
