"""How a rule is declared, and what it may look at.

A rule is a pure function of a `View`, in the file of its section of the values reference::

    @rule("S5-04", title="the gateway's Service listens on port 80", reads=("service.port",), ...)
    def service_port(view: View) -> Iterator[Broken]: ...
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, TypeVar

from mehc_checks.core.outcome import Severity
from mehc_checks.modelengine.values import Part, Values

T = TypeVar("T")

INFRA: Final = "config.values.infra"
LAUNCH: Final = "config.values.launch"
NO_START: Final = tuple(
    f"ControlPlaneReady/{reason}"
    for reason in ("GatewayNotReady", "BuilderNotReady", "CacherNotReady", "RolloutStuck")
)
"""What follows when no process of the control plane starts: pods of an older revision may go on."""
NO_INSTALL: Final = ("ControlPlaneReady/ComponentMissing", "ControlPlaneReady/ObjectMissing")
"""What follows when the API server or Helm refuses what the chart makes of the values."""
_ON: Final = frozenset({"true", "yes", "on", "y"})
_OFF: Final = frozenset({"false", "no", "off", "n"})


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


class View:
    """The values and facts that a rule judges, read tolerantly: no reader raises for what a user wrote."""

    def __init__(
        self, values: Values, *, facts: ClusterFacts | None = None, whole: frozenset[Part] = frozenset(Part)
    ) -> None:
        self.values = values
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

    @property
    def cloud(self) -> str:
        """``cloud_provider``, "aws" where it is not set, as the platform takes it."""
        return self.text(f"{INFRA}.cloud_provider") or Cloud.AWS

    def raw(self, path: str) -> Any:
        """The value as it is given, None where it or a parent is missing or null."""
        return self.values.get(path)

    def text(self, path: str) -> str:
        """The value as text without spaces around it, "" where it is not set, or is a map or list."""
        return (self.values.text(path) or "").strip()

    def flag(self, path: str) -> bool | None:
        """The value as a boolean, quoted ones included; None where it is not set or neither."""
        text = self.text(path).lower()
        return True if text in _ON else False if text in _OFF else None

    def truthy(self, path: str) -> bool:
        """Whether a template takes the value for true: any text that is not empty is, "false" included."""
        return bool(self.raw(path))

    def number(self, path: str) -> int | None:
        """The value as an integer, quoted ones included; None where it is none."""
        return self.as_number(self.raw(path))

    @staticmethod
    def as_number(value: Any) -> int | None:
        """``number`` of a value at hand."""
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            return None
        try:
            number = float(value)
            return int(number) if number.is_integer() else None
        except (ValueError, OverflowError):
            return None

    def table(self, path: str) -> Mapping[str, Any]:
        """The map at ``path``, empty where there is none."""
        value = self.raw(path)
        return value if isinstance(value, Mapping) else {}

    def items(self, path: str) -> list[Any]:
        """The list at ``path``, empty where there is none."""
        value = self.raw(path)
        return value if isinstance(value, list) else []

    def entries(self, path: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """The maps of the list at ``path``, each with its own path."""
        for index, item in enumerate(self.items(path)):
            if isinstance(item, Mapping):
                yield f"{path}[{index}]", item

    def seen(self, path: str) -> bool:
        """True. Raises Unknowable where the value is not there, but its part of the values is not known whole."""
        return self.raw(path) is not None or self.absent(path)

    def absent_or_false(self, path: str) -> bool:
        """Whether the value is false, or not set (``absent``, with what that raises)."""
        return self.flag(path) is False or self.absent(path)

    def absent(self, path: str) -> bool:
        """Whether the value is not set, or is empty text.

        Raises Unknowable where it is not, but its part of the values is not known whole.
        """
        value = self.raw(path)
        if value is not None and (not isinstance(value, str) or value.strip()):
            return False
        part = Part.CONFIG if path.startswith("config.") else Part.CHART
        if part not in self._whole:
            raise Unknowable(
                "needs the values of the Helm release" if part is Part.CHART else "needs the configuration"
            )
        return True


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
