"""What the leader does: probe runs of the resources, and watches of what they depend on."""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final

from mehc_checks.clients.kubernetes.api import KubernetesCluster
from mehc_checks.core.limiter import Limiter
from mehc_checks.engine.check import catalogue
from mehc_checks.installation.context import now
from mehc_checks.installation.inventory import WatchedInventory
from mehc_checks.installation.objects import ObjectName, WatchedObjects
from mehc_operator import metrics
from mehc_operator.reconcile import Reconciler, Shared
from mehc_operator.scheduler import Scheduler, Trigger
from mehc_operator.store import Store
from mehc_operator.throttle import Throttle

_SETTLING: Final = 5.0
"""Seconds that the first probe runs wait for the watches of Secrets and ConfigMaps."""


class Work:
    """``start`` it and ``stop`` it, as often as the lead changes; the ``scheduler`` takes note of resources always.

    ``runs`` bounds the probe runs under way at once, ``probes`` the checks in flight.
    """

    def __init__(
        self,
        cluster: KubernetesCluster,
        *,
        namespaces: Iterable[str],
        runs: int,
        probes: int,
        store: Store,
    ) -> None:
        self._nodes_changed = Throttle(lambda: self.scheduler.observe_change(Trigger.NODES))
        self._inventory = WatchedInventory(cluster, changed=self._nodes_changed)
        self._changes = Changes(lambda: self.scheduler)
        self._objects = WatchedObjects(cluster, namespaces, changed=self._changes)
        shared = Shared(
            checks=catalogue(),
            cluster=cluster,
            inventory=self._inventory,
            releases=self._objects,
            store=store,
            limiter=Limiter(probes),
            clock=now,
        )
        self.scheduler = Scheduler(
            lambda resource: Reconciler(shared, resource), runs=Limiter(runs, paced=True)
        )
        self._beginning: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Probe every resource, now and from now on."""
        metrics.lead(self._observed)
        self._beginning = asyncio.create_task(self._begin(), name="begin")

    async def _begin(self) -> None:
        # Probe runs read what there is; to be told of it, too, would make each resource begin a second one at once.
        with suppress(TimeoutError):
            async with asyncio.timeout(_SETTLING):
                await self._objects.settled()
        self._changes.cancel()
        self.scheduler.resume()

    async def stop(self) -> None:
        """End all probe runs and watches."""
        metrics.clear()
        if self._beginning is not None:
            self._beginning.cancel()
            await asyncio.gather(self._beginning, return_exceptions=True)
        await self.scheduler.pause()
        self._changes.cancel()
        self._nodes_changed.cancel()
        await self._objects.stop()
        await self._inventory.stop()

    def _observed(self) -> list[metrics.Observed]:
        reconcilers = self.scheduler.reconciles()
        return [each.observed for each in reconcilers if isinstance(each, Reconciler)]


class Changes:
    """Collects Secrets and ConfigMaps that changed, and now and then tells the resources that they concern."""

    def __init__(self, scheduler: Callable[[], Scheduler]) -> None:
        self._scheduler = scheduler
        self._changed: set[ObjectName] = set()
        self._tell = Throttle(self._told)

    def __call__(self, name: ObjectName) -> None:
        self._changed.add(name)
        self._tell()

    def cancel(self) -> None:
        """Forget what nobody was told."""
        self._changed.clear()
        self._tell.cancel()

    def _told(self) -> None:
        changed, self._changed = self._changed, set()
        self._scheduler().observe_change(
            Trigger.CONFIGURATION,
            lambda reconcile: isinstance(reconcile, Reconciler) and reconcile.concerned(changed),
        )
