"""Nodes and pods as the scheduler's filters see them, and how they are read from manifests."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from sys import intern
from typing import Any, Final

from mehc_checks.clients.kubernetes.scheduling.quantity import CPU, amount
from mehc_checks.clients.kubernetes.scheduling.readiness import Unready, unready

HOSTNAME: Final = "kubernetes.io/hostname"
Amounts = Mapping[str, int]
"""Resource → count, in ``quantity.amount``'s units."""


@dataclass(frozen=True, slots=True)
class Taint:
    """A taint. ``str()`` is the scheduler's notation with the effect."""

    key: str
    value: str
    effect: str

    def __str__(self) -> str:
        return f"{self.key}={self.value}:{self.effect}" if self.value else f"{self.key}:{self.effect}"


@dataclass(frozen=True, slots=True)
class Toleration:
    """A toleration; empty ``key`` with Exists is for every taint, empty ``effect`` for every effect."""

    key: str = ""
    operator: str = "Equal"
    value: str = ""
    effect: str = ""

    def tolerates(self, taint: Taint) -> bool:
        """As ``Toleration.ToleratesTaint`` of k8s.io/api/core/v1 does."""
        if self.effect and self.effect != taint.effect:
            return False
        if self.key and self.key != taint.key:
            return False
        return self.operator == "Exists" or (self.operator == "Equal" and self.value == taint.value)


@dataclass(frozen=True, slots=True)
class Expression:
    """One requirement on a label."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def matches(self, value: str | None) -> bool:
        """Whether a label's ``value`` (None where the label is missing) meets it."""
        match self.operator:
            case "In":
                return value in self.values
            case "NotIn":
                return value not in self.values
            case "Exists":
                return value is not None
            case "DoesNotExist":
                return value is None
            case "Gt" | "Lt":
                return _compare(self.operator, value, self.values)
        raise ValueError(f"unknown operator {self.operator}")


@dataclass(frozen=True, slots=True)
class Node:
    """A node, slim: equal parts of different nodes are shared, and the one label that never is stands apart."""

    name: str
    hostname: str
    shared_labels: Mapping[str, str]
    """All labels except ``kubernetes.io/hostname``."""
    taints: tuple[Taint, ...]
    allocatable: Amounts
    unschedulable: bool
    unready: Unready | None = None
    """What keeps it from being Ready; None where it is."""
    devices: Amounts = field(default_factory=dict)
    """The capacity of extended resources (those with a "/"): what device plugins found, healthy or not."""
    created: datetime | None = None

    @property
    def ready(self) -> bool:
        """Whether its kubelet says so."""
        return self.unready is None

    def label(self, key: str) -> str | None:
        """The value of a label, or None."""
        return (self.hostname or None) if key == HOSTNAME else self.shared_labels.get(key)


@dataclass(frozen=True, slots=True)
class Usage:
    """What the pods of a node request."""

    requests: Amounts = field(default_factory=dict)
    pods: int = 0


EMPTY: Final = Usage()


@dataclass(frozen=True, kw_only=True, slots=True)
class Pod:
    """What of a pod decides where it can go. ``terms`` are alternatives; empty means any node."""

    node_selector: Mapping[str, str] = field(default_factory=dict)
    terms: tuple[tuple[Expression, ...], ...] = ()
    has_terms: bool = False
    """Whether terms were asked for: with none left that could match, no node does."""
    tolerations: tuple[Toleration, ...] = ()
    requests: Amounts = field(default_factory=dict)
    node_name: str = ""

    @property
    def label_keys(self) -> frozenset[str]:
        """The labels that decide."""
        return frozenset(self.node_selector) | {e.key for term in self.terms for e in term}


class Interner:
    """Shares equal label maps, taints and amounts between nodes and pods: most are alike."""

    def __init__(self, most: int = 20_000) -> None:
        self._maps: dict[Any, dict[str, Any]] = {}
        self._tuples: dict[Any, tuple[Any, ...]] = {}
        self._most = most

    def map(self, items: Iterable[tuple[str, Any]]) -> dict[str, Any]:
        """A dict of ``items``, the same object for equal ones; not to be changed."""
        pairs = (*sorted(items),)
        if pairs not in self._maps:
            self._bound(self._maps)
            self._maps[pairs] = dict(pairs)
        return self._maps[pairs]

    def sequence(self, items: tuple[Any, ...]) -> tuple[Any, ...]:
        """``items``, the same object for equal ones."""
        if items not in self._tuples:
            self._bound(self._tuples)
            self._tuples[items] = items
        return self._tuples[items]

    def _bound(self, known: dict[Any, Any]) -> None:
        if len(known) >= self._most:  # values that never repeat must not pile up
            known.clear()


def read_node(manifest: Mapping[str, Any], interner: Interner) -> Node:
    """A Node of the API."""
    metadata, spec, status = manifest["metadata"], manifest.get("spec") or {}, manifest.get("status") or {}
    labels = metadata.get("labels") or {}
    return Node(
        name=metadata["name"],
        hostname=labels.get(HOSTNAME, ""),
        shared_labels=interner.map(
            (intern(key), intern(value)) for key, value in labels.items() if key != HOSTNAME
        ),
        taints=interner.sequence(
            tuple(
                Taint(intern(t["key"]), intern(t.get("value") or ""), intern(t["effect"]))
                for t in spec.get("taints") or ()
            )
        ),
        # kube-scheduler takes the allocatable, and where a kubelet has not posted it, nothing is there.
        allocatable=interner.map(amounts(status.get("allocatable")).items()),
        unschedulable=bool(spec.get("unschedulable")),
        unready=unready(status.get("conditions") or ()),
        devices=interner.map(
            (name, count) for name, count in amounts(status.get("capacity")).items() if "/" in name
        ),
        created=datetime.fromisoformat(metadata["creationTimestamp"])
        if metadata.get("creationTimestamp")
        else None,
    )


def amounts(resources: Mapping[str, Any] | None) -> dict[str, int]:
    """A ResourceList in whole numbers; what cannot be read counts as absent."""
    found = {}
    for name, text in (resources or {}).items():
        try:
            found[intern(name)] = amount(name, str(text))
        except ValueError:
            continue
    return found


def read_pod(manifest: Mapping[str, Any]) -> Pod:
    """A Pod of the API, or a pod template. Raises ValueError for ``matchFields``, which no platform pod has."""
    spec = manifest.get("spec") or {}
    required = ((spec.get("affinity") or {}).get("nodeAffinity") or {}).get(
        "requiredDuringSchedulingIgnoredDuringExecution"
    )
    terms = []
    for term in (required or {}).get("nodeSelectorTerms") or ():
        if term.get("matchFields"):
            raise ValueError("matchFields are not supported")
        expressions = tuple(
            Expression(e["key"], e["operator"], tuple(e.get("values") or ()))
            for e in term.get("matchExpressions") or ()
        )
        if expressions:  # an empty term matches nothing
            terms.append(expressions)
    return Pod(
        node_selector=dict(spec.get("nodeSelector") or {}),
        terms=tuple(terms),
        has_terms=required is not None,
        tolerations=tuple(read_toleration(t) for t in spec.get("tolerations") or ()),
        requests=requests(spec),
        node_name=spec.get("nodeName") or "",
    )


def read_toleration(manifest: Mapping[str, Any]) -> Toleration:
    """A toleration of the API."""
    return Toleration(
        key=str(manifest.get("key") or ""),
        operator=manifest.get("operator") or "Equal",
        value=str(manifest.get("value") or ""),
        effect=manifest.get("effect") or "",
    )


def requests(spec: Mapping[str, Any]) -> dict[str, int]:
    """What a pod requests in all: containers, sidecars, init containers, pod-level resources and overhead.

    Source: ``PodRequests`` of k8s.io/component-helpers/resource. Sizes that a running pod is being resized
    from are not counted.
    """
    total: dict[str, int] = {}
    for container in spec.get("containers") or ():
        _add(total, _container(container))
    sidecars: dict[str, int] = {}
    starting: dict[str, int] = {}
    for container in spec.get("initContainers") or ():
        needs = _container(container)
        if container.get("restartPolicy") == "Always":
            _add(sidecars, needs)
            needs = sidecars
        else:
            needs = dict(needs)
            _add(needs, sidecars)
        _most(starting, needs)
    _add(total, sidecars)
    _most(total, starting)
    whole = amounts((spec.get("resources") or {}).get("requests"))
    total.update(
        {name: n for name, n in whole.items() if name in (CPU, "memory") or name.startswith("hugepages-")}
    )
    _add(total, amounts(spec.get("overhead")))
    return total


def _container(container: Mapping[str, Any]) -> dict[str, int]:
    """A container's requests; what only has a limit requests that much, as the API server defaults it."""
    resources = container.get("resources") or {}
    return amounts({**(resources.get("limits") or {}), **(resources.get("requests") or {})})


def _add(into: dict[str, int], more: Amounts) -> None:
    for name, count in more.items():
        into[name] = into.get(name, 0) + count


def _most(into: dict[str, int], other: Amounts) -> None:
    for name, count in other.items():
        into[name] = max(into.get(name, 0), count)


def _compare(operator: str, value: str | None, bounds: tuple[str, ...]) -> bool:
    try:
        number, bound = int(value or ""), int(bounds[0])
    except (ValueError, IndexError):
        return False
    return number > bound if operator == "Gt" else number < bound
