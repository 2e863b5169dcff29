"""List the checks, and with --reasons everything that each can find."""

import argparse
import json

from mehc_checks.engine.check import Check, catalogue


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-o", "--output", choices=["text", "json"], default="text")
    parser.add_argument(
        "--reasons", action="store_true", help="with -o text: the reasons of each check, with their remedies"
    )


def execute(options: argparse.Namespace) -> int:
    checks = catalogue().values()
    if options.output == "json":
        print(json.dumps([_described(check) for check in checks], indent=2, ensure_ascii=False))
        return 0
    for check in checks:
        print(f"{check.name}  ({check.severity})\n    {check.title}")
        if options.reasons:
            for reason in check.reasons.all():
                print(f"    - {reason.name} ({reason.status}): {reason.meaning}")
                if reason.remedy:
                    print(f"        {reason.remedy}")
    return 0


def _described(check: Check) -> dict[str, object]:
    return {
        "name": check.name,
        "title": check.title,
        "severity": check.severity,
        "docs": check.docs,
        "parameters": check.parameters.model_json_schema(by_alias=True).get("properties", {}),
        "reasons": [
            {
                "name": r.name,
                "status": r.status,
                "meaning": r.meaning,
                "remedy": r.remedy,
                "explainedBy": list(r.explained_by),
            }
            for r in check.reasons.all()
        ],
    }
