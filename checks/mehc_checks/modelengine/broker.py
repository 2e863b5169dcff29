"""Which message broker each part of model engine uses: each decides for itself, and not all by the same values.

Sources: ``api/dependencies.py`` (gateway), ``service_builder/celery.py`` (builder), the chart's endpoint templates and
``celery_forwarder.py`` (forwarder), ``celery_autoscaler.py`` and its StatefulSet (autoscaler) of model engine.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from mehc_checks.modelengine.redis import broker_forced, cloud_provider
from mehc_checks.modelengine.values import Values


class Broker(StrEnum):
    """A kind of broker."""

    SQS = "SQS"
    REDIS = "Redis"
    SERVICE_BUS = "Service Bus"
    NONE = "none"
    """What the component is told is nothing that it knows."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Use:
    """A component and its broker; ``db`` is Redis' database, None elsewhere. ``because`` names the deciding value."""

    component: str
    broker: Broker
    because: str
    db: int | None = None

    def __str__(self) -> str:
        where = f" database {self.db}" if self.db is not None else ""
        return f"{self.component}: {self.broker}{where}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Brokers:
    """Who makes and takes which tasks: those that build endpoints, and those that async endpoints work on.

    ``scales`` is what the autoscaler looks at, None where there is none; ``annotated`` what the builder writes
    into async endpoints for it.
    """

    build_sender: Use
    build_taker: Use
    work_sender: Use
    work_taker: Use
    scales: Use | None
    annotated: Broker


_FORWARDER: Final = {"redis": Broker.REDIS, "sqs": Broker.SQS, "servicebus": Broker.SERVICE_BUS}
_CLOUD: Final = "config.values.infra.cloud_provider"
_FLAG: Final = "celery_broker_type_redis"
_TYPE: Final = "celeryBrokerType"


def brokers(values: Values) -> Brokers:
    """Each component's broker, derived as its own code does."""
    cloud = cloud_provider(values)
    flag = broker_forced(values)
    given = values.text(_TYPE) or ""
    told = _FORWARDER.get(given, Broker.NONE)
    enabled = values.text("celery_autoscaler.enabled") != "false" and not values.text("serviceIdentifier")
    return Brokers(
        build_sender=_gateway("gateway (builds)", cloud, flag, db=0),
        build_taker=_builder(cloud, flag),
        work_sender=_gateway("gateway (async tasks)", cloud, flag, db=3 if cloud == "onprem" else 0),
        work_taker=Use(
            component="forwarders", broker=told, because=_TYPE, db=3 if told is Broker.REDIS else None
        ),
        scales=Use(component="autoscaler", broker=told, because=_TYPE) if enabled else None,
        annotated=Broker.SERVICE_BUS if cloud == "azure" else Broker.SQS,
    )


def _gateway(component: str, cloud: str, flag: bool, *, db: int) -> Use:
    """On-premises first, then Azure, then GCP or the flag."""
    if cloud == "onprem":
        return Use(component=component, broker=Broker.REDIS, because=_CLOUD, db=db)
    if cloud == "azure":
        return Use(component=component, broker=Broker.SERVICE_BUS, because=_CLOUD)
    if cloud == "gcp" or flag:
        return Use(
            component=component, broker=Broker.REDIS, because=_CLOUD if cloud == "gcp" else _FLAG, db=db
        )
    return Use(component=component, broker=Broker.SQS, because=_CLOUD)


def _builder(cloud: str, flag: bool) -> Use:
    """The flag first, then Azure, then GCP; on-premises is not known to it."""
    if flag:
        return Use(component="builder", broker=Broker.REDIS, because=_FLAG, db=0)
    if cloud == "azure":
        return Use(component="builder", broker=Broker.SERVICE_BUS, because=_CLOUD)
    if cloud == "gcp":
        return Use(component="builder", broker=Broker.REDIS, because=_CLOUD, db=0)
    return Use(component="builder", broker=Broker.SQS, because=_FLAG if cloud == "onprem" else _CLOUD)
