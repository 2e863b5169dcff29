"""What is asked, and the one way to have it answered: a Request becomes a Report.

The operator's probe runs, ``mehc check`` and the tests are callers of ``diagnose``; ``mehc explain`` shares
``prepare``, the part that finds out what is installed.
"""

import asyncio
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from itertools import groupby
from typing import Any

from pydantic import ValidationError

from mehc_checks.clients.kubernetes.api import Cluster, NoCluster
from mehc_checks.clients.kubernetes.reader import Reader
from mehc_checks.clients.kubernetes.reasons import KubernetesReasons
from mehc_checks.clients.network import names
from mehc_checks.clients.registry.completed import Completed
from mehc_checks.core import duration
from mehc_checks.core.clock import now
from mehc_checks.core.deadline import within
from mehc_checks.core.errors import CannotEvaluate, Problem, UsageError
from mehc_checks.core.limiter import Limiter
from mehc_checks.core.outcome import Outcome, Severity
from mehc_checks.core.parameters import Parameters
from mehc_checks.core.redact import Redactor
from mehc_checks.core.wire import Wire
from mehc_checks.engine.check import Check
from mehc_checks.engine.correlate import root_causes
from mehc_checks.engine.reasons import RunnerReasons
from mehc_checks.engine.report import CheckResult, Report
from mehc_checks.engine.runner import Planned, result_of, run
from mehc_checks.installation.context import Context
from mehc_checks.installation.discover import discover, nothing_found
from mehc_checks.installation.installation import WITHOUT_CLUSTER, Installation
from mehc_checks.installation.inventory import Inventory, ListedInventory
from mehc_checks.installation.objects import ListedReleases, Releases
from mehc_checks.installation.reasons import InstallationReasons
from mehc_checks.installation.sources import Reference, referenced
from mehc_checks.modelengine.values import Layer, Values


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckRequest:
    """How one check is to run. ``severity`` and ``timeout`` None: as the check, and the request, say.

    ``skip`` is why it is not to run, "" where it is. ``parameters`` are in the resource's spelling; ``field`` is what a
    message about them begins with: "spec.checks.RedisReachable.parameters".
    """

    skip: str = ""
    severity: Severity | None = None
    timeout: timedelta | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    field: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """What is to be diagnosed, and by what.

    ``namespace`` is the one the chart is installed in, "" without a cluster. ``release`` names one of several.
    ``references`` and over them ``layers`` are values that win over what is found. ``checks`` has the checks that are
    to run otherwise than by default; ``ignored_rules`` maps ids of configuration rules to why they do not hold here.
    ``inside`` is whether this process reaches and trusts what the cluster's pods do (``engine.vantage``).
    """

    namespace: str = ""
    release: str = ""
    references: tuple[Reference, ...] = ()
    layers: tuple[Layer, ...] = ()
    timeout: timedelta = timedelta(seconds=10)
    checks: Mapping[str, CheckRequest] = field(default_factory=dict)
    ignored_rules: Mapping[str, str] = field(default_factory=dict)
    inside: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Sources:
    """What is asked, shared by all requests of a process. Without a cluster, only the given values are judged.

    ``hold`` takes connections that can be held to servers that have just answered, or when they are back. ``completed``
    has the images that registries had whole; without, none are remembered.
    """

    cluster: Cluster | None = None
    inventory: Inventory | None = None
    releases: Releases | None = None
    limiter: Limiter = field(default_factory=lambda: Limiter(32))
    clock: Callable[[], datetime] = now
    hold: Callable[[Wire], None] = lambda _: None
    completed: Completed | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Prepared:
    """What is installed, and the effective values."""

    installation: Installation | None
    values: Values


async def prepare(request: Request, sources: Sources, reader: Reader | None = None) -> Prepared:
    """Find out what is installed, with ``reader`` if what it reads is to be had afterwards, too.

    Raises CannotEvaluate where that cannot be told, or is nothing at all.
    """
    cluster = sources.cluster
    if cluster is None:
        return Prepared(installation=None, values=WITHOUT_CLUSTER.under(request.layers))
    releases = sources.releases or ListedReleases(cluster)
    try:
        async with within(request.timeout.total_seconds()):
            try:
                given = await referenced(request.references, cluster, request.namespace)
            except UsageError as error:
                raise CannotEvaluate(InstallationReasons.VALUES_INVALID, detail=str(error)) from None
            given += request.layers
            found = await discover(
                cluster, releases, request.namespace, release=request.release, given=given, reader=reader
            )
    except TimeoutError:
        late = f"what is installed was not read within {duration.show(request.timeout)}"
        raise CannotEvaluate(KubernetesReasons.UNREACHABLE, detail=late) from None
    if not found.layers and not any(layer.values for layer in given):
        raise nothing_found(found)
    return Prepared(installation=found, values=found.under(given))


async def diagnose(
    checks: Iterable[Check], request: Request, sources: Sources, *, prepared: Prepared | None = None
) -> Report:
    """Carry out ``checks``, in their order. Raises what ``prepare`` raises, unless that was done before."""
    started = sources.clock()
    planned = [_planned(check, request) for check in checks]
    parameters, invalid = _parameters(planned, request)
    cluster = sources.cluster
    # One of each for all contexts: without them, each would read the same objects for itself.
    inventory = sources.inventory or (ListedInventory(cluster) if cluster else None)
    reader, redactor = Reader(cluster or NoCluster()), Redactor()
    try:
        prepared = prepared or await prepare(request, sources, reader)
        good = [item for item in planned if item.check.name not in invalid]
        # Checks that share a timeout share gathered facts; one with less time gets facts gathered in less.
        good.sort(key=lambda item: item.timeout)
        runs = [
            run(
                list(group),
                Context(
                    values=prepared.values,
                    cluster=cluster,
                    inventory=inventory,
                    releases=sources.releases,
                    reader=reader,
                    installation=prepared.installation,
                    ignored_rules=request.ignored_rules,
                    namespace=request.namespace,
                    inside=request.inside,
                    given=_text(request, prepared.values),
                    hold=partial(_offered, sources.hold),
                    completed=sources.completed,
                    timeout=timeout,
                    parameters=parameters,
                    clock=sources.clock,
                    redactor=redactor,
                ),
                sources.limiter,
            )
            for timeout, group in groupby(good, key=lambda item: item.timeout)
        ]
        # Where this process is a pod of the cluster, names are to mean what they mean to the installation's pods.
        theirs = request.namespace if cluster and cluster.surrounds_us else ""
        with names.of_namespace(theirs):
            judged = [each for done in await asyncio.gather(*runs) for each in done]
    finally:
        await reader.close()
    results = {each.planned.check.name: each.redacted(redactor) for each in judged} | invalid
    ordered = tuple(results[item.check.name] for item in planned)
    return Report(
        checks=ordered,
        root_causes=root_causes(ordered, [item.check for item in planned]),
        started=started,
        duration=sources.clock() - started,
        namespace=request.namespace,
        release=prepared.installation.release if prepared.installation else None,
    )


def _offered(hold: Callable[[Wire], None], wire: Wire) -> None:
    """Have ``wire`` held, unless its host is a name that is another server's to who holds it."""
    if all(names.spelled(host) == (host,) for host, _ in wire.address.places):
        hold(wire)


def _text(request: Request, values: Values) -> str:
    """All that may be of anyone's choice, a forged release too: parameters and values."""
    parameters = [each.parameters for each in request.checks.values()]
    return json.dumps([parameters, values.tree], default=str, ensure_ascii=False)


def require_parameters(checks: Iterable[Check], request: Request) -> None:
    """Raises UsageError for the first parameter that its check cannot read."""
    _, invalid = _parameters([_planned(check, request) for check in checks], request)
    for result in invalid.values():
        raise UsageError(result.message)


def not_evaluated(checks: Iterable[Check], request: Request, problem: Problem, started: datetime) -> Report:
    """The report where ``problem`` kept every check from running; those that are skipped stay skipped."""
    planned = [_planned(check, request) for check in checks]
    results = tuple(_instead(item, problem) for item in planned)
    return Report(
        checks=results,
        root_causes=(),
        started=started,
        duration=timedelta(),
        namespace=request.namespace,
    )


def _planned(check: Check, request: Request) -> Planned:
    own = request.checks.get(check.name, CheckRequest())
    return Planned(
        check=check,
        severity=own.severity or check.severity,
        timeout=own.timeout or request.timeout,
        skip=own.skip,
    )


def _parameters(
    planned: Iterable[Planned], request: Request
) -> tuple[dict[type[Parameters], Parameters], dict[str, CheckResult]]:
    """The parameters by their type, and by check the results of those whose parameters cannot be read."""
    read: dict[type[Parameters], Parameters] = {}
    invalid: dict[str, CheckResult] = {}
    for item in planned:
        own = request.checks.get(item.check.name, CheckRequest())
        try:
            read[item.check.parameters] = item.check.parameters.model_validate(own.parameters)
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            where = ".".join(map(str, (own.field, *first["loc"])))
            problem = Problem(RunnerReasons.INVALID_VALUE, detail=f"{where}: {first['msg']}")
            invalid[item.check.name] = _instead(item, problem)
    return read, invalid


def _instead(item: Planned, problem: Problem) -> CheckResult:
    finding = RunnerReasons.SKIPPED(detail=item.skip) if item.skip else problem.finding()
    return result_of(item, Outcome.of([finding]), Redactor())
