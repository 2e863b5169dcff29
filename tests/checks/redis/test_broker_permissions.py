"""What the broker's Redis user must be allowed: a real builder, with the settings it has, against our verdict."""

import asyncio
import time
from collections.abc import Iterator
from typing import Any, Final

import celery
import pytest
from kombu import pools
from kombu.exceptions import OperationalError

from mehc_checks.core.outcome import Status
from mehc_checks.engine.report import Found
from testbed.builder import QUEUE, TASK, Builder
from testbed.judging import judged
from testbed.pki import CertificateAuthority
from testbed.process import ComponentError
from testbed.redis import Redis
from testbed.waiting import eventually

TOKEN: Final = "oracle"


@pytest.fixture(scope="module")
def server(certificate_authority: CertificateAuthority) -> Iterator[Redis]:
    with Redis(tls=True, ca=certificate_authority) as found:
        yield found


@pytest.fixture(scope="module")
def cache() -> Iterator[Redis]:
    with Redis() as found:
        yield found


def builder_works(server: Redis) -> bool:
    """Whether a task can be sent, a builder starts, runs it and lives on: remote control and events are on."""
    url = f"rediss://:{TOKEN}@{server.host}:{server.port}/0?ssl_cert_reqs=none"
    pools.reset()
    app = celery.Celery(broker=url)
    try:
        app.send_task(TASK, args=[0], queue=QUEUE, retry=False)
    except OperationalError:
        return False
    try:
        with Builder(url) as builder:
            eventually(builder.log_text, lambda text: "succeeded in" in text or "Unrecoverable" in text)
            time.sleep(1)  # it acknowledges the task, which can be its end
            return builder.running and "Unrecoverable" not in builder.log_text()
    except ComponentError:
        return False


def allowed(server: Redis, rules: str) -> None:
    server.call("FLUSHALL")
    server.call("ACL", "SETUSER", "default", "reset", "on", f">{TOKEN}", *rules.split())


async def found(server: Redis, cache: Redis) -> Found:
    """What we find about the broker, the worst first."""
    values: dict[str, Any] = {
        "config": {
            "values": {
                "infra": {"cloud_provider": "onprem"},
                "launch": {"cache_redis_onprem_url": cache.url()},
            }
        },
        "redisHost": server.host,
        "redisPort": server.port,
        "redis": {"auth": TOKEN},
        "celery_broker_type_redis": True,
    }
    result = await judged("RedisReachable", values)
    return next(each for each in result.findings if each.subject == "broker")


CASES: Final = {
    "~* &* +@all": "",
    "~* &* +@all -@dangerous": "",
    "~* &* +@all -subscribe -smembers": "",
    "~* +@all": "PUBLISH on channel /0.celery.pidbox",
    "~* +@all -@dangerous": "PUBLISH on channel /0.celery.pidbox",
    "~* &/0.celery.pidbox +@all": "PUBLISH on channel /0.celeryev/worker.heartbeat",
    "~* &/0.celery* +@all": "PSUBSCRIBE on channel /0.celery.pidbox",
    "~* &* +@all -@transaction": "the command MULTI",
    "~* &* +@all -exec": "the command EXEC",
    "~* &* +@all -@scripting": "the command EVALSHA",
    "~* &* +@all -@blocking": "the command BRPOP",
    "~* &* +@all -@pubsub": "the command PUBLISH",
    "~* &* +@all -psubscribe": "the command PSUBSCRIBE",
    "~* &* +@all -@sortedset": "the command ZADD",
    "~* &* +@all -@hash": "the command HSET",
    "~* &* +@all -@set": "the command SADD",
    "~* &* +@all -@write": "the command SADD",
    "~* &* +@all -del": "the command DEL",
    "~* &* +@all -ping": "the command PING",
    f"~{QUEUE}* ~_kombu* ~unacked* &* +@all": "LLEN on key celery@mehc-probe.celery.pidbox",
    f"~{QUEUE} &* +@all": f"SADD on key _kombu.binding.{QUEUE}",
}
"""Rules of the user, and what we say is denied."""


@pytest.mark.parametrize("rules", CASES)
async def test_we_agree_with_a_real_builder(rules: str, server: Redis, cache: Redis) -> None:
    allowed(server, rules)
    ours = await found(server, cache)
    works = await asyncio.to_thread(builder_works, server)
    assert (ours.status in (Status.PASS, Status.WARN)) == works, ours.message
    if denied := CASES[rules]:
        assert ours.reason == "PermissionDenied"
        assert f"denies user default {denied}, so the builder (Celery) cannot run" in ours.message
        assert "ACL SETUSER default " in ours.remediation


async def test_what_counts_only_after_a_builder_was_killed_is_a_warning(server: Redis, cache: Redis) -> None:
    allowed(server, "~* &* +@all -hget")
    ours = await found(server, cache)
    assert (ours.status, ours.reason) == (Status.WARN, "PermissionDenied")
    assert "the command HGET: tasks of a builder that is killed are not restored" in ours.message


async def test_nothing_is_carried_out(server: Redis, cache: Redis) -> None:
    allowed(server, "~* &* +@all")
    server.call("LPUSH", QUEUE, "task")
    server.call("HSET", "unacked", "mehc-probe", "kept")
    server.call("SET", "unacked_mutex", "kept")
    before = server.call("INFO", "persistence")["rdb_changes_since_last_save"]
    assert (await found(server, cache)).status is Status.PASS
    assert server.call("INFO", "persistence")["rdb_changes_since_last_save"] == before
    assert server.call("LRANGE", QUEUE, 0, -1) == ["task"]
    assert server.call("HGETALL", "unacked") == {"mehc-probe": "kept"}
    assert server.call("GET", "unacked_mutex") == "kept"
