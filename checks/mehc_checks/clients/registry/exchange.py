"""One HTTP exchange with a registry, its token service or its layer store: bounded, and never repeated in words."""

import ipaddress
import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from types import TracebackType
from typing import Final, Self, cast

import aiohttp
from yarl import URL

from mehc_checks.clients.http.proxy import proxy_of
from mehc_checks.clients.network import connect as net
from mehc_checks.clients.network import reach
from mehc_checks.clients.network.place import is_loopback
from mehc_checks.clients.network.reasons import NetworkReasons as N
from mehc_checks.clients.registry.connections import Connections
from mehc_checks.clients.registry.reasons import RegistryReasons as R
from mehc_checks.core.deadline import Allowance, within
from mehc_checks.core.errors import Problem

NOT_FOUND: Final = HTTPStatus.NOT_FOUND


@dataclass(frozen=True, kw_only=True, slots=True)
class Access:
    """How registries are reached: the certificates to trust, and those that may be asked over plain HTTP.

    ``insecure`` are what the user of a command gives. In the operator, whose resources may be anyone's, only its
    administrator's (``reach.Reach.insecure``) count.
    """

    tls: ssl.SSLContext
    insecure: frozenset[str] = frozenset()

    def plain_allowed(self, address: str) -> bool:
        """Whether ``host[:port]`` is configured as insecure, or a loopback address, which containerd takes for that."""
        return address in self.insecure_now or is_loopback(URL(f"//{address}").host or "")

    def follows_to_plain(self, address: str) -> bool:
        """Whether this process follows from HTTPS to plain HTTP at ``address``, as runtimes do: a command does."""
        return not reach.current().restricted or address in self.insecure_now

    @property
    def insecure_now(self) -> frozenset[str]:
        """The registries that are configured as insecure, by those whose word counts here."""
        allowed = reach.current()
        return allowed.insecure if allowed.restricted else self.insecure | allowed.insecure


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """One HTTP answer; ``body`` is cut at the limit that was asked for, and ``address`` is who gave it."""

    status: int
    headers: Mapping[str, str]
    challenges: tuple[str, ...]
    body: bytes
    complete: bool
    address: str

    @property
    def media_type(self) -> str:
        return self.headers.get("Content-Type", "").partition(";")[0].strip().lower()

    @property
    def codes(self) -> frozenset[str]:
        """The error codes of the distribution protocol in the body."""
        try:
            errors = json.loads(self.body)["errors"]
            return frozenset(str(error["code"]) for error in errors)
        except (ValueError, KeyError, TypeError, RecursionError):
            return frozenset()


class Exchange:
    """HTTP exchanges that end ``timeout`` seconds after entering. An asynchronous context manager.

    ``connections`` are left open; without, each exchange opens its own.
    """

    def __init__(self, access: Access, *, timeout: float, connections: Connections | None = None) -> None:
        self._access = access
        self._timeout = timeout
        self._own = None if connections else Connections(timeout=timeout)
        self.connections: Connections = connections or cast("Connections", self._own)

    async def __aenter__(self) -> Self:
        self._allowance = Allowance(self._timeout)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._own:
            await self._own.__aexit__(kind, error, trace)

    async def once(self, method: str, url: URL, headers: Mapping[str, str], limit: int) -> Answer:
        """The answer to one request, redirects not followed. Raises NetworkProblem, or Problem (NOT_A_REGISTRY)."""
        address, host, port = address_of(url), url.host or "", url.port or 0
        proxy = proxy_of(url)
        session = self.connections.session(proxied=proxy is not None)
        try:
            if proxy:
                reach.named(host, port)
            async with (
                self.connections.slot(address),
                within(self._allowance.left),
                session.request(
                    method, url, headers=headers, allow_redirects=False, proxy=proxy, ssl=self._access.tls
                ) as response,
            ):
                body = await _read(response, limit)
                return Answer(
                    status=response.status,
                    headers=response.headers,
                    challenges=tuple(response.headers.getall("WWW-Authenticate", [])),
                    body=body[:limit],
                    complete=len(body) <= limit,
                    address=address,
                )
        except TimeoutError:
            raise net.NetworkProblem(
                N.CONNECTION_TIMEOUT, host, port, time=f"{self._timeout:.3g} s"
            ) from None
        except aiohttp.ClientHttpProxyError as error:
            raise net.NetworkProblem(
                N.HOST_UNREACHABLE, host, port, detail=f"the proxy returned HTTP {error.status}"
            ) from None
        except (aiohttp.ClientResponseError, aiohttp.ClientPayloadError):
            raise Problem(R.NOT_A_REGISTRY, address=address, detail="its answer is not HTTP") from None
        except (aiohttp.ClientError, OSError, net.NetworkProblem, ValueError) as error:
            raise _classify(error, host, port) from None


async def _read(response: aiohttp.ClientResponse, limit: int) -> bytes:
    """At most one byte more than ``limit``, so that a cut is seen."""
    parts, left = [], limit + 1
    while left > 0 and limit:
        part = await response.content.read(left)
        if not part:
            break
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def _classify(error: Exception, host: str, port: int) -> net.NetworkProblem:
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return net.NetworkProblem(N.CONNECTION_CLOSED, host, port)
    if isinstance(error, aiohttp.ClientError) and isinstance(error.__cause__, Exception):
        error = error.__cause__  # aiohttp's own pass for errors of ssl without having what those have
    return net.classify(error, host, port)


def address_of(url: URL) -> str:
    """``host[:port]``, the port only where it is not the scheme's own. Raises ValueError without a host."""
    if not url.host:
        raise ValueError("no host")
    host = f"[{url.host}]" if ":" in url.host else url.host
    return host if url.is_default_port() else f"{host}:{url.port}"


def is_link_local(address: str) -> bool:
    """Whether ``host[:port]`` is an address of this link only, where clouds keep the identities of machines."""
    try:
        return ipaddress.ip_address(URL(f"//{address}").host or "").is_link_local
    except ValueError:
        return False
