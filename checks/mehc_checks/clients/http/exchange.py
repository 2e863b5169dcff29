"""One bounded HTTP exchange: a request with one deadline over all steps and a bounded body; each fault has a reason.

No redirects, cookies or retries: a caller that needs one does it by hand.
"""

import base64
import json
import ssl
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from socket import AF_INET, AF_INET6, AI_NUMERICHOST, AddressFamily
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from mehc_checks.clients.http.proxy import proxy_of
from mehc_checks.clients.http.reasons import HttpReasons
from mehc_checks.clients.network import connect as net
from mehc_checks.clients.network import reach
from mehc_checks.clients.network.connect import NetworkProblem
from mehc_checks.core.deadline import Allowance, within

_MOST_HEADER: Final = 65536
"""Bytes of one header."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Response:
    """An answer. ``body`` is decompressed; where it was larger than allowed, it is cut and ``complete`` is False.

    ``headers`` ignores case. ``seconds`` is the time from the first step to the last byte.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    complete: bool
    seconds: float

    @property
    def ok(self) -> bool:
        return HTTPStatus.OK <= self.status < HTTPStatus.MULTIPLE_CHOICES

    def json(self) -> Any:
        """What the body says, or None where it is not JSON."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None


async def get(
    url: str,
    *,
    timeout: float,
    tls: ssl.SSLContext | None = None,
    headers: Mapping[str, str] | None = None,
    most: int = 65536,
) -> Response:
    """``send`` a GET."""
    return await send("GET", url, timeout=timeout, tls=tls, headers=headers, most=most)


async def send(
    method: str,
    url: str,
    *,
    timeout: float,
    tls: ssl.SSLContext | None = None,
    headers: Mapping[str, str] | None = None,
    data: bytes | None = None,
    most: int = 65536,
    proxied: bool = False,
) -> Response:
    """Send a request to ``url``, byte for byte, and read the answer; all within ``timeout`` seconds.

    User and password in ``url`` are sent as basic authentication. ``most``: bytes of the body that are read, packed
    and unpacked. ``proxied``: through the proxy that the environment names, if any, which then resolves the host.
    Raises NetworkProblem (one of ``HttpReasons``), or ValueError where ``url`` cannot be one.
    """
    host, port = address(url)
    target, login = _split(url)
    allowance = Allowance(timeout)
    proxy = proxy_of(target) if proxied else None
    if proxy:
        connector = aiohttp.TCPConnector(ssl=tls or net.client_context())
        _require_named(host, port)
    else:
        places = await net.places(host, port, timeout=timeout)
        connector = aiohttp.TCPConnector(
            ssl=tls or net.client_context(), resolver=_Resolved(places), socket_factory=reach.socket_of
        )
    try:
        async with (
            within(allowance.left),
            aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": "mehc", "Accept-Encoding": "gzip", **login, **(headers or {})},
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
                auto_decompress=False,  # unpacked below, and bounded: few bytes may unpack to very many
                max_line_size=_MOST_HEADER,
                max_field_size=_MOST_HEADER,
            ) as session,
            session.request(method, target, data=data, allow_redirects=False, proxy=proxy) as response,
        ):
            body = bytearray()
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) > most:
                    break
    except TimeoutError:
        raise NetworkProblem(HttpReasons.CONNECTION_TIMEOUT, host, port, time=f"{timeout:.3g} s") from None
    except aiohttp.ClientHttpProxyError as error:
        detail = f"the proxy returned HTTP {error.status}"
        raise NetworkProblem(HttpReasons.HOST_UNREACHABLE, host, port, detail=detail) from None
    except aiohttp.ClientResponseError:
        raise NetworkProblem(HttpReasons.SERVER_NOT_HTTP, host, port) from None
    except (aiohttp.ServerDisconnectedError, aiohttp.ClientPayloadError):
        raise NetworkProblem(HttpReasons.CONNECTION_CLOSED, host, port) from None
    except (aiohttp.ClientError, OSError) as error:
        # aiohttp's own errors pass for those of ssl without having what these have
        cause = error.__cause__
        raise net.classify(cause if isinstance(cause, Exception) else error, host, port) from None
    packed = response.headers.get("Content-Encoding", "").lower() == "gzip"
    try:
        text, complete = _unpacked(bytes(body), most) if packed else (bytes(body[:most]), len(body) <= most)
    except zlib.error:
        detail = ": its body is not the gzip that it claims to be"
        raise NetworkProblem(HttpReasons.SERVER_NOT_HTTP, host, port, detail=detail) from None
    return Response(
        status=response.status,
        headers=response.headers,
        body=text,
        complete=complete,
        seconds=allowance.spent,
    )


def _require_named(host: str, port: int) -> None:
    """Raises NetworkProblem for a host that a proxy is not to be asked for."""
    try:
        reach.named(host, port)
    except reach.NotAllowed as error:
        raise net.classify(error, host, port) from None


def address(url: str) -> tuple[str, int]:
    """The host and the port that ``url`` leads to. Raises ValueError where it is no http:// or https:// URL."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("not an http:// or https:// URL")
    return parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)


def _split(url: str) -> tuple[URL, dict[str, str]]:
    """``url`` without its user and password, and the header that carries them."""
    parts = urlsplit(url)
    if parts.username is None:
        return URL(url, encoded=True), {}
    bare = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return URL(bare, encoded=True), {"Authorization": f"Basic {base64.b64encode(login.encode()).decode()}"}


def _unpacked(body: bytes, most: int) -> tuple[bytes, bool]:
    """``body`` decompressed, and whether that is all of it. Raises zlib.error where it is broken."""
    unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    text = unpacker.decompress(body[:most], most)
    more = bool(unpacker.unconsumed_tail) or len(body) > most
    if not unpacker.eof and not more:
        raise zlib.error("cut short")
    return text, not more


class _Resolved(AbstractResolver):
    """Leads every name to ``places``."""

    def __init__(self, places: Sequence[net.Place]) -> None:
        self._places = places

    async def resolve(self, host: str, port: int = 0, family: AddressFamily = AF_INET) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host,
                host=found,
                port=there,
                family=AF_INET6 if ":" in found else AF_INET,
                proto=0,
                flags=AI_NUMERICHOST,
            )
            for found, there in self._places
        ]

    async def close(self) -> None:
        """Nothing is held."""
