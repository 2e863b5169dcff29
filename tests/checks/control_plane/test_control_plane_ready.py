"""ControlPlaneReady on installations by the real Helm, with KWOK's kubelets, each broken in turn."""

import asyncio
import contextlib
import secrets
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
import redis

from mehc_checks.checks.control_plane.check import control_plane_ready
from mehc_checks.checks.control_plane.facts import Component, ControlPlaneFacts
from mehc_checks.checks.control_plane.gateway import QUESTION, USER
from mehc_checks.checks.control_plane.parameters import GatewayParameters
from mehc_checks.checks.control_plane.reasons import ControlPlaneReasons
from mehc_checks.clients.kubernetes.api import KubernetesCluster
from mehc_checks.core.outcome import Severity, Status
from mehc_checks.engine.check import catalogue
from mehc_checks.engine.report import CheckResult, Report
from mehc_checks.installation.context import Context
from mehc_checks.installation.discover import discover
from mehc_checks.installation.objects import ListedReleases
from mehc_checks.modelengine.endpoints import cache_key
from mehc_checks.modelengine.values import Layer
from mehc_operator.connection import Access, connected
from testbed.controlplane import ControlPlane
from testbed.endpoints import LEADER_WORKER_SET
from testbed.helm import Helm
from testbed.httpserver import Reply, Request, ScriptedServer
from testbed.identity import as_account
from testbed.installation import DATABASE_SECRET, Tree, overlaid
from testbed.judging import reported as carried_out
from testbed.kwok import DELAY_ANNOTATION, STAGE_LABEL, Kwok
from testbed.modelengine import migrate
from testbed.names import leading
from testbed.pki import CertificateAuthority
from testbed.ports import black_hole, garbage_server, refused_port, silent_server
from testbed.postgres import Postgres
from testbed.redis import Redis
from testbed.rulejudging import at
from testbed.sound import AWS
from testbed.waiting import eventually

NAME = "model-engine"
PRODUCED: set[str] = set()
MERGE = "application/merge-patch+json"


@dataclass(frozen=True, kw_only=True)
class World:
    """One namespace with model engine in it, and the namespace of its endpoints."""

    plane: ControlPlane
    namespace: str
    endpoints: str

    def path(self, resource: str, name: str = "", *, group: str = "", version: str = "v1") -> str:
        root = f"/apis/{group}/{version}" if group else f"/api/{version}"
        return f"{root}/namespaces/{self.namespace}/{resource}" + (f"/{name}" if name else "")

    def deployment(self, name: str, patch: Mapping[str, Any]) -> None:
        self.plane.api("PATCH", self.path("deployments", name, group="apps"), patch, content_type=MERGE)

    def template(self, name: str, *, labels: Mapping[str, str] | None = None, **pod: Any) -> None:
        """Change a Deployment's pods, the old ones making room first."""
        template = {
            "metadata": {"labels": labels or {}, "annotations": pod.pop("annotations", {})},
            "spec": pod,
        }
        strategy = {"type": "Recreate", "rollingUpdate": None}
        self.deployment(name, {"spec": {"strategy": strategy, "template": template}})

    def pods(self, name: str) -> list[Any]:
        found = self.plane.api("GET", self.path("pods") + f"?labelSelector=app%3D{name}")["items"]
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def delete(self, resource: str, name: str) -> None:
        self.plane.kubectl("delete", resource, name, "-n", self.namespace)

    def settled(self) -> None:
        for name in (NAME, f"{NAME}-cacher", f"{NAME}-endpoint-builder"):
            self.wait(f"deployment/{name}")
        self.wait("statefulset/celery-autoscaler-sqs")

    def wait(self, workload: str) -> None:
        self.plane.kubectl("rollout", "status", "-n", self.namespace, workload, "--timeout=60s")


@pytest.fixture(scope="module")
def classes(control_plane: ControlPlane) -> None:
    """What the real chart makes once in a cluster."""
    priority = [
        {
            "apiVersion": "scheduling.k8s.io/v1",
            "kind": "PriorityClass",
            "metadata": {"name": f"model-engine-{name}-priority"},
            "value": value,
        }
        for name, value in (("low", 0), ("default", 1), ("high", 100000))
    ]
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": NAME},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
        "subjects": [],
    }
    control_plane.apply([*priority, binding])


@pytest.fixture
def world(
    control_plane: ControlPlane, kwok: Kwok, classes: None, namespace: str, redis_server: Redis
) -> Iterator[World]:
    with installed(control_plane, namespace, redis_server) as here:
        yield here


@pytest.fixture(scope="module")
def shared(control_plane: ControlPlane, kwok: Kwok, classes: None, redis_server: Redis) -> Iterator[World]:
    """For tests that change nothing in it."""
    namespace = control_plane.create_namespace()
    with installed(control_plane, namespace, redis_server) as here:
        yield here
    control_plane.delete_namespace(namespace)


@contextlib.contextmanager
def installed(control_plane: ControlPlane, namespace: str, redis_server: Redis) -> Iterator[World]:
    endpoints = control_plane.create_namespace()
    values = overlaid(
        AWS,
        at("config.values.launch.endpoint_namespace", endpoints),
        at("config.values.launch.cache_redis_aws_url", f"redis://127.0.0.1:{redis_server.port}/15"),
        at("celery_autoscaler.num_shards", 1),
        at("autoscaling.horizontal.enabled", False),  # there is no metrics adapter here
    )
    Helm(control_plane).install("me", namespace, values)
    here = World(plane=control_plane, namespace=namespace, endpoints=endpoints)
    here.settled()
    yield here
    control_plane.delete_namespace(endpoints)


async def judged(world: World, **words: Any) -> CheckResult:
    """The check's result; ``words`` are those of ``reported``."""
    result = (await reported(world, **words)).checks[0]
    PRODUCED.update(finding.reason for finding in result.findings)
    return result


async def reported(
    world: World,
    *others: str,
    given: Tree | None = None,
    cluster: KubernetesCluster | None = None,
    gateway: str = "",
    later: timedelta = timedelta(),
    seconds: float = 10,
) -> Report:
    """Of this check and ``others``. ``gateway`` is the parameter gatewayUrl, ``later`` how far its clock is on."""
    async with connected(Access(kubeconfig=str(world.plane.kubeconfig))) as api:
        asked = cluster or KubernetesCluster(api)
        installation = await discover(
            KubernetesCluster(api), ListedReleases(KubernetesCluster(api)), world.namespace
        )
        values = installation.under([Layer(source="spec.values", values=given or {})])
        context = Context(
            values=values,
            cluster=asked,
            namespace=world.namespace,
            installation=installation,
            timeout=timedelta(seconds=seconds),
            parameters={GatewayParameters: GatewayParameters(gateway_url=gateway)},
            clock=lambda: datetime.now(UTC) + later,
        )
        checks = [catalogue()[name] for name in ("ControlPlaneReady", *others)]
        return await carried_out(checks, context)


def messages(result: CheckResult) -> str:
    return " | ".join(finding.message for finding in result.findings)


async def settled(world: World, reason: str, cause: str = "", **words: Any) -> CheckResult:
    """The result, once it has ``reason`` and its message names ``cause``: controllers and kubelets take a moment."""
    deadline = time.monotonic() + 120
    while True:
        result = await judged(world, **words)
        if reason in {finding.reason for finding in result.findings} and cause in result.message:
            return result
        if time.monotonic() > deadline:
            raise AssertionError(result)
        await asyncio.sleep(0.2)


async def test_sound(world: World) -> None:
    result = await judged(world)
    assert (result.status, result.reason) == (Status.PASS, "ControlPlaneReady"), result.message
    assert result.message == "gateway 2/2, cacher 1/1, builder 1/1, autoscaler 1/1"


async def test_it_agrees_with_kubectl(world: World) -> None:
    shown = world.plane.kubectl("get", "deployment", "-n", world.namespace, "--no-headers")
    ready = {line.split()[0]: line.split()[1] for line in shown.splitlines()}
    result = await judged(world)
    assert str(result.evidence["gateway"]).startswith(ready[NAME])
    assert str(result.evidence["builder"]).startswith(ready[f"{NAME}-endpoint-builder"])


@pytest.mark.parametrize(
    ("role", "name"),
    [("gateway", NAME), ("cacher", f"{NAME}-cacher"), ("builder", f"{NAME}-endpoint-builder")],
)
async def test_a_component_that_is_not_ready_has_the_cause(world: World, role: str, name: str) -> None:
    world.template(name, labels={STAGE_LABEL: "image-pull-backoff"})
    reason = f"{role.capitalize()}NotReady"
    eventually(lambda: world.pods(name), lambda pods: any(_waits(pod) for pod in pods))
    result = await settled(world, reason, "Image")
    assert (result.status, result.reason) == (Status.FAIL, reason)
    assert f"{role}: 0 of " in result.message
    assert result.remediation


def _waits(pod: Any) -> bool:
    return any("waiting" in each.get("state", {}) for each in pod["status"].get("containerStatuses", ()))


async def test_a_cacher_that_ends_again_and_again(world: World) -> None:
    world.template(f"{NAME}-cacher", labels={STAGE_LABEL: "crash-loop"})
    result = await settled(world, "CacherNotReady", "ContainerCrashing")
    assert "--previous" in result.remediation


async def test_a_pod_without_a_node_has_the_schedulers_words(world: World) -> None:
    world.template(NAME, nodeSelector={"no-such": "label"})
    eventually(
        lambda: world.pods(NAME),
        lambda pods: any(pod["status"].get("conditions") and not pod["spec"].get("nodeName") for pod in pods),
    )
    await settled(world, "GatewayNotReady", "NodeLabelsUnmatched")


async def test_a_component_that_was_deleted(world: World) -> None:
    world.delete("deployment", f"{NAME}-cacher")
    result = await judged(world)
    assert (result.status, result.reason) == (Status.FAIL, "ComponentMissing")
    assert f"cacher: Deployment {NAME}-cacher does not exist in namespace {world.namespace}" in result.message


async def test_a_component_without_replicas(world: World) -> None:
    world.plane.kubectl("scale", "-n", world.namespace, f"deployment/{NAME}-endpoint-builder", "--replicas=0")
    result = await settled(world, "ScaledDown")
    assert result.message == f"builder: Deployment {NAME}-endpoint-builder requests 0 pods"
    assert (
        f"kubectl scale Deployment {NAME}-endpoint-builder -n {world.namespace} --replicas=1"
        in result.remediation
    )


async def test_a_cacher_without_replicas_only_warns(world: World) -> None:
    """The platform reads each state from Kubernetes instead."""
    world.plane.kubectl("scale", "-n", world.namespace, f"deployment/{NAME}-cacher", "--replicas=0")
    result = await settled(world, "ScaledDown")
    assert (result.status, result.message) == (
        Status.WARN,
        f"cacher: Deployment {NAME}-cacher requests 0 pods",
    )


async def test_the_autoscaler(world: World) -> None:
    path = world.path("statefulsets", "celery-autoscaler-sqs", group="apps")
    world.plane.api("PATCH", path, {"spec": {"replicas": 0}}, content_type=MERGE)
    result = await settled(world, "ScaledDown")
    assert (result.status, result.reason) == (Status.FAIL, "ScaledDown")
    assert "autoscaler: StatefulSet celery-autoscaler-sqs requests 0 pods" in result.message
    template = {"spec": {"nodeSelector": {"no-such": "label"}}}
    world.plane.api("PATCH", path, {"spec": {"replicas": 1, "template": template}}, content_type=MERGE)
    result = await settled(world, "AutoscalerNotReady")
    assert "autoscaler: 0 of 1 pod" in result.message
    world.plane.api("DELETE", path)
    result = await settled(world, "ComponentMissing")
    assert "StatefulSet celery-autoscaler-sqs does not exist" in result.message
    off = at("celery_autoscaler.enabled", False)
    assert (await judged(world, given=off)).reason == "ControlPlaneReady"


async def test_a_rollout_that_does_not_get_on(world: World) -> None:
    template = {"metadata": {"labels": {STAGE_LABEL: "image-pull-backoff"}}}
    world.deployment(NAME, {"spec": {"progressDeadlineSeconds": 1, "template": template}})
    result = await settled(world, "RolloutStuck", "ProgressDeadlineExceeded (Image")
    assert result.status is Status.FAIL
    assert "gateway: " in result.message
    assert "of the old revision, ProgressDeadlineExceeded (Image" in result.message
    assert result.remediation


async def test_a_rollout_that_is_paused(world: World) -> None:
    """Its old pods are ready, and as many as are wanted."""
    world.deployment(NAME, {"spec": {"paused": True}})
    assert (await judged(world)).reason == "ControlPlaneReady"  # there is nothing to roll out
    world.deployment(NAME, {"spec": {"template": {"metadata": {"annotations": {"upgraded": "yes"}}}}})
    result = await settled(world, "RolloutPaused")
    assert (result.status, result.message) == (
        Status.WARN,
        f"gateway: 2 pods of the old revision, Deployment {NAME} is paused",
    )
    assert f"kubectl rollout resume deployment/{NAME} -n {world.namespace}" in result.remediation


async def test_a_probe_whose_command_is_not_in_the_image(world: World) -> None:
    name = f"{NAME}-endpoint-builder"
    world.template(name, labels={STAGE_LABEL: "slow-start"}, annotations={DELAY_ANNOTATION: "1h"})
    (pod,) = eventually(
        lambda: [pod for pod in world.pods(name) if _runs_unready(pod)], lambda pods: len(pods) == 1, 30
    )
    message = (
        "Readiness probe errored and resulted in unknown state: rpc error: code = Unknown desc = failed to exec in "
        'container: failed to start exec "abc": OCI runtime exec failed: exec failed: unable to start container '
        'process: exec: "bash": executable file not found in $PATH: unknown'
    )
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    about = {"kind": "Pod", "name": pod["metadata"]["name"], "namespace": world.namespace}
    event = {
        "metadata": {"generateName": "kubelet-"},
        "involvedObject": about,
        "reason": "Unhealthy",
        "message": message,
        "type": "Warning",
        "firstTimestamp": now,
        "lastTimestamp": now,
    }
    world.plane.api("POST", world.path("events"), event)
    result = await settled(world, "BuilderNotReady", "ProbeCommandMissing")
    assert "cannot execute bash (executable file not found in $PATH)" in result.message
    assert "endpointBuilder.readinessProbe" in result.remediation


async def test_a_pod_that_just_starts_beside_one_that_serves(world: World) -> None:
    """As after each step of a HorizontalPodAutoscaler, and at each helm upgrade."""
    template = {"metadata": {"labels": {STAGE_LABEL: "slow-start"}, "annotations": {DELAY_ANNOTATION: "1h"}}}
    rolling = {"maxSurge": 0, "maxUnavailable": 1}
    world.deployment(NAME, {"spec": {"strategy": {"rollingUpdate": rolling}, "template": template}})
    status = world.path("deployments", NAME, group="apps")
    eventually(
        lambda: world.plane.api("GET", status)["status"],
        lambda found: (found.get("readyReplicas"), found.get("updatedReplicas")) == (1, 1),
    )
    eventually(lambda: world.pods(NAME), lambda pods: any(_runs_unready(pod) for pod in pods))
    result = await judged(world)
    assert result.reason == "ControlPlaneReady", result.message
    result = await judged(world, later=timedelta(minutes=6))
    assert (result.status, result.reason) == (Status.FAIL, "GatewayNotReady")
    assert "gateway: 1 of 2 pods ready (ReadinessFailing" in result.message


def _runs_unready(pod: Any) -> bool:
    return any(
        "running" in each.get("state", {}) and not each["ready"]
        for each in pod["status"].get("containerStatuses", ())
    )


async def test_two_faults_at_once_are_two_root_causes(world: World) -> None:
    """No database keeps an image from being pulled; it does keep a cacher from running."""
    world.template(f"{NAME}-cacher", labels={STAGE_LABEL: "image-pull-backoff"})
    pods = f"{NAME}-cacher"
    eventually(lambda: world.pods(pods), lambda found: any(_waits(pod) for pod in found))
    await settled(world, "CacherNotReady")
    report = await reported(world, "DatabaseMigrated")
    assert {(cause.check, cause.reason) for cause in report.root_causes} == {
        ("DatabaseMigrated", "SecretNotFound"),
        ("ControlPlaneReady", "CacherNotReady"),
    }
    world.template(f"{NAME}-cacher", labels={STAGE_LABEL: "crash-loop"})
    eventually(
        lambda: world.pods(pods), lambda found: any(_is_staged(pod, "crash-loop") for pod in found), 30
    )
    report = await reported(world, "DatabaseMigrated")
    assert [(cause.check, cause.explains) for cause in report.root_causes] == [
        ("DatabaseMigrated", ("ControlPlaneReady",))
    ], report.checks


def _is_staged(pod: Any, stage: str) -> bool:
    return _waits(pod) and pod["metadata"]["labels"].get(STAGE_LABEL) == stage


async def test_restarts(world: World) -> None:
    (pod,) = world.pods(f"{NAME}-cacher")
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    status = {
        **pod["status"]["containerStatuses"][0],
        "restartCount": 5,
        "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled", "finishedAt": now}},
    }
    path = world.path("pods", pod["metadata"]["name"]) + "/status"
    world.plane.api("PATCH", path, {"status": {"containerStatuses": [status]}}, content_type=MERGE)
    result = await settled(world, "Restarting")
    assert (result.status, result.message) == (
        Status.WARN,
        "cacher: a container was restarted 5 times, last by OOMKilled",
    )


async def test_objects_that_are_missing(world: World) -> None:
    world.delete("configmap", f"{NAME}-service-template-config")
    world.delete("serviceaccount", NAME)
    result = await judged(world)
    assert (result.status, result.reason) == (Status.FAIL, "ObjectMissing")
    assert result.message == f"missing: ConfigMap {NAME}-service-template-config, ServiceAccount {NAME}"


async def test_another_fullname_lacks_what_the_platform_looks_for_by_name(world: World) -> None:
    world.delete("configmap", "model-engine-recommended-hardware-config")
    result = await judged(world)
    assert result.reason == "ObjectMissing"
    assert "ConfigMap model-engine-recommended-hardware-config" in result.message


async def test_a_failed_migration(world: World) -> None:
    job = f"{NAME}-database-migration-1"
    spec = {
        "backoffLimit": 0,
        "template": {
            "spec": {
                "restartPolicy": "Never",
                "nodeSelector": {"no-such": "label"},  # or KWOK would let it succeed
                "containers": [{"name": "m", "image": "m"}],
            }
        },
    }
    path = world.path("jobs", group="batch")
    world.plane.api("POST", path, {"metadata": {"name": job}, "spec": spec})
    pods = world.path("pods") + f"?labelSelector=job-name%3D{job}"
    (pod,) = eventually(lambda: world.plane.api("GET", pods)["items"], bool)
    failed = {"status": {"phase": "Failed"}}
    name = pod["metadata"]["name"]
    world.plane.api("PATCH", world.path("pods", name) + "/status", failed, content_type=MERGE)
    eventually(
        lambda: world.plane.api("GET", world.path("jobs", job, group="batch"))["status"],
        lambda status: any(each["type"] == "Failed" for each in status.get("conditions", ())),
    )
    result = await settled(world, "MigrationJobFailed")
    assert result.message == f"Job {job} failed (BackoffLimitExceeded)"


@pytest.mark.parametrize("roles", [("gateway",), ("cacher",), ("gateway", "cacher", "builder")], ids=" ".join)
async def test_an_image_that_is_not_the_releases(world: World, roles: tuple[str, ...]) -> None:
    """As ``kubectl set image`` leaves it."""
    names = {"gateway": NAME, "cacher": f"{NAME}-cacher", "builder": f"{NAME}-endpoint-builder"}
    for name in (names[role] for role in roles):
        image = {"name": name, "image": "registry.example.com/model-engine:other"}
        world.template(name, containers=[image])
    world.settled()
    result = await settled(world, "ImageDrift")
    assert result.status is Status.WARN
    running = ", ".join(f"{role} runs other" for role in roles)
    assert result.message == f"{running}; the release has {AWS['tag']}: changed outside of Helm"
    assert f"helm rollback me 1 -n {world.namespace}" in result.remediation
    with ScriptedServer(lambda _: Reply(500, ERROR)) as server:
        report = await reported(world, gateway=server.url)
    assert report.checks[0].status is Status.FAIL
    assert [(cause.check, cause.reason) for cause in report.root_causes] == [
        ("ControlPlaneReady", "ImageDrift")
    ]
    assert report.root_causes[0].message.startswith(running)


async def test_tags_differ(world: World) -> None:
    path = world.path("statefulsets", "celery-autoscaler-sqs", group="apps")
    image = {"name": "main", "image": "registry.example.com/model-engine:other"}
    template = {"spec": {"containers": [image]}}
    world.plane.api("PATCH", path, {"spec": {"template": template}}, content_type=MERGE)
    world.settled()
    result = await settled(world, "TagsDiffer")
    assert result.status is Status.WARN
    assert "autoscaler runs other" in result.message


async def test_a_digest_is_no_tag(world: World) -> None:
    image = f"registry.example.com/model-engine@sha256:{'ab' * 32}"
    world.template(f"{NAME}-cacher", containers=[{"name": f"{NAME}-cacher", "image": image}])
    world.settled()
    result = await judged(world)
    assert (result.status, result.evidence["cacher"]) == (Status.PASS, f"1/1 {image}"), result.message


def autoscaler(world: World) -> str:
    """A HorizontalPodAutoscaler of the gateway on a metric that nothing serves; the path of its status."""
    metric = {
        "type": "Pods",
        "pods": {
            "metric": {"name": "request-concurrency-average"},
            "target": {"type": "AverageValue", "averageValue": "50"},
        },
    }
    spec = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": NAME},
        "minReplicas": 2,
        "maxReplicas": 3,
        "metrics": [metric],
    }
    path = world.path("horizontalpodautoscalers", group="autoscaling", version="v2")
    world.plane.api("POST", path, {"metadata": {"name": NAME}, "spec": spec})
    return f"{path}/{NAME}/status"


async def test_a_gateway_that_cannot_be_scaled(world: World) -> None:
    autoscaler(world)
    result = await settled(world, "GatewayNotScaled")
    assert result.status is Status.WARN
    assert "its HorizontalPodAutoscaler reports FailedGetPodsMetric" in result.message
    assert "metrics adapter" in result.remediation


@pytest.mark.parametrize(
    ("reason", "fix"),
    [
        pytest.param(reason, fix, id=reason)
        for reason, fix in (
            ("InvalidMetricSourceType", f"kubectl get hpa {NAME} -n "),
            ("FailedGetResourceMetric", "metrics-server"),
            ("FailedUpdateScale", f"kubectl describe hpa {NAME} -n "),
        )
    ],
)
async def test_what_the_autoscaler_reports(world: World, reason: str, fix: str) -> None:
    """Its controller reports what it finds itself every few seconds, so the condition is set before each look."""
    path = autoscaler(world)
    condition = {
        "type": "ScalingActive",
        "status": "False",
        "reason": reason,
        "message": "said by a controller",
    }
    for _ in range(300):
        world.plane.api("PATCH", path, {"status": {"conditions": [condition]}}, content_type=MERGE)
        result = await judged(world)
        found = [finding for finding in result.findings if reason in finding.message]
        if found:
            break
        await asyncio.sleep(0.2)
    assert [finding.reason for finding in found] == ["GatewayNotScaled"]
    assert fix in found[0].remediation
    assert "adapter" not in found[0].remediation


async def test_a_cacher_that_does_no_work(
    world: World, redis_server: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mehc_checks.checks.control_plane.gather._YOUNG", 0)  # the testbed's own is young
    labels = {"app": "launch-endpoint-id-end-1", "endpoint_id": "end_1"}
    deployment = {
        "metadata": {"name": "launch-endpoint-id-end-1", "labels": labels},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "m", "image": "m"}]},
            },
        },
    }
    world.plane.api("POST", f"/apis/apps/v1/namespaces/{world.endpoints}/deployments", deployment)
    client = redis.Redis.from_url(redis_server.url(15))
    key = cache_key("", "end_1")
    client.delete(key)
    result = await settled(world, "CacherStale")
    assert (result.status, result.reason) == (Status.FAIL, "CacherStale")
    client.set(key, "{}", ex=10)
    assert (await judged(world)).reason == "CacherStale"
    client.set(key, "{}", ex=55)
    assert (await judged(world)).reason == "ControlPlaneReady"
    client.delete(key)
    monkeypatch.undo()
    with Redis() as restarted:  # seconds ago, and what it held is gone
        url = f"redis://127.0.0.1:{restarted.port}/15"
        given = at("config.values.launch.cache_redis_aws_url", url)
        assert (await judged(world, given=given)).reason == "ControlPlaneReady"
    result = await judged(world, given=given)
    assert (result.status, result.reason) == (Status.ERROR, "CacherNotJudged")


@pytest.mark.parametrize(
    ("resource", "name", "missing", "given"),
    [
        ("service", NAME, f"Service {NAME}", {}),
        ("poddisruptionbudget", NAME, f"PodDisruptionBudget {NAME}", {}),
        ("", "", f"HorizontalPodAutoscaler {NAME}", at("autoscaling.horizontal.enabled", True)),
    ],
    ids=["service", "budget", "scaler"],
)
async def test_objects_of_the_gateway(
    world: World, resource: str, name: str, missing: str, given: Tree
) -> None:
    if resource:
        world.delete(resource, name)
    result = await judged(world, given=given)
    assert (result.status, result.message) == (Status.FAIL, f"missing: {missing}")
    off = overlaid(at("podDisruptionBudget.enabled", False), at("autoscaling.horizontal.enabled", False))
    said = (await judged(world, given=off)).message
    assert ("missing" in said) == (resource == "service")


async def test_a_config_map_of_the_endpoint_namespace(world: World) -> None:
    world.plane.kubectl("delete", "configmap", f"{NAME}-service-config", "-n", world.endpoints)
    result = await judged(world)
    assert (result.status, result.reason) == (Status.FAIL, "ObjectMissing")
    assert result.message == f"missing: ConfigMap {NAME}-service-config in {world.endpoints}"


async def test_objects_of_the_cluster(world: World) -> None:
    """Of another fullname, so that no other test lacks them meanwhile."""
    result = await judged(world, given={"fullnameOverride": "other"})
    said = messages(result)
    assert "ClusterRoleBinding other" in said
    assert "ConfigMap other-service-config" in said
    assert "PriorityClass" not in said  # these have one name whatever the fullname is


async def test_workers_that_span_nodes(world: World) -> None:
    size = {"cpus": 10, "gpus": 8, "memory": "1Gi", "storage": "1Gi", "nodes_per_worker": 1}
    tier = {"gpu_memory_le": 640, "gpu_type": "nvidia-hopper-h100", **size}
    wide = {**tier, "nodes_per_worker": 2}
    given = at("recommendedHardware.byGpuMemoryGb", [wide])
    result = await judged(world, given=given)
    assert (result.status, result.reason) == (Status.FAIL, "LeaderWorkerSetMissing")
    assert result.leader.severity is Severity.WARNING  # what is served, is served
    assert result.message.startswith("recommendedHardware 640 GB spreads a worker over nodes")
    hidden = at("recommendedHardware.byGpuMemoryGb", [tier, wide])
    assert (await judged(world, given=hidden)).reason == "ControlPlaneReady"
    definition = f"crd/{LEADER_WORKER_SET['metadata']['name']}"
    world.plane.apply(LEADER_WORKER_SET)
    try:
        world.plane.wait_established()
        await settled(world, "ControlPlaneReady", given=given)
    finally:
        world.plane.kubectl("delete", definition)


async def test_a_migration_that_does_not_end(world: World) -> None:
    job, pod = f"{NAME}-database-setup-1", {"restartPolicy": "Never", "nodeSelector": {"no-such": "label"}}
    template = {"spec": {**pod, "containers": [{"name": "m", "image": "m"}]}}
    path = world.path("jobs", group="batch")
    world.plane.api("POST", path, {"metadata": {"name": job}, "spec": {"template": template}})
    assert (await judged(world)).reason == "ControlPlaneReady"
    result = await judged(world, later=timedelta(minutes=7))
    assert (result.status, result.reason) == (Status.WARN, "MigrationJobUnfinished")
    assert f"Job {job} began " in result.message
    assert "has not ended (NodeLabelsUnmatched: pod " in result.message
    assert "Label the nodes" in result.remediation


async def test_a_migration_that_a_sidecar_holds(world: World) -> None:
    """Its work is done, and istio-proxy runs on: the Job never completes."""
    job = f"{NAME}-database-migration-1"
    containers = [{"name": name, "image": "m"} for name in ("migration", "istio-proxy")]
    spec = {"restartPolicy": "Never", "nodeSelector": {"no-such": "label"}, "containers": containers}
    path = world.path("jobs", group="batch")
    world.plane.api("POST", path, {"metadata": {"name": job}, "spec": {"template": {"spec": spec}}})
    pods = world.path("pods") + f"?labelSelector=job-name%3D{job}"
    (pod,) = eventually(lambda: world.plane.api("GET", pods)["items"], bool)
    states = {
        "migration": {"terminated": {"exitCode": 0, "reason": "Completed"}},
        "istio-proxy": {"running": {"startedAt": "2026-01-01T00:00:00Z"}},
    }
    statuses = [
        {"name": name, "image": "m", "imageID": "", "ready": False, "restartCount": 0, "state": state}
        for name, state in states.items()
    ]
    status = {"status": {"phase": "Running", "containerStatuses": statuses}}
    name = pod["metadata"]["name"]
    world.plane.api("PATCH", world.path("pods", name) + "/status", status, content_type=MERGE)
    result = await settled(world, "JobHeldBySidecar")
    assert (result.status, result.message) == (
        Status.WARN,
        f"Job {job}: container migration has completed, but sidecar istio-proxy keeps pod {name} running",
    )
    assert 'sidecar.istio.io/inject: "false"' in result.remediation


OF_A_KEY = {"env": [{"name": "DB", "valueFrom": {"secretKeyRef": {"name": "database", "key": "password"}}}]}


@pytest.mark.parametrize(
    ("role", "reads"),
    [
        ("cacher", OF_A_KEY),
        ("endpoint-builder", {"envFrom": [{"secretRef": {"name": "database"}}]}),
        ("", {"envFrom": [{"secretRef": {"name": "database"}, "prefix": "P_"}]}),
    ],
    ids=["a key", "envFrom of the builder", "envFrom of the gateway"],
)
async def test_a_secret_that_changed_after_its_pods_had_started(
    world: World, role: str, reads: dict[str, Any]
) -> None:
    """As a rotated password that no process has read. The sidecar reads nothing, and started first."""
    secret = {"metadata": {"name": "database"}, "stringData": {"password": "old", "other": "x"}}
    world.plane.api("POST", world.path("secrets"), secret)
    name = f"{NAME}-{role}".rstrip("-")
    deployment = world.plane.api("GET", world.path("deployments", name, group="apps"))
    image = deployment["spec"]["template"]["spec"]["containers"][0]["image"]
    own, sidecar = {"name": name, "image": image, **reads}, {"name": "istio-proxy", "image": "p:2"}
    world.template(name, containers=[own, sidecar])
    world.settled()
    pods = eventually(
        lambda: world.pods(name),
        lambda found: all(len(each["status"].get("containerStatuses", ())) == 2 for each in found),
    )

    def started(own: str) -> None:
        times = {name: own, "istio-proxy": "2026-01-01T00:00:00Z"}
        for pod in pods:
            path = world.path("pods", pod["metadata"]["name"]) + "/status"
            statuses = [
                {**each, "state": {"running": {"startedAt": times[each["name"]]}}}
                for each in pod["status"]["containerStatuses"]
            ]
            world.plane.api("PATCH", path, {"status": {"containerStatuses": statuses}}, content_type=MERGE)

    started("2026-01-01T00:00:00Z")
    result = await settled(world, "EnvironmentOutdated")
    found = next(finding for finding in result.findings if finding.reason == "EnvironmentOutdated")
    assert found.status is Status.WARN
    whose = {"cacher": "cacher", "endpoint-builder": "builder", "": "gateway"}[role]
    assert f"{whose}: Secret database changed 20" in found.message
    assert f"kubectl rollout restart Deployment/{name} -n {world.namespace}" in found.remediation
    assert "ImageDrift" not in str(result.findings)
    started(datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))
    result = await judged(world)
    assert "EnvironmentOutdated" not in {finding.reason for finding in result.findings}


ENDPOINTS = Reply(200, b'{"model_endpoints": []}', {"Content-Type": "application/json"})
ERROR = b'{"error": "Internal error occurred. Our team has been notified.", "request_id": "echo-me"}'


def model_engine(request: Request) -> Reply:
    """What model engine's own code does with a request for the list of endpoints, as far as is needed here."""
    if request.login is None:
        return Reply(401, b'{"detail": "No authentication was passed in"}')
    return (
        ENDPOINTS
        if request.path.startswith("/v1/model-endpoints")
        else Reply(404, b'{"detail": "Not Found"}')
    )


async def test_a_gateway_that_answers(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """At its Service's name, as from a pod of the cluster."""
    with ScriptedServer(model_engine) as server:
        _, _, port = server.address.rpartition(":")
        patch = [{"op": "replace", "path": "/spec/ports/0/port", "value": int(port)}]
        kind = "application/json-patch+json"
        world.plane.api("PATCH", world.path("services", NAME), patch, content_type=kind)  # type: ignore[arg-type]
        assert (await judged(world)).evidence["gatewayRequest"] == "not asked from outside the cluster"
        assert not server.requests
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")  # in a pod of another cluster
        monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
        assert (await judged(world)).evidence["gatewayRequest"] == "not asked from outside the cluster"
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", world.plane.host)
        monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(world.plane.port))
        name = f"{NAME}.{world.namespace}.svc:{port}"
        # the connection is tried at the address, the request is made by the name
        with leading({name: server.address}):
            result = await judged(world)
    assert (result.reason, result.evidence["gatewayRequest"]) == (
        "ControlPlaneReady",
        f"{name} answered an authenticated request",
    )
    assert [(each.method, each.path, each.login) for each in server.requests] == [
        ("GET", QUESTION, (USER, ""))
    ]
    result = await judged(world)
    assert (
        result.reason == "ControlPlaneReady"
    )  # the name does not resolve: that may concern this process alone
    assert "resolve" in str(result.evidence["gatewayRequest"])  # where DNS is silent, it "was not resolved"


@pytest.mark.parametrize(
    ("reply", "reason", "says"),
    [
        (Reply(500, ERROR), "GatewayError", "returned 500 to an authenticated request that lists endpoints"),
        (
            Reply(503, b"upstream connect error"),
            "GatewayBehindProxy",
            "returned 503: sent by a proxy in front of the gateway",
        ),
        (Reply(502), "GatewayBehindProxy", "returned 502"),
        (Reply(504), "GatewayBehindProxy", "returned 504"),
        (Reply(401, b'{"detail": "Could not authenticate user"}'), "", "returned 401: it requires a user"),
        (Reply(403, b"RBAC: access denied"), "", "returned 403: it requires a user that it knows"),
        (Reply(404, b'{"detail": "Not Found"}'), "", "returned 404 without a list of endpoints"),
        (Reply(429, b'{"error": "Too many requests"}'), "", "returned 429 without a list"),
        (Reply(302, headers={"Location": "http://elsewhere.example/"}), "", "returned 302, a redirect"),
        (Reply(200, b"<html><title>Sign in</title></html>"), "", "returned 200 without a list of endpoints"),
        (Reply(200, b"[]"), "", "returned 200 without a list of endpoints"),
        (Reply(200, b"\xff" * 70000), "", "returned 200 without a list of endpoints"),
    ],
    ids=["500", "503", "502", "504", "401", "403", "404", "429", "redirect", "html", "list", "bytes"],
)
async def test_what_else_a_gateway_answers(shared: World, reply: Reply, reason: str, says: str) -> None:
    with ScriptedServer(lambda _: reply) as server:
        result = await judged(shared, gateway=server.url)
    assert len(server.requests) == 1  # no redirect is followed
    said = str(result.evidence["gatewayRequest"])
    assert says in said
    assert result.reason == (reason or "ControlPlaneReady")
    if reason:
        assert result.message == f"gateway: {said}"
        assert shared.namespace in result.remediation
    assert not any(
        word in str(result) for word in ("echo-me", "notified", "upstream", "Sign in", "elsewhere")
    )


async def test_a_schema_that_is_behind_is_why_the_gateway_fails(world: World, postgres: Postgres) -> None:
    """The scripted gateway asks a real database what the platform would; its readiness looks at nothing."""
    name = f"behind_{secrets.token_hex(3)}"
    postgres.create_role(name, "secret")
    postgres.create_database(name, owner=name)
    migrate(postgres, name, revision="a1b2c3d4e5f6", owner=name)
    url = postgres.url(name, "secret", name)
    secret = {"metadata": {"name": DATABASE_SECRET}, "stringData": {"database_url": url}}
    world.plane.api("POST", world.path("secrets"), secret)

    def platform(_: Request) -> Reply:
        query = b"SELECT id, status_reason FROM hosted_model_inference.endpoints WHERE name = 'mehc-probe'"
        try:
            with psycopg.connect(url) as session:
                session.execute(query)
        except psycopg.Error:
            return Reply(500, ERROR)
        return ENDPOINTS

    with ScriptedServer(platform) as server:
        report = await reported(world, "DatabaseMigrated", gateway=server.url)
        (cause,) = report.root_causes
        assert (cause.check, cause.reason, cause.explains) == (
            "DatabaseMigrated",
            "RevisionBehind",
            ("ControlPlaneReady",),
        )
        assert report.checks[0].reason == "GatewayError"
        migrate(postgres, name, owner=name)
        assert (await judged(world, gateway=server.url)).reason == "ControlPlaneReady"


async def test_gateways_that_do_not_answer(
    shared: World, certificate_authority: CertificateAuthority
) -> None:
    with refused_port() as (host, port):
        result = await judged(shared, gateway=f"http://{host}:{port}")
    assert (result.status, result.reason) == (Status.FAIL, "GatewayUnreachable")
    assert "refused the connection" in result.message
    with silent_server() as (host, port):
        result = await judged(shared, gateway=f"http://{host}:{port}", seconds=5)
    assert (result.status, result.reason) == (Status.FAIL, "GatewayUnreachable")
    assert "accepted the connection and did not answer within 2 s" in result.message


async def test_what_proves_nothing_of_a_gateway(
    shared: World, certificate_authority: CertificateAuthority
) -> None:
    """A firewall, a mesh that demands its own certificates, and a stranger's certificate concern this process."""

    async def said(url: str) -> str:
        result = await judged(shared, gateway=url, seconds=5)
        assert result.reason == "ControlPlaneReady", result
        return str(result.evidence["gatewayRequest"])

    with black_hole() as (host, port):
        assert "did not answer within 1 s" in await said(f"http://{host}:{port}")
    with garbage_server(b"") as (host, port):
        assert "closed the connection without an answer" in await said(f"http://{host}:{port}")
    with garbage_server(b"SSH-2.0-OpenSSH_9.2\r\n") as (host, port):
        assert "does not speak HTTP" in await said(f"http://{host}:{port}")
    with ScriptedServer(model_engine, certificate=certificate_authority.issue()) as server:
        assert "is not trusted" in await said(server.url)
        assert "closed the connection" in await said(server.url.replace("https", "http"))


async def test_a_gateway_behind_tls(
    shared: World, certificate_authority: CertificateAuthority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate_authority.ca_file))
    with ScriptedServer(model_engine, certificate=certificate_authority.issue()) as server:
        result = await judged(shared, gateway=f"{server.url}/")
    assert result.evidence["gatewayRequest"] == f"{server.address} answered an authenticated request"


@pytest.mark.parametrize(
    "url",
    ["gateway", "ftp://gateway", "http://user:pw@gateway", "http://gateway:port", "http://gateway/x?y="],
)
async def test_a_gateway_url_that_is_none(shared: World, url: str) -> None:
    result = await judged(shared, gateway=url)
    assert result.status is Status.ERROR
    assert "parameters.gatewayUrl" in result.message
    assert "pw" not in result.message.split()


async def test_the_cause_of_a_gateway_without_pods_is_found_already(world: World) -> None:
    world.template(NAME, nodeSelector={"no-such": "label"})
    await settled(world, "GatewayNotReady")
    with refused_port() as (host, port):
        result = await judged(world, gateway=f"http://{host}:{port}")
    assert [finding.reason for finding in result.findings] == ["GatewayNotReady"]


async def test_what_may_not_be_read_is_named(world: World) -> None:
    rules = [{"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get", "list"]}]
    async with as_account(world.plane, world.namespace, rules) as cluster:
        result = await judged(world, cluster=cluster)
    assert (result.status, result.reason) == (Status.ERROR, "IncompleteData")
    assert f"not allowed to list pods in namespace {world.namespace}" in messages(result)
    assert "not allowed to get priorityclasses.scheduling.k8s.io" in messages(result)


def test_an_autoscaler_that_is_left_over() -> None:
    """Staged on real objects by ``tests/discovery/test_gitops.py``."""
    facts = ControlPlaneFacts(
        namespace="me",
        components=tuple(
            Component(role=role, kind="Deployment", name=role, exists=True, desired=1, ready=1)
            for role in ("gateway", "cacher", "builder")
        ),
        now=datetime.now(UTC),
        left_over=("celery-autoscaler-redis",),
        broker="sqs",
    )
    found = control_plane_ready(facts).leader
    PRODUCED.add(found.reason.name)
    assert found.reason is ControlPlaneReasons.AUTOSCALER_LEFT_OVER
    assert found.message == "StatefulSet celery-autoscaler-redis is left over: celeryBrokerType is sqs"
    assert "kubectl delete statefulset celery-autoscaler-redis -n me" in found.remediation


def test_every_reason_has_a_case() -> None:
    assert {reason.name for reason in ControlPlaneReasons.all()} <= PRODUCED
