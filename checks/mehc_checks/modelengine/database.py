"""Where model engine finds its database, and how many connections it may open.

Source: model engine's ``db/base.py`` and the chart's environment of the gateway.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from urllib.parse import parse_qsl, unquote

from mehc_checks.clients.postgres.server import Server
from mehc_checks.core.errors import UsageError
from mehc_checks.modelengine.configuration import Configuration
from mehc_checks.modelengine.values import Values

SECRET_KEY = "database_url"  # noqa: S105
"""The key of the Kubernetes Secret that the gateway's environment is filled from."""
DOCUMENTED_KEY = "DATABASE_URL"
"""The key that the values reference names, and that nothing reads."""

_GUNICORN_WORKERS = 4
_ASYNC_POOLS = 2
"""The API's engines that pool: read-write and read-only."""
_DEFAULT_POOL, _DEFAULT_OVERFLOW, _DEFAULT_REPLICAS = 10, 10, 2
_DEFAULT_PORT = 5432


class SourceKind(StrEnum):
    """Where the gateway reads the address of its database from."""

    KUBERNETES_SECRET = "Kubernetes Secret"  # noqa: S105
    CLOUD_SECRET = "cloud secret"  # noqa: S105
    ENVIRONMENT = "environment"


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """The source that wins. ``name`` is the Secret's; ``shadowed`` a second one that is set and ignored.

    ``store`` is what of the cloud holds its secret: "Azure Key Vault my-vault".
    """

    kind: SourceKind
    name: str
    shadowed: str = ""
    store: str = ""

    def __str__(self) -> str:
        if self.kind is SourceKind.KUBERNETES_SECRET:
            return f"{SECRET_KEY} of Secret {self.name}"
        return f"secret {self.name} of {self.store}" if self.store else f"{self.name} in extraEnvVars"


def source(values: Values) -> Source:
    """Which source the gateway uses: the Kubernetes Secret, else by cloud provider the environment or its secret."""
    kubernetes = values.text("secrets.kubernetesDatabaseSecretName") or ""
    cloud = values.text("secrets.cloudDatabaseSecretName") or ""
    if kubernetes:
        return Source(kind=SourceKind.KUBERNETES_SECRET, name=kubernetes, shadowed=cloud)
    provider = values.text("config.values.infra.cloud_provider")
    if provider == "onprem" or (provider == "gcp" and not cloud):
        return Source(kind=SourceKind.ENVIRONMENT, name="DB_HOST")
    store = "AWS Secrets Manager"
    if provider == "azure":
        store = f"Azure Key Vault {values.text('azure.keyvault_name') or ''}".strip()
    elif provider == "gcp":
        store = "GCP Secret Manager"
    if cloud:
        return Source(kind=SourceKind.CLOUD_SECRET, name=cloud, store=store)
    context = values.text("context") or "<context>"
    stage = "prod" if context == "training" else context
    name = f"{stage}-ml-infra-pg" if provider == "azure" else f"{stage}/ml_infra_pg"
    return Source(kind=SourceKind.CLOUD_SECRET, name=name, store=store)


_URL = re.compile(
    r"(?P<scheme>[\w+]+)://"
    r"(?:(?P<user>[^:/@]*)(?::(?P<password>[^@]*))?@)?"
    r"(?:\[(?P<ipv6>[^\]/?]+)\]|(?P<host>[^/:?]*))?"
    r"(?::(?P<port>[^/?]*))?"
    r"(?:/(?P<database>[^?]*))?"
    r"(?:\?(?P<query>.*))?"
)


def parse(url: str) -> Server:
    """Read a database URL as SQLAlchemy does. Raises ValueError saying what is wrong, without the URL."""
    match = _URL.fullmatch(url)
    if match is None:
        raise ValueError("it has not the form postgresql://user:password@host:port/database")
    scheme = match["scheme"].partition("+")[0]
    if scheme != "postgresql":
        hint = "; SQLAlchemy does not know postgres://" if scheme == "postgres" else ""
        raise ValueError(f"its scheme is {scheme}, not postgresql{hint}")
    host = match["ipv6"] or match["host"] or ""
    if not host:
        raise ValueError("it names no host")
    if "@" in host or "@" in (match["database"] or ""):
        # What stands before it may be a part of the password: nothing of it may be shown as a host or database.
        raise ValueError("its user or password holds an @ or / that is not percent-encoded")
    port = match["port"] or str(_DEFAULT_PORT)
    if not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError(
            "its port is not a number from 1 to 65535 (a password with / or @ must be percent-encoded)"
        )
    user = unquote(match["user"] or "")
    return Server(
        host=host,
        port=int(port),
        database=match["database"] or user,
        user=user,
        password=unquote(match["password"] or ""),
        options=dict(parse_qsl(match["query"] or "")),
    )


def from_environment(values: Values) -> Server | None:
    """The address that an on-premises gateway reads from ``extraEnvVars``; None where DB_HOST is not set there.

    Raises UsageError where DB_PORT is no number.

    DB_HOST_RO is preferred even for writes. Values that come from other sources (``valueFrom``) are not seen.
    """
    listed = values.get("extraEnvVars")
    environment = {
        str(item.get("name")): str(item["value"])
        for item in (listed if isinstance(listed, list) else [])
        if isinstance(item, Mapping) and item.get("value") is not None
    }
    host = environment.get("DB_HOST_RO") or environment.get("DB_HOST")
    if not host:
        return None
    port = environment.get("DB_PORT") or str(_DEFAULT_PORT)
    if not port.isdecimal():
        raise UsageError("extraEnvVars: DB_PORT is not a number")
    return Server(
        host=host,
        port=int(port),
        database=environment.get("DB_NAME") or "llm_engine",
        user=environment.get("DB_USER") or "postgres",
        password=environment.get("DB_PASSWORD") or "postgres",
    )


CLOUD_FIELDS: Final = ("username", "password", "clusterHost", "port", "dbname")
"""What the platform takes from AWS' secret; of a missing one it makes None, in the URL too. Source: ``db/base.py``."""


def from_cloud(fields: Mapping[str, str]) -> Server:
    """The address in a secret that has all ``CLOUD_FIELDS``. Raises ValueError where the port is no number."""
    port = fields["port"]
    if not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError("its port is not a number from 1 to 65535")
    return Server(
        host=fields["clusterHost"],
        port=int(port),
        database=fields["dbname"],
        user=fields["username"],
        password=fields["password"],
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Pools:
    """What the gateway's connection pools can add up to."""

    replicas: int
    pool_size: int
    max_overflow: int

    @property
    def ceiling(self) -> int:
        """Connections that the gateway can hold open at once."""
        return self.replicas * _GUNICORN_WORKERS * _ASYNC_POOLS * (self.pool_size + self.max_overflow)

    def __str__(self) -> str:
        return (
            f"{self.replicas} replicas × {_GUNICORN_WORKERS} workers × {_ASYNC_POOLS} pools × "
            f"({self.pool_size} + {self.max_overflow})"
        )


def pools(values: Values) -> Pools:
    """The pools by the effective values; under the autoscaler, at its most replicas."""
    scaled = Configuration(values).flag("autoscaling.horizontal.enabled")
    replicas = "autoscaling.horizontal.maxReplicas" if scaled else "replicaCount.gateway"
    return Pools(
        replicas=_number(values, replicas, _DEFAULT_REPLICAS),
        pool_size=_number(values, "config.values.infra.db_engine_pool_size", _DEFAULT_POOL),
        max_overflow=_number(values, "config.values.infra.db_engine_max_overflow", _DEFAULT_OVERFLOW),
    )


def _number(values: Values, path: str, default: int) -> int:
    text = values.text(path)
    return int(text) if text and text.isdecimal() else default
