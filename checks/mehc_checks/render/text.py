"""A report for people: the verdict, the root causes with what to do first, then one line per check."""

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from mehc_checks.core import duration
from mehc_checks.core.outcome import Status
from mehc_checks.core.text import counted
from mehc_checks.engine.correlate import SHOWN
from mehc_checks.engine.health import health
from mehc_checks.engine.report import Report, RootCause
from mehc_checks.render.grouping import UNHEALTHY, Group, Shown, shown
from mehc_checks.render.terminal import Style


def render(report: Report, *, style: Style, context: str = "") -> str:
    """The report, without a final newline. ``context`` names the cluster that was asked, "" where none was."""
    return "\n".join([*_header(report, context), "", *body(report, style)]).rstrip()


def body(report: Report, style: Style, notes: Mapping[str, str] = MappingProxyType({})) -> Iterator[str]:
    """The root causes with their fixes, then a line for each check. ``notes``: by check, what its line ends with."""
    for number, cause in enumerate(report.root_causes[:SHOWN], 1):
        yield from (*_cause(number, cause, style), "")
    if (more := len(report.root_causes) - SHOWN) > 0:
        yield from (f"and {counted(more, 'more root cause')}", "")
    width = max((len(check.name) for check in report.checks), default=0)
    for one in shown(report):
        yield from _check(one, width, style, notes.get(one.check.name, ""))


def verdict(report: Report) -> str:
    """The health in one line: "Failing: 9 of 10 checks pass (2.1s)"."""
    results = [check for check in report.checks if check.status is not Status.SKIP]
    word = health((found.status, found.severity) for check in results for found in check.findings)
    passing = sum(check.status is Status.PASS for check in results)
    return f"{word}: {passing} of {len(results)} checks pass ({duration.show(report.duration)})"


def place(report: Report, context: str) -> str:
    """What was asked: "context kind, namespace models, release me revision 3 (deployed)"; "" for values files alone."""
    places = [f"context {context}"] if context else []
    if report.namespace:
        places.append(f"namespace {report.namespace}")
    if report.release:
        places.append(
            f"release {report.release.name} revision {report.release.revision} ({report.release.status})"
        )
    return ", ".join(places)


def short(report: Report) -> str:
    """One line to paste: where, the health, and the first cause with its fix."""
    where = f"{report.namespace} " if report.namespace else ""
    first = next(iter(report.root_causes), None)
    if first is None:
        unhealthy = [check for check in report.checks if check.status in UNHEALTHY]
        rest = f"; {unhealthy[0].name}/{unhealthy[0].reason}: {unhealthy[0].message}" if unhealthy else ""
        return f"{where}{verdict(report)}{rest}"
    fix = f" Fix: {first.remediation}" if first.remediation else ""
    return f"{where}{verdict(report)}; {first.check}/{first.reason}: {first.message.rstrip('.')}.{fix}"


def _header(report: Report, context: str) -> Iterator[str]:
    if where := place(report, context):
        yield where
    yield verdict(report)


def _cause(number: int, cause: RootCause, style: Style) -> Iterator[str]:
    indent = "   "
    yield f"{number}. {style.colored(f'{cause.check}/{cause.reason}', Status.FAIL)} ({cause.severity})"
    yield from style.wrapped(cause.message, indent)
    if cause.remediation:
        yield from style.remedy(cause.remediation, indent)
    if cause.endpoints:
        kinds = f" ({', '.join(cause.modes)})" if cause.modes else ""
        verb = "is" if cause.endpoints == 1 else "are"
        yield f"{indent}{counted(cause.endpoints, 'endpoint')}{kinds} {verb} not ready because of it"
    if cause.explains:
        yield from style.wrapped(f"causes {', '.join(cause.explains)}", indent)
    if cause.docs:
        yield f"{indent}{cause.docs}"


def _check(one: Shown, width: int, style: Style, note: str) -> Iterator[str]:
    """One line, and below it what does not pass."""
    check = one.check
    head = f"{style.mark(check.status)} {check.name:<{width}}  "
    if check.status is Status.SKIP:
        yield f"{head}skipped: {check.message}"
        return
    count = f"  {counted(one.unhealthy, 'finding')}" if one.unhealthy else ""
    yield f"{head}{check.title}{count}{f'  {note}' if note else ''}"
    if one.above:
        yield f"    see {', '.join(str(number) for number, _ in one.above)} above"
    for number, others in one.above:
        if others:
            yield from style.wrapped(f"{number} also concerns {', '.join(others)}", "    ", "      ")
    for group in one.groups:
        yield from _findings(group, style)
        if group.docs:
            yield f"    {group.docs}"


def _findings(group: Group, style: Style) -> Iterator[str]:
    """Findings with one remedy, with that remedy once."""
    indent = "    "
    for found in group.findings:
        yield from style.wrapped(f"{found.reason}: {found.message}", indent, indent + "  ")
    if group.rest:
        yield from style.wrapped(f"{len(group.rest)} more: {', '.join(group.rest)}", indent, indent + "  ")
    if group.remedy:
        yield from style.remedy(group.remedy, indent)
