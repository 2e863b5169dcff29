"""The coverage matrix: which nodes are left for a pod after each question that the platform's pods must pass.

The questions are asked in the order in which a person would: labels before taints before capacity. The scheduler's own
order and words are in ``filters``; both say the same of whether a node is left at all.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice

from mehc_checks.checks.gpu_nodes.facts import Pools
from mehc_checks.clients.kubernetes.scheduling.filters import (
    phrase,
    refusals,
    selected,
    shortages,
    untolerated,
)
from mehc_checks.clients.kubernetes.scheduling.model import Node, Pod, Taint, Usage
from mehc_checks.clients.kubernetes.scheduling.states import held
from mehc_checks.installation.nodes import Pods, Pool
from mehc_checks.modelengine.accelerators import ACCELERATOR_LABEL, FOREIGN_PREFIXES, GPU, MIG_PREFIX
from mehc_checks.modelengine.gpu import Demand


@dataclass(frozen=True, kw_only=True, slots=True)
class Coverage:
    """The nodes that are left for one demand; each field is a part of the one before.

    ``labelled``: carry its accelerator · ``selected``: all labels of its nodeSelector · ``tolerated``: no taint that is
    there to stay keeps it away · ``usable``: Ready, not cordoned, not held by a controller · ``equipped``: have GPUs to
    give, where it asks for some · ``holding``: large enough, were they empty.
    """

    demand: Demand
    labelled: Pools
    selected: Pools
    tolerated: Pools
    usable: Pools
    equipped: Pools
    holding: Pools
    refused: Counter[str]
    """How many nodes each of the scheduler's reasons refuses, on empty nodes."""
    total: int

    @property
    def scheduler(self) -> str:
        """The verdict as kube-scheduler puts it; "" where a node is left."""
        return "" if self.holding else phrase(self.refused, self.total)

    def beside_daemons(self, pods: Pods) -> int:
        """How many nodes are large enough beside their DaemonSets' pods; no more than ``demand.count`` are counted."""
        return self._fitting(pods.daemons)

    def free(self, pods: Pods, *, balloons_yield: bool) -> int:
        """How many nodes have room now, counted so; balloons make room if they ``yield``."""
        return self._fitting(lambda name: pods.usage(name, balloons=not balloons_yield))

    def _fitting(self, usage: Callable[[str], Usage]) -> int:
        requests = self.demand.pod.requests
        fitting = (
            node
            for pool in self.holding
            for node in pool.members
            if not shortages(requests, node.allocatable, usage(node.name))
        )
        return sum(1 for _ in islice(fitting, self.demand.count))


def cover(demand: Demand, pools: Pools) -> Coverage:
    """The coverage of ``demand`` by ``pools``, which must be grouped by the labels that it asks about."""
    pod = demand.pod
    accelerator = pod.node_selector.get(ACCELERATOR_LABEL)
    labelled = those(pools, lambda n: accelerator is None or n.label(ACCELERATOR_LABEL) == accelerator)
    chosen = those(labelled, lambda n: selected(pod, n))
    tolerated = those(chosen, lambda n: not lasting(untolerated(pod, n)))
    usable = those(tolerated, lambda n: is_usable(pod, n))
    equipped = those(usable, lambda n: not pod.requests.get(GPU) or bool(n.allocatable.get(GPU)))
    holding = those(equipped, lambda n: not shortages(pod.requests, n.allocatable))
    refused: Counter[str] = Counter()
    for pool in pools:
        for why in refusals(pod, pool.node):
            refused[why] += len(pool)
    return Coverage(
        demand=demand,
        labelled=labelled,
        selected=chosen,
        tolerated=tolerated,
        usable=usable,
        equipped=equipped,
        holding=holding,
        refused=refused,
        total=size(pools),
    )


def size(pools: Iterable[Pool]) -> int:
    """How many nodes ``pools`` have."""
    return sum(map(len, pools))


def those(pools: Iterable[Pool], keep: Callable[[Node], bool]) -> Pools:
    """The pools whose nodes pass ``keep``."""
    return tuple(pool for pool in pools if keep(pool.node))


def lasting(taints: Iterable[Taint]) -> tuple[Taint, ...]:
    """Those of ``taints`` that an administrator gave the node to stay."""
    return tuple(taint for taint in taints if held(taint) is None)


def is_usable(pod: Pod, node: Node) -> bool:
    """Whether the node takes new pods at all: Ready, not cordoned, not held by a controller's taint."""
    return node.ready and not node.unschedulable and not any(map(held, untolerated(pod, node)))


def only_mig(node: Node) -> bool:
    """Whether its GPUs are offered as slices under names of their own, and none as a whole."""
    slices = any(name.startswith(MIG_PREFIX) and count for name, count in node.allocatable.items())
    return slices and not node.allocatable.get(GPU)


def renamed(node: Node) -> tuple[str, ...]:
    """The names under which a device plugin offers the node's GPUs in place of ``nvidia.com/gpu``."""
    if node.devices.get(GPU) or node.allocatable.get(GPU):
        return ()
    offered = (
        name
        for name, count in node.allocatable.items()
        if count and "/" in name and not name.startswith(FOREIGN_PREFIXES)
    )
    return tuple(sorted(name for name in offered if "gpu" in name.lower() or name.startswith("nvidia.com/")))


def has_gpus(node: Node) -> bool:
    """Whether a device plugin offers GPUs, under whatever name."""
    return bool(node.allocatable.get(GPU) or node.devices.get(GPU) or renamed(node))


def sick(node: Node) -> int:
    """How many of the node's GPUs are not healthy: it has them, and none may use them."""
    return max(node.devices.get(GPU, 0) - node.allocatable.get(GPU, 0), 0)
