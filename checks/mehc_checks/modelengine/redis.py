"""Which Redis the cache uses, and how.

The cache URL opens the cache of gateway, cacher and builder; KEDA's address is cut out of it (``kedaredis``). The
Celery broker is in ``broker``. Source: ``common/config.py`` of model engine and the chart's endpoint templates.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final
from urllib.parse import urlsplit

from mehc_checks.core.errors import Problem
from mehc_checks.modelengine import paths, redisurl
from mehc_checks.modelengine.configuration import AWS, Configuration, printed
from mehc_checks.modelengine.environment import RedisEnvironment
from mehc_checks.modelengine.redisconnection import Connection as Connection
from mehc_checks.modelengine.redisconnection import Path as Path
from mehc_checks.modelengine.redisreasons import RedisConnectionReasons as R
from mehc_checks.modelengine.secrets import CloudSecret
from mehc_checks.modelengine.values import Values

INFRA: Final = paths.INFRA
LAUNCH: Final = paths.LAUNCH
CACHE_FIELD: Final = "cache-url"
"""The field of the cache's secret."""
CLOUDS: Final = ("aws", "azure", "gcp", "onprem")

Secrets = Mapping[str, CloudSecret]
"""Secrets of AWS by name: those that ``cache_secret``, ``keda_secret`` and ``broker_secret`` name."""


_ONPREM_URL: Final = paths.CACHE_REDIS_ONPREM_URL
_GCP_URL: Final = paths.CACHE_REDIS_GCP_URL
_AWS_URL: Final = paths.CACHE_REDIS_AWS_URL
_AWS_SECRET: Final = paths.CACHE_REDIS_AWS_SECRET_NAME
_AZURE_HOST: Final = paths.CACHE_REDIS_AZURE_HOST
_SOURCES: Final = (_ONPREM_URL, _GCP_URL, _AWS_URL, _AWS_SECRET, _AZURE_HOST)
_WANTED: Final = {
    "aws": f"{_AWS_URL} or cache_redis_aws_secret_name",
    "azure": _AZURE_HOST,
    "gcp": _GCP_URL,
    "onprem": _ONPREM_URL,
}
_TRUST: Final = (
    "Use a certificate of a public authority, or add the authority to the trust store of the images."
)


def cloud_provider(values: Values) -> str:
    """The cloud provider that the platform acts by: aws where the key is absent, "" where it is empty or null."""
    configuration = Configuration(values)
    return given(configuration, paths.CLOUD_PROVIDER) if configuration.has(paths.CLOUD_PROVIDER) else AWS


def given(configuration: Configuration, path: str) -> str:
    """The text that the platform's processes are given for ``path``, "" where that is nothing."""
    if path.startswith(f"{paths.CONFIG}."):
        return str(configuration.read(path) or "")
    value = configuration.raw(path)
    return printed(value) if value else ""


def cache_sources(configuration: Configuration) -> list[str]:
    """The values that are set of those that can name the cache."""
    return [path for path in _SOURCES if given(configuration, path)]


def _source(configuration: Configuration) -> tuple[str, Problem | None]:
    """The value that the cache's address is from, by the platform's order of precedence, or why there is none."""
    cloud = cloud_provider(configuration.values)
    if given(configuration, _ONPREM_URL):
        return _ONPREM_URL, None
    if cloud == "onprem":
        return (_AWS_URL if given(configuration, _AWS_URL) else "redisHost"), None
    if cloud == "gcp":
        return _GCP_URL, None if given(configuration, _GCP_URL) else _no_source(cloud)
    for source, its_cloud in ((_AWS_URL, "aws"), (_AWS_SECRET, "aws"), (_AZURE_HOST, "azure")):
        if given(configuration, source):
            return source, None if cloud == its_cloud else _wrong_cloud(source, cloud)
    return "", _no_source(cloud)


def _no_source(cloud: str) -> Problem:
    wanted = _WANTED.get(cloud, f"{INFRA}.cloud_provider to one of {', '.join(CLOUDS)}")
    return Problem(R.NO_SOURCE, cloud=cloud or '""', wanted=wanted)


def _wrong_cloud(source: str, cloud: str) -> Problem:
    fix = f"Set {INFRA}.cloud_provider to one of {', '.join(CLOUDS)}."
    if cloud in _WANTED:
        fix = f"Set {source} to null, and set {_WANTED[cloud]}."
    return Problem(R.WRONG_CLOUD, source=source, cloud=cloud or '""', fix=fix)


def cache_secret(configuration: Configuration) -> str:
    """The secret of AWS that holds the cache's URL, "" where none does."""
    source, problem = _source(configuration)
    return given(configuration, source) if source == _AWS_SECRET and problem is None else ""


def cache_address(
    configuration: Configuration, secrets: Secrets, environment: RedisEnvironment | None = None
) -> tuple[str, str, Problem | None]:
    """The value that the cache's URL is from, the URL, and why there is none."""
    source, problem = _source(configuration)
    if problem:
        return source, "", problem
    if source == _AWS_SECRET:
        secret = secrets[cache_secret(configuration)]
        return source, (secret.fields or {}).get(CACHE_FIELD, ""), _cache_secret_problem(secret)
    if source == _AZURE_HOST:
        # as the platform strings it: what may stand in the host's place is read as a part of the URL
        return source, f"rediss://identity:token@{given(configuration, source)}", None
    if source == "redisHost":
        host = environment.cache_host if environment else None
        if isinstance(host, Problem):
            return source, "", host
        named = given(configuration, source) if host is None else host
        return source, f"redis://{named or 'redis'}:{redisurl.DEFAULT_PORT}/0", None
    return source, given(configuration, source), None


def named_source(configuration: Configuration, source: str) -> str:
    """``source`` of the cache's address, for a message."""
    return f"{CACHE_FIELD} of secret {cache_secret(configuration)}" if source == _AWS_SECRET else source


def cache_url(configuration: Configuration, secrets: Secrets) -> str:
    """The cache's URL, "" where there is none. On Azure user and token are stand-ins."""
    return cache_address(configuration, secrets)[1]


def _cache_secret_problem(secret: CloudSecret) -> Problem | None:
    return secret.problem(
        CACHE_FIELD,
        concerning="cache: ",
        form=f"a JSON object with {CACHE_FIELD} (redis://host:6379/0)",
        setting="cache_redis_aws_secret_name",
    )


def cache(
    configuration: Configuration, secrets: Secrets, environment: RedisEnvironment | None = None
) -> Connection:
    """The cache, as redis-py opens its URL."""
    source, url, problem = cache_address(configuration, secrets, environment)
    named = named_source(configuration, source)
    if source == "redisHost" and environment and environment.cache_host:
        named = environment.source
    written = _ONPREM_URL if source == "redisHost" else named
    connection = Connection(
        path=Path.CACHE,
        source=source,
        problem=problem,
        words={
            "concerning": "cache: ",
            "source": named,
            "credentials": written,
            "enable_tls": f"Set {written} to a rediss:// URL.",
            "disable_tls": f"Write redis:// in {written}, or enable TLS on the server.",
            "add_credentials": f"Set {written} to a URL with user and password: redis://user:password@host:6379/0.",
            "trust": _TRUST,
        },
    )
    if problem:
        return connection
    try:
        server = redisurl.of_the_cache(url)
    except ValueError as error:
        return replace(connection, problem=Problem(R.URL_INVALID, source=named, detail=str(error)))
    if not redisurl.names_host(url) and server.host == redisurl.LOCALHOST:
        detail = "it names no host, so the client connects to its own pod"
        return replace(connection, problem=Problem(R.URL_INVALID, source=named, detail=detail))
    if source == _AZURE_HOST:
        user = (environment.azure_object if environment else "") or "None"  # as Python writes what is not set
        server = replace(server, username=user, password="")
        waits = Problem(R.AZURE_TOKEN_NOT_EVALUATED, address=f"{server.host}:{server.port}")
        return replace(connection, server=server, problem=waits, login=False)
    connection = replace(connection, server=server)
    if environment and environment.of_newer_platform and "@" not in urlsplit(url).netloc:
        return _with_token(connection, environment.token, configuration)
    return connection


def _with_token(connection: Connection, token: str | Problem, configuration: Configuration) -> Connection:
    """``connection`` with the broker's token, which newer platforms put into a URL on premises without credentials."""
    on_premises = connection.source == _ONPREM_URL or cloud_provider(configuration.values) == "onprem"
    if not (token and on_premises and connection.server):
        return connection
    if isinstance(token, Problem):
        return replace(connection, server=None, problem=token)
    words = {**connection.words, "credentials": "the Secret of redis.authSecretName"}
    return replace(connection, server=replace(connection.server, password=token), words=words)
