"""Taints of controllers are states of nodes; those of administrators are not."""

import pytest

from mehc_checks.clients.kubernetes.scheduling.model import Taint
from mehc_checks.clients.kubernetes.scheduling.states import NodeState, held

STATES = {
    NodeState.STARTING: (
        "node.kubernetes.io/not-ready",
        "node.cloudprovider.kubernetes.io/uninitialized",
        "node.cilium.io/agent-not-ready",
        "karpenter.sh/unregistered",
        "startup-taint.cluster-autoscaler.kubernetes.io/driver",
        "ignore-taint.cluster-autoscaler.kubernetes.io/driver",
        "efs.csi.aws.com/agent-not-ready",
        "cni.istio.io/not-ready",
        "readiness.k8s.io/network-unavailable",
        "skyhook.nvidia.com",
        "nidhogg.uswitch.com/kube-system.node-local-dns",
        "acme.example.com/gpu-driver-not-ready",
        "NodeInitializing",
    ),
    NodeState.LEAVING: (
        "karpenter.sh/disrupted",
        "karpenter.sh/disruption",
        "ToBeDeletedByClusterAutoscaler",
        "DeletionCandidateOfClusterAutoscaler",
        "aws-node-termination-handler/spot-itn",
        "cloud.google.com/impending-node-termination",
        "node.cloudprovider.kubernetes.io/shutdown",
        "node.kubernetes.io/unschedulable",
        "acme.example.com/draining",
        "node.cluster.x-k8s.io/outdated-revision",
    ),
    NodeState.UNHEALTHY: (
        "node.kubernetes.io/disk-pressure",
        "node.kubernetes.io/unreachable",
        "AggregatedNodeHealth",
        "remediator.kubernetes.azure.com/unschedulable",
        "acme.example.com/gpu-unhealthy",
        "NodeWithImpairedVolumes",
        "sagemaker.amazonaws.com/node-health-status",
        "amd-gpu-unhealthy",
    ),
    None: (
        "nvidia.com/gpu",
        "dedicated",
        "healthcare.example.com/team",
        "kubernetes.azure.com/scalesetpriority",
        "cloud.google.com/gke-spot",
        "node-role.kubernetes.io/control-plane",
        "team/upgrades",
        "gpu-pool",
        "karpenter.sh/capacity-type",
        "karpenter.sh/nodepool",
        "node.kubernetes.io/instance-type",
        "node.cilium.io/dedicated",
        "health-team",
        "upgrade-pool",
        "repair-shop",
        "acme.example.com/degraded-service",
        "drain-cleaning",
    ),
}


@pytest.mark.parametrize(
    ("state", "key"), [(state, key) for state, keys in STATES.items() for key in keys], ids=str
)
def test_a_taint_is_a_state_or_it_is_not(state: NodeState | None, key: str) -> None:
    found = held(Taint(key, "true", "NoSchedule"))
    assert (found and found.state) == state
