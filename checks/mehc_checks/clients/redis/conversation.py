"""Asks a Redis server as redis-py would, and names what is in the way. Raises NetworkProblem and RedisProblem."""

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Final, cast

from redis.asyncio.connection import Connection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, RedisError, ResponseError

from mehc_checks.clients.network.connect import (
    NetworkProblem,
    classify,
    client_context,
    connect,
    handshake,
    places,
)
from mehc_checks.clients.network.reasons import NetworkReasons as N
from mehc_checks.clients.redis.bounded import Bounded, BoundedConnection, BoundedSSLConnection, TooMuch
from mehc_checks.clients.redis.plain import unless_plain
from mehc_checks.clients.redis.reasons import RedisServerReasons as R
from mehc_checks.clients.redis.server import Server
from mehc_checks.core.deadline import within
from mehc_checks.core.errors import Problem
from mehc_checks.core.outcome import Reason

_ERRORS: Final[tuple[tuple[str, Reason], ...]] = (
    ("NOAUTH", R.AUTH_REQUIRED),
    ("Authentication required", R.AUTH_REQUIRED),
    ("WRONGPASS", R.AUTH_REJECTED),
    ("invalid username-password", R.AUTH_REJECTED),
    ("invalid password", R.AUTH_REJECTED),
    ("without any password configured", R.AUTH_NOT_CONFIGURED),
    ("NOPERM", R.PERMISSION_DENIED),
    ("has no permissions", R.PERMISSION_DENIED),
    ("No permissions", R.PERMISSION_DENIED),
    ("cluster mode", R.CLUSTER_MODE),
    ("ClusterDownError", R.CLUSTER_MODE),
    ("MovedError", R.CLUSTER_MODE),
    ("DB index is out of range", R.DATABASE_INDEX),
    ("invalid DB index", R.DATABASE_INDEX),
    ("READONLY", R.READ_ONLY),
    ("read only replica", R.READ_ONLY),
    ("read-only replica", R.READ_ONLY),
    ("LOADING", R.LOADING),
    ("loading the dataset", R.LOADING),
    ("MISCONF", R.WRITES_REJECTED),
    ("OOM", R.OUT_OF_MEMORY),
    ("out of memory", R.OUT_OF_MEMORY),
    ("command not allowed when used memory", R.OUT_OF_MEMORY),
    ("max number of clients", R.TOO_MANY_CLIENTS),
    ("protected mode", R.PROTECTED_MODE),
    ("Link with MASTER is down", R.PRIMARY_LOST),
    ("Not enough good replicas", R.REPLICAS_MISSING),
    ("busy running a script", R.SCRIPT_RUNNING),
    ("unknown command", R.COMMAND_DISABLED),
    ("unencrypted connection is prohibited", N.TLS_REQUIRED),  # Redis Enterprise
    ("Bad TLS header", N.TLS_REQUIRED),  # Dragonfly
)
"""By the words of Redis' own errors; redis-py cuts some of their codes off."""
_OF_EVERY_SERVER: Final = frozenset({"GET", "SET", "SELECT", "LLEN", "MULTI"})
"""Only a Sentinel knows none of these."""
_FAULTS: Final = (RedisError, OSError, ValueError, RecursionError)
"""What redis-py raises: the last two where answers are none of Redis', or a host is none."""
_CERTIFICATE: Final = (
    *(N.TLS_UNTRUSTED, N.TLS_EXPIRED, N.TLS_NOT_YET_VALID),
    *(N.TLS_WRONG_HOST, N.TLS_HANDSHAKE_FAILED),
)


class RedisProblem(Problem):
    """The server's answer is one of ``RedisServerReasons``. It names the address and the user, and no password."""

    def __init__(self, reason: Reason, server: Server, **words: object) -> None:
        user = server.username or "default"
        address = f"{server.host}:{server.port}"
        super().__init__(
            reason, **{"address": address, "user": user, "db": server.db, "command": "the connection"} | words
        )


class Conversation:
    """An open, authenticated connection. ``not_after`` is when its certificate expires, None where not verified."""

    def __init__(self, server: Server, connection: Connection, timeout: float) -> None:
        self._server = server
        self._connection = connection
        self._timeout = timeout
        self.not_after = _not_after(connection)

    @property
    def streams(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """The connection itself, of which what is read is not bounded."""
        reader = cast("Bounded", self._connection._reader)
        return reader.stream, cast("asyncio.StreamWriter", self._connection._writer)

    async def ask(self, *command: str) -> Any:
        """The answer to one command, text decoded. Raises Problem."""
        return (await self.ask_all([command]))[0]

    async def ask_all(self, commands: Iterable[tuple[str, ...]]) -> list[Any]:
        """The answers to ``commands``, sent in one round trip. Raises Problem for the first that is refused."""
        asked = list(commands)
        try:
            await self._connection.send_packed_command(self._connection.pack_commands(asked))
            return [await self._answer(command) for command in asked]
        except _FAULTS as error:
            raise await _explained(self._server, error, self._timeout) from None

    async def rehearse(self, commands: Iterable[tuple[str, ...]]) -> None:
        """Have the server check that the user is allowed ``commands``, and a transaction, and carry out none of them.

        They are queued in a transaction that ends with the connection, never with EXEC. Queueing checks what carrying
        out would: permissions, memory, whether writes are accepted. Raises Problem for the first that is refused.
        """
        await self.ask_all([("MULTI",), ("EXEC",), ("MULTI",)])
        for command in commands:
            await self.ask(*command)

    async def info(self) -> Mapping[str, str]:
        """What INFO tells; empty where the user may not ask for it."""
        try:
            text = await self.ask("INFO")
        except RedisProblem:
            return {}
        return dict(line.split(":", 1) for line in str(text).splitlines() if ":" in line)

    async def _answer(self, command: tuple[str, ...]) -> Any:
        try:
            return await self._connection.read_response()
        except ResponseError as error:
            raise _answered(self._server, error, command) from None


@asynccontextmanager
async def conversation(server: Server, *, timeout: float) -> AsyncIterator[Conversation]:
    """Connect, log in and select the database within ``timeout`` seconds. Raises Problem."""
    connection = _connection(server)
    connection.places = await places(server.host, server.port, timeout=timeout)
    try:
        try:
            async with within(timeout):
                connecting = connection.connect()  # type: ignore[no-untyped-call]
                await (unless_plain(connecting, server, timeout=timeout) if server.tls else connecting)
                await _require_redis(connection, server)
        except _FAULTS as error:
            raise await _explained(server, error, timeout) from None
        yield Conversation(server, connection, timeout)
    finally:
        await connection.disconnect(nowait=True)


async def reach(server: Server, *, timeout: float) -> datetime | None:
    """Connect without logging in; when the certificate expires, None without TLS. Raises NetworkProblem."""
    if not server.tls:
        await connect(server.host, server.port, timeout=timeout)
        return None
    context = client_context(verify=server.verify)
    shaking = handshake(server.host, server.port, context, timeout=timeout)
    return (await unless_plain(shaking, server, timeout=timeout)).not_after


async def not_answered(server: Server, *, timeout: float) -> NetworkProblem:
    """Which step gets no answer: the name, the connection, or what is said over it. ``timeout`` in seconds."""
    try:
        await connect(server.host, server.port, timeout=timeout)
    except NetworkProblem as failure:
        return failure
    return NetworkProblem(N.CONNECTION_TIMEOUT, server.host, server.port, time=f"{timeout:.1f} s")


def _connection(server: Server) -> BoundedConnection | BoundedSSLConnection:
    """A connection as redis-py makes it, not yet connected."""
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
        # whoever asks has a deadline, of which our own lag is no part
        "socket_timeout": None,
        "socket_connect_timeout": None,
    }
    if not server.tls:
        return BoundedConnection(**options)
    connection = BoundedSSLConnection(**options, ssl_check_hostname=server.verify)
    connection.ssl_context.context = client_context(verify=server.verify)
    return connection


async def _require_redis(connection: Connection, server: Server) -> None:
    """Raises RedisProblem where PING is answered with anything else than PONG, or a refusal."""
    await connection.send_command("PING")
    try:
        answer = await connection.read_response()
    except ResponseError:
        return
    if answer != "PONG":
        raise RedisProblem(R.NOT_REDIS, server)


def _not_after(connection: Connection) -> datetime | None:
    writer = connection._writer
    channel = writer.get_extra_info("ssl_object") if writer else None
    certificate = channel.getpeercert() if channel else None
    if not certificate:
        return None
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(str(certificate["notAfter"])), UTC)


def _answered(server: Server, error: ResponseError, command: tuple[str, ...]) -> RedisProblem:
    reason = _named(error) or R.SERVER_ERROR
    if reason is R.COMMAND_DISABLED and command[0] in _OF_EVERY_SERVER:
        reason = R.SENTINEL
    return RedisProblem(reason, server, **_denied(str(error), command))


def _denied(text: str, asked: tuple[str, ...]) -> dict[str, object]:
    """What an ACL denies, and the rule that allows it, by the words of Redis' own error."""
    command = asked[0]
    if re.search(r"\bchannels?\b", text):
        return {"command": command, "denied": f"{command} on channel {', '.join(asked[1:2])}", "grant": "&*"}
    if re.search(r"\bkeys?\b", text):
        first = 3 if command.startswith("EVAL") else 1
        key = "".join(asked[first : first + 1]).partition("\x06")[0]
        return {"command": command, "denied": f"{command} on key {key}", "grant": "~*"}
    return {"command": command, "denied": f"the command {command}", "grant": f"+{command.lower()}"}


def _named(error: Exception) -> Reason | None:
    text = f"{type(error).__name__} {error}"
    return next((reason for words, reason in _ERRORS if words in text), None)


async def _explained(server: Server, error: Exception, timeout: float) -> Problem:
    """Name what ended the connection: the server's own words, or what it speaks instead."""
    if isinstance(error, (TooMuch, RecursionError)):
        return RedisProblem(R.NOT_REDIS, server)
    reason = _named(error)
    if reason is None and isinstance(error, AuthenticationError):
        reason = R.AUTH_REJECTED if server.password else R.AUTH_REQUIRED
    if reason is None and isinstance(error, ResponseError):
        return RedisProblem(R.SERVER_ERROR, server, command="AUTH or SELECT" if server.password else "SELECT")
    if reason:
        return RedisProblem(reason, server, **_denied(str(error), ("SELECT",)))
    failure = classify(error, server.host, server.port)
    if "Connection closed by server" in str(error):  # redis-py's own words, with no cause
        failure = NetworkProblem(N.CONNECTION_CLOSED, server.host, server.port)
    if server.tls:
        if failure.reason is N.CONNECTION_CLOSED:
            detail = "the server closed it; it may require a client certificate"
            return NetworkProblem(N.TLS_HANDSHAKE_FAILED, server.host, server.port, detail=detail)
        return failure
    if failure.reason in (N.CONNECTION_CLOSED, N.HOST_UNREACHABLE, N.CONNECTION_TIMEOUT):
        return await _behind_plain(server, failure, timeout)
    return failure


async def _behind_plain(server: Server, failure: NetworkProblem, timeout: float) -> Problem:
    """A plain client was not understood: by a TLS port, or by something that is not Redis."""
    try:
        await handshake(server.host, server.port, client_context(), timeout=timeout)
    except NetworkProblem as second:
        if second.reason not in _CERTIFICATE:
            answered = second.reason in (N.SERVER_NOT_TLS, N.CONNECTION_CLOSED)
            not_redis = answered and failure.reason is N.HOST_UNREACHABLE
            return RedisProblem(R.NOT_REDIS, server) if not_redis else failure
    return NetworkProblem(N.TLS_REQUIRED, server.host, server.port)
