"""Check an installation once, with no operator: from a cluster, from values files, or both."""

import argparse
import asyncio
import sys
from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any, Final

from mehc_checks.checks.config.rules.evaluate import require_rules
from mehc_checks.core.clock import now
from mehc_checks.core.errors import CannotEvaluate, UsageError
from mehc_checks.core.outcome import Severity, Status
from mehc_checks.engine.check import Check, catalogue
from mehc_checks.engine.report import Report
from mehc_checks.engine.request import CheckRequest, Request, Sources, diagnose, require_parameters
from mehc_checks.modelengine.values import Layer
from mehc_checks.render.documents.base import WRITERS
from mehc_checks.render.documents.check import check_report
from mehc_checks.render.junit import junit
from mehc_checks.render.markdown import markdown
from mehc_checks.render.terminal import Style
from mehc_checks.render.text import place, render, short, verdict
from mehc_operator.cli.cluster import Asked, could_not_run, opened, resource_spec
from mehc_operator.cli.incluster.run import in_cluster
from mehc_operator.cli.options import (
    RULE,
    carried_files,
    cluster_arguments,
    in_cluster_arguments,
    known,
    length,
    named,
    namespace_arguments,
    pair,
    parameter,
    values_arguments,
    values_files,
)
from mehc_operator.cli.progress import progress
from mehc_operator.request import request as request_of

EXAMPLES: Final = """\
examples:
  {name} check -n model-engine
  {name} check -n model-engine --only RedisReachable --timeout 30s
  {name} check -n model-engine --resource model-engine
  {name} check -n model-engine --set-parameter EndpointsReady.gracePeriod=5m
  {name} check -n model-engine --in-cluster
  {name} check -f values.yaml"""

_FAILS: Final = {
    "warn": frozenset({Status.WARN, Status.FAIL, Status.ERROR}),
    "fail": frozenset({Status.FAIL, Status.ERROR}),
    "never": frozenset[Status](),
}
_UNSELECTED: Final = "not selected"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-o",
        "--output",
        choices=["text", "short", "markdown", "junit", "html", *WRITERS],
        default="text",
        help="the form of the report",
    )
    values_arguments(parser)
    namespace_arguments(parser)
    cluster_arguments(parser)
    parser.add_argument(
        "--resource",
        default="",
        metavar="NAME",
        help="check as this ModelEngineHealthCheck asks: release, values, options of checks, ignored rules",
    )
    parser.add_argument(
        "--only", action="append", default=[], metavar="CHECK", help="run this check only; repeatable"
    )
    parser.add_argument(
        "--skip", action="append", default=[], metavar="CHECK", help="leave this check out; repeatable"
    )
    parser.add_argument(
        "--set-parameter",
        type=parameter,
        action="append",
        default=[],
        metavar="CHECK.NAME=VALUE",
        help="set a parameter of a check, as spec.checks.CHECK.parameters.NAME; repeatable",
    )
    parser.add_argument(
        "--severity",
        type=pair("CHECK=SEVERITY"),
        action="append",
        default=[],
        metavar="CHECK=SEVERITY",
        help="how much a failure of this check weighs: critical, high, warning or info; repeatable",
    )
    parser.add_argument(
        "--ignore-rule",
        type=pair(RULE),
        action="append",
        default=[],
        metavar=RULE,
        help="leave a configuration rule out, and say why; repeatable",
    )
    parser.add_argument(
        "--inside",
        action="store_true",
        help="this machine reaches and trusts what the cluster's pods do: report what fails from here as a failure, "
        "not as untestable (default: only in a pod of the cluster)",
    )
    in_cluster_arguments(parser)
    parser.add_argument("--timeout", type=length, help="the time each check may take (default: 10s)")
    parser.add_argument(
        "--fail-on",
        choices=list(_FAILS),
        default="fail",
        help="what makes the exit status 1; fail includes what could not be evaluated (default: fail)",
    )


def execute(options: argparse.Namespace) -> int:
    checks = catalogue()
    asked = _asked(options, checks)
    if options.in_cluster:
        return in_cluster(options, carried_files(options.values))
    files = [
        Layer(source=file, values=read.values) for file, read in values_files(options.values, options.carried)
    ]
    report, context = asyncio.run(_check(options, checks, asked, files))
    print(_written(report, options.output, context))
    return int(any(result.status in _FAILS[options.fail_on] for result in report.checks))


def _written(report: Report, form: str, context: str) -> str:
    if form in WRITERS:
        return WRITERS[form](check_report(report, context=context))
    match form:
        case "short":
            return short(report)
        case "markdown":
            return markdown(report, verdict=verdict(report), about=place(report, context))
        case "junit":
            return junit(report)
        case "html":
            from mehc_checks.render.html import html  # here: the templates' engine takes a moment to import

            return html(report, now=now(), context=context)
    return render(report, style=Style.of(sys.stdout), context=context)


def _asked(options: argparse.Namespace, checks: Mapping[str, Check]) -> dict[str, CheckRequest]:
    """What the arguments say of single checks. Raises UsageError for what does not exist."""
    asked: dict[str, CheckRequest] = {}

    def change(name: str, **changes: Any) -> None:
        asked[name] = replace(asked.get(name, CheckRequest(field=f"--set-parameter {name}")), **changes)

    for name, path, value in options.set_parameter:
        known(name, checks)
        parameters = {**asked.get(name, CheckRequest()).parameters, path: value}
        change(name, parameters=parameters)
    for name, word in options.severity:
        known(name, checks)
        try:
            change(name, severity=Severity(word))
        except ValueError:
            words = ", ".join(Severity)
            raise UsageError(f"--severity {name}={word}: the severities are {words}") from None
    require_rules(id for id, _ in options.ignore_rule)
    only, skip = named(options.only), named(options.skip)
    for name in (*only, *skip):
        known(name, checks)
    for name in checks:
        if only and name not in only:
            change(name, skip=_UNSELECTED)
        if name in skip:
            change(name, skip="disabled")
    if all(asked.get(name, CheckRequest()).skip for name in checks):
        raise UsageError("--only and --skip leave no check to run")
    return asked


async def _check(
    options: argparse.Namespace,
    checks: Mapping[str, Check],
    asked: Mapping[str, CheckRequest],
    files: Iterable[Layer],
) -> tuple[Report, str]:
    """The report, and the name of the context whose cluster was asked."""
    files = tuple(files)
    async with AsyncExitStack() as stack:
        at: Asked | None = None
        if not files or options.namespace or options.context or options.kubeconfig or options.resource:
            at = await stack.enter_async_context(
                opened(options, otherwise=", or --values to check without one")
            )
        base = Request(namespace=at.namespace if at else "")
        if at and options.resource:
            base = request_of(await resource_spec(at, options.resource), at.namespace)
        request = replace(
            base,
            release=options.release or base.release,
            layers=(*base.layers, *files),
            timeout=options.timeout or base.timeout,
            inside=options.inside or bool(at and at.cluster.surrounds_us),
            checks=_over(base.checks, asked),
            ignored_rules={**base.ignored_rules, **dict(options.ignore_rule)},
        )
        require_parameters(checks.values(), request)
        selected = [check for name, check in checks.items() if not _unselected(request, name)]
        if all(request.checks.get(check.name, CheckRequest()).skip for check in selected):
            raise UsageError("there is no check to run: all are disabled")
        try:
            async with progress(sys.stderr):
                report = await diagnose(selected, request, Sources(cluster=at.cluster if at else None))
        except CannotEvaluate as problem:
            raise await could_not_run(problem, at) from None
        return report, options.shown_context or (at.context if at else "")
    raise AssertionError("unreachable")  # an exit stack may swallow exceptions as far as mypy knows


def _over(base: Mapping[str, CheckRequest], asked: Mapping[str, CheckRequest]) -> dict[str, CheckRequest]:
    """What a resource says of checks, and over it what the arguments say."""
    merged = dict(base)
    for name, own in asked.items():
        below = base.get(name, CheckRequest())
        merged[name] = replace(
            below,
            skip=own.skip or below.skip,
            severity=own.severity or below.severity,
            parameters={**below.parameters, **own.parameters},
            field=own.field if own.parameters else below.field,
        )
    return merged


def _unselected(request: Request, name: str) -> bool:
    return request.checks.get(name, CheckRequest()).skip == _UNSELECTED
