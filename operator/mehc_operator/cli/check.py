"""Check an installation once, with no operator: from values files, a cluster, or both."""

import argparse
import asyncio
import difflib
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack

import yaml

from mehc_checks.core.errors import CannotEvaluate, UsageError
from mehc_checks.core.outcome import Status
from mehc_checks.engine.check import Check, catalogue
from mehc_checks.engine.report import Report
from mehc_checks.engine.request import CheckRequest, Request, Sources, diagnose
from mehc_checks.modelengine.values import Layer
from mehc_checks.render import json as as_json
from mehc_checks.render import text as as_text
from mehc_operator.cli.cluster import opened
from mehc_operator.cli.options import cluster_arguments, length, values_file

HELP = "check an installation once and print the report"

_FAILS = {
    "warn": frozenset({Status.WARN, Status.FAIL, Status.ERROR}),
    "fail": frozenset({Status.FAIL, Status.ERROR}),
    "never": frozenset[Status](),
}


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-o", "--output", choices=["text", "json", "yaml"], default="text")
    parser.add_argument(
        "-f",
        "--values",
        action="append",
        default=[],
        metavar="FILE",
        help="values of the model engine chart; repeatable, later ones win; - reads standard input. "
        "With values and no --namespace, --context or --kubeconfig, no cluster is asked",
    )
    parser.add_argument(
        "-n", "--namespace", default="", metavar="NAME", help="the namespace it is installed in"
    )
    parser.add_argument(
        "--release", default="", metavar="NAME", help="the Helm release, where the namespace has several"
    )
    cluster_arguments(parser)
    parser.add_argument(
        "--only", action="append", default=[], metavar="CHECK", help="run this check only; repeatable"
    )
    parser.add_argument(
        "--skip", action="append", default=[], metavar="CHECK", help="leave this check out; repeatable"
    )
    parser.add_argument(
        "--timeout", type=length, default=length("10s"), help="time that one check may take (default: 10s)"
    )
    parser.add_argument(
        "--fail-on",
        choices=list(_FAILS),
        default="fail",
        help="what makes the exit status 1; fail includes what could not be evaluated (default: fail)",
    )


def execute(options: argparse.Namespace) -> int:
    checks = catalogue()
    for name in (*_names(options.only), *_names(options.skip)):
        _require_known(name, checks)
    layers = [Layer(source=file, values=values_file(file).values) for file in options.values]
    report = asyncio.run(_check(options, checks, layers))
    if options.output == "text":
        print(as_text.render(report, color=sys.stdout.isatty()))
    elif options.output == "json":
        print(as_json.render(report))
    else:
        print(yaml.safe_dump(as_json.document(report), sort_keys=False, allow_unicode=True), end="")
    return int(any(result.status in _FAILS[options.fail_on] for result in report.checks))


async def _check(options: argparse.Namespace, checks: Mapping[str, Check], layers: list[Layer]) -> Report:
    async with AsyncExitStack() as stack:
        cluster, namespace = None, options.namespace
        if not layers or options.namespace or options.context or options.kubeconfig:
            cluster, namespace = await stack.enter_async_context(
                opened(options, otherwise=", or --values to check without one")
            )
        request = Request(
            namespace=namespace,
            release=options.release,
            layers=tuple(layers),
            timeout=options.timeout,
            checks={name: CheckRequest(skip=why) for name, why in _skipped(options, checks).items()},
        )
        try:
            return await diagnose(checks.values(), request, Sources(cluster=cluster))
        except CannotEvaluate as error:
            raise UsageError(f"{error}. {error.remediation}".rstrip()) from None
    raise AssertionError("unreachable")  # an exit stack may swallow exceptions as far as mypy knows


def _skipped(options: argparse.Namespace, checks: Mapping[str, Check]) -> dict[str, str]:
    """The checks that are not to run, with the reason."""
    only, skip = _names(options.only), _names(options.skip)
    left_out = {name: "not selected" for name in checks if only and name not in only}
    return left_out | dict.fromkeys(skip, "disabled")


def _names(given: list[str]) -> list[str]:
    return [name for text in given for name in text.split(",") if name]


def _require_known(name: str, checks: Mapping[str, Check]) -> None:
    if name in checks:
        return
    by_lower = {known.lower(): known for known in checks}
    near = difflib.get_close_matches(name.lower(), by_lower, n=1)
    hint = f"did you mean {by_lower[near[0]]}?" if near else f"the checks are {', '.join(checks)}"
    raise UsageError(f"there is no check {name}; {hint}")
