"""The platform's own record of endpoints: one query."""

from typing import Any, Final

from mehc_checks.clients.postgres.client import session
from mehc_checks.clients.postgres.server import Server as Database
from mehc_checks.core.errors import CannotEvaluate, Problem, UsageError
from mehc_checks.installation.cloudsecrets import cloud_secret
from mehc_checks.installation.context import Context
from mehc_checks.installation.reasons import InstallationReasons as R
from mehc_checks.modelengine.database import (
    CLOUD_FIELDS,
    SECRET_KEY,
    SourceKind,
    from_cloud,
    from_environment,
    parse,
    source,
)
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
    database = await _database(context)
    context.redactor.add(database.password)
    timeout = context.network_timeout * _DATABASE_PART
    try:
        async with session(database, timeout=timeout) as opened:
            await opened.execute(f"SET statement_timeout = {int(timeout * 1000)}".encode())
            cursor = await opened.execute(_QUERY.encode(), {"most": MOST})
            rows = await cursor.fetchall()
    except Problem as problem:
        raise _unread(str(problem)) from None
    return tuple(_record(row) for row in rows)


async def _database(context: Context) -> Database:
    """Where the gateway's database is. Raises CannotEvaluate where that is not known here."""
    chosen = source(context.values)
    try:
        if chosen.kind is SourceKind.CLOUD_SECRET:
            kept = await cloud_secret(context, chosen.name)
            if kept is None or kept.fields is None or kept.wrong(*CLOUD_FIELDS):
                raise _unread("the database's address is in a secret of the cloud that could not be read")
            return from_cloud(kept.fields)
        if chosen.kind is SourceKind.ENVIRONMENT:
            found = from_environment(context.values)
            if found is None:
                raise _unread("the database's address is not in extraEnvVars")
            return found
        secret = await context.secret(chosen.name)
        if secret is None or not secret.data.get(SECRET_KEY):
            raise _unread(f"Secret {chosen.name} with key {SECRET_KEY} does not exist")
        return parse(secret.data[SECRET_KEY].strip())
    except (ValueError, UsageError) as error:
        raise _unread(f"the database's URL cannot be read: {error}") from None


def _unread(why: str) -> CannotEvaluate:
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
