"""RedisReachable on real Redis: every broken way first, then the sound ones."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
import redis

from mehc_checks.checks.redis.reasons import RedisReasons
from mehc_checks.clients.aws.reasons import AwsReasons
from mehc_checks.clients.kubernetes.api import KubernetesCluster
from mehc_checks.core.outcome import Status
from mehc_checks.installation.reasons import EnvironmentReasons
from testbed import ports
from testbed.controlplane import ControlPlane
from testbed.installation import overlaid
from testbed.judging import judged
from testbed.pki import CertificateAuthority
from testbed.redis import Redis, Sentinel
from testbed.waiting import eventually

PASSWORD = "pw-never-shown"
LAUNCH = ("config", "values", "launch")
INFRA = ("config", "values", "infra")
KEDA_ONLY = "on nopass ~launch-endpoint-autoscaling:* resetchannels -@all +@connection +select +llen +eval"


def at(path: tuple[str, ...], **values: Any) -> dict[str, Any]:
    """``values`` at ``path``."""
    tree: dict[str, Any] = values
    for key in reversed(path):
        tree = {key: tree}
    return tree


def cache(url: str, **infra: Any) -> dict[str, Any]:
    """An installation on AWS whose cache is at ``url``; SQS is the broker."""
    return overlaid(
        at(INFRA, cloud_provider="aws", **infra),
        at(LAUNCH, cache_redis_aws_url=url),
        {"redis": {"enableTLS": url.startswith("rediss")}},
    )


def broker(host: str, port: int, url: str, **redis: Any) -> dict[str, Any]:
    """An installation on premises: ``url`` is the cache, ``host`` and ``port`` the broker."""
    return overlaid(
        at(INFRA, cloud_provider="onprem"),
        at(LAUNCH, cache_redis_onprem_url=url),
        {"redisHost": host, "redisPort": str(port), "redis": redis},
    )


class Servers:
    """Real servers, one for each state; started when a case first asks."""

    def __init__(self, stack: contextlib.ExitStack, ca: CertificateAuthority) -> None:
        self._stack, self.ca = stack, ca
        self._started: dict[str, Redis] = {}

    def __call__(self, name: str, **options: Any) -> Redis:
        if name not in self._started:
            self._started[name] = self._stack.enter_context(Redis(**options))
        return self._started[name]

    @property
    def plain(self) -> Redis:
        return self("plain")

    @property
    def tls(self) -> Redis:
        return self("tls", tls=True, ca=self.ca)

    @property
    def secured(self) -> Redis:
        """TLS, a user "app" with a password, and a default user that can do what KEDA does."""
        return self(
            "secured",
            tls=True,
            ca=self.ca,
            users={"default": KEDA_ONLY, "app": f"on >{PASSWORD} ~* &* +@all"},
        )

    @property
    def locked(self) -> Redis:
        return self("locked", password=PASSWORD)

    @property
    def replica(self) -> Redis:
        return self("replica", replica_of=self.plain)

    @property
    def cluster(self) -> Redis:
        return self("cluster", config={"cluster-enabled": "yes"})

    @property
    def sentinel(self) -> Sentinel:
        return self._stack.enter_context(Sentinel())

    @property
    def orphan(self) -> Redis:
        """Its primary is an address where nothing listens."""
        server = self("orphan", config={"replica-serve-stale-data": "no"})
        server.call("REPLICAOF", "127.0.0.1", ports.free_port())
        return server

    @property
    def evicting(self) -> Redis:
        return self("evicting", config={"maxmemory": "50mb", "maxmemory-policy": "allkeys-lru"})

    @property
    def full(self) -> Redis:
        return self("full", config={"maxmemory": "1", "maxmemory-policy": "noeviction"})

    @property
    def crowded(self) -> Redis:
        server = self("crowded")
        server.call("CONFIG", "SET", "maxclients", "1")
        return server

    @property
    def unable_to_save(self) -> Redis:
        server = self("unable to save", config={"dbfilename": "taken"})
        (server.directory / "taken").mkdir(exist_ok=True)
        server.call("SET", "a", "b")
        server.call("CONFIG", "SET", "save", "3600 1")
        server.call("BGSAVE")
        eventually(lambda: server.call("INFO", "persistence")["rdb_last_bgsave_status"], lambda s: s != "ok")
        return server

    def limited(self, rules: str) -> Redis:
        return self(rules, users={"app": f"on >{PASSWORD} {rules}"})

    def certified(self, certificate: str) -> Redis:
        other = CertificateAuthority()
        made = {
            "expired": self.ca.expired,
            "not yet valid": lambda: self.ca.issue(begins_in=timedelta(days=2)),
            "wrong host": self.ca.wrong_host,
            "expiring": lambda: self.ca.expiring(9.5),
            "untrusted": other.issue,
        }[certificate]
        return self(certificate, tls=True, ca=self.ca, certificate=made())


@dataclass(frozen=True, kw_only=True)
class Case:
    """An installation; ``says`` must be in the message, which begins with the way concerned."""

    id: str
    reason: str
    says: str
    values: Callable[[Servers], Mapping[str, Any]]


CASES = [
    Case(
        id="nothing configured on AWS",
        reason="NoRedisConfigured",
        says="cache: no Redis address is configured for cloud aws",
        values=lambda _: at(INFRA, cloud_provider="aws"),
    ),
    Case(
        id="nothing configured on GCP",
        reason="NoRedisConfigured",
        says="cloud gcp",
        values=lambda s: overlaid(
            at(INFRA, cloud_provider="gcp"), {"redisHost": s.plain.host, "redisPort": s.plain.port}
        ),
    ),
    Case(
        id="no broker host on premises",
        reason="NoRedisConfigured",
        says="broker: no Redis address",
        values=lambda s: overlaid(
            at(INFRA, cloud_provider="onprem"), at(LAUNCH, cache_redis_onprem_url=s.plain.url())
        ),
    ),
    Case(
        id="an AWS URL left on Azure",
        reason="RedisSourceOfAnotherCloud",
        says="cache_redis_aws_url is set, but cloud_provider is azure",
        values=lambda s: overlaid(
            at(INFRA, cloud_provider="azure"), at(LAUNCH, cache_redis_aws_url=s.plain.url())
        ),
    ),
    Case(
        id="two sources",
        reason="SeveralRedisSources",
        says="cache_redis_aws_url is used, and config.values.launch.cache_redis_aws_secret_name is ignored",
        values=lambda s: overlaid(cache(s.plain.url()), at(LAUNCH, cache_redis_aws_secret_name="x")),
    ),
    Case(
        id="no URL",
        reason="RedisURLInvalid",
        says="is not a valid Redis URL: it does not begin with redis:// or rediss://",
        values=lambda _: cache("my-redis.example.com:6379"),
    ),
    Case(
        id="a port that is no number",
        reason="RedisURLInvalid",
        says="host and port do not give a URL that Celery can read",
        values=lambda s: overlaid(broker("h", 1, s.plain.url()), {"redisPort": "http"}),
    ),
    Case(
        id="a token that ends the URL's password",
        reason="RedisURLInvalid",
        says="the broker URL made from redis.auth is not a valid Redis URL: the token has characters that end",
        values=lambda s: broker(s.plain.host, s.plain.port, s.plain.url(), auth=f"{PASSWORD}/and+more="),
    ),
    Case(
        id="the token's Secret is missing",
        reason="RedisTokenNotFound",
        says="Secret token in namespace",
        values=lambda s: broker(s.plain.host, s.plain.port, s.plain.url(), authSecretName="token"),
    ),
    Case(
        id="Azure's tokens",
        reason="AzureTokenNotEvaluated",
        says="is reachable; authentication was not tested",
        values=lambda s: overlaid(
            at(INFRA, cloud_provider="azure"),
            at(LAUNCH, cache_redis_azure_host=f"{s.tls.host}:{s.tls.port}"),
            {"redis": {"enableTLS": True}},
        ),
    ),
    Case(
        id="unresolvable",
        reason="HostUnresolvable",
        says="cache: redis.invalid does not resolve",
        values=lambda _: cache("redis://redis.invalid:6379/0"),
    ),
    Case(
        id="refused",
        reason="ConnectionRefused",
        says="nothing listens",
        values=lambda _: cache(f"redis://127.0.0.1:{ports.free_port()}/0"),
    ),
    Case(
        id="plain client, TLS port",
        reason="TLSRequired",
        says="requires TLS, and the client is configured without it",
        values=lambda s: cache(s.tls.url().replace("rediss", "redis")),
    ),
    Case(
        id="TLS client, plain port",
        reason="ServerNotTLS",
        says="does not speak TLS",
        values=lambda s: cache(s.plain.url().replace("redis:", "rediss:")),
    ),
    Case(
        id="KEDA without TLS",
        reason="TLSRequired",
        says="keda: ",
        values=lambda s: overlaid(cache(s.tls.url()), {"redis": {"enableTLS": False}}),
    ),
    Case(
        id="KEDA with TLS on a plain port",
        reason="ServerNotTLS",
        says="keda: ",
        values=lambda s: overlaid(cache(s.plain.url()), {"redis": {"enableTLS": True}}),
    ),
    Case(
        id="untrusted",
        reason="TLSUntrusted",
        says="is not trusted",
        values=lambda s: cache(s.certified("untrusted").url()),
    ),
    Case(
        id="expired",
        reason="TLSExpired",
        says="has expired",
        values=lambda s: cache(s.certified("expired").url()),
    ),
    Case(
        id="not yet valid",
        reason="TLSNotYetValid",
        says="is not valid yet",
        values=lambda s: cache(s.certified("not yet valid").url()),
    ),
    Case(
        id="wrong host",
        reason="TLSWrongHost",
        says="is not valid for 127.0.0.1",
        values=lambda s: cache(s.certified("wrong host").url()),
    ),
    Case(
        id="expires soon",
        reason="TLSExpiresSoon",
        says="expires in 9 days",
        values=lambda s: cache(s.certified("expiring").url()),
    ),
    Case(
        id="a client certificate is wanted",
        reason="TLSHandshakeFailed",
        says="failed",
        values=lambda s: cache(s("mutual", tls=True, ca=s.ca, client_auth=True).url()),
    ),
    Case(
        id="no password",
        reason="AuthRequired",
        says="cache: ",
        values=lambda s: cache(f"redis://{s.locked.host}:{s.locked.port}/0"),
    ),
    Case(
        id="wrong password",
        reason="AuthRejected",
        says="rejected the password of user app",
        values=lambda s: cache(s.secured.url(user="app", password="guess")),
    ),
    Case(
        id="a password the server does not know",
        reason="AuthNotConfiguredOnServer",
        says="has no password set",
        values=lambda s: cache(s.tls.url(password=PASSWORD)),
    ),
    Case(
        id="a password that nobody needs",
        reason="AuthNotEnforced",
        says="can be read without the configured password",
        values=lambda s: cache(
            s("lax", tls=True, ca=s.ca, users={"app": f"on >{PASSWORD} ~* +@all"}).url(
                user="app", password=PASSWORD
            )
        ),
    ),
    Case(
        id="writing forbidden",
        reason="PermissionDenied",
        says="denies user app the command SET",
        values=lambda s: cache(s.limited("~* +@all -set").url(user="app", password=PASSWORD)),
    ),
    Case(
        id="keys forbidden",
        reason="PermissionDenied",
        says="denies user app GET on key launch-k8s-cache:mehc-probe",
        values=lambda s: cache(s.limited("~mine:* +@all").url(user="app", password=PASSWORD)),
    ),
    Case(
        id="KEDA may not run scripts",
        reason="PermissionDenied",
        says="keda: ",
        values=lambda s: cache(
            s(
                "no eval",
                tls=True,
                ca=s.ca,
                users={
                    "default": "on nopass ~launch-endpoint-autoscaling:* -@all +@connection +select +llen",
                    "app": f"on >{PASSWORD} ~* +@all",
                },
            ).url(user="app", password=PASSWORD)
        ),
    ),
    Case(
        id="replica",
        reason="ReadOnlyReplica",
        says="is a read-only replica",
        values=lambda s: cache(s.replica.url()),
    ),
    Case(
        id="cluster mode", reason="ClusterMode", says="cluster mode", values=lambda s: cache(s.cluster.url())
    ),
    Case(
        id="a sentinel",
        reason="SentinelAddress",
        says="is a Redis Sentinel and holds no data",
        values=lambda s: cache(s.sentinel.url()),
    ),
    Case(
        id="a replica that has lost its primary",
        reason="ReplicaWithoutPrimary",
        says="link to its primary is down",
        values=lambda s: cache(s.orphan.url()),
    ),
    Case(
        id="too few replicas",
        reason="TooFewReplicas",
        says="fewer replicas are connected than min-replicas-to-write",
        values=lambda s: cache(s("proud", config={"min-replicas-to-write": "1"}).url()),
    ),
    Case(
        id="no scripts",
        reason="CommandDisabled",
        says="keda: 127.0.0.1",
        values=lambda s: cache(s("no scripts", config={"rename-command": 'EVAL ""'}).url()),
    ),
    Case(
        id="evicting broker",
        reason="EvictingBroker",
        says="broker: ",
        values=lambda s: broker(s.evicting.host, s.evicting.port, s.plain.url()),
    ),
    Case(
        id="database out of range",
        reason="DatabaseIndexOutOfRange",
        says="has no database 99",
        values=lambda s: cache(s.plain.url(99)),
    ),
    Case(
        id="cannot save",
        reason="WritesRejected",
        says="its last snapshot (BGSAVE) failed",
        values=lambda s: cache(s.unable_to_save.url()),
    ),
    Case(id="full", reason="MaxMemoryReached", says="rejects SET", values=lambda s: cache(s.full.url())),
    Case(
        id="too many clients",
        reason="TooManyClients",
        says="closes new connections",
        values=lambda s: cache(s.crowded.url()),
    ),
    Case(
        id="KEDA gets the password for an address",
        reason="KedaAddressInvalid",
        says="keda: KEDA is given <credentials>@127.0.0.1",
        values=lambda s: cache(s.locked.url()),
    ),
    Case(
        id="KEDA's auth off AWS",
        reason="KedaAuthUnavailable",
        says="cloud_provider is onprem",
        values=lambda s: broker(s.plain.host, s.plain.port, s.plain.url(), enableAuth=True),
    ),
    Case(
        id="KEDA's secret has no name",
        reason="KedaSecretUnnamed",
        says="kedaSecretName is empty",
        values=lambda s: overlaid(cache(s.plain.url()), {"redis": {"enableAuth": True}}),
    ),
    Case(
        id="a broker's token without TLS",
        reason="ServerNotTLS",
        says="broker: ",
        values=lambda s: broker(s.plain.host, s.plain.port, s.plain.url(), auth=PASSWORD),
    ),
    Case(
        id="sound, plain",
        reason="RedisReachable",
        says="cache: redis://127.0.0.1",
        values=lambda s: cache(s.plain.url()),
    ),
    Case(
        id="sound, TLS and ACL",
        reason="RedisReachable",
        says="keda: rediss://127.0.0.1",
        values=lambda s: cache(s.secured.url(user="app", password=PASSWORD)),
    ),
    Case(
        id="sound, Redis as the broker",
        reason="RedisReachable",
        says="broker: redis://127.0.0.1",
        values=lambda s: broker(s.plain.host, s.plain.port, s.plain.url()),
    ),
]


@pytest.fixture(scope="module")
def servers(certificate_authority: CertificateAuthority) -> Iterator[Servers]:
    with contextlib.ExitStack() as stack:
        yield Servers(stack, certificate_authority)


@pytest.fixture(scope="module")
def produced() -> set[str]:
    """The reasons that the cases below produced."""
    return set()


@pytest.fixture(autouse=True)
def trusting(certificate_authority: CertificateAuthority, monkeypatch: pytest.MonkeyPatch) -> None:
    """The platform's images trust the testbed's authority."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate_authority.ca_file))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
async def test_case(
    case: Case, servers: Servers, cluster: KubernetesCluster, namespace: str, produced: set[str]
) -> None:
    values = await asyncio.to_thread(case.values, servers)
    result = await judged("RedisReachable", values, cluster=cluster, namespace=namespace)
    assert result.reason == case.reason, result.message
    assert any(case.says in found.message for found in result.findings if found.reason == case.reason)
    assert result.status is next(r.status for r in RedisReasons.all() if r.name == case.reason)
    assert bool(result.remediation) == (result.status is not Status.PASS)
    assert PASSWORD not in repr(result)
    produced.add(result.reason)


async def test_a_tls_broker_takes_its_token_from_a_secret(
    servers: Servers, cluster: KubernetesCluster, control_plane: ControlPlane, namespace: str
) -> None:
    """The broker's client does not verify: an authority that nobody trusts does not matter to it."""
    server = await asyncio.to_thread(
        lambda: servers("broker", tls=True, ca=CertificateAuthority(), password=PASSWORD)
    )
    control_plane.api(
        "POST",
        f"/api/v1/namespaces/{namespace}/secrets",
        {"metadata": {"name": "token"}, "stringData": {"auth_token": PASSWORD}},
    )
    values = broker(server.host, server.port, servers.plain.url(), authSecretName="token")
    result = await judged("RedisReachable", values, cluster=cluster, namespace=namespace)
    assert result.status is Status.PASS, result.message
    found = next(found for found in result.findings if found.subject == "broker")
    assert found.message == f"broker: rediss://127.0.0.1:{server.port}/0 is reachable"


def gateway(plane: ControlPlane, namespace: str, *env: Mapping[str, Any]) -> None:
    """A gateway whose pods have these variables."""
    labels = {"app": "model-engine"}
    pod = {"containers": [{"name": "model-engine", "image": "gateway", "env": list(env)}]}
    deployment = {
        "metadata": {"name": "model-engine"},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }
    plane.api("POST", f"/apis/apps/v1/namespaces/{namespace}/deployments", deployment)


def variable(name: str, value: str) -> Mapping[str, Any]:
    return {"name": name, "value": value}


@pytest.mark.parametrize(
    ("newer", "found"),
    [
        (False, {"cache": "RedisReachable", "broker": "ServerNotTLS", "keda": "KedaAddressInvalid"}),
        (True, {"cache": "RedisReachable", "broker": "RedisReachable", "keda": "KedaLoginNotEvaluated"}),
    ],
)
async def test_a_newer_platform_has_a_password_without_tls(
    newer: bool,
    found: dict[str, str],
    servers: Servers,
    cluster: KubernetesCluster,
    control_plane: ControlPlane,
    namespace: str,
    produced: set[str],
) -> None:
    """Its pods have REDIS_ENABLE_TLS; those of chart 0.2.7 use TLS where they have a token."""
    server = await asyncio.to_thread(lambda: servers("locked", password=PASSWORD))
    apart = [variable("REDIS_ENABLE_TLS", "false")] if newer else []
    gateway(control_plane, namespace, variable("REDIS_AUTH_TOKEN", PASSWORD), *apart)
    values = broker(server.host, server.port, server.url(), auth=PASSWORD, enableTLS=False)
    result = await judged("RedisReachable", values, cluster=cluster, namespace=namespace)
    assert {each.subject: each.reason for each in result.findings} == found, result.message
    assert result.status is (Status.WARN if newer else Status.FAIL)
    assert PASSWORD not in repr(result)
    produced.add(result.reason)


async def test_variables_of_the_pods_go_before_the_values(
    servers: Servers, cluster: KubernetesCluster, control_plane: ControlPlane, namespace: str
) -> None:
    server = servers.plain
    gateway(
        control_plane,
        namespace,
        variable("REDIS_HOST", server.host),
        variable("REDIS_PORT", str(server.port)),
    )
    values = broker("redis.invalid", 6379, server.url())
    result = await judged("RedisReachable", values, cluster=cluster, namespace=namespace)
    assert result.status is Status.PASS, result.message
    assert result.evidence["brokerSource"] == "REDIS_HOST in the gateway's Deployment"


async def test_a_variable_that_leads_nowhere_is_named(
    servers: Servers, cluster: KubernetesCluster, control_plane: ControlPlane, namespace: str
) -> None:
    server = servers.plain
    gateway(control_plane, namespace, variable("REDIS_HOST", "redis.invalid"))
    values = broker(server.host, server.port, server.url())
    result = await judged("RedisReachable", values, cluster=cluster, namespace=namespace)
    assert (result.status, result.reason) == (Status.FAIL, "HostUnresolvable")
    assert "REDIS_HOST in the gateway's Deployment" in result.remediation


async def test_the_secret_of_a_token_is_the_one_that_the_pods_read(
    servers: Servers, cluster: KubernetesCluster, control_plane: ControlPlane, namespace: str
) -> None:
    reference = {"secretKeyRef": {"name": "kept-elsewhere", "key": "pw"}}
    gateway(control_plane, namespace, {"name": "REDIS_AUTH_TOKEN", "valueFrom": reference})
    server = servers.plain
    result = await judged(
        "RedisReachable", broker(server.host, server.port, server.url()), cluster=cluster, namespace=namespace
    )
    assert (result.status, result.reason) == (Status.FAIL, "RedisTokenNotFound")
    assert "Secret kept-elsewhere" in result.message
    assert "--from-literal=pw=TOKEN" in result.remediation


@pytest.mark.parametrize(
    ("stage", "reason", "says"),
    [
        (ports.black_hole, "ConnectionTimeout", "did not answer within"),
        (ports.silent_server, "ConnectionTimeout", "did not answer within"),
        (
            lambda: ports.garbage_server(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
            "NotRedis",
            "does not answer in the Redis protocol",
        ),
        (lambda: ports.garbage_server(b""), "ConnectionClosed", "closed the connection without an answer"),
        (lambda: contextlib.nullcontext(("[fe80::1]", 6379)), "HostUnreachable", "is unreachable"),
        (lambda: ports.garbage_server(b"-ERR unheard of\r\n" * 9), "RedisError", "returned an error"),
        (
            lambda: ports.garbage_server(b"-DENIED Redis is running in protected mode because\r\n" * 9),
            "ProtectedMode",
            "without a password it admits only its own host",
        ),
    ],
)
async def test_servers_that_are_none(
    stage: Callable[[], Any], reason: str, says: str, produced: set[str]
) -> None:
    with stage() as (host, port):
        result = await judged("RedisReachable", cache(f"redis://{host}:{port}/0"), seconds=1)
    assert result.reason == reason, result.message
    assert says in result.message
    produced.add(result.reason)


async def test_a_server_that_runs_a_script(produced: set[str]) -> None:
    with Redis(config={"lua-time-limit": "1"}) as server:
        script = asyncio.create_task(asyncio.to_thread(endless, server))
        try:
            result = None
            for _ in range(300):
                result = await judged("RedisReachable", cache(server.url()))
                if result.reason != "RedisReachable":
                    break
                await asyncio.sleep(0.2)
        finally:
            await asyncio.to_thread(server.call, "SCRIPT", "KILL")
        await script
    assert result
    assert result.reason == "ScriptRunning", result
    assert "redis-cli SCRIPT KILL" in result.remediation
    produced.add(result.reason)


def endless(server: Redis) -> None:
    with contextlib.suppress(redis.RedisError):
        server.call("EVAL", "while true do end", 0)


async def test_a_server_that_is_loading(servers: Servers, produced: set[str]) -> None:
    """A slow load of a few keys: the server listens and answers LOADING."""
    slow = {"key-load-delay": "100000", "loading-process-events-interval-bytes": "1024"}
    with Redis(config={"rdbcompression": "no"}) as server:
        for number in range(100):
            await asyncio.to_thread(server.call, "SET", f"key{number}", "x" * 1000)
        await asyncio.to_thread(server.call, "SAVE")
        server.stop()
        with (server.directory / "redis.conf").open("a") as config:
            config.writelines(f"{key} {value}\n" for key, value in slow.items())
        server.spawn()
        await asyncio.to_thread(eventually, lambda: ports.is_listening(server.port), bool)
        result = await judged("RedisReachable", cache(server.url()), seconds=5)
    assert result.reason == "Loading", result.message
    produced.add(result.reason)


async def test_nothing_is_written(servers: Servers) -> None:
    server = servers.plain
    before = server.call("INFO", "persistence")["rdb_changes_since_last_save"]
    result = await judged("RedisReachable", broker(server.host, server.port, server.url()))
    assert result.status is Status.PASS
    assert server.call("INFO", "persistence")["rdb_changes_since_last_save"] == before
    assert server.call("DBSIZE") == 0


def test_every_reason_has_a_case(produced: set[str]) -> None:
    """Those of AWS and of its secrets are in test_redis_secrets.py, of Azure in test_redis_azure.py, those of the
    environment in tests/discovery, DNSTimeout in tests/unit/test_net.py."""
    elsewhere = {
        *AwsReasons.all(),
        *EnvironmentReasons.all(),
        RedisReasons.DNS_TIMEOUT,
        RedisReasons.CLOUD_SECRET_UNUSABLE,
        RedisReasons.KEDA_SECRET_IS_JSON,
        RedisReasons.KEDA_SECRET_NOT_VERIFIED,
        RedisReasons.KEDA_WITHOUT_PASSWORD,
        RedisReasons.AZURE_LOGIN_REJECTED,
        RedisReasons.AZURE_POLICY_DENIES,
    }
    assert produced == {reason.name for reason in RedisReasons.all() if reason not in elsewhere}
