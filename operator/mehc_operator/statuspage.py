"""The status page: what is stored of every installation, read-only, over HTTP, on a port of its own.

It works without JavaScript; with it, events say when to fetch the page again. Nothing is loaded from elsewhere, no
cookie is set, and only GET and HEAD are answered. What readers can take is bounded: connections, followers, time.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from functools import partial
from importlib.metadata import version
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler

from mehc_checks.core.errors import CannotEvaluate
from mehc_checks.core.threads import Threads
from mehc_checks.engine.check import catalogue
from mehc_checks.render.html import policy, rendered
from mehc_checks.render.page import Served
from mehc_operator.board import Board
from mehc_operator.fleet import Asked, fleet
from mehc_operator.pages import page

MOST_CONNECTIONS: Final = 256
MOST_FOLLOWERS: Final = 64
"""Readers of events. One that is refused still has the page, and fetches it again every minute."""
FOLLOWED: Final = 600.0
"""Seconds after which a reader of events has to connect again, so that one that is gone is not kept."""
SILENT: Final = 15.0
"""Seconds in which a new connection must send the head of a request."""
ALIVE: Final = 15.0
"""Seconds between two events at most, for proxies that end silent connections."""
_APART: Final = 1.0
"""Seconds between two events at least."""
_SLOW: Final = 10.0
"""Seconds in which a reader must take an event."""
_KEEPALIVE: Final = 15.0
_TICK: Final = timedelta(seconds=10)
"""Ages are shown as of the last of these, so that a page is the same for as long."""
_KEPT: Final = 32
"""Pages that are kept rendered."""
_RENDERING: Final = Threads("status pages", 2)
_RENDER_SECONDS: Final = 20.0
_HEADERS: Final = {
    "Content-Security-Policy": policy(served=True),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_INSTALLATION: Final = "../../"
"""The page's root, as seen from the page of an installation."""


@asynccontextmanager
async def serving(host: str, port: int, board: Board, clock: Callable[[], datetime]) -> AsyncIterator[int]:
    """Serve the page and yield the port (a free one for port 0). Raises OSError when the port cannot be had."""
    pages = _Pages(board, clock)
    waiting: dict[asyncio.Protocol | None, asyncio.TimerHandle] = {}

    @web.middleware
    async def arrived(request: web.Request, handler: Handler) -> web.StreamResponse:
        if timer := waiting.pop(request.protocol, None):
            timer.cancel()
        return await handler(request)

    application = web.Application(middlewares=[arrived])
    application.on_response_prepare.append(_protected)
    application.add_routes(
        [
            web.get("/", pages.fleet),
            web.get("/installations/{namespace}/{name}", pages.installation),
            web.get("/events", pages.events, allow_head=False),
        ]
    )
    runner = web.AppRunner(
        application,
        handle_signals=False,
        access_log=None,
        shutdown_timeout=0.5,
        keepalive_timeout=_KEEPALIVE,
    )
    await runner.setup()
    if (http := runner.server) is None:
        raise RuntimeError("a runner has a server once it is set up")

    loop = asyncio.get_running_loop()

    def connection() -> asyncio.Protocol:
        if len(http.connections) >= MOST_CONNECTIONS:
            return _Full()
        protocol = http()
        waiting[protocol] = loop.call_later(SILENT, silent, protocol)
        return protocol

    def silent(protocol: web.RequestHandler) -> None:
        waiting.pop(protocol, None)
        if protocol.transport is not None:
            protocol.transport.close()

    try:
        server = await loop.create_server(connection, host, port)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()
            for timer in waiting.values():
                timer.cancel()
    finally:
        await runner.cleanup()


class _Full(asyncio.Protocol):
    """What a connection gets that is one too many: it is closed."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


async def _protected(_: web.BaseRequest, response: web.StreamResponse) -> None:
    response.headers.update(_HEADERS)
    response.headers.setdefault("Cache-Control", "no-cache")


class _Pages:
    def __init__(self, board: Board, clock: Callable[[], datetime]) -> None:
        self._board = board
        self._clock = clock
        self._checks = catalogue()
        self._rendered: OrderedDict[str, str] = OrderedDict()
        self._followers = 0

    async def fleet(self, request: web.Request) -> web.StreamResponse:
        asked = Asked.of(request.query)
        rows = self._board.rows()
        return await self._answer(
            request,
            f"/?{asked}",
            lambda now, revision: fleet(rows, asked, now, Served(root="", revision=revision)),
        )

    async def installation(self, request: web.Request) -> web.StreamResponse:
        namespace, name = request.match_info["namespace"], request.match_info["name"]
        if not self._board.has(namespace, name):
            title = "Not found"
            said = f"Namespace {namespace} has no ModelEngineHealthCheck {name}, or it was deleted."
            served = Served(root=_INSTALLATION, revision=self._board.revision)
            text = rendered("missing.html", now=self._clock(), served=served, title=title, said=said)
            return web.Response(status=404, text=text, content_type="text/html")
        return await self._answer(request, request.path, partial(self._page, namespace, name))

    def _page(self, namespace: str, name: str, now: datetime, revision: str) -> str:
        resource = self._board.one(namespace, name)
        if resource is None:  # since it was looked for
            raise web.HTTPNotFound
        return page(resource, self._checks, now, served=Served(root=_INSTALLATION, revision=revision))

    async def _answer(
        self, request: web.Request, key: str, render: Callable[[datetime, str], str]
    ) -> web.StreamResponse:
        """The page, unless the reader has it: 304. Rendered in a thread, once for all who ask."""
        revision = self._board.revision
        now = self._clock()
        now -= timedelta(seconds=now.timestamp() % _TICK.total_seconds())
        tag = f"{version('mehc')}-{revision}-{now:%Y%m%d%H%M%S}"
        known = request.if_none_match or ()
        if any(each.value == tag for each in known):
            return _tagged(web.Response(status=304), tag)
        key = f"{tag} {key}"
        text = self._rendered.get(key)
        if text is None:
            try:
                text = await _RENDERING.run(render, now, revision, seconds=_RENDER_SECONDS)
            except (CannotEvaluate, TimeoutError):
                raise web.HTTPServiceUnavailable(headers={"Retry-After": "10"}) from None
            self._rendered[key] = text
            while len(self._rendered) > _KEPT:
                self._rendered.popitem(last=False)
        response = web.Response(text=text, content_type="text/html")
        response.enable_compression()
        return _tagged(response, tag)

    async def events(self, request: web.Request) -> web.StreamResponse:
        """Server-sent events: the revision, now and whenever it is another."""
        if self._followers >= MOST_FOLLOWERS:
            raise web.HTTPServiceUnavailable(headers={"Retry-After": "60"})
        self._followers += 1
        try:
            response = web.StreamResponse(
                headers={
                    "Content-Type": "text/event-stream",
                    "Cache-Control": "no-store",
                    "X-Accel-Buffering": "no",
                }
            )
            await response.prepare(request)
            await self._follow(response)
        finally:
            self._followers -= 1
        return response

    async def _follow(self, response: web.StreamResponse) -> None:
        loop = asyncio.get_running_loop()
        end, told = loop.time() + FOLLOWED, ""
        try:
            while loop.time() < end:
                revision = self._board.revision
                line = f"event: changed\ndata: {revision}\n\n" if revision != told else ": alive\n\n"
                async with asyncio.timeout(_SLOW):
                    await response.write(line.encode())
                told = revision
                await asyncio.sleep(_APART)
                await self._board.changed(told, seconds=ALIVE)
        except (TimeoutError, ConnectionError):
            return


def _tagged(response: web.Response, tag: str) -> web.Response:
    response.headers["ETag"] = f'W/"{tag}"'
    return response
