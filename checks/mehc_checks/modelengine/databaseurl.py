"""How the platform's drivers read a database URL: SQLAlchemy takes it apart, psycopg2 and asyncpg connect by it.

Source: SQLAlchemy 2.0's URL grammar and its two PostgreSQL dialects, held against the real ones in the tests. The
platform makes the URL for asyncpg out of the other one by replacing text, wherever in the URL it stands.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl, unquote

from mehc_checks.clients.postgres.server import Server
from mehc_checks.core.errors import Problem
from mehc_checks.core.outcome import Reason
from mehc_checks.modelengine.databaseoptions import ASYNCPG, PSYCOPG2, SHOWN, VERIFYING, Accepts
from mehc_checks.modelengine.databasereasons import DatabaseURLReasons as R

DEFAULT_PORT: Final = 5432
Query = Mapping[str, str | tuple[str, ...]]

_GRAMMAR: Final = re.compile(
    r"(?P<scheme>[\w+]+)://"
    r"(?:(?P<user>[^:/]*)(?::(?P<password>[^@]*))?@)?"
    r"(?:\[(?P<ipv6>[^/?]+)\]|(?P<host>[^/:?]+))?(?::(?P<port>[^/?]*))?"
    r"(?:/(?P<database>[^?]*))?"
    r"(?:\?(?P<query>.*))?"
)
"""What follows a query's line is ignored, as by SQLAlchemy."""
_SYNC_DRIVERS: Final = frozenset({"", "psycopg2", "pg8000"})
_INSTALLED: Final = _SYNC_DRIVERS | {"asyncpg"}
"""Drivers that the platform's image has."""


class URLProblem(Problem):
    """A URL that a driver cannot use. ``at_start``: not even an engine can be made, and so none of all sessions."""

    def __init__(self, reason: Reason, /, *, at_start: bool = False, **words: object) -> None:
        super().__init__(
            reason, **{"source": "the database URL", "effect": "no session can be opened"} | words
        )
        self.at_start = at_start


@dataclass(frozen=True, kw_only=True, slots=True)
class URL:
    """A URL taken apart. What it does not name is None; an option given twice is a tuple."""

    driver: str
    user: str | None
    password: str | None = field(repr=False)
    host: str | None
    port: int | None
    database: str | None
    query: Query


def asynchronous(url: str) -> str:
    """``url`` as the platform changes it for asyncpg."""
    return url.replace("postgresql://", "postgresql+asyncpg://").replace("sslmode", "ssl")


def take_apart(text: str) -> URL:
    """Read ``text`` as SQLAlchemy does. Raises URLProblem, of which no word is a part of a password."""
    match = None if "\0" in text else _GRAMMAR.match(text)
    if match is None:
        raise URLProblem(R.URL_UNPARSABLE, at_start=True, detail=_unlike_a_url(text))
    dialect, _, driver = match["scheme"].partition("+")
    if match["port"] is not None:
        try:
            port = int(match["port"])
        except ValueError:
            raise URLProblem(
                R.URL_UNPARSABLE,
                at_start=True,
                detail="its port is not a number (a password with / or @ must be percent-encoded)",
            ) from None
    else:
        port = None
    if dialect != "postgresql":
        shown = f"its scheme is {dialect}" if len(dialect) <= 20 else "it has another scheme"
        raise URLProblem(R.URL_UNPARSABLE, at_start=True, detail=f"{shown}, not postgresql")
    if any("@" in part for part in _of_a_password(match)):
        raise URLProblem(R.NOT_ENCODED, field="user or password", character="an @ or / that is not encoded")
    if driver not in _INSTALLED:
        raise URLProblem(R.URL_DRIVER, at_start=True, driver=driver[:20])
    return URL(
        driver=driver,
        user=None if match["user"] is None else unquote(match["user"]),
        password=None if match["password"] is None else unquote(match["password"]),
        host=match["host"] or match["ipv6"],
        port=port,
        database=match["database"],
        query=_query(match["query"] or ""),
    )


def _of_a_password(match: re.Match[str]) -> list[str]:
    """Parts in which an @ means that the password had one: what follows it must not be shown as a host or database."""
    stray = [part for part in (match["query"] or "").split("&") if "=" not in part]
    return [match["host"] or "", match["database"] or "", *stray]


def _unlike_a_url(text: str) -> str:
    if "\0" in text:
        return "it contains a NUL character"
    if not text.strip():
        return "it is blank"
    if text[0] in "\"'`":
        return "it begins with a quotation mark"
    if "://" not in text:
        return "it is a list of keywords" if re.search(r"\bhost\s*=", text) else "it has no scheme"
    return "it does not begin with postgresql://"


def _query(text: str) -> Query:
    found: dict[str, str | tuple[str, ...]] = {}
    for key, value in parse_qsl(text):
        present = found.get(key)
        if present is None:
            found[key] = value
        else:
            found[key] = (*((present,) if isinstance(present, str) else present), value)
    return found


def for_psycopg2(text: str, environment: Mapping[str, str], *, has_root: bool = False) -> Server:
    """What psycopg2 connects to. ``environment`` has libpq's variables, ``has_root`` says whether the image has a
    root.crt. Raises URLProblem.
    """
    url = take_apart(text)
    if url.driver not in _SYNC_DRIVERS:
        raise URLProblem(R.URL_DRIVER, driver=url.driver)
    hosts = _hosts(url, "psycopg2")
    if url.driver != "pg8000":
        _check(url.query, PSYCOPG2, "psycopg2")
        if "database" in url.query and (url.database or "dbname" in url.query):
            raise _rejected("psycopg2", "database", "a second name of the database")
    database = _last(url.query, "dbname", "database") or url.database
    return _server(url, hosts, database, environment, has_root=has_root)


def for_asyncpg(text: str, environment: Mapping[str, str], *, has_root: bool = False) -> Server:
    """What asyncpg connects to, of the URL for psycopg2. Raises URLProblem."""
    url = take_apart(asynchronous(text))
    if url.driver != "asyncpg":
        raise URLProblem(R.URL_DRIVER, at_start=True, driver=url.driver or "psycopg2")
    hosts = _hosts(url, "asyncpg")
    _check(url.query, ASYNCPG, "asyncpg")
    if len(hosts) > 1 and not all(port for _, port in hosts):
        raise _rejected("asyncpg", "host", "hosts without ports")
    database = _last(url.query, "database") or url.database
    return _server(url, hosts, database, environment, has_root=has_root)


def _hosts(url: URL, driver: str) -> list[tuple[str | None, int | None]]:
    """The hosts in the order in which they are tried: of the options ``host`` and ``port``, else the URL's own."""
    given, ports = url.query.get("host"), url.query.get("port")
    if given is None and ports is None:
        return [(url.host, url.port)]
    if isinstance(given, tuple) or (given and ports is None and re.fullmatch(r"[a-zA-Z0-9.-]*:\d*", given)):
        if ports is not None:
            raise _rejected(driver, "port", "port beside host=HOST:PORT")
        listed = given if isinstance(given, tuple) else (given,)
        names = [each.partition(":")[0] for each in listed]
        numbers = [each.partition(":")[2] for each in listed]
    else:
        names = given.split(",") if given else []
        numbers = list(ports) if isinstance(ports, tuple) else ports.split(",") if ports else []
    try:
        read = [int(number) if number else None for number in numbers]
    except ValueError:
        raise _rejected(driver, "port", "a port that is not a number") from None
    if len(read) > 1 and len(read) != len(names):
        raise _rejected(driver, "port", "more ports than hosts")
    if not names:
        return [(url.host, read[0])]
    if not read or (len(read) == 1 and read[0] is None):
        read = [url.port if len(names) == 1 else None]
    return list(zip(names, read * len(names) if len(read) == 1 else read, strict=True))


def _check(query: Query, options: Mapping[str, Accepts], driver: str) -> None:
    """Raise URLProblem for what ``driver`` rejects of ``query``."""
    unknown = [key for key in query if key not in options]
    if unknown:
        named = f"the option{'s' if len(unknown) > 1 else ''} {', '.join(unknown)}"
        raise _rejected(driver, ", ".join(unknown), named)
    for key, value in query.items():
        if isinstance(value, tuple):
            if key not in ("host", "port"):
                raise _rejected(driver, key, f"two values of {key}")
        elif not options[key](value) and key != "port":
            shown = f"{key}={value[:20]}" if key in SHOWN else f"the value of {key}"
            raise _rejected(driver, key, shown)


def _rejected(driver: str, name: str, option: str) -> URLProblem:
    return URLProblem(R.URL_OPTION, driver=driver, name=name, option=option)


def _server(
    url: URL,
    hosts: Iterable[tuple[str | None, int | None]],
    database: str | None,
    environment: Mapping[str, str],
    *,
    has_root: bool,
) -> Server:
    user = _last(url.query, "user") or url.user or environment.get("PGUSER")
    default_port = environment.get("PGPORT", "")
    port = int(default_port) if default_port.isdecimal() else DEFAULT_PORT
    placed = [(host or environment.get("PGHOST") or "", number or port) for host, number in hosts]
    if not all(0 < number < 65536 for _, number in placed):
        raise URLProblem(R.URL_UNPARSABLE, detail="its port is not from 1 to 65535")
    for missing, found in (("host", all(host for host, _ in placed)), ("user", user)):
        if not found:
            raise URLProblem(R.URL_INCOMPLETE, missing=missing)
    options = {key: value for key, value in url.query.items() if isinstance(value, str)}
    mode = options.get("sslmode") or options.get("ssl") or environment.get("PGSSLMODE")
    tls = {"sslmode": mode.replace("_", "-")} if mode else {}
    named = "sslrootcert" in options or "PGSSLROOTCERT" in environment
    if tls and tls["sslmode"] in VERIFYING and not has_root and not named:
        raise URLProblem(R.ROOT_CERTIFICATE, mode=tls["sslmode"])
    kept = ("target_session_attrs", "sslrootcert", "channel_binding")
    return Server(
        host=placed[0][0],
        port=placed[0][1],
        others=tuple(placed[1:]),
        database=database or environment.get("PGDATABASE") or str(user),
        user=str(user),
        password=_last(url.query, "password") or url.password or environment.get("PGPASSWORD") or "",
        options=tls | {key: options[key] for key in kept if key in options},
    )


def _last(query: Query, *keys: str) -> str | None:
    """The value of the first of ``keys`` that has a single one."""
    return next((value for key in keys if isinstance(value := query.get(key), str)), None)
