"""RedisReachable against its oracles: redis-py opened as the cache opens it, Celery as producer and worker."""

import asyncio
import contextlib
import json
import secrets as random
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
import redis
from celery import Celery
from celery.contrib.testing.worker import start_worker
from kombu import pools
from kombu.exceptions import OperationalError

from mehc_checks.core.outcome import Status
from testbed import ports
from testbed.aws import REGION, Aws
from testbed.installation import overlaid
from testbed.judging import judged
from testbed.pki import CertificateAuthority
from testbed.redis import Redis

PASSWORD = "oracle"
Stage = Callable[[contextlib.ExitStack, CertificateAuthority], Redis]


@pytest.fixture(autouse=True)
def trusting(certificate_authority: CertificateAuthority, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate_authority.ca_file))


def cache_works(url: str) -> bool:
    """Open, read, write and delete as the gateway and the cacher do: their redis-py speaks RESP2."""
    key = f"launch-k8s-cache:{uuid.uuid4()}"
    try:
        with redis.Redis.from_url(url, protocol=2, socket_timeout=2, socket_connect_timeout=2) as client:
            client.set(key, "{}", ex=60)
            found: Any = client.get(key)
            client.delete(key)
    except (redis.RedisError, OSError):
        return False
    return bool(found == b"{}")


def endpoint(host: str, port: int, token: str) -> str:
    """The broker's URL as ``core/celery/app.py`` of model engine strings it together: a token means TLS."""
    return f"rediss://:{token}@{host}:{port}/0?ssl_cert_reqs=none" if token else f"redis://{host}:{port}/0"


def endpoint_of(secret: Mapping[str, Any]) -> str:
    """The same where a secret of AWS holds the fields."""
    token = secret.get("auth_token")
    login = f":{token}@" if token is not None else ""
    where = f"{login}{secret['host']}:{secret['port']}/0{secret.get('query_params', '')}"
    return f"{secret.get('scheme', 'redis://')}{where}"


def celery(url: str) -> Celery:
    """An application with the platform's settings, remote control included; of a connection, it tries each once."""
    app = Celery("oracle", broker=url, set_as_current=False)
    app.conf.update(
        broker_connection_retry=False,
        broker_connection_retry_on_startup=False,
        broker_connection_max_retries=0,
        broker_connection_timeout=2,
        broker_transport_options={"socket_timeout": 2, "socket_connect_timeout": 2, "max_retries": 0},
        task_ignore_result=True,
        worker_hijack_root_logger=False,
    )
    return app


def broker_works(url: str) -> bool:
    """Send a task and let a worker run it."""
    pools.reset()  # they take URLs that differ in TLS alone for one
    app = celery(url)
    ran: list[str] = []

    @app.task(name=f"oracle.{uuid.uuid4()}", ignore_result=True)
    def note(word: str) -> None:
        ran.append(word)

    try:
        note.apply_async(("hello",), retry=False)
    except (OperationalError, redis.RedisError, OSError, ValueError, TypeError, KeyError):
        return False  # the last three of a URL that kombu cannot read
    with start_worker(app, pool="solo", perform_ping_check=False, shutdown_timeout=5, loglevel="ERROR"):
        for _ in range(1200):
            if ran:
                break
            time.sleep(0.1)
    app.close()
    return ran == ["hello"]


CACHES: dict[str, tuple[Stage, Callable[[Redis], str]]] = {
    "plain": (lambda s, _: s.enter_context(Redis()), lambda r: r.url()),
    "tls": (lambda s, ca: s.enter_context(Redis(tls=True, ca=ca)), lambda r: r.url()),
    "tls, plain URL": (
        lambda s, ca: s.enter_context(Redis(tls=True, ca=ca)),
        lambda r: r.url().replace("rediss", "redis"),
    ),
    "plain, TLS URL": (lambda s, _: s.enter_context(Redis()), lambda r: r.url().replace("redis:", "rediss:")),
    "expired": (
        lambda s, ca: s.enter_context(Redis(tls=True, ca=ca, certificate=ca.expired())),
        lambda r: r.url(),
    ),
    "wrong host": (
        lambda s, ca: s.enter_context(Redis(tls=True, ca=ca, certificate=ca.wrong_host())),
        lambda r: r.url(),
    ),
    "untrusted": (
        lambda s, _: s.enter_context(Redis(tls=True, ca=CertificateAuthority())),
        lambda r: r.url(),
    ),
    "untrusted, not verified": (
        lambda s, _: s.enter_context(Redis(tls=True, ca=CertificateAuthority())),
        lambda r: r.url(ssl_cert_reqs="none"),
    ),
    "password": (lambda s, _: s.enter_context(Redis(password=PASSWORD)), lambda r: r.url()),
    "wrong password": (
        lambda s, _: s.enter_context(Redis(password=PASSWORD)),
        lambda r: r.url(password="guess"),
    ),
    "password that is not set": (lambda s, _: s.enter_context(Redis()), lambda r: r.url(password="guess")),
    "read only user": (
        lambda s, _: s.enter_context(Redis(users={"app": f"on >{PASSWORD} ~* +@read +@connection"})),
        lambda r: r.url(user="app", password=PASSWORD),
    ),
    "database 99": (lambda s, _: s.enter_context(Redis()), lambda r: r.url(99)),
    "full": (lambda s, _: s.enter_context(Redis(config={"maxmemory": "1"})), lambda r: r.url()),
    "replica": (
        lambda s, _: s.enter_context(Redis(replica_of=s.enter_context(Redis()))),
        lambda r: r.url(),
    ),
    "cluster": (lambda s, _: s.enter_context(Redis(config={"cluster-enabled": "yes"})), lambda r: r.url()),
}


@pytest.mark.parametrize("name", CACHES)
async def test_the_cache_works_where_we_say_so(
    name: str, certificate_authority: CertificateAuthority
) -> None:
    stage, url = CACHES[name]
    with contextlib.ExitStack() as stack:
        server = await asyncio.to_thread(stage, stack, certificate_authority)
        values = {
            "config": {
                "values": {"infra": {"cloud_provider": "aws"}, "launch": {"cache_redis_aws_url": url(server)}}
            }
        }
        result = await judged("RedisReachable", values)
        ours = next(found.status for found in result.findings if found.subject == "cache")
        works = await asyncio.to_thread(cache_works, url(server))
    assert (ours in (Status.PASS, Status.WARN)) == works, result.message


BROKERS: dict[str, tuple[Stage, str]] = {
    "plain": (lambda s, _: s.enter_context(Redis()), ""),
    "tls and token": (lambda s, ca: s.enter_context(Redis(tls=True, ca=ca, password=PASSWORD)), PASSWORD),
    "tls and token, untrusted": (
        lambda s, _: s.enter_context(Redis(tls=True, ca=CertificateAuthority(), password=PASSWORD)),
        PASSWORD,
    ),
    "wrong token": (lambda s, ca: s.enter_context(Redis(tls=True, ca=ca, password=PASSWORD)), "guess"),
    "token missing": (lambda s, _: s.enter_context(Redis(password=PASSWORD)), ""),
    "tls without a token": (lambda s, ca: s.enter_context(Redis(tls=True, ca=ca)), ""),
    "token, plain server": (lambda s, _: s.enter_context(Redis(password=PASSWORD)), PASSWORD),
    "token that ends the password": (
        lambda s, ca: s.enter_context(Redis(tls=True, ca=ca, password="or/acle")),
        "or/acle",
    ),
    "replica": (lambda s, _: s.enter_context(Redis(replica_of=s.enter_context(Redis()))), ""),
    "cluster": (lambda s, _: s.enter_context(Redis(config={"cluster-enabled": "yes"})), ""),
    "full": (lambda s, _: s.enter_context(Redis(config={"maxmemory": "1"})), ""),
}


@pytest.fixture(scope="module")
def sound_cache() -> Iterator[Redis]:
    with Redis() as server:
        yield server


@pytest.mark.parametrize("name", BROKERS)
async def test_the_broker_works_where_we_say_so(
    name: str, certificate_authority: CertificateAuthority, sound_cache: Redis
) -> None:
    stage, token = BROKERS[name]
    with contextlib.ExitStack() as stack:
        server = await asyncio.to_thread(stage, stack, certificate_authority)
        values = overlaid(
            {
                "config": {
                    "values": {
                        "infra": {"cloud_provider": "onprem"},
                        "launch": {"cache_redis_onprem_url": sound_cache.url()},
                    }
                },
                "redisHost": server.host,
                "redisPort": server.port,
            },
            {"redis": {"auth": token}} if token else {},
        )
        result = await judged("RedisReachable", values)
        ours = next(found.status for found in result.findings if found.subject == "broker")
        works = await asyncio.to_thread(broker_works, endpoint(server.host, server.port, token))
    assert (ours in (Status.PASS, Status.WARN)) == works, result.message


SECURED = {"scheme": "rediss://", "auth_token": "or%2Facle"}
BROKER_SECRETS: dict[str, tuple[str, dict[str, str | None]]] = {
    "plain": ("plain", {}),
    "plain, with its scheme": ("plain", {"scheme": "redis://"}),
    "plain, scheme without ://": ("plain", {"scheme": "redis"}),
    "plain, asked by TLS": ("plain", {"scheme": "rediss://"}),
    "plain, an empty token": ("plain", {"auth_token": ""}),
    "plain, a parameter that Celery takes": ("plain", {"query_params": "?heartbeat=10"}),
    "plain, one that it takes as text": ("plain", {"query_params": "?connect_timeout=3"}),
    "plain, one of redis-py": ("plain", {"query_params": "?socket_timeout=3"}),
    "plain, a parameter without ?": ("plain", {"query_params": "heartbeat=10"}),
    "plain, TLS by a parameter": ("plain", {"query_params": "?ssl_cert_reqs=none"}),
    "secured": ("secured", SECURED),
    "secured, token not encoded": ("secured", {**SECURED, "auth_token": "or/acle"}),
    "secured, another token": ("secured", {**SECURED, "auth_token": "guess"}),
    "secured, no token": ("secured", {"scheme": "rediss://"}),
    "secured, plain scheme": ("secured", {**SECURED, "scheme": "redis://"}),
    "secured, TLS by a parameter": (
        "secured",
        {**SECURED, "scheme": "redis://", "query_params": "?ssl_cert_reqs=none"},
    ),
    "secured, verified without its authority": (
        "secured",
        {**SECURED, "query_params": "?ssl_cert_reqs=required"},
    ),
    "secured, verified": (
        "secured",
        {**SECURED, "query_params": "?ssl_cert_reqs=required&ssl_ca_certs={ca}"},
    ),
    "secured, verification of no kind": ("secured", {**SECURED, "query_params": "?ssl_cert_reqs=no"}),
}


@pytest.fixture(scope="module")
def brokers(certificate_authority: CertificateAuthority) -> Iterator[dict[str, Redis]]:
    with Redis() as plain, Redis(tls=True, ca=certificate_authority, password="or/acle") as secured:
        yield {"plain": plain, "secured": secured}


@pytest.mark.parametrize("name", BROKER_SECRETS)
async def test_the_broker_of_a_secret_works_where_we_say_so(
    name: str,
    brokers: dict[str, Redis],
    sound_cache: Redis,
    certificate_authority: CertificateAuthority,
    on_aws: Aws,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    which, fields = BROKER_SECRETS[name]
    server, ca = brokers[which], str(certificate_authority.ca_file)
    secret = {"host": server.host, "port": server.port, **fields}
    secret |= {key: str(value).replace("{ca}", ca) for key, value in fields.items() if key == "query_params"}
    kept = f"oracle-{random.token_hex(4)}"
    on_aws.keep_secret(kept, json.dumps(secret))
    if name == "secured, verified without its authority":
        monkeypatch.delenv("SSL_CERT_FILE")  # redis-py does not know it, and this is the system's trust
    infra = {"cloud_provider": "aws", "default_region": REGION, "redis_aws_secret_name": kept}
    values = {
        "config": {"values": {"infra": infra, "launch": {"cache_redis_aws_url": sound_cache.url()}}},
        "celery_broker_type_redis": True,
    }
    result = await judged("RedisReachable", values)
    ours = next(found.status for found in result.findings if found.subject == "broker")
    works = await asyncio.to_thread(broker_works, endpoint_of(secret))
    assert (ours in (Status.PASS, Status.WARN)) == works, result.message


async def test_nobody_answers_and_both_say_so(sound_cache: Redis) -> None:
    port = ports.free_port()
    values = {
        "config": {
            "values": {
                "infra": {"cloud_provider": "onprem"},
                "launch": {"cache_redis_onprem_url": sound_cache.url()},
            }
        },
        "redisHost": "127.0.0.1",
        "redisPort": port,
    }
    result = await judged("RedisReachable", values)
    assert result.status is Status.FAIL
    assert not await asyncio.to_thread(broker_works, endpoint("127.0.0.1", port, ""))
