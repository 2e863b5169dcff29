"""EndpointsReady on a real control plane, PostgreSQL and Redis, with KWOK's kubelets: every symptom is staged."""

import asyncio
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mehc_checks.checks.endpoints.reasons import ORDER, SYMPTOMS, EndpointReasons
from mehc_checks.clients.kubernetes.api import KubernetesCluster
from mehc_checks.core.outcome import Status
from mehc_checks.engine.check import catalogue
from mehc_checks.engine.report import CheckResult
from mehc_checks.installation.context import Context
from mehc_checks.installation.reasons import InstallationReasons
from mehc_checks.modelengine.endpoints import cache_key, demand_key
from mehc_checks.modelengine.values import Layer, Values
from mehc_checks.workload.reasons import OF_THE_OWNER
from mehc_checks.workload.registry import PROVED
from mehc_operator.connection import Access, connected
from testbed import keda, ports
from testbed.controlplane import ApiError, ControlPlane
from testbed.endpoints import (
    GPU,
    HOUR,
    ID,
    IMAGE,
    LEADER_WORKER_SET,
    NAME,
    PASSWORD,
    RUNNING,
    TITLE,
    World,
    emptied,
    prepared,
)
from testbed.installation import aws_values, overlaid
from testbed.judging import reported
from testbed.kwok import CONTAINER_ANNOTATION, DELAY_ANNOTATION, MESSAGE_ANNOTATION, STAGE_LABEL, Kwok
from testbed.postgres import Postgres
from testbed.redis import Redis
from testbed.waiting import eventually


@dataclass(frozen=True, kw_only=True)
class Case:
    """What is staged; the finding that must be there, a part of its message, and the cause in status.endpoints."""

    id: str
    reason: str
    says: str
    stage: Callable[[World], None]
    record: str = "READY"
    record_reason: str = ""
    later: timedelta = timedelta()
    """How much later than the staging the check is carried out."""
    grace: str = "0s"
    cause: str = ""
    proof: str = ""
    """A part of an evidence line that must be there."""
    fix: str = ""
    """A part of the remedy."""
    values: Mapping[str, Any] = field(default_factory=dict)


def sound(world: World) -> None:
    world.deployment()


def runs(world: World) -> None:
    world.deployment()
    eventually(
        lambda: world.plane.api("GET", world.path("deployments", NAME, group="apps"))["status"],
        lambda status: bool(status.get("readyReplicas")),
        seconds=20,
    )


def nothing(_: World) -> None:
    pass


def staged(stage: str, **options: Any) -> Callable[[World], None]:
    return lambda world: world.deployment(stage=stage, **options)


def pull(message: str, stage: str = "err-image-pull") -> Callable[[World], None]:
    return staged(stage, notes={CONTAINER_ANNOTATION: "main", MESSAGE_ANNOTATION: message})


def pods(**options: Any) -> Callable[[World], None]:
    return lambda world: world.deployment(**options)


def creating(reason: str, message: str, *, kind: str = "Warning") -> Callable[[World], None]:
    def stage(world: World) -> None:
        world.deployment(stage="container-creating")
        world.told(world.staged(), reason, message, kind=kind)

    return stage


def state(
    name: str, phase: str = "Pending", sidecars: Sequence[str] = (), **status: Any
) -> Callable[[World], None]:
    def stage(world: World) -> None:
        world.deployment(stage="container-creating", sidecars=sidecars)
        pod = world.staged()
        world.patch(world.path("pods", pod["metadata"]["name"]) + "/status", {"status": {"phase": phase}})
        world.container(pod, name, **status)

    return stage


def quota(world: World) -> None:
    hard = {"pods": "0"}
    path = world.path("resourcequotas")
    world.post(path, {"metadata": {"name": "tight"}, "spec": {"hard": hard}})
    world.patch(f"{path}/tight/status", {"status": {"hard": hard, "used": hard}})
    world.deployment()


def limit_range(world: World) -> None:
    limits = [{"type": "Container", "max": {"memory": "1Gi"}}]
    world.post(world.path("limitranges"), {"metadata": {"name": "small"}, "spec": {"limits": limits}})
    world.deployment(requests={"memory": "2Gi"})


def pod_security(world: World) -> None:
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    world.patch(f"/api/v1/namespaces/{world.namespace}", {"metadata": {"labels": labels}})
    world.deployment()


def refuses_pods(world: World) -> bool:
    """Whether admission refuses a pod by now: it learns of policies and webhooks in its own time."""
    body = {"metadata": {"name": "try"}, "spec": {"containers": [{"name": "main", "image": "x"}]}}
    try:
        world.post(world.path("pods") + "?dryRun=All", body)
    except ApiError:
        return True
    return False


ADMISSION = "/apis/admissionregistration.k8s.io/v1"


def policy(world: World) -> None:
    name = world.namespace
    pods_created = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
    own = {"matchLabels": {"kubernetes.io/metadata.name": name}}
    spec: dict[str, Any] = {
        "failurePolicy": "Fail",
        "matchConstraints": {"resourceRules": [pods_created], "namespaceSelector": own},
        "validations": [{"expression": "false", "message": "images must be signed"}],
    }
    path = f"{ADMISSION}/validatingadmissionpolicies"
    world.post(path, {"metadata": {"name": name}, "spec": spec})
    world.clean.append(lambda: world.plane.api("DELETE", f"{path}/{name}"))
    binding = {"policyName": name, "validationActions": ["Deny"]}
    path_of_bindings = f"{ADMISSION}/validatingadmissionpolicybindings"
    world.post(path_of_bindings, {"metadata": {"name": name}, "spec": binding})
    world.clean.append(lambda: world.plane.api("DELETE", f"{path_of_bindings}/{name}"))
    eventually(lambda: refuses_pods(world), bool, seconds=20)
    world.deployment()


def webhook(world: World) -> None:
    name = world.namespace
    hook = {
        "name": "injector.example.com",
        "clientConfig": {"url": "https://127.0.0.1:1/inject"},
        "rules": [
            {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
        ],
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}},
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        "failurePolicy": "Fail",
    }
    path = f"{ADMISSION}/validatingwebhookconfigurations"
    world.post(path, {"metadata": {"name": name}, "webhooks": [hook]})
    world.clean.append(lambda: world.plane.api("DELETE", f"{path}/{name}"))
    eventually(lambda: refuses_pods(world), bool, seconds=20)
    world.deployment()


def node(world: World, **options: Any) -> str:
    """A node of the case's own, which its pods select by ``pool``."""
    name = f"{world.namespace}-node"
    labels = {"pool": world.namespace}
    world.clean.append(lambda: world.kwok.delete_node(name))
    return world.kwok.add_node(name, labels=labels, **options)


def on_own_node(options: Mapping[str, Any] | None = None, **pod: Any) -> Callable[[World], None]:
    def stage(world: World) -> None:
        node(world, **(options or {}))
        world.deployment(nodeSelector={"pool": world.namespace}, **pod)

    return stage


def cordoned(world: World) -> None:
    world.cordon(node(world))
    world.deployment(nodeSelector={"pool": world.namespace})


def node_lost(world: World) -> None:
    name = node(world)
    world.deployment(stage="container-creating", nodeSelector={"pool": world.namespace})
    world.staged()
    world.patch(f"/api/v1/nodes/{name}", {"metadata": {"labels": {STAGE_LABEL: "not-ready"}}})


def evicted(world: World) -> None:
    name = node(world)
    world.deployment(nodeSelector={"pool": world.namespace})
    pod = world.running()
    world.cordon(name)
    status = {"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory."}
    world.patch(world.path("pods", pod["metadata"]["name"]) + "/status", {"status": status})


def preempted(world: World) -> None:
    node(world, capacity={GPU: "1"})
    world.deployment(requests={GPU: "1"}, nodeSelector={"pool": world.namespace})
    world.running()
    container = {"name": "main", "image": "x", "resources": {"limits": {GPU: "1"}}}
    spec = {
        "priorityClassName": "system-node-critical",
        "nodeSelector": {"pool": world.namespace},
        "containers": [container],
    }
    world.post(world.path("pods"), {"metadata": {"name": "greedy"}, "spec": spec})


def termination_stuck(world: World) -> None:
    node(world, capacity={GPU: "1"})
    world.deployment(requests={GPU: "1"}, nodeSelector={"pool": world.namespace})
    path = world.path("pods", world.running()["metadata"]["name"])
    world.patch(path, {"metadata": {"finalizers": ["example.com/hold"]}})
    world.clean.append(lambda: world.patch(path, {"metadata": {"finalizers": None}}))
    world.plane.api("DELETE", path)


def deletion_stuck(world: World) -> None:
    world.deployment(finalizers=["example.com/hold"])
    path = world.path("deployments", NAME, group="apps")
    world.clean.append(lambda: world.patch(path, {"metadata": {"finalizers": None}}))
    world.plane.api("DELETE", path)


def killed_by_probe(world: World) -> None:
    world.deployment(stage="crash-loop", notes={CONTAINER_ANNOTATION: "main"})
    pod = world.staged()
    world.told(pod, "Killing", "Container main failed liveness probe, will be restarted", kind="Normal")


def not_loaded(world: World) -> None:
    world.deployment(stage="slow-start", notes={DELAY_ANNOTATION: "1h"})
    world.told(world.staged(), "Unhealthy", "Readiness probe failed: HTTP probe failed with statuscode: 503")


def asleep(
    *, ready: bool = True, demand: bool = False, paused: Mapping[str, str] | None = None
) -> Callable[[World], None]:
    """``paused`` are annotations of the ScaledObject, by what follows KEDA's word for paused."""

    def stage(world: World) -> None:
        world.deployment(replicas=0)
        marks = {f"autoscaling.keda.sh/paused{kind}": value for kind, value in (paused or {}).items()}
        world.scaled_object(ready=ready, annotations=marks)
        world.redis.call("DEL", demand_key(ID))
        if demand:
            world.redis.call("LPUSH", demand_key(ID), "1")
            world.clean.append(lambda: world.redis.call("DEL", demand_key(ID)))

    return stage


def asleep_async(world: World) -> None:
    world.deployment(replicas=0, annotations={"celery.scaleml.autoscaler/minWorkers": "0"})


def worker_set(world: World) -> None:
    """A LeaderWorkerSet whose leader cannot pull; what its controller would make is made here."""
    path = world.path("leaderworkersets", group="leaderworkerset.x-k8s.io")
    labels = {"endpoint_id": ID, "endpoint_name": TITLE}
    spec = {"replicas": 1}
    world.post(
        path,
        {
            "apiVersion": "leaderworkerset.x-k8s.io/v1",
            "kind": "LeaderWorkerSet",
            "metadata": {"name": NAME, "labels": labels},
            "spec": spec,
        },
    )
    marks = {"leaderworkerset.sigs.k8s.io/name": NAME, "app": NAME, STAGE_LABEL: "err-image-pull"}
    containers = [{"name": "lws-leader", "image": IMAGE}]
    world.post(
        world.path("pods"),
        {"metadata": {"name": f"{NAME}-0", "labels": marks}, "spec": {"containers": containers}},
    )


def beside(
    container: Mapping[str, Any], ports: Sequence[int] = (), **options: Any
) -> Callable[[World], None]:
    """On a node of its own that another pod with ``container`` fills; ``ports`` are host ports of the endpoint's."""

    def stage(world: World) -> None:
        node(world)
        selector = {"pool": world.namespace}
        containers = [{"name": "main", "image": "x", **container}]
        spec = {"nodeSelector": selector, "containers": containers}
        world.post(world.path("pods"), {"metadata": {"name": "first"}, "spec": spec})
        path = world.path("pods", "first")
        eventually(lambda: world.plane.api("GET", path)["spec"], lambda spec: "nodeName" in spec, seconds=20)
        if ports:
            asked = [{"containerPort": 80, "hostPort": port} for port in ports]
            init = {"name": "setup", "image": "x", "ports": asked, "restartPolicy": "Always"}
            options["initContainers"] = [init]
        world.deployment(nodeSelector=selector, **options)

    return stage


def failed(world: World, reason: str, message: str) -> None:
    """The pod has failed, and its successor finds no node."""
    name = node(world)
    world.deployment(nodeSelector={"pool": world.namespace})
    pod = world.running()
    world.cordon(name)
    status = {"phase": "Failed", "reason": reason, "message": message, "containerStatuses": []}
    world.patch(world.path("pods", pod["metadata"]["name"]) + "/status", {"status": status})


def initializing(world: World) -> None:
    init = [{"name": "fetch", "image": "x"}]
    world.deployment(stage="container-creating", initContainers=init)
    pod = world.staged()
    started = {
        "name": "fetch",
        "image": "x",
        "imageID": "",
        "ready": False,
        "restartCount": 0,
        "state": RUNNING,
    }
    path = world.path("pods", pod["metadata"]["name"]) + "/status"
    world.patch(path, {"status": {"initContainerStatuses": [started]}})


def gated(world: World) -> None:
    world.deployment(stage="container-creating", readinessGates=[{"conditionType": "example.com/lb"}])
    pod = world.staged()
    world.patch(world.path("pods", pod["metadata"]["name"]) + "/status", {"status": {"phase": "Running"}})
    world.container(pod, "main", ready=True, state=RUNNING)


def probe_command(world: World) -> None:
    world.deployment(stage="slow-start", notes={DELAY_ANNOTATION: "1h"})
    message = (
        "Readiness probe errored and resulted in unknown state: rpc error: code = Unknown desc = failed to exec in "
        'container: failed to start exec "abc": OCI runtime exec failed: exec failed: unable to start container '
        'process: exec: "bash": executable file not found in $PATH: unknown'
    )
    world.told(world.staged(), "Unhealthy", message)


def too_few_nodes(world: World) -> None:
    node(world)
    world.deployment(replicas=2, requests={"cpu": "10"}, nodeSelector={"pool": world.namespace})


PULLS = (
    (
        "HostUnresolvable",
        "registry.example does not resolve",
        "dial tcp: lookup registry.example: no such host",
    ),
    (
        "DNSTimeout",
        "registry.example was not resolved",
        "dial tcp: lookup registry.example on 10.0.0.10:53: read udp 10.0.0.2:5->10.0.0.10:53: i/o timeout",
    ),
    (
        "ConnectionRefused",
        "registry.example (10.0.0.9:443) refused the connection",
        'Head "https://registry.example/v2/vllm/manifests/1": dial tcp 10.0.0.9:443: connect: connection refused',
    ),
    ("HostUnreachable", "is unreachable", "dial tcp 10.0.0.9:443: connect: no route to host"),
    ("ConnectionTimeout", "did not answer within 30 s", "dial tcp 10.0.0.9:443: i/o timeout"),
    (
        "ConnectionClosed",
        "closed the connection",
        "read tcp 10.0.0.2:5->10.0.0.9:443: connection reset by peer",
    ),
    (
        "ServerNotTLS",
        "registry.example does not speak TLS",
        'Head "https://registry.example/v2/vllm/manifests/1": http: server gave HTTP response to HTTPS client',
    ),
    (
        "LayerStoreError",
        "layer store store.example returned HTTP 403",
        "httpReadSeeker: failed open: unexpected status code https://store.example/aa?x=1: 403 Forbidden",
    ),
    (
        "ManifestSchema1",
        "obsolete schema 1",
        'media type "application/vnd.docker.distribution.manifest.v1+prettyjws" is no longer supported since '
        "containerd v2.1, please rebuild the image",
    ),
    ("TLSRequired", "requires TLS", "400 Bad Request: Client sent an HTTP request to an HTTPS server."),
    (
        "TLSUntrusted",
        "the certificate of registry.example is not trusted",
        "tls: failed to verify certificate: x509: certificate signed by unknown authority",
    ),
    (
        "TLSExpired",
        "the certificate of registry.example has expired",
        "x509: certificate has expired or is not yet valid: current time 2026-11-27T03:00:00Z is after 2026-01-01",
    ),
    (
        "TLSNotYetValid",
        "the certificate of registry.example is not valid yet",
        "x509: certificate has expired or is not yet valid: current time 2026-11-27T03:00:00Z is before 2027-01-01",
    ),
    (
        "TLSWrongHost",
        "the certificate of registry.example is not valid for registry.example",
        "tls: failed to verify certificate: x509: certificate is valid for other.example, not registry.example",
    ),
    (
        "TLSHandshakeFailed",
        "the TLS handshake with registry.example failed",
        "remote error: tls: handshake failure",
    ),
    (
        "RegistryServerError",
        "registry.example returned HTTP 503 for vllm",
        "unexpected status from HEAD request to https://registry.example/v2/vllm/manifests/1: 503 Service Unavailable",
    ),
    (
        "BlobsMissing",
        "layers of registry.example/vllm:1 are missing",
        "failed to copy: httpReadSeeker: failed open: content at https://registry.example/v2/vllm/blobs/sha256:56 not "
        "found: not found",
    ),
    (
        "ImageAccessDenied",
        "401 Unauthorized",
        "failed to authorize: failed to fetch anonymous token: unexpected status from GET request to "
        "https://auth.example/token?scope=x: 401 Unauthorized",
    ),
)
NOT_FOUND = f'failed to resolve reference "{IMAGE}": {IMAGE}: not found'
TAINT = {"key": "dedicated", "value": "ml", "effect": "NoSchedule"}

CASES = [
    Case(id="it runs", reason="EndpointsReady", says="1 READY", stage=sound),
    Case(id="KEDA scaled it to zero", reason="EndpointsReady", says="1 SCALED_TO_ZERO", stage=asleep()),
    Case(id="an async one at zero", reason="EndpointsReady", says="SCALED_TO_ZERO", stage=asleep_async),
    Case(
        id="within its grace period",
        reason="EndpointsReady",
        says="1 INITIALIZING",
        stage=pull(NOT_FOUND),
        grace="15m",
    ),
    Case(
        id="a model that still loads",
        reason="EndpointsReady",
        says="1 INITIALIZING",
        stage=not_loaded,
        grace="15m",
        later=timedelta(minutes=30),
    ),
    Case(
        id="UPDATE_PENDING persists",
        reason="BuildTaskNotPickedUp",
        says="build task pending since ",
        proof="record: UPDATE_PENDING for 1h, task task-1",
        stage=nothing,
        record="UPDATE_PENDING",
    ),
    Case(
        id="UPDATE_IN_PROGRESS past the limit of a task",
        reason="BuildTaskKilled",
        says="longer than the 30m that a task is allowed",
        stage=nothing,
        record="UPDATE_IN_PROGRESS",
    ),
    Case(
        id="UPDATE_FAILED",
        reason="EndpointUpdateFailed",
        says="its update failed (the bundle's image does not exist)",
        stage=nothing,
        record="UPDATE_FAILED",
        record_reason="the bundle's image does not exist",
    ),
    Case(
        id="pods ready, UPDATE_FAILED",
        reason="UpdateFailedWithPodsReady",
        says="1 of 1 pods are ready, but its update failed",
        stage=sound,
        record="UPDATE_FAILED",
    ),
    Case(id="a record and no Deployment", reason="WorkloadMissing", says="no Deployment", stage=nothing),
    Case(
        id="DELETE_IN_PROGRESS persists",
        reason="DeletionStuck",
        says="the endpoint is being deleted since ",
        stage=nothing,
        record="DELETE_IN_PROGRESS",
    ),
    Case(
        id="a finalizer holds the Deployment",
        reason="DeletionStuck",
        says=f"Deployment {NAME} is being deleted since ",
        stage=deletion_stuck,
        record="",
    ),
    Case(
        id="no ServiceAccount",
        reason="ServiceAccountMissing",
        says="ServiceAccount model-engine does not exist",
        stage=pods(serviceAccountName="model-engine"),
    ),
    Case(
        id="no PriorityClass",
        reason="PriorityClassMissing",
        says="PriorityClass model-engine-default-priority does not exist",
        stage=pods(priorityClassName="model-engine-default-priority"),
    ),
    Case(
        id="the quota is used up",
        reason="QuotaExceeded",
        says="quota tight forbids it (requested: pods=1, used: pods=0, limited: pods=0)",
        stage=quota,
    ),
    Case(
        id="too much for the LimitRange",
        reason="LimitRangeViolated",
        says="maximum memory usage per Container is 1Gi",
        stage=limit_range,
    ),
    Case(
        id="the namespace is restricted",
        reason="PodSecurityDenied",
        says='it violates PodSecurity "restricted:latest"',
        stage=pod_security,
    ),
    Case(id="a policy denies", reason="AdmissionDenied", says="images must be signed", stage=policy),
    Case(
        id="a webhook does not answer",
        reason="WebhookUnreachable",
        says="webhook injector.example.com does not answer",
        stage=webhook,
    ),
    Case(
        id="another refusal",
        reason="PodCreationFailed",
        says='RuntimeClass "kata" not found',
        stage=pods(runtimeClassName="kata"),
    ),
    Case(id="a paused Deployment", reason="NoPodsCreated", says="it is paused", stage=pods(paused=True)),
    Case(
        id="no node has the label",
        reason="NodeLabelsUnmatched",
        says="no node matches the nodeSelector k8s.amazonaws.com/accelerator=nvidia-hopper-h100",
        stage=pods(nodeSelector={"k8s.amazonaws.com/accelerator": "nvidia-hopper-h100"}),
    ),
    Case(
        id="a taint that is not tolerated",
        reason="TaintUntolerated",
        says="untolerated taint",
        proof="taints of the nodes with its labels: dedicated=ml:NoSchedule",
        stage=on_own_node({"taints": [TAINT]}),
    ),
    Case(
        id="a controller's taint",
        reason="NodeStateTaint",
        says="0 of the nodes that fit can be used: they are starting, by taint node.cilium.io/agent-not-ready",
        stage=on_own_node({"taints": [{"key": "node.cilium.io/agent-not-ready", "effect": "NoSchedule"}]}),
        fix="Do not add node.cilium.io/agent-not-ready",
    ),
    Case(
        id="no device plugin",
        reason="GpusInsufficient",
        says="1 Insufficient nvidia.com/gpu",
        stage=on_own_node(requests={GPU: "1"}),
    ),
    Case(
        id="no node with so many GPUs",
        reason="NodesTooSmall",
        says="nvidia.com/gpu: 8 requested, 1 at most",
        stage=on_own_node({"capacity": {GPU: "1"}}, requests={GPU: "8"}),
    ),
    Case(
        id="no node with so many CPUs",
        reason="NodesTooSmall",
        says="cpu: 1000 requested, 16 at most",
        stage=pods(requests={"cpu": "1000"}),
    ),
    Case(
        id="all CPUs are in use",
        reason="ResourcesInsufficient",
        says="no node has enough free cpu",
        stage=beside({"resources": {"requests": {"cpu": "10"}}}, requests={"cpu": "10"}),
    ),
    Case(
        id="the port is in use",
        reason="HostPortsInUse",
        says="hostPort",
        stage=beside({"ports": [{"containerPort": 80, "hostPort": 8000}]}, ports=[8000]),
    ),
    Case(id="a cordoned node", reason="NodesUnusable", says="were unschedulable", stage=cordoned),
    Case(
        id="no claim",
        reason="VolumeUnbound",
        says='persistentvolumeclaim "weights" not found',
        stage=pods(volumes=[{"name": "w", "persistentVolumeClaim": {"claimName": "weights"}}]),
    ),
    Case(
        id="another predicate",
        reason="PodUnschedulable",
        says="pod affinity rules",
        stage=pods(
            affinity={
                "podAffinity": {
                    "requiredDuringSchedulingIgnoredDuringExecution": [
                        {
                            "topologyKey": "kubernetes.io/hostname",
                            "labelSelector": {"matchLabels": {"is": "nowhere"}},
                        }
                    ]
                }
            }
        ),
    ),
    Case(
        id="a scheduling gate",
        reason="NotScheduled",
        says="example.com/hold",
        stage=pods(schedulingGates=[{"name": "example.com/hold"}]),
    ),
    Case(id="the node is lost", reason="NodeLost", says="is not ready", stage=node_lost),
    Case(id="the kubelet evicted it", reason="PodEvicted", says="low on resource: memory", stage=evicted),
    Case(
        id="evicted for its ephemeral storage",
        reason="PodEvicted",
        says="Pod ephemeral local storage usage exceeds the total limit of containers 1G",
        stage=lambda world: failed(
            world, "Evicted", "Pod ephemeral local storage usage exceeds the total limit of containers 1G. "
        ),
        fix="Raise the pod's ephemeral-storage limit (of an endpoint: its storage)",
    ),
    Case(
        id="preempted", reason="PodPreempted", says="preempted by a pod of higher priority", stage=preempted
    ),
    Case(
        id="a pod that does not end",
        reason="TerminationStuck",
        says="terminating since ",
        stage=termination_stuck,
        later=HOUR,
    ),
    Case(
        id="no address for the pod",
        reason="PodSandboxFailed",
        says="failed to assign an IP address to container",
        stage=creating(
            "FailedCreatePodSandBox",
            "Failed to create pod sandbox: add cmd: failed to assign an IP address to container",
        ),
    ),
    Case(
        id="no runtime handler",
        reason="RuntimeHandlerMissing",
        says="has no handler nvidia",
        stage=creating(
            "FailedCreatePodSandBox",
            'rpc error: code = Unknown desc = failed to get sandbox runtime: no runtime for "nvidia" is configured',
        ),
    ),
    Case(
        id="a runtime that does not finish",
        reason="ContainerRuntimeStuck",
        says="does not finish in time (an earlier attempt goes on)",
        stage=creating(
            "FailedCreatePodSandBox",
            'rpc error: code = Unknown desc = failed to reserve sandbox name "a": name "a" is reserved for "62d7"',
        ),
    ),
    Case(
        id="no runtime",
        reason="ContainerRuntimeDown",
        says="does not answer (connection refused)",
        stage=creating(
            "FailedCreatePodSandBox",
            'rpc error: code = Unavailable desc = connection error: desc = "transport: Error while dialing: dial unix '
            '/run/containerd/containerd.sock: connect: connection refused"',
        ),
    ),
    Case(
        id="the kubelet rejects it",
        reason="PodRejectedByKubelet",
        says="rejected 1 pod (UnexpectedAdmissionError): Allocate failed due to requested number of devices",
        stage=lambda world: failed(
            world,
            "UnexpectedAdmissionError",
            "Pod was rejected: Allocate failed due to requested number of devices unavailable for nvidia.com/gpu. "
            "Requested: 1, Available: 0, which is unexpected",
        ),
        fix="Restart the device plugin of node ",
    ),
    Case(
        id="past its deadline",
        reason="DeadlineExceeded",
        says="longer than activeDeadlineSeconds",
        stage=lambda world: failed(
            world, "DeadlineExceeded", "Pod was active on the node longer than the deadline"
        ),
    ),
    Case(
        id="its init container goes on",
        reason="InitContainerRunning",
        says="init container fetch runs since ",
        stage=initializing,
    ),
    Case(
        id="a readiness gate", reason="ReadinessGateUnmet", says="readiness gate example.com/lb", stage=gated
    ),
    Case(
        id="no ConfigMap to mount",
        reason="VolumeSourceMissing",
        says="ConfigMap service-config does not exist",
        stage=creating(
            "FailedMount", 'MountVolume.SetUp failed for volume "c" : configmap "service-config" not found'
        ),
    ),
    Case(
        id="the volume is held elsewhere",
        reason="VolumeMountFailed",
        says="Volume is already exclusively attached",
        stage=creating(
            "FailedAttachVolume",
            'Multi-Attach error for volume "pvc-d8" Volume is already exclusively attached',
        ),
    ),
    Case(
        id="no image name",
        reason="ImageNameInvalid",
        says="is not a valid image reference",
        stage=state("main", state={"waiting": {"reason": "InvalidImageName"}}),
    ),
    Case(id="no such image", reason="ImageNotFound", says=f"has no image {IMAGE}", stage=pull(NOT_FOUND)),
    Case(
        id="no such image, and the Event alone says it",
        reason="ImageNotFound",
        says=f"has no image {IMAGE}",
        stage=lambda world: (
            world.deployment(stage="image-pull-backoff", notes={CONTAINER_ANNOTATION: "main"}),
            world.told(world.staged(), "Failed", f'Failed to pull image "{IMAGE}": {NOT_FOUND}'),
        )[-1],
    ),
    Case(
        id="no right to the image",
        reason="ImageAccessDenied",
        says=f"the registry denies the node {IMAGE}",
        stage=pull("pull access denied: authorization failed: no basic auth credentials"),
    ),
    *(
        Case(id=f"{reason}: {text}", reason=reason, says=says, stage=pull(text))
        for reason, says, text in PULLS
    ),
    Case(
        id="too many pulls",
        reason="RegistryRateLimited",
        says="returned 429 (too many requests)",
        stage=pull("429 Too Many Requests - Server message: toomanyrequests"),
    ),
    Case(
        id="another architecture",
        reason="ImagePlatformMissing",
        says="is not built for the node's architecture (no match for platform in manifest",
        stage=pull("no match for platform in manifest: not found"),
    ),
    Case(
        id="the disk is full",
        reason="NodeDiskFull",
        says="has no disk space for",
        stage=pull("write /var/lib/x: no space left on device"),
    ),
    Case(
        id="an unknown failure of the runtime",
        reason="ImagePullFailed",
        says="the registry sang",
        stage=pull("the registry sang, token=abcdef0123456789"),
    ),
    Case(
        id="a long pull",
        reason="ImagePullSlow",
        says="is being pulled since ",
        stage=creating("Pulling", f'Pulling image "{IMAGE}"', kind="Normal"),
    ),
    Case(
        id="no Secret for the environment",
        reason="ContainerConfigMissing",
        says="Secret hf-token does not exist",
        stage=state(
            "main",
            state={
                "waiting": {"reason": "CreateContainerConfigError", "message": 'secret "hf-token" not found'}
            },
        ),
    ),
    Case(
        id="no such command",
        reason="ContainerStartFailed",
        says="command vllm-serve cannot be executed",
        stage=state(
            "main",
            state={
                "waiting": {
                    "reason": "RunContainerError",
                    "message": 'exec: "vllm-serve": executable file not found in $PATH',
                }
            },
        ),
    ),
    Case(
        id="another architecture, by the runtime's word",
        reason="ImagePlatformMissing",
        says="(exec format error)",
        stage=state(
            "main",
            state={
                "waiting": {
                    "reason": "RunContainerError",
                    "message": "failed to create containerd task: failed to create shim task: OCI runtime create "
                    "failed: runc create failed: unable to start container process: error during container init: "
                    "exec /usr/bin/dumb-init: exec format error: unknown",
                }
            },
        ),
    ),
    Case(
        id="the image runs as root",
        reason="RunAsRootForbidden",
        says="container has runAsNonRoot and image will run as root",
        stage=state(
            "main",
            state={
                "waiting": {
                    "reason": "CreateContainerConfigError",
                    "message": 'container has runAsNonRoot and image will run as root (pod: "a", container: main)',
                }
            },
        ),
    ),
    Case(
        id="no GPU driver",
        reason="GpuRuntimeFailed",
        says="driver not loaded",
        stage=state(
            "main",
            state={
                "waiting": {
                    "reason": "RunContainerError",
                    "message": "nvidia-container-cli: initialization error: nvml error: driver not loaded: unknown",
                }
            },
        ),
    ),
    Case(
        id="the hook fails",
        reason="PostStartHookFailed",
        says="PostStartHook failed",
        stage=lambda world: (
            world.deployment(stage="crash-loop", notes={CONTAINER_ANNOTATION: "main"}),
            world.told(world.staged(), "FailedPostStartHook", "PostStartHook failed"),
        )[-1],
    ),
    Case(
        id="it must not be pulled",
        reason="ImagePullPolicyNever",
        says="imagePullPolicy Never forbids to pull it",
        stage=state(
            "main",
            state={
                "waiting": {
                    "reason": "ErrImageNeverPull",
                    "message": f'Container image "{IMAGE}" is not present with pull policy of Never',
                }
            },
        ),
    ),
    Case(
        id="the pull secret is missing",
        reason="PullSecretMissing",
        says="the pod names pull secret nowhere, which does not exist",
        stage=lambda world: (
            pull("pull access denied: authorization failed: no basic auth credentials")(world),
            world.told(
                world.staged(),
                "FailedToRetrieveImagePullSecret",
                "Unable to retrieve some image pull secrets (nowhere); attempting to pull the image may not succeed.",
            ),
        )[-1],
    ),
    Case(
        id="the probe's command is missing",
        reason="ProbeCommandMissing",
        says="cannot execute bash (executable file not found in $PATH)",
        stage=probe_command,
    ),
    Case(
        id="out of memory",
        reason="OutOfMemory",
        says="exceeds its memory limit of 24Gi",
        proof="last ended OOMKilled with exit code 137; 3 restarts",
        stage=staged("oom-killed", notes={CONTAINER_ANNOTATION: "main"}, requests={"memory": "24Gi"}),
    ),
    Case(
        id="killed by its probe",
        reason="KilledByProbe",
        says="its liveness probe fails",
        stage=killed_by_probe,
    ),
    Case(
        id="it ends again and again",
        reason="ContainerCrashing",
        says="keeps exiting with code 1",
        stage=staged("crash-loop", notes={CONTAINER_ANNOTATION: "main"}),
    ),
    Case(
        id="the health route says no",
        reason="ReadinessFailing",
        says="returns 503: not ready yet",
        stage=not_loaded,
    ),
    Case(
        id="the forwarder crashes",
        reason="ForwarderNotReady",
        says="container http-forwarder",
        stage=staged("crash-loop", notes={CONTAINER_ANNOTATION: "http-forwarder"}),
    ),
    Case(
        id="the sidecar is not ready",
        reason="SidecarNotReady",
        says="container istio-proxy",
        stage=state("istio-proxy", "Running", sidecars=["istio-proxy"], ready=False, state=RUNNING),
    ),
    Case(
        id="nothing says anything",
        reason="PodNotReady",
        says="Pending",
        stage=staged("container-creating"),
    ),
    Case(
        id="a multi-node endpoint",
        reason="ImageNotFound",
        says="pod launch-endpoint-id-end-1-0",
        stage=worker_set,
    ),
    Case(
        id="KEDA cannot scale it",
        reason="StuckAtZero",
        says="ScaledObjectCheckFailed",
        stage=asleep(ready=False),
    ),
    Case(
        id="KEDA does not wake it",
        reason="StuckAtZero",
        says="1 request waiting for scale-up; KEDA has not scaled it",
        stage=asleep(demand=True),
    ),
    *(
        Case(
            id=f"KEDA is paused{kind} {value}",
            reason="StuckAtZero",
            says="its ScaledObject is paused",
            stage=asleep(paused={kind: value}),
        )
        for kind, value in (("", "true"), ("", "yes"), ("-replicas", "0"), ("-scale-out", "true"))
    ),
    *(
        Case(
            id=f"KEDA is not paused{kind} {value}",
            reason="EndpointsReady",
            says="1 SCALED_TO_ZERO",
            stage=asleep(paused={kind: value}),
        )
        for kind, value in (("", "false"), ("-scale-in", "true"), ("-scale-out", "0"))
    ),
    Case(
        id="nobody will wake it", reason="ZeroWithoutScaler", says="no ScaledObject", stage=pods(replicas=0)
    ),
    Case(
        id="one of two",
        reason="PartlyReady",
        says="Insufficient cpu",
        stage=too_few_nodes,
        cause="ResourcesInsufficient",
    ),
    Case(
        id="a Deployment and no record",
        reason="WorkloadWithoutRecord",
        says="has no record",
        stage=sound,
        record="",
    ),
    Case(
        id="the database does not answer, and the pods say enough",
        reason="ImageNotFound",
        says=f"has no image {IMAGE}",
        stage=pull(NOT_FOUND),
        values={"secrets": {"kubernetesDatabaseSecretName": "dead"}},
    ),
    Case(
        id="the database does not answer",
        reason="RecordNotRead",
        says="the platform's table of endpoints could not be read",
        stage=runs,
        values={"secrets": {"kubernetesDatabaseSecretName": "dead"}},
    ),
]


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    """Of this module alone: nodes, policies and definitions belong to no namespace."""
    with ControlPlane() as plane:
        keda.install(plane)
        plane.apply(LEADER_WORKER_SET)
        plane.wait_established()
        yield plane


@pytest.fixture(scope="module")
def kubelets(plane: ControlPlane) -> Iterator[Kwok]:
    with Kwok(plane) as kubelets:
        kubelets.add_node("plain")
        yield kubelets


@pytest.fixture(scope="module")
def database(postgres: Postgres) -> str:
    return prepared(postgres)


@pytest.fixture
def world(
    plane: ControlPlane, kubelets: Kwok, postgres: Postgres, redis_server: Redis, database: str
) -> Iterator[World]:
    with emptied(plane, kubelets, postgres, redis_server, database) as here:
        yield here


async def judge(
    here: World,
    *,
    grace: str = "0s",
    later: timedelta = timedelta(),
    values: Mapping[str, Any] | None = None,
    kubeconfig: str = "",
    record: bool = True,
    seconds: float = 10,
) -> CheckResult:
    check = catalogue()["EndpointsReady"]
    tree = overlaid(aws_values(cache_redis_aws_url=here.redis.url()), values or {})
    parameters = check.parameters.model_validate(
        {"gracePeriod": grace, "loadingGracePeriod": "45m" if grace != "0s" else "0s", "readRecord": record}
    )
    async with connected(Access(kubeconfig=kubeconfig or str(here.plane.kubeconfig))) as api:
        context = Context(
            values=Values.merged([Layer(source="spec.values", values=tree)]),
            cluster=KubernetesCluster(api),
            namespace=here.namespace,
            timeout=timedelta(seconds=seconds),
            parameters={check.parameters: parameters},
            clock=lambda: datetime.now(UTC) + later,
        )
        report = await reported([check], context)
    return report.checks[0]


async def settled(here: World, case: Case, seconds: float = 25) -> CheckResult:
    """The verdict, as soon as the cluster has come to what the case is about."""
    deadline = time.monotonic() + seconds
    while True:
        result = await judge(here, grace=case.grace, later=case.later, values=case.values)
        found = [f for f in result.findings if f.reason == case.reason and case.says in f.message]
        if found or time.monotonic() > deadline:
            assert found, [(f.reason, f.message) for f in result.findings]
            return result
        await asyncio.sleep(0.1)


@pytest.mark.integration
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
async def test_each_symptom_has_its_cause(case: Case, world: World) -> None:
    if case.record:
        world.record(case.record, reason=case.record_reason)
    case.stage(world)
    result = await settled(world, case)
    reasons = {reason.name: reason for reason in EndpointReasons.all()}
    found = {f.reason: f.status for f in result.findings}
    declared = reasons.get(case.reason, InstallationReasons.RECORD_NOT_READ)
    is_cause = declared in ORDER[: ORDER.index(EndpointReasons.PARTLY_READY)]
    alone_warns = declared in OF_THE_OWNER
    expected = Status.WARN if alone_warns else Status.FAIL if is_cause else declared.status
    assert found.pop(case.reason) is expected
    assert Status.FAIL not in found.values()
    if is_cause or case.cause:
        (endpoint,) = result.endpoints or ()
        assert (endpoint.endpoint_id, endpoint.name) == (ID, TITLE)
        assert endpoint.cause == (case.cause or case.reason)
        assert endpoint.message
        assert endpoint.remediation
        assert case.fix in endpoint.remediation
    else:
        assert result.endpoints == ()
    assert any(case.proof in str(line) for line in result.evidence.values()), result.evidence
    shown = json.dumps([result.message, dict(result.evidence), [str(e) for e in result.endpoints or ()]])
    assert PASSWORD not in shown
    assert "abcdef0123456789" not in shown


@pytest.mark.integration
async def test_the_platforms_own_record_is_evidence(world: World) -> None:
    world.record("READY")
    world.redis.call("SET", cache_key("", ID), "{}", "EX", "60")
    world.deployment(stage="err-image-pull", notes={MESSAGE_ANNOTATION: NOT_FOUND})
    result = await settled(world, Case(id="", reason="ImageNotFound", says="", stage=nothing))
    lines = " | ".join(str(value) for value in result.evidence.values())
    assert "record: READY for 1h, task task-1" in lines
    assert "cacher's key: expires in " in lines


@pytest.mark.integration
async def test_a_second_look_finds_the_same_words(world: World) -> None:
    """Nothing of a message may be a length of time, or every pass would write."""
    world.record("UPDATE_PENDING")
    first = await judge(world)
    second = await judge(world, later=timedelta(minutes=7))
    assert first.message == second.message
    assert first.endpoints == second.endpoints


READS = ("pods", "deployments", "replicasets", "statefulsets", "scaledobjects", "leaderworkersets")


@pytest.mark.integration
async def test_what_may_not_be_read_is_named_and_the_rest_is_judged(world: World) -> None:
    world.record("READY")
    world.deployment(stage="oom-killed")
    world.staged()
    kubeconfig = str(world.plane.service_account_kubeconfig(world.namespace, "prober"))
    rbac = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{world.namespace}"
    rules = [
        {"apiGroups": ["*"], "resources": [*READS], "verbs": ["list"]},
        {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]},
    ]
    world.post(f"{rbac}/roles", {"metadata": {"name": "prober"}, "rules": rules})
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "prober"}
    subject = {"kind": "ServiceAccount", "name": "prober", "namespace": world.namespace}
    world.post(
        f"{rbac}/rolebindings", {"metadata": {"name": "prober"}, "roleRef": role, "subjects": [subject]}
    )
    result = await judge(world, kubeconfig=kubeconfig)
    found = {finding.reason: finding.message for finding in result.findings}
    assert set(found) == {"OutOfMemory", "IncompleteData"}
    unseen = [finding.message for finding in result.findings if finding.reason == "IncompleteData"]
    assert f"not allowed to list events in namespace {world.namespace}" in unseen


@pytest.mark.integration
async def test_a_database_and_a_redis_that_hang_leave_time_for_the_rest(world: World) -> None:
    world.deployment(stage="oom-killed")
    world.staged()
    with ports.black_hole() as (host, port):
        data = {"database_url": f"postgresql://u:{PASSWORD}@{host}:{port}/x"}
        world.post(world.path("secrets"), {"metadata": {"name": "hangs"}, "stringData": data})
        launch = {"cache_redis_aws_url": f"redis://{host}:{port}/0"}
        values = {
            "secrets": {"kubernetesDatabaseSecretName": "hangs"},
            "config": {"values": {"launch": launch}},
        }
        result = await judge(world, values=values, seconds=3)
    found = {finding.reason: finding.message for finding in result.findings}
    assert set(found) == {"OutOfMemory", "RecordNotRead"}


@pytest.mark.integration
async def test_a_list_that_is_too_long_is_named(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.deployment(stage="oom-killed", replicas=3)
    eventually(world.pods, lambda found: len(found) == 3)
    whole = await judge(world, record=False)
    assert not [finding for finding in whole.findings if finding.reason == "IncompleteData"]
    monkeypatch.setattr("mehc_checks.clients.kubernetes.reader.PAGE", 1)
    monkeypatch.setattr("mehc_checks.clients.kubernetes.reader.MOST", 2)
    result = await judge(world, record=False)
    unseen = [finding.message for finding in result.findings if finding.reason == "IncompleteData"]
    assert f"only the first 2 pods in namespace {world.namespace} were read" in unseen


@pytest.mark.integration
async def test_without_the_record_kubernetes_alone_is_judged(world: World) -> None:
    runs(world)
    result = await judge(
        world, record=False, values={"secrets": {"kubernetesDatabaseSecretName": "dead"}}, later=HOUR
    )
    assert (result.status, result.reason) == (Status.PASS, "EndpointsReady")


async def test_no_cluster_is_given() -> None:
    check = catalogue()["EndpointsReady"]
    context = Context(values=Values.merged([]))
    report = await reported([check], context)
    assert (report.checks[0].status, report.checks[0].reason) == (Status.SKIP, "NotApplicable")


def test_every_reason_has_a_case() -> None:
    of_registries = {reason.name for reason in PROVED}  # test_registry_answers.py
    cases = {case.reason for case in CASES} - {"RecordNotRead"}
    assert {reason.name for reason in EndpointReasons.all()} == cases | of_registries


def test_every_cause_has_its_place_and_its_symptom() -> None:
    causes = set(EndpointReasons.all()) - {EndpointReasons.READY}
    assert sorted(reason.name for reason in ORDER) == sorted(reason.name for reason in causes)
    shown = [reason.name for symptom in SYMPTOMS for reason in symptom.causes]
    assert sorted(shown) == sorted(reason.name for reason in causes)
