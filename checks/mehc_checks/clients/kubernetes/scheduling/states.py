"""Taints that say how a node is, not what it is for: controllers set and remove them, and pods must not tolerate them.

A pod that tolerates a start-up taint runs before the node can serve it; one that tolerates the taint of a node that
leaves is evicted with it. Sources: the well-known taints of kubernetes.io, the cluster autoscaler's ``taints.go``, and
the documentation or source of the other controllers named below. Keys of the same owners that are there to stay, such
as ``karpenter.sh/capacity-type`` or ``kubernetes.azure.com/scalesetpriority``, are no states.
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
_LIFECYCLE: Final = "the node lifecycle controller"
_START_UP: Final = "a start-up controller"
_HANDLER: Final = "AWS Node Termination Handler"
_OWNED: Final = (
    ("node.kubernetes.io/not-ready", _S, _LIFECYCLE),
    ("node.kubernetes.io/unreachable", _U, _LIFECYCLE),
    ("node.kubernetes.io/memory-pressure", _U, _LIFECYCLE),
    ("node.kubernetes.io/disk-pressure", _U, _LIFECYCLE),
    ("node.kubernetes.io/pid-pressure", _U, _LIFECYCLE),
    ("node.kubernetes.io/network-unavailable", _U, _LIFECYCLE),
    ("node.kubernetes.io/unschedulable", _L, "kubectl cordon or drain"),
    ("node.kubernetes.io/out-of-service", _L, "an administrator"),
    ("node.cloudprovider.kubernetes.io/uninitialized", _S, "the cloud controller manager"),
    ("node.cloudprovider.kubernetes.io/shutdown", _L, "the cloud controller manager"),
    ("startup-taint.cluster-autoscaler.kubernetes.io/", _S, _START_UP),
    ("ignore-taint.cluster-autoscaler.kubernetes.io/", _S, _START_UP),
    ("status-taint.cluster-autoscaler.kubernetes.io/", _U, "a node health controller"),
    ("readiness.k8s.io/", _S, "Node Readiness Controller"),
    ("ToBeDeletedByClusterAutoscaler", _L, "the cluster autoscaler"),
    ("DeletionCandidateOfClusterAutoscaler", _L, "the cluster autoscaler"),
    ("karpenter.sh/unregistered", _S, "Karpenter"),
    ("karpenter.sh/disrupted", _L, "Karpenter"),
    ("karpenter.sh/disruption", _L, "Karpenter"),
    ("node.cilium.io/agent-not-ready", _S, "Cilium"),
    ("cni.istio.io/not-ready", _S, "Istio CNI"),
    ("k8s.ovn.org/network-unavailable", _U, "OVN-Kubernetes"),
    ("ebs.csi.aws.com/agent-not-ready", _S, "the EBS CSI driver"),
    ("efs.csi.aws.com/agent-not-ready", _S, "the EFS CSI driver"),
    ("fsx.csi.aws.com/agent-not-ready", _S, "the FSx CSI driver"),
    ("disk.csi.azure.com/agent-not-ready", _S, "the Azure Disk CSI driver"),
    ("azurelustre.csi.azure.com/agent-not-ready", _S, "the Azure Lustre CSI driver"),
    ("NodeWithImpairedVolumes", _U, "the AWS cloud provider"),
    ("aws-node-termination-handler/spot-itn", _L, _HANDLER),
    ("aws-node-termination-handler/scheduled-maintenance", _L, _HANDLER),
    ("aws-node-termination-handler/asg-lifecycle-termination", _L, _HANDLER),
    ("aws-node-termination-handler/rebalance-recommendation", _L, _HANDLER),
    ("sagemaker.amazonaws.com/node-health-status", _U, "SageMaker HyperPod"),
    ("cloud.google.com/impending-node-termination", _L, "GKE"),
    ("remediator.kubernetes.azure.com/unschedulable", _U, "AKS node auto-repair"),
    ("remediator.aks.microsoft.com/unschedulable", _U, "AKS node auto-repair"),
    ("node.cluster.x-k8s.io/uninitialized", _S, "Cluster API"),
    ("node.cluster.x-k8s.io/outdated-revision", _L, "Cluster API"),
    ("node.gardener.cloud/critical-components-not-ready", _S, "Gardener"),
    ("nidhogg.uswitch.com/", _S, "Nidhogg"),
    ("skyhook.nvidia.com", _S, "NVIDIA Skyhook"),
    ("medik8s.io/remediation", _U, "Medik8s"),
    ("amd-gpu-unhealthy", _U, "the AMD GPU operator"),
    ("AggregatedNodeHealth", _U, "a node health controller"),
)
"""Keys, or where they end with a slash their beginnings."""
_ENDINGS: Final = (
    (_S, "not-ready", "uninitialized", "uninitialised", "initializing", "initialising", "unregistered"),
    (_L, "draining", "terminating"),
    (_U, "unhealthy", "unreachable", "unschedulable", "network-unavailable"),
)
"""What a name that is not listed ends with where it can only be a state: ``agent-not-ready`` is the custom of CSI and
CNI drivers. A word that can also name a purpose ("health", "repair", "upgrade") is none of these."""


def held(taint: Taint) -> Held | None:
    """Who holds the node by ``taint``, and why; None for a taint that an administrator gave it to stay."""
    for key, state, owner in _OWNED:
        if taint.key == key or (key.endswith("/") and taint.key.startswith(key)):
            return Held(state, owner)
    name = f"-{_dashed(taint.key.rpartition('/')[2])}"
    for state, *endings in _ENDINGS:
        if name.endswith(tuple(f"-{ending}" for ending in endings)):
            return Held(state, "a controller")
    return None


def _dashed(name: str) -> str:
    """The words of a name, apart: "AggregatedNodeHealth" is "aggregated-node-health"."""
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name)
    return re.sub(r"[^a-z0-9]+", "-", apart.lower())
