"""A report as Markdown, for a ticket or a chat: the verdict, the root causes with their fixes, a table of checks."""

import re
from collections.abc import Iterator
from typing import Final

from mehc_checks.core.outcome import Status
from mehc_checks.core.text import counted
from mehc_checks.engine.correlate import SHOWN
from mehc_checks.engine.report import CheckResult, Report, RootCause
from mehc_checks.render.grouping import grouped, remedy_of

_SPECIAL: Final = re.compile(r"([\\`*_{}\[\]<>#|~])")
_UNHEALTHY: Final = (Status.FAIL, Status.ERROR, Status.WARN)


def markdown(report: Report, *, verdict: str, about: str = "") -> str:
    """The report under a heading that is its ``verdict``; ``about`` is a line on what was asked. No final newline."""
    lines = [f"## {plain(verdict)}", ""]
    if about:
        lines += [plain(about), ""]
    for number, cause in enumerate(report.root_causes[:SHOWN], 1):
        lines += [*_cause(number, cause), ""]
    if (more := len(report.root_causes) - SHOWN) > 0:
        lines += [f"and {counted(more, 'more root cause')}", ""]
    lines += ["| check | status | what was found |", "|---|---|---|", *map(_row, report.checks), ""]
    told = {(cause.check, cause.reason) for cause in report.root_causes[:SHOWN]}
    for check in report.checks:
        lines += _findings(check, told)
    return "\n".join(lines).rstrip()


def plain(text: str) -> str:
    """``text``, of which Markdown reads nothing as its own."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


def _cause(number: int, cause: RootCause) -> Iterator[str]:
    yield f"{number}. **{cause.check}/{cause.reason}** ({cause.severity}): {plain(cause.message)}"
    if cause.remediation:
        yield f"   - Fix: {plain(cause.remediation)}"
    if cause.endpoints:
        yield f"   - {counted(cause.endpoints, 'endpoint')} not ready because of it"
    if cause.explains:
        yield f"   - causes {', '.join(cause.explains)}"
    if cause.docs:
        yield f"   - <{cause.docs}>"


def _row(check: CheckResult) -> str:
    return f"| {check.name} | {check.status} | {plain(check.message)} |"


def _findings(check: CheckResult, told: set[tuple[str, str]]) -> Iterator[str]:
    """What does not pass and is no root cause above."""
    rest = [
        one for one in check.findings if one.status in _UNHEALTHY and (check.name, one.reason) not in told
    ]
    if not rest:
        return
    yield from (f"### {check.name}", "")
    for group in grouped(rest):
        for found in group:
            yield f"- {found.status} {found.reason}: {plain(found.message)}"
        if remedy := remedy_of(group):
            yield f"  - Fix: {plain(remedy)}"
    yield ""
