"""One resource's probe runs: which checks are due, their results, and when to look again."""

import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from mehc_checks.clients.kubernetes.memory import Memory, Remembering
from mehc_checks.clients.registry.completed import Completed
from mehc_checks.core.deadline import Strain, calm
from mehc_checks.core.errors import CannotEvaluate, Problem, UsageError
from mehc_checks.core.outcome import Status
from mehc_checks.core.wire import Address, Wire
from mehc_checks.engine.check import Check
from mehc_checks.engine.reasons import OF_TIME, RunnerReasons
from mehc_checks.engine.report import CheckResult, Report
from mehc_checks.engine.request import Request, Sources, diagnose, not_evaluated
from mehc_checks.installation.following import Read
from mehc_checks.installation.helm import ReleaseFacts
from mehc_checks.installation.objects import Follow, ObjectName, Recording
from mehc_operator.metrics import PROBE_DURATION
from mehc_operator.models import Spec
from mehc_operator.request import request
from mehc_operator.scheduler import Trigger

ASKS_FOR_ALL = frozenset({Trigger.SEEN, Trigger.SPEC, Trigger.PROBE_NOW, Trigger.CONFIGURATION})
"""After these, every check is carried out."""
_WELL = frozenset({Status.PASS, Status.WARN, Status.SKIP})
_SECOND_LOOKS = 2
_SOONEST = timedelta(seconds=1)
"""Until a check is carried out whose judgement changes by time alone: many grace periods may end together."""
_SLACK = 0.8
"""A check is due when this part of its interval is over: probe runs are scattered, and must not just miss it."""


@dataclass(slots=True)
class Runs:
    """The probe runs of one resource. Keeps results between them, for checks with intervals of their own."""

    checks: Mapping[str, Check]
    memory: Memory
    sources: Sources
    completed: Completed = field(default_factory=Completed)
    facts: ReleaseFacts | None = None
    """Of the release that the last run found."""
    asked: set[ObjectName] = field(default_factory=set)
    """The Secrets and ConfigMaps that the runs have read."""
    read: set[Read] = field(default_factory=set)
    """The collections of all else that the runs have read."""
    follow: Follow | None = None
    """Awaited before one of them is read."""
    hold: Callable[[Wire, float], None] = lambda *_: None
    """Takes connections to servers that a run has found sound, and when it began."""
    _servers: dict[str, set[Address]] = field(default_factory=dict)
    """By check, the servers that it has offered a connection to."""
    _offered: list[Wire] = field(default_factory=list)
    _results: dict[str, CheckResult] = field(default_factory=dict)
    _probed: dict[str, float] = field(default_factory=dict)
    """When each check was last carried out, by a clock that nobody sets (monotonic seconds)."""
    _touched: set[str] = field(default_factory=set)
    """The checks that have read what has changed since they were last carried out."""

    @property
    def clock(self) -> Callable[[], datetime]:
        return self.sources.clock

    async def probe(
        self, spec: Spec, namespace: str, trigger: Trigger, pending: Iterable[str]
    ) -> tuple[CheckResult, ...]:
        """Probe what is due and return the results of all checks, in the order of the catalogue.

        ``pending`` are the checks whose failure waits for confirmation: a run for their sake probes only them, and
        those that have read what has changed since. Never raises for what is wrong with the spec: that is a result
        too.
        """
        if trigger in (Trigger.SEEN, Trigger.SPEC):
            self._results.clear()
            self.asked.clear()
            self.read.clear()
            self._servers.clear()
        self._offered.clear()  # of a run that was ended
        touched, self._touched = self._touched, set()
        now = time.monotonic()
        due = [
            check
            for check in self.checks.values()
            if self._is_due(check, spec, trigger, {*pending, *touched}, now)
        ]
        for result in await self._carry_out(due, spec, namespace, fresh=self._is_doubtful(due, trigger)):
            self._results[result.name] = result
            self._probed[result.name] = now
            self._use(result)
            if result.status is not Status.SKIP:
                PROBE_DURATION.labels(check=result.name).observe(result.duration.total_seconds())
        for wire in self._offered:
            self.hold(wire, now)
        return tuple(self._results[name] for name in self.checks)

    def touch(self, changed: Collection[Read]) -> bool:
        """Take note of what changed; whether a check has read it and is to be told."""
        self._touched |= {
            check.name
            for check in self.checks.values()
            for read in changed
            if read in self.read and read.kind in check.follows
        }
        return bool(self._touched)

    def touch_servers(self, lost: Collection[Address]) -> bool:
        """Take note of servers whose connections have ended; whether a check asks one of them."""
        kinds = {address.kind for address in lost if address in self.servers}
        self._touched |= {check.name for check in self.checks.values() if check.asks & kinds}
        return bool(kinds)

    @property
    def servers(self) -> set[Address]:
        """Those that connections are held to for this resource."""
        return set().union(*self._servers.values())

    def let_go(self) -> None:
        """Need no connection any more."""
        self._servers.clear()

    def _use(self, result: CheckResult) -> None:
        """Note which servers a check has offered connections to; where it fails, those from before, too: one of them
        may be why, and come back."""
        kinds = self.checks[result.name].asks
        found = {wire.address for wire in self._offered if wire.address.kind in kinds}
        if result.status in (Status.FAIL, Status.ERROR):
            found |= self._servers.get(result.name, set())
        self._servers[result.name] = found

    def interval(self, spec: Spec) -> timedelta:
        """The time between two probe runs: the shortest interval of its checks."""
        own = (spec.interval_of(name) for name in self.checks if spec.options_of(name).enabled)
        return min(own, default=spec.interval_of())

    def next_due(self, spec: Spec) -> timedelta:
        """The time until the next check is due, by their intervals and when each was last carried out."""
        now = time.monotonic()
        left = [
            timedelta(seconds=self._probed.get(name, now) - now) + spec.interval_of(name)
            for name in self.checks
            if spec.options_of(name).enabled
        ]
        return max(min(left, default=spec.interval_of()), timedelta(0))

    def changes_in(self) -> timedelta | None:
        """The time until a judgement is another one although nothing has changed; None where it stays."""
        ends = [each.changes_at for each in self._results.values() if each.changes_at]
        return max(min(ends) - self.clock(), _SOONEST) if ends else None

    def _is_due(self, check: Check, spec: Spec, trigger: Trigger, pending: set[str], now: float) -> bool:
        if check.name not in self._results or trigger in ASKS_FOR_ALL or check.name in pending:
            return True
        if (changes_at := self._results[check.name].changes_at) and changes_at <= self.clock():
            return True
        if trigger in (Trigger.CONFIRMATION, Trigger.OBJECTS, Trigger.SERVERS):
            return False
        if trigger is Trigger.NODES:
            return check.follows_nodes
        since = timedelta(seconds=now - self._probed[check.name])
        return since >= spec.interval_of(check.name) * _SLACK

    def _is_doubtful(self, due: Iterable[Check], trigger: Trigger) -> bool:
        """Whether the cluster is to be read, whatever is remembered: it was asked for, or something is not well."""
        known = [self._results.get(check.name) for check in due]
        return trigger in ASKS_FOR_ALL or not all(each and each.status in _WELL for each in known)

    async def _carry_out(
        self, due: list[Check], spec: Spec, namespace: str, *, fresh: bool
    ) -> tuple[CheckResult, ...]:
        """With what is remembered, unless ``fresh``: that can only confirm, and what is news is read again first."""
        remembering = Remembering(self.memory, fresh=fresh)
        report = await self._reported(due, spec, namespace, remembering, fresh=fresh)
        if not fresh and self._is_news(report) and not await remembering.confirm():
            again = Remembering(self.memory, fresh=True)
            report = await self._reported(due, spec, namespace, again, fresh=True)
        self.facts = report.release
        return report.checks

    async def _reported(
        self, due: list[Check], spec: Spec, namespace: str, cluster: Remembering, *, fresh: bool
    ) -> Report:
        started = self.clock()
        recording = Recording(cluster, self.asked, self.read, self.follow)
        asked = Request()
        try:
            asked = request(spec, namespace)
            sources = replace(
                self.sources,
                cluster=recording,
                hold=self._offered.append,
                completed=self.completed.unasked() if fresh else self.completed,
            )
            return await self._diagnosed(due, asked, sources)
        except UsageError as error:
            problem = Problem(RunnerReasons.INVALID_VALUE, detail=str(error))
            return not_evaluated(due, asked, problem, started)
        except CannotEvaluate as problem:
            return not_evaluated(due, asked, problem, started)

    def _is_news(self, report: Report) -> bool:
        return any(
            result.status not in _WELL or _said(result) != _said(self._results[result.name])
            for result in report.checks
        )

    async def _diagnosed(self, due: list[Check], asked: Request, sources: Sources) -> Report:
        """The report, in which nothing is late only because this process was: that is asked again."""
        strain = Strain()
        report = await diagnose(due, asked, sources)
        for _ in range(_SECOND_LOOKS):
            late = [check for check in due if check.name in _late(report.checks)]
            if not late or not strain:
                break
            await calm()
            strain = Strain()
            again = {result.name: result for result in (await diagnose(late, asked, sources)).checks}
            report = replace(report, checks=tuple(again.get(result.name, result) for result in report.checks))
        return report


def _said(result: CheckResult) -> tuple[object, ...]:
    """What a result says, without the words."""
    return result.status, [(found.subject, found.reason) for found in result.findings]


def _late(results: Iterable[CheckResult]) -> set[str]:
    return {each.name for each in results if any(found.reason in OF_TIME for found in each.findings)}
