"""A report for people: the verdict, the root causes with what to do first, then one line per check."""

from collections.abc import Iterator, Sequence
from typing import Final

from mehc_checks.core import duration
from mehc_checks.core.outcome import Status
from mehc_checks.core.text import counted
from mehc_checks.engine.correlate import SHOWN
from mehc_checks.engine.health import health
from mehc_checks.engine.report import CheckResult, Found, Report, RootCause
from mehc_checks.render.grouping import grouped, remedy_of
from mehc_checks.render.terminal import Style

_UNHEALTHY: Final = (Status.FAIL, Status.ERROR, Status.WARN)
_NAMED: Final = 5
"""Findings with one remedy that are shown in full; the subjects of the others are listed."""


def render(report: Report, *, style: Style, context: str = "") -> str:
    """The report, without a final newline. ``context`` names the cluster that was asked, "" where none was."""
    lines = [*_header(report, context), ""]
    for number, cause in enumerate(report.root_causes[:SHOWN], 1):
        lines += [*_cause(number, cause, style), ""]
    if (more := len(report.root_causes) - SHOWN) > 0:
        lines += [f"and {counted(more, 'more root cause')}", ""]
    width = max((len(check.name) for check in report.checks), default=0)
    shown = {(cause.check, cause.reason) for cause in report.root_causes[:SHOWN]}
    for check in report.checks:
        lines += _check(check, width, shown, style)
    return "\n".join(lines).rstrip()


def _header(report: Report, context: str) -> Iterator[str]:
    places = [f"context {context}"] if context else []
    if report.namespace:
        places.append(f"namespace {report.namespace}")
    if report.release:
        places.append(
            f"release {report.release.name} revision {report.release.revision} ({report.release.status})"
        )
    if places:
        yield ", ".join(places)
    results = [check for check in report.checks if check.status is not Status.SKIP]
    word = health((found.status, found.severity) for check in results for found in check.findings)
    passing = sum(check.status is Status.PASS for check in results)
    took = duration.show(report.duration)
    yield f"{word}: {passing} of {counted(len(results), 'check')} pass ({took})"


def _cause(number: int, cause: RootCause, style: Style) -> Iterator[str]:
    indent = "   "
    yield f"{number}. {style.colored(f'{cause.check}/{cause.reason}', Status.FAIL)} ({cause.severity})"
    yield from style.wrapped(cause.message, indent)
    if cause.remediation:
        yield from style.remedy(cause.remediation, indent)
    if cause.endpoints:
        kinds = ", ".join(cause.modes)
        verb = "is" if cause.endpoints == 1 else "are"
        yield f"{indent}{counted(cause.endpoints, 'endpoint')} ({kinds}) {verb} not ready because of it"
    if cause.explains:
        yield from style.wrapped(f"causes {', '.join(cause.explains)}", indent)
    if cause.docs:
        yield f"{indent}{cause.docs}"


def _check(check: CheckResult, width: int, shown: set[tuple[str, str]], style: Style) -> Iterator[str]:
    head = f"{style.mark(check.status)} {check.name:<{width}}  "
    if check.status is Status.SKIP:
        yield f"{head}skipped: {check.message}"
        return
    unhealthy = [found for found in check.findings if found.status in _UNHEALTHY]
    count = f"  {counted(len(unhealthy), 'finding')}" if unhealthy else ""
    yield f"{head}{check.title}{count}"
    for group in grouped(unhealthy):
        yield from _findings(group, remedy_of(group), shown, check.name, style)


def _findings(
    group: Sequence[Found], remedy: str, shown: set[tuple[str, str]], check: str, style: Style
) -> Iterator[str]:
    """Findings with one remedy, with that remedy once; that of a root cause stands above."""
    indent = "    "
    for found in group[:_NAMED]:
        told = found.message if found.message.startswith(found.reason) else f"{found.reason}: {found.message}"
        yield from style.wrapped(told, indent, indent + "  ")
    if rest := [found.subject or found.message for found in group[_NAMED:]]:
        yield from style.wrapped(f"and {len(rest)} more: {', '.join(rest)}", indent, indent + "  ")
    above = any((check, found.reason) in shown for found in group[:1])
    if remedy and not above:
        yield from style.remedy(remedy, indent)
    if group[0].docs and not above:
        yield f"{indent}{group[0].docs}"
