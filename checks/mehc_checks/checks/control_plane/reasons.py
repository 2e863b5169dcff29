"""What keeps the control plane from being up. Why a component's pods are not ready is a cause of
``mehc_checks.workload.reasons``, which the message names."""

from collections.abc import Mapping
from typing import Final

from mehc_checks.core.outcome import Reason, ReasonSet, Status

UNPLACED: Final = "GpuNodesReady/NodeSelectorUnmatched"
_NO_START: Final = (
    UNPLACED,
    "DatabaseMigrated/SecretNotFound",
    "DatabaseMigrated/SecretKeyNotFound",
    "DatabaseMigrated/SecretKeyIsUppercase",
    "DatabaseMigrated/DatabaseURLUnparsable",
    "DatabaseMigrated/PoolSizeUnusable",
    "RedisReachable/cache/NoRedisConfigured",
    "RedisReachable/cache/RedisSourceOfAnotherCloud",
)
"""With these no process of the platform starts, or its pod is not even placed."""
_NO_LOOP: Final = (*_NO_START, "DatabaseMigrated", "RedisReachable/cache")
"""The cacher ends when its first loop fails. Gateway and builder of chart 0.2.7 start without their database and return
500 later; where one crashes beside a database or a cache that fails, that is no second thing to look for."""
_PODS: Final = "{ready} of {desired} ready ({cause})"
_LOOK: Final = "Check kubectl describe pods -n {namespace} -l app={name}."


class ControlPlaneReasons(ReasonSet):
    """Reasons of ControlPlaneReady. Every call has the words ``role``, ``kind``, ``name`` and ``namespace``."""

    READY = Reason(
        "ControlPlaneReady",
        Status.PASS,
        "Every component has its pods, and all that they need.",
        message="{counts}",
    )
    COMPONENT_MISSING = Reason(
        "ComponentMissing",
        Status.FAIL,
        "A Deployment or StatefulSet of the control plane does not exist.",
        message="{role}: {kind} {name} does not exist in namespace {namespace}",
        remedy="Run helm upgrade, which creates it; if the release failed, fix what ConfigValid reports first.",
    )
    GATEWAY = Reason(
        "GatewayNotReady",
        Status.FAIL,
        "The gateway lacks pods: requests fail or wait. The message names the cause.",
        message="gateway: " + _PODS,
        remedy="{fix}",
        defaults={"fix": "Fix the cause that the message names (see mehc explain's table of causes)."},
        explained_by=_NO_LOOP,
    )
    CACHER = Reason(
        "CacherNotReady",
        Status.FAIL,
        "The cacher is down: the state of endpoints is read from Kubernetes at each request, and images are not kept "
        "on nodes. The message names the cause.",
        message="cacher: " + _PODS,
        remedy="{fix}",
        defaults={"fix": "Fix the cause that the message names (see mehc explain's table of causes)."},
        explained_by=_NO_LOOP,
    )
    BUILDER = Reason(
        "BuilderNotReady",
        Status.FAIL,
        "The builder is down: endpoints stay UPDATE_PENDING. The message names the cause.",
        message="builder: " + _PODS,
        remedy="{fix}",
        defaults={"fix": "Fix the cause that the message names (see mehc explain's table of causes)."},
        explained_by=_NO_LOOP,
    )
    AUTOSCALER = Reason(
        "AutoscalerNotReady",
        Status.FAIL,
        "The Celery autoscaler lacks shards: async endpoints of a missing shard keep their number of pods. The message "
        "names the cause.",
        message="autoscaler: " + _PODS,
        remedy="{fix}",
        defaults={"fix": "Fix the cause that the message names (see mehc explain's table of causes)."},
    )
    AUTOSCALER_LEFT_OVER = Reason(
        "AutoscalerLeftOver",
        Status.WARN,
        "A Celery autoscaler of an earlier celeryBrokerType still runs: nothing deleted it when the value changed.",
        message="StatefulSet {name} is left over: celeryBrokerType is {broker}",
        remedy="Delete it: kubectl delete statefulset {name} -n {namespace}; let what applies the manifests prune.",
    )
    SCALED_DOWN = Reason(
        "ScaledDown",
        Status.FAIL,
        "A component requests no pods. Without the cacher this is a warning: the platform reads each state from "
        "Kubernetes instead, and keeps no images on nodes.",
        message="{role}: {kind} {name} requests 0 pods",
        remedy="Scale it up: kubectl scale {kind} {name} -n {namespace} --replicas=1, and correct replicaCount in the "
        "values.",
    )
    RESTARTING = Reason(
        "Restarting",
        Status.WARN,
        "A component is up, but one of its containers was restarted several times, the last time within the hour.",
        message="{role}: a container was restarted {restarts} times, last by {ended}",
        remedy="Read why it ended: kubectl logs -n {namespace} {kind}/{name} --previous.",
        defaults={"ended": "an exit without a reason"},
    )
    ROLLOUT_STUCK = Reason(
        "RolloutStuck",
        Status.FAIL,
        "A rollout is stuck: pods of the old revision still serve, with the old image or configuration.",
        message="{role}: {outdated} of the old revision, {why} ({cause})",
        remedy="{fix}",
        defaults={"fix": "Fix the cause that the message names (see mehc explain's table of causes)."},
        explained_by=_NO_LOOP,
    )
    ROLLOUT_PAUSED = Reason(
        "RolloutPaused",
        Status.WARN,
        "A Deployment is paused, and its pods are of an older revision: what the last upgrade changed is not running.",
        message="{role}: {outdated} of the old revision, Deployment {name} is paused",
        remedy="Run kubectl rollout resume deployment/{name} -n {namespace}.",
    )
    TAGS_DIFFER = Reason(
        "TagsDiffer",
        Status.WARN,
        "Components run different versions of the platform, which share a database and queues.",
        message="{running}",
        remedy="Set one tag in the values and run helm upgrade.",
    )
    IMAGE_DRIFT = Reason(
        "ImageDrift",
        Status.WARN,
        "Components run another image than the Helm release names: it was changed outside of Helm, so the migrations "
        "of its version never ran. It fails where such a component is not ready, or the gateway returns errors.",
        message="{running}; the release has {released}: changed outside of Helm",
        remedy="Roll back to the release's images: helm rollback {release} {revision} -n {namespace}; or set the tag "
        "in the values and run helm upgrade, which runs the migrations.",
    )
    STALE_ENVIRONMENT = Reason(
        "EnvironmentOutdated",
        Status.WARN,
        "A Secret or ConfigMap changed after pods read it into their environment: they still use the old value, such "
        "as a password that was rotated. It fails where the gateway returns errors, and the database does not explain "
        "them.",
        message="{role}: {object} changed {when}, after pods of {name} had read it",
        remedy="Restart them: kubectl rollout restart {kind}/{name} -n {namespace}.",
    )
    OBJECT_MISSING = Reason(
        "ObjectMissing",
        Status.FAIL,
        "An object is missing without which pods are not created, or creating endpoints ends in an error.",
        message="missing: {objects}",
        remedy="Run helm upgrade, which creates it. With a fullname other than model-engine, create ConfigMaps and "
        "PriorityClasses of the name model-engine-… yourself: the platform looks for these.",
    )
    MIGRATION_FAILED = Reason(
        "MigrationJobFailed",
        Status.FAIL,
        "The Job of the last install or upgrade that migrates or sets up the database failed.",
        message="Job {name} failed ({cause})",
        remedy="Read kubectl logs -n {namespace} job/{name} --all-containers, fix what it says (see DatabaseMigrated), "
        "delete the Job (kubectl delete job {name} -n {namespace}) and run helm upgrade.",
        explained_by=("DatabaseMigrated",),
    )
    MIGRATION_OPEN = Reason(
        "MigrationJobUnfinished",
        Status.WARN,
        "A Job that migrates or sets up the database has neither succeeded nor failed: the schema may be behind. The "
        "message names what keeps its pod.",
        message="Job {name} began {began} and has not ended ({cause})",
        remedy="{fix}",
        defaults={
            "fix": "Fix the cause that the message names; delete the Job before the next helm upgrade if an aborted "
            "one left it.",
            "cause": "its pod runs",
        },
    )
    MIGRATION_HELD = Reason(
        "JobHeldBySidecar",
        Status.WARN,
        "The work of a Job is done, but a sidecar keeps its pod running, so the Job does not complete and helm waits.",
        message="Job {name}: container {container} has completed, but sidecar {sidecar} keeps pod {pod} running",
        remedy='Annotate the Job\'s pod template with sidecar.istio.io/inject: "false". To release it now: kubectl '
        "exec {pod} -n {namespace} -c {sidecar} -- pilot-agent request POST quitquitquit.",
    )
    GATEWAY_FAILS = Reason(
        "GatewayError",
        Status.FAIL,
        "The gateway's pods are ready, but it answers an authenticated request with an error of its own: its readiness "
        "does not look at the database.",
        message="gateway: {answer}",
        remedy="Read kubectl logs -n {namespace} deployment/{name}; fix what DatabaseMigrated and RedisReachable "
        "report first.",
        explained_by=("DatabaseMigrated",),
    )
    GATEWAY_SILENT = Reason(
        "GatewayUnreachable",
        Status.FAIL,
        "The gateway's pods are ready, but its Service does not answer: the Service selects other pods or another "
        "port, or the gateway waits for connections to its database.",
        message="gateway: {answer}",
        remedy="Compare kubectl describe -n {namespace} service/{name} with the pods' labels and port 5000, and search "
        "the gateway's log for QueuePool. If gatewayUrl is set, check that it leads to the gateway.",
        explained_by=tuple(
            f"DatabaseMigrated/{reason}"
            for reason in ("ConnectionTimeout", "TooManyConnections", "PoolerTimeout", "TableLocked")
        ),
    )
    GATEWAY_SHADOWED = Reason(
        "GatewayBehindProxy",
        Status.WARN,
        "The gateway's pods are ready, but a proxy in front of it does not reach it.",
        message="gateway: {answer}",
        remedy="Check the mesh (kubectl get virtualservices,destinationrules,peerauthentications -n {namespace}) and "
        "the log of the sidecar: kubectl logs -n {namespace} deployment/{name} -c istio-proxy.",
    )
    MULTI_NODE = Reason(
        "LeaderWorkerSetMissing",
        Status.FAIL,
        "Recommended hardware spreads workers over nodes, but the cluster has no LeaderWorkerSet CRD: creating such an "
        "endpoint ends in UPDATE_FAILED.",
        message="recommendedHardware {tier} spreads a worker over nodes, but the LeaderWorkerSet CRD is not installed",
        remedy="Install LeaderWorkerSet (leaderworkerset.x-k8s.io/v1), or recommend hardware with nodes_per_worker: 1.",
    )
    GATEWAY_NOT_SCALED = Reason(
        "GatewayNotScaled",
        Status.WARN,
        "The gateway's HorizontalPodAutoscaler cannot scale it, so the number of gateways stays.",
        message="gateway: its HorizontalPodAutoscaler reports {why}",
        remedy="{fix}",
        defaults={
            "fix": "Fix what kubectl describe hpa reports, or set autoscaling.horizontal.enabled to false."
        },
    )
    CACHER_STALE = Reason(
        "CacherStale",
        Status.FAIL,
        "The cacher's pod is ready, but does not renew its keys: its readiness says only that its first loop ended.",
        message="cacher: of {endpoints}, no key was renewed within the last {seconds} s",
        remedy="Read its log (kubectl logs -n {namespace} deployment/{name}) and restart it: kubectl rollout restart "
        "deployment/{name} -n {namespace}. A cache that rejects writes is reported by RedisReachable.",
        explained_by=("DatabaseMigrated", "RedisReachable/cache"),
    )
    CACHER_NOT_JUDGED = Reason(
        "CacherNotJudged",
        Status.ERROR,
        "Whether the cacher does its work could not be told, because the cache did not answer.",
        message="cacher: its keys could not be read, because the cache did not answer",
        remedy="Fix what RedisReachable reports about the cache.",
    )


R = ControlPlaneReasons

NO_CAUSE: Final = "no cause is stated"
LOOK: Final = _LOOK
"""What is said of pods that are not ready where nothing says why."""

HPA_FIXES: Final[Mapping[str, str]] = {
    "FailedGetPodsMetric": "Install a metrics adapter that serves request-concurrency-average, or set "
    "autoscaling.horizontal.enabled to false (rule S4-02).",
    "FailedGetResourceMetric": "Install or fix metrics-server, and set CPU and memory requests of the gateway.",
    "ScalingDisabled": "Scale it up: kubectl scale deployment {name} -n {namespace} --replicas=1. A "
    "HorizontalPodAutoscaler does nothing for a Deployment of 0 replicas.",
    "AmbiguousSelector": "Delete all but one of the HorizontalPodAutoscalers that select these pods: kubectl get hpa "
    "-n {namespace}.",
    "FailedGetScale": "Correct spec.scaleTargetRef: kubectl get hpa {name} -n {namespace} -o yaml.",
    "InvalidMetricSourceType": "Correct the metrics of the HorizontalPodAutoscaler, each of which needs the block of "
    "its type: kubectl get hpa {name} -n {namespace} -o yaml.",
}
"""What to do, by the reason of the HorizontalPodAutoscaler's condition."""
HPA_FIX: Final = "Fix what kubectl describe hpa {name} -n {namespace} reports."

ANSWERS: Final[Mapping[str, str]] = {
    "listed": "{where} answered an authenticated request",
    "error": "{where} returned 500 to an authenticated request that lists endpoints",
    "proxy": "{where} returned {status}: sent by a proxy in front of the gateway, not by the gateway",
    "stranger": "{where} returned {status}: it requires a user that it knows",
    "redirect": "{where} returned {status}, a redirect, which the gateway never sends",
    "other": "{where} returned {status} without a list of endpoints: another program, or busy",
    "silent": "{where} accepted the connection and did not answer within {seconds} s",
    "outside": "not asked from outside the cluster",
    "unseen": "not testable from outside the cluster: {problem}",
    "withheld": "{where} gave no usable answer, and no live workload names it: details are withheld",
    "no service": "not asked: it has no Service",
}
"""What the gateway answered, in one line."""
