"""The platform's own record of endpoints: one query."""

from typing import Any, Final

from mehc_checks.clients.postgres.client import session
from mehc_checks.core.errors import CannotEvaluate, MehcError, Problem
from mehc_checks.installation.context import Context
from mehc_checks.installation.database import gateway_database
from mehc_checks.installation.reasons import InstallationReasons as R
from mehc_checks.modelengine.endpoints import Record
from mehc_checks.workload.read import time

MOST: Final = 5000
_DATABASE_PART: Final = 0.5
"""Part of the time: a database that hangs must leave some for the cluster and for Redis."""
_QUERY: Final = """
SELECT j->>'id', j->>'name', j->>'endpoint_type', j->>'endpoint_status', j->>'status_reason', j->>'creation_task_id',
       j->>'created_at', j->>'last_updated_at'
FROM (SELECT to_jsonb(e) - 'endpoint_metadata' AS j FROM hosted_model_inference.endpoints e LIMIT %(most)s) AS rows
"""
"""By name through JSON, so that a column of another revision is absent and no error."""


async def records(context: Context) -> tuple[Record, ...]:
    """All records, at most ``MOST``. Raises CannotEvaluate saying why the table cannot be read."""
    try:
        found = await context.gather(gateway_database)
    except MehcError as problem:
        raise _unread(problem) from None
    server = next((each.server for each in found.sessions if each.server), None)
    if server is None:
        raise _unread("; ".join(sorted({str(each.problem) for each in found.sessions})))
    timeout = context.network_timeout * _DATABASE_PART
    try:
        async with session(server, timeout=timeout) as opened, opened.transaction():
            await opened.execute(f"SET LOCAL statement_timeout = {int(timeout * 1000)}".encode())
            cursor = await opened.execute(_QUERY.encode(), {"most": MOST})
            rows = await cursor.fetchall()
    except Problem as problem:
        raise _unread(problem) from None
    return tuple(_record(row) for row in rows)


def _unread(why: object) -> CannotEvaluate:
    return CannotEvaluate(R.RECORD_NOT_READ, detail=why)


def _record(row: tuple[Any, ...]) -> Record:
    return Record(
        endpoint_id=row[0],
        name=row[1] or "",
        kind=row[2] or "",
        state=row[3] or "",
        reason=row[4] or "",
        task=row[5] or "",
        created=time(row[6]),
        updated=time(row[7]),
    )
