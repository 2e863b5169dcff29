"""Explain a reason or a configuration rule: what it means, and what to do. Asks no cluster and no network."""

import argparse
import sys
from typing import Final

from mehc_checks.checks.config.rules.catalogue import all_rules
from mehc_checks.core.errors import UsageError
from mehc_checks.core.text import nearest
from mehc_checks.engine.check import catalogue
from mehc_checks.render.reference import reason_text, rule_text
from mehc_checks.render.terminal import Style

EXAMPLES: Final = """\
examples:
  {name} reason ConnectionRefused
  {name} reason RedisReachable/ConnectionRefused
  {name} reason S4-06"""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "reason",
        metavar="REASON|RULE",
        help="the reason of a condition or a cause, with or without its check, or the number of a rule",
    )


def execute(options: argparse.Namespace) -> int:
    style = Style.of(sys.stdout)
    asked = options.reason.strip()
    rules = all_rules()
    if rule := rules.get(_numbered(asked)):
        print(rule_text(rule, style))
        return 0
    check, _, name = asked.rpartition("/")
    found = [
        (each, reason)
        for each in catalogue().values()
        for reason in each.reasons.all()
        if reason.name.lower() == name.lower() and check.lower() in ("", each.name.lower())
    ]
    if found:
        print(reason_text(found[0][1].name, found, style))
        return 0
    for rule in rules.values():
        if name.lower() in (fault.name.lower() for fault in rule.faults):
            print(rule_text(rule, style))
            return 0
    raise UsageError(_unknown(asked, name))


def _numbered(asked: str) -> str:
    """The number of a rule as rules write it: "s2-AWS-01" is S2-aws-01."""
    return f"{asked[:1].upper()}{asked[1:].lower()}"


def _unknown(asked: str, name: str) -> str:
    by_lower = {each.lower(): each for each in names()}
    near = nearest(name.lower(), by_lower)
    hint = f"did you mean {by_lower[near[0]]}?" if near else "list them with: mehc catalog --reasons"
    return f"there is no reason {asked}; {hint}"


def names() -> set[str]:
    """All reasons, those of rules too."""
    faults = {fault.name for rule in all_rules().values() for fault in rule.faults}
    return {reason.name for check in catalogue().values() for reason in check.reasons.all()} | faults
