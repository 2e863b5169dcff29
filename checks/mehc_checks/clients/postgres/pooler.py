"""Tells whether a pooler (PgBouncer, RDS Proxy, ...) stands between, and whether named prepared statements survive it.

In transaction mode a pooler gives each transaction another backend, while drivers such as asyncpg name the statements
that they prepare once per connection: the next backend does not know the name, or knows it from another client.
"""

import secrets
from typing import Final

from psycopg import generators
from psycopg.pq import DiagnosticField, ExecStatus

from mehc_checks.clients.postgres.client import Session, session
from mehc_checks.clients.postgres.server import Server
from mehc_checks.core.errors import Problem

_TRIES: Final = 3
_DUPLICATE, _UNKNOWN = b"42P05", b"26000"


async def is_pooled(opened: Session) -> bool:
    """Whether the backend is another than the one named when the session began: a pooler makes that up."""
    cursor = await opened.execute("SELECT pg_backend_pid()")
    (row,) = await cursor.fetchall()
    return bool(row[0] != opened.info.backend_pid)


async def breaks_prepared_statements(server: Server, opened: Session, *, timeout: float) -> bool:
    """Whether two connections meet each other's statements where they prepare some of the same name, as asyncpg's do.

    What is prepared is deallocated. False where a second session cannot be had.
    """
    try:
        async with session(server, timeout=timeout) as second:
            for _ in range(_TRIES):
                name = f"mehc_{secrets.token_hex(6)}"
                for each in (opened, second):
                    state = await _prepare_and_execute(each, name)
                    if state in (_DUPLICATE, _UNKNOWN):
                        await _deallocate(each, name)
                        return True
                for each in (opened, second):
                    await _deallocate(each, name)
    except Problem:
        return False
    return False


async def _prepare_and_execute(opened: Session, name: str) -> bytes | None:
    """The SQLSTATE of what failed, None where nothing did."""
    opened.pgconn.send_prepare(name.encode(), b"SELECT 1")
    if state := await _state(opened):
        return state
    opened.pgconn.send_query_prepared(name.encode(), None)
    return await _state(opened)


async def _state(opened: Session) -> bytes | None:
    for result in await opened.wait(generators.execute(opened.pgconn)):
        if result.status == ExecStatus.FATAL_ERROR:
            state: bytes | None = result.error_field(DiagnosticField.SQLSTATE)
            return state
    return None


async def _deallocate(opened: Session, name: str) -> None:
    """Not where it was prepared on another backend, which ends with the pooler's own lifetime of it."""
    opened.pgconn.send_query(f'DEALLOCATE "{name}"'.encode())
    await _state(opened)
