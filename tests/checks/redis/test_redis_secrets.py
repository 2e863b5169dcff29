"""RedisReachable and BrokerReachable where the values name secrets of AWS Secrets Manager: the broken ones first."""

import asyncio
import contextlib
import json
import secrets as random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pytest

from mehc_checks.checks.redis.reasons import RedisReasons
from mehc_checks.clients.aws.identity import METADATA_ADDRESS
from mehc_checks.clients.kubernetes.api import KubernetesCluster
from mehc_checks.core.outcome import Status
from mehc_checks.engine.report import CheckResult
from mehc_checks.installation.context import Context
from mehc_checks.installation.redis import cached
from mehc_checks.modelengine.endpoints import builder_queue, cache_key
from mehc_checks.modelengine.kedaredis import KEDA_AUTHENTICATION
from mehc_checks.modelengine.values import Layer, Values
from mehc_operator.connection import Access, connected
from testbed import keda, ports
from testbed.aws import REGION, Aws
from testbed.awsfailures import CASES, IDENTITY, AwsCase, isolation, live, staged
from testbed.controlplane import ControlPlane
from testbed.images import service_config
from testbed.installation import Tree, overlaid
from testbed.judging import judged
from testbed.pki import CertificateAuthority
from testbed.redis import Redis
from testbed.rulejudging import at

PASSWORD: Final = "pass-w0rd-of-the-secret"
CACHE, BROKER, KEDA = "cache", "broker", "keda"
INFRA, LAUNCH = "config.values.infra", "config.values.launch"
SECRETS: Final = {
    CACHE: f"{LAUNCH}.cache_redis_aws_secret_name",
    BROKER: f"{INFRA}.redis_aws_secret_name",
    KEDA: "redis.kedaSecretName",
}
"""The value that names the secret of each way."""


@pytest.fixture(scope="module")
def locked(certificate_authority: CertificateAuthority) -> Iterator[Redis]:
    """TLS and a password."""
    with Redis(tls=True, ca=certificate_authority, password=PASSWORD) as server:
        yield server


@pytest.fixture(scope="module")
def opened(certificate_authority: CertificateAuthority) -> Iterator[Redis]:
    """TLS and no password."""
    with Redis(tls=True, ca=certificate_authority) as server:
        yield server


@pytest.fixture(scope="module")
def plain() -> Iterator[Redis]:
    """Neither TLS nor a password."""
    with Redis() as server:
        yield server


@pytest.fixture(autouse=True)
def trusting(certificate_authority: CertificateAuthority, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate_authority.ca_file))


@pytest.fixture(scope="module")
def produced() -> set[str]:
    """The reasons that the cases below produced."""
    return set()


def kept(aws: Aws, content: Any) -> str:
    """The name of a new secret: text as it is, bytes as a binary one, all else as JSON."""
    name = f"redis-{random.token_hex(4)}"
    aws.keep_secret(name, content if isinstance(content, str | bytes) else json.dumps(content))
    return name


def cache_secret(server: Redis) -> dict[str, Any]:
    return {"cache-url": server.url()}


def broker_secret(server: Redis, **fields: Any) -> dict[str, Any]:
    """With the token that the server wants; ``fields`` over it, None removes."""
    token = {"auth_token": server.password} if server.password else {}
    found = {"scheme": "rediss://", "host": server.host, "port": server.port, **token, **fields}
    return {key: value for key, value in found.items() if value is not None}


def sound(aws: Aws, server: Redis) -> Tree:
    """All three ways lead to ``server``, each by its secret."""
    return overlaid(
        at(INFRA, {"cloud_provider": "aws", "default_region": REGION}),
        {"celery_broker_type_redis": True, "celeryBrokerType": "redis"},
        at("redis", {"enableTLS": server.tls, "enableAuth": True}),
        at(SECRETS[CACHE], kept(aws, cache_secret(server))),
        at(SECRETS[BROKER], kept(aws, broker_secret(server))),
        at(SECRETS[KEDA], kept(aws, server.password or "any password")),
    )


async def judge(given: Tree, *, seconds: float = 10) -> CheckResult:
    result = await judged("RedisReachable", given, seconds=seconds)
    assert PASSWORD not in repr(result)
    return result


def ways(result: CheckResult) -> dict[str, tuple[Status, str]]:
    """Status and reason of each way."""
    return {found.subject: (found.status, found.reason) for found in result.findings}


WORKS: Final = (Status.PASS, "RedisReachable")


@dataclass(frozen=True, kw_only=True)
class Case:
    """A way whose secret is broken; ``secret`` gives its content, or None where there is no such secret."""

    id: str
    way: str
    reason: str
    says: str
    remedy: str
    secret: Callable[[Redis], Any] | None
    server: str = "locked"


UNUSABLE: Final = "CloudSecretUnusable"
BROKEN = [
    Case(
        id="the cache's does not exist",
        way=CACHE,
        reason=UNUSABLE,
        says=f"no/such does not exist in AWS Secrets Manager of {REGION}",
        remedy="cache_redis_aws_secret_name and config.values.infra.default_region",
        secret=None,
    ),
    Case(
        id="the cache's is binary",
        way=CACHE,
        reason=UNUSABLE,
        says="is binary and has no text",
        remedy="as a JSON object with cache-url",
        secret=lambda _: b"\x00\x01",
    ),
    Case(
        id="the cache's is no JSON",
        way=CACHE,
        reason=UNUSABLE,
        says="is not JSON",
        remedy="as a JSON object with cache-url",
        secret=lambda server: server.url(),
    ),
    Case(
        id="the cache's is a list",
        way=CACHE,
        reason=UNUSABLE,
        says="is not a JSON object",
        remedy="as a JSON object with cache-url",
        secret=lambda server: [server.url()],
    ),
    Case(
        id="the cache's has another field",
        way=CACHE,
        reason=UNUSABLE,
        says="lacks cache-url",
        remedy="as a JSON object with cache-url",
        secret=lambda server: {"url": server.url()},
    ),
    Case(
        id="the cache's URL is none",
        way=CACHE,
        reason="RedisURLInvalid",
        says="cache-url of secret",
        remedy="Correct cache-url of secret",
        secret=lambda server: {"cache-url": f"{server.host}:{server.port}"},
    ),
    Case(
        id="the cache's URL has another password",
        way=CACHE,
        reason="AuthRejected",
        says="rejected the password",
        remedy="into cache-url of secret",
        secret=lambda server: {"cache-url": server.url(password="another")},
    ),
    Case(
        id="the broker's does not exist",
        way=BROKER,
        reason=UNUSABLE,
        says=f"no/such does not exist in AWS Secrets Manager of {REGION}",
        remedy="redis_aws_secret_name and config.values.infra.default_region",
        secret=None,
    ),
    Case(
        id="the broker's is no JSON",
        way=BROKER,
        reason=UNUSABLE,
        says="is not JSON",
        remedy="host, port",
        secret=lambda _: PASSWORD,
    ),
    Case(
        id="the broker's lacks fields",
        way=BROKER,
        reason=UNUSABLE,
        says="lacks host, port",
        remedy="host, port",
        secret=lambda server: {"cache-url": server.url()},
    ),
    Case(
        id="the broker's scheme without ://",
        way=BROKER,
        reason=UNUSABLE,
        says="neither redis:// nor rediss://, the :// included",
        remedy="scheme (redis:// or rediss://)",
        secret=lambda server: broker_secret(server, scheme="rediss"),
    ),
    Case(
        id="the broker's token is not encoded",
        way=BROKER,
        reason=UNUSABLE,
        says="special characters are not percent-encoded",
        remedy="auth_token",
        secret=lambda server: broker_secret(server, auth_token=f"{PASSWORD}#/1"),
    ),
    Case(
        id="the broker's port is none",
        way=BROKER,
        reason=UNUSABLE,
        says="does not give a valid URL: its port is not a number",
        remedy="port",
        secret=lambda server: broker_secret(server, port="many"),
    ),
    Case(
        id="the broker's parameters without ?",
        way=BROKER,
        reason=UNUSABLE,
        says="does not give a valid URL",
        remedy="query_params (?ssl_cert_reqs=none)",
        secret=lambda server: broker_secret(server, query_params="ssl_cert_reqs=none"),
    ),
    Case(
        id="the broker's parameters are foreign",
        way=BROKER,
        reason=UNUSABLE,
        says="Celery does not accept the parameter socket_timeout",
        remedy="query_params",
        secret=lambda server: broker_secret(server, query_params="?socket_timeout=3"),
    ),
    Case(
        id="the broker's verification is of no kind",
        way=BROKER,
        reason=UNUSABLE,
        says="ssl_cert_reqs is not none, optional or required",
        remedy="?ssl_cert_reqs=none",
        secret=lambda server: broker_secret(server, query_params="?ssl_cert_reqs=no"),
    ),
    Case(
        id="the broker's scheme is plain",
        way=BROKER,
        reason="TLSRequired",
        says="requires TLS, and the client is configured without it",
        remedy="Write rediss:// as the scheme of secret",
        secret=lambda server: broker_secret(server, scheme=None),
    ),
    Case(
        id="the broker's scheme is TLS and the server plain",
        way=BROKER,
        reason="ServerNotTLS",
        says="does not speak TLS",
        remedy="Write redis:// as the scheme of secret",
        secret=lambda server: broker_secret(server),
        server="plain",
    ),
    Case(
        id="the broker's token is missing",
        way=BROKER,
        reason="AuthRequired",
        says="requires authentication",
        remedy="Add auth_token to secret",
        secret=lambda server: broker_secret(server, auth_token=None),
    ),
    Case(
        id="the broker's token is another",
        way=BROKER,
        reason="AuthRejected",
        says="rejected the password",
        remedy="into secret redis-",
        secret=lambda server: broker_secret(server, auth_token="another"),
    ),
    Case(
        id="KEDA's does not exist",
        way=KEDA,
        reason=UNUSABLE,
        says=f"no/such does not exist in AWS Secrets Manager of {REGION}",
        remedy="redis.kedaSecretName and config.values.infra.default_region",
        secret=None,
    ),
    Case(
        id="KEDA's does not exist and is not needed",
        way=KEDA,
        reason="KedaWithoutPassword",
        says="accepts KEDA without a password",
        remedy="Write the bare password as the text of secret",
        secret=None,
        server="opened",
    ),
    Case(
        id="KEDA's is binary",
        way=KEDA,
        reason=UNUSABLE,
        says="is binary and has no text",
        remedy="as the bare password, not JSON",
        secret=lambda _: PASSWORD.encode(),
    ),
    Case(
        id="KEDA's is blank",
        way=KEDA,
        reason=UNUSABLE,
        says="is blank",
        remedy="as the bare password, not JSON",
        secret=lambda _: "\n",
    ),
    Case(
        id="KEDA's is JSON",
        way=KEDA,
        reason="KedaSecretIsJSON",
        says="rejected the text of secret",
        remedy="Write the bare password as the text of secret",
        secret=lambda _: {"password": PASSWORD},
    ),
    Case(
        id="KEDA's is another",
        way=KEDA,
        reason="AuthRejected",
        says="rejected the password of user default",
        remedy="into secret redis-",
        secret=lambda _: "another",
    ),
]


@pytest.mark.parametrize("case", BROKEN, ids=lambda case: case.id)
async def test_a_broken_secret(
    case: Case, on_aws: Aws, request: pytest.FixtureRequest, produced: set[str]
) -> None:
    server: Redis = request.getfixturevalue(case.server)
    name = "no/such" if case.secret is None else kept(on_aws, case.secret(server))
    result = await judge(overlaid(sound(on_aws, server), at(SECRETS[case.way], name)))
    reason = next(reason for reason in RedisReasons.all() if reason.name == case.reason)
    found = ways(result)
    assert found[case.way] == (reason.status, case.reason), result.findings
    assert (result.status, result.reason) == (reason.status, case.reason)
    assert case.says in result.message
    assert case.remedy in result.remediation
    others = {CACHE, BROKER, KEDA} - {case.way}
    if case.way == CACHE and case.reason == UNUSABLE:
        others.remove(KEDA)  # its address is cut out of the cache's URL
    if case.id != "the cache's URL is none":
        assert all(found[other][0] is not Status.FAIL for other in others), result.findings
    produced.add(case.reason)


@pytest.mark.parametrize("way", [CACHE, BROKER, KEDA])
async def test_a_secret_of_another_region(way: str, on_aws: Aws, locked: Redis) -> None:
    given = sound(on_aws, locked)
    on_aws.keep_secret(f"far-{way}", json.dumps(cache_secret(locked)), region="eu-west-1")
    result = await judge(overlaid(given, at(SECRETS[way], f"far-{way}")))
    assert (result.status, result.reason) == (Status.FAIL, UNUSABLE)
    assert f"far-{way} does not exist in AWS Secrets Manager of {REGION}" in result.message


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
async def test_what_this_process_may_not_read_is_unknown(
    case: AwsCase, on_aws: Aws, locked: Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Never Fail: the platform's own identity may well read it. The way that needs no secret is judged all the same."""
    given = overlaid(
        sound(on_aws, locked),
        at(SECRETS[CACHE], None),
        at(f"{LAUNCH}.cache_redis_aws_url", locked.url()),
    )
    with staged(case, on_aws, tmp_path) as environment:
        live(monkeypatch, environment)
        result = await judge(given, seconds=20)
    assert ways(result) == {
        CACHE: WORKS,
        BROKER: (Status.ERROR, case.reason),
        KEDA: (Status.ERROR, case.reason),
    }
    assert (result.status, result.reason) == (Status.ERROR, case.reason)
    assert f"broker: secret {given['config']['values']['infra']['redis_aws_secret_name']}: " in result.message
    assert case.says in result.message
    assert result.remediation


async def test_a_region_that_is_none(
    on_aws: Aws, locked: Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = overlaid(sound(on_aws, locked), at(f"{INFRA}.default_region", "us-east-1.evil.example/"))
    live(monkeypatch, isolation(tmp_path) | IDENTITY)
    result = await judge(given)
    assert (result.status, result.reason) == (Status.ERROR, "AWSRegionInvalid")
    assert "default_region" in result.remediation


async def test_a_cache_that_cannot_be_read_leaves_the_broker_judged(
    on_aws: Aws, locked: Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Redis() as plain:
        given = overlaid(
            sound(on_aws, locked),
            at(SECRETS[BROKER], None),
            {"redisHost": plain.host, "redisPort": str(plain.port)},
        )
        live(monkeypatch, isolation(tmp_path) | {"AWS_ENDPOINT_URL": on_aws.url})
        result = await judge(given)
    assert ways(result) == {CACHE: (Status.ERROR, "AWSNoCredentials"), BROKER: WORKS}


async def test_keda_is_reached_where_its_password_cannot_be_read(
    on_aws: Aws, locked: Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A port that nobody listens on is no matter of credentials."""
    given = overlaid(
        sound(on_aws, locked),
        at(SECRETS[CACHE], None),
        at(f"{LAUNCH}.cache_redis_aws_url", f"redis://127.0.0.1:{ports.free_port()}/0"),
        at("redis.enableTLS", False),
    )
    live(monkeypatch, isolation(tmp_path) | {"AWS_ENDPOINT_URL": on_aws.url})
    found = ways(await judge(given))
    assert found[KEDA] == found[CACHE] == (Status.FAIL, "ConnectionRefused")


async def test_metadata_that_does_not_answer_is_named_and_holds_up_no_other_way(
    on_aws: Aws, locked: Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = overlaid(
        sound(on_aws, locked), at(SECRETS[CACHE], None), at(f"{LAUNCH}.cache_redis_aws_url", locked.url())
    )
    live(monkeypatch, isolation(tmp_path) | {"AWS_ENDPOINT_URL": on_aws.url})
    monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
    with ports.black_hole() as (host, port):
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", f"http://{host}:{port}")
        result = await judge(given, seconds=2)
    found = ways(result)
    assert found[CACHE] == WORKS
    assert found[BROKER][0] is found[KEDA][0] is Status.ERROR
    assert found[BROKER][1] in ("AWSUnreachable", "AWSNoCredentials")
    assert METADATA_ADDRESS in result.message


async def test_the_sound_installation(on_aws: Aws, locked: Redis, produced: set[str]) -> None:
    result = await judge(sound(on_aws, locked))
    assert ways(result) == {CACHE: WORKS, BROKER: WORKS, KEDA: WORKS}, result.findings
    address = f"rediss://{locked.host}:{locked.port}/0"
    assert result.evidence | {"cacheAddress": address, "brokerAddress": address} == result.evidence
    assert result.evidence["brokerSource"] == SECRETS[BROKER]
    produced.add(result.reason)


async def test_kedas_password_ends_with_a_line(on_aws: Aws, locked: Redis) -> None:
    """KEDA strips it, as the conformance tests show."""
    given = overlaid(sound(on_aws, locked), at(SECRETS[KEDA], kept(on_aws, f"{PASSWORD}\n")))
    assert ways(await judge(given))[KEDA] == WORKS


async def test_one_secret_for_cache_and_broker(on_aws: Aws, locked: Redis) -> None:
    name = kept(on_aws, cache_secret(locked) | broker_secret(locked, query_params="?ssl_cert_reqs=required"))
    given = overlaid(sound(on_aws, locked), at(SECRETS[CACHE], name), at(SECRETS[BROKER], name))
    assert (await judge(given)).status is Status.PASS


async def test_the_brokers_secret_goes_before_its_host(on_aws: Aws, locked: Redis) -> None:
    given = overlaid(sound(on_aws, locked), {"redisHost": "redis.invalid"})
    assert ways(await judge(given))[BROKER] == WORKS


@pytest.mark.parametrize("cloud", ["onprem", "gcp", "AWS"])
async def test_the_brokers_secret_is_read_on_aws_only(cloud: str, on_aws: Aws, plain: Redis) -> None:
    given = overlaid(
        at(f"{INFRA}.cloud_provider", cloud),
        at(f"{LAUNCH}.cache_redis_onprem_url", plain.url()),
        at(SECRETS[BROKER], "left-over"),
        {"redisHost": plain.host, "redisPort": plain.port, "celery_broker_type_redis": True},
    )
    assert ways(await judge(given))[BROKER] == WORKS


@pytest.mark.parametrize("name", ["no/such", ""], ids=["it does not exist", "it has no name"])
async def test_the_brokers_secret_is_read_with_sqs_too(name: str, on_aws: Aws, plain: Redis) -> None:
    """Every process of the platform reads it when it starts, and crashes where it cannot."""
    given = overlaid(
        sound(on_aws, plain),
        at(SECRETS[BROKER], name),
        at("redis.enableAuth", False),
        {"celeryBrokerType": "sqs"},
    )
    with_sqs = overlaid(given, {"celery_broker_type_redis": None})
    assert ways(await judge(with_sqs))[BROKER] == (Status.FAIL, UNUSABLE)
    there = overlaid(with_sqs, at(SECRETS[BROKER], kept(on_aws, broker_secret(plain))))
    assert BROKER not in ways(await judge(there))


async def test_the_builders_queue_is_read_where_the_secret_says(on_aws: Aws, locked: Redis) -> None:
    queue = builder_queue("", "")
    await asyncio.to_thread(locked.call, "LPUSH", queue, "task")
    try:
        result = await judged("BrokerReachable", sound(on_aws, locked), seconds=20)
    finally:
        await asyncio.to_thread(locked.call, "DEL", queue)
    assert result.evidence["waiting"] == 1, result.message
    assert PASSWORD not in repr(result)
    lost = overlaid(sound(on_aws, locked), at(SECRETS[BROKER], "no/such"))
    result = await judged("BrokerReachable", lost)
    assert (Status.ERROR, "IncompleteData") in [(found.status, found.reason) for found in result.findings]


async def test_the_cachers_key_is_read_where_the_secret_says(on_aws: Aws, locked: Redis) -> None:
    await asyncio.to_thread(locked.call, "SET", cache_key("", "end1"), "{}", "EX", 60)
    values = Values.merged([Layer(source="test", values=sound(on_aws, locked))])
    context = Context(values=values, timeout=timedelta(seconds=10))
    found = await cached(context, ["end1", "end2"])
    await context.close()
    assert 0 < (found["end1"].ttl or 0) <= 60
    assert found["end2"].ttl is None


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    """An API server of our own, with KEDA's resources."""
    found = ControlPlane()
    with contextlib.closing(found):
        found.etcd.start()
        found.apiserver.start()
        keda.install(found)
        yield found


def trigger_authentication(secret: str) -> dict[str, Any]:
    """As the chart makes it with redis.enableAuth."""
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "TriggerAuthentication",
        "metadata": {"name": KEDA_AUTHENTICATION},
        "spec": {
            "awsSecretManager": {
                "podIdentity": {"provider": "aws"},
                "secrets": [{"parameter": "password", "name": secret}],
            }
        },
    }


@pytest.mark.parametrize(
    ("proved", "named", "says"),
    [
        (True, "", f"TriggerAuthentication {KEDA_AUTHENTICATION} in namespace"),
        (True, "another", "does not name secret keda-of-all"),
        (False, "keda-of-all", "is not verified to belong to this installation"),
        (True, "keda-of-all", ""),
    ],
    ids=["no TriggerAuthentication", "another secret", "another's namespace", "the secret"],
)
async def test_kedas_password_goes_only_where_the_cluster_sends_it(
    proved: bool,
    named: str,
    says: str,
    plane: ControlPlane,
    on_aws: Aws,
    locked: Redis,
    produced: set[str],
) -> None:
    """Whoever writes the resource names both the secret and the address that it would be sent to."""
    own, endpoints = (f"redis-{random.token_hex(4)}" for _ in range(2))
    for name in (own, endpoints):
        plane.api("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
    if proved:
        plane.api("POST", f"/api/v1/namespaces/{endpoints}/configmaps", service_config(own))
    if named:
        plane.apply(trigger_authentication(named), namespace=endpoints)
    on_aws.keep_secret("keda-of-all", PASSWORD)
    given = overlaid(
        sound(on_aws, locked), at(SECRETS[KEDA], "keda-of-all"), at(f"{LAUNCH}.endpoint_namespace", endpoints)
    )
    async with connected(Access(kubeconfig=str(plane.kubeconfig))) as api:
        result = await judged(
            "RedisReachable", given, cluster=KubernetesCluster(api), namespace=own, seconds=10
        )
    assert PASSWORD not in repr(result)
    if not says:
        assert ways(result) == {CACHE: WORKS, BROKER: WORKS, KEDA: WORKS}
        return
    assert ways(result) == {CACHE: WORKS, BROKER: WORKS, KEDA: (Status.ERROR, "KedaSecretNotVerified")}
    assert "is reachable; the password was not tested" in result.message
    assert says in result.message
    assert "keda-of-all" in result.remediation
    produced.add(result.reason)


def test_every_reason_about_secrets_has_a_case(produced: set[str]) -> None:
    assert produced >= {
        reason.name
        for reason in (
            RedisReasons.CLOUD_SECRET_UNUSABLE,
            RedisReasons.KEDA_SECRET_IS_JSON,
            RedisReasons.KEDA_SECRET_NOT_VERIFIED,
            RedisReasons.KEDA_WITHOUT_PASSWORD,
            RedisReasons.REACHABLE,
        )
    }
