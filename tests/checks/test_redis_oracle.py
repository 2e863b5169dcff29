"""RedisReachable against its oracles: redis-py opened as the cache opens it, Celery as producer and worker."""

import asyncio
import contextlib
import ssl
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from celery import Celery
from celery.contrib.testing.worker import start_worker
from kombu.exceptions import OperationalError

from mehc_checks.outcome import Status
from testbed import ports
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


def celery(host: str, port: int, token: str) -> Celery:
    """An application with the platform's settings: a token means TLS without verification."""
    scheme, login = ("rediss", f":{token}@") if token else ("redis", "")
    app = Celery("oracle", broker=f"{scheme}://{login}{host}:{port}/0", set_as_current=False)
    app.conf.update(
        broker_use_ssl={"ssl_cert_reqs": ssl.CERT_NONE} if token else None,
        broker_connection_retry=False,
        broker_connection_retry_on_startup=False,
        broker_connection_max_retries=0,
        broker_connection_timeout=2,
        broker_transport_options={"socket_timeout": 2, "socket_connect_timeout": 2, "max_retries": 0},
        task_ignore_result=True,
        worker_hijack_root_logger=False,
        worker_enable_remote_control=False,
    )
    return app


def broker_works(host: str, port: int, token: str) -> bool:
    """Send a task and let a worker run it."""
    app = celery(host, port, token)
    ran: list[str] = []

    @app.task(name=f"oracle.{uuid.uuid4()}", ignore_result=True)
    def note(word: str) -> None:
        ran.append(word)

    try:
        note.apply_async(("hello",), retry=False)
    except (OperationalError, redis.RedisError, OSError):
        return False
    with start_worker(app, pool="solo", perform_ping_check=False, shutdown_timeout=5, loglevel="ERROR"):
        for _ in range(100):
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
        ours = next(status for subject, status, *_ in result.findings if subject == "cache")
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
        ours = next(status for subject, status, *_ in result.findings if subject == "broker")
        works = await asyncio.to_thread(broker_works, server.host, server.port, token)
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
    assert not await asyncio.to_thread(broker_works, "127.0.0.1", port, "")
