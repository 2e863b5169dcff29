"""What GpuNodesReady can find."""

from mehc_checks.core.outcome import Reason, ReasonSet, Status


class GpuNodesReasons(ReasonSet):
    """Reasons of GpuNodesReady."""

    COVERED = Reason(
        "GpuNodesCovered",
        Status.PASS,
        "Every tier of recommendedHardware, balloon and image cache has nodes that can take it.",
    )
    NO_ROOM_NOW = Reason(
        "NoRoomNow",
        Status.PASS,
        "Nodes are large enough, and all of them are occupied now; the next such endpoint waits.",
    )
    NO_WARM_NODES = Reason(
        "NoWarmNodes",
        Status.PASS,
        "Endpoints use a GPU type for which no balloon keeps a node warm: every scale-up is a cold start.",
        "Set {path}.replicaCount above 0 if cold starts hurt.",
    )
    UNKNOWN_ACCELERATOR = Reason(
        "UnknownAccelerator",
        Status.FAIL,
        "The values name a GPU type that model engine does not know, or does not accept for LLM endpoints.",
        "Set {path} to {near}.",
    )
    LABEL_MISSPELT = Reason(
        "AcceleratorLabelMisspelt",
        Status.FAIL,
        "No node has the accelerator label with the value asked for, and some have it with a value much like it.",
        "Label those nodes (or their node pool) k8s.amazonaws.com/accelerator={accelerator}.",
    )
    GPU_NODES_UNLABELLED = Reason(
        "GpuNodesUnlabelled",
        Status.FAIL,
        "No node has the accelerator label with the value asked for, and there are GPU nodes without that label.",
        "Label the nodes (or their node pool) k8s.amazonaws.com/accelerator={accelerator} if that is their GPU.",
    )
    NO_NODE_WITH_LABEL = Reason(
        "NoNodeWithLabel",
        Status.FAIL,
        "No node has the accelerator label with the value asked for.",
        "Add such nodes, labelled k8s.amazonaws.com/accelerator={accelerator}. If an autoscaler adds them on demand, "
        "list the accelerator in parameters.autoscaledPools; if nobody uses it, in parameters.unusedAccelerators, or "
        "remove it from the values.",
    )
    POOL_AT_ZERO = Reason(
        "AutoscaledPoolAtZero",
        Status.WARN,
        "There are no nodes of this accelerator now; parameters.autoscaledPools says that an autoscaler adds them, "
        "so their labels, taints and sizes cannot be judged.",
        "Nothing, if the autoscaler works; keep one node warm with a balloon to have the pool judged.",
    )
    NODE_SELECTOR_UNMATCHED = Reason(
        "NodeSelectorUnmatched",
        Status.FAIL,
        "Nodes of the accelerator lack a label of the top-level nodeSelector, which endpoint pods carry too; or no "
        "node at all is left for gateway, builder and cacher.",
        "Label the nodes, or remove the key from nodeSelector with null ({{}} does not clear the chart's default).",
    )
    UNTOLERATED_TAINT = Reason(
        "UntoleratedTaint",
        Status.FAIL,
        "A taint that endpoint pods do not tolerate is on every node of the accelerator. They tolerate "
        "nvidia.com/gpu and the keys of gpuTolerations.",
        "Add the taint's key to gpuTolerations, or remove the taint.",
    )
    TAINT_NO_EXECUTE = Reason(
        "TaintNoExecute",
        Status.FAIL,
        "The taint's key is tolerated, its effect is not: model engine tolerates NoSchedule only.",
        "Put the taint on the nodes with effect NoSchedule in place of NoExecute.",
    )
    NODES_CORDONED = Reason(
        "GpuNodesCordoned",
        Status.FAIL,
        "All nodes that could take the pods are cordoned.",
        "Uncordon the nodes (kubectl uncordon), or wait for the end of their maintenance.",
    )
    NODES_NOT_READY = Reason(
        "GpuNodesNotReady",
        Status.FAIL,
        "All nodes that could take the pods are NotReady, cordoned, or held back by a controller's taint.",
        "Look at the nodes' conditions (kubectl describe node): kubelet, network, disk.",
    )
    NO_GPU_ALLOCATABLE = Reason(
        "NoGpuAllocatable",
        Status.FAIL,
        "The nodes have the label and offer no nvidia.com/gpu: driver or device plugin is missing, or all devices "
        "are unhealthy.",
        "Check the NVIDIA driver and device plugin on the nodes: its DaemonSet must tolerate the nodes' taints.",
    )
    MIG_NOT_SINGLE = Reason(
        "MigStrategyNotSingle",
        Status.FAIL,
        "The nodes offer nvidia.com/mig-* in place of nvidia.com/gpu; model engine asks for nvidia.com/gpu always.",
        "Set the device plugin's MIG strategy to single on these nodes.",
    )
    TIER_TOO_LARGE = Reason(
        "TierTooLarge",
        Status.FAIL,
        "A tier asks for more than any node of the accelerator has, even when empty; its endpoints stay Pending.",
        "Lower {path}, or add larger nodes. The forwarder beside the model takes 0.1 CPU, 100M memory and 100M "
        "storage more.",
    )
    TOO_FEW_NODES = Reason(
        "TooFewNodesForWorker",
        Status.FAIL,
        "A worker of the tier spans more nodes than there are that can hold its part.",
        "Add nodes, or lower {path}.nodes_per_worker.",
    )
    ONLY_WHEN_EMPTY = Reason(
        "FitsOnlyWhenEmpty",
        Status.FAIL,
        "A tier fits a node of the accelerator only without the pods of DaemonSets, which are always there.",
        "Lower {path} by what the DaemonSets on these nodes request, or lower their requests.",
    )
    SOME_NODES_EXCLUDED = Reason(
        "SomeGpuNodesExcluded",
        Status.WARN,
        "Some nodes of the accelerator can take no endpoint, while others can.",
        "Mend what the message says of these nodes.",
    )
    SOME_GPU_NODES_UNLABELLED = Reason(
        "SomeGpuNodesUnlabelled",
        Status.WARN,
        "There are GPU nodes without the accelerator label, or with a value that model engine does not know; no "
        "endpoint uses them.",
        "Label the nodes k8s.amazonaws.com/accelerator=<{known}> if endpoints shall use them.",
    )
    TAINT_MISSING = Reason(
        "GpuTaintMissing",
        Status.WARN,
        "GPU nodes have no taint nvidia.com/gpu: ordinary pods occupy their CPU and memory, and endpoints wait.",
        "Taint the nodes (or their node pool) nvidia.com/gpu=present:NoSchedule.",
    )
    DUPLICATE_TIER = Reason(
        "DuplicateTier",
        Status.WARN,
        "Two entries of recommendedHardware have the same key; the first wins, the other is never used.",
        "Remove the later entry, or give it a key of its own.",
    )
    BALLOON_UNMATCHED = Reason(
        "BalloonUnmatched",
        Status.WARN,
        "No node can take the balloon: accelerator, balloonNodeSelector, taint, or the state of the nodes. It stays "
        "Pending, and makes an autoscaler grow the cluster without end.",
        "Correct {path} or balloonNodeSelector, or label the nodes so.",
    )
    BALLOON_TOO_LARGE = Reason(
        "BalloonTooLarge",
        Status.WARN,
        "The balloon asks for more than any node has: 28Gi and 4 CPU (the one without GPU: 6), and gpuCount GPUs.",
        "Lower {path}.gpuCount, use larger nodes, or set its replicaCount to 0.",
    )
    BALLOON_ABSENT = Reason(
        "BalloonAbsent",
        Status.WARN,
        "The values ask for balloons whose Deployment does not exist.",
        "Run the chart's upgrade with these values.",
    )
    BALLOON_PENDING = Reason(
        "BalloonPending",
        Status.WARN,
        "Balloons exist and do not run, although nodes could take them.",
        "Mend what the message quotes; with 'Insufficient', lower {path}.replicaCount or add nodes.",
    )
    BALLOONS_BLOCK = Reason(
        "BalloonsBlockEndpoints",
        Status.WARN,
        "An endpoint of default priority waits for GPUs that balloons hold: with balloonConfig.reserveHighPriority, "
        "only endpoints of high priority may take their place.",
        "Create the endpoint with high_priority, or set balloonConfig.reserveHighPriority to false.",
    )
    CACHE_DEVICE_UNKNOWN = Reason(
        "ImageCacheDeviceUnknown",
        Status.WARN,
        "imageCache.devices has a name that the cacher does not know; it makes nothing of it.",
        "Rename {path}.name to {near}.",
    )
    CACHE_DEVICE_MISSING = Reason(
        "ImageCacheDeviceMissing",
        Status.WARN,
        "There are nodes of an accelerator that imageCache.devices lacks; every endpoint there waits for its pull.",
        "Add the device {device} to imageCache.devices.",
    )
    CACHE_SELECTOR_UNMATCHED = Reason(
        "ImageCacheSelectorUnmatched",
        Status.WARN,
        "The device's nodeSelector matches no node, although there are nodes of its accelerator.",
        "Set {path}.nodeSelector to k8s.amazonaws.com/accelerator: {accelerator}.",
    )
    CACHE_TOLERATION_MISSING = Reason(
        "ImageCacheTolerationMissing",
        Status.WARN,
        "The device's nodeSelector matches nodes with a taint that its tolerations do not cover: no image is cached "
        "there.",
        "Add to {path}.tolerations: key {key}, operator Exists, effect {effect}.",
    )
    CACHE_ABSENT = Reason(
        "ImageCacheAbsent",
        Status.WARN,
        "A device has nodes, and the cacher has not made its DaemonSet.",
        "Look at the cacher's log; it makes the DaemonSets in its first round.",
    )
    CACHE_NOT_READY = Reason(
        "ImageCacheNotReady",
        Status.WARN,
        "The DaemonSet of a device does not run on all nodes that it is for; mostly an image that cannot be pulled.",
        "Look at the pods of the DaemonSet (kubectl describe); see VllmImagePullable.",
    )
    NAMESPACE_UNPROVEN = Reason(
        "EndpointNamespaceUnproven",
        Status.WARN,
        "The endpoint namespace that the values name does not say that it belongs to this installation, so nothing "
        "is read there: no image caches, no endpoints.",
        "{remediation}",
    )
    PARTLY_UNSEEN = Reason(
        "PartlyUnseen",
        Status.ERROR,
        "Nodes could be judged; pods, Deployments or DaemonSets could not be read.",
        "{remediation}",
    )
