"""The connections to Redis of one installation, with the secrets that they take from the cluster and from AWS, and what
Redis holds of endpoints: one conversation each."""

import asyncio
import re
from collections.abc import Iterable
from typing import Any, Final

from mehc_checks.clients.kubernetes.api import NoCluster
from mehc_checks.clients.kubernetes.reasons import KubernetesReasons
from mehc_checks.clients.redis.conversation import conversation
from mehc_checks.core.errors import CannotEvaluate, Problem
from mehc_checks.installation.cloudsecrets import aws_secret
from mehc_checks.installation.context import Context
from mehc_checks.installation.environment import Environment, gateway_environment
from mehc_checks.installation.reasons import EnvironmentReasons
from mehc_checks.modelengine import paths
from mehc_checks.modelengine.broker import TOKEN_KEY, broker_connection, broker_secret, build_queue
from mehc_checks.modelengine.endpoints import Cached, cache_key, demand_key
from mehc_checks.modelengine.environment import RedisEnvironment
from mehc_checks.modelengine.redis import Connection, Secrets, cache, cache_secret, given, keda, keda_secret
from mehc_checks.modelengine.redisreasons import RedisConnectionReasons as R

_PART: Final = 0.2
"""Part of the time: a Redis that hangs must leave some for the cluster, and for the database."""
_UPTIME: Final = re.compile(r"uptime_in_seconds:(?P<seconds>\d+)")
_TRUE: Final = frozenset({"true", "1", "yes"})
_ABSENT: Final = (EnvironmentReasons.SECRET_NOT_FOUND, EnvironmentReasons.SECRET_KEY_NOT_FOUND)
_SECRET: Final = "redis.authSecretName"  # noqa: S105 - the name of a value


async def connections(context: Context) -> list[Connection]:
    """Those of the cache, the Celery broker and KEDA, as far as each has one to Redis."""
    secrets, environment = await asyncio.gather(
        context.gather(redis_secrets), context.gather(redis_environment)
    )
    return [
        found
        for found in (
            cache(context.configuration, secrets),
            broker_connection(context.configuration, environment, secrets),
            keda(context.configuration, secrets, environment),
        )
        if found
    ]


async def broker(context: Context) -> Connection | None:
    """The Celery broker's; None where it is not Redis."""
    environment = await context.gather(redis_environment)
    return broker_connection(context.configuration, environment, await context.gather(redis_secrets))


async def redis_secrets(context: Context) -> Secrets:
    """The secrets of AWS that connections are derived from, all asked at once; by ``Context.gather``."""
    named = (read(context.configuration) for read in (cache_secret, broker_secret, keda_secret))
    names = {name for name in named if name}
    read = await asyncio.gather(*(aws_secret(context, name) for name in names))
    return {secret.name: secret for secret in read}


async def redis_environment(context: Context) -> RedisEnvironment:
    """What the gateway's environment says of Redis, its variables before the values; by ``Context.gather``."""
    found, configuration = await context.gather(gateway_environment), context.configuration
    host, token = _variable(found, "REDIS_HOST"), _variable(found, "REDIS_AUTH_TOKEN")
    value, port = given(configuration, paths.REDIS_HOST), given(configuration, paths.REDIS_PORT)
    tls = found.known.get("REDIS_ENABLE_TLS")
    return RedisEnvironment(
        host=value if host is None else host,
        port=found.known.get("REDIS_PORT", port),
        source=paths.REDIS_HOST if host in (None, value) else found.source("REDIS_HOST"),
        token=await _chart_token(context) if token is None else token,
        tls=None if tls is None else tls.strip().lower() in _TRUE,
    )


def _variable(environment: Environment, name: str) -> str | Problem | None:
    """The variable, None where it is not set, or why it is not known. Why pods cannot have it is told of the token."""
    error = environment.unread.get(name)
    if error is None:
        return environment.known.get(name)
    if isinstance(error, Problem) and error.reason in _ABSENT:
        words = error.words
        wrong = (
            "does not exist"
            if error.reason is EnvironmentReasons.SECRET_NOT_FOUND
            else f"has no key {words['key']}"
        )
        return Problem(
            R.TOKEN_NOT_FOUND,
            secret=words["secret"],
            namespace=words["namespace"],
            key=words["key"],
            wrong=wrong,
        )
    if isinstance(error, CannotEvaluate) and error.reason is not EnvironmentReasons.VARIABLE_NOT_READ:
        return error
    return CannotEvaluate(
        KubernetesReasons.INCOMPLETE_DATA, detail=f"{name} of the gateway was not read: {error}"
    )


async def _chart_token(context: Context) -> str | Problem:
    """REDIS_AUTH_TOKEN as the chart sets it by the values, "" where it sets none, or why it is not known."""
    configuration = context.configuration
    name = given(configuration, _SECRET)
    if not name:
        return given(configuration, "redis.auth")
    if isinstance(context.cluster, NoCluster):
        detail = f"Secret {name} of {_SECRET} was not read: without a cluster there is none"
        return CannotEvaluate(KubernetesReasons.INCOMPLETE_DATA, detail=detail)
    try:
        secret = await context.secret(name)
    except CannotEvaluate as unread:
        return unread
    key = given(configuration, "redis.authSecretKey") or TOKEN_KEY
    if secret is None or key not in secret.data:
        wrong = "does not exist" if secret is None else f"has no key {key}"
        where = context.namespace
        return Problem(R.TOKEN_NOT_FOUND, secret=name, namespace=where, key=key, wrong=wrong)
    return secret.data[key]


async def cached(context: Context, endpoints: Iterable[str]) -> dict[str, Cached]:
    """By id of ``endpoints``: the age of the cacher's key and the demand. Empty where the cache cannot be asked."""
    connection = cache(context.configuration, await context.gather(redis_secrets))
    identifier = context.values.text("serviceIdentifier") or ""
    wanted = list(endpoints)
    commands: list[tuple[str, ...]] = []
    for endpoint in wanted:
        commands += [("TTL", cache_key(identifier, endpoint)), ("LLEN", demand_key(endpoint))]
    answers = await _asked(context, connection, commands)
    if answers is None:
        return {}
    return {
        endpoint: Cached(ttl=ttl if ttl >= 0 else None, demand=demand)
        for endpoint, ttl, demand in zip(wanted, answers[::2], answers[1::2], strict=True)
    }


async def cache_age(context: Context) -> int | None:
    """Seconds since the cache's Redis was started; None where it does not tell: its user may be denied INFO."""
    connection = cache(context.configuration, await context.gather(redis_secrets))
    answers = await _asked(context, connection, [("INFO", "server")])
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
    return await _asked(context, connection, commands) if connection else None


async def _asked(
    context: Context, connection: Connection, commands: list[tuple[str, ...]]
) -> list[Any] | None:
    """Redis' answers, in one round trip; None where it cannot be asked, or refuses: RedisReachable says why."""
    server = connection.server
    if server is None or connection.problem or not commands:
        return None
    context.redactor.add(server.password)
    seconds = context.network_timeout * _PART
    try:
        async with asyncio.timeout(seconds), conversation(server, timeout=seconds) as asked:
            return await asked.ask_all(commands)
    except (Problem, TimeoutError):
        return None
