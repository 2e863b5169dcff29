"""The operator's process: kopf watches, everything else is ours.

kopf sees the resource through ``on.event`` alone, so it keeps nothing in the user's object: no
finalizer, no annotation (docs/adr/0002-kopf-only-watches.md).
"""

import asyncio
import logging
import os
import platform
import sys
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from typing import Any

import aiohttp
import kopf

from mehc_checks.clients.kubernetes.api import KubernetesCluster
from mehc_checks.core.bounds import oversized
from mehc_checks.core.clock import now
from mehc_checks.core.deadline import meter
from mehc_checks.core.errors import UsageError
from mehc_operator import metrics
from mehc_operator.board import Board
from mehc_operator.connection import Access, connected
from mehc_operator.ending import end_in_time
from mehc_operator.health import Watch, serving
from mehc_operator.leader import Election
from mehc_operator.models import GROUP, PLURAL, PROBE_NOW, VERSION
from mehc_operator.scheduler import Resource, Scheduler
from mehc_operator.store import Store
from mehc_operator.watching import endure
from mehc_operator.work import Work

log = logging.getLogger(__name__)

_REFUSED = "the Kubernetes API rejects these credentials"
_API_TIMEOUT = 3
"""Seconds; a kubelet gives its probes not much more."""
_DEEPEST_JSON = 12_000
"""Frames. The API server takes objects of 10,000 levels, and kopf must be able to decode what we then refuse."""
_POLL = 2
"""Seconds between questions for a CustomResourceDefinition, or for credentials to be accepted, that are not yet."""
_VALID = timedelta(days=3650)
"""For kopf, which would take up credentials that were once rejected only if they differ, and end without any. An API
server rejects sound ones while it cannot look them up, and a file's may be new: so each login differs in its end.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """How to run. ``namespaces`` empty watches the whole cluster; ``port`` 0 takes a free one. ``page_port``
    is that of the status page, and so is 0; None: there is none.

    ``runs`` bounds the probe runs under way at once, ``probes`` the checks in flight. ``lease``, (namespace, name),
    is what operators beside this one are kept apart by; None: there are none, and this one leads. ``tripwires``: hold
    idle connections to the servers that checks ask.
    """

    access: Access
    namespaces: tuple[str, ...] = ()
    host: str = "0.0.0.0"  # noqa: S104 - kubelets probe the pod's address
    port: int = 8080
    page_port: int | None = None
    runs: int = 64
    probes: int = 128
    lease: tuple[str, str] | None = None
    tripwires: bool = True


async def operate(options: Options) -> None:
    """Run until SIGTERM or SIGINT. Raises UsageError when the cluster or the port cannot be used."""
    sys.setrecursionlimit(_DEEPEST_JSON)
    instance = os.environ.get("POD_NAME") or platform.node() or "mehc"
    async with AsyncExitStack() as stack:
        cluster = KubernetesCluster(
            await stack.enter_async_context(connected(options.access)), observe=metrics.api_request
        )
        await _require_accepted(cluster)
        # The Lease has connections of its own: it must not wait for one behind hundreds of probe runs.
        own = KubernetesCluster(
            await stack.enter_async_context(connected(options.access)), observe=metrics.api_request
        )
        election = _election(own, options, instance)
        work = Work(
            cluster,
            namespaces=options.namespaces,
            runs=options.runs,
            probes=options.probes,
            tripwires=options.tripwires,
            store=Store(
                cluster,
                instance=instance,
                may_write=lambda: election is None or election.leads,
                clock=now,
            ),
        )

        async def retire() -> None:
            end_in_time()
            if election is not None:
                await election.retire()
            await work.stop()

        stack.push_async_callback(retire)
        meter().follow()
        metrics.LOOP_LAG.set_function(meter().worst)
        metrics.LATENESS.set_function(lambda: work.scheduler.overdue().total_seconds())
        watch = Watch(cluster, work.scheduler, options.namespaces, election)
        try:
            port = await stack.enter_async_context(
                serving(options.host, options.port, live=watch.live, ready=watch.ready)
            )
        except OSError as error:
            raise UsageError(f"cannot listen on {options.host}:{options.port}: {error.strerror}") from None
        log.info("health endpoints on port %s", port, extra={"port": port})
        board = await stack.enter_async_context(_status_page(options))
        settings = kopf.OperatorSettings()
        if options.namespaces:
            # kopf would ask for the namespaces and CRDs of the whole cluster, which no Role allows.
            settings.scanning.disabled = True
            await _wait_served(cluster)
        if election is None:
            work.start()
        else:
            election.stand(work.start, work.stop)
        endure()
        await kopf.operator(
            registry=registry(options.access, cluster, work.scheduler, retire, board),
            settings=settings,
            # Of peering, which is off; kopf would ask for the user's name, and a pod's number need not have one.
            identity="mehc",  # type: ignore[arg-type]
            clusterwide=not options.namespaces,
            namespaces=options.namespaces,
            standalone=True,
        )


@asynccontextmanager
async def _status_page(options: Options) -> AsyncIterator[Board | None]:
    """Serve the page where it is wanted, and yield what has to be fed. Raises UsageError."""
    if options.page_port is None:
        yield None
        return
    from mehc_operator.statuspage import serving as serving_page  # the templates' engine takes memory

    board = Board()
    async with AsyncExitStack() as stack:
        try:
            port = await stack.enter_async_context(serving_page(options.host, options.page_port, board, now))
        except OSError as error:
            where = f"{options.host}:{options.page_port}"
            raise UsageError(f"cannot serve the status page on {where}: {error.strerror}") from None
        log.info("status page on port %s", port, extra={"port": port})
        yield board


def _election(cluster: KubernetesCluster, options: Options, instance: str) -> Election | None:
    if options.lease is None:
        return None
    namespace, name = options.lease
    # A container that was restarted is another candidate: what its predecessor began may not be over.
    return Election(cluster, namespace=namespace, name=name, identity=f"{instance}_{uuid.uuid4()}")


async def _require_accepted(cluster: KubernetesCluster) -> None:
    """Raises UsageError where the API refuses our credentials. One that does not answer is waited for, by kopf."""
    try:
        async with asyncio.timeout(_API_TIMEOUT):
            status, _ = await cluster.request("GET", f"/apis/{GROUP}/{VERSION}")
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        log.warning("the Kubernetes API cannot be reached (%s)", type(error).__name__)
        return
    if status == HTTPStatus.UNAUTHORIZED:
        raise UsageError(_REFUSED)


async def _wait_served(cluster: KubernetesCluster) -> None:
    """Return when the API serves the resource: a kopf that does not scan looks for it once."""
    told = False
    while True:
        try:
            status, _ = await cluster.request("GET", f"/apis/{GROUP}/{VERSION}")
        except (aiohttp.ClientError, OSError, TimeoutError):
            status = 0
        if status == HTTPStatus.OK:
            return
        if status == HTTPStatus.NOT_FOUND and not told:
            log.warning("the CustomResourceDefinition %s.%s is not installed yet", PLURAL, GROUP)
            told = True
        await asyncio.sleep(_POLL)


def registry(
    access: Access,
    cluster: KubernetesCluster,
    scheduler: Scheduler,
    retire: Callable[[], Awaitable[None]],
    board: Board | None = None,
) -> kopf.OperatorRegistry:
    """The handlers. They hand over and return: kopf's per-object queues hold no work of ours.

    ``cluster`` tells whether the credentials of ``access`` are accepted. ``retire`` ends all tasks of ours; kopf would
    wait five seconds for them.
    """
    handlers = kopf.OperatorRegistry()

    @kopf.on.startup(registry=handlers)
    async def configure(settings: kopf.OperatorSettings, **_: Any) -> None:
        settings.posting.enabled = False
        settings.networking.request_timeout = 30
        settings.networking.connect_timeout = 10
        settings.networking.error_backoffs = [1, 1, 2, 3, 5, 8] + [10] * 60
        settings.watching.connect_timeout = 10
        settings.queueing.idle_timeout = 1.0
        settings.process.ultimate_exiting_timeout = 25

    @kopf.on.login(registry=handlers)
    async def login(**_: Any) -> kopf.ConnectionInfo:
        try:
            await _require_accepted(cluster)
            return await credentials(access)
        except UsageError as error:
            raise kopf.TemporaryError(str(error), delay=_POLL) from None

    @kopf.on.event(GROUP, VERSION, PLURAL, registry=handlers)
    async def seen(event: kopf.RawEvent, **_: Any) -> None:
        manifest: Mapping[str, Any] = event["object"]
        metadata = manifest["metadata"]
        if event["type"] == "DELETED" or metadata.get("deletionTimestamp"):
            scheduler.forget(metadata["uid"])
            if board is not None:
                board.forget(metadata["uid"])
        else:
            scheduler.observe(as_resource(manifest))
            if board is not None:
                board.observe(manifest)

    @kopf.on.cleanup(registry=handlers)
    async def stop(**_: Any) -> None:
        await retire()

    return handlers


def as_resource(manifest: Mapping[str, Any]) -> Resource:
    """The part of a ModelEngineHealthCheck's JSON that the scheduler keeps; of one that is too large, no spec."""
    metadata = manifest["metadata"]
    spec = manifest.get("spec") or {}
    too_large = oversized(spec)
    return Resource(
        uid=metadata["uid"],
        namespace=metadata["namespace"],
        name=metadata["name"],
        generation=metadata.get("generation", 0),
        probe_now=(metadata.get("annotations") or {}).get(PROBE_NOW, ""),
        spec={} if too_large else spec,
        status=manifest.get("status") or {},
        refused=f"spec: {too_large}" if too_large else "",
    )


async def credentials(access: Access) -> kopf.ConnectionInfo:
    """``access`` in kopf's terms. Raises UsageError."""
    loaded = await access.load()
    scheme, _, token = (await loaded.get_api_key_with_prefix("BearerToken") or "").rpartition(" ")
    return kopf.ConnectionInfo(
        server=loaded.host,
        ca_path=loaded.ssl_ca_cert,
        insecure=not loaded.verify_ssl,
        username=loaded.username or None,
        password=loaded.password or None,
        scheme=(scheme or "Bearer") if token else None,
        token=token or None,
        certificate_path=loaded.cert_file,
        private_key_path=loaded.key_file,
        proxy_url=loaded.proxy,
        expiration=now() + _VALID,
    )
