"""The options of a database URL that the platform's drivers take, as data.

Source: the keyword arguments of asyncpg 0.31's ``connect`` and of SQLAlchemy 2.0's dialect for it; the keywords of
libpq 17, which psycopg2-binary brings.
"""

from collections.abc import Callable, Mapping
from typing import Final

SSL_MODES: Final = frozenset({"disable", "allow", "prefer", "require", "verify-ca", "verify-full"})
VERIFYING: Final = frozenset({"verify-ca", "verify-full"})
_ATTRIBUTES: Final = frozenset({"any", "read-write", "read-only", "primary", "standby", "prefer-standby"})
_SWITCH: Final = frozenset({"0", "1"})

Accepts = Callable[[str], bool]


def _any(_: str) -> bool:
    return True


def _none(_: str) -> bool:
    return False


def _one_of(*words: str) -> Accepts:
    return frozenset(words).__contains__


def _integer(text: str) -> bool:
    try:
        int(text)
    except ValueError:
        return False
    return True


def _positive(text: str) -> bool:
    try:
        return float(text) > 0
    except ValueError:
        return False


def _ssl(text: str) -> bool:
    return text.replace("_", "-") in SSL_MODES


ASYNCPG: Final[Mapping[str, Accepts]] = {
    **dict.fromkeys(("host", "user", "password", "database", "passfile", "service", "servicefile"), _any),
    **dict.fromkeys(("krbsrvname", "async_fallback"), _any),
    **dict.fromkeys(("port", "prepared_statement_cache_size"), _integer),
    "command_timeout": _positive,
    "ssl": _ssl,
    "target_session_attrs": _ATTRIBUTES.__contains__,
    "gsslib": _one_of("gssapi", "sspi"),
}
"""What arrives as text and works. All other keywords are unknown, or of a type that a URL cannot give."""

PSYCOPG2: Final[Mapping[str, Accepts]] = {
    **dict.fromkeys(
        ("host", "hostaddr", "user", "password", "dbname", "database", "passfile", "options"), _any
    ),
    **dict.fromkeys(("application_name", "fallback_application_name", "client_encoding"), _any),
    **dict.fromkeys(("sslcert", "sslkey", "sslpassword", "sslrootcert", "sslcrl", "sslcrldir"), _any),
    **dict.fromkeys(("requirepeer", "require_auth", "krbsrvname", "replication", "sslcompression"), _any),
    **dict.fromkeys(
        ("port", "connect_timeout", "keepalives", "keepalives_idle", "keepalives_interval"), _integer
    ),
    **dict.fromkeys(("keepalives_count", "tcp_user_timeout"), _integer),
    **dict.fromkeys(("ssl_min_protocol_version", "ssl_max_protocol_version"), _any),
    **dict.fromkeys(("sslsni", "gssdelegation"), _SWITCH.__contains__),
    "service": _none,  # a file in the image would have to define it
    "sslmode": SSL_MODES.__contains__,
    "sslnegotiation": _one_of("postgres", "direct"),
    "sslcertmode": _one_of("disable", "allow", "require"),
    "channel_binding": _one_of("disable", "prefer", "require"),
    "gssencmode": _one_of("disable", "prefer", "require"),
    "gsslib": _any,
    "target_session_attrs": _ATTRIBUTES.__contains__,
    "load_balance_hosts": _one_of("disable", "random"),
}
SHOWN: Final = frozenset({"sslmode", "ssl", "target_session_attrs", "channel_binding", "gssencmode"})
"""Options whose values hold no secret, so that messages may show them."""
