"""Connections of a C library, led through this process, which reads no more than a bounded number of bytes for it.

libpq keeps whatever a server sends in memory of its own, without an end that we could set.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

LOCAL: Final = "127.0.0.1"
"""Where relays listen."""
_CHUNK: Final = 65536
_CLOSING: Final = 1.0
"""Seconds for the last words of a connection."""


@dataclass(slots=True)
class Relay:
    """A port on loopback that leads to one server. ``exhausted`` is whether the server has said too much.

    ``in_use`` is to be set once the library has a session that it will close. ``failure`` is why the server could not
    be reached once more, of which the library sees no more than a closed connection. ``upstream`` is the last
    connection to the server.
    """

    host: str
    port: int
    left: int
    exhausted: bool = False
    in_use: bool = False
    failure: OSError | None = None
    local: int = 0
    upstream: asyncio.StreamWriter | None = None
    _first: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Lead one connection of the library to the server."""
        # In a task of our own: of one that is cancelled, the server of Python 3.11 logs a traceback.
        self._tasks.add(asyncio.create_task(self._lead(reader, writer)))

    async def _lead(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream: asyncio.StreamWriter | None = None
        sending: asyncio.Task[None] | None = None
        try:
            (answers, upstream), self._first = self._first or await self._connected(), None
            sending = asyncio.create_task(_send(reader, upstream))
            await self._receive(answers, writer)
            if not self.exhausted:
                # Closed before the library has read the last words, and with some of its own unread, they are lost.
                await sending
        except OSError as error:
            self.failure = error
        finally:
            if sending is not None:
                sending.cancel()
            for each in filter(None, (upstream, writer)):
                each.transport.abort()

    async def connect(self) -> None:
        """Open the connection that the first one of the library is led to. Raises OSError."""
        self._first = await self._connected()

    async def close(self) -> None:
        """End all connections. One in use ends by itself, as its library has closed it: no server sees an abort."""
        if self._tasks and self.in_use:
            await asyncio.wait(self._tasks, timeout=_CLOSING)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._first:
            self._first[1].transport.abort()

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, self.upstream = await asyncio.open_connection(self.host, self.port)
        return reader, self.upstream

    async def _receive(self, answers: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await answers.read(_CHUNK):
            self.left -= len(data)
            if self.left < 0:
                self.exhausted = True
                return
            writer.write(data)
            await writer.drain()
        writer.write_eof()


async def _send(reader: asyncio.StreamReader, upstream: asyncio.StreamWriter) -> None:
    """All that the library says, to the server as long as that listens."""
    with suppress(OSError):
        while data := await reader.read(_CHUNK):
            with suppress(OSError):
                upstream.write(data)
                await upstream.drain()
    upstream.close()


@asynccontextmanager
async def relay(host: str, port: int, *, most: int) -> AsyncIterator[Relay]:
    """A relay to the server at ``host``, of whose answers it reads ``most`` bytes. Raises OSError."""
    made = Relay(host=host, port=port, left=most)
    await made.connect()
    server = await asyncio.start_server(made.accepted, LOCAL, 0)
    made.local = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        await made.close()
