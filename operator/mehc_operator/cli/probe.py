"""Have the operator probe an installation now, and show what has changed since the last verdict."""

import argparse
import asyncio
import sys
from collections.abc import Iterator
from typing import Final

from mehc_checks.core import duration
from mehc_checks.core.clock import now
from mehc_checks.core.errors import UsageError
from mehc_checks.engine.check import catalogue
from mehc_checks.render.terminal import Style
from mehc_operator.cli.cluster import Asked, opened
from mehc_operator.cli.options import cluster_arguments, length
from mehc_operator.cli.resources import patched, resource_argument, the_one
from mehc_operator.models import PROBE_NOW
from mehc_operator.screen import screen
from mehc_operator.status import CheckStatus
from mehc_operator.stored import Resource

EXAMPLES: Final = """\
examples:
  {name} probe -n model-engine             probe now, wait for the verdict, show what has changed
  {name} probe -n model-engine --no-wait   ask for a probe run and return"""

_POLL: Final = 0.5
"""Seconds between two looks."""


def arguments(parser: argparse.ArgumentParser) -> None:
    resource_argument(parser, default="the only one of the namespace")
    cluster_arguments(parser)
    parser.add_argument(
        "--wait", action=argparse.BooleanOptionalAction, default=True, help="wait for the verdict"
    )
    parser.add_argument(
        "--timeout", type=length, default=length("3m"), help="the time that --wait waits (default: 3m)"
    )


def execute(options: argparse.Namespace) -> int:
    return asyncio.run(_probed(options))


async def _probed(options: argparse.Namespace) -> int:
    style = Style.of(sys.stdout)
    async with opened(options) as at:
        before = await the_one(at, options.name)
        if before.spec.suspend:
            raise UsageError(f"probing of {before.name} is suspended (spec.suspend: true)")
        request = await _request(at, before)
        if not options.wait:
            print(
                f"probe run requested; watch it with: mehc status -n {before.namespace} {before.name} --watch"
            )
            return 0
        try:
            async with asyncio.timeout(options.timeout.total_seconds()):
                after = before
                while after.status.last_handled_probe_now != request:
                    await asyncio.sleep(_POLL)
                    after = await the_one(at, before.name)
        except TimeoutError:
            stale = before.stale(now())
            why = "no operator seems to run" if stale else "the operator has not finished the probe run"
            raise UsageError(f"no verdict within {duration.show(options.timeout)}: {why}") from None
        print("\n".join(changes(before, after)))
        print()
        print(screen(after, catalogue(), now(), style=style, context=at.context))
        return int(after.fails)


async def _request(at: Asked, resource: Resource) -> str:
    """Ask for a probe run; the value that the status shows when it is handled. Raises UsageError."""
    value = now().isoformat()
    await patched(at, resource, {"metadata": {"annotations": {PROBE_NOW: value}}})
    return value


def changes(before: Resource, after: Resource) -> Iterator[str]:
    """One line for each check whose verdict differs."""
    known = {one.name: one for one in before.status.checks}
    some = False
    for one in after.status.checks:
        old = known.get(one.name)
        if old is None or (old.status, old.reason) != (one.status, one.reason):
            some = True
            yield f"{one.name}: {_verdict(old)} -> {_verdict(one)}"
    if not some:
        yield "no verdict has changed"


def _verdict(one: CheckStatus | None) -> str:
    return f"{one.status} ({one.reason})" if one else "not probed"
