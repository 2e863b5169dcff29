"""Reads what the schema looks like: one transaction, which only reads and leaves no setting behind a pooler."""

from typing import Final

from psycopg import sql

from mehc_checks.checks.database.facts import Schema
from mehc_checks.clients.postgres.client import Session
from mehc_checks.modelengine import schema

_LONG_WAIT: Final = "30 seconds"
"""Sessions that wait so long for a lock on a table wait for one that does not end by itself. Of other roles' sessions
only members of pg_read_all_stats see for how long they wait."""
_QUERY: Final = """
WITH tables AS (
  SELECT c.oid, n.nspname || '.' || c.relname AS name
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE n.nspname = ANY(%(schemas)s) AND c.relkind IN ('r', 'p')
), stuck AS (
  SELECT t.name, l.pid FROM pg_catalog.pg_locks l JOIN tables t ON t.oid = l.relation
  JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
  WHERE NOT l.granted AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
    AND a.query_start < clock_timestamp() - %(long_wait)s::interval
), schemas AS (
  SELECT oid, nspname::text AS name FROM pg_catalog.pg_namespace WHERE nspname = ANY(%(schemas)s)
)
SELECT
  current_setting('server_version_num')::int,
  pg_is_in_recovery(),
  current_setting('default_transaction_read_only') = 'on',
  (SELECT min(most) FROM (VALUES
     (current_setting('max_connections')::int - CASE
       WHEN (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user) THEN 0
       ELSE current_setting('superuser_reserved_connections')::int
            + coalesce(current_setting('reserved_connections', true), '0')::int END),
     ((SELECT nullif(rolconnlimit, -1) FROM pg_catalog.pg_roles WHERE rolname = current_user)),
     ((SELECT nullif(datconnlimit, -1) FROM pg_catalog.pg_database WHERE datname = current_database()))
   ) AS limits (most)),
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
    AND has_table_privilege(to_regclass(%(version_table)s), 'SELECT'),
  ARRAY(SELECT 'database ' || current_database() WHERE NOT has_database_privilege(current_database(), 'CREATE')
        UNION ALL
        SELECT 'schema public' WHERE NOT has_schema_privilege(to_regnamespace('public')::oid, 'CREATE')),
  ARRAY(SELECT t.name FROM tables t JOIN pg_catalog.pg_class c ON c.oid = t.oid
        WHERE NOT pg_has_role(c.relowner, 'USAGE') ORDER BY 1),
  ARRAY(SELECT DISTINCT name FROM stuck ORDER BY 1),
  ARRAY(SELECT DISTINCT unnest(pg_blocking_pids(pid)) FROM stuck ORDER BY 1)
"""


_REVISIONS: Final = sql.SQL("SELECT version_num FROM {} ORDER BY 1").format(
    sql.Identifier("public", schema.VERSION_TABLE)
)


async def look(opened: Session, timeout: float) -> Schema:
    """Raises psycopg's errors."""
    version_table = f"public.{schema.VERSION_TABLE}"
    revisions: list[tuple[str]] = []
    async with opened.transaction():
        await opened.execute(f"SET LOCAL statement_timeout = {int(timeout * 250)}".encode())
        cursor = await opened.execute(
            _QUERY,
            {"schemas": list(schema.SCHEMAS), "version_table": version_table, "long_wait": _LONG_WAIT},
        )
        (row,) = await cursor.fetchall()
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
        cannot_create_in=tuple(row[11]),
        not_owned=tuple(row[12]),
        locked=tuple(row[13]),
        holders=tuple(row[14]),
    )
