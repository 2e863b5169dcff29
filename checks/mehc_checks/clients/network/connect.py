"""The steps: resolve, connect, shake hands. Each raises NetworkProblem."""

import asyncio
import errno
import os
import resource
import socket
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from ipaddress import ip_address
from typing import Any, Final

from mehc_checks.clients.network import names, reach
from mehc_checks.clients.network.reasons import NetworkReasons as N
from mehc_checks.clients.network.reasons import ReachReasons
from mehc_checks.core.awaited import turned_to
from mehc_checks.core.deadline import Allowance, OwnReasons, within
from mehc_checks.core.errors import CannotEvaluate, Problem
from mehc_checks.core.outcome import Reason
from mehc_checks.core.threads import Job, Threads

_RESOLVERS: Final = Threads("resolving names", 256)
"""getaddrinfo blocks and cannot be cancelled: kept apart, so that a dead DNS server starves nothing else."""
_LOOKUPS: Final[dict[tuple[asyncio.AbstractEventLoop, tuple[str, ...], int], Job]] = {}
Place = tuple[str, int]
"""Address and port."""
_SPARE_FILES: Final = 16
_OWN: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS})
_OWN_RESOLVER: Final = frozenset({socket.EAI_MEMORY, socket.EAI_SYSTEM})
_NO_SUCH_NAME: Final = frozenset({socket.EAI_NONAME, socket.EAI_NODATA})
_NOWHERE: Final = ".invalid"
"""No name that ends so has an address (RFC 6761), whatever DNS does."""
NEVER: Final = 3600.0
"""Seconds. The deadline around it is what ends a handshake; this one would count our own lag."""


class NetworkProblem(Problem):
    """A step of reaching a server failed: one of ``NetworkReasons``, naming the address and never echoing the peer."""

    def __init__(self, reason: Reason, host: str, port: int, **words: object) -> None:
        super().__init__(reason, host=host, port=port, address=f"{host}:{port}", **words)


@dataclass(frozen=True, kw_only=True, slots=True)
class Peer:
    """A server that completed a TLS handshake. ``not_after`` is None where its certificate was not verified."""

    not_after: datetime | None
    protocol: str


def client_context(*, verify: bool = True) -> ssl.SSLContext:
    """The TLS settings of a client that trusts the system's authorities, or those of SSL_CERT_FILE.

    Shared, because reading the trust store takes many milliseconds: do not change it.
    """
    return _client_context(verify, os.environ.get("SSL_CERT_FILE"))


@cache
def _client_context(verify: bool, trust: str | None) -> ssl.SSLContext:
    """``trust`` is read by OpenSSL itself; here it only tells one context from another."""
    context = ssl.create_default_context()
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _lookup(host: str, port: int) -> Job:
    """One for all who ask meanwhile: a name that DNS does not answer holds one thread, and not one for each."""
    spelled = names.spelled(host)
    key = (asyncio.get_running_loop(), spelled, port)
    if key not in _LOOKUPS:
        job = _LOOKUPS[key] = _RESOLVERS.start(lambda: _addresses(spelled, port), key=host)
        job.done.add_done_callback(lambda _: _LOOKUPS.pop(key, None))
    return _LOOKUPS[key]


def _addresses(spelled: tuple[str, ...], port: int) -> list[Any]:
    """getaddrinfo's answer for the first of the names that has one. Raises socket.gaierror."""
    *others, last = spelled
    for name in others:
        try:
            return socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
        except socket.gaierror as error:
            if error.errno not in _NO_SUCH_NAME:
                raise
    return socket.getaddrinfo(last, port, type=socket.SOCK_STREAM)


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return "%" not in host


async def resolve(host: str, port: int, *, timeout: float) -> list[str]:
    """The IP addresses of ``host``, in the system's order of preference. Raises NetworkProblem."""
    return list(dict.fromkeys(address for address, _ in await places(host, port, timeout=timeout)))


async def places(host: str, port: int, *, timeout: float) -> list[Place]:
    """Where ``host`` is, as far as this process may connect there, in the system's order of preference.

    Connect to these, and not to ``host``, whose next answer may be another one. Raises NetworkProblem.
    """
    turned_to(host, port)
    found = [(host, port)] if _is_address(host) else await _found(host, port, timeout)
    try:
        kept = {*reach.permitted([address for address, _ in found], port)}
    except reach.NotAllowed as error:
        raise classify(error, host, port) from None
    return [place for place in found if place[0] in kept]


async def _found(host: str, port: int, timeout: float) -> list[Place]:
    try:
        found = await _RESOLVERS.result(_lookup(host, port), seconds=timeout)
    except TimeoutError:
        raise NetworkProblem(N.DNS_TIMEOUT, host, port, within=f" within {timeout:g} s") from None
    except (socket.gaierror, ValueError) as error:
        require_foreign(error)
        raise _unresolved(error, host, port) from None
    return list(dict.fromkeys((str(address[4][0]), int(address[4][1])) for address in found))


async def opened(found: list[Place], **words: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """``asyncio.open_connection`` to the first of the places that accepts. Raises OSError."""
    failure: OSError | None = None
    for address, there in found:
        try:
            return await asyncio.open_connection(address, there, **words)
        except OSError as error:
            failure = error
    raise failure or OSError()


async def connect(host: str, port: int, *, timeout: float) -> str:
    """Resolve ``host``, open a TCP connection and close it; return the address that accepted.

    Raises NetworkProblem with the fault of the last address tried.
    """
    allowance = Allowance(timeout)
    addresses = await resolve(host, port, timeout=timeout)
    async with _deadline(host, port, allowance):
        failure: OSError | None = None
        for address in addresses:
            try:
                _, writer = await asyncio.open_connection(address, port)
            except OSError as error:
                failure = error
                continue
            writer.close()
            return address
    raise classify(failure or OSError(), host, port)


async def handshake(
    host: str, port: int, context: ssl.SSLContext, *, timeout: float, server_name: str | None = None
) -> Peer:
    """Open a TCP connection, shake hands by ``context`` and close. Raises NetworkProblem."""
    allowance = Allowance(timeout)
    found = await places(host, port, timeout=timeout)
    async with _deadline(host, port, allowance):
        try:
            _, writer = await opened(
                found,
                ssl=context,
                server_hostname=server_name or host,
                ssl_handshake_timeout=NEVER,
            )
        except (OSError, UnicodeError) as error:
            raise classify(error, host, port) from None
        try:
            channel: ssl.SSLObject = writer.get_extra_info("ssl_object")
            return Peer(not_after=_not_after(channel), protocol=channel.version() or "")
        finally:
            writer.transport.abort()


def classify(error: Exception, host: str, port: int) -> NetworkProblem:
    """Name what is behind an exception of a socket, of ssl or of a client library that wraps one.

    Raises CannotEvaluate where the fault is this process's own.
    """
    require_foreign(error)
    for cause in _chain(error):
        if isinstance(cause, NetworkProblem):
            return cause
        if isinstance(cause, reach.NotAllowed):
            return NetworkProblem(ReachReasons.ADDRESS_NOT_ALLOWED, host, port, kind=cause.kind)
        if isinstance(cause, ssl.SSLCertVerificationError):
            return _certificate(cause, host, port)
        if isinstance(cause, ssl.SSLError):
            return _tls(cause, host, port)
        if isinstance(cause, socket.gaierror | UnicodeError) or "embedded null" in str(cause):
            return _unresolved(cause, host, port)
        if isinstance(cause, ConnectionRefusedError):
            return NetworkProblem(N.CONNECTION_REFUSED, host, port)
        if isinstance(cause, TimeoutError):
            return NetworkProblem(N.CONNECTION_TIMEOUT, host, port)
        if isinstance(cause, ConnectionResetError | BrokenPipeError | asyncio.IncompleteReadError):
            return NetworkProblem(N.CONNECTION_CLOSED, host, port)
        if isinstance(cause, OSError) and cause.errno in (errno.EHOSTUNREACH, errno.ENETUNREACH):
            return NetworkProblem(N.HOST_UNREACHABLE, host, port, detail="no route to host")
    return NetworkProblem(N.HOST_UNREACHABLE, host, port, detail=type(error).__name__)


def _unresolved(error: BaseException, host: str, port: int) -> NetworkProblem:
    """Why ``host`` has no address: DNS said so, or did not answer for as long as the C library asks it."""
    if not isinstance(error, socket.gaierror):
        return NetworkProblem(N.HOST_UNRESOLVABLE, host, port, detail="not a host name")
    if error.errno == socket.EAI_AGAIN and not host.rstrip(".").endswith(_NOWHERE):
        return NetworkProblem(N.DNS_TIMEOUT, host, port)
    return NetworkProblem(N.HOST_UNRESOLVABLE, host, port, detail=error.strerror)


def require_foreign(error: BaseException) -> None:
    """Raise CannotEvaluate (OVERLOADED) where ``error`` comes of what this process, or its node, has no more of."""
    for cause in _chain(error):
        if isinstance(cause, CannotEvaluate):  # as a library has wrapped it
            raise cause
        if isinstance(cause, OSError) and not isinstance(cause, socket.gaierror) and cause.errno in _OWN:
            detail = f"mehc could not open a connection ({os.strerror(cause.errno)})"
            raise CannotEvaluate(OwnReasons.OVERLOADED, detail=detail) from None
        if isinstance(cause, socket.gaierror) and cause.errno in _OWN_RESOLVER:
            detail = f"mehc could not resolve a name ({cause.strerror})"
            raise CannotEvaluate(OwnReasons.OVERLOADED, detail=detail) from None
        if isinstance(cause, MemoryError):
            raise CannotEvaluate(OwnReasons.OVERLOADED, detail="mehc has no memory left") from None


def require_files() -> None:
    """Raise CannotEvaluate (OVERLOADED) where this process has hardly a file left to open: then a library that has
    failed without a word that is known has hardly failed by its server.
    """
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        used = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - no list of objects, while there is little left
    except FileNotFoundError:  # no Linux
        return
    except OSError:
        used = most
    if used > most - _SPARE_FILES:
        raise CannotEvaluate(OwnReasons.OVERLOADED, detail=f"mehc has {used} of {most} files open")


_X509_EXPIRED = 10
_X509_NOT_YET_VALID = 9
_X509_HOST_MISMATCH = (62, 64)


def _certificate(error: ssl.SSLCertVerificationError, host: str, port: int) -> NetworkProblem:
    if error.verify_code == _X509_EXPIRED:
        return NetworkProblem(N.TLS_EXPIRED, host, port)
    if error.verify_code == _X509_NOT_YET_VALID:
        return NetworkProblem(N.TLS_NOT_YET_VALID, host, port)
    if error.verify_code in _X509_HOST_MISMATCH:
        return NetworkProblem(N.TLS_WRONG_HOST, host, port)
    return NetworkProblem(N.TLS_UNTRUSTED, host, port, detail=error.verify_message)


def _tls(error: ssl.SSLError, host: str, port: int) -> NetworkProblem:
    reason = error.reason or ""
    if reason in ("WRONG_VERSION_NUMBER", "UNKNOWN_PROTOCOL", "HTTP_REQUEST", "RECORD_LAYER_FAILURE"):
        return NetworkProblem(N.SERVER_NOT_TLS, host, port)
    if isinstance(error, ssl.SSLEOFError) or reason == "UNEXPECTED_EOF_WHILE_READING":
        return NetworkProblem(N.SERVER_NOT_TLS, host, port)
    return NetworkProblem(N.TLS_HANDSHAKE_FAILED, host, port, detail=reason or "no reason given")


def _chain(error: BaseException | None) -> list[BaseException]:
    chain: list[BaseException] = []
    while error is not None and error not in chain:
        chain.append(error)
        error = error.__cause__ or error.__context__
    return chain


def _not_after(channel: ssl.SSLObject) -> datetime | None:
    certificate = channel.getpeercert()
    if not certificate:
        return None
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(str(certificate["notAfter"])), UTC)


class _deadline:  # noqa: N801 - reads as a statement
    """Within what is left of ``allowance``; its end is a NetworkProblem naming the address."""

    def __init__(self, host: str, port: int, allowance: Allowance) -> None:
        self._host, self._port = host, port
        self._seconds = allowance.seconds
        self._timeout = within(allowance.left)

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: object
    ) -> None:
        try:
            await self._timeout.__aexit__(kind, error, trace)  # type: ignore[arg-type]
        except TimeoutError:
            raise NetworkProblem(
                N.CONNECTION_TIMEOUT, self._host, self._port, time=f"{self._seconds:g} s"
            ) from None
