"""What the check knows when it judges: what the values make of GPU nodes, and what the cluster has there."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from pydantic import Field, field_validator

from mehc_checks.clients.kubernetes.scheduling.filters import untolerated
from mehc_checks.clients.kubernetes.scheduling.model import Node, Pod
from mehc_checks.clients.kubernetes.scheduling.states import NodeState, held
from mehc_checks.core import duration
from mehc_checks.core.errors import CannotEvaluate
from mehc_checks.core.parameters import Parameters
from mehc_checks.installation.nodes import Nodes, Pods, PodSummary, Pool
from mehc_checks.modelengine.accelerators import ACCELERATOR_LABEL, PRODUCT_LABELS
from mehc_checks.modelengine.gpu import Demand
from mehc_checks.modelengine.tier import Fault

Pools = tuple[Pool, ...]
_KEYS: Final = frozenset({ACCELERATOR_LABEL, *PRODUCT_LABELS})
_VENDOR: Final = "nvidia.com/"


class GpuParameters(Parameters):
    """Parameters of GpuNodesReady."""

    autoscaled_pools: tuple[str, ...] = Field(
        (),
        description="Accelerators whose nodes an autoscaler adds when they are needed: if there are none, the check "
        "warns and does not fail.",
    )
    unused_accelerators: tuple[str, ...] = Field(
        (), description="Accelerators that are not used here; what the values request of them is not judged."
    )
    count_pods: bool = Field(
        True,
        description="Read the pods of the whole cluster, to report what fits beside them and why balloons wait.",
    )
    joining_grace_period: str = Field(
        "10m",
        description="How long a new node may start (NotReady, start-up taints, no device plugin yet) before it counts "
        "as broken.",
    )

    @field_validator("joining_grace_period")
    @classmethod
    def _is_duration(cls, value: str) -> str:
        duration.parse(value)
        return value


@dataclass(frozen=True, kw_only=True, slots=True)
class Balloon:
    """A balloon Deployment. ``failure`` is why its ReplicaSet could not make pods, or ""."""

    desired: int
    ready: int
    failure: str
    pods: tuple[PodSummary, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class CacheSet:
    """An image-cache DaemonSet, by its status. ``observed`` is false until its controller has seen it."""

    desired: int
    ready: int
    observed: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class GpuFacts:
    """Everything that the check judges.

    ``pods`` is None where they are not counted; ``caches`` and ``used`` where the endpoint namespace could not be read.
    ``faults`` are entries of recommendedHardware that no request can get. ``used`` are the accelerators of endpoints
    (also of those at zero), ``provisioned`` those that an autoscaler adds nodes for, and what shows it. ``unseen``
    says what could not be read, and why.
    """

    tiers: tuple[Demand, ...]
    faults: tuple[Fault, ...]
    balloons: tuple[Demand, ...]
    devices: Mapping[str, Demand]
    devices_known: bool
    """Whether there are no others: where the values of the release are not known, ``imageCache`` is not either."""
    control_plane: Demand
    reserve_high_priority: bool
    has_node_selector: bool
    nodes: Nodes
    pods: Pods | None
    deployments: Mapping[str, Balloon] | None
    caches: Mapping[str, CacheSet] | None
    endpoints: tuple[PodSummary, ...]
    cache_pods: tuple[PodSummary, ...]
    used: frozenset[str] | None
    provisioned: Mapping[str, str]
    unseen: tuple[CannotEvaluate, ...]
    namespace: str
    endpoint_namespace: str
    now: datetime
    parameters: GpuParameters

    @property
    def label_keys(self) -> frozenset[str]:
        """The labels by which nodes are told apart."""
        demands = (*self.tiers, *self.balloons, *self.devices.values(), self.control_plane)
        return _KEYS.union(*(demand.pod.label_keys for demand in demands))

    @property
    def grace(self) -> timedelta:
        return duration.parse(self.parameters.joining_grace_period)

    def is_new(self, node: Node) -> bool:
        """Whether the node joined the cluster less than the grace period ago."""
        return node.created is not None and self.now - node.created < self.grace

    def is_joining(self, node: Node) -> bool:
        """Whether the node is new, and what it lacks is what a node gets while it starts."""
        return self.is_new(node) and is_starting(node)

    def needs(self, accelerator: str) -> bool:
        """Whether anything uses the accelerator, as far as is known."""
        wanted = {demand.accelerator for demand in self.balloons if demand.count}
        wanted |= {device.accelerator for device in self.devices.values()}
        return self.used is None or accelerator in wanted | self.used


def is_starting(node: Node) -> bool:
    """Whether the node is NotReady, has a start-up taint, or no device plugin has reported to it yet."""
    states = {state.state for taint in untolerated(Pod(), node) if (state := held(taint))}
    reported = any(name.startswith(_VENDOR) for name in (*node.devices, *node.allocatable))
    return not node.ready or NodeState.STARTING in states or not reported
