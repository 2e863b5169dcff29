"""DatabaseMigrated: the gateway's database is reachable and its schema is at the expected revision."""

from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import Field

from mehc_checks.checks.database.gather import DatabaseFacts, Schema, database_facts
from mehc_checks.checks.database.reasons import DatabaseReasons
from mehc_checks.clients.postgres.server import Server
from mehc_checks.core.outcome import Evidence, Finding, Outcome, Severity
from mehc_checks.core.parameters import Parameters
from mehc_checks.core.permission import Permission
from mehc_checks.engine.check import check
from mehc_checks.installation.context import Context
from mehc_checks.modelengine import schema

R = DatabaseReasons


class DatabaseParameters(Parameters):
    """Parameters of DatabaseMigrated."""

    expected_revision: str = Field(
        default=schema.HEAD,
        pattern=r"^[0-9a-z]{1,32}$",
        description="The Alembic revision that the deployed platform expects.",
    )


async def gather(context: Context) -> DatabaseFacts:
    """The facts, with the revision that the parameters expect."""
    return await database_facts(context, context.parameters(DatabaseParameters).expected_revision)


@check(
    "DatabaseMigrated",
    title="database schema is migrated",
    severity=Severity.CRITICAL,
    gather=gather,
    reasons=DatabaseReasons,
    parameters=DatabaseParameters,
    permissions=(Permission(resource="secrets"),),
)
def database_migrated(facts: DatabaseFacts) -> Outcome:
    """Judge how far the connection gets, and what the schema is like at its end."""
    findings = [*_session(facts), *_configuration(facts)]
    return Outcome.of(findings, evidence=_evidence(facts))


def _session(facts: DatabaseFacts) -> Iterator[Finding]:
    """What keeps the gateway from the database; else what is there."""
    source = str(facts.source)
    if facts.problem:
        yield facts.problem.finding(
            source=source,
            concerning=f"{source}: ",
            then=", then restart gateway, builder and cacher",
            or_lower=", or lower the gateway's replicas",
            enable_tls=f"Add ?sslmode=require to {source}.",
            disable_tls=f"Enable TLS on the server, or remove sslmode from {source}.",
            trust=f"Make sslmode in {source} agree with the server's certificate and the authorities in the image.",
        )
    elif facts.found and facts.server:
        yield from _server(facts.found, facts.server, facts)
        yield from _revision(facts.found, facts.expected, facts.server.database)


def _configuration(facts: DatabaseFacts) -> Iterator[Finding]:
    """What is wrong whatever the database answers."""
    if facts.sets_pool_size:
        yield R.POOL_SIZE_SET()
    if facts.source.shadowed:
        yield R.TWO_SECRETS(ignored=facts.source.shadowed, secret=facts.source.name)
    if facts.percent_in_url:
        yield R.PERCENT_IN_URL(source=facts.source)


def _server(found: Schema, server: Server, facts: DatabaseFacts) -> Iterator[Finding]:
    if found.in_recovery or found.read_only:
        why = "is a read-only replica" if found.in_recovery else "has default_transaction_read_only on"
        yield R.READ_ONLY(address=server.address, why=why, source=facts.source)
    if found.denied:
        schemas = ", ".join(schema.SCHEMAS)
        yield R.PRIVILEGES_MISSING(
            user=server.user,
            objects=_some(found.denied),
            grant=f'GRANT USAGE ON SCHEMA {schemas} TO "{server.user}"; GRANT SELECT, INSERT, UPDATE, DELETE ON ALL '
            f'TABLES IN SCHEMA {schemas}, public TO "{server.user}";',
        )
    if facts.pools.ceiling > found.max_connections:
        yield R.POOLS_EXCEED_SERVER(
            ceiling=facts.pools.ceiling, pools=facts.pools, limit=found.max_connections
        )


def _revision(found: Schema, expected: str, database: str) -> Iterator[Finding]:
    if not found.has_version_table:
        if found.tables or found.schemas:
            objects = _some(sorted(found.tables) or sorted(found.schemas))
            yield R.INITIALIZED_WITHOUT_VERSION(database=database, objects=objects)
        else:
            yield R.NEVER_MIGRATED(database=database)
        return
    if not found.revisions:
        if f"table public.{schema.VERSION_TABLE}" not in found.denied:
            yield R.VERSION_EMPTY(database=database)
        return
    if len(found.revisions) > 1:
        yield R.SEVERAL_HEADS(database=database, revisions=", ".join(found.revisions))
        return
    (current,) = found.revisions
    known = schema.position(current) is not None
    absent = schema.missing(current, found.tables, found.columns) if known else []
    if absent:
        yield R.DRIFT(revision=current, missing=_some(absent))
    if current != expected:
        yield _elsewhere(current, expected, database)
    elif not absent:
        yield R.AT_HEAD(database=database, revision=current)


def _elsewhere(current: str, expected: str, database: str) -> Finding:
    here, there = schema.position(current), schema.position(expected)
    words: dict[str, Any] = {"database": database, "revision": current, "expected": expected}
    if here is None or there is None:
        return R.UNKNOWN_REVISION(**words, unknown=current if here is None else expected)
    if here > there:
        newer = ", ".join(revision.id for revision in schema.between(expected, current))
        return R.AHEAD(**words, newer=newer)
    steps = schema.between(current, expected)
    missing = [f"{revision.adds} ({revision.id})" for revision in steps]
    return R.BEHIND(**words, steps=len(steps), missing=_some(missing, 2))


def _missing(found: Schema, expected: str) -> tuple[schema.Revision, ...]:
    """The revisions that an upgrade to ``expected`` would run, as far as that is known."""
    known = [*found.revisions, expected]
    if len(known) != 2 or any(schema.position(revision) is None for revision in known):
        return ()
    return schema.between(*known)


def _some(names: Sequence[str], most: int = 4) -> str:
    shown = ", ".join(names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown


def _evidence(facts: DatabaseFacts) -> Evidence:
    evidence: dict[str, str | int | float | bool | None] = {
        "source": str(facts.source),
        "expectedRevision": facts.expected,
        "pools": f"{facts.pools} = {facts.pools.ceiling}",
    }
    if facts.server:
        evidence |= {"address": str(facts.server), "user": facts.server.user}
    if facts.found:
        evidence |= {
            "revision": ", ".join(facts.found.revisions),
            "missingRevisions": ", ".join(step.id for step in _missing(facts.found, facts.expected)),
            "latencyMs": round(facts.latency_ms, 1),
            "serverVersion": facts.found.server_version,
            "maxConnections": facts.found.max_connections,
            "connections": facts.found.connections,
        }
    return evidence
