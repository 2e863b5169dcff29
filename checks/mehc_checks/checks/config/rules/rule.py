"""How a rule is declared, and what it may look at.

A rule is a pure function of a `View`, in the file of its section of the values reference. What it finds are faults,
reasons with a severity of their own, declared beside it::

    PORT_NOT_80 = high(
        "ServicePortNot80",
        "Every request through Istio gets a 503: the VirtualService routes to port 80.",
        message="{path} is {value}; the VirtualService routes to port 80",
        remedy="Set {path} to 80.",
    )

    @rule("S5-04", title="service.port is 80", reads=(paths.SERVICE_PORT,), faults=(PORT_NOT_80,))
    def service_port(view: View) -> Iterator[Finding]:
        if ...:
            yield PORT_NOT_80.at(paths.SERVICE_PORT, value=8080)
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Final, TypeVar

from mehc_checks.checks.config.rules.fault import PAGE, Fault
from mehc_checks.core.outcome import Finding, Severity
from mehc_checks.modelengine import paths, structure
from mehc_checks.modelengine.configuration import Configuration
from mehc_checks.modelengine.structure import Problem
from mehc_checks.modelengine.values import Part, Values

T = TypeVar("T")

INFRA: Final = paths.INFRA
LAUNCH: Final = paths.LAUNCH


class Cloud(StrEnum):
    """``config.values.infra.cloud_provider``, as the platform spells it."""

    AWS = "aws"
    AZURE = "azure"
    GCP = "gcp"
    ONPREM = "onprem"


@dataclass(frozen=True, kw_only=True, slots=True)
class ClusterFacts:
    """What rules ask of the cluster. None, and what a map lacks, is not known: no permission, or nothing to ask for.

    ``crds`` are names ("virtualservices.networking.istio.io"); the maps say of a "namespace/name" whether it exists,
    ``priority_classes`` of a name. ``selected_nodes`` counts the nodes that the top-level nodeSelector matches;
    ``request_metric`` is whether the custom metrics API is served; ``scaled_twice`` are endpoints with an HPA of the
    platform's and a ScaledObject. ``pod_security`` is the standard that the endpoint namespace enforces, "" for none,
    ``own_pod_security`` the gateway's. ``deployed`` is whether Helm and the API server accepted the values.
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
    priority_classes: Mapping[str, bool] = field(default_factory=dict)
    pod_security: str | None = None
    own_pod_security: str | None = None
    deployed: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Duplicate:
    """A key at ``path`` that ``file`` gives more than once, and where: "line 12, column 5"."""

    path: str
    file: str
    first: str
    last: str


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
        self,
        values: Values,
        *,
        facts: ClusterFacts | None = None,
        whole: frozenset[str] = frozenset(Part),
        duplicates: tuple[Duplicate, ...] = (),
    ) -> None:
        super().__init__(values)
        self.duplicates = duplicates
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

    @cached_property
    def problems(self) -> tuple[Problem, ...]:
        """What keeps Helm or the API server from taking the values."""
        return tuple(structure.problems(self))

    def problems_below(self, *prefixes: str) -> list[Problem]:
        """Those at or below one of ``prefixes``."""
        return [
            problem
            for problem in self.problems
            if any(problem.path == one or problem.path.startswith((f"{one}.", f"{one}[")) for one in prefixes)
        ]

    @property
    def deployed(self) -> bool:
        """Whether Helm and the API server took what the chart made of these values."""
        return self._facts is not None and self._facts.deployed

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
        key = path.partition(".")[0].partition("[")[0]
        if part not in self._whole and (key == "config" or key not in self._whole):
            raise Unknowable(
                "needs the values of the Helm release" if part is Part.CHART else "needs the configuration"
            )


Judge = Callable[[View], Iterable[Finding]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """One declared rule. ``id`` is stable forever; its first digit is the section of the values reference.

    ``title`` is an assertion that is true when the rule holds; ``clouds`` where it applies, empty for all; ``reads``
    the values that it judges; ``faults`` what it can find, the first one names the rule. A rule ``of_install`` says
    that Helm or the API server refuses the values, which is not said of what they took. One ``of_version`` judges
    by lists of keys and fields, which other versions of the chart have otherwise.
    """

    id: str
    title: str
    reads: tuple[str, ...]
    faults: tuple[Fault, ...]
    clouds: tuple[Cloud, ...] = ()
    needs_cluster: bool = False
    of_install: bool = False
    of_version: bool = False
    judge: Judge

    @property
    def name(self) -> str:
        return self.faults[0].name

    @property
    def severity(self) -> Severity:
        """The worst of its faults'."""
        return min((fault.severity for fault in self.faults), key=lambda severity: severity.rank)

    @property
    def explains(self) -> tuple[str, ...]:
        """All failures of checks that one of its faults produces."""
        return tuple(dict.fromkeys(name for fault in self.faults for name in fault.explains))

    @property
    def section(self) -> int:
        return int(self.id[1])

    @property
    def docs(self) -> str:
        """Where the rule is explained, relative to the project's root."""
        return f"{PAGE}#{self.id.lower()}"


REGISTRY: Final[dict[str, Rule]] = {}


def rule(
    id: str,
    *,
    title: str,
    reads: tuple[str, ...],
    faults: tuple[Fault, ...],
    clouds: tuple[Cloud, ...] = (),
    needs_cluster: bool = False,
    of_install: bool = False,
    of_version: bool = False,
) -> Callable[[Judge], Judge]:
    """Declare the decorated judgement as a rule. Raises ValueError on an id or a name that is declared twice."""

    def declare(judge: Judge) -> Judge:
        declared = Rule(
            id=id,
            title=title,
            reads=reads,
            faults=faults,
            clouds=clouds,
            needs_cluster=needs_cluster,
            of_install=of_install,
            of_version=of_version,
            judge=judge,
        )
        names = {fault.name for other in REGISTRY.values() for fault in other.faults}
        if id in REGISTRY or names & {fault.name for fault in faults}:
            raise ValueError(f"rule {id}, or one of its faults, is declared twice")
        REGISTRY[id] = declared
        return judge

    return declare
