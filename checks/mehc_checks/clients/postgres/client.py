"""Opens a session and says why that is not possible: the server's own words are read, and never repeated."""

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import psycopg

from mehc_checks.clients.network.connect import (
    NetworkProblem,
    classify,
    require_files,
    require_foreign,
    resolve,
)
from mehc_checks.clients.network.reasons import NetworkReasons as N
from mehc_checks.clients.network.relay import LOCAL, Relay, relay
from mehc_checks.clients.postgres.reasons import PostgresReasons
from mehc_checks.clients.postgres.server import Server
from mehc_checks.core.deadline import Allowance, OwnReasons, within
from mehc_checks.core.errors import CannotEvaluate, Problem
from mehc_checks.core.outcome import Reason

R = PostgresReasons
_MOST_BYTES: Final = 4 * 1024 * 1024
"""Of all that a server says in one session; the catalog of a large schema has some hundred thousand."""
_Place = tuple[str, str, int]
"""Host, address and port."""
Session = psycopg.AsyncConnection[tuple[Any, ...]]


class PostgresProblem(Problem):
    """The server answered, and not with a session: one of ``PostgresReasons``."""

    def __init__(self, reason: Reason, server: Server, **words: object) -> None:
        super().__init__(
            reason,
            host=server.host,
            address=server.address,
            user=server.user,
            database=server.database,
            **words,
        )


_POOLER: Final = (
    "query_wait_timeout|server_login_retry|server login has been failing|cannot connect to server"
)
"""PgBouncer's words, before a session exists or at its first query."""
_OWN: Final = "Too many open files|could not create socket"
"""libpq's words for what this process has no more of."""
_EXTERNAL: Final = "(?P<method>PAM|LDAP|RADIUS|Ident|Peer|GSSAPI|SSPI|BSD|certificate) authentication failed"
_REFUSALS: Final[tuple[tuple[str, Reason], ...]] = (
    (_POOLER, R.POOLER_WAITS),
    ("password authentication failed|SASL authentication failed", R.PASSWORD_REJECTED),
    (_EXTERNAL, R.EXTERNAL_AUTH_REJECTED),
    ("no password supplied", R.PASSWORD_MISSING),
    ("is not permitted to log in", R.ROLE_REJECTED),
    ("role .* does not exist", R.ROLE_REJECTED),
    ("pg_hba.conf .*(?:SSL encryption|SSL on)", R.PG_HBA_REJECTED),  # without TLS it was tried as well
    ("no pg_hba.conf entry .*(?:no encryption|SSL off)", R.TLS_REQUIRED),
    ("SSL connection is required|requires TLS connections", R.TLS_REQUIRED),
    ("valid client certificate|certificate required", R.TLS_HANDSHAKE_FAILED),
    ("pg_hba.conf (entry|rejects)", R.PG_HBA_REJECTED),
    ("database .* does not exist|no such database", R.DATABASE_NOT_FOUND),
    ("permission denied for database", R.PRIVILEGES_MISSING),
    ("does not support SSL", R.SERVER_NOT_TLS),
    ("server certificate for .* does not match", R.TLS_WRONG_HOST),
    ("certificate has expired", R.TLS_EXPIRED),
    ("certificate is not yet valid", R.TLS_NOT_YET_VALID),
    ("certificate verify failed|server certificate|root certificate", R.TLS_UNTRUSTED),
    (
        "too many (clients|connections)|remaining connection slots|no more connections allowed",
        R.TOO_MANY_CONNECTIONS,
    ),
    ("the database system is", R.SERVER_NOT_READY),
    ("received invalid response|invalid response to SSL|expected authentication request", R.NOT_POSTGRESQL),
)
"""libpq gives no SQLSTATE for what happens before a session exists, so its own English words do, and PgBouncer's."""


@asynccontextmanager
async def session(server: Server, *, timeout: float) -> AsyncIterator[Session]:
    """An open session, which is to be done with within ``timeout`` seconds after it was begun.

    Raises NetworkProblem and PostgresProblem, also for what fails in the block: a query, or its time.
    """
    relays: list[Relay] = []
    try:
        async with AsyncExitStack() as stack, within(timeout):
            yield await _open(server, timeout, stack, relays)
    except TimeoutError:
        raise NetworkProblem(N.CONNECTION_TIMEOUT, server.host, server.port, time=f"{timeout:g} s") from None
    except psycopg.Error as error:
        if re.search(_POOLER, str(error)):
            raise PostgresProblem(R.POOLER_WAITS, server) from None
        too_much = any(each.exhausted for each in relays)
        state = "none: its answer has no end" if too_much else error.sqlstate or type(error).__name__
        raise PostgresProblem(R.QUERY_FAILED, server, sqlstate=state) from None


@asynccontextmanager
async def held_session(server: Server, *, timeout: float) -> AsyncIterator[tuple[Session, Relay]]:
    """A session without an end, begun within half of ``timeout`` seconds, and the relay that it goes through.

    Raises NetworkProblem and PostgresProblem, and in the block what psycopg raises.
    """
    relays: list[Relay] = []
    async with AsyncExitStack() as stack:
        opened = await _open(server, timeout, stack, relays)
        yield opened, next(each for each in relays if each.local == opened.info.port)


async def _open(server: Server, timeout: float, stack: AsyncExitStack, relays: list[Relay]) -> Session:
    """A session that ``stack`` closes. Half of the time is for it to begin."""
    allowance = Allowance(timeout / 2)
    places = await _places(server, timeout / 2)
    try:
        async with within(allowance.left):
            reached = await _relayed(places, timeout / 2 / len(places), stack, relays)
            opened = await stack.enter_async_context(await _connect(server, reached))
            for each in relays:
                each.in_use = True
            return opened
    except TimeoutError:
        seconds = f"{timeout / 2:g}"
        raise NetworkProblem(N.CONNECTION_TIMEOUT, server.host, server.port, time=f"{seconds} s") from None
    except PostgresProblem as problem:
        for each in relays:
            if each.failure:
                require_foreign(each.failure)
        if problem.reason is R.PG_HBA_REJECTED and server.options.get("sslmode") == "disable":
            await _raise_for_tls(server, timeout / 4)
        raise


async def _raise_for_tls(server: Server, timeout: float) -> None:
    """Raise where the access rules reject only sessions without TLS."""
    encrypted = replace(server, options={**server.options, "sslmode": "require"})
    try:
        async with session(encrypted, timeout=timeout):
            pass
    except NetworkProblem:
        return
    except PostgresProblem as problem:
        if problem.reason in (R.PG_HBA_REJECTED, R.SERVER_NOT_TLS):
            return
    raise PostgresProblem(R.TLS_REQUIRED, server)


async def _relayed(
    places: list[_Place], timeout: float, stack: AsyncExitStack, relays: list[Relay]
) -> list[_Place]:
    """The ways on loopback to those of ``places`` that accept. Raises NetworkProblem where none does."""
    reached: list[_Place] = []
    failure: Exception | None = None
    for host, address, port in places:
        try:
            async with within(timeout):
                relays.append(await stack.enter_async_context(relay(address, port, most=_MOST_BYTES)))
        except OSError as error:  # TimeoutError, too
            failure = failure or classify(error, host, port)
        else:
            reached.append((host, LOCAL, relays[-1].local))
    if failure and not reached:
        raise failure
    return reached


async def _places(server: Server, timeout: float) -> list[_Place]:
    """Host, address and port of all that may be tried, in their order. Raises NetworkProblem where there is none."""
    found: list[_Place] = []
    failure: NetworkProblem | None = None
    for host, port in server.places:
        try:
            found += [(host, address, port) for address in await resolve(host, port, timeout=timeout)]
        except NetworkProblem as problem:
            failure = failure or problem
    if failure and not found:
        raise failure
    return found


async def _connect(server: Server, places: list[_Place]) -> Session:
    """A session with the first of ``places`` that accepts, by the server's own TLS options."""
    hosts, addresses, ports = zip(*places, strict=True)
    try:
        return await psycopg.AsyncConnection.connect(
            host=",".join(hosts),
            hostaddr=",".join(addresses),
            port=",".join(map(str, ports)),
            user=server.user,
            password=server.password,
            dbname=server.database,
            application_name="mehc",
            gssencmode="disable",
            autocommit=True,
            prepare_threshold=None,  # a pooler may give each statement another backend
            **_options(server.options),
        )
    except psycopg.OperationalError as error:
        if found := re.search(_OWN, str(error)):
            detail = f"mehc could not open a connection ({found[0]})"
            raise CannotEvaluate(OwnReasons.OVERLOADED, detail=detail) from None
        raise _refused(str(error), server) from None


def _refused(text: str, server: Server) -> Problem:
    """The problem that ``text``, libpq's, is about. Raises CannotEvaluate where that may be of our own making."""
    for pattern, reason in _REFUSALS:
        if found := re.search(pattern, text):
            words: dict[str, object] = dict(found.groupdict())
            if reason is R.TLS_UNTRUSTED:
                words = {"detail": "its authority is unknown"}
            if reason is R.TLS_HANDSHAKE_FAILED:
                words = {"detail": "it requires a client certificate"}
            if reason is R.PRIVILEGES_MISSING:
                words = {
                    "objects": f"database {server.database}",
                    "grant": f'GRANT CONNECT ON DATABASE "{server.database}" TO "{server.user}";',
                }
            return PostgresProblem(reason, server, **words)
    if re.search("server closed the connection|Connection reset", text):
        return classify(ConnectionResetError(), server.host, server.port)
    require_files()
    return PostgresProblem(R.SESSION_REJECTED, server)


def _options(options: Mapping[str, str]) -> dict[str, Any]:
    """libpq's parameters. A certificate file of the gateway's image is not here to verify with."""
    kept: dict[str, Any] = {"sslmode": "prefer", **options}
    root = kept.get("sslrootcert")
    unverifiable = kept["sslmode"].startswith("verify") and not root
    if unverifiable or (root and root != "system" and not Path(root).exists()):
        kept.pop("sslrootcert", None)
        kept["sslmode"] = "require"
    return kept
