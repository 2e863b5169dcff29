"""When each resource is probed: one task per resource, probe runs bounded over all of them, namespaces in turns.

Knows neither Kubernetes nor checks. A resource's task probes, waits until the next run is due
or until something asks for one, and probes again. A changed spec ends a running one, because
its answer would be about a spec that is gone; deletion ends it for good. While another operator
leads, resources are taken note of and nothing runs.
"""

import asyncio
import logging
import random
import time
import traceback
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from typing import Any

from mehc_checks.core.limiter import Limiter

log = logging.getLogger(__name__)

_EARLIEST = 0.9
"""Intervals are shortened at random, down to this part, so that resources do not stay in step."""
_AFTER_CRASH = timedelta(seconds=30)


class Trigger(StrEnum):
    """Why a probe run begins."""

    SEEN = "seen"
    SPEC = "spec"
    PROBE_NOW = "probe-now"
    INTERVAL = "interval"
    CONFIRMATION = "confirmation"
    NODES = "nodes"
    CONFIGURATION = "configuration"
    OBJECTS = "objects"
    SERVERS = "servers"


@dataclass(frozen=True, kw_only=True, slots=True)
class Resource:
    """A resource as the watch showed it. ``spec`` and ``status`` are the raw JSON.

    ``refused`` is why the spec was not even kept, "" where it was.
    """

    uid: str
    namespace: str
    name: str
    generation: int
    probe_now: str
    spec: Mapping[str, Any]
    status: Mapping[str, Any]
    refused: str = ""

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Due:
    """When the next probe run is due. ``exact`` is for delays of seconds, which need no scattering."""

    delay: timedelta
    trigger: Trigger = Trigger.INTERVAL
    exact: bool = False


Reconcile = Callable[[Resource, Trigger], Awaitable[Due | None]]
"""Carries out one probe run and says when the next is due; None waits until something asks for one."""


class Scheduler:
    """Feed it with ``observe`` and ``forget``; probe runs are carried out from ``resume`` to ``pause``."""

    def __init__(
        self,
        make_reconcile: Callable[[Resource], Reconcile],
        *,
        runs: Limiter | None = None,
        scatter: Callable[[], float] | None = None,
    ) -> None:
        """``make_reconcile`` gives each resource its own when it is first seen, and again whenever it changed
        while probe runs were paused; ``runs`` bounds those under way; ``scatter`` gives numbers from 0 to 1."""
        self._runs = runs or Limiter(1000)
        self._make_reconcile = make_reconcile
        self._scatter = scatter or random.random
        self._entries: dict[str, _Entry] = {}
        self._running = False

    def __len__(self) -> int:
        return len(self._entries)

    def reconciles(self) -> list[Reconcile]:
        """What carries out the probe runs of each resource. May be called from another thread."""
        return [entry.reconcile for entry in list(self._entries.values())]

    def knows(self, uid: str) -> bool:
        """Whether the resource has been observed and not forgotten."""
        return uid in self._entries

    def observe(self, resource: Resource) -> None:
        """Take note of a resource that was listed, created or changed."""
        entry = self._entries.get(resource.uid)
        lean = replace(resource, status={})  # of interest once; later ones are of our own making
        if entry is None or not self._running:  # who leads meanwhile writes the status, and ours is old
            reconcile = self._make_reconcile(resource)
            entry = self._entries[resource.uid] = _Entry(lean, reconcile, self._runs, self._scatter)
            if self._running:
                entry.restart(Trigger.SEEN)
            return
        before, entry.resource = entry.resource, lean
        if before.generation != resource.generation:
            entry.restart(Trigger.SPEC)
        elif before.probe_now != resource.probe_now and resource.probe_now:
            entry.ask(Trigger.PROBE_NOW)

    def resume(self) -> None:
        """Probe every resource, now and from now on."""
        self._running = True
        for entry in self._entries.values():
            entry.restart(Trigger.SEEN)

    async def pause(self) -> None:
        """End all probe runs and wait for their end. What is observed from now on is only taken note of."""
        self._running = False
        tasks = [entry.task for entry in self._entries.values() if entry.task]
        for entry in self._entries.values():
            entry.stop()
        await asyncio.gather(*tasks, return_exceptions=True)

    def observe_change(
        self, trigger: Trigger, concerns: Callable[[Reconcile], bool] = lambda _: True
    ) -> None:
        """Take note of a change in the cluster, for the resources that it ``concerns``: all, unless told otherwise."""
        for entry in self._entries.values():
            if self._running and concerns(entry.reconcile):
                entry.ask(trigger)

    def forget(self, uid: str) -> None:
        """End whatever runs for a deleted resource. Nothing is written for it afterwards."""
        if entry := self._entries.pop(uid, None):
            entry.stop()

    def overdue(self) -> timedelta:
        """By how much the most belated waiting resource has missed its time; zero when all is well.

        A probe run that waits for its turn is late, too. May be called from another thread.
        """
        now = time.monotonic()  # the loop's time, also for other threads
        late = max((now - entry.due for entry in list(self._entries.values()) if entry.due), default=0.0)
        return timedelta(seconds=max(0.0, late))

    def stalled(self) -> timedelta:
        """For how long probe runs have been due and none has begun; zero while some do: late is not stuck."""
        if not (late := self.overdue()):
            return late
        since = time.monotonic() - self._runs.last
        return min(late, timedelta(seconds=since)) if self._runs.last else late


class _Entry:
    def __init__(
        self, resource: Resource, reconcile: Reconcile, runs: Limiter, scatter: Callable[[], float]
    ) -> None:
        self.resource = resource
        self.task: asyncio.Task[None] | None = None
        self.due = 0.0
        """Loop time of the next probe run until it begins, else 0."""
        self.reconcile = reconcile
        self._runs = runs
        self._scatter = scatter
        self._asked: Trigger | None = None
        self._wake = asyncio.Event()
        self._one_at_a_time = asyncio.Lock()
        """Held by the task; a cancelled run may need a moment to close its connections."""

    def restart(self, trigger: Trigger) -> None:
        """Begin a probe run at once, in place of the one that may be running."""
        self.stop()
        self._asked = None
        self._wake.clear()
        self.task = asyncio.create_task(self._run(trigger), name=f"mehc {self.resource}")

    def ask(self, trigger: Trigger) -> None:
        """Begin a probe run at once, or right after the one that is running."""
        if self._asked not in (Trigger.PROBE_NOW, Trigger.CONFIGURATION):  # which probe all that others would
            self._asked = trigger
        self._wake.set()

    def stop(self) -> None:
        self.due = 0.0
        if self.task:
            self.task.cancel()

    async def _run(self, trigger: Trigger) -> None:
        async with self._one_at_a_time:
            while True:
                due: Due | None
                self.due = self.due or asyncio.get_running_loop().time()
                try:
                    async with self._runs.slot(self.resource.namespace):
                        self.due = 0.0
                        due = await self.reconcile(self.resource, trigger)
                except Exception as error:  # a defect of ours must not end the resource's task
                    # Where, and not what: the error's text may hold anything that the run has read.
                    where = "".join(traceback.format_tb(error.__traceback__))
                    kind = type(error).__name__
                    log.error("the probe run of %s crashed: %s\n%s", self.resource, kind, where)  # noqa: TRY400
                    due = Due(delay=_AFTER_CRASH)
                trigger = await self._next(due)

    async def _next(self, due: Due | None) -> Trigger:
        """Wait for the next probe run and say why it begins."""
        loop = asyncio.get_running_loop()
        try:
            if due is None:
                await self._wake.wait()
            else:
                part = 1.0 if due.exact else _EARLIEST + (1 - _EARLIEST) * self._scatter()
                self.due = loop.time() + due.delay.total_seconds() * part
                async with asyncio.timeout_at(self.due):
                    await self._wake.wait()
        except TimeoutError:
            pass
        else:
            self.due = loop.time()
        self._wake.clear()
        trigger, self._asked = self._asked, None
        return trigger or (due.trigger if due else Trigger.INTERVAL)
