"""Asks the databases that the gateway will use: a session for each, which only reads."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace

from mehc_checks.checks.database.facts import DatabaseFacts, DatabaseParameters, Expected, Other, Probe
from mehc_checks.checks.database.schemaquery import look
from mehc_checks.clients.network.reasons import is_away
from mehc_checks.clients.postgres.client import session
from mehc_checks.clients.postgres.idle import wire
from mehc_checks.clients.postgres.pooler import breaks_prepared_statements, is_pooled
from mehc_checks.clients.postgres.server import Server
from mehc_checks.core.errors import CannotEvaluate, Problem
from mehc_checks.core.wire import to_spare
from mehc_checks.installation.context import Context
from mehc_checks.installation.database import database_of, gateway_database
from mehc_checks.installation.environment import (
    Environment,
    builder_environment,
    cacher_environment,
    gateway_environment,
    placed,
)
from mehc_checks.modelengine import paths
from mehc_checks.modelengine.database import Database, Role
from mehc_checks.modelengine.databasereasons import DatabaseURLReasons as R
from mehc_checks.modelengine.pools import pools, unusable


async def gather(context: Context) -> DatabaseFacts:
    """Resolve the URLs as the gateway does, connect, and read what the schema looks like."""
    configuration = context.configuration
    both = configuration.text(paths.KUBERNETES_DATABASE_SECRET)
    parameters = context.parameters(DatabaseParameters)
    facts = DatabaseFacts(
        expected=Expected(
            revision=parameters.expected_revision,
            given="expected_revision" in parameters.model_fields_set,
            platform=context.platform,
        ),
        pools=pools(configuration),
        unusable_settings=unusable(configuration),
        shadowed=configuration.text(paths.CLOUD_DATABASE_SECRET) if both else "",
        unseen=(await context.gather(gateway_environment)).unseen,
    )
    try:
        database = await context.gather(gateway_database)
    except Problem as problem:
        return replace(facts, problem=problem)
    environment, servers = await context.gather(gateway_environment), _servers(database)
    probes, others = await asyncio.gather(
        asyncio.gather(*(_probed(context, server, environment) for server in servers.values())),
        asyncio.gather(
            *(_other(context, ask, database) for ask in (builder_environment, cacher_environment))
        ),
    )
    return replace(
        facts,
        database=database,
        probes=dict(zip(servers, probes, strict=True)),
        others=tuple(other for other in others if other),
    )


async def _other(
    context: Context, ask: Callable[[Context], Awaitable[Environment | None]], own: Database
) -> Other | None:
    """Builder or cacher; None where its sessions are the gateway's, or its Deployment is not there."""
    environment = await context.gather(ask)
    if environment is None:
        return None
    other = Other(component=environment.component, workload=environment.workload)
    try:
        database = await database_of(context, environment)
    except Problem as problem:
        return replace(other, problem=problem)
    server = _servers(database).get(Role.WRITER)
    if server is None or server == _servers(own).get(Role.WRITER):
        return None
    return replace(other, database=database, probe=await _probed(context, server, environment))


def _servers(database: Database) -> dict[Role, Server]:
    """Where each role connects to, by the first of its drivers that gets so far; one server once."""
    found: dict[Role, Server] = {}
    for each in database.sessions:
        if each.server and each.server not in found.values():
            found.setdefault(each.role, each.server)
    return found


async def _probed(context: Context, server: Server, environment: Environment) -> Probe:
    probe = await _probe(server, context.network_timeout)
    away = is_away(probe.problem)
    if context.parameters(DatabaseParameters).tripwire and (away or _has_room(probe)):
        context.hold(replace(wire(server), away=away))
    if probe.problem is None:
        return probe
    return replace(probe, problem=await placed(context, probe.problem, server.host, environment))


def _has_room(probe: Probe) -> bool:
    """Whether a session can be held. Behind a pooler it would take one of few, and end with the pooler."""
    found = probe.found
    if found is None or found.connections is None or probe.pooled:
        return False
    return to_spare(found.max_connections, found.connections)


async def _probe(server: Server, timeout: float) -> Probe:
    if server.host.startswith("/"):
        return Probe(server=server, problem=CannotEvaluate(R.SOCKET_NOT_TESTED, socket=server.host))
    clock = time.monotonic()
    try:
        async with session(server, timeout=timeout) as opened:
            latency = (time.monotonic() - clock) * 1000
            found = await look(opened, timeout)
            pooled = await is_pooled(opened)
            breaks = pooled and await breaks_prepared_statements(server, opened, timeout=timeout / 3)
    except Problem as problem:
        return Probe(server=server, problem=problem)
    return Probe(server=server, found=found, pooled=pooled, breaks_statements=breaks, latency_ms=latency)
