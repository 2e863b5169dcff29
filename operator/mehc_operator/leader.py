"""Which of several operators acts: the one that holds a Lease (docs/adr/0004-a-lease-elects-the-leader.md).

The rules are those of client-go's leader election, which other operators and kube-scheduler use: whoever finds
the Lease free, or not renewed for its duration by the clock here, takes it; the API server's optimistic locking lets
one of them win. The leader stops well before others may take its place.
"""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

import aiohttp

from mehc_checks.clients.kubernetes.api import KubernetesCluster
from mehc_checks.clients.kubernetes.paths import object_path
from mehc_checks.clients.kubernetes.texts import is_missing

log = logging.getLogger(__name__)

_GROUP, _VERSION, _LEASES = "coordination.k8s.io", "v1", "leases"


@dataclass(frozen=True, kw_only=True, slots=True)
class Terms:
    """The times of an election, in seconds.

    ``duration``: others take a Lease that they have not seen renewed for so long. ``deadline``: a leader that could
    not renew for so long acts no more. ``renew``: between the leader's renewals. ``retry``: between attempts of the
    others, lengthened at random by up to a fifth, and how long one attempt may take.
    """

    duration: int = 10
    deadline: float = 7.0
    renew: float = 3.0
    retry: float = 2.0


class Election:
    """One candidate. ``identity`` must be unique: two with the same would both lead."""

    def __init__(
        self,
        cluster: KubernetesCluster,
        *,
        namespace: str,
        name: str,
        identity: str,
        terms: Terms | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.identity = identity
        self.holder = ""
        """Who held the Lease when it was last read; empty for nobody."""
        self.trouble = ""
        """Why the Lease can be neither read nor taken; empty while it can."""
        self._cluster = cluster
        self._namespace = namespace
        self._name = name
        self._terms = terms or Terms()
        self._clock = clock
        self._lease: Mapping[str, Any] = {}
        """As it was last read or written."""
        self._seen = 0.0
        """When the Lease last changed before our eyes: clocks of other machines do not matter."""
        self._until = 0.0
        """Until when we lead."""
        self._task: asyncio.Task[None] | None = None

    def __str__(self) -> str:
        return f"Lease {self._namespace}/{self._name}"

    @property
    def leads(self) -> bool:
        """Whether we may act now. It ends by itself, also while nothing of ours gets to run."""
        return self._clock() < self._until

    @property
    def alive(self) -> bool:
        """Whether we are a candidate. One that is none, after a defect of ours, would never act again."""
        return self._task is not None and not self._task.done()

    def stand(self, lead: Callable[[], None], rest: Callable[[], Awaitable[None]]) -> None:
        """Become a candidate: ``lead`` is called whenever we begin to lead, ``rest`` whenever we must not any more."""
        self._task = asyncio.create_task(self._run(lead, rest), name="election")

    async def retire(self) -> None:
        """Rest for good, and release the Lease, so that others take over at once."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        if self.leads:
            self._until = 0.0
            with suppress(aiohttp.ClientError, OSError, TimeoutError):
                async with asyncio.timeout(self._terms.retry):
                    await self._write({"holderIdentity": "", "leaseDurationSeconds": 1})

    async def _run(self, lead: Callable[[], None], rest: Callable[[], Awaitable[None]]) -> None:
        while True:
            while not await self._take():  # noqa: ASYNC110 - what is waited for is elsewhere
                await asyncio.sleep(self._terms.retry * random.uniform(1.0, 1.2))  # noqa: S311
            log.info("leading: %s is held by %s", self, self.identity)
            lead()
            try:
                why = await self._hold()
            finally:
                await rest()
            log.warning("standing by: %s", why)

    async def _take(self) -> bool:
        """One attempt to lead."""
        began = self._clock()
        try:
            async with asyncio.timeout(self._terms.retry):
                taken = await self._read() and self._is_free() and await self._write(self._ours())
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            self._troubled(f"the Kubernetes API cannot be reached ({type(error).__name__})")
            return False
        if taken:
            self._until = began + self._terms.deadline
        return taken

    async def _hold(self) -> str:
        """Renew for as long as that works. Returns why it no longer does."""
        pause = self._terms.renew
        while True:
            await asyncio.sleep(min(pause, max(0.0, self._until - self._clock())))
            began = self._clock()
            if not self.leads:
                return f"{self} could not be renewed for {self._terms.deadline:g} s"
            try:
                async with asyncio.timeout(min(self._terms.retry, self._until - began)):
                    # Somebody may have touched the Lease without taking it, so a conflict is no loss yet.
                    renewed = await self._write(self._ours()) or (
                        await self._read() and not self._is_lost() and await self._write(self._ours())
                    )
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                self._troubled(f"the Kubernetes API cannot be reached ({type(error).__name__})")
                renewed = False
            if self._is_lost():
                self._until = 0.0
                return f"{self} was taken by {self.holder or 'nobody'}"
            if renewed and self.leads:  # else the answer came too late, and what we held back is lost
                self._until = began + self._terms.deadline
            pause = self._terms.renew if renewed else 1.0

    def _is_free(self) -> bool:
        if not self.holder or self.holder == self.identity:
            return True
        duration = (self._lease.get("spec") or {}).get("leaseDurationSeconds") or self._terms.duration
        return self._clock() - self._seen > duration

    def _is_lost(self) -> bool:
        return self.holder != self.identity

    def _ours(self) -> dict[str, Any]:
        return {"holderIdentity": self.identity, "leaseDurationSeconds": self._terms.duration}

    async def _read(self) -> bool:
        """Look at the Lease. True when it is known, also that there is none; raises what ``request`` raises."""
        path = object_path(_LEASES, self._namespace, self._name, group=_GROUP, version=_VERSION)
        status, answer = await self._cluster.request("GET", path)
        if is_missing(status, answer):
            self._known({})
            return True
        return self._answered(status, answer, "get")

    async def _write(self, wanted: Mapping[str, Any]) -> bool:
        """Put ``wanted`` into the Lease as it was last seen. False where it has changed since, or is refused."""
        spec = dict(self._lease.get("spec") or {})
        now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        if spec.get("holderIdentity") != wanted["holderIdentity"]:
            spec["acquireTime"] = now
            spec["leaseTransitions"] = int(spec.get("leaseTransitions") or 0) + bool(self._lease)
        spec |= {**wanted, "renewTime": now}
        collection = object_path(_LEASES, self._namespace, group=_GROUP, version=_VERSION)
        if not self._lease:
            metadata = {"name": self._name, "namespace": self._namespace}
            body = {"apiVersion": f"{_GROUP}/{_VERSION}", "kind": "Lease", "metadata": metadata, "spec": spec}
            status, answer = await self._cluster.request("POST", collection, body=body)
            return self._answered(status, answer, "create")
        # The resourceVersion that comes with it makes the API server refuse what is based on an old state.
        body = {**self._lease, "spec": spec}
        status, answer = await self._cluster.request("PUT", f"{collection}/{self._name}", body=body)
        return self._answered(status, answer, "update")

    def _answered(self, status: int, answer: Mapping[str, Any], verb: str) -> bool:
        if status in (HTTPStatus.OK, HTTPStatus.CREATED) and answer.get("kind") == "Lease":
            self._known(answer)
            return True
        if status == HTTPStatus.FORBIDDEN:
            self._troubled(f"not allowed to {verb} {_LEASES}.{_GROUP} {self._name} in {self._namespace}")
        elif status != HTTPStatus.CONFLICT:
            self._troubled(f"the Kubernetes API answered {status} to {verb} {_LEASES}.{_GROUP}")
        return False

    def _known(self, lease: Mapping[str, Any]) -> None:
        version = (lease.get("metadata") or {}).get("resourceVersion")
        if version != (self._lease.get("metadata") or {}).get("resourceVersion") or not self._seen:
            self._seen = self._clock()
        self._lease = lease
        self.holder = (lease.get("spec") or {}).get("holderIdentity") or ""
        self.trouble = ""

    def _troubled(self, trouble: str) -> None:
        if trouble != self.trouble:
            log.warning("%s: %s", self, trouble)
        self.trouble = trouble
