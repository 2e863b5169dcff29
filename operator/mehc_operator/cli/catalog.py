"""List the checks, and with --reasons everything that each can find."""

import argparse

from mehc_checks.engine.check import catalogue
from mehc_checks.render.documents.base import WRITERS
from mehc_checks.render.documents.catalog import catalog


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-o", "--output", choices=["text", *WRITERS], default="text")
    parser.add_argument(
        "--reasons", action="store_true", help="with -o text: the reasons of each check, with their remedies"
    )


def execute(options: argparse.Namespace) -> int:
    checks = catalogue().values()
    if options.output != "text":
        print(WRITERS[options.output](catalog(checks)))
        return 0
    for check in checks:
        print(f"{check.name}  ({check.severity})\n    {check.title}")
        if options.reasons:
            for reason in check.reasons.all():
                print(f"    - {reason.name} ({reason.status}): {reason.meaning}")
                if reason.remedy:
                    print(f"        {reason.remedy}")
    return 0
