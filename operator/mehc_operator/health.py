"""The operator's own state over HTTP.

``/healthz`` is for restarts, ``/readyz`` for traffic and rollouts, ``/metrics`` for Prometheus.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Final

from aiohttp import web

from mehc_checks.core.threads import Threads
from mehc_operator import metrics

Verdict = tuple[bool, str]
"""Whether it holds, and a line that says why."""

STUCK_AFTER = timedelta(seconds=60)
_PAGES: Final = Threads("pages of metrics", 2)
_PAGE_SECONDS: Final = 60.0


@asynccontextmanager
async def serving(
    host: str,
    port: int,
    *,
    live: Callable[[], Verdict],
    ready: Callable[[], Awaitable[Verdict]],
) -> AsyncIterator[int]:
    """Serve the endpoints and yield the port (a free one for port 0). Health is 200 or 503, and the line as text.

    Raises OSError when the port cannot be had.
    """

    async def healthz(_: web.Request) -> web.Response:
        return _response(live())

    async def readyz(_: web.Request) -> web.Response:
        return _response(await ready())

    application = web.Application()
    application.add_routes(
        [web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", _metrics)]
    )
    runner = web.AppRunner(application, handle_signals=False, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


def _response(verdict: Verdict) -> web.Response:
    holds, line = verdict
    return web.Response(status=200 if holds else 503, text=f"{line}\n")


async def _metrics(request: web.Request) -> web.Response:
    # In a thread, because the page of hundreds of resources takes long; of its own, because the loop's may all hang.
    page, content_type = await _PAGES.run(
        metrics.exposition, request.headers.get("Accept", ""), seconds=_PAGE_SECONDS
    )
    response = web.Response(body=page, headers={"Content-Type": content_type})
    response.enable_compression()
    return response
