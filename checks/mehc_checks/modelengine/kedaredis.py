"""KEDA's connection to the demand lists of endpoints: its address is cut out of the cache's URL.

Source: the chart's endpoint templates and TriggerAuthentication, ``common/config.py`` of model engine.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from mehc_checks.clients.redis.reasons import RedisServerReasons
from mehc_checks.clients.redis.server import Server
from mehc_checks.core.errors import Problem
from mehc_checks.modelengine import paths, redisurl
from mehc_checks.modelengine.configuration import Configuration
from mehc_checks.modelengine.environment import RedisEnvironment
from mehc_checks.modelengine.redis import (
    Connection,
    Path,
    Secrets,
    cache_address,
    cloud_provider,
    given,
    named_source,
)
from mehc_checks.modelengine.redisreasons import RedisConnectionReasons as R

KEDA_AUTHENTICATION: Final = "keda-trigger-auth-redis-secret"
_KEDA_SECRET: Final = paths.KEDA_SECRET_NAME


def keda_secret(configuration: Configuration) -> str:
    """The secret of AWS that holds KEDA's password, "" where KEDA is given none."""
    if not configuration.flag(paths.REDIS_ENABLE_AUTH) or cloud_provider(configuration.values) != "aws":
        return ""
    return given(configuration, _KEDA_SECRET)


def keda(configuration: Configuration, secrets: Secrets, environment: RedisEnvironment) -> Connection | None:
    """KEDA's connection to the demand lists; None on Azure, and where the cache's own URL is not known.

    On Azure the chart's ScaledObjects have a Service Bus trigger and none for Redis. Elsewhere KEDA is given an address
    and a database cut out of the cache URL, applies enableTLS, enableAuth and unsafeSsl, and nothing else of the URL;
    platforms newer than chart 0.2.7 leave credentials out of the address.
    """
    if cloud_provider(configuration.values) == "azure":
        return None
    source, url, problem = cache_address(configuration, secrets, environment)
    if problem:
        return None
    named = named_source(configuration, source)
    connection = Connection(path=Path.KEDA, source=source, words=_keda_words(configuration, named))
    address = redisurl.keda_address(url)
    if environment.of_newer_platform:
        address = address.rpartition("@")[2]
    try:
        host, port = redisurl.host_and_port(address)
    except ValueError:
        shown = redisurl.without_credentials(address, url)
        return replace(connection, problem=Problem(R.KEDA_ADDRESS_INVALID, shown=shown, source=named))
    server = Server(
        host=host,
        port=port,
        db=max(0, redisurl.keda_database(url)),  # below 0, KEDA selects none
        tls=configuration.flag(paths.REDIS_ENABLE_TLS),
        verify=not configuration.flag(paths.REDIS_UNSAFE_SSL),
    )
    connection = replace(connection, server=server)
    if environment.of_newer_platform and not keda_secret(configuration):
        waits = Problem(R.KEDA_LOGIN_NOT_EVALUATED, address=f"{host}:{port}")
        return replace(connection, means={RedisServerReasons.AUTH_REQUIRED: waits})
    return _authenticated(connection, server, configuration, secrets)


def _keda_words(configuration: Configuration, source: str) -> Mapping[str, str]:
    add = "Set redis.enableAuth: true and redis.kedaSecretName."
    if cloud_provider(configuration.values) != "aws":
        add = (
            "KEDA has a password on AWS only. Give it access without one: ACL SETUSER default on nopass resetkeys "
            "~launch-endpoint-autoscaling:* resetchannels -@all +@connection +select +llen +eval"
        )
    return {
        "concerning": "keda: ",
        "source": source,
        "credentials": f"secret {given(configuration, _KEDA_SECRET)} of AWS Secrets Manager",
        "enable_tls": "Set redis.enableTLS: true.",
        "disable_tls": "Set redis.enableTLS: false, or enable TLS on the server.",
        "add_credentials": add,
        "trust": "Use a certificate of a public authority, or add the authority to KEDA's trust store.",
    }


def _authenticated(
    connection: Connection, server: Server, configuration: Configuration, secrets: Secrets
) -> Connection:
    """``connection`` with KEDA's password, or with what bars KEDA from one.

    The whole text of the secret is the password, because the chart's TriggerAuthentication names no ``secretKey``. KEDA
    strips blanks around it, logs in as user default (go-redis says HELLO), and where it cannot have the text continues
    without a password. Source: ``pkg/scaling/resolver`` and ``typed_config.go`` of KEDA.
    """
    if not configuration.flag(paths.REDIS_ENABLE_AUTH):
        return connection
    cloud, name = cloud_provider(configuration.values), keda_secret(configuration)
    if cloud != "aws":
        missing = Problem(R.KEDA_AUTH_UNAVAILABLE, authentication=KEDA_AUTHENTICATION, cloud=cloud)
        return replace(connection, server=None, problem=missing)
    if not name:
        return replace(connection, server=None, problem=Problem(R.KEDA_SECRET_UNNAMED))
    secret = secrets[name]
    form, setting = "the bare password, not JSON", _KEDA_SECRET
    connection = replace(connection, password_secret=name)
    if secret.failure:
        unread = secret.problem(concerning="keda: ", form=form, setting=setting)
        return replace(connection, problem=unread, login=False)
    password, address = (secret.text or "").strip(), f"{server.host}:{server.port}"
    if not password:
        wrong = secret.trouble if secret.text is None else "is blank"
        return replace(
            connection,
            problem=Problem(R.KEDA_WITHOUT_PASSWORD, secret=name, wrong=wrong, address=address),
            means={RedisServerReasons.AUTH_REQUIRED: secret.unusable(wrong, form=form, setting=setting)},
        )
    means = {}
    if secret.fields is not None:
        means[RedisServerReasons.AUTH_REJECTED] = Problem(R.KEDA_SECRET_IS_JSON, address=address, secret=name)
    server = replace(server, username="default", password=password)
    return replace(connection, server=server, means=means)


def without_password(connection: Connection, problem: Problem) -> Connection:
    """``connection``, its server to be reached and not to be sent the password, for ``problem``."""
    bare = replace(connection.server, username="", password="") if connection.server else None
    return replace(connection, server=bare, problem=problem, login=False)
