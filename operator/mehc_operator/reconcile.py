"""One resource from trigger to status: probe, judge, write if there is news, announce what turned."""

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Set
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from pydantic import ValidationError

from mehc_checks.clients.kubernetes.memory import Memory
from mehc_checks.clients.registry.completed import Completed
from mehc_checks.core.errors import Problem
from mehc_checks.core.limiter import Limiter
from mehc_checks.core.wire import Address, Wire
from mehc_checks.engine.check import Check
from mehc_checks.engine.report import CheckResult
from mehc_checks.engine.request import Request, Sources, not_evaluated
from mehc_checks.installation.following import Read
from mehc_checks.installation.helm import ReleaseFacts
from mehc_checks.installation.inventory import Inventory
from mehc_checks.installation.objects import Follow, ObjectName, Releases
from mehc_operator.events import transitions
from mehc_operator.history import Changes
from mehc_operator.judgement import Verdict, heartbeat_due, judge, significant, suspended, unconfirmed
from mehc_operator.limits import cut
from mehc_operator.metrics import RUN_DURATION, Observed
from mehc_operator.models import Spec
from mehc_operator.reasons import OperatorReasons
from mehc_operator.runs import ASKS_FOR_ALL, Runs
from mehc_operator.scheduler import Due, Resource, Trigger
from mehc_operator.status import ReleaseStatus, StatusReport
from mehc_operator.store import Store, Written

log = logging.getLogger(__name__)

_LONGEST_REQUEST = 256
_LONGEST_NAME = 253
_OFTEN = frozenset({Trigger.NODES, Trigger.OBJECTS, Trigger.SERVERS})
CONFIRM_AFTER = timedelta(seconds=2)


@dataclass(frozen=True, kw_only=True, slots=True)
class Shared:
    """What all resources share. ``limiter`` bounds the checks in flight."""

    checks: Mapping[str, Check]
    memory: Memory
    inventory: Inventory
    releases: Releases
    store: Store
    limiter: Limiter
    clock: Callable[[], datetime]
    follow: Follow | None = None
    hold: Callable[[Wire, float], None] = lambda *_: None
    completed: Completed = field(default_factory=Completed)
    confirm_after: timedelta = CONFIRM_AFTER


class Reconciler:
    """The probe runs of one resource and what was last written for it."""

    def __init__(self, shared: Shared, resource: Resource) -> None:
        self._shared = shared
        self._namespace = resource.namespace
        sources = Sources(
            inventory=shared.inventory, releases=shared.releases, limiter=shared.limiter, clock=shared.clock
        )
        self._runs = Runs(
            shared.checks,
            shared.memory,
            sources,
            completed=shared.completed,
            follow=shared.follow,
            hold=shared.hold,
        )
        self._written = _parsed(resource)
        """The status in the cluster: read from the resource when it is first seen, known from then on."""
        self._refused = False
        """Whether the API server did not take it: the next probe run tries again, and confirms failures meanwhile."""
        self._changes = Changes(shared.clock)
        self._observed = Observed(
            namespace=resource.namespace, name=resource.name, status=self._written, interval=None
        )

    @property
    def observed(self) -> Observed:
        """The last judgement, written or not."""
        return self._observed

    async def __call__(self, resource: Resource, trigger: Trigger) -> Due | None:
        """Carry out one probe run (``scheduler.Reconcile``)."""
        try:
            spec = Spec.model_validate(resource.spec)
        except ValidationError as error:
            await self._refuse(resource, _first(error))
            return None
        if resource.refused:
            await self._refuse(resource, resource.refused)
            return None
        self._observed = replace(self._observed, interval=self._runs.interval(spec))
        if spec.suspend:
            self._runs.let_go()
            await self._write(resource, suspended(self._written, resource.generation, self._shared.clock()))
            return None
        with RUN_DURATION.time():
            status = await self._probe(resource, spec, trigger)
        due = self._due(spec, status)
        status = status.model_copy(update={"next_probe_time": self._shared.clock() + due.delay})
        log.log(
            logging.DEBUG if trigger in _OFTEN else logging.INFO,  # one for each resource, at each change
            "%s: %s, %s checks pass (%s, %s)",
            resource, status.health, status.passing, trigger, status.duration,
            extra={"namespace": resource.namespace, "resource": resource.name, "trigger": str(trigger)},
        )  # fmt: skip
        await self._write(resource, status)
        return due

    def concerned(self, changed: Iterable[ObjectName]) -> bool:
        """Whether one of the objects ``changed`` may change the verdict: probe runs read it, or it is a release."""
        own = [
            name
            for name in changed
            if name in self._runs.asked or (name.is_release and name.namespace == self._namespace)
        ]
        for name in own:
            if not name.is_release:
                self._changes.note(f"{name.kind} {name.name} in namespace {name.namespace}")
        return bool(own)

    @property
    def read(self) -> Collection[Read]:
        """What the probe runs have read and may be told of."""
        return self._runs.read

    def touch(self, changed: Collection[Read]) -> bool:
        """Whether checks have read one of ``changed``: the next run carries them out."""
        return self._runs.touch(changed)

    @property
    def servers(self) -> Set[Address]:
        """The servers that connections are held to for this resource."""
        return self._runs.servers

    def touch_servers(self, lost: Collection[Address]) -> bool:
        """Whether checks ask a server whose connection has ended: the next run carries them out."""
        return self._runs.touch_servers(lost)

    def _due(self, spec: Spec, status: StatusReport) -> Due:
        due = Due(delay=self._runs.next_due(spec))
        if unconfirmed(status) and self._shared.confirm_after < due.delay:
            return Due(delay=self._shared.confirm_after, trigger=Trigger.CONFIRMATION, exact=True)
        ends = [mute.until - self._shared.clock() for mute in spec.mutes]
        soon = min((end for end in ends if end > timedelta(0)), default=due.delay)
        changes = self._runs.changes_in()
        if changes is not None and changes < soon:
            return Due(delay=changes, exact=True)
        return Due(delay=soon) if soon < due.delay else due

    async def _probe(self, resource: Resource, spec: Spec, trigger: Trigger) -> StatusReport:
        started = self._shared.clock()
        pending = unconfirmed(self._written)
        if trigger is Trigger.NODES:
            self._changes.note("nodes: one joined, left, or changed its labels, taints or readiness")
        if trigger is Trigger.SPEC:
            self._changes.note(f"spec of {resource.name} (generation {resource.generation})")
        results = await self._runs.probe(spec, resource.namespace, trigger, pending)
        # A run that does not carry out every check leaves the request to the one that was asked for.
        probe_now = resource.probe_now[:_LONGEST_REQUEST] if trigger in ASKS_FOR_ALL else ""
        return self._judged(resource, spec, results, started, probe_now)

    def _judged(
        self,
        resource: Resource,
        spec: Spec,
        results: tuple[CheckResult, ...],
        started: datetime,
        probe_now: str = "",
    ) -> StatusReport:
        now = self._shared.clock()
        release = _release(self._runs.facts)
        self._changes.note_release(self._written.release, release)
        verdict = Verdict(
            generation=resource.generation,
            results=results,
            confirmations=spec.confirmations,
            started=started,
            took=now - started,
            next_probe=now + self._runs.next_due(spec),
            release=release,
            probe_now=probe_now or None,
            changes=tuple(self._changes.lately(now)),
            mutes=tuple(spec.mutes),
        )
        return judge(verdict, self._written, self._shared.checks, now)

    async def _refuse(self, resource: Resource, message: str) -> None:
        """Say that the spec cannot be worked on: another version's CRD let it through, or it is too large."""
        self._runs.let_go()
        self._observed = replace(self._observed, interval=None)
        problem = Problem(OperatorReasons.SPEC_INVALID, detail=message)
        report = not_evaluated(self._shared.checks.values(), Request(), problem, self._shared.clock())
        await self._write(resource, self._judged(resource, Spec(), report.checks, report.started))

    async def _write(self, resource: Resource, status: StatusReport) -> None:
        self._observed = replace(self._observed, status=status)
        before = self._written
        known = significant(status) == significant(before) and not heartbeat_due(status, before)
        if known and not self._refused:
            return
        written = await self._shared.store.write(resource, status)
        if written is Written.GONE:
            return
        self._refused = written is Written.REFUSED
        self._written = status
        await self._shared.store.announce(resource, transitions(before, status))


def _release(facts: ReleaseFacts | None) -> ReleaseStatus | None:
    if facts is None:
        return None
    return ReleaseStatus(
        name=cut(facts.name, _LONGEST_NAME),
        revision=facts.revision,
        chart=cut(facts.chart, _LONGEST_NAME),
        status=cut(facts.status, _LONGEST_NAME),
        source=f"Secret {facts.secret}",
    )


def _first(error: ValidationError) -> str:
    first = error.errors(include_input=False, include_url=False)[0]
    return f"spec.{'.'.join(map(str, first['loc']))}: {first['msg']}"


def _parsed(resource: Resource) -> StatusReport:
    """The status as the cluster has it; empty where another version wrote what this one cannot read."""
    try:
        return StatusReport.model_validate(resource.status)
    except ValidationError:
        log.warning("the present status of %s is not readable and will be replaced", resource)
        return StatusReport()
