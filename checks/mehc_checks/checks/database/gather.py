"""Asks the database that the gateway will use: one connection, one read-only transaction."""

import asyncio
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from mehc_checks.clients.network.connect import NetworkProblem, classify, connect, resolve
from mehc_checks.clients.network.reasons import NetworkReasons as N
from mehc_checks.installation.cloudsecrets import cloud_secret
from mehc_checks.installation.context import Context, require_cluster
from mehc_checks.modelengine import schema
from mehc_checks.modelengine.database import (
    CLOUD_FIELDS,
    SECRET_KEY,
    Address,
    Pools,
    Source,
    SourceKind,
    from_cloud,
    from_environment,
    parse,
    pools,
    source,
)
from mehc_checks.modelengine.secrets import CloudSecret


class Refusal(StrEnum):
    """Why the server, or the way to it, refused a session."""

    PASSWORD = "password"  # noqa: S105
    NO_PASSWORD = "no password"  # noqa: S105
    ROLE = "role"
    ACCESS_RULES = "access rules"
    DATABASE = "database"
    DATABASE_RIGHTS = "database rights"
    TLS_REQUIRED = "tls required"
    TLS_UNAVAILABLE = "tls unavailable"
    CERTIFICATE = "certificate"
    TOO_MANY = "too many"
    STARTING = "starting"
    NOT_POSTGRESQL = "not postgresql"
    OTHER = "other"


_REFUSALS = (
    ("password authentication failed", Refusal.PASSWORD),
    ("no password supplied", Refusal.NO_PASSWORD),
    ("is not permitted to log in", Refusal.ROLE),
    ("role .* does not exist", Refusal.ROLE),
    ("no pg_hba.conf entry .*no encryption", Refusal.TLS_REQUIRED),
    ("pg_hba.conf (entry|rejects)", Refusal.ACCESS_RULES),
    ("database .* does not exist", Refusal.DATABASE),
    ("permission denied for database", Refusal.DATABASE_RIGHTS),
    ("does not support SSL", Refusal.TLS_UNAVAILABLE),
    ("certificate verify failed|server certificate|root certificate", Refusal.CERTIFICATE),
    ("too many (clients|connections)|remaining connection slots", Refusal.TOO_MANY),
    ("the database system is", Refusal.STARTING),
    (
        "received invalid response|invalid response to SSL|expected authentication request",
        Refusal.NOT_POSTGRESQL,
    ),
)
"""libpq gives no SQLSTATE for what happens before a session exists, so its own English words must do."""


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
    """How far the way to the schema leads. The first of the failures that is set says where it ends."""

    source: Source
    pools: Pools
    sets_pool_size: bool
    expected: str
    namespace: str = ""
    secret_keys: tuple[str, ...] | None = None
    """Keys of the Secret; None where it does not exist, or the source is another."""
    cloud_secret: CloudSecret | None = None
    """The cloud's secret; None where the source is another, or this cloud's cannot be read here."""
    url_error: str = ""
    percent_in_url: bool = False
    address: Address | None = None
    network: NetworkProblem | None = None
    refusal: Refusal | None = None
    query_error: str = ""
    """SQLSTATE of a query that failed."""
    found: Schema | None = None
    latency_ms: float = 0.0


async def database_facts(context: Context, expected: str) -> DatabaseFacts:
    """Resolve the URL as the gateway does, connect, and read what the schema looks like."""
    chosen = source(context.values)
    base: dict[str, Any] = {
        "source": chosen,
        "pools": pools(context.values),
        "sets_pool_size": context.values.get("config.values.infra.db_engine_pool_size") is not None,
        "expected": expected,
        "namespace": context.namespace,
    }
    if chosen.kind is SourceKind.CLOUD_SECRET:
        kept = base["cloud_secret"] = await cloud_secret(context, chosen.name)
        if kept is None or kept.fields is None or kept.wrong(*CLOUD_FIELDS):
            return DatabaseFacts(**base)
        try:
            address = from_cloud(kept.fields)
        except ValueError as error:
            return DatabaseFacts(**base, url_error=str(error))
    elif chosen.kind is SourceKind.ENVIRONMENT:
        given = from_environment(context.values)
        if given is None:
            return DatabaseFacts(**base)
        address = given
    else:
        require_cluster(context)
        secret = await context.secret(chosen.name)
        base["secret_keys"] = None if secret is None else tuple(secret.data)
        if secret is None or not secret.data.get(SECRET_KEY):
            return DatabaseFacts(**base)
        url = secret.data[SECRET_KEY].strip()
        base["percent_in_url"] = "%" in url
        try:
            address = parse(url)
        except ValueError as error:
            return DatabaseFacts(**base, url_error=str(error))
    context.redactor.add(address.password)
    return await _probe(address, base, context.network_timeout)


async def _probe(address: Address, base: Mapping[str, Any], timeout: float) -> DatabaseFacts:
    clock = time.monotonic()
    try:
        async with asyncio.timeout(timeout / 2):
            addresses = await resolve(address.host, address.port, timeout=timeout / 2)
            async with await open_session(address, addresses) as session:
                latency = (time.monotonic() - clock) * 1000
                found = await _look(session, timeout)
    except NetworkProblem as failure:
        return DatabaseFacts(**base, address=address, network=failure)
    except (TimeoutError, Refused) as error:
        refusal = error.refusal if isinstance(error, Refused) else None
        unreachable = (
            None if refusal not in (None, Refusal.OTHER) else await _unreachable(address, timeout / 2)
        )
        if unreachable:
            return DatabaseFacts(**base, address=address, network=unreachable)
        network = None if refusal else NetworkProblem(N.CONNECTION_TIMEOUT, address.host, address.port)
        return DatabaseFacts(**base, address=address, refusal=refusal, network=network)
    except psycopg.Error as error:
        return DatabaseFacts(**base, address=address, query_error=error.sqlstate or type(error).__name__)
    return DatabaseFacts(**base, address=address, found=found, latency_ms=latency)


async def _unreachable(address: Address, timeout: float) -> NetworkProblem | None:
    """Why no connection can be opened; None where one can. For after libpq, whose errors have no codes."""
    try:
        await connect(address.host, address.port, timeout=timeout)
    except NetworkProblem as failure:
        return failure
    return None


class Refused(Exception):  # noqa: N818 - the server's answer
    """The server's answer instead of a session."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal)
        self.refusal = refusal


async def open_session(address: Address, addresses: list[str]) -> psycopg.AsyncConnection[tuple[Any, ...]]:
    """Open a session to the first of the ``addresses`` that accepts, with the URL's own TLS settings."""
    try:
        return await psycopg.AsyncConnection.connect(
            host=",".join([address.host] * len(addresses)),
            hostaddr=",".join(addresses),
            port=address.port,
            user=address.user,
            password=address.password,
            dbname=address.database,
            application_name="mehc",
            gssencmode="disable",
            autocommit=True,
            **_tls(address.options),
        )
    except psycopg.OperationalError as error:
        text = str(error)
        for pattern, refusal in _REFUSALS:
            if re.search(pattern, text):
                raise Refused(refusal) from None
        if re.search("server closed the connection|Connection reset", text):
            raise classify(ConnectionResetError(), address.host, address.port) from None
        raise Refused(Refusal.OTHER) from None


def _tls(options: Mapping[str, str]) -> dict[str, Any]:
    """libpq's TLS parameters. A certificate file of the gateway's image is not here to verify with."""
    mode = options.get("sslmode", "prefer")
    if options.get("sslrootcert") and not Path(options["sslrootcert"]).exists():
        return {"sslmode": "require"}
    return {"sslmode": mode, **({"sslrootcert": options["sslrootcert"]} if "sslrootcert" in options else {})}


_LOOK = """
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


_REVISIONS = sql.SQL("SELECT version_num FROM {} ORDER BY 1").format(
    sql.Identifier("public", schema.VERSION_TABLE)
)


async def _look(session: psycopg.AsyncConnection[tuple[Any, ...]], timeout: float) -> Schema:
    version_table = f"public.{schema.VERSION_TABLE}"
    async with session.pipeline():  # one round trip for both
        await session.execute(f"SET statement_timeout = {int(timeout * 250)}".encode())
        cursor = await session.execute(
            _LOOK, {"schemas": list(schema.SCHEMAS), "version_table": version_table}
        )
    (row,) = await cursor.fetchall()
    revisions: list[tuple[Any, ...]] = []
    if row[10]:
        answer = await session.execute(_REVISIONS)
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
