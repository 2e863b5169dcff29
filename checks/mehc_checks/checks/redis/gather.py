"""Asks each Redis that the platform uses, as that way's own client would."""

import asyncio
import ssl
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from redis.asyncio.connection import Connection, SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    RedisError,
    ResponseError,
)

from mehc_checks.clients.kubernetes.api import NoCluster, object_path
from mehc_checks.clients.network.connect import NetworkProblem, classify, client_context, connect, handshake
from mehc_checks.clients.network.reasons import NetworkReasons as N
from mehc_checks.core.errors import CannotEvaluate, NotApplicable
from mehc_checks.installation.cloudsecrets import aws_secret
from mehc_checks.installation.context import Context
from mehc_checks.modelengine.redis import (
    KEDA_AUTHENTICATION,
    Path,
    Secrets,
    Server,
    Trouble,
    Way,
    cache_sources,
    cloud_provider,
    secret_names,
    ways,
)


class Refusal(StrEnum):
    """What the server answered instead of what was asked."""

    NO_AUTH = "no auth"
    WRONG_PASSWORD = "wrong password"  # noqa: S105
    AUTH_NOT_CONFIGURED = "auth not configured"
    NO_PERMISSION = "no permission"
    DATABASE_INDEX = "database index"
    READ_ONLY = "read only"
    LOADING = "loading"
    MISCONFIGURED = "misconfigured"
    OUT_OF_MEMORY = "out of memory"
    TOO_MANY_CLIENTS = "too many clients"
    CLUSTER = "cluster"
    SPEAKS_TLS = "speaks tls"
    NOT_REDIS = "not redis"
    OTHER = "other"


_REFUSALS = (
    ("NOAUTH", Refusal.NO_AUTH),
    ("Authentication required", Refusal.NO_AUTH),
    ("WRONGPASS", Refusal.WRONG_PASSWORD),
    ("invalid username-password", Refusal.WRONG_PASSWORD),
    ("invalid password", Refusal.WRONG_PASSWORD),
    ("without any password configured", Refusal.AUTH_NOT_CONFIGURED),
    ("NOPERM", Refusal.NO_PERMISSION),
    ("has no permissions", Refusal.NO_PERMISSION),
    ("No permissions", Refusal.NO_PERMISSION),
    ("cluster mode", Refusal.CLUSTER),
    ("ClusterDownError", Refusal.CLUSTER),
    ("MovedError", Refusal.CLUSTER),
    ("DB index is out of range", Refusal.DATABASE_INDEX),
    ("invalid DB index", Refusal.DATABASE_INDEX),
    ("READONLY", Refusal.READ_ONLY),
    ("read only replica", Refusal.READ_ONLY),
    ("read-only replica", Refusal.READ_ONLY),
    ("LOADING", Refusal.LOADING),
    ("loading the dataset", Refusal.LOADING),
    ("MISCONF", Refusal.MISCONFIGURED),
    ("OOM", Refusal.OUT_OF_MEMORY),
    ("out of memory", Refusal.OUT_OF_MEMORY),
    ("command not allowed when used memory", Refusal.OUT_OF_MEMORY),
    ("max number of clients", Refusal.TOO_MANY_CLIENTS),
)
"""By the words of Redis' own errors; redis-py cuts some of their codes off."""

_COMMANDS: dict[Path, tuple[tuple[str, ...], ...]] = {
    Path.CACHE: (
        ("GET", "launch-k8s-cache:mehc-probe"),
        ("SET", "launch-k8s-cache:mehc-probe", "", "XX", "EX", "1"),
        ("LLEN", "launch-endpoint-autoscaling:mehc-probe"),
        ("LPUSHX", "launch-endpoint-autoscaling:mehc-probe", ""),
    ),
    Path.BROKER: (
        ("LLEN", "model-engine-service-builder"),
        ("LPUSHX", "model-engine-service-builder-mehc-probe", ""),
        ("SMEMBERS", "_kombu.binding.mehc-probe"),
        ("HGET", "unacked", "mehc-probe"),
        ("ZSCORE", "unacked_index", "mehc-probe"),
    ),
    Path.KEDA: (
        ("EVAL", "return redis.call('llen', KEYS[1])", "1", "launch-endpoint-autoscaling:mehc-probe"),
    ),
}
"""What each client sends, on keys that do not exist: XX and LPUSHX write only where a key does."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WayFacts:
    """One way, asked. The first failure that is set says where it ends."""

    way: Way
    network: NetworkProblem | None = None
    refusal: Refusal | None = None
    command: str = ""
    """The command that was refused, "" for the connection itself."""
    not_after: datetime | None = None
    open_to_all: bool = False
    """Credentials are configured, and the data can be read without them."""
    role: str = ""
    policy: str = ""
    max_memory: int = 0
    cluster: bool = False
    version: str = ""
    latency_ms: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class RedisFacts:
    """All ways of the installation. ``broker_secret`` names the token's Secret where it cannot be used."""

    cloud: str
    sources: tuple[str, ...]
    ways: tuple[WayFacts, ...]
    now: datetime
    token_problem: str = ""


async def redis_facts(context: Context) -> RedisFacts:
    """Derive the ways from the values and ask each, all at once, in the time that the cloud's secrets left."""
    began = time.monotonic()
    token, problem = await auth_token(context)
    derived = list(ways(context.values, token, await context.gather(redis_secrets)))
    for way in derived:
        context.redactor.add(way.server.password if way.server else None)
    derived = [await _proved(context, way) for way in derived]
    left = context.network_timeout - (time.monotonic() - began)
    asked = await asyncio.gather(*(_ask(way, left) for way in derived))
    return RedisFacts(
        cloud=cloud_provider(context.values),
        sources=tuple(cache_sources(context.values)),
        ways=tuple(asked),
        now=context.clock(),
        token_problem=problem,
    )


async def _proved(context: Context, way: Way) -> Way:
    """``way``, without KEDA's password where the cluster does not say that KEDA is given it.

    Values name both secret and address, and whoever may write the resource writes values: what the operator may read
    of AWS must not go to an address of theirs. Without a cluster the values are of the one who asks.
    """
    if not (way.password_secret and way.server and way.server.password):
        return way
    if isinstance(context.cluster, NoCluster):
        return way
    namespace = context.endpoint_namespace
    path = object_path(
        "triggerauthentications", namespace, KEDA_AUTHENTICATION, group="keda.sh", version="v1alpha1"
    )
    try:
        await context.prove_endpoint_namespace()
        found = await context.reader.get(path)
    except CannotEvaluate as error:
        return way.without_password(Trouble.KEDA_SECRET_UNPROVEN, str(error))
    given = (found or {}).get("spec", {}).get("awsSecretManager", {}).get("secrets") or []
    if any(item.get("parameter") == "password" and item.get("name") == way.password_secret for item in given):
        return way
    what = "does not name it" if found else "does not exist"
    detail = f"TriggerAuthentication {KEDA_AUTHENTICATION} in namespace {namespace} {what}"
    return way.without_password(Trouble.KEDA_SECRET_UNPROVEN, detail)


async def redis_secrets(context: Context) -> Secrets:
    """The secrets of AWS that the ways are derived from, all asked at once; to be had by ``Context.gather``."""
    names = secret_names(context.values)
    read = await asyncio.gather(*(aws_secret(context, name) for name in names))
    return {secret.name: secret for secret in read}


async def auth_token(context: Context) -> tuple[str, str]:
    """REDIS_AUTH_TOKEN, and what keeps it from being read."""
    name = context.values.text("redis.authSecretName")
    if not name:
        return context.values.text("redis.auth") or "", ""
    try:
        secret = await context.secret(name)
    except NotApplicable as reason:
        return "", str(reason)
    if secret is None:
        return "", f"Secret {name} of redis.authSecretName does not exist in namespace {context.namespace}"
    if len(secret.data) == 1:
        return next(iter(secret.data.values())).strip(), ""
    for key in ("auth_token", "auth-token", "REDIS_AUTH_TOKEN", "token", "auth", "password"):
        if key in secret.data:
            return secret.data[key].strip(), ""
    return "", f"Secret {name} of redis.authSecretName holds no token"


_NOT_ASKED = frozenset({Trouble.KEDA_AUTH_ELSEWHERE, Trouble.KEDA_SECRET_UNNAMED})
"""KEDA gets no credentials: what the server would say to another client is beside the point."""


_NOT_AUTHENTICATED = frozenset({Trouble.AZURE_TOKEN, Trouble.SECRET_UNREAD, Trouble.KEDA_SECRET_UNPROVEN})
"""The client has credentials, and this process has not: the server is reached and no more."""


async def _ask(way: Way, timeout: float) -> WayFacts:
    server = way.server
    if server is None or way.trouble in _NOT_ASKED:
        return WayFacts(way=way)
    try:
        async with asyncio.timeout(timeout / 2):
            return await _converse(way, server, timeout / 4)
    except NetworkProblem as failure:
        return WayFacts(way=way, network=failure)
    except TimeoutError:
        return WayFacts(way=way, network=await _no_answer(server, timeout / 2))


async def _no_answer(server: Server, timeout: float) -> NetworkProblem:
    """Which step is not answered: the name, the connection, or what is said over it."""
    try:
        await connect(server.host, server.port, timeout=timeout)
    except NetworkProblem as failure:
        return failure
    return NetworkProblem(N.CONNECTION_TIMEOUT, server.host, server.port)


async def _converse(way: Way, server: Server, timeout: float) -> WayFacts:
    clock = time.monotonic()
    facts = WayFacts(way=way)
    if way.trouble in _NOT_AUTHENTICATED:
        if not server.tls:
            await connect(server.host, server.port, timeout=timeout)
            return facts
        peer = await handshake(
            server.host, server.port, client_context(verify=server.verify), timeout=timeout
        )
        return replace(facts, not_after=peer.not_after)
    connection = open_connection(server)
    try:
        try:
            async with asyncio.timeout(timeout):
                await connection.connect()  # type: ignore[no-untyped-call]
            facts = replace(facts, not_after=_not_after(connection))
            for command in _COMMANDS[way.path]:
                if refusal := await _refusal(connection, *command):
                    return replace(facts, refusal=refusal, command=command[0])
        except (RedisError, OSError) as error:
            return await _explained(facts, server, error, timeout)
        facts = replace(await _described(facts, connection), latency_ms=(time.monotonic() - clock) * 1000)
    finally:
        await connection.disconnect(nowait=True)
    if server.password:
        facts = replace(facts, open_to_all=await _open_to_all(server, _COMMANDS[way.path][0]))
    return facts


def open_connection(server: Server) -> Connection:
    """A connection as the platform's client would make it, not yet connected."""
    options: dict[str, Any] = {
        "host": server.host,
        "port": server.port,
        "db": server.db,
        "username": server.username or None,
        "password": server.password or None,
        "decode_responses": True,
        "retry": Retry(NoBackoff(), 0),
        "driver_info": None,
        "protocol": 2,
    }
    if not server.tls:
        return Connection(**options)
    connection = SSLConnection(**options, ssl_check_hostname=server.verify)
    connection.ssl_context.context = client_context(verify=server.verify)
    return connection


async def _explained(facts: WayFacts, server: Server, error: Exception, timeout: float) -> WayFacts:
    """Name what ended the connection: the server's own words, or what it speaks instead."""
    if isinstance(error, AuthenticationError):
        wanted = Refusal.WRONG_PASSWORD if server.password else Refusal.NO_AUTH
        return replace(facts, refusal=_named(error) or wanted)
    if refusal := _named(error):
        return replace(facts, refusal=refusal)
    failure = classify(error, server.host, server.port)
    if server.tls:
        return replace(facts, network=await _behind_tls(server, failure, timeout))
    if failure.reason in (N.CONNECTION_CLOSED, N.HOST_UNREACHABLE, N.CONNECTION_TIMEOUT):
        refusal = await _behind_plain(server, failure, timeout)
        return replace(facts, refusal=refusal) if refusal else replace(facts, network=failure)
    return replace(facts, network=failure)


async def _behind_tls(server: Server, failure: NetworkProblem, timeout: float) -> NetworkProblem:
    """Redis' plain port waits for the rest of what looks like a command: it leaves TLS clients without an answer."""
    if failure.reason is N.CONNECTION_TIMEOUT and await _answers_plain(server, timeout):
        return NetworkProblem(N.SERVER_NOT_TLS, server.host, server.port)
    if failure.reason is N.CONNECTION_CLOSED:
        detail = "the server closed it; it may require a client certificate"
        return NetworkProblem(N.TLS_HANDSHAKE_FAILED, server.host, server.port, detail=detail)
    return failure


async def _answers_plain(server: Server, timeout: float) -> bool:
    """Whether a plain PING gets one of Redis' answers, be it an error."""
    try:
        async with asyncio.timeout(timeout):
            reader, writer = await asyncio.open_connection(server.host, server.port)
            try:
                writer.write(b"PING\r\n")
                return (await reader.read(1)) in (b"+", b"-")
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return False


async def _behind_plain(server: Server, failure: NetworkProblem, timeout: float) -> Refusal | None:
    """A plain client was not understood: by a TLS port, or by something that is no Redis."""
    try:
        await handshake(server.host, server.port, client_context(), timeout=timeout)
    except NetworkProblem as second:
        if second.reason in (N.TLS_UNTRUSTED, N.TLS_EXPIRED, N.TLS_WRONG_HOST, N.TLS_HANDSHAKE_FAILED):
            return Refusal.SPEAKS_TLS
        answered = second.reason in (N.SERVER_NOT_TLS, N.CONNECTION_CLOSED)
        return Refusal.NOT_REDIS if answered and failure.reason is N.HOST_UNREACHABLE else None
    return Refusal.SPEAKS_TLS


async def _refusal(connection: Connection, *command: str) -> Refusal | None:
    """What the server answered instead of a result. Raises RedisError or OSError when it answered nothing."""
    try:
        await connection.send_command(*command)
        await connection.read_response()
    except ResponseError as error:
        return _named(error) or Refusal.OTHER
    return None


def _named(error: Exception) -> Refusal | None:
    text = f"{type(error).__name__} {error}"
    return next((refusal for words, refusal in _REFUSALS if words in text), None)


async def _described(facts: WayFacts, connection: Connection) -> WayFacts:
    """What INFO tells; unchanged where the user may not ask for it."""
    try:
        await connection.send_command("INFO")
        text: Any = await connection.read_response()
    except RedisError:
        return facts
    info = dict(line.split(":", 1) for line in str(text).splitlines() if ":" in line)
    return replace(
        facts,
        role=info.get("role", ""),
        policy=info.get("maxmemory_policy", ""),
        max_memory=int(info.get("maxmemory") or 0),
        cluster=info.get("cluster_enabled") == "1",
        version=info.get("redis_version", ""),
    )


async def _open_to_all(server: Server, command: tuple[str, ...]) -> bool:
    """Whether the first read works without credentials too."""
    connection = open_connection(replace(server, username="", password=""))
    try:
        await connection.connect()  # type: ignore[no-untyped-call]
        return await _refusal(connection, *command) is None
    except (RedisError, NetworkProblem, OSError):
        return False
    finally:
        await connection.disconnect(nowait=True)


def _not_after(connection: Connection) -> datetime | None:
    writer = connection._writer
    channel = writer.get_extra_info("ssl_object") if writer else None
    certificate = channel.getpeercert() if channel else None
    if not certificate:
        return None
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(str(certificate["notAfter"])), UTC)
