"""The operator's own state over HTTP.

``/healthz`` is for restarts, ``/readyz`` for traffic and rollouts, ``/metrics`` for Prometheus.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Final

from aiohttp import web

from mehc_checks.clients.kubernetes.api import KubernetesCluster
from mehc_checks.clients.kubernetes.paths import object_path
from mehc_checks.clients.kubernetes.reader import PAGE, items, pages
from mehc_checks.core.errors import MehcError
from mehc_checks.core.text import counted
from mehc_checks.core.threads import Threads
from mehc_operator import metrics
from mehc_operator.leader import Election
from mehc_operator.models import GROUP, PLURAL, VERSION
from mehc_operator.scheduler import Scheduler

Verdict = tuple[bool, str]
"""Whether it holds, and a line that says why."""

STUCK_AFTER = timedelta(seconds=60)
_PAGES: Final = Threads("pages of metrics", 2)
_PAGE_SECONDS: Final = 60.0
_API_TIMEOUT: Final = 3
"""Seconds; a kubelet gives its probes not much more."""

_BLIND_AFTER: Final = 60
"""Seconds for which resources may be unseen by the watch before this process is no use."""


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


class Watch:
    """What the health endpoints say of the operator."""

    def __init__(
        self,
        cluster: KubernetesCluster,
        scheduler: Scheduler,
        namespaces: tuple[str, ...],
        election: Election | None = None,
    ) -> None:
        self._cluster = cluster
        self._scheduler = scheduler
        self._namespaces = namespaces
        self._election = election
        self._caught_up = False
        self._known = 0
        self._blind_since: float | None = None

    def live(self) -> Verdict:
        """Whether due probe runs begin. An API server that is away is no reason for a restart."""
        if self._election is not None and not self._election.alive:
            return False, "not taking part in leader election any more"
        if self._blind_since is not None and time.monotonic() - self._blind_since > _BLIND_AFTER:
            return False, "the watch does not show the resources that there are"
        late = self._scheduler.stalled()
        if late > STUCK_AFTER:
            return False, f"a probe run is {late.total_seconds():.0f} s late, and none begins"
        return True, "ok"

    async def ready(self) -> Verdict:
        """Whether the API answers to our credentials and the watch has shown every resource there is.

        Standing by is ready, too: a rollout must not wait for a lead that the old pods still have.
        """
        try:
            async with asyncio.timeout(_API_TIMEOUT):
                lists = [await self._uids(path) for path in self._paths()]
        except (MehcError, TimeoutError) as error:
            self._blind_since = None
            return False, str(error) or "the Kubernetes API does not respond"
        unseen = sum(not self._scheduler.knows(uid) for some in lists for uid in some or ())
        self._look(unseen)
        if any(some is None for some in lists):
            return False, f"the CustomResourceDefinition {PLURAL}.{GROUP} is not installed"
        if unseen and not self._caught_up:
            return False, f"{counted(unseen, 'resource')} not seen by the watch yet"
        self._caught_up = True
        watching = f"watching {counted(len(self._scheduler), 'resource')}"
        if self._election is None:
            return True, watching
        if self._election.trouble:
            return False, self._election.trouble
        holder = self._election.holder
        role = "leader" if self._election.leads else f"standby (leader: {holder or 'none'})"
        return True, f"{watching}, {role}"

    def _look(self, unseen: int) -> None:
        """Note since when resources are ``unseen`` without another one being seen.

        kopf looks once for a CRD that is created again, and the API server may serve it a moment later: then it
        watches nothing for good, and only a restart helps.
        """
        if not unseen or len(self._scheduler) != self._known:
            self._blind_since = None
        elif self._blind_since is None:
            self._blind_since = time.monotonic()
        self._known = len(self._scheduler)

    async def _uids(self, path: str) -> list[str] | None:
        """Of the resources there are, until all have been seen once; None where the API does not serve them."""
        found: list[str] | None = None
        size = 1 if self._caught_up else PAGE
        async for page in pages(self._cluster, path, metadata_only=True, size=size):
            metadata = [item["metadata"] for item in items(page)]
            found = [*(found or ()), *(own["uid"] for own in metadata if "deletionTimestamp" not in own)]
            if self._caught_up:
                break
        return found

    def _paths(self) -> list[str]:
        if not self._namespaces:
            return [f"/apis/{GROUP}/{VERSION}/{PLURAL}"]
        return [object_path(PLURAL, name, group=GROUP, version=VERSION) for name in self._namespaces]
