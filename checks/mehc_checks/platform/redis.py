"""Which Redis each part of model engine uses, and how.

Three ways lead to Redis: the cache URL (gateway, cacher, builder), the Celery broker, and KEDA, which derives
its own address from the cache URL. Source: model engine's ``common/config.py``, ``core/celery/app.py`` and
the chart's endpoint templates.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, cast
from urllib.parse import urlsplit

from redis.asyncio.connection import parse_url

from mehc_checks.values import Values

INFRA = "config.values.infra"
LAUNCH = "config.values.launch"
KEDA_AUTHENTICATION = "keda-trigger-auth-redis-secret"
_DEFAULT_PORT = 6379


class Path(StrEnum):
    """A way to Redis."""

    CACHE = "cache"
    BROKER = "broker"
    KEDA = "keda"


class Trouble(StrEnum):
    """What is wrong with a way before anything is asked, or what bars it from being asked."""

    NO_SOURCE = "no source"
    WRONG_CLOUD = "wrong cloud"
    UNPARSABLE = "unparsable"
    CLOUD_SECRET = "cloud secret"  # noqa: S105
    AZURE_TOKEN = "azure token"  # noqa: S105
    KEDA_ADDRESS = "keda address"
    KEDA_AUTH_ELSEWHERE = "keda auth elsewhere"
    KEDA_SECRET_UNNAMED = "keda secret unnamed"  # noqa: S105
    KEDA_SECRET = "keda secret"  # noqa: S105


@dataclass(frozen=True, kw_only=True, slots=True)
class Server:
    """Where and how a way's client connects. ``verify`` is whether it checks the certificate."""

    host: str
    port: int
    db: int = 0
    username: str = ""
    password: str = field(default="", repr=False)
    tls: bool = False
    verify: bool = True

    def __str__(self) -> str:
        return f"{'rediss' if self.tls else 'redis'}://{self.host}:{self.port}/{self.db}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Way:
    """One way as the platform derives it: a server to ask, a trouble, or both. ``source`` is the value it is from."""

    path: Path
    source: str
    server: Server | None = None
    trouble: Trouble | None = None
    detail: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class _CacheUrl:
    url: str
    source: str
    trouble: Trouble | None = None


_CACHE_SOURCES = (
    f"{LAUNCH}.cache_redis_onprem_url",
    f"{LAUNCH}.cache_redis_gcp_url",
    f"{LAUNCH}.cache_redis_aws_url",
    f"{LAUNCH}.cache_redis_aws_secret_name",
    f"{LAUNCH}.cache_redis_azure_host",
)


def cache_sources(values: Values) -> list[str]:
    """The paths of all cache sources that are set."""
    return [path for path in _CACHE_SOURCES if values.text(path)]


def cloud_provider(values: Values) -> str:
    """The cloud provider that the platform acts by; AWS where none is set."""
    return values.text(f"{INFRA}.cloud_provider") or "aws"


def _cache_url(values: Values) -> _CacheUrl:
    """The URL that the cache is opened with, by the platform's order of precedence."""
    cloud = cloud_provider(values)
    onprem, gcp, aws, secret, azure = (values.text(path) or "" for path in _CACHE_SOURCES)
    onprem_path, gcp_path, aws_path, secret_path, azure_path = _CACHE_SOURCES
    if onprem:
        return _CacheUrl(url=onprem, source=onprem_path)
    if cloud == "onprem":
        if aws:
            return _CacheUrl(url=aws, source=aws_path)
        host = values.text("redisHost")
        return _CacheUrl(url=f"redis://{host or 'redis'}:{_DEFAULT_PORT}/0", source="redisHost")
    if cloud == "gcp":
        return _CacheUrl(url=gcp, source=gcp_path, trouble=None if gcp else Trouble.NO_SOURCE)
    asserts_aws = None if cloud == "aws" else Trouble.WRONG_CLOUD
    if aws:
        return _CacheUrl(url=aws, source=aws_path, trouble=asserts_aws)
    if secret:
        return _CacheUrl(url="", source=secret_path, trouble=asserts_aws or Trouble.CLOUD_SECRET)
    if azure:
        return _CacheUrl(url=f"rediss://{azure}", source=azure_path, trouble=Trouble.AZURE_TOKEN)
    return _CacheUrl(url="", source="", trouble=Trouble.NO_SOURCE)


def cache(values: Values) -> Way:
    """The cache, as redis-py opens its URL."""
    found = _cache_url(values)
    if not found.url or found.trouble is Trouble.WRONG_CLOUD:
        return Way(path=Path.CACHE, source=found.source, trouble=found.trouble)
    try:
        server = _server(found.url)
    except ValueError as error:
        return Way(path=Path.CACHE, source=found.source, trouble=Trouble.UNPARSABLE, detail=str(error))
    return Way(path=Path.CACHE, source=found.source, server=server, trouble=found.trouble)


def _server(url: str) -> Server:
    """Read a Redis URL as redis-py does. Raises ValueError without the URL."""
    try:
        options = cast("dict[str, Any]", parse_url(url))
    except ValueError:
        raise ValueError("it has not the form redis://host:port/db or rediss://…") from None
    if "host" not in options:
        raise ValueError("it names no host")
    return Server(
        host=options["host"],
        port=options.get("port", _DEFAULT_PORT),
        db=options.get("db", 0),
        username=options.get("username") or "",
        password=options.get("password") or "",
        tls=urlsplit(url).scheme == "rediss",
        verify=options.get("ssl_cert_reqs", "required") not in ("none", "CERT_NONE"),
    )


def broker_is_redis(values: Values) -> bool:
    """Whether the gateway or the builder uses Redis as the Celery broker."""
    cloud = cloud_provider(values)
    forced = values.flag("celery_broker_type_redis")
    gateway = cloud == "onprem" or (cloud != "azure" and (cloud == "gcp" or forced))
    builder = forced or cloud == "gcp"
    return gateway or builder


def broker(values: Values, token: str) -> Way | None:
    """The Celery broker; None where it is not Redis. ``token`` is REDIS_AUTH_TOKEN, "" where unset.

    A token switches TLS on, without verification; without one the connection is plain.
    """
    if not broker_is_redis(values):
        return None
    secret = f"{INFRA}.redis_aws_secret_name"
    if cloud_provider(values) == "aws" and values.text(secret):
        return Way(path=Path.BROKER, source=secret, trouble=Trouble.CLOUD_SECRET)
    source = "redisHost" if values.text("redisHost") else f"{INFRA}.redis_host"
    host = values.text(source)
    if not host:
        return Way(path=Path.BROKER, source=source, trouble=Trouble.NO_SOURCE)
    port = (values.text("redisPort") if source == "redisHost" else None) or str(_DEFAULT_PORT)
    if not port.isdecimal():
        detail = "the port is no number"
        return Way(path=Path.BROKER, source="redisPort", trouble=Trouble.UNPARSABLE, detail=detail)
    server = Server(host=host, port=int(port), password=token, tls=bool(token), verify=False)
    return Way(path=Path.BROKER, source=source, server=server)


def keda(values: Values) -> Way | None:
    """KEDA's way to the demand lists; None where the cache's own source is missing, which says it all.

    The platform cuts host and port out of the cache URL: of ``rediss`` URLs it strips credentials, of ``redis``
    URLs it does not, so KEDA dials ``:password@host:port``. The database is the number after the last
    slash, else 0. KEDA applies enableTLS, enableAuth and unsafeSsl and nothing of the URL.
    """
    found = _cache_url(values)
    if not found.url or found.trouble is Trouble.WRONG_CLOUD:
        return None
    scheme, _, rest = found.url.partition("://")
    location = rest.split("/")[0]
    if scheme == "rediss":
        location = location.rpartition("@")[2]
    last = found.url.rsplit("/", 1)[-1]
    host, colon, port = location.rpartition(":")
    if not colon or not port.isdecimal() or not host or "@" in location:
        shown = f"<credentials>@{location.rpartition('@')[2]}" if "@" in location else location
        return Way(path=Path.KEDA, source=found.source, trouble=Trouble.KEDA_ADDRESS, detail=shown)
    server = Server(
        host=host.strip("[]"),
        port=int(port),
        db=int(last) if last.isdecimal() else 0,
        tls=values.flag("redis.enableTLS"),
        verify=not values.flag("redis.unsafeSsl"),
    )
    return Way(path=Path.KEDA, source=found.source, server=server, trouble=_keda_auth(values))


def _keda_auth(values: Values) -> Trouble | None:
    if not values.flag("redis.enableAuth"):
        return None
    if cloud_provider(values) != "aws":
        return Trouble.KEDA_AUTH_ELSEWHERE
    return Trouble.KEDA_SECRET if values.text("redis.kedaSecretName") else Trouble.KEDA_SECRET_UNNAMED


def ways(values: Values, token: str) -> Iterator[Way]:
    """All ways of this installation."""
    yield cache(values)
    for way in (broker(values, token), keda(values)):
        if way is not None:
            yield way
