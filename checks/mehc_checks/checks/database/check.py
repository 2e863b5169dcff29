"""DatabaseMigrated: the gateway's database is reachable and its schema is at the expected revision."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from mehc_checks.checks.database import revisions
from mehc_checks.checks.database.facts import DatabaseFacts, DatabaseParameters, Probe, Schema
from mehc_checks.checks.database.reasons import DatabaseReasons
from mehc_checks.clients.kubernetes.reasons import incomplete
from mehc_checks.clients.network.reasons import NetworkReasons
from mehc_checks.clients.postgres.server import Server
from mehc_checks.core.errors import Problem
from mehc_checks.core.outcome import Evidence, Finding, Outcome, Reason, Severity, Status
from mehc_checks.core.permission import Permission
from mehc_checks.core.wire import Kind
from mehc_checks.engine.check import Scope, check
from mehc_checks.modelengine import schema
from mehc_checks.modelengine.database import Database, Role, faults

R = DatabaseReasons


@check(
    "DatabaseMigrated",
    title="database schema is migrated",
    severity=Severity.CRITICAL,
    scope=Scope.DATABASE,
    reasons=DatabaseReasons,
    parameters=DatabaseParameters,
    asks=[Kind.POSTGRESQL],
    permissions=(
        Permission(resource="secrets"),
        Permission(resource="configmaps"),
        Permission(resource="deployments", group="apps", followed=True),
        Permission(resource="services"),
    ),
)
def database_migrated(facts: DatabaseFacts) -> Outcome:
    """Judge the URLs by their drivers, then how far each connection gets, and what is at its end."""
    unseen = [incomplete(facts.unseen)] if facts.unseen else []
    findings = [*_sessions(facts), *_others(facts), *_configuration(facts), *unseen]
    return Outcome.of(findings, evidence=_evidence(facts))


def _sessions(facts: DatabaseFacts) -> Iterator[Finding]:
    """What keeps the gateway from its databases; else what is there."""
    if facts.problem:
        yield facts.problem.finding()
        return
    if facts.database is None:
        raise ValueError("facts without a problem need a database")
    yield from _urls(facts.database)
    writer = facts.probes.get(Role.WRITER)
    found = list(_probed(writer, facts, facts.database, Role.WRITER)) if writer else []
    yield from found
    if reader := facts.probes.get(Role.READER):
        known = {each.reason for each in found}
        for each in _probed(reader, facts, facts.database, Role.READER):
            # what is wrong with both is said once; a reader that is in order, only where no writer is judged
            if each.reason not in known and not (each.status is Status.PASS and writer):
                yield replace(each, subject=Role.READER)


def _others(facts: DatabaseFacts) -> Iterator[Finding]:
    """Builder and cacher, where their environment is another than the gateway's."""
    writer = facts.probes.get(Role.WRITER)
    for other in facts.others:
        if other.problem:
            yield other.problem.finding(subject=other.component)
        elif other.probe and other.database and other.probe.problem:
            found = _unreached(other.probe, other.probe.problem, other.database, Role.WRITER)
            yield replace(found, subject=other.component)
        elif other.probe and writer and str(other.probe.server) != str(writer.server):
            who, theirs = other.component, other.probe.server
            yield R.COMPONENT_DIFFERS(
                subject=who, component=who, workload=other.workload, theirs=theirs, ours=writer.server
            )


def _urls(database: Database) -> Iterator[Finding]:
    """What the drivers reject without asking a server."""
    for fault in faults(database.sessions):
        words: dict[str, Any] = {"source": database.source, "secret": database.secret, "effect": fault.effect}
        if wrong := fault.problem.words.get("wrong"):
            words["wrong"] = f"{wrong}: {fault.effect}"
        yield fault.problem.finding(subject=Role.READER if fault.roles == {Role.READER} else "", **words)


def _probed(probe: Probe, facts: DatabaseFacts, database: Database, role: Role) -> Iterator[Finding]:
    if probe.problem:
        yield _unreached(probe, probe.problem, database, role)
    elif probe.found:
        schema_is = tuple(revisions.judged(probe.found, facts.expected, probe.server.database))
        yield from _server(probe, probe.found, facts, database, role)
        if role is Role.WRITER:
            yield from _migrating(probe.server, probe.found, {each.reason for each in schema_is})
        yield from schema_is


def _migrating(server: Server, found: Schema, schema_is: set[Reason]) -> Iterator[Finding]:
    """What the migration that is due needs and the user lacks: it connects with the same URL."""
    user, database = server.user, server.database
    if R.NEVER_MIGRATED in schema_is and found.cannot_create_in:
        grant = f'GRANT CREATE ON DATABASE "{database}" TO "{user}"; GRANT USAGE, CREATE ON SCHEMA public TO "{user}";'
        objects = f"{revisions.some(found.cannot_create_in)} (CREATE, which the migration needs)"
        yield R.PRIVILEGES_MISSING(user=user, objects=objects, grant=grant)
    elif R.BEHIND in schema_is and found.not_owned and not found.denied:
        grant = " ".join(f'ALTER TABLE {name} OWNER TO "{user}";' for name in found.not_owned)
        objects = f"{revisions.some(found.not_owned)} (ownership, which the migration needs)"
        yield R.PRIVILEGES_MISSING(user=user, objects=objects, grant=grant)


_OF_THE_LOGIN = (R.PASSWORD_REJECTED, R.EXTERNAL_AUTH_REJECTED, R.ROLE_REJECTED)
_OF_THE_HOST = (*NetworkReasons.all(), R.NOT_POSTGRESQL)


def _unreached(probe: Probe, problem: Problem, database: Database, role: Role) -> Finding:
    """``problem`` with the place of what is wrong."""
    if database.is_default:
        return R.NOT_CONFIGURED()
    password = probe.server.password
    if problem.reason is R.PASSWORD_REJECTED and password != password.strip():
        server = probe.server
        return R.PASSWORD_WHITESPACE(source=database.source, address=server.address, user=server.user)
    if database.rejected and problem.reason in _OF_THE_LOGIN:
        server = probe.server
        return database.rejected(address=server.address, user=server.user, principal=database.principal)
    place = database.source
    if problem.reason in _OF_THE_HOST:
        place = database.reader if role is Role.READER else database.host
    elif problem.reason is R.DATABASE_NOT_FOUND:
        place = database.name
    return problem.finding(
        source=place,
        then=", then restart gateway, builder and cacher",
        or_lower=", or lower the gateway's replicas",
        enable_tls=f"Add ?sslmode=require to {database.name}.",
        disable_tls=f"Enable TLS on the server, or remove sslmode from {database.name}.",
        trust=f"Use sslmode=require in {database.name}, or a certificate whose authority the pods have.",
    )


def _server(
    probe: Probe, found: Schema, facts: DatabaseFacts, database: Database, role: Role
) -> Iterator[Finding]:
    server = probe.server
    if role is Role.WRITER and (found.in_recovery or found.read_only):
        why = "is a read-only replica" if found.in_recovery else "has default_transaction_read_only on"
        yield R.READ_ONLY(address=server.address, why=why, source=database.host)
    if found.denied and role is Role.WRITER:
        schemas = ", ".join(schema.SCHEMAS)
        yield R.PRIVILEGES_MISSING(
            user=server.user,
            objects=revisions.some(found.denied),
            grant=f'GRANT USAGE ON SCHEMA {schemas} TO "{server.user}"; GRANT SELECT, INSERT, UPDATE, DELETE ON ALL '
            f'TABLES IN SCHEMA {schemas}, public TO "{server.user}";',
        )
    if found.locked and found.holders and role is Role.WRITER:
        pids = ", ".join(map(str, found.holders))
        yield R.TABLE_LOCKED(tables=revisions.some(found.locked), pids=pids, pid=found.holders[0])
    if probe.breaks_statements:
        yield R.TRANSACTION_POOLING(address=server.address, source=database.host, database=server.database)
    pools = replace(facts.pools, engines=1) if len(facts.probes) > 1 else facts.pools
    if not probe.pooled and pools.ceiling > found.max_connections:
        yield R.POOLS_EXCEED_SERVER(
            ceiling=pools.ceiling, pools=pools, limit=found.max_connections, user=server.user
        )


def _configuration(facts: DatabaseFacts) -> Iterator[Finding]:
    """What is wrong whatever the database answers."""
    for path in facts.unusable_settings:
        yield R.POOL_SIZE_UNUSABLE(path=path)
    if facts.shadowed:
        yield R.TWO_SECRETS(ignored=facts.shadowed)
    if facts.database and facts.database.has_percent:
        yield R.PERCENT_IN_URL(source=facts.database.source)


def _evidence(facts: DatabaseFacts) -> Evidence:
    evidence: dict[str, str | int | float | bool | None] = {
        "source": facts.database.source if facts.database else "",
        "expectedRevision": facts.expected.revision,
        "platform": facts.expected.platform.detected,
        "pools": f"{facts.pools} = {facts.pools.ceiling}",
    }
    if reader := facts.probes.get(Role.READER):
        evidence["readerAddress"] = str(reader.server)
    if (writer := facts.probes.get(Role.WRITER)) is None:
        return evidence
    evidence |= {"address": str(writer.server), "user": writer.server.user}
    if found := writer.found:
        evidence |= {
            "revision": ", ".join(found.revisions),
            "missingRevisions": ", ".join(
                step.id for step in revisions.pending(found, facts.expected.revision)
            ),
            "latencyMs": round(writer.latency_ms, 1),
            "serverVersion": found.server_version,
            "maxConnections": found.max_connections,
            "connections": found.connections,
            "pooler": writer.pooled,
        }
    return evidence
