"""Reaching a server step by step, so that each way of not reaching it has its own name."""

import asyncio
import errno
import os
import socket
import ssl
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import cache

_RESOLVERS = ThreadPoolExecutor(max_workers=32, thread_name_prefix="resolve")
"""getaddrinfo blocks and cannot be cancelled: kept apart, so that a dead DNS server starves nothing else."""


class Fault(StrEnum):
    """Why a server could not be reached, in the order in which a connection meets them."""

    UNRESOLVABLE = "unresolvable"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    """No route, or the network said so."""
    NO_ANSWER = "no answer"
    """Nothing came back in time: a firewall that drops, a dead host, or a server that hangs."""
    CLOSED = "closed"
    """The peer closed the connection in the middle of the conversation."""
    NOT_TLS = "not tls"
    """TLS was begun and the peer does not speak it."""
    TLS_UNTRUSTED = "tls untrusted"
    TLS_EXPIRED = "tls expired"
    TLS_WRONG_HOST = "tls wrong host"
    TLS_OTHER = "tls other"
    """The handshake failed otherwise: versions, ciphers, a client certificate asked for."""


class NetworkFailure(Exception):  # noqa: N818
    """A step failed. ``str()`` names the address and the step in one line, without echoing the peer."""

    def __init__(self, fault: Fault, message: str) -> None:
        super().__init__(message)
        self.fault = fault


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


async def resolve(host: str, port: int, *, timeout: float) -> list[str]:
    """The IP addresses of ``host``, in the system's order of preference. Raises NetworkFailure."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(timeout):
            found = await loop.run_in_executor(
                _RESOLVERS, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            )
    except TimeoutError:
        raise NetworkFailure(
            Fault.UNRESOLVABLE, f"the name {host} was not resolved within {timeout:g} s (DNS does not answer)"
        ) from None
    except (socket.gaierror, UnicodeError) as error:
        cause = error.strerror if isinstance(error, socket.gaierror) else "not a host name"
        raise NetworkFailure(Fault.UNRESOLVABLE, f"the name {host} does not resolve ({cause})") from None
    return list(dict.fromkeys(str(address[4][0]) for address in found))


async def connect(host: str, port: int, *, timeout: float) -> str:
    """Resolve ``host``, open a TCP connection and close it; return the address that accepted.

    Raises NetworkFailure with the fault of the last address tried.
    """
    async with _deadline(host, port, timeout):
        addresses = await resolve(host, port, timeout=timeout)
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
    """Open a TCP connection, shake hands by ``context`` and close. Raises NetworkFailure."""
    async with _deadline(host, port, timeout):
        try:
            _, writer = await asyncio.open_connection(
                host, port, ssl=context, server_hostname=server_name or host, ssl_handshake_timeout=timeout
            )
        except (OSError, UnicodeError) as error:
            raise classify(error, host, port) from None
        try:
            channel: ssl.SSLObject = writer.get_extra_info("ssl_object")
            return Peer(not_after=_not_after(channel), protocol=channel.version() or "")
        finally:
            writer.transport.abort()


def classify(error: Exception, host: str, port: int) -> NetworkFailure:
    """Name the fault behind an exception of a socket, of ssl or of a client library that wraps one."""
    where = f"{host}:{port}"
    for cause in _chain(error):
        if isinstance(cause, NetworkFailure):
            return cause
        if isinstance(cause, ssl.SSLCertVerificationError):
            return _certificate(cause, host, port)
        if isinstance(cause, ssl.SSLError):
            return _tls(cause, where)
        if isinstance(cause, socket.gaierror):
            return NetworkFailure(Fault.UNRESOLVABLE, f"the name {host} does not resolve ({cause.strerror})")
        if isinstance(cause, ConnectionRefusedError):
            return NetworkFailure(Fault.REFUSED, f"{where} refused the connection (nothing listens there)")
        if isinstance(cause, TimeoutError):
            return NetworkFailure(Fault.NO_ANSWER, f"{where} did not answer in time")
        if isinstance(cause, ConnectionResetError | BrokenPipeError | asyncio.IncompleteReadError):
            return NetworkFailure(Fault.CLOSED, f"{where} closed the connection without an answer")
        if isinstance(cause, OSError) and cause.errno in (errno.EHOSTUNREACH, errno.ENETUNREACH):
            return NetworkFailure(Fault.UNREACHABLE, f"there is no route to {where}")
    return NetworkFailure(Fault.UNREACHABLE, f"{where} could not be reached ({type(error).__name__})")


_X509_EXPIRED = 10
_X509_HOST_MISMATCH = (62, 64)


def _certificate(error: ssl.SSLCertVerificationError, host: str, port: int) -> NetworkFailure:
    where = f"{host}:{port}"
    if error.verify_code == _X509_EXPIRED:
        return NetworkFailure(Fault.TLS_EXPIRED, f"the certificate of {where} has expired")
    if error.verify_code in _X509_HOST_MISMATCH:
        return NetworkFailure(Fault.TLS_WRONG_HOST, f"the certificate of {where} is not for {host}")
    return NetworkFailure(
        Fault.TLS_UNTRUSTED, f"the certificate of {where} is not trusted ({error.verify_message})"
    )


def _tls(error: ssl.SSLError, where: str) -> NetworkFailure:
    reason = error.reason or ""
    if reason in ("WRONG_VERSION_NUMBER", "UNKNOWN_PROTOCOL", "HTTP_REQUEST", "RECORD_LAYER_FAILURE"):
        return NetworkFailure(Fault.NOT_TLS, f"{where} does not speak TLS")
    if isinstance(error, ssl.SSLEOFError) or reason == "UNEXPECTED_EOF_WHILE_READING":
        return NetworkFailure(Fault.NOT_TLS, f"{where} closed the connection when TLS was begun")
    return NetworkFailure(
        Fault.TLS_OTHER, f"the TLS handshake with {where} failed ({reason or 'no reason given'})"
    )


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
    """Like asyncio.timeout, but the timeout is a NetworkFailure naming the address."""

    def __init__(self, host: str, port: int, timeout: float) -> None:
        self._where = f"{host}:{port}"
        self._seconds = timeout
        self._timeout = asyncio.timeout(timeout)

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: object
    ) -> None:
        try:
            await self._timeout.__aexit__(kind, error, trace)  # type: ignore[arg-type]
        except TimeoutError:
            raise NetworkFailure(
                Fault.NO_ANSWER, f"{self._where} did not answer within {self._seconds:g} s"
            ) from None
