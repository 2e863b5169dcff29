"""One resource's passes: which checks are due, their results, and when to look again."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

from pydantic import ValidationError

from mehc_checks.clients.kubernetes.api import Cluster
from mehc_checks.core import duration
from mehc_checks.core.errors import CannotEvaluate, UsageError
from mehc_checks.core.outcome import Status
from mehc_checks.core.parameters import Parameters
from mehc_checks.engine.check import Check
from mehc_checks.engine.runner import CheckResult, Limiter, Planned, RunnerReasons, plan, run
from mehc_checks.installation.context import Context
from mehc_checks.installation.discover import discover, nothing_found
from mehc_checks.installation.helm import ReleaseFacts
from mehc_checks.installation.installation import Installation
from mehc_checks.installation.inventory import Inventory
from mehc_checks.installation.objects import ObjectName, Recording, Releases
from mehc_checks.installation.sources import Reference, referenced
from mehc_checks.modelengine.values import Layer, Values
from mehc_operator.metrics import PROBE_DURATION
from mehc_operator.models import CheckOptions, Spec, ValuesSource
from mehc_operator.scheduler import Trigger

VALUES_INVALID = "ValuesInvalid"
"""Reason of every check whose values cannot be read."""
_ASKS_FOR_ALL = frozenset({Trigger.PROBE_NOW, Trigger.CONFIGURATION})
_SLACK = 0.8
"""A check is due when this part of its interval is over: passes are scattered, and must not just miss it."""


@dataclass(slots=True)
class Passes:
    """The passes over one resource. Keeps results between passes, for checks with intervals of their own."""

    checks: Mapping[str, Check]
    cluster: Cluster
    inventory: Inventory
    releases: Releases
    limiter: Limiter
    clock: Callable[[], datetime]
    facts: ReleaseFacts | None = None
    """Of the release that the last pass found."""
    asked: set[ObjectName] = field(default_factory=set)
    """The Secrets and ConfigMaps that the passes have asked for."""
    _results: dict[str, CheckResult] = field(default_factory=dict)
    _probed: dict[str, datetime] = field(default_factory=dict)

    async def probe(
        self, spec: Spec, namespace: str, trigger: Trigger, pending: Iterable[str]
    ) -> tuple[CheckResult, ...]:
        """Probe what is due and return the results of all checks, in the order of the catalogue.

        ``pending`` are the checks whose failure waits for confirmation: a pass for their sake probes
        only them. Never raises for what is wrong with the spec: that is a result too.
        """
        if trigger in (Trigger.SEEN, Trigger.SPEC):
            self._results.clear()
            self.asked.clear()
        now = self.clock()
        due = [
            check for check in self.checks.values() if self._is_due(check, spec, trigger, set(pending), now)
        ]
        for result in await self._carry_out(due, spec, namespace):
            self._results[result.name] = result
            self._probed[result.name] = now
            if result.status is not Status.SKIP:
                PROBE_DURATION.labels(check=result.name).observe(result.duration.total_seconds())
        return tuple(self._results[name] for name in self.checks)

    def interval(self, spec: Spec) -> timedelta:
        """The time between two passes: the shortest interval of its checks."""
        own = (_interval(spec, name) for name in self.checks if _options(spec, name).enabled)
        return min(own, default=spec.interval_time)

    def next_due(self, spec: Spec) -> timedelta:
        """The time until the next check is due, by their intervals and when each was last carried out."""
        now = self.clock()
        left = [
            self._probed.get(name, now) + _interval(spec, name) - now
            for name in self.checks
            if _options(spec, name).enabled
        ]
        return max(min(left, default=spec.interval_time), timedelta(0))

    def _is_due(self, check: Check, spec: Spec, trigger: Trigger, pending: set[str], now: datetime) -> bool:
        if check.name not in self._results or trigger in _ASKS_FOR_ALL or check.name in pending:
            return True
        if trigger is Trigger.CONFIRMATION:
            return False
        if trigger is Trigger.NODES:
            return check.follows_nodes
        return now - self._probed[check.name] >= _interval(spec, check.name) * _SLACK

    async def _carry_out(self, due: list[Check], spec: Spec, namespace: str) -> list[CheckResult]:
        planned = plan(
            due,
            timeout=spec.timeout_time,
            skip=[check.name for check in due if not _options(spec, check.name).enabled],
            severities={
                name: options.severity
                for name, options in spec.checks.items()
                if options.severity is not None
            },
            timeouts={
                name: duration.parse(options.timeout)
                for name, options in spec.checks.items()
                if options.timeout
            },
        )
        results: list[CheckResult] = []
        parameters: dict[type[Any], Any] = {}
        good: list[Planned] = []
        for item in planned:
            try:
                parameters[item.check.parameters] = _parameters(item.check, spec)
            except UsageError as error:
                results.append(_not_evaluated(item, RunnerReasons.INVALID_VALUE.name, str(error)))
            else:
                good.append(item)
        cluster = Recording(self.cluster)
        try:
            async with asyncio.timeout(spec.timeout_time.total_seconds()):
                installation, values = await self._values(spec, namespace, cluster)
        except CannotEvaluate as error:
            return results + [
                _not_evaluated(item, error.reason, str(error), error.remediation) for item in good
            ]
        except TimeoutError:
            late = f"the Kubernetes API did not tell what is installed within {spec.timeout}"
            return results + [_not_evaluated(item, "KubernetesApiUnreachable", late) for item in good]
        finally:
            self.asked |= cluster.asked
        # Checks that share a timeout share gathered facts; one with less time gets facts gathered in less.
        good.sort(key=lambda item: item.timeout)
        runs = []
        for timeout, group in groupby(good, key=lambda item: item.timeout):
            context = Context(
                values=values,
                cluster=cluster,
                inventory=self.inventory,
                releases=self.releases,
                installation=installation,
                ignored_rules={rule.id: rule.reason for rule in spec.ignore_rules},
                namespace=namespace,
                timeout=timeout,
                parameters=parameters,
                clock=self.clock,
            )
            runs.append(run(list(group), context, self.limiter))
        for report in await asyncio.gather(*runs):
            results.extend(report.checks)
        self.asked |= cluster.asked
        return results

    async def _values(self, spec: Spec, namespace: str, cluster: Cluster) -> tuple[Installation, Values]:
        """What is installed, and the effective values. Raises CannotEvaluate."""
        try:
            given = await referenced(map(_reference, spec.values_from), cluster, namespace)
        except UsageError as error:
            remedy = "Correct spec.valuesFrom, or what it names."
            raise CannotEvaluate(str(error), reason=VALUES_INVALID, remediation=remedy) from None
        except CannotEvaluate as error:
            raise CannotEvaluate(
                f"spec.valuesFrom: {error}", reason=error.reason, remediation=error.remediation
            ) from None
        given.append(Layer(source="spec.values", values=spec.values))
        release = spec.release.name if spec.release else ""
        self.facts = None
        installation = await discover(cluster, self.releases, namespace, release=release, given=given)
        self.facts = installation.release
        if not installation.layers and not any(layer.values for layer in given):
            raise nothing_found(installation)
        return installation, installation.under(given)


def _options(spec: Spec, name: str) -> CheckOptions:
    return spec.checks.get(name) or CheckOptions()


def _interval(spec: Spec, name: str) -> timedelta:
    own = _options(spec, name).interval
    return duration.parse(own) if own else spec.interval_time


def _reference(source: ValuesSource) -> Reference:
    reference = source.secret_key_ref or source.config_map_key_ref
    if reference is None:
        raise UsageError("spec.valuesFrom: an item names neither secretKeyRef nor configMapKeyRef")
    return Reference(
        kind="Secret" if source.secret_key_ref else "ConfigMap",
        name=reference.name,
        key=reference.key,
        optional=reference.optional,
    )


def _parameters(check: Check, spec: Spec) -> Parameters:
    """Raises UsageError naming the field."""
    try:
        return check.parameters.model_validate(_options(spec, check.name).parameters)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise UsageError(f"spec.checks.{check.name}.parameters.{where}: {first['msg']}") from None


def _not_evaluated(item: Planned, reason: str, message: str, remediation: str = "") -> CheckResult:
    if item.skip:
        reason, message, remediation = RunnerReasons.SKIPPED.name, item.skip, ""
    return CheckResult(
        name=item.check.name,
        title=item.check.title,
        status=Status.SKIP if item.skip else Status.ERROR,
        severity=item.severity,
        reason=reason,
        message=message,
        remediation=remediation,
        docs="" if item.skip else "docs/checks/README.md",
    )
