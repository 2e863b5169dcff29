"""The connections to Redis of one installation, with the secrets that they take from the cluster and from AWS, and what
Redis holds of endpoints: one conversation each."""

import asyncio
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from mehc_checks.clients.azure.identity import AzureProblem
from mehc_checks.clients.kubernetes.reasons import KubernetesReasons
from mehc_checks.clients.redis.conversation import conversation
from mehc_checks.clients.redis.reasons import RedisServerReasons
from mehc_checks.core.deadline import within
from mehc_checks.core.errors import CannotEvaluate, MehcError, Problem
from mehc_checks.installation.azure import REDIS_SCOPE, login_token
from mehc_checks.installation.cloudsecrets.aws import aws_secret
from mehc_checks.installation.context import Context
from mehc_checks.installation.environment import (
    Environment,
    builder_environment,
    cacher_environment,
    gateway_environment,
    may_send,
)
from mehc_checks.installation.reasons import EnvironmentReasons, InstallationReasons
from mehc_checks.modelengine import paths
from mehc_checks.modelengine.broker import build_queue
from mehc_checks.modelengine.brokerredis import broker_connection, broker_secret
from mehc_checks.modelengine.configuration import Configuration
from mehc_checks.modelengine.endpoints import Cached, cache_key, demand_key
from mehc_checks.modelengine.environment import (
    AZURE_OBJECT,
    DEFAULT_REDIS_PORT,
    REDIS_HOST,
    REDIS_PORT,
    REDIS_TLS,
    REDIS_TOKEN,
    RedisEnvironment,
)
from mehc_checks.modelengine.kedaredis import keda, keda_secret, without_password
from mehc_checks.modelengine.redis import Connection, Path, Secrets, cache, cache_secret, given
from mehc_checks.modelengine.redisreasons import RedisConnectionReasons as R
from mehc_checks.modelengine.versions import UNDETECTED, Platform

_PART: Final = 0.2
"""Part of the time: a Redis that hangs must leave some for the cluster, and for the database."""
_UPTIME: Final = re.compile(r"uptime_in_seconds:(?P<seconds>\d+)")
_RUN: Final = re.compile(r"run_id:(?P<id>\w+)")
_TRUE: Final = frozenset({"true", "1", "yes"})
_ABSENT: Final = (EnvironmentReasons.SECRET_NOT_FOUND, EnvironmentReasons.SECRET_KEY_NOT_FOUND)


async def connections(context: Context) -> list[Connection]:
    """Those of the cache, the Celery broker and KEDA, as far as each has one to Redis.

    Those of builder and cacher are there too where they connect otherwise than the gateway.
    """
    secrets, environment = await asyncio.gather(
        context.gather(redis_secrets), context.gather(redis_environment)
    )
    own = _of_component(context, environment, secrets)
    found = [*own.values(), keda(context.configuration, secrets, environment)]
    for component, (ask, uses) in _COMPONENTS.items():
        if (theirs := await context.gather(ask)) is not None:
            derived = _of_component(context, _of(context, theirs), secrets)
            found += [
                each.of(component)
                for path in uses
                if (each := derived[path]) is not None and not each.is_as(own[path])
            ]
    return [await _permitted(context, each) for each in found if each]


async def _permitted(context: Context, connection: Connection) -> Connection:
    """``connection``, without the password where that is from a Secret of the installation and the address is not.

    Values name the address: what the operator can read must not go to one of theirs.
    """
    if connection.problem and connection.problem.reason is R.AZURE_TOKEN_NOT_EVALUATED:
        return await _logged_in(context, connection)
    server = connection.server
    if server is None or await may_send(context, server.password, server.host):
        return connection
    what = f"Redis at {server.host}:{server.port}"
    problem = CannotEvaluate(InstallationReasons.NOT_VERIFIED, what=what, namespace=context.namespace)
    return without_password(connection, problem)


async def _logged_in(context: Context, connection: Connection) -> Connection:
    """A connection of Azure with a token, where this process has the platform's own identity; else why it has none."""
    server, words = connection.server, connection.problem.words if connection.problem else {}
    if server is None:
        return connection
    try:
        held, is_platforms = await login_token(context, REDIS_SCOPE, [server.host])
    except AzureProblem as problem:
        return replace(connection, problem=_not_evaluated(words, str(problem)))
    if not is_platforms:
        detail = f"mehc has the identity of {held.principal}, not the platform's"
        return replace(connection, problem=_not_evaluated(words, detail))
    return replace(
        connection,
        server=replace(server, password=held.text),
        problem=None,
        login=True,
        means={
            RedisServerReasons.AUTH_REJECTED: R.AZURE_LOGIN_REJECTED,
            RedisServerReasons.PERMISSION_DENIED: R.AZURE_POLICY_DENIES,
        },
        words={**connection.words, "principal": held.principal, "client": held.client},
    )


def _not_evaluated(words: Mapping[str, Any], detail: str) -> Problem:
    return Problem(R.AZURE_TOKEN_NOT_EVALUATED, **{**words, "detail": detail})


_COMPONENTS: Final = {
    "builder": (builder_environment, (Path.CACHE, Path.BROKER)),
    "cacher": (cacher_environment, (Path.CACHE,)),
}
"""Those that connect beside the gateway: how their environment is read, and which connections they have."""


def _of_component(
    context: Context, environment: RedisEnvironment, secrets: Secrets
) -> dict[Path, Connection | None]:
    return {
        Path.CACHE: cache(context.configuration, secrets, environment),
        Path.BROKER: broker_connection(context.configuration, environment, secrets),
    }


async def broker(context: Context) -> Connection | None:
    """The Celery broker that the gateway sends to; None where it is not Redis."""
    environment = await context.gather(redis_environment)
    found = broker_connection(context.configuration, environment, await context.gather(redis_secrets))
    return await _permitted(context, found) if found else None


async def differing_brokers(context: Context) -> tuple[tuple[str, str], tuple[str, str]] | None:
    """The gateway's broker and the builder's, each as (address, what names it), where both are Redis and not the same.

    Two addresses may lead to one server: its run id tells. None where one of them cannot be asked.
    """
    theirs, own = await context.gather(builder_environment), await broker(context)
    if theirs is None or own is None:
        return None
    secrets = await context.gather(redis_secrets)
    other = broker_connection(context.configuration, _of(context, theirs), secrets)
    other = await _permitted(context, other) if other else None
    if other is None or other.server is None or own.server is None or other.is_as(own):
        return None
    runs = await asyncio.gather(*(_run_of(context, each) for each in (own, other)))
    if None in runs or len({*runs}) == 1:
        return None
    return (str(own.server), own.words["source"]), (str(other.server), other.words["source"])


async def _run_of(context: Context, connection: Connection) -> tuple[str, int] | None:
    """Which Redis process it leads to, and which of its databases."""
    answers = await asked(context, connection, [("INFO", "server")])
    said = answers[0] if answers else ""
    found = _RUN.search(said.decode(errors="replace") if isinstance(said, bytes) else str(said))
    return (found["id"], connection.server.db) if found and connection.server else None


async def _cache(context: Context) -> Connection:
    environment = await context.gather(redis_environment)
    found = cache(context.configuration, await context.gather(redis_secrets), environment)
    return await _permitted(context, found)


async def redis_secrets(context: Context) -> Secrets:
    """The secrets of AWS that connections are derived from, all asked at once; by ``Context.gather``."""
    named = (read(context.configuration) for read in (cache_secret, broker_secret, keda_secret))
    names = {name for name in named if name}
    read = await asyncio.gather(*(aws_secret(context, name) for name in names))
    return {secret.name: secret for secret in read}


async def redis_environment(context: Context) -> RedisEnvironment:
    """What the gateway's environment says of Redis; by ``Context.gather``."""
    return _of(context, await context.gather(gateway_environment))


def _of(context: Context, environment: Environment) -> RedisEnvironment:
    return of_environment(environment, context.configuration, context.platform)


def of_environment(
    found: Environment, configuration: Configuration, platform: Platform = UNDETECTED
) -> RedisEnvironment:
    """What ``found`` says of Redis. A host and port that the chart makes of redisHost are named so.

    Processes take REDIS_HOST only where REDIS_PORT is set too. Source: ``core/celery/app.py`` of model engine.
    """
    of_values = (
        given(configuration, paths.REDIS_HOST),
        given(configuration, paths.REDIS_PORT) or DEFAULT_REDIS_PORT,
    )
    named, port = _read(found, REDIS_HOST), _read(found, REDIS_PORT)
    host = named
    if isinstance(named, str) and named:
        host = port if isinstance(port, Problem) else named if port else ""
    token, named_object = _read(found, REDIS_TOKEN), _read(found, AZURE_OBJECT)
    tls = None if platform.has_known_images else _read(found, REDIS_TLS)
    if isinstance(token, Problem) and token.reason in _ABSENT:
        token = _token_not_found(token)
    return RedisEnvironment(
        host=tls if isinstance(tls, Problem) else host or "",
        port=port if isinstance(port, str) else "",
        cache_host=named or "",
        source=paths.REDIS_HOST if (named, port) == of_values else found.source(REDIS_HOST),
        token=token or "",
        azure_object=named_object if isinstance(named_object, str) else "",
        tls=tls.strip().lower() in _TRUE if isinstance(tls, str) else None,
        of_newer_platform=isinstance(tls, str)
        or (tls is not None and REDIS_TLS in found.unread)
        or (platform.is_newer and not platform.has_known_images),
    )


def _read(environment: Environment, name: str) -> str | Problem | None:
    """The variable, None where it is not set, or why it is not known."""
    try:
        return environment.get(name)
    except Problem as problem:
        return problem
    except MehcError as error:
        detail = f"{name} of the {environment.component} was not read: {error}"
        return CannotEvaluate(KubernetesReasons.INCOMPLETE_DATA, detail=detail)


def _token_not_found(problem: Problem) -> Problem:
    words = problem.words
    missing = problem.reason is EnvironmentReasons.SECRET_NOT_FOUND
    return Problem(
        R.TOKEN_NOT_FOUND,
        secret=words["secret"],
        namespace=words["namespace"],
        key=words["key"],
        wrong="does not exist" if missing else f"has no key {words['key']}",
    )


async def cached(context: Context, endpoints: Iterable[str]) -> dict[str, Cached]:
    """By id of ``endpoints``: the age of the cacher's key and the demand. Empty where the cache cannot be asked."""
    connection = await _cache(context)
    identifier = context.values.text("serviceIdentifier") or ""
    wanted = list(endpoints)
    commands: list[tuple[str, ...]] = []
    for endpoint in wanted:
        commands += [("TTL", cache_key(identifier, endpoint)), ("LLEN", demand_key(endpoint))]
    answers = await asked(context, connection, commands)
    if answers is None:
        return {}
    return {
        endpoint: Cached(ttl=ttl if ttl >= 0 else None, demand=demand)
        for endpoint, ttl, demand in zip(wanted, answers[::2], answers[1::2], strict=True)
    }


async def cache_age(context: Context) -> int | None:
    """Seconds since the cache's Redis was started; None where it does not tell: its user may be denied INFO."""
    connection = await _cache(context)
    answers = await asked(context, connection, [("INFO", "server")])
    said = answers[0] if answers else ""
    found = _UPTIME.search(said.decode(errors="replace") if isinstance(said, bytes) else str(said))
    return int(found["seconds"]) if found else None


async def queue_depth(context: Context) -> tuple[str, int | None]:
    """The builder's queue, and how many tasks wait in it; None where the broker is not a Redis that can be asked."""
    queue = build_queue(context.configuration)
    answers = await ask_broker(context, [("LLEN", queue)])
    return queue, answers[0] if answers else None


async def ask_broker(context: Context, commands: list[tuple[str, ...]]) -> list[Any] | None:
    """The answers of a broker that is a Redis; None where it is none, and where it cannot be asked, or refuses."""
    connection = await broker(context)
    return await asked(context, connection, commands) if connection else None


async def asked(
    context: Context, connection: Connection, commands: list[tuple[str, ...]]
) -> list[Any] | None:
    """Redis' answers, in one round trip; None where it cannot be asked, or refuses: RedisReachable says why."""
    server = connection.server
    if server is None or connection.problem or not commands:
        return None
    context.redactor.add(server.password)
    seconds = context.network_timeout * _PART
    try:
        async with within(seconds), conversation(server, timeout=seconds) as speaking:
            return await speaking.ask_all(commands)
    except (Problem, TimeoutError):
        return None
