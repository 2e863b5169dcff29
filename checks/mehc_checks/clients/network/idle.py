"""Holds a connection on which nothing is asked: what any server accepts, whatever it speaks."""

import asyncio
import ssl
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from ipaddress import ip_address
from typing import Final

from mehc_checks.clients.network.connect import client_context, opened, places
from mehc_checks.clients.network.keepalive import keep_alive
from mehc_checks.core.deadline import within
from mehc_checks.core.wire import Address, Kind, NotHeld, Wire

OPENING: Final = 10.0
"""Seconds for a connection to be opened."""
_CHUNK: Final = 4096
_LAST_WORDS: Final = 65536
"""Bytes, at most, of what a server says unasked: session tickets of TLS, an error before it closes."""


def wire(kind: Kind, host: str, port: int, *, tls: bool) -> Wire:
    """A connection to a server that does not begin to speak."""
    return Wire(address=Address(kind, ((host, port),)), hold=partial(hold, host, port, tls))


async def hold(host: str, port: int, tls: bool, is_open: Callable[[str], None]) -> None:
    """``wire.Hold``. Raises NotHeld for a public address: what balances the load there ends idle connections, and its
    addresses change all the time.
    """
    found = await places(host, port, timeout=OPENING)
    async with within(OPENING):
        reader, writer = await opened(found)
    try:
        address = str(writer.get_extra_info("peername")[0])
        if ip_address(address).is_global:
            raise NotHeld
        keep_alive(writer)
        if tls:
            async with within(OPENING):
                await _shake_hands(host, reader, writer)
        is_open(address)
        with suppress(OSError):
            left = _LAST_WORDS
            while left > 0 and (said := await reader.read(_CHUNK)):
                left -= len(said)
    finally:
        writer.transport.abort()


async def _shake_hands(host: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """As a server of TLS expects: some serve no one else until a client has. Raises OSError.

    No certificate is verified, as nothing is sent; and nothing is kept, where asyncio's own TLS would hold 300 KiB.
    """
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    channel = client_context(verify=False).wrap_bio(incoming, outgoing, server_hostname=host)
    while True:
        try:
            channel.do_handshake()
        except ssl.SSLWantReadError:
            writer.write(outgoing.read())
            if not (said := await reader.read(_CHUNK)):
                raise ConnectionResetError from None
            incoming.write(said)
        else:
            writer.write(outgoing.read())
            return
