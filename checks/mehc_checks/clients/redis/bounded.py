"""redis-py's connections, which read no more than a bounded number of bytes from a server that says more."""

import asyncio
from typing import Any, Final, cast

from redis.asyncio.connection import Connection, SSLConnection

from mehc_checks.clients.network.connect import NEVER, Place, opened

MOST_BYTES: Final = 256 * 1024
"""Of all answers in one conversation; INFO, the longest that is asked for, has some ten thousand."""


class TooMuch(OSError):  # noqa: N818 - not the fault of ours that an error is
    """The server has said more than any answer of Redis has."""


class Bounded:
    """The part of a StreamReader that redis-py's parser uses. Raises TooMuch."""

    def __init__(self, stream: asyncio.StreamReader) -> None:
        self.stream = stream
        self._left = MOST_BYTES
        self._buffer = stream._buffer  # type: ignore[attr-defined] # the parser asks whether there is more

    def at_eof(self) -> bool:
        return self.stream.at_eof()

    async def readline(self) -> bytes:
        try:
            line = await self.stream.readline()
        except ValueError:  # longer than the stream's own limit
            raise TooMuch("a line without an end") from None
        return self._counted(line)

    async def readexactly(self, wanted: int) -> bytes:
        if not 0 <= wanted <= self._left:
            raise TooMuch(f"a value of {wanted} bytes")
        return self._counted(await self.stream.readexactly(wanted))

    async def read(self, most: int) -> bytes:
        return self._counted(await self.stream.read(most))

    def _counted(self, data: bytes) -> bytes:
        self._left -= len(data)
        if self._left < 0:
            raise TooMuch(f"more than {MOST_BYTES} bytes")
        return data


class BoundedConnection(Connection):
    """Without TLS. ``places`` are those of its host."""

    places: list[Place]

    async def _connect(self) -> None:
        await _connect(self)


class BoundedSSLConnection(SSLConnection):
    """With TLS. ``places`` are those of its host."""

    places: list[Place]

    async def _connect(self) -> None:
        await _connect(self, server_hostname=self.host)


async def _connect(connection: BoundedConnection | BoundedSSLConnection, **words: Any) -> None:
    """As redis-py connects, to places that are known, and within the deadline of whoever asks."""
    arguments = {**connection._connection_arguments(), **words}
    del arguments["host"], arguments["port"]
    if "ssl" in arguments:
        arguments["ssl_handshake_timeout"] = NEVER
    reader, writer = await opened(connection.places, **arguments)
    connection._reader = cast("asyncio.StreamReader", Bounded(reader))
    connection._writer = writer
