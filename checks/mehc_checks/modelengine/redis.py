"""Which Redis each part of model engine uses, and how.

Three ways lead to Redis: the cache URL (gateway, cacher, builder), the Celery broker, and KEDA, which derives
its own address from the cache URL. Source: model engine's ``common/config.py``, ``core/celery/app.py`` and
the chart's endpoint templates.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final, cast
from urllib.parse import parse_qsl, unquote, urlsplit

from redis.asyncio.connection import parse_url

from mehc_checks.core.errors import Problem
from mehc_checks.modelengine.configuration import Configuration
from mehc_checks.modelengine.secrets import CloudSecret
from mehc_checks.modelengine.values import Values

INFRA = "config.values.infra"
LAUNCH = "config.values.launch"
KEDA_AUTHENTICATION = "keda-trigger-auth-redis-secret"
BROKER_SECRET = f"{INFRA}.redis_aws_secret_name"
"""Names a secret with the fields scheme, host, port, and where wanted auth_token and query_params."""
CACHE_FIELD: Final = "cache-url"
"""The field of the cache's secret."""
BROKER_FIELDS: Final = ("host", "port")
"""Those of the broker's secret that it must have."""
_DEFAULT_PORT = 6379

Secrets = Mapping[str, CloudSecret]
"""By name, those that ``secret_names`` names."""


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
    SECRET_UNUSABLE = "secret unusable"  # noqa: S105
    """The secret of AWS does not give what the client wants of it; KEDA then goes on without a password."""
    SECRET_UNREAD = "secret unread"  # noqa: S105
    """This process could not read the secret of AWS; that says nothing about the client's own identity."""
    AZURE_TOKEN = "azure token"  # noqa: S105
    KEDA_ADDRESS = "keda address"
    KEDA_AUTH_ELSEWHERE = "keda auth elsewhere"
    KEDA_SECRET_UNNAMED = "keda secret unnamed"  # noqa: S105
    KEDA_SECRET_JSON = "keda secret json"  # noqa: S105
    """KEDA sends the whole JSON text as the password."""
    KEDA_SECRET_UNPROVEN = "keda secret unproven"  # noqa: S105
    """The cluster does not say that KEDA is given this secret: it is sent to no address that values name."""


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
    """One way as the platform derives it: a server to ask, a trouble, or both. ``source`` is the value it is from.

    ``secret`` names the secret of AWS that holds the address, ``password_secret`` the one that holds KEDA's password;
    ``failure`` is why one of them could not be read.
    """

    path: Path
    source: str
    server: Server | None = None
    trouble: Trouble | None = None
    detail: str = ""
    secret: str = ""
    password_secret: str = ""
    failure: Problem | None = None

    def without_password(self, trouble: Trouble, detail: str) -> "Way":
        """The same way, its server not to be sent the credentials."""
        bare = replace(self.server, username="", password="") if self.server else None
        return replace(self, server=bare, trouble=trouble, detail=detail)


@dataclass(frozen=True, kw_only=True, slots=True)
class _CacheUrl:
    url: str
    source: str
    trouble: Trouble | None = None
    secret: CloudSecret | None = None


_CACHE_SECRET = f"{LAUNCH}.cache_redis_aws_secret_name"
_KEDA_SECRET = "redis.kedaSecretName"  # noqa: S105
_CACHE_SOURCES = (
    f"{LAUNCH}.cache_redis_onprem_url",
    f"{LAUNCH}.cache_redis_gcp_url",
    f"{LAUNCH}.cache_redis_aws_url",
    _CACHE_SECRET,
    f"{LAUNCH}.cache_redis_azure_host",
)


def cache_sources(values: Values) -> list[str]:
    """The paths of all cache sources that are set."""
    return [path for path in _CACHE_SOURCES if values.text(path)]


def cloud_provider(values: Values) -> str:
    """The cloud provider that the platform acts by; AWS where none is set."""
    return values.text(f"{INFRA}.cloud_provider") or "aws"


def secret_names(values: Values) -> set[str]:
    """The secrets of AWS that the ways are derived from."""
    found = set()
    if _cache_source(values).trouble is Trouble.SECRET_UNREAD:
        found.add(values.text(_CACHE_SECRET))
    if broker_is_redis(values):
        found.add(values.text(BROKER_SECRET))
    if _keda_auth(values) is Trouble.SECRET_UNREAD:
        found.add(values.text(_KEDA_SECRET))
    return {name for name in found if name}


def _cache_url(values: Values, secrets: Secrets) -> _CacheUrl:
    """The URL that the cache is opened with; from its secret, where that is the source."""
    found = _cache_source(values)
    if found.trouble is not Trouble.SECRET_UNREAD:
        return found
    secret = secrets[values.text(_CACHE_SECRET) or ""]
    if secret.failure:
        return replace(found, secret=secret)
    if secret.wrong(CACHE_FIELD):
        return replace(found, secret=secret, trouble=Trouble.SECRET_UNUSABLE)
    return replace(found, secret=secret, trouble=None, url=(secret.fields or {})[CACHE_FIELD])


def _cache_source(values: Values) -> _CacheUrl:
    """The source of the cache's URL by the platform's order of precedence; a secret's is yet to be read."""
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
        return _CacheUrl(url="", source=secret_path, trouble=asserts_aws or Trouble.SECRET_UNREAD)
    if azure:
        return _CacheUrl(url=f"rediss://{azure}", source=azure_path, trouble=Trouble.AZURE_TOKEN)
    return _CacheUrl(url="", source="", trouble=Trouble.NO_SOURCE)


def cache(values: Values, secrets: Secrets) -> Way:
    """The cache, as redis-py opens its URL."""
    found = _cache_url(values, secrets)
    way = Way(path=Path.CACHE, source=found.source, trouble=found.trouble)
    if found.secret:
        way = replace(way, secret=found.secret.name, failure=found.secret.failure)
    if found.secret and found.trouble is Trouble.SECRET_UNUSABLE:
        return replace(way, detail=found.secret.wrong(CACHE_FIELD))
    if not found.url or found.trouble is Trouble.WRONG_CLOUD:
        return way
    try:
        return replace(way, server=_server(found.url))
    except ValueError as error:
        return replace(way, trouble=Trouble.UNPARSABLE, detail=str(error))


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


def broker_forced(values: Values) -> bool:
    """Whether the broker is Redis by celery_broker_type_redis: a template takes any text for true, "false" included."""
    return Configuration(values).flag("celery_broker_type_redis")


def broker_is_redis(values: Values) -> bool:
    """Whether the gateway or the builder uses Redis as the Celery broker."""
    cloud = cloud_provider(values)
    forced = broker_forced(values)
    gateway = cloud == "onprem" or (cloud != "azure" and (cloud == "gcp" or forced))
    builder = forced or cloud == "gcp"
    return gateway or builder


def broker(values: Values, token: str, secrets: Secrets) -> Way | None:
    """The Celery broker; None where it is not Redis. ``token`` is REDIS_AUTH_TOKEN, "" where unset.

    A secret of AWS goes before all else, on any cloud. Elsewhere a token switches TLS on, without verification;
    without one the connection is plain. The token is strung into the URL as it is.
    """
    if not broker_is_redis(values):
        return None
    if name := values.text(BROKER_SECRET):
        return _broker_of_secret(secrets[name])
    source = "redisHost" if values.text("redisHost") else f"{INFRA}.redis_host"
    host = values.text(source)
    if not host:
        return Way(path=Path.BROKER, source=source, trouble=Trouble.NO_SOURCE)
    port = (values.text("redisPort") if source == "redisHost" else None) or str(_DEFAULT_PORT)
    if not port.isdecimal():
        detail = "the port is no number"
        return Way(path=Path.BROKER, source="redisPort", trouble=Trouble.UNPARSABLE, detail=detail)
    if not token:
        return Way(path=Path.BROKER, source=source, server=Server(host=host, port=int(port), verify=False))
    try:
        server = _celery_server(f"rediss://:{token}@{host}:{port}/0?ssl_cert_reqs=none")
    except ValueError:
        given = "redis.authSecretName" if values.text("redis.authSecretName") else "redis.auth"
        detail = "it has characters that end a URL's password (/ # ?)"
        return Way(path=Path.BROKER, source=given, trouble=Trouble.UNPARSABLE, detail=detail)
    return Way(path=Path.BROKER, source=source, server=server)


def _broker_of_secret(secret: CloudSecret) -> Way:
    """The platform strings the fields together as they are, so the scheme must bring its own ``://``."""
    way = Way(path=Path.BROKER, source=BROKER_SECRET, secret=secret.name, failure=secret.failure)
    if secret.failure:
        return replace(way, trouble=Trouble.SECRET_UNREAD)
    if wrong := secret.wrong(*BROKER_FIELDS):
        return replace(way, trouble=Trouble.SECRET_UNUSABLE, detail=wrong)
    fields = secret.fields or {}
    scheme, query = fields.get("scheme", "redis://"), fields.get("query_params", "")
    login = f":{fields['auth_token']}@" if "auth_token" in fields else ""
    try:
        server = _celery_server(f"{scheme}{login}{fields['host']}:{fields['port']}/0{query}")
    except ValueError as error:
        return replace(way, trouble=Trouble.SECRET_UNUSABLE, detail=str(error))
    return replace(way, server=server)


_TAKEN_BY_CELERY: Final = frozenset({"heartbeat", "insist", "login_method"})
"""Not ``connect_timeout``: kombu counts with it, and from a URL it comes as text."""


def _celery_server(url: str) -> Server:
    """Read a broker's URL as Celery does. Raises ValueError saying what is wrong, without the URL.

    TLS is verified only where ``ssl_`` parameters are given and do not switch it off. Source: kombu's ``utils/url.py``
    and ``connection.py``.
    """
    scheme, _, rest = url.partition("://")
    if scheme not in ("redis", "rediss"):
        raise ValueError("has a scheme that is neither redis:// nor rediss://, the :// included")
    try:
        parts = urlsplit(f"http://{rest}")
        host, port, db = parts.hostname, parts.port or _DEFAULT_PORT, int(unquote(parts.path[1:]) or 0)
    except ValueError:
        host = None
    if host is None:
        raise ValueError(
            "gives no URL that Celery can read (special characters of auth_token are to be percent-encoded, "
            "query_params begin with ?)"
        )
    query = dict(parse_qsl(parts.query))
    tls = {key: value for key, value in query.items() if key.startswith("ssl_")}
    required = tls.get("ssl_cert_reqs", "required")
    if required not in _VERIFIES or query.keys() - tls.keys() - _TAKEN_BY_CELERY:
        raise ValueError("has query_params that Celery does not take")
    return Server(
        host=unquote(host),
        port=port,
        db=db,
        username=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        tls=scheme == "rediss" or bool(tls),
        verify=bool(tls) and _VERIFIES[required],
    )


_VERIFIES: Final = {
    "none": False,
    "CERT_NONE": False,
    "optional": True,
    "CERT_OPTIONAL": True,
    "required": True,
    "CERT_REQUIRED": True,
}
"""The values of ``ssl_cert_reqs``, and whether each compares the certificate."""


def keda(values: Values, secrets: Secrets) -> Way | None:
    """KEDA's way to the demand lists; None where the cache's own URL is not to be had, which says it all.

    The platform cuts host and port out of the cache URL: of ``rediss`` URLs it strips credentials, of ``redis``
    URLs it does not, so KEDA dials ``:password@host:port``. The database is the number after the last
    slash, else 0. KEDA applies enableTLS, enableAuth and unsafeSsl and nothing of the URL.
    """
    found = _cache_url(values, secrets)
    if not found.url or found.trouble is Trouble.WRONG_CLOUD:
        return None
    way = Way(path=Path.KEDA, source=found.source, secret=found.secret.name if found.secret else "")
    scheme, _, rest = found.url.partition("://")
    location = rest.split("/")[0]
    if scheme == "rediss":
        location = location.rpartition("@")[2]
    last = found.url.rsplit("/", 1)[-1]
    host, colon, port = location.rpartition(":")
    if not colon or not port.isdecimal() or not host or "@" in location:
        shown = f"<credentials>@{location.rpartition('@')[2]}" if "@" in location else location
        return replace(way, trouble=Trouble.KEDA_ADDRESS, detail=shown)
    server = Server(
        host=host.strip("[]"),
        port=int(port),
        db=int(last) if last.isdecimal() else 0,
        tls=Configuration(values).flag("redis.enableTLS"),
        verify=not Configuration(values).flag("redis.unsafeSsl"),
    )
    way = replace(way, server=server, trouble=_keda_auth(values))
    if way.trouble is not Trouble.SECRET_UNREAD:
        return way
    return _with_keda_password(way, server, secrets[values.text(_KEDA_SECRET) or ""])


def _keda_auth(values: Values) -> Trouble | None:
    """What bars KEDA from a password; SECRET_UNREAD where it is in a secret, which is yet to be read."""
    if not Configuration(values).flag("redis.enableAuth"):
        return None
    if cloud_provider(values) != "aws":
        return Trouble.KEDA_AUTH_ELSEWHERE
    return Trouble.SECRET_UNREAD if values.text(_KEDA_SECRET) else Trouble.KEDA_SECRET_UNNAMED


def _with_keda_password(way: Way, server: Server, secret: CloudSecret) -> Way:
    """The whole text is the password, because the chart's TriggerAuthentication names no ``secretKey``.

    KEDA strips blanks around it, logs in as user default (go-redis says HELLO), and where it cannot have the text goes
    on without a password. Source: ``pkg/scaling/resolver`` and ``typed_config.go`` of KEDA.
    """
    way = replace(way, password_secret=secret.name, failure=secret.failure)
    if secret.failure:
        return way
    password = (secret.text or "").strip()
    if not password:
        return replace(
            way, trouble=Trouble.SECRET_UNUSABLE, detail=secret.trouble if secret.text is None else "is blank"
        )
    return replace(
        way,
        server=replace(server, username="default", password=password),
        trouble=None if secret.fields is None else Trouble.KEDA_SECRET_JSON,
    )


def ways(values: Values, token: str, secrets: Secrets) -> Iterator[Way]:
    """All ways of this installation."""
    yield cache(values, secrets)
    for way in (broker(values, token, secrets), keda(values, secrets)):
        if way is not None:
            yield way
