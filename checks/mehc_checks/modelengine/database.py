"""Where model engine finds its database: the source of its URL, and what its four kinds of sessions make of it.

Source: model engine's ``db/base.py``, ``core/aws/secrets.py`` and the chart's environment of the gateway.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from mehc_checks.clients.postgres.server import Server
from mehc_checks.core.outcome import Reason
from mehc_checks.modelengine.databasereasons import DatabaseURLReasons as R
from mehc_checks.modelengine.databaseurl import (
    DEFAULT_PORT,
    URLProblem,
    for_asyncpg,
    for_psycopg2,
    take_apart,
)
from mehc_checks.modelengine.paths import CLOUD_DATABASE_SECRET

PARTS: Final = {
    "DB_USER": "postgres",
    "DB_PASSWORD": "postgres",
    "DB_HOST": "localhost",
    "DB_PORT": str(DEFAULT_PORT),
    "DB_NAME": "llm_engine",
}
"""The variables of an installation on premises, with their defaults. ``READER_HOST`` goes before DB_HOST."""
SECRET_FORM: Final = "a JSON object with username, password, clusterHost, clusterHostRo, port, dbname"  # noqa: S105
READER_HOST: Final = "DB_HOST_RO"
SECRET_NAME: Final = "DB_SECRET_NAME"  # noqa: S105 - a variable
SECRET_PROJECT: Final = "DB_SECRET_GCP_PROJECT_ID"  # noqa: S105 - a variable
"""Where it is not set, the name of the secret has to be the full name of a version."""
SECRET_PROJECT_PLACE: Final = f"{SECRET_PROJECT} in extraEnvVars"


class SourceKind(StrEnum):
    """What the gateway makes its URL from, where no variable gives it whole."""

    AWS_SECRET = "AWS Secrets Manager"  # noqa: S105 - a place
    GCP_SECRET = "GCP Secret Manager"  # noqa: S105 - a place
    KEY_VAULT = "Azure Key Vault"
    PARTS = "DB_HOST and its like"


def source_kind(cloud: str, *, secret_named: bool) -> SourceKind:
    """``secret_named``: whether ``DB_SECRET_NAME`` is set to something."""
    if cloud == "onprem" or (cloud == "gcp" and not secret_named):
        return SourceKind.PARTS
    if cloud == "gcp":
        return SourceKind.GCP_SECRET
    return SourceKind.KEY_VAULT if cloud == "azure" else SourceKind.AWS_SECRET


def default_secret(cloud: str, context: str) -> str:
    """The secret that is read where none is named; ``context`` is the installation's environment."""
    name = f"{context}-ml-infra-pg" if cloud == "azure" else f"{context}/ml_infra_pg"
    return name.replace("training", "prod").replace("-new", "")


class Role(StrEnum):
    """What a session is for. GET requests use the reader."""

    WRITER = "writer"
    READER = "reader"


_HOST_FIELDS: Final = {Role.WRITER: "clusterHost", Role.READER: "clusterHostRo"}


class Driver(StrEnum):
    """Who connects: psycopg2 for the migration, asyncpg for the API."""

    PSYCOPG2 = "psycopg2"
    ASYNCPG = "asyncpg"


@dataclass(frozen=True, kw_only=True, slots=True)
class URLs:
    """The URLs for psycopg2. ``given`` has what they are strung together from, where they are."""

    writer: str = field(repr=False)
    reader: str = field(repr=False)
    given: "Mapping[Role, Given]" = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Given:
    """What goes into a URL as it is. ``missing`` are fields of the secret that lack, for which it says None.

    ``place`` is the value that says where the secret is, where that is not the region.
    """

    user: str
    password: str = field(repr=False)
    host: str
    port: str
    database: str
    missing: tuple[str, ...] = ()
    place: str = ""

    @property
    def url(self) -> str:
        return f"postgresql://{self.user}:{self.password}@{self.host}:{self.port}/{self.database}"


def of_text(url: str) -> URLs:
    """The URLs where a variable gives one: reader and writer are the same."""
    return URLs(writer=url, reader=url)


def of_parts(environment: Mapping[str, str]) -> URLs:
    """The URLs that ``DB_HOST`` and its like make. ``DB_HOST_RO`` is preferred even for writes."""
    user, password, host, port, database = (environment.get(name, default) for name, default in PARTS.items())
    host = environment.get(READER_HOST) or host
    given = Given(user=user, password=password, host=host, port=port, database=database)
    return URLs(writer=given.url, reader=given.url, given=dict.fromkeys(Role, given))


def of_secret(fields: Mapping[str, str], *, gcp: bool = False) -> URLs:
    """The URLs that the fields of a cloud's secret make."""
    made = {}
    for role, key in _HOST_FIELDS.items():
        host = key
        if gcp and not fields.get(key):
            host = "host" if fields.get("host") else key
        names = ("username", "password", host, "port", "dbname")
        user, password, place, port, database = (fields.get(name, "None") for name in names)
        if gcp and not place:
            place = "None"
        missing = tuple(
            name for name in names if name not in fields or (gcp and name == host and not fields[name])
        )
        made[role] = Given(
            user=user,
            password=password,
            host=place,
            port=port,
            database=database,
            missing=missing,
            place=SECRET_PROJECT_PLACE if gcp else "",
        )
    return URLs(writer=made[Role.WRITER].url, reader=made[Role.READER].url, given=made)


KEY_VAULT_FORM: Final = "HOST:5432/DATABASE, without user and password"


def wrong_address(text: str) -> str:
    """What makes a secret of Azure useless as ``of_key_vault`` strings it, as a phrase; "" for nothing."""
    if not text.strip():
        return "is blank"
    if text != text.strip():
        return "has white space at its ends"
    if text.startswith("{"):
        return "is JSON"
    if "://" in text or "@" in text:
        return "is a whole URL"
    return "" if text.partition("/")[2] else "names no database"


def of_key_vault(text: str, *, user: str, token: str) -> URLs:
    """The URLs that a secret of Azure makes: host, port and database, with a token for the password."""
    return of_text(f"postgresql://{user}:{token}@{text}?sslmode=require")


@dataclass(frozen=True, kw_only=True, slots=True)
class Session:
    """One of the platform's four kinds of sessions: where it connects to, or why its driver does not even try."""

    role: Role
    driver: Driver
    server: Server | None = None
    problem: URLProblem | None = None


def sessions(urls: URLs, environment: Mapping[str, str], *, has_root: bool = False) -> tuple[Session, ...]:
    """Writer and reader, each by psycopg2 and by asyncpg. ``has_root``: the image has a root.crt for libpq."""
    return tuple(
        _session(role, driver, url, urls.given.get(role), environment, has_root)
        for role, url in ((Role.WRITER, urls.writer), (Role.READER, urls.reader))
        for driver in Driver
    )


def _session(
    role: Role,
    driver: Driver,
    url: str,
    given: Given | None,
    environment: Mapping[str, str],
    has_root: bool,
) -> Session:
    read = for_psycopg2 if driver is Driver.PSYCOPG2 else for_asyncpg
    try:
        _raise_for_space(url)
        if given:
            _raise_for_fields(given)
        return Session(role=role, driver=driver, server=read(url, environment, has_root=has_root))
    except URLProblem as problem:
        return Session(role=role, driver=driver, problem=problem)


def _raise_for_space(url: str) -> None:
    """White space around a URL is harmless only where SQLAlchemy takes no notice of it."""
    bare = url.strip()
    if bare in (url, ""):
        return
    leading = not url.startswith(bare[:1])
    what = _named(url[0] if leading else url[-1])
    if leading:
        raise URLProblem(R.URL_WHITESPACE, at_start=True, where="begins", what=what)
    try:
        without = take_apart(bare)
    except URLProblem:
        return  # there is something worse
    try:
        same = take_apart(url) == without
    except URLProblem:
        same = False
    if not same:
        raise URLProblem(R.URL_WHITESPACE, where="ends", what=what)


def _named(space: str) -> str:
    return {"\n": "a newline", "\r": "a carriage return", "\t": "a tab"}.get(space, "a space")


def _raise_for_fields(given: Given) -> None:
    """Raise for what a secret lacks, and where user or password end too early in the URL that is made of them."""
    if given.missing:
        lacks = f"lacks {', '.join(given.missing)}"
        words = {"secret": "", "wrong": lacks, "form": SECRET_FORM, "setting": CLOUD_DATABASE_SECRET}
        if given.place:
            words["place"] = given.place
        raise URLProblem(R.CLOUD_SECRET_UNUSABLE, at_start="port" in given.missing, **words)
    for name, value, breaking in (("username", given.user, ":/"), ("password", given.password, "@")):
        if character := next((each for each in value if each in breaking), ""):
            raise URLProblem(R.NOT_ENCODED, field=name, character=character)


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """A problem, and the sessions that have it."""

    problem: URLProblem
    roles: frozenset[Role]
    drivers: frozenset[Driver]

    @property
    def effect(self) -> str:
        """What does not work."""
        if self.problem.at_start:
            return "the platform can open no session at all"
        if self.drivers == {Driver.PSYCOPG2}:
            return "migrations fail, although the API works"
        what = "every API request" if Role.WRITER in self.roles else "every GET request"
        only = ", although migrations work" if self.drivers == {Driver.ASYNCPG} else ""
        return f"{what} fails{only}"


def faults(found: Iterable[Session]) -> list[Fault]:
    """The problems of sessions, equal ones together."""
    by_words: dict[Any, list[tuple[Session, URLProblem]]] = {}
    for session in found:
        if problem := session.problem:
            by_words.setdefault((problem.reason, str(problem)), []).append((session, problem))
    return [
        Fault(
            problem=group[0][1],
            roles=frozenset(session.role for session, _ in group),
            drivers=frozenset(session.driver for session, _ in group),
        )
        for group in by_words.values()
    ]


@dataclass(frozen=True, kw_only=True, slots=True)
class Database:
    """``source`` is what the URL is made from: "key database_url of Secret db"; ``secret`` the name of a cloud's.

    ``host`` and ``name`` are where host and database come from, where that is another place.
    """

    source: str
    host: str
    reader: str
    name: str
    sessions: tuple[Session, ...]
    secret: str = ""
    has_percent: bool = False
    """Whether the URL for the migration holds a %, which Alembic takes for an interpolation."""
    is_default: bool = False
    """Whether nothing names a host, so that the platform tries its own."""
    rejected: Reason | None = None
    """What a rejected login means where it is by a token of ``principal``, and not by a password."""
    principal: str = ""
