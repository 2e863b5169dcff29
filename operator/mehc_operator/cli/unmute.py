"""End mutes before their time."""

import argparse
import asyncio
from typing import Final

from mehc_checks.core.errors import UsageError
from mehc_operator.cli.mute import changed, target
from mehc_operator.models import Mute

EXAMPLES: Final = """\
examples:
  {name} unmute ObjectStoreReachable -n model-engine"""


def arguments(parser: argparse.ArgumentParser) -> None:
    target(parser)


def execute(options: argparse.Namespace) -> int:
    check, _, reason = options.what.partition("/")

    def change(mutes: list[Mute]) -> list[Mute]:
        left = [one for one in mutes if one.check != check or (reason and one.reason != reason)]
        if len(left) == len(mutes):
            there = ", ".join("/".join(filter(None, (one.check, one.reason))) for one in mutes)
            raise UsageError(f"{options.what} is not muted; muted: {there or 'nothing'}")
        return left

    resource = asyncio.run(changed(options, change))
    print(f"{options.what} of {resource.namespace}/{resource.name} counts again")
    return 0
