"""BrokerReachable: who uses which broker on every cloud, and real brokers, Celery beside the check."""

import contextlib
import secrets
import socket
from collections.abc import Iterator
from typing import Any

import celery
import pytest
import redis
from kombu.exceptions import OperationalError

from mehc_checks.checks.broker.check import BACKLOG, BrokerReasons
from mehc_checks.clients.aws.reasons import AwsReasons
from mehc_checks.clients.azure.reasons import AzureReasons
from mehc_checks.clients.kubernetes.api import KubernetesCluster
from mehc_checks.clients.network.reasons import NetworkReasons
from mehc_checks.core.outcome import Status
from mehc_checks.engine.report import CheckResult
from mehc_checks.modelengine.broker import brokers
from mehc_checks.modelengine.configuration import Configuration
from mehc_checks.modelengine.values import Layer, Values
from testbed.aws import ACCOUNT, REGION, Aws
from testbed.builder import QUEUE, TASK, Builder
from testbed.controlplane import ControlPlane
from testbed.httpserver import Reply, ScriptedServer
from testbed.installation import Tree, overlaid
from testbed.judging import judged
from testbed.names import leading
from testbed.pki import Certificate, CertificateAuthority
from testbed.ports import refused_port
from testbed.redis import Redis
from testbed.rulejudging import at
from testbed.waiting import eventually

PRODUCED: set[str] = set()
INFRA = "config.values.infra"
ON_REDIS = {"config": {"values": {"infra": {"cloud_provider": "onprem"}}}, "celery_broker_type_redis": True}


def values(cloud: str, type_: str | None, flag: object = None, **more: Any) -> Tree:
    return overlaid(
        at(f"{INFRA}.cloud_provider", cloud),
        {"celeryBrokerType": type_, "celery_broker_type_redis": flag, **more},
    )


@pytest.mark.parametrize(
    ("given", "builds", "work"),
    [
        (values("aws", "sqs"), ("SQS", "SQS"), ("SQS", "SQS")),
        (values("aws", "redis", True), ("Redis", "Redis"), ("Redis 0", "Redis 3")),
        (values("aws", "elasticache"), ("SQS", "SQS"), ("SQS", "none")),
        (values("azure", "servicebus"), ("Service Bus", "Service Bus"), ("Service Bus", "Service Bus")),
        (values("azure", "servicebus", True), ("Service Bus", "Redis"), ("Service Bus", "Service Bus")),
        (
            values("azure", "servicebus", "false"),
            ("Service Bus", "Service Bus"),
            ("Service Bus", "Service Bus"),
        ),
        (
            values("aws", "redis", celeryBrokerUrl="rediss://b:6379/3"),
            ("Redis", "Redis"),
            ("Redis 3", "Redis 3"),
        ),
        (
            values("aws", "sqs", extraEnvVars=[{"name": "CELERY_BROKER_URL", "value": "amqp://b"}]),
            ("another broker", "another broker"),
            ("another broker", "SQS"),
        ),
        (values("azure", "elasticache"), ("Service Bus", "Service Bus"), ("Service Bus", "none")),
        (values("gcp", "redis"), ("Redis", "Redis"), ("Redis 0", "Redis 3")),
        (values("gcp", "sqs"), ("Redis", "Redis"), ("Redis 0", "SQS")),
        (values("onprem", "redis", True), ("Redis", "Redis"), ("Redis 3", "Redis 3")),
        (values("onprem", "redis"), ("Redis", "SQS"), ("Redis 3", "Redis 3")),
        (values("onprem", "elasticache", True), ("Redis", "Redis"), ("Redis 3", "none")),
        (values("onprem", None, True), ("Redis", "Redis"), ("Redis 3", "none")),
    ],
    ids=str,
)
def test_who_uses_which(given: Tree, builds: tuple[str, str], work: tuple[str, str]) -> None:
    found = brokers(Configuration(Values.merged([Layer(source="x", values=given)])))
    assert (found.build_sender.broker, found.build_taker.broker) == builds
    shown = [
        f"{use.broker} {use.db}" if use.db is not None else use.broker
        for use in (found.work_sender, found.work_taker)
    ]
    assert tuple(shown) == work


async def judge(given: Tree, cluster: KubernetesCluster | None = None, namespace: str = "") -> CheckResult:
    result = await judged("BrokerReachable", given, cluster=cluster, namespace=namespace, seconds=20)
    PRODUCED.update(found.reason for found in result.findings)
    return result


def on_redis(server: Redis, *overlays: Tree) -> Tree:
    """On-premises; the broker's port is by redisPort."""
    base = values("onprem", "redis", True, redisHost="127.0.0.1", redisPort=str(server.port))
    return overlaid(base, at("celery_autoscaler.enabled", False), *overlays)


@pytest.fixture
def queue(redis_server: Redis) -> Iterator[redis.Redis]:
    client = redis.Redis.from_url(redis_server.url(0))
    kept = (QUEUE, "unacked", "unacked_index")
    client.delete(*kept)
    yield client
    client.delete(*kept)


def sent(server: Redis, number: int = 1, *, seconds: float = 60) -> None:
    """Tasks for the builder, as the gateway sends them."""
    app = celery.Celery(broker=server.url(0))
    for _ in range(number):
        app.send_task(TASK, args=[seconds], queue=QUEUE)


async def test_redis_as_the_broker(redis_server: Redis, queue: redis.Redis) -> None:
    result = await judge(on_redis(redis_server))
    assert (result.status, result.reason) == (Status.PASS, "BrokerReachable"), result.message
    assert result.message == f"Redis answers; 0 tasks wait in queue {QUEUE}"


async def test_a_broker_named_by_its_url(
    redis_server: Redis, queue: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Celery takes CELERY_BROKER_URL before what the platform configures, and so does the check."""
    given = at("celeryBrokerUrl", redis_server.url(3))
    assert (
        await judge(on_redis(redis_server, {"redisPort": str(refused_port())}, given))
    ).reason == "BrokerReachable"
    monkeypatch.setenv("CELERY_BROKER_URL", redis_server.url(3))
    app = celery.Celery()
    app.conf.update(broker_url=f"redis://127.0.0.1:{refused_port()}/0")
    other = redis.Redis.from_url(redis_server.url(3))
    app.send_task(TASK, queue=QUEUE)
    try:
        assert other.llen(QUEUE) == 1
    finally:
        other.delete(QUEUE)


@pytest.mark.parametrize(
    ("url", "reason", "fix"),
    [
        ("{server}/0", "AsyncDatabaseMismatch", "Write /3 as the database of celeryBrokerUrl."),
        ("sqs://", "WorkerBrokerMismatch", "Set celeryBrokerType to sqs."),
        ("amqp://b", "WorkerBrokerMismatch", "Remove celeryBrokerUrl"),
    ],
)
async def test_the_url_of_a_broker_that_forwarders_do_not_consume(
    redis_server: Redis, queue: redis.Redis, url: str, reason: str, fix: str
) -> None:
    given = at("celeryBrokerUrl", url.format(server=redis_server.url(0).removesuffix("/0")))
    result = await judge(on_redis(redis_server, given))
    assert result.reason == reason, result.message
    assert fix in (result.remediation or "")


@pytest.mark.parametrize(
    ("flag", "expected"),
    [
        (at("celery_broker_type_redis", "false"), False),
        (at("celery_broker_type_redis", "no"), False),
        (at("celery_broker_type_redis", "0"), False),
        (at("celery_broker_type_redis", 0), False),
        (at("celery_broker_type_redis", ""), False),
        (at("celery_broker_type_redis", "true"), True),
        (at("celery_broker_type_redis", 1), True),
        (at("celery_broker_type_redis", "redis"), True),
        (at(f"{INFRA}.celery_broker_type_redis", True), True),
        (at(f"{INFRA}.celery_broker_type_redis", False), False),
        (at(f"{INFRA}.celery_broker_type_redis", "true"), True),
        (at(f"{INFRA}.celery_broker_type_redis", "false"), True),
    ],
    ids=str,
)
async def test_the_flag_is_read_as_the_platform_reads_it(
    flag: Tree, expected: bool, redis_server: Redis, queue: redis.Redis
) -> None:
    """At the top it is written bare and read as YAML; inside infra, all but a boolean is quoted."""
    without = {"celery_broker_type_redis": None}
    given = overlaid(on_redis(redis_server, without), at(f"{INFRA}.cloud_provider", "onprem"), flag)
    mismatch = "BuilderBrokerMismatch" in {found.reason for found in (await judge(given)).findings}
    assert mismatch is not expected


async def test_a_builder_that_never_connected(redis_server: Redis, queue: redis.Redis) -> None:
    sent(redis_server)
    result = await judge(on_redis(redis_server))
    assert (result.status, result.reason) == (Status.FAIL, "BuildQueueNotConsumed")
    assert result.message == f"queue {QUEUE} has 1 task waiting, and no worker consumes it: none is connected"
    assert queue.llen(QUEUE) == 1  # nothing was taken


async def judged_at_work(server: Redis, queue: redis.Redis) -> tuple[CheckResult, range]:
    """The result, and how many tasks can have waited meanwhile: the worker goes on."""
    before = queue.llen(QUEUE)
    result = await judge(on_redis(server))
    return result, range(queue.llen(QUEUE), before + 1)


async def test_a_builder_at_work(redis_server: Redis, queue: redis.Redis) -> None:
    with Builder(redis_server.url(0)) as builder:
        assert (await judge(on_redis(redis_server))).status is Status.PASS  # it waits in BRPOP
        sent(redis_server, BACKLOG + 50)
        eventually(lambda: queue.llen(QUEUE), lambda waiting: waiting <= BACKLOG + 45)
        busy, waiting = await judged_at_work(redis_server, queue)
        assert (busy.status, busy.reason) == (Status.WARN, "BuildQueueBacklog")
        assert busy.message in [f"{number} tasks wait in queue {QUEUE}" for number in waiting]
        assert (busy.evidence["workersBusy"], busy.evidence["workersIdle"]) == (1, 0)
        queue.ltrim(QUEUE, 0, 9)
        fine, waiting = await judged_at_work(redis_server, queue)
        assert fine.message in [f"Redis answers; {number} tasks wait in queue {QUEUE}" for number in waiting]
        builder.kill()
    result = await judge(on_redis(redis_server))
    assert (result.status, result.reason) == (Status.FAIL, "BuildQueueNotConsumed")


async def test_a_builder_that_listens_elsewhere(redis_server: Redis, queue: redis.Redis) -> None:
    """To another queue of the same database, and to the queue of the same name where forwarders listen."""
    with Builder(redis_server.url(0), queue="another-service-builder"), Builder(redis_server.url(3)):
        sent(redis_server, 2)
        result = await judge(on_redis(redis_server))
    assert (result.status, result.reason) == (Status.FAIL, "BuildQueueNotConsumed")
    assert result.message == (
        f"queue {QUEUE} has 2 tasks waiting, and no worker consumes it: 1 connected worker waits for another queue"
    )


async def test_a_user_who_may_not_ask_for_clients(certificate_authority: CertificateAuthority) -> None:
    """Then no more is said than is known."""
    users = {"default": "on >token ~* &* +@all -client"}
    with Redis(tls=True, ca=certificate_authority, users=users) as server:
        server.call("RPUSH", QUEUE, "task")
        given = on_redis(server, {"redis": {"auth": "token"}})
        assert (await judge(given)).message == f"Redis answers; 1 task waits in queue {QUEUE}"
        server.call("RPUSH", QUEUE, *(["task"] * BACKLOG))
        result = await judge(given)
    assert (result.status, result.message) == (Status.WARN, f"{BACKLOG + 1} tasks wait in queue {QUEUE}")
    assert "workersBusy" not in result.evidence


async def test_redis_that_cannot_be_asked(redis_server: Redis) -> None:
    given = on_redis(redis_server, {"redisPort": "1"})
    with pytest.raises(OperationalError, match="refused"):
        celery.Celery(broker="redis://127.0.0.1:1/0").connection().ensure_connection(max_retries=1)
    result = await judge(given)
    assert (result.status, result.reason) == (Status.ERROR, "IncompleteData")


@pytest.mark.parametrize(
    ("change", "reason", "says"),
    [
        (
            {"celery_broker_type_redis": None},
            "BuilderBrokerMismatch",
            "sends build tasks to Redis db 0 (cloud_provider=onprem), but the builder consumes SQS",
        ),
        ({"celeryBrokerType": "elasticache"}, "UnknownBrokerType", "celeryBrokerType is elasticache"),
        (
            {"celeryBrokerType": "sqs"},
            "WorkerBrokerMismatch",
            "forwarders consume SQS (celeryBrokerType=sqs)",
        ),
        (
            {"celery_autoscaler": {"enabled": True}},
            "AutoscalerBrokerMismatch",
            "redis-elasticache-message-broker-master, but async endpoints have sqs-message-broker-master",
        ),
        (at(f"{INFRA}.cloud_provider", "gcp"), "AsyncDatabaseMismatch", "forwarders consume Redis db 3"),
    ],
    ids=str,
)
async def test_components_that_disagree(
    redis_server: Redis, queue: redis.Redis, change: Tree, reason: str, says: str
) -> None:
    result = await judge(on_redis(redis_server, change))
    assert result.reason == reason, result.message
    assert says in result.message
    assert result.remediation


@pytest.mark.parametrize("annotations", [{}, {"celery.scaleml.autoscaler/queue": "q"}], ids=["sync", "async"])
async def test_the_databases_of_gcp_matter_to_async_endpoints(
    redis_server: Redis,
    queue: redis.Redis,
    cluster: KubernetesCluster,
    control_plane: ControlPlane,
    namespace: str,
    annotations: Tree,
) -> None:
    name = "launch-endpoint-id-end-1"
    pods = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "main", "image": "x"}]}}
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "annotations": annotations},
        "spec": {"replicas": 0, "selector": {"matchLabels": {"app": name}}, "template": pods},
    }
    control_plane.apply(deployment, namespace=namespace)
    values = overlaid(
        on_redis(redis_server, at(f"{INFRA}.cloud_provider", "gcp")),
        at("config.values.launch.endpoint_namespace", namespace),
    )
    result = await judge(values, cluster=cluster, namespace=namespace)
    if annotations:
        assert (result.status, result.reason) == (Status.WARN, "AsyncDatabaseMismatch")
        assert result.message.endswith(f"forwarders consume Redis db 3: {name} get none")
    else:
        assert (result.status, result.reason) == (Status.PASS, "BrokerReachable")
    assert (await judge(values)).reason == "AsyncDatabaseMismatch"  # without a cluster, none can be ruled out


@pytest.fixture
def on_aws(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> Tree:
    for name, value in aws.client_environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    unique = f"builder-{secrets.token_hex(4)}"
    return overlaid(
        values("aws", "sqs", serviceBuilderQueue=unique),
        at(INFRA, {"default_region": REGION, "ml_account_id": ACCOUNT}),
    )


def made(aws: Aws, given: Tree) -> str:
    url: str = aws.client("sqs").create_queue(QueueName=given["serviceBuilderQueue"])["QueueUrl"]
    return url


async def test_sqs(aws: Aws, on_aws: Tree) -> None:
    url = made(aws, on_aws)
    aws.client("sqs").send_message(QueueUrl=url, MessageBody="task")
    result = await judge(on_aws)
    assert (result.status, result.reason) == (Status.PASS, "BrokerReachable"), result.message
    assert result.evidence["waiting"] == 1
    attributes = aws.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    assert attributes["ApproximateNumberOfMessages"] == "1"  # nothing was taken


async def test_a_queue_that_nobody_made(on_aws: Tree) -> None:
    result = await judge(on_aws)
    assert (result.status, result.reason) == (Status.FAIL, "BuildQueueNotFound")
    assert result.message == f"SQS queue {on_aws['serviceBuilderQueue']} does not exist in region {REGION}"


async def test_celery_makes_its_queue_where_the_check_looks(aws: Aws, on_aws: Tree) -> None:
    app = celery.Celery(broker="sqs://")
    app.conf.broker_transport_options = {"region": REGION}
    with contextlib.closing(app.connection()) as connection:
        app.send_task("build", queue=on_aws["serviceBuilderQueue"], connection=connection)
    assert (await judge(on_aws)).status is Status.PASS


async def test_regions_differ(aws: Aws, on_aws: Tree) -> None:
    given = overlaid(on_aws, {"extraEnvVars": [{"name": "AWS_REGION", "value": "eu-west-1"}]})
    made(aws, given)
    result = await judge(given)
    assert result.status is Status.FAIL
    assert "QueueRegionMismatch" in {found.reason for found in result.findings}
    assert "Celery asks for queues in eu-west-1 (AWS_REGION)" in result.message


async def test_another_account(aws: Aws, on_aws: Tree) -> None:
    made(aws, on_aws)
    result = await judge(overlaid(on_aws, at(f"{INFRA}.ml_account_id", "999988887777")))
    assert (result.status, result.reason) == (Status.ERROR, "AWSAccountMismatch")
    assert result.message == f"mehc runs in AWS account {ACCOUNT}, but ml_account_id is 999988887777"


async def test_this_process_cannot_ask_aws(on_aws: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{unused.getsockname()[1]}")
        result = await judge(on_aws)
    assert (result.status, result.reason) == (Status.ERROR, "AWSUnreachable")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", "/nonexistent")
    result = await judge(on_aws)
    assert (result.status, result.reason) == (Status.ERROR, "AWSNoCredentials")
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    result = await judge(on_aws)
    assert (result.status, result.reason) == (Status.ERROR, "AWSProfileNotFound")


async def test_service_bus_that_does_not_exist() -> None:
    given = values("azure", "servicebus", azure={"servicebus_namespace": "no-such-namespace"})
    result = await judge(given)
    assert (result.status, result.reason) == (Status.FAIL, "HostUnresolvable")
    assert "azure.servicebus_namespace" in result.remediation
    assert "no-such-namespace.servicebus.windows.net" in result.message


async def test_service_bus_under_its_own_name(
    certificate_authority: CertificateAuthority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that speaks TLS: no more is asked of it."""
    host = "ours.servicebus.windows.net"
    given = values("azure", "servicebus", azure={"servicebus_namespace": "ours"})

    async def answered(certificate: Certificate) -> CheckResult:
        with (
            ScriptedServer(lambda _: Reply(200), certificate=certificate) as server,
            leading({f"{host}:5671": server.address}),
        ):
            return await judge(given)

    result = await answered(certificate_authority.issue(host, names=(host,)))
    assert (result.status, result.reason) == (Status.FAIL, "TLSUntrusted")
    assert f"the certificate of {host}:5671 is not trusted" in result.message
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate_authority.ca_file))
    result = await answered(certificate_authority.issue(host, names=(host,)))
    assert (result.status, result.reason) == (Status.ERROR, "ServiceBusNotEvaluated")
    assert result.message.startswith(
        f"{host}:5671 is reachable with a valid certificate; the queue was not tested: "
    )
    result = await answered(
        certificate_authority.issue("a.servicebus.windows.net", names=("a.servicebus.windows.net",))
    )
    assert (result.status, result.reason) == (Status.FAIL, "TLSWrongHost")
    assert f"is not valid for {host}" in result.message
    with refused_port() as (address, port), leading({f"{host}:5671": f"{address}:{port}"}):
        result = await judge(given)
    assert (result.status, result.reason) == (Status.FAIL, "ConnectionRefused")
    assert f"{host}:5671 refused the connection" in result.message


def test_every_reason_has_a_case() -> None:
    """Those of AWS, of Azure and of networks that are not staged here: tests/checks/test_aws.py and
    test_azure_identity.py, tests/unit/test_net.py; test_broker_azure.py beside this file.
    """
    shared = {*AwsReasons.all(), *AzureReasons.all(), *NetworkReasons.all(), BrokerReasons.QUEUE_DISABLED}
    assert {reason.name for reason in BrokerReasons.all() if reason not in shared} <= PRODUCED
