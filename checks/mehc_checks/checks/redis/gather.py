"""Asks each Redis that the platform uses, as its own client would."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from typing import Final

from mehc_checks.checks.redis.facts import Answer, RedisFacts, RedisParameters
from mehc_checks.clients.kubernetes.api import NoCluster
from mehc_checks.clients.kubernetes.paths import object_path
from mehc_checks.clients.network.reasons import is_away
from mehc_checks.clients.redis.conversation import Conversation, conversation, not_answered, reach
from mehc_checks.clients.redis.idle import wire
from mehc_checks.clients.redis.server import Server
from mehc_checks.core.deadline import within
from mehc_checks.core.errors import CannotEvaluate, Problem
from mehc_checks.core.wire import to_spare
from mehc_checks.installation.context import Context
from mehc_checks.installation.environment import (
    Environment,
    builder_environment,
    cacher_environment,
    gateway_environment,
    placed,
)
from mehc_checks.installation.redis import connections
from mehc_checks.modelengine.broker import build_queue
from mehc_checks.modelengine.kedaredis import KEDA_AUTHENTICATION, without_password
from mehc_checks.modelengine.redis import Connection, Path, cache_sources
from mehc_checks.modelengine.rediscommands import Command, Commands, commands
from mehc_checks.modelengine.redisreasons import RedisConnectionReasons as R


async def gather(context: Context) -> RedisFacts:
    """Derive the connections and ask each, all at once, in the time that the cloud's secrets left."""
    began = time.monotonic()
    derived = await connections(context)
    for connection in derived:
        context.redactor.add(connection.server.password if connection.server else None)
    derived = [await _verified(context, connection) for connection in derived]
    left = context.network_timeout - (time.monotonic() - began)
    queue = build_queue(context.configuration)
    asked = await asyncio.gather(*(_placed(context, connection, queue, left) for connection in derived))
    if context.parameters(RedisParameters).tripwire:
        for answer in asked:
            away = is_away(answer.problem)
            if answer.connection.server and (away or (answer.to_spare and answer.problem is None)):
                context.hold(replace(wire(answer.connection.server), away=away))
    return RedisFacts(
        sources=tuple(cache_sources(context.configuration)),
        answers=tuple(asked),
        now=context.clock(),
        unseen=(await context.gather(gateway_environment)).unseen,
    )


async def _verified(context: Context, connection: Connection) -> Connection:
    """``connection``, without KEDA's password where the cluster does not show that KEDA is given it.

    Values name both secret and address, and anyone who can write the resource writes values: what the operator can read
    of AWS must not go to an address of theirs. Without a cluster the values belong to whoever runs the check.
    """
    server, secret = connection.server, connection.password_secret
    if not (secret and server and server.password) or isinstance(context.cluster, NoCluster):
        return connection
    namespace = context.endpoint_namespace
    path = object_path(
        "triggerauthentications", namespace, KEDA_AUTHENTICATION, group="keda.sh", version="v1alpha1"
    )
    try:
        await context.prove_endpoint_namespace()
        found = await context.reader.get(path)
    except CannotEvaluate as error:
        return without_password(connection, _not_verified(server, secret, namespace, str(error)))
    given = (found or {}).get("spec", {}).get("awsSecretManager", {}).get("secrets") or []
    if any(item.get("parameter") == "password" and item.get("name") == secret for item in given):
        return connection
    what = f"does not name secret {secret}" if found else "does not exist"
    detail = f"TriggerAuthentication {KEDA_AUTHENTICATION} in namespace {namespace} {what}"
    return without_password(connection, _not_verified(server, secret, namespace, detail))


def _not_verified(server: Server, secret: str, namespace: str, detail: str) -> Problem:
    return Problem(
        R.KEDA_SECRET_NOT_VERIFIED,
        address=f"{server.host}:{server.port}",
        secret=secret,
        namespace=namespace,
        authentication=KEDA_AUTHENTICATION,
        detail=detail,
    )


async def _placed(context: Context, connection: Connection, queue: str, timeout: float) -> Answer:
    """The answer; of a server that only the component's own pod may reach, that this is so."""
    answer = await _ask(connection, queue, timeout)
    if answer.problem is None or connection.server is None or connection.path is Path.KEDA:
        return answer
    environment = await context.gather(_ENVIRONMENTS[connection.component])
    if environment is None:
        return answer
    return replace(answer, problem=await placed(context, answer.problem, connection.server.host, environment))


_ENVIRONMENTS: Final[Mapping[str, Callable[[Context], Awaitable[Environment | None]]]] = {
    "": gateway_environment,
    "builder": builder_environment,
    "cacher": cacher_environment,
}


async def _ask(connection: Connection, queue: str, timeout: float) -> Answer:
    server = connection.server
    if server is None:
        return Answer(connection=connection)
    try:
        async with within(timeout * 0.7):
            return await _conversed(connection, server, commands(connection.path, queue), timeout / 4)
    except Problem as problem:
        return Answer(connection=connection, problem=problem)
    except TimeoutError:
        return Answer(connection=connection, problem=await not_answered(server, timeout=timeout * 0.3))


async def _conversed(connection: Connection, server: Server, needed: Commands, timeout: float) -> Answer:
    clock = time.monotonic()
    answer = Answer(connection=connection)
    if not connection.login:
        return replace(answer, not_after=await reach(server, timeout=timeout))
    async with conversation(server, timeout=timeout) as asked:
        answer = replace(answer, not_after=asked.not_after)
        info = await asked.info()
        try:
            for command in needed.sent:
                await asked.ask(*command)
            if needed.queued:
                await asked.rehearse(needed.queued)
        except Problem as problem:
            return replace(answer, problem=problem)
        answer = replace(answer, later=await _refused(asked, needed.later))
    answer = replace(
        answer,
        latency_ms=(time.monotonic() - clock) * 1000,
        policy=info.get("maxmemory_policy", ""),
        max_memory=int(info.get("maxmemory") or 0),
        cluster=info.get("cluster_enabled") == "1",
        version=info.get("redis_version", ""),
        to_spare=to_spare(int(info.get("maxclients") or 0), int(info.get("connected_clients") or 0)),
    )
    if server.password:
        answer = replace(answer, open_to_all=await _open_to_all(server, needed.sent[0], timeout))
    return answer


async def _refused(asked: Conversation, wanted: Iterable[Command]) -> Problem | None:
    try:
        for command in wanted:
            await asked.ask(*command)
    except Problem as problem:
        return problem
    return None


async def _open_to_all(server: Server, command: tuple[str, ...], timeout: float) -> bool:
    """Whether the first read works without credentials too."""
    try:
        async with conversation(replace(server, username="", password=""), timeout=timeout) as asked:
            await asked.ask(*command)
    except Problem:
        return False
    return True
