"""Mute what is known to be wrong: it stays visible, and does not decide health, Ready, Degraded or alerts for a while.

It counts again when its time is over, or when it gets worse: another reason, or more endpoints that are not ready.
"""

import argparse
import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from mehc_checks.core.clock import now
from mehc_checks.core.errors import UsageError
from mehc_checks.engine.check import catalogue
from mehc_operator.cli.cluster import opened
from mehc_operator.cli.options import cluster_arguments, known, length
from mehc_operator.cli.resources import patched, resource_argument, the_one
from mehc_operator.models import Mute
from mehc_operator.stored import Resource

EXAMPLES: Final = """\
examples:
  {name} mute ObjectStoreReachable --for 4h --why "bucket moves tonight, OPS-12" -n model-engine
  {name} mute RedisReachable/CertificateExpiring --for 72h --why "renewed on Monday" -n model-engine
  {name} unmute ObjectStoreReachable -n model-engine"""

_LONGEST: Final = timedelta(days=90)
_ATTEMPTS: Final = 5


def arguments(parser: argparse.ArgumentParser) -> None:
    target(parser)
    parser.add_argument("--for", dest="time", type=length, required=True, help="how long, such as 4h")
    parser.add_argument("--why", required=True, metavar="TEXT", help="why; shown next to the result")


def execute(options: argparse.Namespace) -> int:
    if options.time > _LONGEST:
        raise UsageError(f"--for: at most {_LONGEST.days * 24}h; what never applies is for spec.checks")
    if not 1 <= len(options.why.strip()) <= 256:
        raise UsageError("--why: from 1 to 256 characters")
    check, reason = what(options.what)
    mute = Mute(check=check, reason=reason, until=now() + options.time, why=options.why.strip())

    def change(mutes: list[Mute]) -> list[Mute]:
        return [*(one for one in mutes if (one.check, one.reason) != (check, reason)), mute]

    resource = asyncio.run(changed(options, change))
    print(
        f"{options.what} of {resource.namespace}/{resource.name} is muted until {mute.until:%Y-%m-%d %H:%MZ}"
    )
    return 0


def target(parser: argparse.ArgumentParser) -> None:
    """The arguments that say which finding of which resource."""
    parser.add_argument("what", metavar="CHECK[/REASON]", help="the check, or one reason of it")
    resource_argument(parser, default="the only one of the namespace")
    cluster_arguments(parser)


def what(text: str) -> tuple[str, str | None]:
    """Check and reason. Raises UsageError where there is no such check, or it has no such reason."""
    check, slash, reason = text.partition("/")
    checks = catalogue()
    known(check, checks)
    if slash and reason not in {each.name for each in checks[check].reasons.all()} and check != "ConfigValid":
        raise UsageError(f"{check} has no reason {reason or '(empty)'}; see: mehc catalog --reasons")
    return check, reason or None


async def changed(options: argparse.Namespace, change: Callable[[list[Mute]], list[Mute]]) -> Resource:
    """The resource, whose mutes ``change`` has made from those that it had. Raises UsageError."""
    async with opened(options) as at:
        for _ in range(_ATTEMPTS):
            resource = await the_one(at, options.name)
            mutes = change(list(resource.spec.mutes))
            items = [one.model_dump(mode="json", by_alias=True, exclude_none=True) for one in mutes]
            body = {"metadata": {"resourceVersion": resource.version}, "spec": {"mutes": items or None}}
            if await patched(at, resource, body):
                return resource
    raise UsageError("the resource is being changed by others all the time; try again")
