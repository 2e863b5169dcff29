"""One resource from trigger to status: probe, judge, write if there is news, announce what turned."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from pydantic import ValidationError

from mehc_checks.clients.kubernetes.api import Cluster
from mehc_checks.core.errors import Problem
from mehc_checks.engine.check import Check
from mehc_checks.engine.report import CheckResult
from mehc_checks.engine.request import Request, Sources, not_evaluated
from mehc_checks.engine.runner import Limiter
from mehc_checks.installation.helm import ReleaseFacts
from mehc_checks.installation.inventory import Inventory
from mehc_checks.installation.objects import ObjectName, Releases
from mehc_operator.conditions import Verdict, judge, significant, suspended, unconfirmed
from mehc_operator.events import transitions
from mehc_operator.metrics import PASS_DURATION, Observed
from mehc_operator.models import Health, ReleaseStatus, Spec, StatusReport
from mehc_operator.passes import Passes
from mehc_operator.reasons import OperatorReasons
from mehc_operator.scheduler import Due, Resource, Trigger
from mehc_operator.store import Store

log = logging.getLogger(__name__)

HEARTBEAT = timedelta(minutes=5)
"""How old ``lastProbeTime`` may become while nothing else changes."""
CONFIRM_AFTER = timedelta(seconds=2)


@dataclass(frozen=True, kw_only=True, slots=True)
class Shared:
    """What all resources share. ``passes`` bounds the passes under way, ``limiter`` the probes in flight."""

    checks: Mapping[str, Check]
    cluster: Cluster
    inventory: Inventory
    releases: Releases
    store: Store
    limiter: Limiter
    passes: asyncio.Semaphore
    clock: Callable[[], datetime]
    confirm_after: timedelta = CONFIRM_AFTER


class Reconciler:
    """The passes over one resource and what was last written for it."""

    def __init__(self, shared: Shared, resource: Resource) -> None:
        self._shared = shared
        self._namespace = resource.namespace
        sources = Sources(
            inventory=shared.inventory, releases=shared.releases, limiter=shared.limiter, clock=shared.clock
        )
        self._passes = Passes(shared.checks, shared.cluster, sources)
        self._written = _parsed(resource)
        """The status in the cluster: read from the resource when it is first seen, known from then on."""
        self._observed = Observed(
            namespace=resource.namespace, name=resource.name, status=self._written, interval=None
        )

    @property
    def observed(self) -> Observed:
        """The last judgement, written or not."""
        return self._observed

    async def __call__(self, resource: Resource, trigger: Trigger) -> Due | None:
        """Carry out one pass (``scheduler.Reconcile``)."""
        try:
            spec = Spec.model_validate(resource.spec)
        except ValidationError as error:
            self._observed = replace(self._observed, interval=None)
            await self._refuse(resource, error)
            return None
        self._observed = replace(self._observed, interval=self._passes.interval(spec))
        if spec.suspend:
            await self._write(resource, suspended(self._written, resource.generation, self._shared.clock()))
            return None
        async with self._shared.passes:
            with PASS_DURATION.time():
                status = await self._probe(resource, spec, trigger)
        pending = unconfirmed(status)
        due = Due(delay=self._passes.next_due(spec))
        if pending and self._shared.confirm_after < due.delay:
            due = Due(delay=self._shared.confirm_after, trigger=Trigger.CONFIRMATION, exact=True)
        log.log(
            logging.DEBUG if trigger is Trigger.NODES else logging.INFO,  # one for each resource, at each change
            "%s: %s, %s checks pass (%s, %s)",
            resource, status.health, status.passing, trigger, status.duration,
            extra={"namespace": resource.namespace, "resource": resource.name, "trigger": str(trigger)},
        )  # fmt: skip
        await self._write(resource, status)
        return due

    def concerned(self, changed: Iterable[ObjectName]) -> bool:
        """Whether one of the objects ``changed`` may change the verdict: passes asked for it, or it is a release."""
        return any(
            name in self._passes.asked or (name.is_release and name.namespace == self._namespace)
            for name in changed
        )

    async def _probe(self, resource: Resource, spec: Spec, trigger: Trigger) -> StatusReport:
        started = self._shared.clock()
        pending = unconfirmed(self._written)
        results = await self._passes.probe(spec, resource.namespace, trigger, pending)
        return self._judged(resource, spec, results, started)

    def _judged(
        self, resource: Resource, spec: Spec, results: tuple[CheckResult, ...], started: datetime
    ) -> StatusReport:
        now = self._shared.clock()
        verdict = Verdict(
            generation=resource.generation,
            results=results,
            confirmations=spec.confirmations,
            started=started,
            took=now - started,
            next_probe=now + self._passes.next_due(spec),
            release=_release(self._passes.facts),
        )
        return judge(verdict, self._written, self._shared.checks, now)

    async def _refuse(self, resource: Resource, error: ValidationError) -> None:
        """A spec that this version cannot read: only another version's CRD lets one through."""
        first = error.errors(include_input=False, include_url=False)[0]
        message = f"spec.{'.'.join(map(str, first['loc']))}: {first['msg']}"
        problem = Problem(OperatorReasons.SPEC_INVALID, detail=message)
        report = not_evaluated(self._shared.checks.values(), Request(), problem, self._shared.clock())
        await self._write(resource, self._judged(resource, Spec(), report.checks, report.started))

    async def _write(self, resource: Resource, status: StatusReport) -> None:
        self._observed = replace(self._observed, status=status)
        before = self._written
        if significant(status) == significant(before) and not _heartbeat_due(status, before):
            return
        if await self._shared.store.write(resource, status):
            self._written = status
            await self._shared.store.announce(resource, transitions(before, status))


def _release(facts: ReleaseFacts | None) -> ReleaseStatus | None:
    if facts is None:
        return None
    return ReleaseStatus(
        name=facts.name,
        revision=facts.revision,
        chart=facts.chart,
        status=facts.status,
        source=f"Secret {facts.secret}",
    )


def _heartbeat_due(status: StatusReport, written: StatusReport) -> bool:
    if status.last_probe_time is None or status.health is Health.SUSPENDED:
        return False
    return written.last_probe_time is None or status.last_probe_time - written.last_probe_time >= HEARTBEAT


def _parsed(resource: Resource) -> StatusReport:
    """The status as the cluster has it; empty where another version wrote what this one cannot read."""
    try:
        return StatusReport.model_validate(resource.status)
    except ValidationError:
        log.warning("the present status of %s is not readable and will be written anew", resource)
        return StatusReport()
