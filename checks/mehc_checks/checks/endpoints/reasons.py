"""What keeps an endpoint from being ready: the causes of its workload, and those of its making and its scaling."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from mehc_checks.core.outcome import Reason, Status
from mehc_checks.workload.reasons import ORDER as OF_WORKLOADS
from mehc_checks.workload.reasons import WorkloadReasons

SPREAD: Final = "ControlPlaneReady/LeaderWorkerSetMissing"
"""Explains an update that failed without a reason, or by one that names the kind."""
_KEDA: Final = "PrometheusQueryable/KedaNotInstalled"
_ASLEEP: Final = (
    _KEDA,
    *(
        f"PrometheusQueryable/{name}"
        for name in (
            "PrometheusAddressUnset",
            "PrometheusAddressEmpty",
            "PrometheusAddressInvalid",
            "KedaOperatorNotReady",
            "ScaledObjectNotReady",
            "ScaledObjectFallback",
            "StaleServerAddress",
            "TriggerAuthenticationMissing",
        )
    ),
    "RedisReachable/cache",
    "RedisReachable/keda",
)
"""With these, nothing wakes an endpoint: KEDA does not act, or does not see the demand that is left in Redis."""


class EndpointReasons(WorkloadReasons):
    """Reasons of EndpointsReady, and the causes in ``status.endpoints``."""

    READY = Reason(
        "EndpointsReady",
        Status.PASS,
        "Every endpoint has the ready pods that it requests.",
        message="{counts}",
        defaults={"counts": "there are no endpoints"},
    )
    # The platform's record and the builder
    TASK_NOT_TAKEN = Reason(
        "BuildTaskNotPickedUp",
        Status.FAIL,
        "The record stays UPDATE_PENDING: no builder worker picked up the task, so the builder is down or reads "
        "another broker.",
        message="build task pending {since}; no builder worker picked it up",
        remedy="Align the broker of gateway and builder (BrokerReachable) and check that the builder runs "
        "(ControlPlaneReady), then update the endpoint again.",
        explained_by=(
            "BrokerReachable/BuilderBrokerMismatch",
            "BrokerReachable/BuildQueueNotFound",
            "BrokerReachable/QueueRegionMismatch",
            "BrokerReachable/servicebus",
            "RedisReachable/broker",
            "ControlPlaneReady/builder",
            "DatabaseMigrated",
        ),
    )
    TASK_KILLED = Reason(
        "BuildTaskKilled",
        Status.FAIL,
        "The record is UPDATE_IN_PROGRESS for longer than the 30 minutes that a task is allowed: its worker was "
        "killed.",
        message="build task in progress {since}, longer than the 30m that a task is allowed",
        remedy="The task is not retried. Fix the builder (check its pods and log), then update the endpoint again.",
        explained_by=("ControlPlaneReady/builder", "DatabaseMigrated"),
    )
    UPDATE_FAILED = Reason(
        "EndpointUpdateFailed",
        Status.FAIL,
        "The builder gave up and recorded UPDATE_FAILED: a CRD is missing, or Kubernetes or the database rejected a "
        "request.",
        message="its update failed ({detail})",
        remedy="Search the builder's log for 'create_or_update_resources failed', fix what it names, and update the "
        "endpoint again.",
        defaults={"detail": "the record gives no reason"},
        explained_by=(
            "DatabaseMigrated",
            _KEDA,
            "ControlPlaneReady/ObjectMissing",
            SPREAD,
            "BrokerReachable/servicebus",
        ),
    )
    FAILED_WITH_PODS = Reason(
        "UpdateFailedWithPodsReady",
        Status.FAIL,
        "The pods are ready and the record is UPDATE_FAILED: a later step failed, usually because the Istio or KEDA "
        "CRDs are missing, so no request reaches the pods.",
        message="{ready} of {desired} pods are ready, but its update failed ({detail})",
        remedy="Install the missing CRDs, or set config.values.launch.istio_enabled to what the cluster has, then "
        "update the endpoint again.",
        defaults={"detail": "the record gives no reason"},
        explained_by=("DatabaseMigrated", _KEDA),
    )
    WORKLOAD_MISSING = Reason(
        "WorkloadMissing",
        Status.FAIL,
        "The record is READY, and there is no Deployment or LeaderWorkerSet: it was deleted.",
        message="recorded as READY, but it has no Deployment or LeaderWorkerSet",
        remedy="Update the endpoint again, or delete it through the gateway.",
    )
    # Scaling
    STUCK_AT_ZERO = Reason(
        "StuckAtZero",
        Status.FAIL,
        "The endpoint has no pods, and KEDA cannot or does not scale it up.",
        message="scaled to zero, and {detail}",
        remedy="Check kubectl describe scaledobject {name} -n {namespace}; KEDA's connections are judged by "
        "PrometheusQueryable and RedisReachable.",
        explained_by=_ASLEEP,
    )
    ZERO_WITHOUT_SCALER = Reason(
        "ZeroWithoutScaler",
        Status.FAIL,
        "The workload requests no pods, and nothing exists that would ever scale it up.",
        message="its {workload} requests 0 pods, and no ScaledObject exists to scale it up",
        remedy="Update the endpoint again, so that its ScaledObject is created, or scale it: kubectl scale deployment "
        "{name} -n {namespace} --replicas=1.",
    )
    # Neither ready nor broken
    PARTLY_READY = Reason(
        "PartlyReady",
        Status.WARN,
        "Some pods are ready and serve; others have not been for longer than the grace period.",
        message="some pods serve, others do not: {reason}: {cause}",
        remedy="{fix}",
        defaults={"fix": "Fix what keeps the other pods from being ready; the message names it."},
    )
    ORPHANED = Reason(
        "WorkloadWithoutRecord",
        Status.WARN,
        "A Deployment or LeaderWorkerSet exists that the platform's record does not know: it uses nodes, and no "
        "request reaches it.",
        message="{workload} {name} ({ready}) has no record",
        remedy="Delete it, unless another installation shares the namespace: kubectl delete {workload} {name} -n "
        "{namespace}.",
    )


R = EndpointReasons

ORDER: Final = (
    R.TASK_NOT_TAKEN,
    R.TASK_KILLED,
    R.UPDATE_FAILED,
    R.FAILED_WITH_PODS,
    R.WORKLOAD_MISSING,
    *OF_WORKLOADS,
    R.STUCK_AT_ZERO,
    R.ZERO_WITHOUT_SCALER,
    R.PARTLY_READY,
    R.ORPHANED,
)
"""The causes in the order of the making of an endpoint."""

ZERO: Final[Mapping[str, str]] = {
    "paused": "its ScaledObject is paused",
    "not ready": "its ScaledObject is not ready ({why})",
    "asleep": "{demand} waiting for scale-up; KEDA has not scaled it",
    "demand": ", with {demand} waiting",
    "no reason": "no reason given",
}
"""Why an endpoint that is scaled to zero does not come back, as ``STUCK_AT_ZERO`` says it."""


@dataclass(frozen=True, slots=True)
class Symptom:
    """What a person sees of an endpoint, the causes that it can have, and where to look."""

    seen: str
    causes: tuple[Reason, ...]
    look: str


def _between(first: Reason, last: Reason) -> tuple[Reason, ...]:
    return ORDER[ORDER.index(first) : ORDER.index(last) + 1]


SYMPTOMS: Final = (
    Symptom(
        "`UPDATE_PENDING` persists",
        (R.TASK_NOT_TAKEN,),
        "the broker of gateway and builder; the builder's pods",
    ),
    Symptom("`UPDATE_IN_PROGRESS` for more than 30 minutes", (R.TASK_KILLED,), "the builder's restarts"),
    Symptom("`UPDATE_FAILED`", (R.UPDATE_FAILED,), "the builder's log: `create_or_update_resources failed`"),
    Symptom("`UPDATE_FAILED`, and pods are ready", (R.FAILED_WITH_PODS,), "the CRDs of Istio and KEDA"),
    Symptom("`READY`, no Deployment", (R.WORKLOAD_MISSING,), "who deleted it"),
    Symptom("a Deployment, no record", (R.ORPHANED,), "whether another installation shares the namespace"),
    Symptom("`DELETE_IN_PROGRESS` persists", (R.DELETION_STUCK,), "finalizers of what is left"),
    Symptom(
        "`READY`, no pods",
        _between(R.SERVICE_ACCOUNT_MISSING, R.NO_PODS),
        "the ReplicaSet's `FailedCreate`",
    ),
    Symptom(
        "`READY`, Pending",
        _between(R.LABEL_UNMATCHED, R.NOT_CONSIDERED),
        "`FailedScheduling`; [GpuNodesReady](checks/GpuNodesReady.md)",
    ),
    Symptom(
        "pods end, and their successors wait or end too",
        _between(R.NODE_LOST, R.TERMINATION_STUCK),
        "`kubectl get pods`: Failed pods with their reason; the node",
    ),
    Symptom(
        "`READY`, ContainerCreating",
        (*_between(R.RUNTIME_HANDLER_MISSING, R.MOUNT_FAILED), R.IMAGE_PULL_SLOW),
        "`FailedMount`, `FailedCreatePodSandBox`; the ConfigMaps and Secrets of the namespace",
    ),
    Symptom(
        "`READY`, ErrImagePull or ImagePullBackOff",
        (
            *_between(R.IMAGE_NAME_INVALID, R.IMAGE_NEVER_PULLED),
            *_between(R.PULL_SECRET_MISSING, R.IMAGE_PULL_FAILED),
        ),
        "[VllmImagePullable](checks/VllmImagePullable.md)",
    ),
    Symptom(
        "the same, and the node does not reach the registry",
        _between(R.HOST_UNRESOLVABLE, R.TLS_HANDSHAKE_FAILED),
        "the path from the node to the registry; the runtime's `certs.d`",
    ),
    Symptom(
        "`READY`, a container does not start",
        _between(R.CONFIGURATION_MISSING, R.START_FAILED),
        "the Secret, the hook or the command that is named",
    ),
    Symptom(
        "`READY`, restarts, also where it is ready for a moment in between",
        _between(R.OUT_OF_MEMORY, R.CRASHING),
        "`kubectl logs --previous`",
    ),
    Symptom(
        "`READY`, runs and is not ready",
        _between(R.INIT_RUNNING, R.POD_NOT_READY),
        "the container's log",
    ),
    Symptom(
        "no pods, and requests get no answer",
        (R.STUCK_AT_ZERO, R.ZERO_WITHOUT_SCALER),
        "the ScaledObject; [PrometheusQueryable](checks/PrometheusQueryable.md)",
    ),
    Symptom("some pods serve, others do not", (R.PARTLY_READY,), "the cause that the message names"),
)
"""The table of ``docs/explain.md``."""
