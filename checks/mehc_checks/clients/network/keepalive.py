"""Connections that stay open while nothing is said: the kernel asks whether the other side is still there."""

import socket
from typing import Any, Final, Protocol

_OPTIONS: Final = {
    getattr(socket, name): value
    for name, value in (("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 4))
    if hasattr(socket, name)
}
"""Socket options where the system has them; seconds, and how often."""


class Connection(Protocol):
    """A transport of asyncio, or a stream."""

    def get_extra_info(self, name: str, default: Any = None) -> Any: ...


def keep_alive(connection: Connection) -> None:
    """Have the kernel end ``connection`` half a minute after the other side is gone without a word."""
    own = connection.get_extra_info("socket")
    if own is not None:
        own.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in _OPTIONS.items():
            own.setsockopt(socket.IPPROTO_TCP, option, value)
