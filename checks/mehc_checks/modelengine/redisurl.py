"""How the clients of model engine read a Redis URL: each in its own way, and not all of them alike.

Raises ValueError with a sentence that says what is wrong and never quotes the URL. Sources: redis-py 4 (the cache's
``parse_url`` and connections), kombu (``utils/url.py`` and ``connection.py``, the broker), ``common/config.py`` of
model engine (what KEDA is given).
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import SplitResult, parse_qs, parse_qsl, unquote, urlsplit

from mehc_checks.clients.redis.server import Server

DEFAULT_PORT: Final = 6379
LOCALHOST: Final = "localhost"
"""What redis-py connects to where the URL names no host: the pod itself."""
_VERIFIES: Final = {"none": False, "optional": True, "required": True}
"""The values of ``ssl_cert_reqs``, and whether each verifies the certificate."""
_VERIFIED_BY_CELERY: Final = _VERIFIES | {f"CERT_{key.upper()}": value for key, value in _VERIFIES.items()}
_CONNECTION_OPTIONS: Final[Mapping[str, Callable[[str], Any]]] = {
    **dict.fromkeys(
        (
            *("username", "password", "host", "encoding", "encoding_errors", "decode_responses"),
            *("client_name", "socket_keepalive", "retry_on_timeout"),
        ),
        str,
    ),
    **dict.fromkeys(("db", "port", "max_connections", "health_check_interval"), int),
    **dict.fromkeys(("socket_timeout", "socket_connect_timeout"), float),
}
"""Parameters that the cache's client takes in a URL, and how it reads each."""
_TLS_OPTIONS: Final = frozenset(
    {"ssl_keyfile", "ssl_certfile", "ssl_cert_reqs", "ssl_ca_certs", "ssl_ca_data", "ssl_check_hostname"}
)
_TAKEN_BY_CELERY: Final = frozenset(
    {"heartbeat", "insist", "login_method", *_TLS_OPTIONS, "ssl_ca_path", "ssl_password", "ssl_min_version"}
)
"""Not ``connect_timeout``: kombu counts with it, and from a URL it comes as text."""


def of_the_cache(url: str) -> Server:
    """What the cache's client connects to."""
    parts, port = _split(url)
    if parts.scheme not in ("redis", "rediss"):
        raise ValueError("it does not begin with redis:// or rediss://")
    tls = parts.scheme == "rediss"
    options = {name: unquote(given[0]) for name, given in parse_qs(parts.query).items()}
    for name, given in options.items():
        if name not in _CONNECTION_OPTIONS and not (tls and name in _TLS_OPTIONS):
            raise ValueError(f"the client does not accept the parameter {name}")
        try:
            _CONNECTION_OPTIONS.get(name, str)(given)
        except ValueError:
            raise ValueError(f"the value of its parameter {name} is not a number") from None
    required = options.get("ssl_cert_reqs", "required")
    if required not in _VERIFIES:
        raise ValueError("ssl_cert_reqs is not none, optional or required")
    return Server(
        host=unquote(parts.hostname or "") or options.get("host") or LOCALHOST,
        port=port or int(options.get("port", DEFAULT_PORT)),
        db=int(options["db"]) if "db" in options else _number(unquote(parts.path).replace("/", "")),
        username=unquote(parts.username or "") or options.get("username", ""),
        password=unquote(parts.password or "") or options.get("password", ""),
        tls=tls,
        verify=_VERIFIES[required],
    )


def names_host(url: str) -> bool:
    """Whether ``url`` names a host at all."""
    return bool(urlsplit(url).hostname)


def of_celery(url: str) -> Server:
    """What Celery connects to. TLS is verified only where ``ssl_`` parameters are given and do not switch it off."""
    scheme, _, rest = url.partition("://")
    scheme = scheme.lower()
    if scheme not in ("redis", "rediss"):
        raise ValueError("its scheme is neither redis:// nor rediss://, the :// included")
    parts, port = _split(f"http://{rest}")
    if parts.hostname is None:
        raise ValueError("it names no host")
    try:
        db = int(unquote(parts.path[1:]) or 0)
    except ValueError:
        raise ValueError(
            "what follows the first / is not a number, the parameters after it begin with ?"
        ) from None
    query = dict(parse_qsl(parts.query))
    tls = {key: value for key, value in query.items() if key.startswith("ssl_")}
    required = tls.get("ssl_cert_reqs", "required")
    if required not in _VERIFIED_BY_CELERY:
        raise ValueError("ssl_cert_reqs is not none, optional or required")
    if unknown := query.keys() - _TAKEN_BY_CELERY:
        raise ValueError(f"Celery does not accept the parameter {min(unknown)}")
    return Server(
        host=unquote(parts.hostname),
        port=port or DEFAULT_PORT,
        db=db,
        username=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        tls=scheme == "rediss" or bool(tls),
        verify=bool(tls) and _VERIFIED_BY_CELERY[required],
    )


def keda_address(url: str) -> str:
    """The address that the platform writes into the ScaledObject; "" where it finds none.

    It cuts the credentials off ``rediss`` URLs only.
    """
    for scheme, login in (("rediss://", True), ("redis://", False)):
        _, found, rest = url.partition(scheme)
        if found:
            location = rest.partition(scheme)[0]
            return (location.rpartition("@")[2] if login else location).partition("/")[0]
    return ""


def keda_database(url: str) -> int:
    """The database that the platform writes into the ScaledObject: the number after the last slash, else 0."""
    return _number(url.rpartition("/")[2])


def host_and_port(address: str) -> tuple[str, int]:
    """What KEDA dials. Raises ValueError where ``address`` is not host:port."""
    found = re.fullmatch(r"(\[[^][@]+\]|[^][@:]+):([0-9]+)", address)
    if not found:
        raise ValueError("it is not host:port")
    return found[1].strip("[]"), int(found[2])


def without_credentials(address: str, url: str) -> str:
    """``address``, cut out of ``url``, as it may be shown."""
    if "@" not in url or "rediss://" in url:  # of which the credentials are cut off
        return address or "an empty address"
    _, found, host = address.rpartition("@")
    return f"<credentials>@{host}" if found else "<credentials>"


def _split(url: str) -> tuple[SplitResult, int | None]:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError("its port is not a number, or special characters are not percent-encoded") from None
    return parts, port


def _number(text: str) -> int:
    """``text`` as Python's int() reads it, 0 where it is not a number."""
    try:
        return int(text)
    except ValueError:
        return 0
