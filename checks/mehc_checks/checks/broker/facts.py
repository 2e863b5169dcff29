"""What BrokerReachable judges."""

from dataclasses import dataclass

from mehc_checks.core.errors import Problem
from mehc_checks.modelengine.broker import Brokers


@dataclass(frozen=True, kw_only=True, slots=True)
class Queue:
    """The builder's queue. ``waiting`` is how many tasks wait in it, ``taken`` how many are being worked on.

    ``idle`` and ``busy`` are the workers of a Redis at the moment of ``waiting``: those that wait for a task of any
    queue, and those that have one. ``dead`` are messages that Service Bus has given up. None where not known.
    """

    name: str
    waiting: int | None = None
    taken: int | None = None
    idle: int | None = None
    busy: int | None = None
    dead: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class BrokerFacts:
    """``account`` is AWS's account of this process, ``wanted_account`` the one that the values name, "" for none.

    ``celery_region`` is where Celery asks for queues, ``region`` where the platform creates them, "" off AWS.
    ``bus`` is the Service Bus host that was asked, ``untested`` why its queue was not; ``problem`` why the broker could
    not be asked, or what it lacks.
    ``servers`` are the gateway's and the builder's Redis, each with what names it, where they are two.
    ``namespace`` and ``builder`` are the builder's, for commands. ``async_endpoints`` names the endpoints that take
    their requests from the broker, as far as that matters; None where it is not known.
    """

    brokers: Brokers
    queue: Queue
    namespace: str
    builder: str
    account: str = ""
    wanted_account: str = ""
    region: str = ""
    celery_region: str = ""
    bus: str = ""
    untested: str = ""
    servers: tuple[tuple[str, str], tuple[str, str]] | None = None
    async_endpoints: tuple[str, ...] | None = None
    problem: Problem | None = None
