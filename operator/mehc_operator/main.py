"""The operator's process: kopf watches, everything else is ours.

kopf sees the resource through ``on.event`` alone, so it keeps nothing in the user's object: no
finalizer, no annotation (docs/adr/0002-kopf-only-watches.md).
"""

import asyncio
import logging
import os
import platform
import sys
import threading
import uuid
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import aiohttp
import kopf

from mehc_checks.clients.kubernetes.api import KubernetesCluster
from mehc_checks.clients.kubernetes.paths import object_path
from mehc_checks.core.bounds import oversized
from mehc_checks.core.errors import MehcError, UsageError
from mehc_checks.core.text import counted
from mehc_checks.installation.context import now
from mehc_operator import metrics
from mehc_operator.connection import Access, connected
from mehc_operator.health import STUCK_AFTER, Verdict, serving
from mehc_operator.leader import Election
from mehc_operator.models import GROUP, PLURAL, PROBE_NOW, VERSION
from mehc_operator.scheduler import Resource, Scheduler
from mehc_operator.store import Store
from mehc_operator.work import Work

log = logging.getLogger(__name__)

_REFUSED = "the Kubernetes API rejects these credentials"
_API_TIMEOUT = 3
"""Seconds; a kubelet gives its probes not much more."""
_DEEPEST_JSON = 12_000
"""Frames. The API server takes objects of 10,000 levels, and kopf must be able to decode what we then refuse."""
_GRACE = 20.0
"""Seconds from being asked to end until the end; the chart's grace period is 30."""
_POLL = 2
"""Seconds between questions for a CustomResourceDefinition that is not there yet."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """How to run. ``namespaces`` empty watches the whole cluster; ``port`` 0 takes a free one.

    ``runs`` bounds the probe runs under way at once, ``probes`` the checks in flight. ``lease``, (namespace, name),
    is what operators beside this one are kept apart by; None: there are none, and this one leads.
    """

    access: Access
    namespaces: tuple[str, ...] = ()
    host: str = "0.0.0.0"  # noqa: S104 - kubelets probe the pod's address
    port: int = 8080
    runs: int = 64
    probes: int = 128
    lease: tuple[str, str] | None = None


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
            store=Store(
                cluster,
                instance=instance,
                may_write=lambda: election is None or election.leads,
                clock=now,
            ),
        )

        async def retire() -> None:
            _end_in_time()
            if election is not None:
                await election.retire()
            await work.stop()

        stack.push_async_callback(retire)
        watch = Watch(cluster, work.scheduler, options.namespaces, election)
        try:
            port = await stack.enter_async_context(
                serving(options.host, options.port, live=watch.live, ready=watch.ready)
            )
        except OSError as error:
            raise UsageError(f"cannot listen on {options.host}:{options.port}: {error.strerror}") from None
        log.info("health endpoints on port %s", port, extra={"port": port})
        settings = kopf.OperatorSettings()
        if options.namespaces:
            # kopf would ask for the namespaces and CRDs of the whole cluster, which no Role allows.
            settings.scanning.disabled = True
            await _wait_served(cluster)
        if election is None:
            work.start()
        else:
            election.stand(work.start, work.stop)
        try:
            await kopf.operator(
                registry=registry(options.access, work.scheduler, retire),
                settings=settings,
                # Of peering, which is off; kopf would ask for the user's name, and a pod's number need not have one.
                identity="mehc",  # type: ignore[arg-type]
                clusterwide=not options.namespaces,
                namespaces=options.namespaces,
                standalone=True,
            )
        except kopf.LoginError:
            raise UsageError(_REFUSED) from None


def _end_in_time() -> None:
    """From now on this process ends within its grace period, whatever its threads and its libraries wait for."""

    def end() -> None:
        log.warning("something did not end within %g s of being asked to", _GRACE)
        logging.shutdown()
        os._exit(0)

    last = threading.Timer(_GRACE, end)
    last.daemon = True
    last.start()


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
        log.warning("the Kubernetes API cannot be reached yet (%s)", type(error).__name__)
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
    access: Access, scheduler: Scheduler, retire: Callable[[], Awaitable[None]]
) -> kopf.OperatorRegistry:
    """The handlers. They hand over and return: kopf's per-object queues hold no work of ours.

    ``retire`` ends all tasks of ours; kopf would wait five seconds for them.
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
            return await credentials(access)
        except UsageError as error:
            raise kopf.TemporaryError(str(error), delay=10) from None

    @kopf.on.event(GROUP, VERSION, PLURAL, registry=handlers)
    async def seen(event: kopf.RawEvent, **_: Any) -> None:
        manifest: Mapping[str, Any] = event["object"]
        metadata = manifest["metadata"]
        if event["type"] == "DELETED" or metadata.get("deletionTimestamp"):
            scheduler.forget(metadata["uid"])
        else:
            scheduler.observe(as_resource(manifest))

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
    )


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

    def live(self) -> Verdict:
        """Whether due probe runs begin. An API server that is away is no reason for a restart."""
        if self._election is not None and not self._election.alive:
            return False, "not taking part in leader election any more"
        late = self._scheduler.stalled()
        if late > STUCK_AFTER:
            return False, f"a probe run is {late.total_seconds():.0f} s late, and none begins"
        return True, "ok"

    async def ready(self) -> Verdict:
        """Whether the API answers to our credentials and the watch has shown every resource there is.

        Standing by is ready, too: a rollout must not wait for a lead that the old pods still have.
        """
        limit = {"limit": "1"} if self._caught_up else {}
        try:
            async with asyncio.timeout(_API_TIMEOUT):
                lists = [await self._cluster.get(path, **limit) for path in self._paths()]
        except (MehcError, TimeoutError) as error:
            return False, str(error) or "the Kubernetes API does not respond"
        found = [item for some in lists if some for item in some["items"]]
        if any(some is None for some in lists):
            return False, f"the CustomResourceDefinition {PLURAL}.{GROUP} is not installed"
        if not self._caught_up:
            unseen = sum(not self._scheduler.knows(item["metadata"]["uid"]) for item in found)
            if unseen:
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

    def _paths(self) -> list[str]:
        if not self._namespaces:
            return [f"/apis/{GROUP}/{VERSION}/{PLURAL}"]
        return [object_path(PLURAL, name, group=GROUP, version=VERSION) for name in self._namespaces]
