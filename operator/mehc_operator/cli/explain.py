"""Explain why endpoints are not ready: all of them, worst first, or one with its timeline from request to now."""

import argparse
import asyncio
import sys
from typing import Final

from mehc_checks.checks.endpoints.explain import Explanation, explain
from mehc_checks.checks.endpoints.parameters import EndpointParameters
from mehc_checks.core import duration
from mehc_checks.core.errors import CannotEvaluate, UsageError
from mehc_checks.engine.request import Request, Sources, prepare
from mehc_checks.installation.context import Context
from mehc_checks.modelengine.values import Layer
from mehc_checks.render.documents import explain as documents
from mehc_checks.render.documents.base import WRITERS
from mehc_checks.render.explain import text
from mehc_checks.render.terminal import Style
from mehc_operator.cli.cluster import could_not_run, opened
from mehc_operator.cli.options import (
    cluster_arguments,
    length,
    namespace_arguments,
    values_arguments,
    values_files,
)

EXAMPLES: Final = """\
examples:
  {name} explain -n model-engine              every endpoint that is not ready, worst first
  {name} explain -n model-engine my-endpoint  one endpoint, with its timeline and evidence"""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "endpoint",
        nargs="?",
        default="",
        metavar="ENDPOINT",
        help="its id, its name or its Kubernetes name (default: all that are not ready)",
    )
    parser.add_argument("-o", "--output", choices=["text", *WRITERS], default="text")
    values_arguments(parser)
    namespace_arguments(parser)
    cluster_arguments(parser)
    parser.add_argument(
        "--grace-period",
        type=length,
        default=length("15m"),
        help="how long an endpoint may be without ready pods before it counts as stuck (default: 15m)",
    )
    parser.add_argument(
        "--timeout",
        type=length,
        default=length("30s"),
        help="the time reading the endpoints may take (default: 30s)",
    )


def execute(options: argparse.Namespace) -> int:
    explanation = asyncio.run(_explain(options))
    if options.output == "text":
        print(text(explanation, one=bool(options.endpoint), style=Style.of(sys.stdout)))
    else:
        print(WRITERS[options.output](documents.explanation(explanation)))
    return int(any(found.is_stuck for found in explanation.endpoints))


async def _explain(options: argparse.Namespace) -> Explanation:
    layers = [Layer(source=file, values=read.values) for file, read in values_files(options.values)]
    async with opened(options) as at:
        request = Request(
            namespace=at.namespace, release=options.release, layers=tuple(layers), timeout=options.timeout
        )
        try:
            prepared = await prepare(request, Sources(cluster=at.cluster))
        except CannotEvaluate as problem:
            raise await could_not_run(problem, at) from None
        parameters = EndpointParameters(grace_period=duration.show(options.grace_period))
        context = Context(
            values=prepared.values,
            installation=prepared.installation,
            cluster=at.cluster,
            namespace=at.namespace,
            timeout=options.timeout,
            inside=at.cluster.surrounds_us,
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
