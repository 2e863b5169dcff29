"""Holds a connection to a Redis server, logged in, and asks now and then whether it is still there."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, Final

from mehc_checks.clients.network.idle import OPENING
from mehc_checks.clients.network.keepalive import keep_alive
from mehc_checks.clients.redis.conversation import conversation
from mehc_checks.clients.redis.server import Server
from mehc_checks.core.deadline import within
from mehc_checks.core.errors import CannotEvaluate
from mehc_checks.core.wire import Address, Kind, Wire

_BETWEEN: Final = 30.0
"""Seconds between two PINGs."""
_ANSWER: Final = 5.0
"""Seconds for an answer: any, also a refusal."""
_PING: Final = b"*1\r\n$4\r\nPING\r\n"
_CHUNK: Final = 4096


def wire(server: Server) -> Wire:
    """A connection as ``server`` says."""
    return Wire(address=Address(Kind.REDIS, ((server.host, server.port),)), hold=partial(hold, server))


async def hold(server: Server, is_open: Callable[[str], None]) -> None:
    """``wire.Hold``."""
    async with conversation(server, timeout=OPENING) as held:
        reader, writer = held.streams
        keep_alive(writer)
        _slim(writer)
        is_open(str(writer.get_extra_info("peername")[0]))
        with suppress(OSError):
            while await _is_there(reader, writer):
                pass


def _slim(writer: asyncio.StreamWriter) -> None:
    """Give back the 256 KiB that asyncio keeps for what a TLS connection receives at once: this one receives a word."""
    protocol: Any = getattr(writer.transport, "_ssl_protocol", None)
    if protocol is not None:
        protocol.max_size = _CHUNK
        protocol._ssl_buffer = bytearray(_CHUNK)
        protocol._ssl_buffer_view = memoryview(protocol._ssl_buffer)


async def _is_there(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """Whether the server leaves the connection as it is for a while, and answers then."""
    try:
        async with asyncio.timeout(_BETWEEN):
            await reader.read(1)
    except TimeoutError:
        pass
    else:
        return False  # what it says unasked are its last words
    writer.write(_PING)
    try:
        async with within(_ANSWER):
            return bool(await reader.read(_CHUNK))
    except CannotEvaluate:  # it is this process that is late
        return True
    except TimeoutError:
        return False
