"""What keeps an endpoint from being ready: one reason per cause, with its remedy and what it is a consequence of.

The order of the declarations is that of the making of an endpoint: of two causes that keep the same number of pods,
the earlier one is named.
"""

from typing import Final

from mehc_checks.core.outcome import Reason, ReasonSet, Status

_BUILDER = (
    "Look at the builder's pods and log; when it consumes its queue again, submit the endpoint's update anew."
)
_NODES = "compare the labels, taints and GPUs of the nodes with what GpuNodesReady says."


class EndpointReasons(ReasonSet):
    """Reasons of EndpointsReady, and the causes in ``status.endpoints``."""

    READY = Reason("EndpointsReady", Status.PASS, "Every endpoint has the ready pods that it wants.")
    # The platform's record and the builder
    TASK_NOT_TAKEN = Reason(
        "BuildTaskNotTaken",
        Status.FAIL,
        "The record stays UPDATE_PENDING: the builder never took the task, so it is down or reads another broker.",
        "Align the broker of gateway and builder (BrokerReachable), and see that the builder runs (ControlPlaneReady); "
        "then submit the endpoint's update anew.",
    )
    TASK_KILLED = Reason(
        "BuildTaskKilled",
        Status.FAIL,
        "The record is UPDATE_IN_PROGRESS for longer than the 30 minutes that a task may take: its worker was killed.",
        "Nobody carries the task on: submit the endpoint's update anew. " + _BUILDER,
    )
    UPDATE_FAILED = Reason(
        "EndpointUpdateFailed",
        Status.FAIL,
        "The builder gave up and recorded UPDATE_FAILED: a definition is missing, or Kubernetes or the database "
        "refused.",
        "Search the builder's log for 'create_or_update_resources failed'; mend what it names and submit the update "
        "anew.",
    )
    FAILED_WITH_PODS = Reason(
        "UpdateFailedWithPodsReady",
        Status.FAIL,
        "The pods are ready and the record is UPDATE_FAILED: a step after the pods failed, mostly for want of a "
        "definition of Istio or KEDA, so that no request reaches them.",
        "Install the definitions that are missing, or set istio_enabled to what the cluster has; "
        "then submit the update anew.",
    )
    WORKLOAD_MISSING = Reason(
        "WorkloadMissing",
        Status.FAIL,
        "The record is READY, and there is no Deployment or LeaderWorkerSet: somebody deleted it.",
        "Submit the endpoint's update anew, or delete the endpoint through the gateway.",
    )
    DELETION_STUCK = Reason(
        "DeletionStuck",
        Status.FAIL,
        "The deletion began and does not end.",
        "Look for finalizers on the objects that are left, and delete the endpoint through the gateway anew.",
    )
    # Making pods
    SERVICE_ACCOUNT_MISSING = Reason(
        "ServiceAccountMissing",
        Status.FAIL,
        "No pod can be made: the ServiceAccount does not exist in the endpoint namespace.",
        "Create it, or set serviceTemplate.createServiceAccount, serviceAccountName and serviceAccountAnnotations, "
        "all three, and upgrade the release.",
    )
    PRIORITY_CLASS_MISSING = Reason(
        "PriorityClassMissing",
        Status.FAIL,
        "No pod can be made: its PriorityClass does not exist. Endpoints name model-engine-*-priority whatever the "
        "release is called.",
        "Create the PriorityClass, or remove fullnameOverride and serviceIdentifier, which rename the chart's own.",
    )
    QUOTA_EXCEEDED = Reason(
        "QuotaExceeded",
        Status.FAIL,
        "No pod can be made: a ResourceQuota of the endpoint namespace is used up, or wants requests that are not set.",
        "Raise the quota, or free what the message counts.",
    )
    LIMIT_RANGE = Reason(
        "LimitRangeViolated",
        Status.FAIL,
        "No pod can be made: its resources are outside of what a LimitRange of the endpoint namespace allows.",
        "Change the LimitRange, or the endpoint's resources.",
    )
    POD_SECURITY = Reason(
        "PodSecurityDenied",
        Status.FAIL,
        "No pod can be made: the namespace's pod security level forbids it.",
        "Relax pod-security.kubernetes.io/enforce of the endpoint namespace, or set the security contexts of the "
        "values.",
    )
    WEBHOOK_DENIED = Reason(
        "AdmissionDenied",
        Status.FAIL,
        "No pod can be made: an admission webhook or policy denies it.",
        "Ask the owner of the webhook or policy that the message names for an exception.",
    )
    WEBHOOK_UNREACHABLE = Reason(
        "WebhookUnreachable",
        Status.FAIL,
        "No pod can be made: an admission webhook does not answer, and pods may not be made without it.",
        "Mend the webhook's service (of Istio's injector: istiod), or remove its configuration.",
    )
    CREATION_FAILED = Reason(
        "PodCreationFailed",
        Status.FAIL,
        "No pod can be made, for another reason.",
        "Mend what the message of the Event FailedCreate names.",
    )
    NO_PODS = Reason(
        "NoPodsCreated",
        Status.FAIL,
        "Pods are wanted, none exists, and nobody says why: the controller that makes them does not act.",
        "See that kube-controller-manager runs, for a LeaderWorkerSet that its controller does, and that the "
        "Deployment is not paused.",
    )
    # Placing pods
    LABEL_UNMATCHED = Reason(
        "NodeLabelsUnmatched",
        Status.FAIL,
        "No node carries the labels that the pod selects: k8s.amazonaws.com/accelerator and the values' nodeSelector.",
        "Label the nodes, or set nodeSelector to null in the values; " + _NODES,
    )
    TAINT_UNTOLERATED = Reason(
        "TaintUntolerated",
        Status.FAIL,
        "Nodes with the right labels carry a taint that the pod does not tolerate.",
        "Add the taint's key to gpuTolerations, or remove the taint; " + _NODES,
    )
    GPU_INSUFFICIENT = Reason(
        "GPUsInsufficient",
        Status.FAIL,
        "No node has enough of nvidia.com/gpu: all are in use, the device plugin is missing, or MIG is not single.",
        "Add GPU nodes or free GPUs; " + _NODES,
    )
    RESOURCES_INSUFFICIENT = Reason(
        "ResourcesInsufficient",
        Status.FAIL,
        "No node has enough CPU, memory, storage or room for pods.",
        "Add nodes, or ask for less in the endpoint's resources.",
    )
    NODES_UNUSABLE = Reason(
        "NodesUnusable",
        Status.FAIL,
        "The nodes that fit are cordoned, not ready or unreachable.",
        "Uncordon them, or mend their kubelets.",
    )
    VOLUME_UNBOUND = Reason(
        "VolumeUnbound",
        Status.FAIL,
        "The pod waits for a PersistentVolumeClaim that does not exist or is not bound, or is bound elsewhere.",
        "Create the claim, or mend its StorageClass and zone.",
    )
    UNSCHEDULABLE = Reason(
        "PodUnschedulable",
        Status.FAIL,
        "The scheduler finds no node, for another reason.",
        "Mend what the scheduler's words name.",
    )
    NOT_CONSIDERED = Reason(
        "SchedulerSilent",
        Status.FAIL,
        "The pod has no node, and no scheduler says why: none runs, or a scheduling gate holds the pod back.",
        "See that kube-scheduler runs, and who owns the pod's scheduling gates.",
    )
    # The node
    NODE_LOST = Reason(
        "NodeLost",
        Status.FAIL,
        "The pod's node does not answer any more.",
        "Mend or delete the node; its pods are made anew elsewhere.",
    )
    EVICTED = Reason(
        "PodEvicted",
        Status.FAIL,
        "The kubelet, a drain or a taint ended the pod, and no other one has become ready.",
        "For pressure on the node: raise the endpoint's requests of what the message names; for a drain: wait, or "
        "uncordon the nodes.",
    )
    PREEMPTED = Reason(
        "PodPreempted",
        Status.FAIL,
        "A pod of higher priority took the place of the endpoint's.",
        "Add nodes, or give the endpoint high_priority.",
    )
    TERMINATION_STUCK = Reason(
        "TerminationStuck",
        Status.FAIL,
        "Pods that shall end do not, and hold what their successors need.",
        "Look at their finalizers and at their nodes' kubelets.",
    )
    # On the node
    SANDBOX_FAILED = Reason(
        "PodSandboxFailed",
        Status.FAIL,
        "The node cannot set the pod's network up: no free address, or the network plugin fails.",
        "Look at the network plugin's pods on that node, and at free addresses of its subnet.",
    )
    VOLUME_SOURCE_MISSING = Reason(
        "VolumeSourceMissing",
        Status.FAIL,
        "A ConfigMap or Secret that the pod mounts does not exist in the endpoint namespace, or lacks a key: mostly "
        "the service ConfigMap, or the one of aws.configMap.",
        "Run the chart's upgrade, with aws.configMap.create and the endpoint namespace in aws.configMap.namespaces.",
    )
    MOUNT_FAILED = Reason(
        "VolumeMountFailed",
        Status.FAIL,
        "A volume cannot be attached or mounted.",
        "Look at the storage driver, and at who else holds the volume.",
    )
    IMAGE_NAME_INVALID = Reason(
        "ImageNameInvalid",
        Status.FAIL,
        "What stands as the image is no image name.",
        "Set the repository and the tag of the values; an unset repository leaves a name that begins with a colon.",
    )
    IMAGE_NOT_FOUND = Reason(
        "ImageNotFound",
        Status.FAIL,
        "The registry has no such repository or tag.",
        "Push or mirror the image, or correct repository and tag; a repository without dots and colons gets "
        "docker_repo_prefix before it.",
    )
    IMAGE_DENIED = Reason(
        "ImageAccessDenied",
        Status.FAIL,
        "The registry does not let the node pull the image (or does not say that it does not exist).",
        "Give the node's role, or the pod's ServiceAccount by imagePullSecrets, the right to pull from it.",
    )
    REGISTRY_UNREACHABLE = Reason(
        "RegistryUnreachable",
        Status.FAIL,
        "The node cannot talk to the registry: name, network, or certificate.",
        "Check the registry's name, the node's way to it, and its certificate's authority.",
    )
    REGISTRY_LIMITED = Reason(
        "RegistryRateLimited",
        Status.FAIL,
        "The registry refuses for now: too many pulls.",
        "Pull with credentials, or mirror the image into your own registry.",
    )
    IMAGE_WRONG_PLATFORM = Reason(
        "ImagePlatformMissing",
        Status.FAIL,
        "The image exists, but not for the node's architecture.",
        "Push the image for that architecture, or select other nodes.",
    )
    IMAGE_NO_SPACE = Reason(
        "NodeDiskFull",
        Status.FAIL,
        "The node has no room for the image.",
        "Give the nodes larger disks, or let image garbage collection free some.",
    )
    IMAGE_PULL_FAILED = Reason(
        "ImagePullFailed",
        Status.FAIL,
        "The image cannot be pulled, for another reason.",
        "Mend what the runtime's words name; VllmImagePullable asks the registry itself.",
    )
    IMAGE_PULL_SLOW = Reason(
        "ImagePullSlow",
        Status.FAIL,
        "The image is still being pulled.",
        "Wait, or let imageCache keep the image on the nodes; look at the registry's throughput.",
    )
    CONFIGURATION_MISSING = Reason(
        "ContainerConfigMissing",
        Status.FAIL,
        "A container cannot be made: a Secret, ConfigMap or key of its environment does not exist, or its user is "
        "refused.",
        "Create what the message names in the endpoint namespace.",
    )
    START_FAILED = Reason(
        "ContainerStartFailed",
        Status.FAIL,
        "The runtime cannot start the container: its command, its mounts or the GPU driver.",
        "Correct the command, or bring the node's GPU driver to what the image needs.",
    )
    OUT_OF_MEMORY = Reason(
        "OutOfMemory",
        Status.FAIL,
        "A container is killed again and again because it uses more memory than its limit.",
        "Raise the endpoint's memory, or load less: a smaller model, a shorter context, quantization.",
    )
    KILLED_BY_PROBE = Reason(
        "KilledByProbe",
        Status.FAIL,
        "The kubelet kills the container because its liveness or startup probe fails: it may need longer to load.",
        "Give the probe more time, or mend the route that it asks.",
    )
    CRASHING = Reason(
        "ContainerCrashing",
        Status.FAIL,
        "A container ends again and again.",
        "Read the last lines of its previous log: kubectl logs --previous.",
    )
    HEALTH_FAILING = Reason(
        "ReadinessFailing",
        Status.FAIL,
        "The container runs and its readiness probe fails: the model still loads, or the health route is wrong.",
        "Read the container's log; see that it listens on the port and the route that the probe asks.",
    )
    FORWARDER_NOT_READY = Reason(
        "ForwarderNotReady",
        Status.FAIL,
        "The model is ready and the forwarder beside it is not: it does not reach its broker, or the main container.",
        "Read the forwarder's log; an async forwarder needs celeryBrokerType redis, sqs or servicebus.",
    )
    SIDECAR_NOT_READY = Reason(
        "SidecarNotReady",
        Status.FAIL,
        "Istio's sidecar is not ready, and so the pod is not.",
        "See that istiod runs and that its certificate is accepted.",
    )
    POD_NOT_READY = Reason(
        "PodNotReady",
        Status.FAIL,
        "The pod is not ready, and its state says nothing more.",
        "Look at kubectl describe of the pod that the message names.",
    )
    # Scaling
    STUCK_AT_ZERO = Reason(
        "StuckAtZero",
        Status.FAIL,
        "The endpoint has no pods, requests wait for it, and KEDA does not wake it.",
        "Look at the ScaledObject's conditions; see PrometheusQueryable and RedisReachable for KEDA's ways.",
    )
    ZERO_WITHOUT_SCALER = Reason(
        "ZeroWithoutScaler",
        Status.FAIL,
        "The Deployment wants no pods, and nothing is there that would ever scale it up.",
        "Submit the endpoint's update anew, so that its ScaledObject or HorizontalPodAutoscaler is made, or scale it.",
    )
    # Neither ready nor broken
    PARTLY_READY = Reason(
        "PartlyReady",
        Status.WARN,
        "Some pods are ready and serve; others have not been for longer than the grace period.",
        "Mend what keeps the others; the message names it.",
    )
    ORPHANED = Reason(
        "WorkloadWithoutRecord",
        Status.WARN,
        "A Deployment or LeaderWorkerSet exists that the platform's record does not know: it costs nodes, and no "
        "request reaches it.",
        "Delete it, if no other installation shares the namespace.",
    )
    RECORD_UNREAD = Reason(
        "RecordNotRead",
        Status.ERROR,
        "The platform's own record could not be read: endpoints whose objects were never made remain unseen.",
        "Mend what DatabaseMigrated says, or set parameter readRecord: false to judge by Kubernetes alone.",
    )
    PARTLY_UNSEEN = Reason(
        "PartlyUnseen",
        Status.ERROR,
        "Objects of endpoints could not be read.",
        "Grant the permission that the message names.",
    )


R = EndpointReasons

_IMAGE = ("VllmImagePullable",)
_PLACE = ("GpuNodesReady",)
_BUILDS = (
    "BrokerReachable/BuilderBrokerMismatch",
    "BrokerReachable/BuildQueueNotFound",
    "BrokerReachable/QueueRegionMismatch",
    "BrokerReachable/servicebus",
    "RedisReachable/broker",
    "ControlPlaneReady/builder",
    "DatabaseMigrated",
)
"""Without these no build task is taken."""
_KEDA = "PrometheusQueryable/KedaNotInstalled"

CONSEQUENCE_OF: Final = {
    R.TASK_NOT_TAKEN: _BUILDS,
    R.TASK_KILLED: ("ControlPlaneReady/builder", "DatabaseMigrated"),
    R.UPDATE_FAILED: (
        "DatabaseMigrated",
        _KEDA,
        "ControlPlaneReady/ObjectMissing",
        "BrokerReachable/servicebus",
    ),
    R.FAILED_WITH_PODS: ("DatabaseMigrated", _KEDA),
    R.SERVICE_ACCOUNT_MISSING: ("VllmImagePullable/InferenceServiceAccountMissing",),
    R.PRIORITY_CLASS_MISSING: ("ControlPlaneReady/ObjectMissing",),
    R.LABEL_UNMATCHED: _PLACE,
    R.TAINT_UNTOLERATED: _PLACE,
    R.GPU_INSUFFICIENT: _PLACE,
    R.NODES_UNUSABLE: _PLACE,
    R.IMAGE_NAME_INVALID: _IMAGE,
    R.IMAGE_NOT_FOUND: _IMAGE,
    R.IMAGE_DENIED: _IMAGE,
    R.REGISTRY_UNREACHABLE: _IMAGE,
    R.REGISTRY_LIMITED: _IMAGE,
    R.IMAGE_WRONG_PLATFORM: _IMAGE,
    R.IMAGE_PULL_FAILED: _IMAGE,
    R.FORWARDER_NOT_READY: (
        "BrokerReachable/UnknownBrokerType",
        "BrokerReachable/WorkerBrokerMismatch",
        "BrokerReachable/servicebus",
        "RedisReachable/broker",
    ),
    R.STUCK_AT_ZERO: ("PrometheusQueryable", "RedisReachable"),
}
"""The failures of other checks that would explain a cause, as ``mehc_checks.engine.correlate`` reads names."""

RANK: Final = {reason: number for number, reason in enumerate(R.all())}
IN_PROGRESS: Final = frozenset({R.IMAGE_PULL_SLOW, R.HEALTH_FAILING})
"""These end by themselves where images are large and models load for long: they have a grace period of their own."""
