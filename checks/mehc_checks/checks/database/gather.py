"""Asks the database that the gateway will use: one session, which only reads."""

import time
from dataclasses import dataclass, replace
from typing import Final

from psycopg import sql

from mehc_checks.checks.database.reasons import DatabaseReasons as R
from mehc_checks.clients.postgres.client import Session, session
from mehc_checks.clients.postgres.server import Server
from mehc_checks.core.errors import Problem
from mehc_checks.installation.cloudsecrets import cloud_secret
from mehc_checks.installation.context import Context, require_cluster
from mehc_checks.modelengine import schema
from mehc_checks.modelengine.database import (
    CLOUD_FIELDS,
    DOCUMENTED_KEY,
    SECRET_KEY,
    Pools,
    Source,
    SourceKind,
    from_cloud,
    from_environment,
    parse,
    pools,
    source,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Schema:
    """What the session saw. ``tables`` and ``columns`` are full names: "schema.table", "schema.table.column"."""

    server_version: int
    in_recovery: bool
    read_only: bool
    max_connections: int
    connections: int | None
    schemas: frozenset[str]
    tables: frozenset[str]
    columns: frozenset[str]
    denied: tuple[str, ...]
    """Schemas and tables that exist and that the role may not use."""
    has_version_table: bool
    revisions: tuple[str, ...]
    """What the version table holds; empty too when the role may not read it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DatabaseFacts:
    """Either ``found`` is what the schema looks like, or ``problem`` is why nothing is known of it."""

    source: Source
    pools: Pools
    sets_pool_size: bool
    expected: str
    percent_in_url: bool = False
    server: Server | None = None
    problem: Problem | None = None
    found: Schema | None = None
    latency_ms: float = 0.0


async def database_facts(context: Context, expected: str) -> DatabaseFacts:
    """Resolve the URL as the gateway does, connect, and read what the schema looks like."""
    facts = DatabaseFacts(
        source=source(context.values),
        pools=pools(context.values),
        sets_pool_size=context.values.get("config.values.infra.db_engine_pool_size") is not None,
        expected=expected,
    )
    try:
        server, text = await _server(context, facts.source)
        facts = replace(facts, server=server, percent_in_url="%" in text)
        context.redactor.add(server.password)
        clock = time.monotonic()
        async with session(server, timeout=context.network_timeout) as opened:
            latency = (time.monotonic() - clock) * 1000
            found = await _look(opened, context.network_timeout)
    except Problem as problem:
        return replace(facts, problem=problem)
    return replace(facts, found=found, latency_ms=latency)


async def _server(context: Context, chosen: Source) -> tuple[Server, str]:
    """Where the gateway's database is, and the text that says so. Raises Problem."""
    if chosen.kind is SourceKind.CLOUD_SECRET:
        return await _from_cloud(context, chosen), ""
    if chosen.kind is SourceKind.ENVIRONMENT:
        if (given := from_environment(context.values)) is None:
            raise Problem(R.NOT_CONFIGURED)
        return given, ""
    require_cluster(context)
    name = chosen.name
    secret = await context.secret(name)
    if secret is None:
        raise Problem(R.SECRET_NOT_FOUND, secret=name, namespace=context.namespace)
    if not (url := secret.data.get(SECRET_KEY)):
        only = DOCUMENTED_KEY in secret.data and SECRET_KEY not in secret.data
        raise Problem(R.DOCUMENTED_KEY_ONLY if only else R.KEY_NOT_FOUND, secret=name)
    try:
        return parse(url.strip()), url
    except ValueError as error:
        raise Problem(R.URL_UNPARSABLE, source=str(chosen), detail=str(error)) from None


async def _from_cloud(context: Context, chosen: Source) -> Server:
    kept = await cloud_secret(context, chosen.name)
    if kept is None:
        raise Problem(R.CLOUD_SECRET_NOT_READ, secret=chosen.name, store=chosen.store)
    if kept.failure:
        raise kept.failure
    if kept.fields is None or kept.wrong(*CLOUD_FIELDS):
        raise Problem(R.CLOUD_SECRET_UNUSABLE, secret=chosen.name, wrong=kept.wrong(*CLOUD_FIELDS))
    try:
        return from_cloud(kept.fields)
    except ValueError as error:
        raise Problem(R.CLOUD_SECRET_UNUSABLE, secret=chosen.name, wrong=f"cannot be used: {error}") from None


_LOOK: Final = """
WITH tables AS (
  SELECT c.oid, n.nspname || '.' || c.relname AS name
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE n.nspname = ANY(%(schemas)s) AND c.relkind IN ('r', 'p')
), schemas AS (
  SELECT oid, nspname::text AS name FROM pg_catalog.pg_namespace WHERE nspname = ANY(%(schemas)s)
)
SELECT
  current_setting('server_version_num')::int,
  pg_is_in_recovery(),
  current_setting('default_transaction_read_only') = 'on',
  current_setting('max_connections')::int,
  (SELECT sum(numbackends)::int FROM pg_catalog.pg_stat_database),
  ARRAY(SELECT name FROM schemas),
  ARRAY(SELECT name FROM tables),
  ARRAY(SELECT t.name || '.' || a.attname FROM tables t
        JOIN pg_catalog.pg_attribute a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped),
  ARRAY(SELECT 'schema ' || name FROM schemas WHERE NOT has_schema_privilege(oid, 'USAGE')
        UNION ALL
        SELECT 'table ' || name FROM tables
        WHERE NOT (has_table_privilege(oid, 'SELECT') AND has_table_privilege(oid, 'INSERT')
                   AND has_table_privilege(oid, 'UPDATE') AND has_table_privilege(oid, 'DELETE'))
        ORDER BY 1),
  to_regclass(%(version_table)s) IS NOT NULL,
  to_regclass(%(version_table)s) IS NOT NULL
    AND has_table_privilege(to_regclass(%(version_table)s), 'SELECT')
"""


_REVISIONS: Final = sql.SQL("SELECT version_num FROM {} ORDER BY 1").format(
    sql.Identifier("public", schema.VERSION_TABLE)
)


async def _look(opened: Session, timeout: float) -> Schema:
    version_table = f"public.{schema.VERSION_TABLE}"
    async with opened.pipeline():  # one round trip for both
        await opened.execute(f"SET statement_timeout = {int(timeout * 250)}".encode())
        cursor = await opened.execute(
            _LOOK, {"schemas": list(schema.SCHEMAS), "version_table": version_table}
        )
    (row,) = await cursor.fetchall()
    revisions: list[tuple[str]] = []
    if row[10]:
        answer = await opened.execute(_REVISIONS)
        revisions = await answer.fetchall()
    denied = tuple(row[8])
    if row[9] and not row[10]:
        denied = (*denied, f"table {version_table}")
    return Schema(
        server_version=row[0],
        in_recovery=row[1],
        read_only=row[2],
        max_connections=row[3],
        connections=row[4],
        schemas=frozenset(row[5]),
        tables=frozenset(row[6]),
        columns=frozenset(row[7]),
        denied=denied,
        has_version_table=row[9],
        revisions=tuple(revision for (revision,) in revisions),
    )
