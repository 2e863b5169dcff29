"""What the leader does: probe runs of the resources, and watches of what they depend on."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence, Set
from contextlib import suppress
from functools import partial
from typing import Final
from weakref import WeakKeyDictionary, ref

from mehc_checks.clients.kubernetes.api import KubernetesCluster
from mehc_checks.clients.kubernetes.memory import Cover, Memory
from mehc_checks.core.clock import now
from mehc_checks.core.limiter import Limiter
from mehc_checks.core.wire import Address
from mehc_checks.engine.check import catalogue
from mehc_checks.installation.following import Following, Read
from mehc_checks.installation.inventory import WatchedInventory
from mehc_checks.installation.objects import ObjectName, WatchedObjects, condensed
from mehc_checks.installation.served import Served
from mehc_operator import metrics
from mehc_operator.reconcile import Reconciler, Shared
from mehc_operator.scheduler import Scheduler, Trigger
from mehc_operator.store import Store
from mehc_operator.throttle import Changes, Throttle
from mehc_operator.tripwires import Tripwires

_SETTLING: Final = 5.0
"""Seconds that the first probe runs wait for the watches of Secrets and ConfigMaps."""
_COLLECTING: Final = 0.5
"""Seconds in which changed objects are collected, over all resources."""
_SWEEPING: Final = 300
"""Seconds after which watches are looked through for those that are not needed."""


class Work:
    """``start`` it and ``stop`` it, as often as the lead changes; the ``scheduler`` takes note of resources always.

    ``runs`` bounds the probe runs under way at once, ``probes`` the checks in flight. ``tripwires``: hold connections.
    """

    def __init__(
        self,
        cluster: KubernetesCluster,
        *,
        namespaces: Sequence[str],
        runs: int,
        probes: int,
        store: Store,
        tripwires: bool = True,
    ) -> None:
        self._nodes_changed = Throttle(lambda: self.scheduler.observe_change(Trigger.NODES))
        self._inventory = WatchedInventory(cluster, changed=self._nodes_changed)
        self._configuration_changed = Changes(self._tell_of_configuration)
        self._memory = Memory(cluster, self._covering, condense=condensed)
        self._served = Served(cluster, self._memory.forget, allowed=not namespaces)
        self._objects = WatchedObjects(
            cluster, namespaces, changed=self._configuration_changed, forget=self._memory.forget
        )
        self._objects_changed = Changes(self._tell_of_objects, apart=_COLLECTING)
        checks = catalogue()
        self._following = Following(
            cluster,
            frozenset(kind for check in checks.values() for kind in check.watches),
            self._objects_changed,
            forget=self._memory.forget,
            clusterwide=not namespaces,
        )
        self._servers_lost = Changes(self._tell_of_servers, apart=_COLLECTING)
        self._tripwires = Tripwires(self._servers_lost, self._users)
        self._told: WeakKeyDictionary[Reconciler, Throttle] = WeakKeyDictionary()
        self._sweeping: asyncio.Task[None] | None = None
        shared = Shared(
            checks=checks,
            memory=self._memory,
            inventory=self._inventory,
            releases=self._objects,
            store=store,
            limiter=Limiter(probes),
            clock=now,
            follow=self._following.follow,
            hold=self._tripwires.hold if tripwires else lambda *_: None,
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
        self._configuration_changed.cancel()
        self._sweeping = asyncio.create_task(self._sweep(), name="sweep")
        self.scheduler.resume()

    async def stop(self) -> None:
        """End all probe runs and watches."""
        metrics.clear()
        for task in (self._beginning, self._sweeping):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        await self.scheduler.pause()
        self._configuration_changed.cancel()
        self._nodes_changed.cancel()
        self._objects_changed.cancel()
        for told in self._told.values():
            told.cancel()
        self._servers_lost.cancel()
        await self._tripwires.stop()
        await self._following.stop()
        await self._served.stop()
        await self._objects.stop()
        await self._inventory.stop()
        self._memory.clear()

    def _covering(self, path: str, query: Mapping[str, str]) -> Cover | None:
        """The watch of what a GET of ``path`` reads (``Covering``)."""
        return (
            self._objects.covering(path)
            or self._following.covering(path, query)
            or self._served.covering(path)
        )

    def _tell_of_configuration(self, changed: Set[ObjectName]) -> None:
        """Ask for all checks of the resources that Secrets and ConfigMaps concern."""
        self.scheduler.observe_change(
            Trigger.CONFIGURATION,
            lambda reconcile: isinstance(reconcile, Reconciler) and reconcile.concerned(changed),
        )

    def _tell_of_objects(self, changed: Set[Read]) -> None:
        """Ask for the checks that have read what changed; of each resource, now and then."""
        for each in self._reconcilers():
            if each.touch(changed):
                if each not in self._told:
                    self._told[each] = Throttle(partial(self._ask, ref(each)), soon=0.0)
                self._told[each]()

    def _ask(self, whom: "ref[Reconciler]") -> None:
        self.scheduler.observe_change(Trigger.OBJECTS, lambda reconcile: reconcile is whom())

    def _tell_of_servers(self, lost: Set[Address]) -> None:
        """Ask for the checks that ask servers whose connections have ended."""
        self.scheduler.observe_change(
            Trigger.SERVERS,
            lambda reconcile: isinstance(reconcile, Reconciler) and reconcile.touch_servers(lost),
        )

    def _users(self) -> Counter[Address]:
        """How many resources use each server that a connection is held to."""
        return Counter(address for each in self._reconcilers() for address in each.servers)

    async def _sweep(self) -> None:
        """End the watches that no resource needs any more."""
        while True:
            await asyncio.sleep(_SWEEPING)
            await self._following.retain({read for each in self._reconcilers() for read in each.read})

    def _reconcilers(self) -> list[Reconciler]:
        return [each for each in self.scheduler.reconciles() if isinstance(each, Reconciler)]

    def _observed(self) -> list[metrics.Observed]:
        return [each.observed for each in self._reconcilers()]
