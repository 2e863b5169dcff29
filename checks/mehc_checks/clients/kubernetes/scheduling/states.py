"""Taints that say how a node is, not what it is for: controllers set and remove them, and pods must not tolerate them.

A pod that tolerates a start-up taint runs before the node can serve it; one that tolerates the taint of a node that
leaves is evicted with it. Sources: the documentation of the controllers named below.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from mehc_checks.clients.kubernetes.scheduling.model import Taint


class NodeState(StrEnum):
    """What a controller's taint says of its node."""

    STARTING = "starting"
    LEAVING = "being removed"
    UNHEALTHY = "unhealthy"


@dataclass(frozen=True, slots=True)
class Held:
    """A node is held by ``owner``, for people: "Karpenter"."""

    state: NodeState
    owner: str


_S, _L, _U = NodeState.STARTING, NodeState.LEAVING, NodeState.UNHEALTHY
_OWNED: Final = (
    ("node.kubernetes.io/unschedulable", _L, "kubectl cordon or drain"),
    ("node.kubernetes.io/out-of-service", _L, "an administrator"),
    ("node.kubernetes.io/not-ready", _S, "the node lifecycle controller"),
    ("node.kubernetes.io/", _U, "the node lifecycle controller"),
    ("node.cloudprovider.kubernetes.io/uninitialized", _S, "the cloud controller manager"),
    ("node.cloudprovider.kubernetes.io/", _L, "the cloud controller manager"),
    ("startup-taint.cluster-autoscaler.kubernetes.io/", _S, "a start-up controller"),
    ("ignore-taint.cluster-autoscaler.kubernetes.io/", _S, "a start-up controller"),
    ("status-taint.cluster-autoscaler.kubernetes.io/", _U, "a node health controller"),
    ("ToBeDeletedByClusterAutoscaler", _L, "the cluster autoscaler"),
    ("DeletionCandidateOfClusterAutoscaler", _L, "the cluster autoscaler"),
    ("karpenter.sh/unregistered", _S, "Karpenter"),
    ("karpenter.sh/", _L, "Karpenter"),
    ("node.cilium.io/", _S, "Cilium"),
    ("cni.istio.io/", _S, "Istio CNI"),
    ("k8s.ovn.org/", _U, "OVN-Kubernetes"),
    ("ebs.csi.aws.com/", _S, "the EBS CSI driver"),
    ("efs.csi.aws.com/", _S, "the EFS CSI driver"),
    ("fsx.csi.aws.com/", _S, "the FSx CSI driver"),
    ("aws-node-termination-handler/", _L, "AWS Node Termination Handler"),
    ("cloud.google.com/impending-node-termination", _L, "GKE"),
    ("remediator.kubernetes.azure.com/", _U, "AKS node auto-repair"),
    ("node.cluster.x-k8s.io/uninitialized", _S, "Cluster API"),
    ("node.cluster.x-k8s.io/", _L, "Cluster API"),
    ("node.gardener.cloud/", _S, "Gardener"),
    ("nidhogg.uswitch.com/", _S, "Nidhogg"),
    ("AggregatedNodeHealth", _U, "a node health controller"),
)
"""Keys, or their beginnings, in the order in which they are tried."""
_WORDS: Final = (
    (
        _S,
        "not-ready|uninitiali[sz]ed|initiali[sz]ing|unregistered|start-?up|starting|provisioning|bootstrap(ping)?",
    ),
    (_L, "to-be-deleted|deletion|terminat(e|ing|ion)|drain(ed|ing)?|disrupt(ed|ion)|shutdown|evict(ed|ion)"),
    (_L, "maintenance|outdated|reboot(ing)?|upgrad(e|ing)|retir(ed|ing)"),
    (
        _U,
        "health|unhealthy|unreachable|pressure|(network-)?unavailable|unschedulable|quarantined?|cordon(ed)?",
    ),
    (_U, "faulty?|degraded|problem|failed|failing|broken|repair(ing)?|remediat(e|ing|ion)|xid"),
)
"""Words in the names of taints that nobody has listed here."""
_PATTERNS: Final = tuple((state, re.compile(rf"(^|-)({words})(-|$)")) for state, words in _WORDS)


def held(taint: Taint) -> Held | None:
    """Who holds the node by ``taint``, and why; None for a taint that an administrator gave it to stay."""
    for key, state, owner in _OWNED:
        if taint.key == key or (key.endswith("/") and taint.key.startswith(key)):
            return Held(state, owner)
    name = _dashed(taint.key.rpartition("/")[2])
    return next((Held(state, "a controller") for state, words in _PATTERNS if words.search(name)), None)


def _dashed(name: str) -> str:
    """The words of a name, apart: "AggregatedNodeHealth" is "aggregated-node-health"."""
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name)
    return re.sub(r"[^a-z0-9]+", "-", apart.lower())
