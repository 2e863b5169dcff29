"""Which message broker each part of model engine uses: each decides for itself, and not all by the same values.

Sources: ``api/dependencies.py`` (gateway), ``service_builder/celery.py`` (builder), ``core/celery/app.py`` (its Redis),
the chart's endpoint templates and ``celery_forwarder.py`` (forwarder), ``celery_autoscaler.py`` and its StatefulSet
(autoscaler) of model engine.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final
from urllib.parse import quote

from mehc_checks.core.errors import CannotEvaluate, Problem
from mehc_checks.modelengine import paths, redisurl
from mehc_checks.modelengine.configuration import Configuration
from mehc_checks.modelengine.endpoints import builder_queue
from mehc_checks.modelengine.environment import RedisEnvironment
from mehc_checks.modelengine.redis import Connection, Path, Secrets, cloud_provider, given
from mehc_checks.modelengine.redisreasons import RedisConnectionReasons as R
from mehc_checks.modelengine.secrets import CloudSecret

BROKER_SECRET: Final = paths.REDIS_AWS_SECRET_NAME
"""Names a secret with the fields host, port, and optionally scheme, auth_token and query_params; read on AWS only."""


class Broker(StrEnum):
    """A kind of broker."""

    SQS = "SQS"
    REDIS = "Redis"
    SERVICE_BUS = "Service Bus"
    NONE = "none"
    """The component is told a word that it does not know."""

    @property
    def word(self) -> str:
        """What celeryBrokerType calls it; "" for none."""
        return _CALLED.get(self, "")


@dataclass(frozen=True, kw_only=True, slots=True)
class Use:
    """A component and its broker; ``db`` is Redis' database, None elsewhere. ``because`` says what decides it."""

    component: str
    broker: Broker
    because: str
    db: int | None = None

    def __str__(self) -> str:
        return f"{self.broker} db {self.db}" if self.db is not None else str(self.broker)


@dataclass(frozen=True, kw_only=True, slots=True)
class Brokers:
    """Who sends and who consumes: build tasks, and the tasks of async endpoints.

    ``scales`` is the broker name whose endpoints the autoscaler acts on, "" without an autoscaler; ``annotated`` what
    the builder writes into async endpoints for it.
    """

    build_sender: Use
    build_taker: Use
    work_sender: Use
    work_taker: Use
    scales: str
    annotated: str


_CALLED: Final = {Broker.REDIS: "redis", Broker.SQS: "sqs", Broker.SERVICE_BUS: "servicebus"}
_FORWARDER: Final = {word: broker for broker, word in _CALLED.items()}
_ANNOTATED: Final = {"sqs": "sqs-message-broker-master", "servicebus": "servicebus-message-broker-master"}
_FLAG: Final = paths.CELERY_BROKER_TYPE_REDIS
_TYPE: Final = paths.CELERY_BROKER_TYPE
_FAKES: Final = "circleci"
"""The context of the platform's own tests."""
_OF_FAKES: Final = Use(component="gateway (builds)", broker=Broker.REDIS, because=f"context={_FAKES}", db=0)


def brokers(configuration: Configuration) -> Brokers:
    """Each component's broker, derived as its own code does."""
    cloud = cloud_provider(configuration.values)
    flag = configuration.flag(_FLAG)
    word = given(configuration, _TYPE)
    fakes = given(configuration, paths.CONTEXT) == _FAKES
    told = _FORWARDER.get(word, Broker.NONE)
    other = "redis-gcp-memorystore" if cloud == "gcp" else "redis-elasticache"
    return Brokers(
        build_sender=_OF_FAKES if fakes else _gateway("gateway (builds)", cloud, flag, db=0),
        build_taker=replace(_OF_FAKES, component="builder") if fakes else _builder(cloud, flag),
        work_sender=replace(_OF_FAKES, component="gateway (async tasks)", db=3)
        if fakes
        else _gateway("gateway (async tasks)", cloud, flag, db=3 if cloud == "onprem" else 0),
        work_taker=Use(
            component="forwarders",
            broker=told,
            because=f"{_TYPE}={word}" if word else f"{_TYPE} is unset",
            db=3 if told is Broker.REDIS else None,
        ),
        scales=_ANNOTATED.get(word, f"{other}-message-broker-master")
        if configuration.has_celery_autoscaler
        else "",
        annotated=_ANNOTATED["servicebus" if cloud == "azure" else "sqs"],
    )


def _gateway(component: str, cloud: str, flag: bool, *, db: int) -> Use:
    """On-premises first, then Azure, then GCP or the flag."""
    because = f"cloud_provider={cloud}"
    if cloud == "onprem" or cloud == "gcp":
        return Use(component=component, broker=Broker.REDIS, because=because, db=db)
    if cloud == "azure":
        return Use(component=component, broker=Broker.SERVICE_BUS, because=because)
    if flag:
        return Use(component=component, broker=Broker.REDIS, because=f"{_FLAG} is on", db=db)
    return Use(component=component, broker=Broker.SQS, because=because)


def _builder(cloud: str, flag: bool) -> Use:
    """The flag first, then Azure, then GCP; on-premises is not known to it."""
    because = f"cloud_provider={cloud}"
    if flag:
        return Use(component="builder", broker=Broker.REDIS, because=f"{_FLAG} is on", db=0)
    if cloud == "azure":
        return Use(component="builder", broker=Broker.SERVICE_BUS, because=because)
    if cloud == "gcp":
        return Use(component="builder", broker=Broker.REDIS, because=because, db=0)
    return Use(
        component="builder",
        broker=Broker.SQS,
        because=f"{_FLAG} is off" if cloud == "onprem" else because,
    )


def build_queue(configuration: Configuration) -> str:
    """The queue that build tasks wait in."""
    identifier = given(configuration, paths.SERVICE_IDENTIFIER)
    return builder_queue(identifier, given(configuration, paths.SERVICE_BUILDER_QUEUE))


def broker_is_redis(configuration: Configuration) -> bool:
    """Whether the gateway or the builder uses Redis as the Celery broker."""
    found = brokers(configuration)
    return Broker.REDIS in (found.build_sender.broker, found.build_taker.broker)


def broker_secret(configuration: Configuration) -> str | None:
    """The secret of AWS with the broker's address; None where there is none. On AWS it is read whatever the broker."""
    if cloud_provider(configuration.values) != "aws" or configuration.read(BROKER_SECRET) is None:
        return None
    return given(configuration, BROKER_SECRET)


def broker_connection(
    configuration: Configuration, environment: RedisEnvironment, secrets: Secrets
) -> Connection | None:
    """The Celery broker; None where it is not Redis, and nothing is wrong with what the platform reads for it.

    On AWS a secret goes before all else. Elsewhere REDIS_ENABLE_TLS decides, where it is set; else a token switches TLS
    on, without verification, and without one the connection is plain.
    """
    used = broker_is_redis(configuration)
    name = broker_secret(configuration)
    if name is not None:
        connection = _of_secret(secrets[name] if name else _NO_SECRET)
        return connection if used or connection.server is None else None
    if isinstance(environment.token, Problem):
        problem = environment.token
        if isinstance(problem, CannotEvaluate) and not used:
            return None
        return Connection(path=Path.BROKER, source="redis.authSecretName", problem=problem, words=_WORDS)
    return _of_environment(configuration, environment, environment.token) if used else None


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
