"""Connections to registries, which the questions of one probe run share."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Final, Self

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from mehc_checks.clients.network import connect as net
from mehc_checks.clients.network import reach
from mehc_checks.clients.registry.keyring import Login
from mehc_checks.core.limiter import Limiter

_NAMES: Final = 0.9
"""The part of the time that a resolution may take: the fault is then that of DNS, and has its name."""
_AT_ONCE: Final = 4
"""Requests to one host, as long as it answers soon; four times as many where it does not."""
_SOON: Final = 1.0
_HEAD_START: Final = 0.25
"""Seconds in which the first question to a host may find out how it is reached, before others try for themselves."""


class Connections:
    """What the questions of one probe run share: connections, and by host and login what was found out on the way.

    ``timeout`` is the longest that one question may take, in seconds. An asynchronous context manager.
    """

    def __init__(self, *, timeout: float) -> None:
        self._timeout = timeout
        self._sessions: dict[bool, aiohttp.ClientSession] = {}
        self._slots: dict[str, Limiter] = {}
        self._first: dict[str, asyncio.Future[None]] = {}
        self.origins: dict[str, URL] = {}
        """By ``host[:port]``, whether it is reached with TLS."""
        self.accepted: set[str] = set()
        """Headers that were let in, in this probe run."""
        self._authorizations: dict[tuple[URL, Login | None, str], tuple[str, float]] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for session in self._sessions.values():
            await session.close()

    def session(self, *, proxied: bool) -> aiohttp.ClientSession:
        """The session for hosts that are asked themselves, or through a proxy. Trust is given with each request."""
        if proxied not in self._sessions:
            self._sessions[proxied] = self._session(
                # A proxy is the administrator's, wherever it is.
                aiohttp.TCPConnector(limit=0)
                if proxied
                else aiohttp.TCPConnector(
                    resolver=_Resolver(self._timeout * _NAMES), limit=0, socket_factory=reach.socket_of
                )
            )
        return self._sessions[proxied]

    @staticmethod
    def _session(connector: aiohttp.TCPConnector) -> aiohttp.ClientSession:
        # nothing is decompressed: what a digest is of is the document as it was pushed, and a bomb stays one
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            headers={"User-Agent": "mehc", "Accept-Encoding": "identity"},
        )

    @asynccontextmanager
    async def slot(self, address: str) -> AsyncIterator[None]:
        """One of the requests that ``address`` gets at once; no timeout counts the wait."""
        async with self._slots.setdefault(address, Limiter(_AT_ONCE, patience=_SOON)).slot():
            yield

    @asynccontextmanager
    async def finding_origin(self, host: str) -> AsyncIterator[None]:
        """Find out in the block how ``host`` is reached, unless another has by then: see ``origins``."""
        first = self._first.get(host)
        if first is not None:
            await asyncio.wait([first], timeout=_HEAD_START)
            yield
            return
        first = self._first[host] = asyncio.get_running_loop().create_future()
        try:
            yield
        finally:
            first.set_result(None)

    def authorization(self, origin: URL, login: Login | None, repository: str) -> str:
        """The header by which ``origin`` has let ``login`` into ``repository``; "" where there is none that lasts."""
        for where in (repository, ""):
            header, until = self._authorizations.get((origin, login, where), ("", 0.0))
            if until > asyncio.get_running_loop().time():
                return header
        return ""

    def authorize(
        self, origin: URL, login: Login | None, repository: str, header: str, seconds: float
    ) -> None:
        """Keep an ``authorization`` for ``seconds``. ``repository`` "" is all of them."""
        until = asyncio.get_running_loop().time() + seconds
        self._authorizations[origin, login, repository] = header, until


class _Resolver(AbstractResolver):
    """Resolution by ``net.places``: named when it fails, and kept off the loop's own threads."""

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=there,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address, there in await net.places(host, port, timeout=self._timeout)
        ]

    async def close(self) -> None:
        """Nothing is held."""
