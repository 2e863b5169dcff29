"""Which message broker each part of model engine uses: each decides for itself, and not all by the same values.

CELERY_BROKER_URL, which the chart makes of ``celeryBrokerUrl``, goes before all of it in gateway and builder;
forwarders of endpoints do not get it.

Sources: ``api/dependencies.py`` (gateway), ``service_builder/celery.py`` (builder), ``core/celery/app.py`` (its Redis),
the chart's endpoint templates and ``celery_forwarder.py`` (forwarder), ``celery_autoscaler.py`` and its StatefulSet
(autoscaler) of model engine; ``celery/app/utils.py`` of Celery 5 (``Settings.broker_url``).
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from mehc_checks.modelengine import paths, redisurl
from mehc_checks.modelengine.configuration import Configuration
from mehc_checks.modelengine.endpoints import builder_queue
from mehc_checks.modelengine.redis import cloud_provider, given


class Broker(StrEnum):
    """A kind of broker."""

    SQS = "SQS"
    REDIS = "Redis"
    SERVICE_BUS = "Service Bus"
    OTHER = "another broker"
    """Of a URL whose scheme is none of those above; Celery knows more."""
    NONE = "none"
    """The component is told a word that it does not know."""

    @property
    def word(self) -> str:
        """What celeryBrokerType calls it; "" for none."""
        return _CALLED.get(self, "")


@dataclass(frozen=True, kw_only=True, slots=True)
class Use:
    """A component and its broker; ``db`` is Redis' database, None elsewhere. ``because`` says what decides it;
    ``told_by`` is the value that names a URL, "" where no URL does.
    """

    component: str
    broker: Broker
    because: str
    db: int | None = None
    told_by: str = ""

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
_BROKER_URL: Final = "CELERY_BROKER_URL"
_SCHEMES: Final = {
    **dict.fromkeys(("redis", "rediss"), Broker.REDIS),
    "sqs": Broker.SQS,
    "azureservicebus": Broker.SERVICE_BUS,
}
_FAKES: Final = "circleci"
"""The context of the platform's own tests."""
_OF_FAKES: Final = Use(component="gateway (builds)", broker=Broker.REDIS, because=f"context={_FAKES}", db=0)


def brokers(configuration: Configuration) -> Brokers:
    """Each component's broker, derived as its own code does."""
    cloud = cloud_provider(configuration.values)
    flag = configuration.flag(_FLAG)
    word = given(configuration, _TYPE)
    fakes = given(configuration, paths.CONTEXT) == _FAKES
    url, named = broker_url(configuration)
    told = _FORWARDER.get(word, Broker.NONE)
    other = "redis-gcp-memorystore" if cloud == "gcp" else "redis-elasticache"
    found = Brokers(
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
    if not url:
        return found
    return replace(
        found,
        build_sender=_of_url(found.build_sender, url, named),
        build_taker=_of_url(found.build_taker, url, named),
        work_sender=_of_url(found.work_sender, url, named),
    )


def broker_url(configuration: Configuration) -> tuple[str, str]:
    """CELERY_BROKER_URL of gateway and builder, and the value it is from; "" where the values give none. The last
    variable of a name counts, and the chart writes ``extraEnvVars`` last.
    """
    url, named = given(configuration, paths.CELERY_BROKER_URL), paths.CELERY_BROKER_URL
    for path, item in configuration.entries(paths.EXTRA_ENV_VARS):
        if item.get("name") == _BROKER_URL:
            url, named = str(item.get("value") or ""), path
    return url, named


def _of_url(use: Use, url: str, named: str) -> Use:
    """``use``, told by a URL; the database is Redis', 0 where the URL cannot be read."""
    broker = _SCHEMES.get(url.partition(":")[0].lower(), Broker.OTHER)
    db = None
    if broker is Broker.REDIS:
        try:
            db = redisurl.of_celery(url).db
        except ValueError:
            db = 0
    return replace(use, broker=broker, because=f"{named} is set", db=db, told_by=named)


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
