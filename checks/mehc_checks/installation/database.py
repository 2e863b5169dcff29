"""The gateway's database as an installation configures it: what its sessions connect to."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from mehc_checks.core.errors import Problem
from mehc_checks.installation.azure import DATABASE_SCOPE, login_token
from mehc_checks.installation.cloudsecrets.database import database_secret
from mehc_checks.installation.context import Context
from mehc_checks.installation.environment import Environment, gateway_environment
from mehc_checks.installation.reasons import EnvironmentReasons
from mehc_checks.modelengine import paths
from mehc_checks.modelengine.database import (
    KEY_VAULT_FORM,
    PARTS,
    READER_HOST,
    SECRET_FORM,
    SECRET_NAME,
    Database,
    SourceKind,
    URLs,
    default_secret,
    of_key_vault,
    of_parts,
    of_secret,
    of_text,
    sessions,
    source_kind,
    wrong_address,
)
from mehc_checks.modelengine.databasereasons import DatabaseURLReasons as R
from mehc_checks.modelengine.environment import AZURE_IDENTITY, DATABASE_KEY, DATABASE_URL
from mehc_checks.modelengine.secrets import CloudSecret

_UPPERCASE_KEY: Final = "DATABASE_URL"
"""The key that the values reference names, and that nothing reads."""
_ROOT_CERTIFICATE: Final = ".postgresql"
"""A mount path with this in it brings the root.crt that libpq and asyncpg look for."""
_LIBPQ: Final = ("PGHOST", "PGPORT", "PGUSER", "PGPASSWORD", "PGDATABASE", "PGSSLMODE", "PGSSLROOTCERT")


async def gateway_database(context: Context) -> Database:
    """Resolve it as the gateway does. Raises Problem, or NotApplicable where only a cluster could tell."""
    return await database_of(context, await context.gather(gateway_environment))


async def database_of(context: Context, environment: Environment) -> Database:
    """The database that a process with ``environment`` uses. Raises what ``gateway_database`` raises."""
    cloud = context.configuration.cloud
    try:
        url = environment.get(DATABASE_URL)
    except Problem as problem:
        raise await _clearer(context, problem, environment) from None
    if url:
        source = environment.source(DATABASE_URL)
        return _database(context, environment, of_text(url), dict.fromkeys(_PLACES, source))
    secret = environment.get(SECRET_NAME)
    kind = source_kind(cloud, secret_named=bool(secret))
    name = default_secret(cloud, context.configuration.text(paths.CONTEXT)) if secret is None else secret
    if url is not None and environment.source(DATABASE_URL).startswith("key "):
        fallback = str(kind) if kind is SourceKind.PARTS else f"secret {name} of {kind}"
        raise Problem(R.URL_EMPTY, source=environment.source(DATABASE_URL), fallback=fallback)
    if kind is SourceKind.PARTS:
        return _of_parts(context, environment)
    kept = await database_secret(context, kind, name, environment)
    if kind is SourceKind.KEY_VAULT:
        return await _of_key_vault(context, environment, kept)
    if unusable := kept.problem(concerning="", form=SECRET_FORM, setting=paths.CLOUD_DATABASE_SECRET):
        raise unusable
    fields = kept.fields or {}
    source = f"secret {name} of {kind}"
    parts = {"host": "clusterHost", "reader": "clusterHostRo", "name": "dbname"}
    is_google = kind is SourceKind.GCP_SECRET
    if is_google:
        parts |= {
            role: "host" for role in ("host", "reader") if not fields.get(parts[role]) and fields.get("host")
        }
    places = {"source": source, **{place: f"{field} of {source}" for place, field in parts.items()}}
    return _database(context, environment, of_secret(fields, gcp=is_google), places, secret=name)


_NO_TOKEN: Final = "token-to-come"  # noqa: S105 - none
_PLACES: Final = ("source", "host", "reader", "name")


async def _of_key_vault(context: Context, environment: Environment, kept: CloudSecret) -> Database:
    """The secret has the address; the user is the platform's identity, and the password a token of it."""
    setting = paths.CLOUD_DATABASE_SECRET
    if unusable := kept.problem(concerning="", form=KEY_VAULT_FORM, setting=setting):
        raise unusable
    text = kept.text or ""
    if wrong := wrong_address(text):
        raise kept.unusable(wrong, form=KEY_VAULT_FORM, setting=setting)
    named = environment.get(AZURE_IDENTITY)
    user = "None" if named is None else named  # as Python writes what is not set
    source = f"secret {kept.name} of {SourceKind.KEY_VAULT}"

    def made(token: str) -> Database:
        urls = of_key_vault(text, user=user, token=token)
        return _database(context, environment, urls, dict.fromkeys(_PLACES, source), secret=kept.name)

    servers = [session.server for session in made(_NO_TOKEN).sessions if session.server]
    hosts = {host for server in servers for host, _ in server.places}  # as drivers read the text
    held, is_platforms = await login_token(context, DATABASE_SCOPE, hosts)
    database = made(held.text)
    rejected = R.ENTRA_LOGIN_REJECTED if is_platforms else R.ENTRA_LOGIN_NOT_TESTED
    return replace(database, rejected=rejected, principal=held.principal)


def _of_parts(context: Context, environment: Environment) -> Database:
    known = {name: value for name in (*PARTS, READER_HOST) if (value := environment.get(name)) is not None}
    if not known:
        raise Problem(R.NOT_CONFIGURED)
    found = next((name for name in (READER_HOST, "DB_HOST") if known.get(name)), "")
    host, password, name = map(environment.source, (found or "DB_HOST", "DB_PASSWORD", "DB_NAME"))
    places = {"source": password, "host": host, "reader": host, "name": name}
    return _database(context, environment, of_parts(known), places, is_default=not found)


def _database(
    context: Context,
    environment: Environment,
    urls: URLs,
    places: Mapping[str, str],
    *,
    secret: str = "",
    is_default: bool = False,
) -> Database:
    """What the sessions make of ``urls``; passwords in them are secret from here on."""
    libpq = {name: environment.known[name] for name in _LIBPQ if name in environment.known}
    has_root = any(_ROOT_CERTIFICATE in mount for mount in environment.mounts)
    found = sessions(urls, libpq, has_root=has_root)
    context.redactor.add(urls.writer, urls.reader)
    context.redactor.add(*(session.server.password for session in found if session.server))
    context.redactor.add(*(given.password for given in urls.given.values()))
    return Database(
        source=places["source"],
        host=places["host"],
        reader=places["reader"],
        name=places["name"],
        sessions=found,
        secret=secret,
        has_percent="%" in urls.writer,
        is_default=is_default,
    )


async def _clearer(context: Context, problem: Problem, environment: Environment) -> Problem:
    """``problem`` of reading the URL's Secret; a key in upper case is a mistake of its own."""
    words = problem.words
    if problem.reason is EnvironmentReasons.SECRET_KEY_NOT_FOUND and words["key"] == DATABASE_KEY:
        secret = await context.secret(words["secret"], named_by_live=environment.is_live)
        if secret is not None and _UPPERCASE_KEY in secret.data:
            return Problem(R.KEY_IS_UPPERCASE, secret=words["secret"])
    return problem
