"""What each client of Redis sends, on keys that do not exist: to learn what its user is allowed, without an effect.

Sources: the gateways and repositories of model engine, kombu 5.3 (``transport/redis.py``) with remote control and
events on as the platform has them, KEDA's scaler of Redis lists. Which commands a Celery worker dies without was
measured: each was denied by an ACL, and a worker started.
"""

from dataclasses import dataclass
from typing import Final

from mehc_checks.modelengine.redis import Path

Command = tuple[str, ...]
_PROBE: Final = "mehc-probe"
_DEMAND: Final = f"launch-endpoint-autoscaling:{_PROBE}"
_STATE: Final = f"launch-k8s-cache:{_PROBE}"
_SCRIPT: Final = "0" * 40
"""The SHA of a script that does not exist."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Commands:
    """``sent`` are carried out: reads, and writes that write only where a key exists. ``queued`` are put into a
    transaction that is never executed: the server checks permissions, and that it can write, when it queues them.
    ``later`` are those, queued too, that a worker needs only after another one was killed.
    """

    sent: tuple[Command, ...]
    queued: tuple[Command, ...] = ()
    later: tuple[Command, ...] = ()


def commands(path: Path, queue: str) -> Commands:
    """Those of the client on ``path``; ``queue`` is the builder's."""
    match path:
        case Path.CACHE:
            return Commands(
                sent=(
                    ("GET", _STATE),
                    ("SET", _STATE, "", "XX", "EX", "1"),
                    ("LLEN", _DEMAND),
                    ("LPUSHX", _DEMAND, ""),
                )
            )
        case Path.KEDA:
            return Commands(sent=(("EVAL", "return redis.call('llen', KEYS[1])", "1", _DEMAND),))
        case Path.BROKER:
            return Commands(
                sent=(("LLEN", queue), ("PING",)),
                queued=_worker(queue),
                later=(("HGET", "unacked", _PROBE),),
            )


def _worker(queue: str) -> tuple[Command, ...]:
    """A Celery worker from its start to a task's end. Each queue has a list of its own for each priority."""
    own = f"celery@{_PROBE}.celery.pidbox"
    reply = f"{_PROBE}.reply.celery.pidbox"
    return (
        ("PUBLISH", "/0.celery.pidbox", ""),
        ("PUBLISH", "/0.celeryev/worker.heartbeat", ""),
        ("PSUBSCRIBE", "/0.celery.pidbox", "/0.celeryev/worker.*"),
        *(("SADD", f"_kombu.binding.{name}", _PROBE) for name in (queue, "celery.pidbox", "celeryev")),
        ("SREM", "_kombu.binding.celery.pidbox", _PROBE),
        *(("LLEN", name) for name in (f"{queue}\x06\x169", own, reply, f"celeryev.{_PROBE}")),
        ("LPUSH", queue, ""),
        ("BRPOP", queue, f"{queue}\x06\x169", reply, "1"),
        ("ZADD", "unacked_index", "0", _PROBE),
        ("HSET", "unacked", _PROBE, ""),
        ("ZREM", "unacked_index", _PROBE),
        ("HDEL", "unacked", _PROBE),
        ("ZREVRANGEBYSCORE", "unacked_index", "0", "0"),
        ("SET", "unacked_mutex", "", "NX", "PX", "1"),
        ("EVALSHA", _SCRIPT, "1", "unacked_mutex", ""),
        ("GET", "unacked_mutex"),
        ("DEL", "unacked_mutex"),
    )
