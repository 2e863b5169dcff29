"""What RedisReachable judges."""

from dataclasses import dataclass
from datetime import datetime

from mehc_checks.core.errors import CannotEvaluate, Problem
from mehc_checks.core.parameters import TripwireParameters
from mehc_checks.modelengine.redis import Connection


class RedisParameters(TripwireParameters):
    """Parameters of RedisReachable."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """One connection, asked. ``problem`` is what the server, or the path to it, gave in place of an answer."""

    connection: Connection
    problem: Problem | None = None
    not_after: datetime | None = None
    later: Problem | None = None
    """What the client is denied that it needs only after another one was killed."""
    open_to_all: bool = False
    """A password is configured, and the data can be read without it."""
    policy: str = ""
    max_memory: int = 0
    cluster: bool = False
    version: str = ""
    to_spare: bool = False
    """The server has connections to spare."""
    latency_ms: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class RedisFacts:
    """All connections of the installation. ``sources`` are the values set of those that can name the cache.

    ``unseen`` is why the live environment of the pods is not known, so that the connections are those of the values.
    """

    sources: tuple[str, ...]
    answers: tuple[Answer, ...]
    now: datetime
    unseen: CannotEvaluate | None = None
