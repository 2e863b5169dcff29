"""Show what the operator has stored: probes nothing, and needs no permission but to get the resource."""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from typing import Final

from mehc_checks.core import duration
from mehc_checks.core.clock import now
from mehc_checks.core.errors import UsageError
from mehc_checks.engine.check import catalogue
from mehc_checks.render.documents.base import WRITERS
from mehc_checks.render.documents.check import check_report
from mehc_checks.render.documents.status import ResourceDocument, StatusList
from mehc_checks.render.terminal import Style
from mehc_operator.cli.cluster import Asked, opened
from mehc_operator.cli.options import cluster_arguments, length
from mehc_operator.cli.resources import found, resource_argument
from mehc_operator.conditions import READY
from mehc_operator.screen import as_markdown, fleet, screen, short
from mehc_operator.status import ConditionStatus
from mehc_operator.stored import Resource

EXAMPLES: Final = """\
examples:
  {name} status -n model-engine                 the verdict, the root causes and their fixes
  {name} status -A                              every installation of the cluster, worst first
  {name} status -n model-engine -o short        one line to paste into a chat
  {name} status -n model-engine --wait          wait until model engine is ready
  {name} status -n model-engine --wait --for=Cause=RedisReachable/ConnectionRefused"""

_NAMED: Final = 3
"""Resources that an error names."""
_POLL: Final = 1.0
"""Seconds between two looks: a watch would need another permission."""


def arguments(parser: argparse.ArgumentParser) -> None:
    resource_argument(parser, default="all of the namespace")
    parser.add_argument(
        "-A", "--all-namespaces", action="store_true", help="the resources of all namespaces, in a table"
    )
    parser.add_argument(
        "-o",
        "--output",
        choices=["text", "short", "markdown", "html", *WRITERS],
        default="text",
        help="the form; html is a page of one installation",
    )
    cluster_arguments(parser)
    follow = parser.add_mutually_exclusive_group()
    follow.add_argument("--wait", action="store_true", help="wait until what --for names is so")
    follow.add_argument("-w", "--watch", action="store_true", help="print again whenever the verdict changes")
    parser.add_argument(
        "--for",
        dest="awaited",
        type=_awaited,
        metavar="CONDITION",
        help="Ready, Ready=False, CHECK (its condition is True), CHECK=False, or Cause=CHECK/REASON (default: Ready)",
    )
    parser.add_argument(
        "--timeout", type=length, default=length("5m"), help="the time that --wait waits (default: 5m)"
    )


def execute(options: argparse.Namespace) -> int:
    if options.all_namespaces and (options.name or options.namespace):
        raise UsageError("--all-namespaces goes with neither NAME nor --namespace")
    if options.awaited and not options.wait:
        raise UsageError("--for needs --wait")
    return asyncio.run(_shown(options))


async def _shown(options: argparse.Namespace) -> int:
    async with opened(options) as at:
        resources = await found(at, options.name, everywhere=options.all_namespaces)
        if options.wait:
            resources = await _until(at, options, resources)
        _print(options, resources, at.context)
        while options.watch:
            await asyncio.sleep(_POLL)
            before = [(one.namespace, one.name, one.status) for one in resources]
            resources = await found(at, options.name, everywhere=options.all_namespaces)
            if before != [(one.namespace, one.name, one.status) for one in resources]:
                print()
                _print(options, resources, at.context)
        return int(any(map(_bad, resources)))


async def _until(at: Asked, options: argparse.Namespace, resources: list[Resource]) -> list[Resource]:
    """The resources when what was waited for is so. Raises UsageError when the time is over."""
    awaited = options.awaited or _awaited(READY)
    end = asyncio.get_running_loop().time() + options.timeout.total_seconds()
    while not all(awaited(one) and not one.outdated and not one.stale(now()) for one in resources):
        if asyncio.get_running_loop().time() > end:
            _print(options, resources, at.context)
            took = duration.show(options.timeout)
            raise UsageError(f"not so within {took}: {awaited.said}")
        await asyncio.sleep(_POLL)
        resources = await found(at, options.name, everywhere=options.all_namespaces)
    return resources


class _awaited:  # noqa: N801 - an argument's type
    """What is waited for: a condition and its status, or the first cause."""

    def __init__(self, text: str) -> None:
        self.said = text
        self._kind, _, wanted = text.partition("=")
        self._wanted = wanted or str(ConditionStatus.TRUE)
        if self._kind == "Cause" and "/" not in wanted:
            raise argparse.ArgumentTypeError(
                "a cause is CHECK/REASON, such as RedisReachable/ConnectionRefused"
            )
        if self._kind not in ("Cause", READY, "Degraded", *catalogue()):
            raise argparse.ArgumentTypeError(f"there is no condition {self._kind}")
        if self._kind != "Cause" and self._wanted not in list(ConditionStatus):
            raise argparse.ArgumentTypeError(f"a condition is True, False or Unknown, not {self._wanted}")

    def __call__(self, resource: Resource) -> bool:
        if self._kind == "Cause":
            causes = resource.status.root_causes
            return self._wanted in [resource.status.cause, *(f"{one.check}/{one.reason}" for one in causes)]
        condition = resource.status.condition(self._kind)
        return condition is not None and condition.status == self._wanted


def _print(options: argparse.Namespace, resources: Sequence[Resource], context: str) -> None:
    """In the form that was asked for; a table where several are shown as text."""
    checks, moment, style = catalogue(), now(), Style.of(sys.stdout)
    if options.output in WRITERS:
        print(WRITERS[options.output](_document(resources, context)))
    elif options.output == "short":
        print("\n".join(short(one, moment) for one in resources))
    elif options.output == "markdown":
        print("\n\n".join(as_markdown(one, checks, moment, context=context) for one in resources))
    elif options.output == "html":
        print(_page(resources, context))
    elif options.all_namespaces or len(resources) > 1:
        print(fleet(resources, moment, style=style))
    else:
        print(screen(resources[0], checks, moment, style=style, context=context))
    sys.stdout.flush()


def _page(resources: Sequence[Resource], context: str) -> str:
    """Raises UsageError where several are asked for."""
    from mehc_operator.pages import page  # here: the templates' engine takes a moment to import

    if len(resources) > 1:
        names = ", ".join(f"-n {one.namespace} {one.name}" for one in resources[:_NAMED])
        raise UsageError(f"-o html shows one resource of {len(resources)}: give its NAME, such as {names}")
    return page(resources[0], catalogue(), now(), context=context)


def _document(resources: Sequence[Resource], context: str) -> StatusList:
    checks, moment = catalogue(), now()
    return StatusList(
        context=context,
        resources=[
            ResourceDocument(
                namespace=one.namespace,
                name=one.name,
                health=one.health,
                summary=one.status.summary or "",
                stale=one.stale(moment),
                outdated=one.outdated,
                last_probe_time=one.status.last_probe_time,
                next_probe_time=one.status.next_probe_time,
                stuck_endpoints=one.status.stuck_endpoints or 0,
                report=check_report(one.report(checks), context=context) if one.status.checks else None,
            )
            for one in resources
        ],
    )


def _bad(one: Resource) -> bool:
    """Whether a check failed, or the verdict is not about now."""
    return one.stale(now()) or not one.status.checks or one.fails
