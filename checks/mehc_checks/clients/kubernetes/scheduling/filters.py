"""The filters of kube-scheduler's default profile that depend on a node and a pod alone, in its order.

NodeUnschedulable, NodeName, TaintToleration, NodeAffinity, NodeResourcesFit: the first that refuses a node
names why, in the words of the scheduler's Events. Ports, volumes, other pods' affinity, topology spread and
dynamic resources are left out: the platform's pods do not use them.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Final

from mehc_checks.clients.kubernetes.scheduling.model import EMPTY, Amounts, Node, Pod, Taint, Usage

UNSCHEDULABLE: Final = "node(s) were unschedulable"
WRONG_NAME: Final = "node(s) didn't match the requested node name"
UNTOLERATED: Final = "node(s) had untolerated taint(s)"
WRONG_LABELS: Final = "node(s) didn't match Pod's node affinity/selector"
TOO_MANY_PODS: Final = "Too many pods"
INSUFFICIENT: Final = "Insufficient "

_CORDON: Final = Taint("node.kubernetes.io/unschedulable", "", "NoSchedule")
_HARD: Final = frozenset({"NoSchedule", "NoExecute"})
_NATIVE: Final = ("cpu", "memory", "ephemeral-storage")


def refusals(pod: Pod, node: Node, usage: Usage = EMPTY) -> tuple[str, ...]:
    """Why ``pod`` cannot go to ``node`` where others already request ``usage``; empty when it can."""
    if node.unschedulable and not tolerated(pod, _CORDON):
        return (UNSCHEDULABLE,)
    if pod.node_name and pod.node_name != node.name:
        return (WRONG_NAME,)
    if untolerated(pod, node):
        return (UNTOLERATED,)
    if not selected(pod, node):
        return (WRONG_LABELS,)
    return shortages(pod.requests, node.allocatable, usage)


def verdict(pod: Pod, nodes: Iterable[tuple[Node, Usage]]) -> Counter[str]:
    """How many nodes each reason refuses; empty when at least one node takes the pod, or there is none."""
    counts: Counter[str] = Counter()
    for node, usage in nodes:
        why = refusals(pod, node, usage)
        if not why:
            return Counter()
        counts.update(why)
    return counts


def phrase(counts: Counter[str], total: int) -> str:
    """``counts`` as the scheduler's Event puts it: "0/5 nodes are available: 3 Insufficient cpu, 2 …"."""
    if not total:
        return "no nodes available to schedule pods"
    return f"0/{total} nodes are available: {', '.join(sorted(f'{n} {why}' for why, n in counts.items()))}"


def tolerated(pod: Pod, taint: Taint) -> bool:
    """Whether one of the pod's tolerations is for ``taint``."""
    return any(toleration.tolerates(taint) for toleration in pod.tolerations)


def untolerated(pod: Pod, node: Node) -> tuple[Taint, ...]:
    """The taints of ``node`` that keep ``pod`` away."""
    return tuple(taint for taint in node.taints if taint.effect in _HARD and not tolerated(pod, taint))


def selected(pod: Pod, node: Node) -> bool:
    """Whether the labels of ``node`` meet the pod's nodeSelector and required node affinity."""
    if any(node.label(key) != value for key, value in pod.node_selector.items()):
        return False
    if not pod.has_terms:
        return True
    return any(all(e.matches(node.label(e.key)) for e in term) for term in pod.terms)


def shortages(requests: Amounts, allocatable: Amounts, usage: Usage = EMPTY) -> tuple[str, ...]:
    """Which resources do not suffice, in the scheduler's words."""
    found = []
    if usage.pods + 1 > allocatable.get("pods", 0):
        found.append(TOO_MANY_PODS)
    for name, count in requests.items():
        if count > 0 and _counted(name) and count > allocatable.get(name, 0) - usage.requests.get(name, 0):
            found.append(f"{INSUFFICIENT}{name}")
    return tuple(found)


def _counted(name: str) -> bool:
    """Whether NodeResourcesFit looks at the resource."""
    if name in _NATIVE:
        return True
    return "/" in name or name.startswith(("hugepages-", "attachable-volumes-"))
