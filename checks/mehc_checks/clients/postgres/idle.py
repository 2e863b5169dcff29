"""Holds a session of PostgreSQL in which nothing is asked."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import psycopg

from mehc_checks.clients.network.idle import OPENING
from mehc_checks.clients.network.keepalive import keep_alive
from mehc_checks.clients.postgres.client import Session, held_session
from mehc_checks.clients.postgres.server import Server
from mehc_checks.core.wire import Address, Kind, Wire


def wire(server: Server) -> Wire:
    """A session as ``server`` says: it would end a connection without a login after a minute, and log that."""
    return Wire(address=Address(Kind.POSTGRESQL, server.places), hold=partial(hold, server))


async def hold(server: Server, is_open: Callable[[str], None]) -> None:
    """``wire.Hold``."""
    with suppress(psycopg.Error):  # of a session that ends and finds its server gone
        async with held_session(server, timeout=OPENING) as (session, relay):
            if relay.upstream is not None:
                keep_alive(relay.upstream)
            is_open(relay.host)
            await _closed(session)


async def _closed(session: Session) -> None:
    """Return when the server has ended the session."""
    loop, readable = asyncio.get_running_loop(), asyncio.Event()
    descriptor = session.fileno()
    loop.add_reader(descriptor, readable.set)
    try:
        with suppress(psycopg.OperationalError):
            while True:
                await readable.wait()
                readable.clear()
                session.pgconn.consume_input()  # a notice, a parameter, or the end
    finally:
        loop.remove_reader(descriptor)
