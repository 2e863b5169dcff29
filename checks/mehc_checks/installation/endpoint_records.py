"""The platform's own record of endpoints, and what Redis holds of them: one query, one conversation each."""

import asyncio
from collections.abc import Iterable
from typing import Any, Final

from redis.exceptions import RedisError

from mehc_checks.checks.redis.gather import auth_token, open_connection, redis_secrets
from mehc_checks.clients.network.connect import NetworkProblem
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
from mehc_checks.modelengine.endpoints import builder_queue, cache_key, demand_key
from mehc_checks.modelengine.redis import Server, Way, broker, cache
from mehc_checks.workload.objects import Cached, Record, time

MOST: Final = 5000
_DATABASE_PART: Final = 0.5
_REDIS_PART: Final = 0.2
"""Parts of the time: a database and a Redis that hang must leave some for the cluster, which is asked in between."""
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


async def cached(context: Context, endpoints: Iterable[str]) -> dict[str, Cached]:
    """By id of ``endpoints``: the age of the cacher's key and the demand. Empty where the cache cannot be asked."""
    way = cache(context.values, await context.gather(redis_secrets))
    identifier = context.values.text("serviceIdentifier") or ""
    wanted = list(endpoints)
    commands: list[tuple[str, ...]] = []
    for endpoint in wanted:
        commands += [("TTL", cache_key(identifier, endpoint)), ("LLEN", demand_key(endpoint))]
    answers = await _asked(context, way, commands)
    if answers is None:
        return {}
    return {
        endpoint: Cached(ttl=ttl if ttl >= 0 else None, demand=demand)
        for endpoint, ttl, demand in zip(wanted, answers[::2], answers[1::2], strict=True)
    }


async def queue_depth(context: Context) -> tuple[str, int | None]:
    """The builder's queue, and how many tasks wait in it; None where the broker is no Redis, or cannot be asked."""
    queue = builder_queue(
        context.values.text("serviceIdentifier") or "", context.values.text("serviceBuilderQueue") or ""
    )
    answers = await ask_broker(context, [("LLEN", queue)])
    return queue, answers[0] if answers else None


async def ask_broker(context: Context, commands: list[tuple[str, ...]]) -> list[Any] | None:
    """What a broker that is a Redis answers; None where it is none, and where it cannot be asked, or refuses."""
    token, _ = await auth_token(context)
    way = broker(context.values, token, await context.gather(redis_secrets))
    return await _asked(context, way, commands) if way else None


async def _asked(context: Context, way: Way, commands: list[tuple[str, ...]]) -> list[Any] | None:
    """Redis' answers, in one round trip; None where it cannot be asked, or refuses: RedisReachable says why."""
    server: Server | None = way.server
    if server is None or way.trouble or not commands:
        return None
    context.redactor.add(server.password)
    connection = open_connection(server)
    try:
        async with asyncio.timeout(context.network_timeout * _REDIS_PART):
            await connection.connect()  # type: ignore[no-untyped-call]
            await connection.send_packed_command(connection.pack_commands(commands))
            return [await connection.read_response() for _ in commands]
    except (RedisError, NetworkProblem, OSError, TimeoutError):
        return None
    finally:
        await connection.disconnect(nowait=True)
