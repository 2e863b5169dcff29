"""Say why endpoints are not ready: all that are not, worst first, or one with its timeline from request to now."""

import argparse
import asyncio
import json

import yaml

from mehc_checks.checks.endpoints.explain import Explanation, explain
from mehc_checks.checks.endpoints.gather import EndpointParameters
from mehc_checks.core import duration
from mehc_checks.core.errors import CannotEvaluate, UsageError
from mehc_checks.engine.request import Request, Sources, prepare
from mehc_checks.installation.context import Context
from mehc_checks.modelengine.values import Layer
from mehc_checks.render import explain as written
from mehc_operator.cli.cluster import opened
from mehc_operator.cli.options import cluster_arguments, length, values_file

HELP = "say why an endpoint is not ready, or all that are not"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "endpoint",
        nargs="?",
        default="",
        metavar="ENDPOINT",
        help="its id, its name or its Kubernetes name (default: all that are not ready)",
    )
    parser.add_argument("-o", "--output", choices=["text", "json", "yaml"], default="text")
    parser.add_argument(
        "-f",
        "--values",
        action="append",
        default=[],
        metavar="FILE",
        help="values of the model engine chart; repeatable, later ones win; - reads standard input",
    )
    parser.add_argument(
        "-n", "--namespace", default="", metavar="NAME", help="the namespace it is installed in"
    )
    parser.add_argument(
        "--release", default="", metavar="NAME", help="the Helm release, where the namespace has several"
    )
    cluster_arguments(parser)
    parser.add_argument(
        "--grace-period",
        type=length,
        default=length("15m"),
        help="how long an endpoint may be without ready pods before it counts as stuck (default: 15m)",
    )
    parser.add_argument(
        "--timeout", type=length, default=length("30s"), help="time that the reading may take (default: 30s)"
    )


def execute(options: argparse.Namespace) -> int:
    explanation = asyncio.run(_explain(options))
    if options.output == "text":
        print(written.text(explanation, one=bool(options.endpoint)))
    elif options.output == "json":
        print(json.dumps(written.document(explanation), indent=2, ensure_ascii=False))
    else:
        print(yaml.safe_dump(written.document(explanation), sort_keys=False, allow_unicode=True), end="")
    return int(any(found.is_stuck for found in explanation.endpoints))


async def _explain(options: argparse.Namespace) -> Explanation:
    layers = [Layer(source=file, values=values_file(file).values) for file in options.values]
    async with opened(options) as (cluster, namespace):
        request = Request(
            namespace=namespace, release=options.release, layers=tuple(layers), timeout=options.timeout
        )
        try:
            prepared = await prepare(request, Sources(cluster=cluster))
        except CannotEvaluate as error:
            raise UsageError(f"{error}. {error.remediation}".rstrip()) from None
        parameters = EndpointParameters(grace_period=duration.show(options.grace_period))
        context = Context(
            values=prepared.values,
            installation=prepared.installation,
            cluster=cluster,
            namespace=namespace,
            timeout=options.timeout,
            parameters={EndpointParameters: parameters},
        )
        try:
            async with asyncio.timeout(options.timeout.total_seconds()):
                return await explain(context, options.endpoint)
        except TimeoutError:
            raise UsageError(f"the endpoints were not read within {duration.show(options.timeout)}") from None
        finally:
            await context.close()
    raise AssertionError("unreachable")  # a context manager may swallow exceptions as far as mypy knows
