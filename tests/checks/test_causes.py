"""Root causes on a real control plane: what is broken once, and seen by several checks, is told once."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest

from mehc_checks.checks.config.rules.catalogue import all_rules
from mehc_checks.clients.kubernetes.api import KubernetesCluster
from mehc_checks.core.outcome import Status
from mehc_checks.engine.check import catalogue
from mehc_checks.engine.correlate import Failure, RootCause
from mehc_checks.installation.context import Context
from mehc_checks.installation.metricsapi import EXTERNAL_METRICS
from mehc_checks.modelengine.accelerators import ACCELERATOR_LABEL
from mehc_checks.modelengine.endpoints import demand_key
from mehc_checks.modelengine.values import Layer, Values
from mehc_operator.connection import Access, connected
from mehc_operator.judgement import Verdict, judge
from mehc_operator.status import StatusReport
from testbed import keda, ports
from testbed.aggregation import register
from testbed.controlplane import ControlPlane
from testbed.endpoints import ID, IMAGE, NAME, World, emptied, prepared
from testbed.httpserver import Reply, ScriptedServer
from testbed.installation import Tree, overlaid
from testbed.judging import reported
from testbed.kwok import CONTAINER_ANNOTATION, MESSAGE_ANNOTATION, Kwok
from testbed.pki import CertificateAuthority
from testbed.postgres import Postgres
from testbed.redis import Redis
from testbed.rulejudging import at
from testbed.sound import AWS, BY_CLOUD, ONPREM
from testbed.waiting import eventually

pytestmark = pytest.mark.integration
INFRA, LAUNCH = "config.values.infra", "config.values.launch"
H100: Final = "nvidia-hopper-h100"
HERE: Final = {"S5-01": "this cluster has no Istio"}


@pytest.fixture(scope="module")
def plane(certificate_authority: CertificateAuthority) -> Iterator[ControlPlane]:
    """With KEDA's definitions and the metrics that it serves."""
    answer = ScriptedServer(lambda _: Reply(200, body=b"{}"), certificate=certificate_authority.issue())
    with ControlPlane() as plane, answer as external:
        keda.install(plane)
        port = int(external.address.rpartition(":")[2])
        register(plane, EXTERNAL_METRICS, namespace=keda.NAMESPACE, service=keda.METRICS_SERVER, port=port)
        yield plane


@pytest.fixture(scope="module")
def kubelets(plane: ControlPlane) -> Iterator[Kwok]:
    """One node, on which KEDA's pods are ready."""
    with Kwok(plane) as kubelets:
        kubelets.add_node("plain")
        keda.deploy(plane)
        yield kubelets


@pytest.fixture(scope="module")
def database(postgres: Postgres) -> str:
    return prepared(postgres)


@pytest.fixture
def world(
    plane: ControlPlane, kubelets: Kwok, postgres: Postgres, redis_server: Redis, database: str
) -> Iterator[World]:
    with emptied(plane, kubelets, postgres, redis_server, database) as here:
        here.post(here.path("serviceaccounts"), {"metadata": {"name": "model-engine-endpoints"}})
        yield here


async def told(
    world: World, names: tuple[str, ...], *overlays: Tree, cloud: Tree = AWS
) -> tuple[RootCause, ...]:
    """The root causes that the checks ``names`` have, by the runner; the operator tells the same."""
    values = overlaid(
        cloud,
        at(LAUNCH, {"endpoint_namespace": world.namespace, "istio_enabled": False}),
        at("aws.configMap.namespaces", [world.namespace]) if cloud is AWS else {},
        at("virtualservice.enabled", False),
        at("destinationrule.enabled", False),
        at("autoscaling.horizontal.enabled", False),
        *overlays,
    )
    checks = catalogue()
    ready = checks["EndpointsReady"]
    at_once = ready.parameters.model_validate({"gracePeriod": "0s", "loadingGracePeriod": "0s"})
    async with connected(Access(kubeconfig=str(world.plane.kubeconfig))) as api:
        context = Context(
            values=Values.merged([Layer(source="spec.values", values=values)]),
            cluster=KubernetesCluster(api),
            namespace=world.namespace,
            timeout=timedelta(seconds=10),
            parameters={ready.parameters: at_once},
            ignored_rules=HERE,
        )
        report = await reported(
            [check for name, check in checks.items() if not names or name in names], context
        )
    failing = {check.name for check in report.checks if check.status is Status.FAIL}
    assert failing == set(names), [(check.name, check.reason, check.message) for check in report.checks]
    moment = datetime.now(UTC)
    verdict = Verdict(
        generation=1,
        results=report.checks,
        confirmations=2,
        started=moment,
        took=timedelta(),
        next_probe=moment,
    )
    status = judge(verdict, StatusReport(), checks, moment)
    assert [(c.check, c.reason, c.message, tuple(c.explains)) for c in status.root_causes] == [
        (c.check, c.reason, c.message, c.explains) for c in report.root_causes
    ]
    first = report.root_causes[0]
    shown = status.condition("Ready")
    assert shown
    assert shown.message.startswith(f"{first.check}: {first.message}")
    assert (status.summary or "").startswith(f"{first.check}: ")
    return report.root_causes


def names(causes: tuple[RootCause, ...]) -> list[tuple[str, str, tuple[str, ...]]]:
    return [(cause.check, cause.reason, cause.explains) for cause in causes]


def unpullable(world: World, registry: str, count: int = 1) -> None:
    """``count`` endpoints whose image the kubelet cannot pull."""
    refused = f"dial tcp {registry}: connect: connection refused"
    message = f'failed to pull image "{IMAGE}": Head "https://{registry}/v2/": {refused}'
    world.deployment(
        stage="err-image-pull", notes={CONTAINER_ANNOTATION: "main", MESSAGE_ANNOTATION: message}
    )
    copied(world, count - 1)
    eventually(
        lambda: world.plane.api("GET", world.path("pods"))["items"],
        lambda pods: sum(bool(pod["status"].get("containerStatuses")) for pod in pods) >= count,
        seconds=30,
    )
    for number in range(count):
        world.record("READY", endpoint_id=ID if not number else f"end_copy{number}", name=f"llama{number}")


def copied(world: World, count: int) -> None:
    """More endpoints like the one that is there."""
    path = world.path("deployments", group="apps")
    given: Any = world.plane.api("GET", f"{path}/{NAME}")
    for number in range(1, count + 1):
        name = f"launch-endpoint-id-end-copy{number}"
        template = given["spec"]["template"]
        own = {"app": name, "endpoint_id": f"end_copy{number}", "endpoint_name": f"copy{number}"}
        labels = template["metadata"]["labels"] | own
        body = {
            "metadata": {"name": name, "labels": own},
            "spec": {
                "replicas": 1,
                "selector": {"matchLabels": {"app": name}},
                "template": {**template, "metadata": {**template["metadata"], "labels": labels}},
            },
        }
        world.post(path, body)


def unplaced(world: World) -> None:
    """One endpoint that asks for a GPU that no node has."""
    name = "launch-endpoint-id-end-gpu"
    body = {
        "metadata": {
            "name": name,
            "labels": {"endpoint_id": "end_gpu", "endpoint_name": "gpu"},
        },
        "spec": {
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name, "endpoint_id": "end_gpu", "endpoint_name": "gpu"}},
                "spec": {
                    "nodeSelector": {ACCELERATOR_LABEL: H100},
                    "containers": [{"name": "main", "image": IMAGE}],
                },
            },
        },
    }
    world.record("READY", endpoint_id="end_gpu", name="gpu")
    world.post(world.path("deployments", group="apps"), body)
    eventually(
        lambda: world.plane.api("GET", world.path("pods"))["items"],
        lambda pods: any(
            condition["type"] == "PodScheduled" and condition["status"] == "False"
            for pod in pods
            for condition in pod["status"].get("conditions", ())
        ),
        seconds=20,
    )


def asks_for_h100() -> Tree:
    tier = dict(AWS["recommendedHardware"]["byGpuMemoryGb"][0], gpu_type=H100)
    return overlaid(
        at("recommendedHardware.byGpuMemoryGb", [tier]), at("balloons", []), at("imageCache.devices", [])
    )


@pytest.mark.parametrize(
    ("address", "reason"), [("", "PrometheusAddressEmpty"), ("prometheus:9090", "PrometheusAddressInvalid")]
)
async def test_a_broken_prometheus_address(world: World, address: str, reason: str) -> None:
    """The rule leads: it is the value that a user edits. KEDA's and the endpoint's trouble follow from it."""
    world.record("READY")
    world.deployment(replicas=0)
    world.scaled_object(ready=False)
    world.redis.call("LPUSH", demand_key(ID), "1")
    world.clean.append(lambda: world.redis.call("DEL", demand_key(ID)))
    causes = await told(
        world,
        ("ConfigValid", "PrometheusQueryable", "EndpointsReady"),
        at(f"{INFRA}.prometheus_server_address", address),
        at(f"{LAUNCH}.cache_redis_aws_url", world.redis.url()),
    )
    assert names(causes) == [("ConfigValid", reason, ("EndpointsReady", "PrometheusQueryable"))]
    assert causes[0].message.startswith("config.values.infra.prometheus_server_address is ")
    assert causes[0].remediation.startswith("Set config.values.infra.prometheus_server_address to a URL ")
    assert causes[0].endpoints == 1


async def test_a_rule_that_has_nothing_to_do_with_it_stands_on_its_own(world: World) -> None:
    with ports.refused_port() as (host, port):
        causes = await told(
            world,
            ("ConfigValid", "PrometheusQueryable"),
            at(f"{INFRA}.prometheus_server_address", f"http://{host}:{port}"),
            at("service.port", 8080),
        )
    assert names(causes) == [
        ("ConfigValid", "ServicePortNot80", ()),
        ("PrometheusQueryable", "ConnectionRefused", ()),
    ]


async def test_more_endpoints_come_first(world: World) -> None:
    """Three endpoints wait for an image, one for a node: the registry is worth more than the node."""
    with ports.refused_port() as (host, port):
        registry = f"{host}:{port}"
        unpullable(world, registry, 3)
        unplaced(world)
        causes = await told(
            world,
            ("VllmImagePullable", "GpuNodesReady", "EndpointsReady"),
            at(f"{INFRA}.docker_repo_prefix", registry),
            asks_for_h100(),
        )
    assert names(causes) == [
        ("VllmImagePullable", "ConnectionRefused", ("EndpointsReady",)),
        ("GpuNodesReady", "NoNodeWithLabel", ("EndpointsReady",)),
    ]
    assert [cause.endpoints for cause in causes] == [3, 1]


async def test_a_builder_that_hears_another_broker(world: World) -> None:
    """Rule, broker and endpoints that stay UPDATE_PENDING: one cause, as severe as the broker."""
    for number in range(2):
        world.record("UPDATE_PENDING", endpoint_id=f"end_{number}", name=f"e{number}")
    causes = await told(
        world,
        ("ConfigValid", "BrokerReachable", "EndpointsReady"),
        at("celery_broker_type_redis", False),
        at("redisHost", "127.0.0.1"),
        at(f"{INFRA}.redis_host", "127.0.0.1"),
        at(f"{LAUNCH}.cache_redis_onprem_url", world.redis.url()),
        cloud=ONPREM,
    )
    assert names(causes) == [("ConfigValid", "BuilderConsumesSQS", ("BrokerReachable", "EndpointsReady"))]
    assert (causes[0].severity, causes[0].endpoints) == ("critical", 2)


async def test_an_endpoint_with_a_trouble_of_its_own_is_told_beside(world: World) -> None:
    with ports.refused_port() as (host, port):
        unpullable(world, f"{host}:{port}")
        world.record("UPDATE_FAILED", endpoint_id="end_other", name="other", reason="no bundle of that name")
        causes = await told(
            world,
            ("VllmImagePullable", "EndpointsReady"),
            at(f"{INFRA}.docker_repo_prefix", f"{host}:{port}"),
        )
    assert names(causes) == [
        ("VllmImagePullable", "ConnectionRefused", ()),
        ("EndpointsReady", "EndpointUpdateFailed", ()),
    ]
    assert "no bundle of that name" in causes[1].message
    assert "connection refused" not in causes[1].message
    assert [cause.endpoints for cause in causes] == [1, 1]


NOWHERE: Final = "127.0.0.1:1"
ON_REDIS: Final = overlaid(at("redisHost", "127.0.0.1"), at(f"{INFRA}.redis_host", "127.0.0.1"))
PROMETHEUS: Final = f"{INFRA}.prometheus_server_address"


@pytest.mark.parametrize(
    ("cloud", "change", "rule", "failure"),
    [
        ("gcp", at(f"{INFRA}.cloud_provider", "GCP"), "S1-08", "RedisReachable/cache/NoRedisConfigured"),
        ("azure", at(f"{INFRA}.cloud_provider", "Azure"), "S1-08", "ObjectStoreReachable/WrongScheme"),
        ("aws", at(f"{LAUNCH}.cache_redis_aws_url", None), "S1-12", "RedisReachable/cache/NoRedisConfigured"),
        (
            "azure",
            at(f"{LAUNCH}.cache_redis_aws_url", f"redis://{NOWHERE}/0"),
            "S2-az-01",
            "RedisReachable/cache/RedisSourceOfAnotherCloud",
        ),
        ("azure", at("azure.servicebus_namespace", ""), "S2-az-02", "BrokerReachable/servicebus"),
        ("azure", at("azure.abs_account_name", ""), "S2-az-02", "ObjectStoreReachable"),
        ("azure", at("celeryBrokerType", "elasticache"), "S2-az-03", "BrokerReachable/UnknownBrokerType"),
        ("azure", at("celeryBrokerType", "redis"), "S2-az-03", "BrokerReachable/WorkerBrokerMismatch"),
        (
            "azure",
            at("celery_broker_type_redis", True),
            "S2-az-04",
            "BrokerReachable/BuilderBrokerMismatch",
        ),
        (
            "gcp",
            at(f"{LAUNCH}.cache_redis_gcp_url", None),
            "S2-gcp-01",
            "RedisReachable/cache/NoRedisConfigured",
        ),
        (
            "onprem",
            at("celery_broker_type_redis", None),
            "S2-op-01",
            "BrokerReachable/BuilderBrokerMismatch",
        ),
        ("onprem", at("celeryBrokerType", "elasticache"), "S2-op-02", "BrokerReachable/UnknownBrokerType"),
        ("onprem", at("celeryBrokerType", "sqs"), "S2-op-02", "BrokerReachable/WorkerBrokerMismatch"),
        ("onprem", at("s3EndpointUrl", "minio"), "S2-op-05", "ObjectStoreReachable/StoreAddressInvalid"),
        ("aws", at(PROMETHEUS, None), "S4-06", "PrometheusQueryable/PrometheusAddressUnset"),
        ("aws", at(PROMETHEUS, ""), "S4-06", "PrometheusQueryable/PrometheusAddressEmpty"),
        ("aws", at(PROMETHEUS, "prometheus:9090"), "S4-06", "PrometheusQueryable/PrometheusAddressInvalid"),
        ("onprem", at("redis.enableAuth", True), "S5-08", "RedisReachable/keda/KedaAuthUnavailable"),
        ("aws", at("redis.enableAuth", True), "S5-08", "RedisReachable/keda/KedaSecretUnnamed"),
        (
            "aws",
            at(f"{LAUNCH}.vllm_repository", "x.invalid/vllm"),
            "S8-05",
            "VllmImagePullable/FullPathRepository",
        ),
        (
            "gcp",
            at(f"{LAUNCH}.vllm_repository", "x.invalid/vllm"),
            "S8-05",
            "VllmImagePullable/FullPathRepository",
        ),
        (
            "onprem",
            at(f"{LAUNCH}.hf_user_fine_tuned_weights_prefix", "gs://bucket/x"),
            "S8-08",
            "ObjectStoreReachable/WrongScheme",
        ),
    ],
    ids=str,
)
async def test_a_broken_rule_produces_what_it_explains(
    cloud: str, change: Tree, rule: str, failure: str
) -> None:
    """By the values alone, on a machine where nothing else answers: other failures of the check stand beside."""
    values = overlaid(BY_CLOUD[cloud], ON_REDIS if cloud in ("onprem", "gcp") else {}, change)
    context = Context(
        values=Values.merged([Layer(source="values.yaml", values=values)]), timeout=timedelta(seconds=15)
    )
    name = failure.partition("/")[0]
    report = await reported([catalogue()[each] for each in ("ConfigValid", name)], context)
    (result,) = (check for check in report.checks if check.name == name)
    produced = [
        finding.reason
        for finding in result.findings
        if finding.status is Status.FAIL
        and Failure(name, finding.reason, finding.subject).is_one_of([failure])
    ]
    assert produced, result
    told_as_causes = {(cause.check, cause.reason) for cause in report.root_causes}
    assert {("ConfigValid", fault.name) for fault in all_rules()[rule].faults} & told_as_causes
    assert not {(name, reason) for reason in produced} & told_as_causes


async def test_a_broken_rule_does_not_explain_what_stands_beside_it() -> None:
    """The broker has no address at all: that its port would be another than the forwarders' is no reason for that."""
    change = overlaid(at("redisHost", None), at("redisPort", 6380), at(f"{INFRA}.redis_host", None))
    values = Values.merged([Layer(source="values.yaml", values=overlaid(ONPREM, change))])
    context = Context(values=values, timeout=timedelta(seconds=15))
    report = await reported([catalogue()[each] for each in ("ConfigValid", "RedisReachable")], context)
    causes = {(cause.check, cause.reason): cause for cause in report.root_causes}
    assert causes["ConfigValid", "RedisPortNot6379"].explains == ()
    assert causes["RedisReachable", "NoRedisConfigured"].message.startswith("broker: ")


@pytest.mark.parametrize("block", ["config", LAUNCH])
async def test_a_missing_block_explains_what_is_missing_below_it(block: str) -> None:
    """The chart's defaults aside: they lack other blocks."""
    values = Values.merged([Layer(source="values.yaml", values=overlaid(AWS, at(block, None)))])
    context = Context(values=values, timeout=timedelta(seconds=15))
    report = await reported([catalogue()["ConfigValid"]], context)
    below = [found for found in report.checks[0].findings if found.subject.startswith(f"{block}.")]
    assert len({found.reason for found in below}) > 1
    assert not {found.reason for found in below} & {cause.reason for cause in report.root_causes}
    assert report.root_causes[0].reason == "BlockMissing"
    assert f"{block} is missing" in report.root_causes[0].message
