"""ControlPlaneReady: gateway, builder, cacher and autoscaler are up, and have what they cannot do without."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Final

from mehc_checks.checks.control_plane.gateway import GatewayParameters, Proof
from mehc_checks.checks.control_plane.gather import (
    PERMISSIONS,
    Component,
    ControlPlaneFacts,
    control_plane_facts,
)
from mehc_checks.core.outcome import Finding, Outcome, Reason, ReasonSet, Severity, Status
from mehc_checks.core.text import counted, shortened
from mehc_checks.engine.check import check
from mehc_checks.workload.diagnose import Cause
from mehc_checks.workload.reasons import EndpointReasons

RESTARTING: Final = timedelta(hours=1)
"""A restart within this time still counts."""
_MANY_RESTARTS: Final = 3
UNFINISHED: Final = timedelta(minutes=5)
"""Age at which Helm has given up on a Job that works on the database, while Kubernetes goes on for five more minutes.
"""
STALE: Final = 30
"""Seconds to live below which nobody has renewed a key: the cacher sets 60 every 15. Source: ``k8s_cache.py``."""


class ControlPlaneReasons(ReasonSet):
    """Reasons of ControlPlaneReady."""

    READY = Reason("ControlPlaneReady", Status.PASS, "Every component has its pods, and all that they need.")
    COMPONENT_MISSING = Reason(
        "ComponentMissing",
        Status.FAIL,
        "A Deployment or StatefulSet of the control plane does not exist.",
        "Run helm upgrade, and see that the release is not failed (ConfigValid).",
    )
    GATEWAY = Reason(
        "GatewayNotReady", Status.FAIL, "The gateway lacks pods: requests fail, or wait.", "{remedy}"
    )
    CACHER = Reason(
        "CacherNotReady",
        Status.FAIL,
        "The cacher is down: the state of endpoints is read from Kubernetes each time, and soon not at all.",
        "{remedy}",
    )
    BUILDER = Reason(
        "BuilderNotReady", Status.FAIL, "The builder is down: endpoints stay UPDATE_PENDING.", "{remedy}"
    )
    AUTOSCALER = Reason(
        "AutoscalerNotReady",
        Status.FAIL,
        "The Celery autoscaler lacks shards: async endpoints of a missing shard keep their number of pods.",
        "{remedy}",
    )
    SCALED_DOWN = Reason(
        "ScaledDown",
        Status.FAIL,
        "A component wants no pods at all.",
        "Scale it up: kubectl scale {kind} {name} -n {namespace} --replicas=1, and correct replicaCount.",
    )
    RESTARTING = Reason(
        "Restarting",
        Status.WARN,
        "A component is up, but one of its containers was restarted again and again, and lately.",
        "Read why it ended: kubectl logs -n {namespace} deployment/{name} --previous.",
    )
    ROLLOUT_STUCK = Reason(
        "RolloutStuck",
        Status.FAIL,
        "A rollout does not get on: pods of the old revision still serve, with the old image or configuration.",
        "{remedy}",
    )
    ROLLOUT_PAUSED = Reason(
        "RolloutPaused",
        Status.WARN,
        "A Deployment is paused, and its pods are of an older revision: what the last upgrade changed is not running.",
        "Run kubectl rollout resume deployment/{name} -n {namespace}.",
    )
    TAGS_DIFFER = Reason(
        "TagsDiffer",
        Status.WARN,
        "Components run different versions of the platform, which share a database and queues.",
        "Set one tag and run helm upgrade.",
    )
    OBJECT_MISSING = Reason(
        "ObjectMissing",
        Status.FAIL,
        "An object is missing without which pods are not created, or creating endpoints ends in an error.",
        "Run helm upgrade, which makes it. With a fullname other than model-engine, create ConfigMaps and "
        "PriorityClasses of the name model-engine-… yourself: the platform looks for these.",
    )
    MIGRATION_FAILED = Reason(
        "MigrationJobFailed",
        Status.FAIL,
        "The Job of the last install or upgrade that migrates or sets up the database failed.",
        "Read kubectl logs -n {namespace} job/{job}; mend what it says (DatabaseMigrated), delete the Job and run helm "
        "upgrade.",
    )
    MIGRATION_OPEN = Reason(
        "MigrationJobUnfinished",
        Status.WARN,
        "A Job that migrates or sets up the database has neither succeeded nor failed: the schema may be behind.",
        "Look at kubectl describe -n {namespace} job/{job} and at its pod; delete the Job before the next helm upgrade "
        "if a broken-off one left it.",
    )
    GATEWAY_FAILS = Reason(
        "GatewayFails",
        Status.FAIL,
        "The gateway's pods are ready, and it answers an authenticated request with an error of its own: its "
        "readiness does not look at the database.",
        "Read kubectl logs -n {namespace} deployment/{name}; what DatabaseMigrated and RedisReachable say comes first.",
    )
    GATEWAY_SILENT = Reason(
        "GatewaySilent",
        Status.FAIL,
        "The gateway's pods are ready, and nothing answers at its Service: the Service selects other pods or another "
        "port, or the gateway waits for connections to its database.",
        "Compare kubectl describe -n {namespace} service/{name} with the pods' labels and port 5000, and look for "
        "QueuePool in the gateway's log. Where gatewayUrl is given, see that it leads to the gateway.",
    )
    GATEWAY_SHADOWED = Reason(
        "GatewayBehindProxy",
        Status.WARN,
        "The gateway's pods are ready, and a proxy before it answers that it does not get through.",
        "Look at the mesh: kubectl get virtualservices,destinationrules,peerauthentications -n {namespace}, and the "
        "log of the istio-proxy in the pods of {name}.",
    )
    MULTI_NODE = Reason(
        "LeaderWorkerSetMissing",
        Status.WARN,
        "Recommended hardware spreads workers over nodes, and the cluster has no LeaderWorkerSets: creating such an "
        "endpoint ends UPDATE_FAILED.",
        "Install LeaderWorkerSet (leaderworkerset.x-k8s.io/v1), or recommend hardware with nodes_per_worker: 1.",
    )
    GATEWAY_NOT_SCALED = Reason(
        "GatewayNotScaled",
        Status.WARN,
        "The gateway's HorizontalPodAutoscaler cannot do its work, so the number of gateways stays.",
        "Install a metrics adapter that serves request-concurrency-average, or set autoscaling.horizontal.enabled to "
        "false (rule S4-02).",
    )
    CACHER_STALE = Reason(
        "CacherStale",
        Status.FAIL,
        "The cacher's pod is ready, but does not renew its keys: its readiness says only that its first loop ended.",
        "Restart the cacher and read its log; a cache that refuses writes is named by RedisReachable.",
    )
    PARTLY_UNSEEN = Reason(
        "PartlyUnseen",
        Status.ERROR,
        "A part of the control plane could not be read.",
        "{remedy}",
    )


R = ControlPlaneReasons
_UNPLACED: Final = "GpuNodesReady/NodeSelectorUnmatched"
_NO_START: Final = (
    _UNPLACED,
    "DatabaseMigrated/SecretNotFound",
    "DatabaseMigrated/SecretKeyNotFound",
    "DatabaseMigrated/SecretKeyIsUppercase",
    "DatabaseMigrated/DatabaseURLUnparsable",
    "DatabaseMigrated/PoolSizeSet",
    "RedisReachable/cache/NoRedisConfigured",
    "RedisReachable/cache/RedisSourceOfAnotherCloud",
)
"""With these no process of the platform starts, or its pod is not even placed."""
CONSEQUENCE_OF: Final = {
    R.GATEWAY: _NO_START,
    R.BUILDER: _NO_START,
    R.CACHER: (*_NO_START, "DatabaseMigrated", "RedisReachable/cache"),
    R.ROLLOUT_STUCK: (*_NO_START, "DatabaseMigrated", "RedisReachable/cache"),
    R.CACHER_STALE: ("DatabaseMigrated", "RedisReachable/cache"),
    R.MIGRATION_FAILED: ("DatabaseMigrated",),
    R.GATEWAY_FAILS: ("DatabaseMigrated",),
    R.GATEWAY_SILENT: ("DatabaseMigrated/ConnectionTimeout", "DatabaseMigrated/TooManyConnections"),
}
"""The cacher ends when its first loop fails; gateway and builder start without their database and say 500 later."""
_OF_THE_PROCESS: Final = frozenset(
    {
        EndpointReasons.CONFIGURATION_MISSING,
        EndpointReasons.CRASHING,
        EndpointReasons.KILLED_BY_PROBE,
        EndpointReasons.HEALTH_FAILING,
        EndpointReasons.POD_NOT_READY,
    }
)
_OF_THE_PLACE: Final = frozenset(
    {EndpointReasons.LABEL_UNMATCHED, EndpointReasons.NODES_UNUSABLE, EndpointReasons.UNSCHEDULABLE}
)
_STARTING: Final = frozenset(
    {
        EndpointReasons.IMAGE_PULL_SLOW,
        EndpointReasons.HEALTH_FAILING,
        EndpointReasons.SIDECAR_NOT_READY,
        EndpointReasons.POD_NOT_READY,
    }
)
"""A pod that has this may only be young, as after each step of a HorizontalPodAutoscaler."""
_BY_ROLE: Final = {"gateway": R.GATEWAY, "cacher": R.CACHER, "builder": R.BUILDER, "autoscaler": R.AUTOSCALER}
_BY_PROOF: Final = {
    Proof.FAILS: R.GATEWAY_FAILS,
    Proof.SILENT: R.GATEWAY_SILENT,
    Proof.SHADOWED: R.GATEWAY_SHADOWED,
}


@check(
    "ControlPlaneReady",
    title="gateway, builder, cacher and autoscaler are up",
    severity=Severity.CRITICAL,
    gather=control_plane_facts,
    reasons=ControlPlaneReasons,
    parameters=GatewayParameters,
    depends_on=CONSEQUENCE_OF,
    permissions=PERMISSIONS,
)
def control_plane_ready(facts: ControlPlaneFacts) -> Outcome:
    namespace = facts.namespace
    findings = [
        *(finding for component in facts.components for finding in _of(component, facts)),
        *_of_objects(facts),
        *_of_tags(facts),
        *_of_cacher(facts),
        *_of_gateway(facts),
        *(R.PARTLY_UNSEEN.finding(str(error), remedy=error.remediation) for error in facts.unseen),
    ]
    if not findings:
        shown = ", ".join(f"{c.role} {c.ready}/{c.desired}" for c in facts.components)
        findings.append(R.READY.finding(shown))
    evidence = {c.role: f"{c.ready}/{c.desired} {c.image}" for c in facts.components if c.exists}
    evidence |= {f"{c.role}Restarts": str(c.restarts) for c in facts.components if c.restarts}
    if facts.gateway:
        evidence["gatewayRequest"] = facts.gateway.text
    return Outcome.of(findings, evidence={"namespace": namespace, **evidence})


def _of(component: Component, facts: ControlPlaneFacts) -> Iterator[Finding]:
    name, role = component.name, component.role
    if component.exists is None:
        return
    if not component.exists:
        yield R.COMPONENT_MISSING.finding(
            f"{role}: {component.kind} {name} does not exist in {facts.namespace}", subject=role
        )
        return
    if not component.desired:
        if role != "autoscaler" or facts.autoscaled:
            yield R.SCALED_DOWN.finding(
                f"{role}: {component.kind} {name} wants 0 pods",
                subject=role,
                kind=component.kind.lower(),
                name=name,
                namespace=facts.namespace,
            )
        return
    cause, progressing = component.cause, component.progressing
    because = f": {cause.reason.name}: {cause.message}" if cause else ""
    remedy = cause.remedy if cause else f"Look at kubectl describe {component.kind.lower()} {name}."
    if component.ready < component.desired:
        if component.ready and cause and cause.reason in _STARTING and not cause.overdue:
            return
        text = f"{role}: {component.ready} of {counted(component.desired, 'pod')} ready{because}"
        yield _explained(_BY_ROLE[role].finding(text, subject=role, remedy=remedy), cause)
    elif progressing is not None and progressing.status == "False":
        text = (
            f"{role}: {counted(component.outdated, 'pod')} of the old revision, {progressing.reason}{because}"
        )
        yield _explained(R.ROLLOUT_STUCK.finding(text, subject=role, remedy=remedy), cause)
    elif component.paused and component.outdated:
        yield R.ROLLOUT_PAUSED.finding(
            f"{role}: {counted(component.outdated, 'pod')} of the old revision, Deployment {name} is paused",
            subject=role,
            name=name,
            namespace=facts.namespace,
        )
    elif _is_restarting(component, facts):
        ended = f", last by {component.ended}" if component.ended else ""
        yield R.RESTARTING.finding(
            f"{role}: a container was restarted {component.restarts} times{ended}",
            subject=role,
            name=name,
            namespace=facts.namespace,
        )


def _explained(found: Finding, cause: Cause | None) -> Finding:
    """``found``, a consequence only of what can have the ``cause`` of its pods: no database keeps an image away."""
    if cause is None:
        return found
    names = CONSEQUENCE_OF.get(found.reason, ())
    if cause.reason in _OF_THE_PROCESS:
        names = tuple(name for name in names if name != _UNPLACED)
    else:
        names = (_UNPLACED,) if cause.reason in _OF_THE_PLACE else ()
    return replace(found, explained_by=names)


def _is_restarting(component: Component, facts: ControlPlaneFacts) -> bool:
    lately = component.ended_at is not None and facts.now - component.ended_at <= RESTARTING
    return component.restarts >= _MANY_RESTARTS and lately


def _of_objects(facts: ControlPlaneFacts) -> Iterator[Finding]:
    if facts.missing:
        yield R.OBJECT_MISSING.finding(f"missing: {', '.join(facts.missing)}")
    for job, why in facts.failed_jobs.items():
        yield R.MIGRATION_FAILED.finding(
            f"Job {job} failed ({shortened(why, 80)})", job=job, namespace=facts.namespace
        )
    for job, began in facts.open_jobs.items():
        if facts.now - began > UNFINISHED:
            minutes = int((facts.now - began).total_seconds() // 60)
            yield R.MIGRATION_OPEN.finding(
                f"Job {job} began {minutes} minutes ago and has not ended", job=job, namespace=facts.namespace
            )
    if facts.spread:
        yield R.MULTI_NODE.finding(
            f"recommendedHardware {facts.spread} spreads a worker over nodes, and there are no LeaderWorkerSets here"
        )
    if facts.scaler:
        yield R.GATEWAY_NOT_SCALED.finding(
            f"gateway: its HorizontalPodAutoscaler says {facts.scaler.reason}", subject="gateway"
        )


def _of_tags(facts: ControlPlaneFacts) -> Iterator[Finding]:
    images = {
        c.role: c.image.partition("@")[0] for c in facts.components
    }  # two repositories have two digests
    tags = {
        role: image.rpartition(":")[2] for role, image in images.items() if ":" in image.rpartition("/")[2]
    }
    if len(set(tags.values())) > 1:
        yield R.TAGS_DIFFER.finding(", ".join(f"{role} runs {tag}" for role, tag in tags.items()))


def _of_cacher(facts: ControlPlaneFacts) -> Iterator[Finding]:
    cacher = next(c for c in facts.components if c.role == "cacher")
    if not facts.keys or not cacher.exists or cacher.ready < cacher.desired or not cacher.desired:
        return
    stale = [each for each, ttl in facts.keys.items() if ttl is None or ttl < STALE]
    if len(stale) == len(facts.keys):  # one alone may be an endpoint that was made just now
        yield R.CACHER_STALE.finding(
            f"cacher: of {counted(len(facts.keys), 'endpoint')}, no key was renewed within the last {60 - STALE} s",
            subject="cacher",
        )


def _of_gateway(facts: ControlPlaneFacts) -> Iterator[Finding]:
    """Only of one that has ready pods: without any, its cause is found already."""
    gateway = next(c for c in facts.components if c.role == "gateway")
    if facts.gateway and gateway.ready and (reason := _BY_PROOF.get(facts.gateway.proof)):
        yield reason.finding(
            f"gateway: {facts.gateway.text}", subject="gateway", name=gateway.name, namespace=facts.namespace
        )
