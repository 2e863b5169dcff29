"""The Celery broker's connection, where it is Redis.

Sources: ``core/celery/app.py`` of model engine; ``celery/app/utils.py`` of Celery 5 (``Settings.broker_url``).
"""

from dataclasses import replace
from typing import Final
from urllib.parse import quote

from mehc_checks.core.errors import CannotEvaluate, Problem
from mehc_checks.modelengine import paths, redisurl
from mehc_checks.modelengine.broker import broker_is_redis, broker_url
from mehc_checks.modelengine.configuration import Configuration
from mehc_checks.modelengine.environment import RedisEnvironment
from mehc_checks.modelengine.redis import Connection, Path, Secrets, cloud_provider, given
from mehc_checks.modelengine.redisreasons import RedisConnectionReasons as R
from mehc_checks.modelengine.secrets import CloudSecret

BROKER_SECRET: Final = paths.REDIS_AWS_SECRET_NAME
"""Names a secret with the fields host, port, and optionally scheme, auth_token and query_params; read on AWS only."""
CONSEQUENCE: Final = ", so the builder (Celery) cannot run"
"""Of what the broker's user is denied."""
_TLS_APART: Final = {
    "enable_tls": "Set redis.enableTLS: true.",
    "disable_tls": "Set redis.enableTLS: false, or enable TLS on the server.",
}
"""Where TLS is configured apart from authentication."""
_NO_SECRET: Final = CloudSecret(name='""', trouble="cannot be read: redis_aws_secret_name is an empty string")
_WORDS: Final = {
    "concerning": "broker: ",
    "consequence": CONSEQUENCE,
    "credentials": "the Secret of redis.authSecretName",
    "enable_tls": "Set redis.authSecretName: with a token, the broker's client uses TLS.",
    "disable_tls": "Remove redis.auth and redis.authSecretName, which force TLS up to chart 0.2.7, or enable TLS "
    "on the server.",
    "add_credentials": "Set redis.authSecretName to a Secret with the password in its key auth_token.",
}


def broker_secret(configuration: Configuration) -> str | None:
    """The secret of AWS with the broker's address; None where there is none. On AWS it is read whatever the broker."""
    if cloud_provider(configuration.values) != "aws" or configuration.read(BROKER_SECRET) is None:
        return None
    return given(configuration, BROKER_SECRET)


def broker_connection(
    configuration: Configuration, environment: RedisEnvironment, secrets: Secrets
) -> Connection | None:
    """The Celery broker; None where it is not Redis, and nothing is wrong with what the platform reads for it.

    On AWS a secret is read before all else, used or not. CELERY_BROKER_URL then decides, where it is set, else the
    secret. Elsewhere REDIS_ENABLE_TLS decides, where it is set; else a token switches TLS
    on, without verification, and without one the connection is plain.
    """
    used = broker_is_redis(configuration)
    url, named = broker_url(configuration)
    name = broker_secret(configuration)
    if name is not None:
        connection = _of_secret(secrets[name] if name else _NO_SECRET)
        if connection.server is None or not url:
            return connection if used or connection.server is None else None
    if url:
        return _of_url(url, named) if used else None
    if isinstance(environment.token, Problem):
        problem = environment.token
        if isinstance(problem, CannotEvaluate) and not used:
            return None
        return Connection(path=Path.BROKER, source="redis.authSecretName", problem=problem, words=_WORDS)
    return _of_environment(configuration, environment, environment.token) if used else None


def _of_url(url: str, named: str) -> Connection:
    words = {
        "concerning": "broker: ",
        "consequence": CONSEQUENCE,
        "source": named,
        "credentials": named,
        "enable_tls": f"Write rediss:// as the scheme of {named}.",
        "disable_tls": f"Write redis:// as the scheme of {named}, without ssl_ parameters, or enable TLS on the "
        "server.",
        "add_credentials": f"Add the password to {named}: redis://:PASSWORD@HOST:PORT/0.",
    }
    connection = Connection(path=Path.BROKER, source=named, words=words)
    try:
        return replace(connection, server=redisurl.of_celery(url))
    except ValueError as error:
        form = "redis://:PASSWORD@HOST:PORT/0, the password percent-encoded"
        return replace(connection, problem=Problem(R.URL_INVALID, source=named, detail=str(error), form=form))


def _of_environment(configuration: Configuration, environment: RedisEnvironment, token: str) -> Connection:
    """REDIS_HOST with its port, else the host of the infra configuration."""
    source = environment.source if environment.host else paths.REDIS_HOST_OF_INFRA
    words = {**_WORDS, **(_TLS_APART if environment.of_newer_platform else {}), "source": source}
    connection = Connection(path=Path.BROKER, source=source, words=words)
    if isinstance(environment.host, Problem):
        return replace(connection, problem=environment.host)
    host = environment.host or given(configuration, source)
    if not host:
        missing = Problem(R.NO_SOURCE, cloud=cloud_provider(configuration.values) or '""', wanted=source)
        return replace(connection, problem=missing)
    port = environment.port if environment.host else ""
    location = f"{host}:{port or redisurl.DEFAULT_PORT}/0"
    login = f":{quote(token, safe='') if environment.of_newer_platform else token}@" if token else ""
    tls = bool(token) if environment.tls is None else environment.tls
    url = f"rediss://{login}{location}?ssl_cert_reqs=none" if tls else f"redis://{login}{location}"
    try:
        return replace(connection, server=redisurl.of_celery(url))
    except ValueError:
        return replace(connection, problem=_unreadable(configuration, source, location))


def _unreadable(configuration: Configuration, source: str, location: str) -> Problem:
    """Which of the values that the URL is strung together from makes it unreadable."""
    try:
        redisurl.of_celery(f"redis://{location}")
    except ValueError:
        port_too = source == paths.REDIS_HOST and bool(given(configuration, paths.REDIS_PORT))
        named = f"{source} with redisPort" if port_too else source
        return Problem(
            R.URL_INVALID,
            source=named,
            detail="host and port do not give a URL that Celery can read",
            form="a host name alone in the one, a number in the other"
            if port_too
            else "a host name without a port",
        )
    token = "redis.authSecretName" if given(configuration, "redis.authSecretName") else "redis.auth"
    return Problem(
        R.URL_INVALID,
        source=f"the broker URL made from {token}",
        detail="the token has characters that end a URL's password (/ # ?)",
        form="percent-encode them in the token, or use a token without them",
    )


def _of_secret(secret: CloudSecret) -> Connection:
    """The platform strings the fields together as they are, so the scheme must bring its own ``://``."""
    named = f"secret {secret.name}"
    form = (
        "a JSON object with host, port and where needed scheme (redis:// or rediss://), auth_token (percent-encoded) "
        "and query_params (?ssl_cert_reqs=none)"
    )
    setting = "redis_aws_secret_name"
    connection = Connection(
        path=Path.BROKER,
        source=BROKER_SECRET,
        problem=secret.problem("host", "port", concerning="broker: ", form=form, setting=setting),
        words={
            "concerning": "broker: ",
            "consequence": CONSEQUENCE,
            "source": named,
            "credentials": named,
            "enable_tls": f"Write rediss:// as the scheme of {named}.",
            "disable_tls": f"Write redis:// as the scheme of {named}, without ssl_ in its query_params; or enable TLS "
            "on the server.",
            "add_credentials": f"Add auth_token to {named}.",
        },
    )
    if connection.problem:
        return connection
    fields = {**(secret.fields or {}), **dict.fromkeys(secret.nulls - {"auth_token"}, "None")}
    scheme, query = fields.get("scheme", "redis://"), fields.get("query_params", "")
    login = f":{fields['auth_token']}@" if "auth_token" in fields else ""
    try:
        server = redisurl.of_celery(f"{scheme}{login}{fields['host']}:{fields['port']}/0{query}")
    except ValueError as error:
        unusable = secret.unusable(f"does not give a valid URL: {error}", form=form, setting=setting)
        return replace(connection, problem=unusable)
    return replace(connection, server=server)
