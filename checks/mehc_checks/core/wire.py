"""Tripwires: idle connections that are held between probe runs, because they end when the server does."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

_RESERVE: Final = 10
"""Connections, and percent of all, that a server must have free beside ours."""


class Kind(StrEnum):
    """What is at the other end."""

    POSTGRESQL = "postgresql"
    PROMETHEUS = "prometheus"
    REDIS = "redis"
    REGISTRY = "registry"
    STORE = "store"


@dataclass(frozen=True, slots=True)
class Address:
    """A server. ``places`` are its host and port; several where a client tries them in turn."""

    kind: Kind
    places: tuple[tuple[str, int], ...]

    def __str__(self) -> str:
        return f"{self.kind} {','.join(f'{host}:{port}' for host, port in self.places)}"


Hold = Callable[[Callable[[str], None]], Coroutine[Any, Any, None]]
"""Opens a connection, calls its argument with the IP address that it leads to, and returns when the connection is over:
closed or reset by the server, or without an answer. Cancelled, it closes. Raises Problem or OSError where it cannot be
opened, NotHeld where it should not be tried again.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Wire:
    """How a connection to ``address`` is held; it may contain a password. ``away``: nothing answered there just now."""

    address: Address
    hold: Hold = field(repr=False, compare=False)
    away: bool = False


class NotHeld(Exception):  # noqa: N818 - a decision, not a fault
    """A connection to this server would not tell of its end."""


def to_spare(most: int, used: int) -> bool:
    """Whether a server that takes ``most`` connections, and has ``used``, can do without one for a long time."""
    return most - used > max(_RESERVE, most * _RESERVE // 100)
