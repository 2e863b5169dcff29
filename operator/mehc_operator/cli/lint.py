"""Judge values files of the model engine chart by the configuration rules, before the install and without a cluster.

Files are merged from left to right, as helm does with several -f, over the chart's own defaults. Rules that need the
cluster are listed as skipped; mehc check judges them afterwards.
"""

import argparse
import sys

from mehc_checks.checks.config.lint import lint
from mehc_checks.checks.config.rules.evaluate import Verdict
from mehc_checks.core.outcome import Severity
from mehc_checks.render.lint import FAILS, RENDERERS, as_text
from mehc_checks.render.terminal import Style
from mehc_operator.cli.options import RULE, pair, values_file

_FAIL_ON = {
    "warn": FAILS | {Severity.WARNING},
    "fail": FAILS,
    "never": frozenset[Severity](),
}


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "files", nargs="+", metavar="FILE", help="values files, later ones win; - reads standard input"
    )
    parser.add_argument("-o", "--output", choices=["text", "json", "yaml", *RENDERERS], default="text")
    parser.add_argument(
        "--ignore",
        type=pair(RULE),
        action="append",
        default=[],
        metavar=RULE,
        help="leave this rule out, and say why; repeatable",
    )
    parser.add_argument(
        "--fail-on",
        choices=list(_FAIL_ON),
        default="fail",
        help="what makes the exit status 1: rules of severity critical and high, or warnings too (default: fail)",
    )


def execute(options: argparse.Namespace) -> int:
    report = lint([(file, values_file(file)) for file in options.files], dict(options.ignore))
    if options.output == "text":
        print(as_text(report, style=Style.of(sys.stdout)))
    elif options.output in RENDERERS:
        print(RENDERERS[options.output](report))
    else:  # imported here: for people, this command has to start at once
        from mehc_checks.render.documents.base import WRITERS
        from mehc_checks.render.documents.lint import lint_report

        print(WRITERS[options.output](lint_report(report)))
    crashed = any(one.verdict is Verdict.CRASHED for one in report.judged)
    worth = _FAIL_ON[options.fail_on]
    return int(any(finding.severity in worth for finding in report.findings) or (crashed and bool(worth)))
