"""Why a pod, ReplicaSet, Job or Deployment is not ready: a family of causes, each with its words.

The order of the declarations is that of the making of a pod: of two causes that keep the same number of pods, the
earlier one is named. Words that every cause of a pod is given: ``pod``, ``namespace``, ``node``, ``container``.
"""

from collections.abc import Mapping
from typing import Final

from mehc_checks.clients.kubernetes.scheduling.readiness import Unready
from mehc_checks.clients.network.reasons import NetworkReasons
from mehc_checks.clients.registry.reasons import RegistryReasons
from mehc_checks.core.outcome import Reason, Status

_IMAGE: Final = ("VllmImagePullable",)
_PLACE: Final = ("GpuNodesReady",)
_EVENTS: Final = "Fix what the message names; all Events: kubectl describe pod {pod} -n {namespace}."
_LOG: Final = "kubectl logs {pod} -n {namespace} -c {container}"
_RESTARTING_FIX: Final = "Wait until node {node} has restarted, or delete it: kubectl delete node {node}."
_NODE_FIX: Final = (
    "Check the kubelet and the container runtime of node {node} (kubectl describe node {node}), or delete the node: "
    "its pods are created again elsewhere."
)
_DETAIL: Final = {"detail": "the cause is not stated"}


class WorkloadReasons(NetworkReasons):
    """Causes that the platform's own components and its endpoints share; the network is that of a node that pulls."""

    # Making pods
    DELETION_STUCK = Reason(
        "DeletionStuck",
        Status.FAIL,
        "The deletion began and does not end: a finalizer holds the object, or its controller does not run.",
        message="{what} is being deleted {since}",
        remedy="Look for finalizers on what is left (kubectl get deployment,pod -n {namespace} -o yaml), and delete it "
        "again.",
    )
    SERVICE_ACCOUNT_MISSING = Reason(
        "ServiceAccountMissing",
        Status.FAIL,
        "No pod can be created: its ServiceAccount does not exist.",
        message="no pod can be created: ServiceAccount {name} does not exist",
        remedy="Create ServiceAccount {name} in namespace {namespace}. The chart creates that of endpoints only where "
        "serviceTemplate.createServiceAccount, serviceAccountName and serviceAccountAnnotations are all set.",
        explained_by=("VllmImagePullable/InferenceServiceAccountMissing",),
    )
    PRIORITY_CLASS_MISSING = Reason(
        "PriorityClassMissing",
        Status.FAIL,
        "No pod can be created: its PriorityClass does not exist. Pods name model-engine-*-priority whatever the "
        "release is called.",
        message="no pod can be created: PriorityClass {name} does not exist",
        remedy="Create PriorityClass {name}, or remove fullnameOverride and serviceIdentifier from the values, which "
        "rename the chart's own, and run helm upgrade.",
        explained_by=("ControlPlaneReady/ObjectMissing",),
    )
    QUOTA_EXCEEDED = Reason(
        "QuotaExceeded",
        Status.FAIL,
        "No pod can be created: a ResourceQuota of the namespace is used up, or requires requests that are not set.",
        message="no pod can be created: quota {name} forbids it ({detail})",
        remedy="Raise the quota (kubectl describe resourcequota -n {namespace}), or free what it counts.",
        defaults={"name": "of the namespace"},
    )
    LIMIT_RANGE = Reason(
        "LimitRangeViolated",
        Status.FAIL,
        "No pod can be created: its resources are outside of what a LimitRange of the namespace allows.",
        message="no pod can be created: a LimitRange forbids it ({detail})",
        remedy="Change the endpoint's resources, or the LimitRange (kubectl describe limitrange -n {namespace}).",
    )
    POD_SECURITY = Reason(
        "PodSecurityDenied",
        Status.FAIL,
        "No pod can be created: the namespace's Pod Security level forbids it.",
        message="no pod can be created: it violates {name} ({detail})",
        remedy="Relax the level: kubectl label namespace {namespace} --overwrite "
        "pod-security.kubernetes.io/enforce=baseline.",
        defaults={"detail": "no policy allows it"},
    )
    WEBHOOK_DENIED = Reason(
        "AdmissionDenied",
        Status.FAIL,
        "No pod can be created: an admission webhook or policy denies it.",
        message="no pod can be created: {name} denies it ({detail})",
        remedy="Change what the denial names, or ask the owner of the webhook or policy for an exception.",
        defaults=_DETAIL,
    )
    WEBHOOK_UNREACHABLE = Reason(
        "WebhookUnreachable",
        Status.FAIL,
        "No pod can be created: an admission webhook does not answer, and its failurePolicy is Fail.",
        message="no pod can be created: webhook {name} does not answer ({detail})",
        remedy="Fix the webhook's service (for Istio's injector: kubectl get pods -n istio-system -l app=istiod), or "
        "delete its webhook configuration.",
    )
    CREATION_FAILED = Reason(
        "PodCreationFailed",
        Status.FAIL,
        "No pod can be created, for another reason.",
        message="no pod can be created: {detail}",
        remedy="Fix what the message names; all Events: kubectl get events -n {namespace} --field-selector "
        "reason=FailedCreate.",
    )
    NO_PODS = Reason(
        "NoPodsCreated",
        Status.FAIL,
        "Replicas are requested but no pod exists and no Event explains it; the workload's controller is not acting.",
        message="{workload} requests {desired} and none exists ({detail})",
        remedy="Check that kube-controller-manager runs (for a LeaderWorkerSet: its controller), and that the "
        "Deployment is not paused (kubectl rollout resume -n {namespace}).",
        defaults={"detail": "no Event explains it"},
    )
    # Placing pods
    LABEL_UNMATCHED = Reason(
        "NodeLabelsUnmatched",
        Status.FAIL,
        "No node carries the labels that the pod selects: k8s.amazonaws.com/accelerator, and the values' nodeSelector.",
        message="no node matches the nodeSelector{labels} ({detail})",
        remedy="Label the nodes (kubectl label node NODE{labels}), or set nodeSelector to null in the values.",
        defaults={"labels": ""},
        explained_by=_PLACE,
    )
    TAINT_UNTOLERATED = Reason(
        "TaintUntolerated",
        Status.FAIL,
        "Nodes with the right labels carry a taint that the pod does not tolerate.",
        message="the nodes carry a taint that the pod does not tolerate ({detail})",
        remedy="If the taint reserves the nodes for endpoints, add its key to gpuTolerations and run helm upgrade. If "
        "it marks their state, fix that and remove it: kubectl taint nodes NODE KEY-.",
        explained_by=_PLACE,
    )
    NODE_STATE_TAINT = Reason(
        "NodeStateTaint",
        Status.FAIL,
        "All nodes that could take the pods have a taint that a controller sets while a node starts, is removed, or is "
        "unhealthy. Of nodes that just joined it is a warning.",
        message="0 of {nodes} can be used: {states}{joined}{demand}",
        remedy="Do not add {key} to gpuTolerations: {owner} sets it while a node is {state}. If it stays, find what "
        "sets it and why (kubectl describe node {node}).",
        defaults={"joined": "", "demand": ""},
    )
    NODES_TOO_SMALL = Reason(
        "NodesTooSmall",
        Status.FAIL,
        "No node is large enough for the pod, even when it is empty.",
        message="no node is large enough, even when empty ({detail})",
        remedy="Request less in the endpoint's resources, or add nodes with more {resources}.",
        defaults={"resources": "of what the message names"},
        explained_by=_PLACE,
    )
    GPU_INSUFFICIENT = Reason(
        "GpusInsufficient",
        Status.FAIL,
        "No node has enough nvidia.com/gpu left: all are in use, the device plugin is missing, or MIG is not single.",
        message="no node has enough free GPUs ({detail})",
        remedy="Add GPU nodes or free GPUs; where nodes advertise none, restart their device plugin. Check: kubectl "
        "describe nodes | grep -A9 Allocated.",
        explained_by=_PLACE,
    )
    RESOURCES_INSUFFICIENT = Reason(
        "ResourcesInsufficient",
        Status.FAIL,
        "No node has enough CPU, memory, storage or room for pods left.",
        message="no node has enough free {resources} ({detail})",
        remedy="Add nodes, free {resources}, or request less in the endpoint's resources.",
    )
    PORTS_IN_USE = Reason(
        "HostPortsInUse",
        Status.FAIL,
        "The pod asks for a port of the node, and on each node another pod has it.",
        message="no node has the pod's hostPort free ({detail})",
        remedy="Remove hostPort from the pod, or add nodes.",
    )
    NODES_UNUSABLE = Reason(
        "NodesUnusable",
        Status.FAIL,
        "The nodes that fit are cordoned, not ready or unreachable.",
        message="the nodes that fit are cordoned or not ready ({detail})",
        remedy="Uncordon them (kubectl uncordon NODE); where kubectl get nodes says NotReady, check the kubelet and "
        "the container runtime of the node.",
        explained_by=_PLACE,
    )
    VOLUME_UNBOUND = Reason(
        "VolumeUnbound",
        Status.FAIL,
        "The pod waits for a PersistentVolumeClaim that does not exist, is not bound, or is bound in another zone.",
        message="its PersistentVolumeClaim cannot be used ({detail})",
        remedy="Create the claim, or fix its StorageClass and zone: kubectl describe pvc -n {namespace}.",
    )
    UNSCHEDULABLE = Reason(
        "PodUnschedulable",
        Status.FAIL,
        "The scheduler finds no node, for another reason.",
        message="no node fits ({detail})",
        remedy=_EVENTS,
    )
    NOT_CONSIDERED = Reason(
        "NotScheduled",
        Status.FAIL,
        "The pod has no node and no scheduler Event explains why: no scheduler runs, or a scheduling gate holds it.",
        message="not scheduled, and {detail}",
        remedy="Check that kube-scheduler runs; where the pod has scheduling gates, check the controller that removes "
        "them.",
        defaults={"detail": "no scheduler event explains why"},
    )
    # The node
    NODE_LOST = Reason(
        "NodeLost",
        Status.FAIL,
        "The pod's node is not ready any more: its kubelet, its container runtime or its network is down.",
        message="node {node} is not ready{detail}",
        remedy="{fix}",
        defaults={"detail": "", "fix": _NODE_FIX.format(node="NODE")},
    )
    EVICTED = Reason(
        "PodEvicted",
        Status.FAIL,
        "The kubelet, a drain or a taint ended the pod, and no successor became ready.",
        message="evicted: {detail}",
        remedy="{fix}",
        defaults={
            "fix": "Raise the limit or request of what the kubelet's message names: ephemeral-storage, memory, the "
            "emptyDir's sizeLimit. For a drain or a taint, add nodes or uncordon: kubectl uncordon NODE."
        },
    )
    PREEMPTED = Reason(
        "PodPreempted",
        Status.FAIL,
        "A pod of higher priority took the pod's place.",
        message="preempted by a pod of higher priority",
        remedy="Add nodes, or give the endpoint high_priority.",
    )
    REJECTED = Reason(
        "PodRejectedByKubelet",
        Status.FAIL,
        "The scheduler placed pods on a node whose kubelet rejected them (UnexpectedAdmissionError, OutOfcpu, "
        "NodeAffinity and the like): the two count devices, resources or labels differently.",
        message="the kubelet of node {node} rejected {rejected} ({admission}): {detail}",
        remedy="{fix} Then delete the failed pods: kubectl delete pods -n {namespace} "
        "--field-selector=status.phase=Failed.",
        defaults={"fix": "Fix what the kubelet's message names."},
    )
    TERMINATION_STUCK = Reason(
        "TerminationStuck",
        Status.FAIL,
        "Pods are terminating for longer than their grace period, and hold what their successors need.",
        message="terminating {since}, past its grace period",
        remedy="Check the pod's finalizers and the kubelet of node {node}; if the node is gone: kubectl delete pod "
        "{pod} -n {namespace} --force.",
    )
    # On the node
    RUNTIME_HANDLER_MISSING = Reason(
        "RuntimeHandlerMissing",
        Status.FAIL,
        "The pod's RuntimeClass names a handler that the container runtime of the node does not have.",
        message="the container runtime of node {node} has no handler {handler}",
        remedy="Configure handler {handler} in the container runtime of the node (for nvidia: nvidia-ctk runtime "
        "configure --runtime=containerd, then restart containerd), or remove runtimeClassName from the pod.",
    )
    RUNTIME_DOWN = Reason(
        "ContainerRuntimeDown",
        Status.FAIL,
        "The kubelet cannot reach the container runtime of its node.",
        message="the container runtime of node {node} does not answer ({detail})",
        remedy="Restart the container runtime on node {node} (systemctl restart containerd) and read its log.",
    )
    RUNTIME_STUCK = Reason(
        "ContainerRuntimeStuck",
        Status.FAIL,
        "The container runtime of the node does not finish in time what the kubelet asks for: its disk is overloaded, "
        "a volume or the network plugin hangs, or it still holds an earlier attempt.",
        message="the container runtime of node {node} does not finish in time ({detail})",
        remedy="Check the load and the disk of node {node}; where it does not end within 10 minutes, restart the "
        "container runtime there (systemctl restart containerd) and read its log.",
    )
    SANDBOX_FAILED = Reason(
        "PodSandboxFailed",
        Status.FAIL,
        "The node cannot set up the pod's sandbox or network: no free address, or the network plugin fails.",
        message="its sandbox cannot be created on node {node}: {detail}",
        remedy="Check the network plugin's pods on node {node} and the free addresses of its subnet; where the message "
        "names something else of the node, fix that.",
    )
    VOLUME_SOURCE_MISSING = Reason(
        "VolumeSourceMissing",
        Status.FAIL,
        "A ConfigMap or Secret that the pod mounts does not exist in its namespace, or lacks a key.",
        message="{volume} cannot be mounted: {object} does not exist",
        remedy="Create {object} in namespace {namespace}. Those of the chart are created by helm upgrade: the service "
        "ConfigMap, and that of aws.configMap where aws.configMap.namespaces lists the namespace.",
    )
    MOUNT_FAILED = Reason(
        "VolumeMountFailed",
        Status.FAIL,
        "A volume cannot be attached or mounted.",
        message="{volume} cannot be mounted: {detail}",
        remedy="Check the volume's storage driver on node {node}, its server or path, and which other node holds it "
        "(kubectl get volumeattachments).",
    )
    IMAGE_NAME_INVALID = Reason(
        "ImageNameInvalid",
        Status.FAIL,
        "The container image reference is invalid.",
        message="{image} is not a valid image reference",
        remedy="Set the repository and the tag in the values: an unset repository leaves a name that begins with a "
        "colon, and names must be in lower case.",
        explained_by=_IMAGE,
    )
    IMAGE_NOT_FOUND = Reason(
        "ImageNotFound",
        Status.FAIL,
        "The registry has no such repository or tag.",
        message="the registry has no image {image}",
        remedy="Push or mirror the image, or correct repository and tag; a repository without dots and colons gets "
        "config.values.infra.docker_repo_prefix in front.",
        explained_by=_IMAGE,
    )
    TAG_MISSING = RegistryReasons.TAG_MISSING
    REPOSITORY_MISSING = RegistryReasons.REPOSITORY_MISSING
    NODES_CANNOT_PULL = RegistryReasons.NODES_CANNOT_PULL
    IMAGE_NEVER_PULLED = Reason(
        "ImagePullPolicyNever",
        Status.FAIL,
        "The container has imagePullPolicy Never, and its node does not have the image.",
        message="node {node} does not have image {image}, and imagePullPolicy Never forbids to pull it",
        remedy="Set imagePullPolicy: IfNotPresent, or load the image onto the nodes.",
    )
    PULL_SECRET_MISSING = RegistryReasons.PULL_SECRET_MISSING
    PULL_SECRET_MALFORMED = RegistryReasons.PULL_SECRET_MALFORMED
    PULL_SECRET_IGNORED = RegistryReasons.PULL_SECRET_IGNORED
    PULL_SECRET_EMPTY = RegistryReasons.PULL_SECRET_EMPTY
    PULL_TOKEN_EXPIRED = RegistryReasons.PULL_TOKEN_EXPIRED
    PULL_CREDENTIALS_REJECTED = RegistryReasons.PULL_CREDENTIALS_REJECTED
    NO_PULL_CREDENTIALS = RegistryReasons.NO_PULL_CREDENTIALS
    PULL_DENIED = RegistryReasons.PULL_DENIED
    IMAGE_DENIED = Reason(
        "ImageAccessDenied",
        Status.FAIL,
        "The registry does not let the node pull the image (or does not say that it does not exist).",
        message="the registry denies the node {image} ({detail})",
        remedy="Grant the node's role, or the pod's ServiceAccount through imagePullSecrets, the right to pull from "
        "{host}; check that the repository exists.",
        explained_by=_IMAGE,
    )
    REGISTRY_ERROR = RegistryReasons.SERVER_ERROR
    LAYER_STORE_ERROR = RegistryReasons.LAYER_STORE_ERROR
    SCHEMA_1 = RegistryReasons.SCHEMA_1
    REGISTRY_LIMITED = RegistryReasons.RATE_LIMITED
    BLOBS_MISSING = RegistryReasons.BLOBS_MISSING
    IMAGE_PLATFORM_MISSING = RegistryReasons.IMAGE_PLATFORM_MISSING
    IMAGE_NO_SPACE = Reason(
        "NodeDiskFull",
        Status.FAIL,
        "The node has no room for the image.",
        message="node {node} has no disk space for {image}",
        remedy="Give the nodes larger disks, or delete what fills them; check: kubectl describe node {node}.",
    )
    IMAGE_PULL_FAILED = Reason(
        "ImagePullFailed",
        Status.FAIL,
        "The image cannot be pulled, for another reason.",
        message="image {image} cannot be pulled: {detail}",
        remedy="Fix the pull error that the node reports (kubectl describe pod {pod} -n {namespace}); the check "
        "VllmImagePullable asks the registry itself.",
        defaults=_DETAIL,
        explained_by=_IMAGE,
    )
    IMAGE_PULL_SLOW = Reason(
        "ImagePullSlow",
        Status.FAIL,
        "The image is still being pulled.",
        message="{image} is being pulled {since}",
        remedy="Wait, or keep the image on the nodes (imageCache); check the registry's throughput.",
    )
    CONFIGURATION_MISSING = Reason(
        "ContainerConfigMissing",
        Status.FAIL,
        "A container cannot be created: a Secret, ConfigMap or key of its environment does not exist.",
        message="container {container} cannot be created: {object} does not exist",
        remedy="Create {object} in namespace {namespace}, or correct the reference in the pod's environment.",
    )
    USER_REFUSED = Reason(
        "RunAsRootForbidden",
        Status.FAIL,
        "A container cannot be created: runAsNonRoot is set, and its image runs as root or names its user.",
        message="container {container} cannot be created: {detail}",
        remedy="Set runAsUser to a numeric user other than 0, or remove runAsNonRoot from the security context.",
    )
    POST_START_FAILED = Reason(
        "PostStartHookFailed",
        Status.FAIL,
        "The container starts and is killed because its postStart hook fails.",
        message="the postStart hook of container {container} fails ({detail})",
        remedy="Fix the command of the container's lifecycle.postStart: it must be in the image and exit with 0. Log: "
        + _LOG
        + " --previous.",
        defaults=_DETAIL,
    )
    GPU_NOT_GIVEN = Reason(
        "GpuRuntimeFailed",
        Status.FAIL,
        "The NVIDIA container runtime cannot give the container its GPU: driver, library or device is missing.",
        message="container {container} cannot be started with its GPU: {detail}",
        remedy="Check the NVIDIA driver and container toolkit of node {node} (nvidia-smi on the node), and that the "
        "image's CUDA version is one the driver supports.",
        explained_by=_PLACE,
    )
    START_FAILED = Reason(
        "ContainerStartFailed",
        Status.FAIL,
        "The runtime cannot start the container: its command does not exist in the image or is not executable, or its "
        "working directory, a mount or a security setting is wrong.",
        message="container {container} cannot be started: {detail}",
        remedy="Correct the command, working directory, mount or security setting that the message names, or use an "
        "image that has it.",
        defaults=_DETAIL,
    )
    OUT_OF_MEMORY = Reason(
        "OutOfMemory",
        Status.FAIL,
        "A container is killed again and again because it uses more memory than its limit.",
        message="container {container} is killed because it exceeds its memory limit{limit}",
        remedy="Raise the memory of the endpoint or component, or load less: a smaller model, a shorter context, "
        "quantization.",
        defaults={"limit": ""},
    )
    KILLED_BY_PROBE = Reason(
        "KilledByProbe",
        Status.FAIL,
        "The kubelet restarts the container because its liveness or startup probe fails; it may need longer to load.",
        message="container {container} is restarted because its {probe} probe fails",
        remedy="Give the {probe} probe more time (failureThreshold), or fix the route it asks. Log: "
        + _LOG
        + " --previous.",
    )
    CRASHING = Reason(
        "ContainerCrashing",
        Status.FAIL,
        "A container keeps exiting.",
        message="container {container} keeps exiting{detail}",
        remedy="Read why: " + _LOG + " --previous.",
        defaults={"detail": ""},
    )
    INIT_RUNNING = Reason(
        "InitContainerRunning",
        Status.FAIL,
        "An init container runs and does not end, so the pod's other containers are not started.",
        message="init container {container} runs {since} and does not end",
        remedy="Read what it waits for: " + _LOG + ".",
    )
    PROBE_COMMAND_MISSING = Reason(
        "ProbeCommandMissing",
        Status.FAIL,
        "The command of the container's readiness probe cannot be executed in its image.",
        message="the readiness probe of container {container} cannot execute {command} ({detail})",
        remedy="Set a readiness probe whose command the image has (for the builder: endpointBuilder.readinessProbe).",
    )
    HEALTH_FAILING = Reason(
        "ReadinessFailing",
        Status.FAIL,
        "The container runs and its readiness probe fails: the model still loads, or the health route is wrong.",
        message="container {container} runs {since} and is not ready ({detail})",
        remedy="Read its log ("
        + _LOG
        + "); check that it listens on the port and the route that the probe asks.",
        defaults={"detail": "no probe Event explains it"},
    )
    FORWARDER_NOT_READY = Reason(
        "ForwarderNotReady",
        Status.FAIL,
        "The forwarder beside the main container is not ready: it does not reach its broker, or the main container.",
        message="container {container} is not ready ({detail})",
        remedy="Read its log ("
        + _LOG
        + "); an async forwarder needs celeryBrokerType redis, sqs or servicebus.",
        defaults={"detail": "no probe Event explains it"},
        explained_by=(
            "BrokerReachable/UnknownBrokerType",
            "BrokerReachable/WorkerBrokerMismatch",
            "BrokerReachable/servicebus",
            "RedisReachable/broker",
        ),
    )
    SIDECAR_NOT_READY = Reason(
        "SidecarNotReady",
        Status.FAIL,
        "Istio's sidecar is not ready, and so the pod is not.",
        message="container {container} is not ready ({detail})",
        remedy="Check that istiod runs (kubectl get pods -n istio-system -l app=istiod), and the sidecar's log: "
        + _LOG
        + ".",
        defaults={"detail": "no probe Event explains it"},
    )
    GATE_UNMET = Reason(
        "ReadinessGateUnmet",
        Status.FAIL,
        "All containers are ready, and a readiness gate of the pod is not met.",
        message="readiness gate {gate} is not met",
        remedy="Check the controller that sets condition {gate} of the pod (for a load balancer: its target group).",
    )
    DEADLINE_EXCEEDED = Reason(
        "DeadlineExceeded",
        Status.FAIL,
        "The pod was ended because it ran for longer than its activeDeadlineSeconds.",
        message="ended because it ran longer than activeDeadlineSeconds",
        remedy="Raise or remove activeDeadlineSeconds; read what took so long: " + _LOG + ".",
    )
    POD_NOT_READY = Reason(
        "PodNotReady",
        Status.FAIL,
        "The pod is not ready, and neither its status nor an Event says why.",
        message="{phase} and not ready ({detail})",
        remedy="Check kubectl describe pod {pod} -n {namespace}, and the kubelet's log on node {node}.",
        defaults={"detail": "no Event explains it"},
    )


R = WorkloadReasons

_NETWORK: Final = tuple(NetworkReasons.all())
_OWN: Final = tuple(reason for reason in R.all() if reason not in _NETWORK)
_PULL: Final = _OWN.index(R.PULL_SECRET_MISSING)
ORDER: Final = (*_OWN[:_PULL], *_NETWORK, *_OWN[_PULL:])
"""All causes in the order of the making of a pod: a node meets the network where it pulls."""

IN_PROGRESS: Final = frozenset({R.IMAGE_PULL_SLOW, R.HEALTH_FAILING, R.INIT_RUNNING})
"""These end by themselves where images are large and models load for long: they have a grace period of their own."""

OF_THE_OWNER: Final = frozenset(
    {
        R.LIMIT_RANGE,
        R.WEBHOOK_DENIED,
        R.NODES_TOO_SMALL,
        R.PORTS_IN_USE,
        R.IMAGE_NAME_INVALID,
        R.IMAGE_NOT_FOUND,
        R.TAG_MISSING,
        R.REPOSITORY_MISSING,
        R.IMAGE_NEVER_PULLED,
        R.IMAGE_PULL_SLOW,
        R.CONFIGURATION_MISSING,
        R.USER_REFUSED,
        R.POST_START_FAILED,
        R.START_FAILED,
        R.OUT_OF_MEMORY,
        R.KILLED_BY_PROBE,
        R.CRASHING,
        R.INIT_RUNNING,
        R.PROBE_COMMAND_MISSING,
        R.HEALTH_FAILING,
        R.DEADLINE_EXCEEDED,
    }
)
"""These lie with whoever wrote the bundle or chose its resources, not with the platform."""

_CERTS: Final = "/etc/containerd/certs.d/{host}/hosts.toml"
PULL: Final = "node {node} cannot pull {image}: "
ON_NODE: Final = "node {node}: "
PLATFORM: Final = "the node's architecture"
OF_PROXY: Final = "HTTPS_PROXY of the node's container runtime"
OF_POD: Final = "the pod's image"
"""What names a repository and a tag to a node."""
PULL_WORDS: Final[Mapping[str, str]] = {
    "source": "the image's name",
    "dns": "the DNS servers of the node (its /etc/resolv.conf)",
    "time": "30 s",
    "trust": f"Install the registry's certificate authority on the nodes (containerd: {_CERTS}).",
    "disable_tls": f"Enable TLS on the registry, or allow plain HTTP on the nodes (containerd: {_CERTS}).",
    "enable_tls": f"Remove plain HTTP for this registry from the nodes (containerd: {_CERTS}).",
    "missing": "layers",
}
"""What the families' reasons are told about a node that pulls; containerd dials for 30 s."""
EXPLAINED_BY_IMAGE: Final = _IMAGE
EXPLAINED_BY_NODES: Final = _PLACE

COMMAND: Final = "command {command} cannot be executed ({why})"
"""What is said of a container whose command is at fault."""

EVICTION_FIXES: Final = (
    (
        r"EmptyDir volume \"?(?P<volume>[\w.-]+)\"? exceeds the limit",
        "Raise sizeLimit of emptyDir volume {volume} in the pod's template, or write less to it.",
    ),
    (
        r"exceed\w* .*(?:total limit of containers|ephemeral storage limit)",
        "Raise the pod's ephemeral-storage limit (of an endpoint: its storage), or write less to its disk.",
    ),
    (
        r"low on resource: (?:ephemeral-storage|inodes)|\bDiskPressure\b",
        "Give node {node} a larger disk, or delete what fills it (kubectl describe node {node}); request the "
        "ephemeral-storage that the pod uses (of an endpoint: its storage).",
    ),
    (
        r"low on resource: memory|\bMemoryPressure\b",
        "Add nodes with more memory than {node}, or raise the memory request of the pods that use more than they "
        "request: kubectl top pods -A --sort-by=memory.",
    ),
    (
        r"low on resource: pids|\bPIDPressure\b",
        "Find what starts so many processes on node {node}, or raise the kubelet's podPidsLimit.",
    ),
    (
        r"shut ?down|Node is shutting",
        _RESTARTING_FIX,
    ),
    (
        r"[Tt]aint",
        "Remove the NoExecute taint if it is not meant for these pods (kubectl describe node {node}), or add nodes.",
    ),
    (
        r"[Ee]viction API|drain",
        "Wait for the drain to end, or add nodes; uncordon afterwards: kubectl uncordon {node}.",
    ),
)
"""What to do, by what the message of an eviction says. Sources: kubelet's ``eviction/helpers.go`` and
``eviction_manager.go``, the taint eviction controller, the eviction API, ``nodeshutdown``."""

NODE_FIXES: Final[Mapping[Unready, str]] = {
    Unready.KUBELET: "Check that the machine of node {node} runs, and restart its kubelet (systemctl restart kubelet); "
    "if the machine is gone: kubectl delete node {node}.",
    Unready.RUNTIME: "Restart the container runtime on node {node} (systemctl restart containerd) and read its log.",
    Unready.NETWORK: "Check the network plugin's pod on node {node} (kubectl get pods -n kube-system -o wide "
    "--field-selector spec.nodeName={node}): it writes the CNI configuration, and there is none.",
    Unready.SHUTDOWN: _RESTARTING_FIX,
    Unready.OTHER: _NODE_FIX,
}
"""What to do where a node is not ready, by what keeps it."""

KUBELET_FIXES: Final = (
    (r"no space left on device", "Free disk space on node {node}."),
    (
        r"GPU is lost",
        "Drain node {node} and restart it; where the GPU stays lost, replace it.",
    ),
    (
        r"NodeShutdown: .*shutting down",
        _RESTARTING_FIX,
    ),
    ("UnexpectedAdmissionError", "Restart the device plugin of node {node}, or its kubelet."),
    (
        "OutOf",
        "Free the resource on node {node}, or restart its kubelet, which counts other pods than the scheduler.",
    ),
    ("NodeAffinity", "Restore the labels of node {node} that the pod selects, or restart its kubelet."),
    (
        "TopologyAffinityError",
        "Request whole CPUs of one NUMA node, or relax the kubelet's topologyManagerPolicy.",
    ),
    ("NodeShutdown", "Wait until node {node} has restarted, or delete the node."),
    ("NodePorts", "Remove hostPort from the pod."),
)
"""What to do, by what the kubelet's reason and message say of a rejection."""
