"""A report for people: one line per check, and below what does not pass, why and what to do."""

import textwrap
from collections import Counter
from collections.abc import Iterator

from mehc_checks.core import duration
from mehc_checks.core.outcome import Status
from mehc_checks.core.text import counted
from mehc_checks.engine.correlate import SHOWN
from mehc_checks.engine.report import CheckResult, Report, RootCause

_MARKS = {Status.PASS: "√", Status.WARN: "‼", Status.FAIL: "×", Status.ERROR: "?", Status.SKIP: "-"}
_COLORS = {Status.PASS: "32", Status.WARN: "33", Status.FAIL: "31", Status.ERROR: "35", Status.SKIP: "90"}
_WIDTH = 110


def render(report: Report, *, color: bool) -> str:
    """The report, without a final newline. ``color`` marks with ANSI colors."""
    lines: list[str] = []
    for check in report.checks:
        lines += _check(check, color)
    if report.root_causes:
        lines += ["", "Root causes"]
        for cause in report.root_causes[:SHOWN]:
            lines += _cause(cause)
        if (more := len(report.root_causes) - SHOWN) > 0:
            lines.append(f"  and {more} more")
    counts = Counter(check.status for check in report.checks)
    words = [f"{counts[status]} {word}" for status, word in _WORDS if counts[status]]
    lines += ["", f"{', '.join(words) or 'no checks'} ({duration.show(report.duration)})"]
    return "\n".join(lines)


_WORDS = (
    (Status.PASS, "pass"),
    (Status.WARN, "warn"),
    (Status.FAIL, "fail"),
    (Status.ERROR, "could not be evaluated"),
    (Status.SKIP, "skipped"),
)


def _cause(cause: RootCause) -> Iterator[str]:
    yield from wrapped(f"{cause.check}: {cause.message}", "  ")
    yield from wrapped(cause.remediation, "    → ", "      ")
    if cause.explains:
        yield from wrapped(f"explains {', '.join(cause.explains)}", "    ")
    if cause.endpoints:
        yield f"    keeps {counted(cause.endpoints, 'endpoint')} from being ready ({', '.join(cause.modes)})"


def _check(check: CheckResult, color: bool) -> Iterator[str]:
    mark = _MARKS[check.status]
    if color:
        mark = f"\x1b[{_COLORS[check.status]}m{mark}\x1b[0m"
    skipped = f" (skipped: {check.message})" if check.status is Status.SKIP else ""
    yield f"{mark} {check.title}{skipped}"
    if check.status in (Status.PASS, Status.SKIP):
        return
    yield from wrapped(f"{check.reason}: {check.message}", "    ")
    if check.remediation:
        yield from wrapped(check.remediation, "    → ", "      ")
    if check.docs:
        yield f"    see {check.docs}"


def wrapped(text: str, first: str, rest: str | None = None) -> list[str]:
    """``text`` in lines of at most 110 columns; ``rest`` indents all but the first, None: as ``first``."""
    return textwrap.wrap(
        text,
        width=_WIDTH,
        initial_indent=first,
        subsequent_indent=first if rest is None else rest,
        break_long_words=False,
        break_on_hyphens=False,
    ) or [first.rstrip()]
