"""The connections to Redis of one installation, with the secrets that they take from the cluster and from AWS."""

import asyncio
from typing import Final

from mehc_checks.clients.kubernetes.api import NoCluster
from mehc_checks.clients.kubernetes.reasons import KubernetesReasons
from mehc_checks.core.errors import CannotEvaluate, Problem
from mehc_checks.installation.cloudsecrets import aws_secret
from mehc_checks.installation.context import Context
from mehc_checks.modelengine.broker import TOKEN_KEY, broker_connection, broker_secret
from mehc_checks.modelengine.redis import Connection, Secrets, cache, cache_secret, keda, keda_secret
from mehc_checks.modelengine.redisreasons import RedisConnectionReasons as R

_SECRET: Final = "redis.authSecretName"  # noqa: S105 - the name of a value


async def connections(context: Context) -> list[Connection]:
    """Those of the cache, the Celery broker and KEDA, as far as each has one to Redis."""
    secrets = await context.gather(redis_secrets)
    return [
        found
        for found in (cache(context.values, secrets), await broker(context), keda(context.values, secrets))
        if found
    ]


async def broker(context: Context) -> Connection | None:
    """The Celery broker's; None where it is not Redis."""
    token = await auth_token(context)
    return broker_connection(context.values, token, await context.gather(redis_secrets))


async def redis_secrets(context: Context) -> Secrets:
    """The secrets of AWS that connections are derived from, all asked at once; by ``Context.gather``."""
    values = context.values
    names = {name for name in (cache_secret(values), broker_secret(values), keda_secret(values)) if name}
    read = await asyncio.gather(*(aws_secret(context, name) for name in names))
    return {secret.name: secret for secret in read}


async def auth_token(context: Context) -> str | Problem:
    """REDIS_AUTH_TOKEN of the pods, "" where the chart sets none, or why it is not known."""
    values = context.values
    name = values.text(_SECRET)
    if not name:
        return values.text("redis.auth") or ""
    if isinstance(context.cluster, NoCluster):
        detail = f"Secret {name} of {_SECRET} was not read: without a cluster there is none"
        return CannotEvaluate(KubernetesReasons.INCOMPLETE_DATA, detail=detail)
    try:
        secret = await context.secret(name)
    except CannotEvaluate as unread:
        return unread
    key = values.text("redis.authSecretKey") or TOKEN_KEY
    if secret is None or key not in secret.data:
        wrong = "does not exist" if secret is None else f"has no key {key}"
        where = context.namespace
        return Problem(R.TOKEN_NOT_FOUND, secret=name, namespace=where, key=key, wrong=wrong)
    return secret.data[key]
