"""What a node's taints and its condition Ready say of its state; taints of administrators say nothing."""

import pytest

from mehc_checks.clients.kubernetes.scheduling.model import Taint
from mehc_checks.clients.kubernetes.scheduling.readiness import Unready, unready
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


NETWORK = "reason:NetworkPluginNotReady message:Network plugin returns error: cni plugin not initialized"
READY = (
    ("True", "kubelet is posting ready status", None),
    ("Unknown", "Kubelet stopped posting node status.", Unready.KUBELET),
    ("Unknown", "Kubelet never posted node status.", Unready.KUBELET),
    ("False", "container runtime is down", Unready.RUNTIME),
    (
        "False",
        "[container runtime is down, PLEG is not healthy: pleg was last seen active 3m9s ago; threshold is 3m0s]",
        Unready.RUNTIME,
    ),
    ("False", "PLEG is not healthy: pleg was last seen active 3m9s ago; threshold is 3m0s", Unready.RUNTIME),
    ("False", "container runtime status check may not have completed yet", Unready.RUNTIME),
    ("False", f"container runtime network not ready: NetworkReady=false {NETWORK}", Unready.NETWORK),
    (
        "False",
        f"[container runtime network not ready: NetworkReady=false {NETWORK}, CSINode is not yet initialized]",
        Unready.NETWORK,
    ),
    (
        "False",
        f"[container runtime is down, container runtime network not ready: {NETWORK}]",
        Unready.RUNTIME,
    ),
    ("False", "node is shutting down", Unready.SHUTDOWN),
    ("False", "missing node capacity for resources: ephemeral-storage", Unready.OTHER),
)
"""Texts of kubelets 1.20 to 1.36, and of the node lifecycle controller."""


@pytest.mark.parametrize(("status", "message", "expected"), READY)
def test_what_keeps_a_node_from_being_ready(status: str, message: str, expected: Unready | None) -> None:
    others = {"type": "MemoryPressure", "status": "False"}
    assert unready([others, {"type": "Ready", "status": status, "message": message}]) is expected


def test_a_node_that_has_never_reported() -> None:
    assert unready([]) is Unready.KUBELET
