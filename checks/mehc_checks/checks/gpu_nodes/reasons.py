"""What GpuNodesReady can find.

Where several demands share a reason, ``demand`` names them: " (recommendedHardware: 24 GB)".
"""

from mehc_checks.core.outcome import Reason, ReasonSet, Status
from mehc_checks.workload.reasons import WorkloadReasons


class GpuNodesReasons(ReasonSet):
    """Reasons of GpuNodesReady."""

    COVERED = Reason(
        "GpuNodesCovered",
        Status.PASS,
        "Every tier of recommendedHardware, balloon and image cache has nodes that can take it.",
        message="{covered}",
    )
    NO_ROOM_NOW = Reason(
        "NoRoomNow",
        Status.PASS,
        "Nodes are large enough, but all of them are occupied now; the next such endpoint waits.",
        message="{nodes} can hold it, {free} room now{demand}",
        defaults={"demand": ""},
    )
    NO_WARM_NODES = Reason(
        "NoWarmNodes",
        Status.PASS,
        "Endpoints use a GPU type for which no balloon keeps a node warm: every scale-up is a cold start.",
        message="endpoints use {accelerator}, but its balloon has no replicas",
        remedy="Set {path}.replicaCount above 0 if cold starts hurt.",
    )
    UNKNOWN_ACCELERATOR = Reason(
        "UnknownAccelerator",
        Status.FAIL,
        "The values name a GPU type that model engine does not know, or does not accept for LLM endpoints.",
        message="{path} {detail}",
        remedy="Set {path} to {near}.",
    )
    HARDWARE_INVALID = Reason(
        "RecommendedHardwareInvalid",
        Status.FAIL,
        "Model engine rejects every endpoint that gets this entry of recommendedHardware.",
        message="{path} {detail}",
        remedy="Correct {path} in the Helm values, then run helm upgrade.",
    )
    LABEL_MISSPELT = Reason(
        "AcceleratorLabelMisspelt",
        Status.FAIL,
        "No node has the accelerator label with the value needed, but some have it with a similar value.",
        message="no node has k8s.amazonaws.com/accelerator={accelerator}; {found}{demand}",
        remedy="Label the nodes (kubectl label node {node} --overwrite "
        "k8s.amazonaws.com/accelerator={accelerator}), best in their node group.",
        defaults={"demand": ""},
    )
    GPU_NODES_UNLABELLED = Reason(
        "GpuNodesUnlabelled",
        Status.FAIL,
        "No node has the accelerator label with the value needed, but there are GPU nodes without that label.",
        message="no node has k8s.amazonaws.com/accelerator={accelerator}; {found}{demand}",
        remedy="Label the nodes that have this GPU (kubectl label node {node} "
        "k8s.amazonaws.com/accelerator={accelerator}), best in their node group.",
        defaults={"demand": ""},
    )
    NO_NODE_WITH_LABEL = Reason(
        "NoNodeWithLabel",
        Status.FAIL,
        "No node has the accelerator label with the value needed. It is a warning while no endpoint, balloon or image "
        "cache uses that accelerator.",
        message="no node has k8s.amazonaws.com/accelerator={accelerator}{unused}{demand}",
        remedy="Add nodes labeled k8s.amazonaws.com/accelerator={accelerator}. If an autoscaler adds them on demand, "
        "list {accelerator} in parameters.autoscaledPools; if it is not used here, in parameters.unusedAccelerators.",
        defaults={"unused": "", "demand": ""},
    )
    POOL_AT_ZERO = Reason(
        "AutoscaledPoolAtZero",
        Status.WARN,
        "There are no nodes of this accelerator now, but an autoscaler adds them (parameters.autoscaledPools, a "
        "Karpenter NodePool, or a scale-up in progress), so their labels, taints and sizes cannot be judged.",
        message="no node has k8s.amazonaws.com/accelerator={accelerator} now; {shown}{demand}",
        remedy="No action is needed if the autoscaler works. To have the pool judged, keep one node: set replicaCount "
        "of a balloon for {accelerator} to 1.",
        defaults={"demand": ""},
    )
    NODE_SELECTOR_UNMATCHED = Reason(
        "NodeSelectorUnmatched",
        Status.FAIL,
        "Nodes of the accelerator lack a label of the top-level nodeSelector, which endpoint pods carry too; or no "
        "node at all is left for gateway, builder and cacher.",
        message="{lacking}{demand}",
        remedy="Label the nodes {missing}, or set that key to null under nodeSelector (an empty map keeps the chart's "
        "default).",
        defaults={"demand": ""},
    )
    UNTOLERATED_TAINT = Reason(
        "UntoleratedTaint",
        Status.FAIL,
        "A taint that endpoint pods do not tolerate is on every node of the accelerator. They tolerate "
        "nvidia.com/gpu and the keys of gpuTolerations.",
        message="endpoints tolerate 0 of {nodes}: {taints}{demand}",
        remedy="If taint {key} reserves the nodes for endpoints, add its key to gpuTolerations and run helm upgrade. "
        "If it marks their state (health, maintenance), fix that and remove it: kubectl taint node {node} {key}-.",
        defaults={"demand": ""},
    )
    TAINT_NO_EXECUTE = Reason(
        "TaintNoExecute",
        Status.FAIL,
        "The taint's key is tolerated, its effect is not: model engine tolerates NoSchedule only.",
        message="endpoints tolerate 0 of {nodes}: {taints}{demand}",
        remedy="Change the effect of taint {key} on the nodes, or in their node group, from NoExecute to NoSchedule.",
        defaults={"demand": ""},
    )
    NODE_STATE_TAINT = WorkloadReasons.NODE_STATE_TAINT
    NODES_CORDONED = Reason(
        "GpuNodesCordoned",
        Status.FAIL,
        "All nodes that could take the pods are cordoned.",
        message="0 of {nodes} can be used: {states}{demand}",
        remedy="Uncordon {node} when its maintenance is over (kubectl uncordon {node}).",
        defaults={"demand": ""},
    )
    NODES_NOT_READY = Reason(
        "GpuNodesNotReady",
        Status.FAIL,
        "All nodes that could take the pods are NotReady, cordoned, or held by a controller's taint.",
        message="0 of {nodes} can be used: {states}{joined}{demand}",
        remedy="Check the node's conditions, kubelet, network and disk (kubectl describe node {node}).",
        defaults={"joined": "", "demand": ""},
    )
    NO_GPU_ALLOCATABLE = Reason(
        "NoGpuAllocatable",
        Status.FAIL,
        "The nodes have the label but offer no nvidia.com/gpu: the NVIDIA driver or device plugin is missing. It is a "
        "warning while such a node has just joined.",
        message="{offer} no nvidia.com/gpu: {names}{joined}{demand}",
        remedy="Check the NVIDIA driver and device plugin on {node} (kubectl get pods -A --field-selector "
        "spec.nodeName={node}): the plugin's DaemonSet must tolerate the node's taints. GKE: gpu-driver-version of the "
        "node pool; EKS: an NVIDIA AMI and the nvidia-device-plugin.",
        defaults={"joined": "", "demand": ""},
    )
    GPU_UNHEALTHY = Reason(
        "GpuUnhealthy",
        Status.FAIL,
        "A node has more GPUs than it can allocate: the device plugin reports the others as unhealthy (Xid errors), or "
        "has stopped. It is a warning while other nodes can take the pods.",
        message="node {node} has {gpus}, {healthy} healthy{more}{demand}",
        remedy="Drain the node and repair or replace it: kubectl drain {node} --ignore-daemonsets "
        "--delete-emptydir-data. Its kernel log names the GPU (Xid); first rule out a stopped device plugin.",
        defaults={"more": "", "demand": ""},
    )
    GPU_RENAMED = Reason(
        "GpuResourceRenamed",
        Status.FAIL,
        "The device plugin runs but offers the GPUs under another name, such as nvidia.com/gpu.shared for time "
        "slicing with renameByDefault; model engine requests nvidia.com/gpu only.",
        message="{nodes} {offer} {resources} and no nvidia.com/gpu: {names}{demand}",
        remedy="Configure the device plugin on these nodes to offer nvidia.com/gpu; for nvidia.com/gpu.shared, set "
        "renameByDefault to false under sharing.timeSlicing or sharing.mps.",
        defaults={"demand": ""},
    )
    MIG_NOT_SINGLE = Reason(
        "MIGStrategyNotSingle",
        Status.FAIL,
        "The nodes offer nvidia.com/mig-* and no nvidia.com/gpu, which is all that model engine requests.",
        message="{nodes} {offer} {resources} and no nvidia.com/gpu: {names}{demand}",
        remedy="Set the device plugin's MIG strategy to single on these nodes (GPU operator: mig.strategy=single).",
        defaults={"demand": ""},
    )
    GPU_SHARED = Reason(
        "GpuShared",
        Status.WARN,
        "Nodes offer parts of GPUs as nvidia.com/gpu (time slicing, MPS, or MIG slices under a whole GPU's label). "
        "Endpoints are sized for whole GPUs: they run out of memory, and several parts can be of one GPU.",
        message="{nodes} {offer} parts of GPUs as nvidia.com/gpu ({products}): {names}",
        remedy="Disable the sharing on these nodes (device plugin: sharing.timeSlicing, sharing.mps; MIG: label "
        "nvidia.com/mig.config=all-disabled), or keep endpoints away from them.",
    )
    TIER_TOO_LARGE = Reason(
        "TierTooLarge",
        Status.FAIL,
        "A tier requests more than any node of the accelerator has, even when empty; its endpoints stay Pending.",
        message="no {accelerator} node is large enough: {short}{demand}",
        remedy="Lower {path}, or add larger nodes. The forwarder in each pod requests another 1 CPU, 100M memory and "
        "100M storage.",
        defaults={"demand": ""},
    )
    TOO_FEW_NODES = Reason(
        "TooFewNodesForWorker",
        Status.FAIL,
        "A worker of the tier spans more nodes than there are that can hold its part.",
        message="a worker needs {needed} nodes, {nodes} can hold its part{demand}",
        remedy="Add nodes, or lower {path}.nodes_per_worker.",
        defaults={"demand": ""},
    )
    ONLY_WHEN_EMPTY = Reason(
        "FitsOnlyWhenEmpty",
        Status.FAIL,
        "A tier fits a node of the accelerator only without the pods of DaemonSets, which are always there.",
        message="{nodes} can hold it when empty, {left} beside the pods of DaemonSets{demand}",
        remedy="Lower {path} by what the DaemonSets on these nodes request, or lower their requests.",
        defaults={"demand": ""},
    )
    SOME_NODES_EXCLUDED = Reason(
        "SomeGpuNodesExcluded",
        Status.WARN,
        "Some nodes of the accelerator can take no endpoint, while others can. Nodes that just joined, and nodes that "
        "an autoscaler removes, do not count.",
        message="{excluded} no endpoint: {why}",
        remedy="Check labels, taints, conditions and allocatable GPUs (kubectl describe node {node}).",
    )
    SOME_GPU_NODES_UNLABELLED = Reason(
        "SomeGpuNodesUnlabelled",
        Status.WARN,
        "There are GPU nodes without the accelerator label, or with a value that model engine does not know; no "
        "endpoint uses them.",
        message="{found} no accelerator label that model engine knows: {names}",
        remedy="Label them to use them for endpoints (kubectl label node {node} --overwrite "
        "k8s.amazonaws.com/accelerator={known}).",
    )
    TAINT_MISSING = Reason(
        "GpuTaintMissing",
        Status.WARN,
        "GPU nodes have no taint nvidia.com/gpu: ordinary pods occupy their CPU and memory, and endpoints wait.",
        message="{found} no taint nvidia.com/gpu:NoSchedule: {names}",
        remedy="Taint the nodes (kubectl taint node {node} nvidia.com/gpu=present:NoSchedule), best in "
        "their node group.",
    )
    DUPLICATE_TIER = Reason(
        "DuplicateTier",
        Status.WARN,
        "Two entries of recommendedHardware have the same key: of one gpu_memory_le the first is used, of one name the "
        "last.",
        message="{path} {detail}",
        remedy="Remove one of the two entries, or change {path}.",
    )
    BALLOON_UNMATCHED = Reason(
        "BalloonUnmatched",
        Status.WARN,
        "No node can take the balloon: accelerator, balloonNodeSelector, taint, or the state of the nodes. It stays "
        "Pending, and a cluster autoscaler keeps adding nodes for it.",
        message="{balloon}: {detail}",
        remedy="Correct {path}.acceleratorName or balloonNodeSelector, or label the nodes accordingly.",
    )
    BALLOON_TOO_LARGE = Reason(
        "BalloonTooLarge",
        Status.WARN,
        "The balloon requests more than any node has: 28Gi and 4 CPU (the one without GPU: 6), and gpuCount GPUs.",
        message="{balloon}: no node is large enough: {short}",
        remedy="Lower {path}.gpuCount, use larger nodes, or set {path}.replicaCount to 0.",
    )
    BALLOON_ABSENT = Reason(
        "BalloonAbsent",
        Status.WARN,
        "The values ask for balloons whose Deployment does not exist.",
        message="Deployment {deployment} does not exist in namespace {namespace}",
        remedy="Run helm upgrade with these values in namespace {namespace}.",
    )
    BALLOON_PENDING = Reason(
        "BalloonPending",
        Status.WARN,
        "Balloons exist but do not run, although nodes could take them.",
        message="{balloon}: {ready} of {desired} run; {detail}",
        remedy="If the message says Insufficient, lower {path}.replicaCount or add nodes; otherwise fix what it names "
        "(kubectl get events -n {namespace}).",
    )
    BALLOON_DISPLACED = Reason(
        "BalloonDisplaced",
        Status.PASS,
        "Endpoints run where balloons would: to make room for them is what balloons are for.",
        message="{balloon}: {ready} of {desired} run; endpoints use the GPUs of the others",
    )
    BALLOONS_BLOCK = Reason(
        "BalloonsBlockEndpoints",
        Status.WARN,
        "An endpoint of default priority waits for GPUs that balloons hold: with balloonConfig.reserveHighPriority, "
        "only endpoints of high priority may take their place.",
        message="{pods} for {accelerator} while balloons hold its nodes: {names}",
        remedy="Create the endpoints with high_priority, or set balloonConfig.reserveHighPriority to false.",
    )
    CACHE_DEVICE_UNKNOWN = Reason(
        "ImageCacheDeviceUnknown",
        Status.WARN,
        "imageCache.devices has a name that the cacher does not know; it ignores the device.",
        message="{path} is named {device}, which the cacher does not know",
        remedy="Set {path}.name to {near}.",
    )
    CACHE_DEVICE_MISSING = Reason(
        "ImageCacheDeviceMissing",
        Status.WARN,
        "There are nodes of an accelerator that imageCache.devices lacks; every endpoint there waits for its image.",
        message="{nodes} no image cache: imageCache.devices lacks {device}",
        remedy="Add a device {device} to imageCache.devices, with nodeSelector k8s.amazonaws.com/accelerator: "
        "{accelerator} and a toleration of nvidia.com/gpu.",
    )
    CACHE_SELECTOR_UNMATCHED = Reason(
        "ImageCacheSelectorUnmatched",
        Status.WARN,
        "The device's nodeSelector matches no node, although there are nodes of its accelerator.",
        message="{path}.nodeSelector matches no node, although {nodes}",
        remedy="Set {path}.nodeSelector to k8s.amazonaws.com/accelerator: {accelerator}.",
    )
    CACHE_TOLERATION_MISSING = Reason(
        "ImageCacheTolerationMissing",
        Status.WARN,
        "The device's nodeSelector matches nodes with a taint that its tolerations do not cover: no image is cached "
        "there.",
        message="{path}: {nodes} the taint {taint}, which it does not tolerate",
        remedy="Add to {path}.tolerations: key {key}, operator Exists, effect {effect}.",
    )
    CACHE_ABSENT = Reason(
        "ImageCacheAbsent",
        Status.WARN,
        "A device has nodes, but the cacher has not created its DaemonSet.",
        message="DaemonSet {daemonset} does not exist in namespace {namespace}, for {nodes}",
        remedy="Check that the cacher runs, and its log: it creates the DaemonSets in its first round.",
    )
    CACHE_NOT_READY = Reason(
        "ImageCacheNotReady",
        Status.WARN,
        "The DaemonSet of a device does not run on all nodes that it is for. If its pods only wait for images, "
        "endpoints work without it and the finding passes; VllmImagePullable names the images.",
        message="DaemonSet {daemonset} is ready on {ready} of {nodes}{why}",
        remedy="Fix what the Events of its pods name (kubectl describe pods -n {namespace} -l app={daemonset}).",
        defaults={"why": ""},
    )
