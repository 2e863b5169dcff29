"""An explanation of endpoints, for people."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from mehc_checks.checks.endpoints.explain import Explained, Explanation
from mehc_checks.checks.endpoints.timeline import Step
from mehc_checks.core import duration
from mehc_checks.core.outcome import Status
from mehc_checks.core.text import ago, counted
from mehc_checks.render.terminal import Style


def text(explanation: Explanation, *, one: bool, style: Style) -> str:
    """The explanation, without a final newline. ``one``: of one endpoint, with its timeline and evidence."""
    lines: list[str] = []
    for found in explanation.endpoints:
        lines += _lines(found, explanation, style, whole=one)
        lines.append("")
    lines += [f"not read: {why}" for why in explanation.unread]
    if not one:
        stuck = sum(found.is_stuck for found in explanation.endpoints)
        unready = len(explanation.endpoints)
        lines.append(f"{counted(explanation.total, 'endpoint')}, {unready} not ready, {stuck} stuck")
    return "\n".join(lines).rstrip()


def _lines(found: Explained, explanation: Explanation, style: Style, *, whole: bool) -> Iterator[str]:
    now = explanation.now
    mark = style.mark(Status.FAIL if found.is_stuck else Status.WARN if found.cause else Status.PASS)
    unrecorded = ", without a record" if explanation.recorded else ""
    recorded = f", recorded as {found.recorded}" if found.recorded else unrecorded
    yield (
        f"{mark} {found.name} ({found.endpoint_id}, {found.kind}): {found.state}{recorded}, "
        f"{found.ready} of {found.desired} pods ready"
    )
    if cause := found.cause:
        since = f" for {ago(now, cause.since)}" if cause.since else ""
        early = "" if cause.overdue else ", which is within its grace period"
        yield from style.wrapped(f"{cause.reason.name}{since}{early}: {cause.message}", "    ")
        if cause.remedy:
            yield from style.remedy(cause.remedy, "    ")
        if whole and (checks := found.explained_by):
            command = f"mehc check -n {explanation.namespace} --only {','.join(checks)}"
            yield from style.wrapped(
                f"caused by {' or '.join(checks)} where it fails; details: {command}", "    "
            )
    if not whole:
        return
    if found.steps:
        yield from ("", "  Timeline (UTC)")
        for step in found.steps:
            yield from _step(step, now, style)
    if found.cause and found.cause.evidence:
        yield from ("", "  Evidence")
        for line in found.cause.evidence:
            yield from style.wrapped(line, "    ", "      ")


def _step(step: Step, now: datetime, style: Style) -> Iterator[str]:
    seconds = round(step.took(now).total_seconds())
    took = duration.show(timedelta(seconds=seconds)) if seconds else "<1s"
    waits, end = ("waits", "now") if step.until is None else ("waited", f"{step.until:%H:%M:%S}")
    head = f"    {step.since:%Y-%m-%d %H:%M:%S} to {end:<8} {took:>7}  "
    yield from style.wrapped(f"{step.who} {waits} for {step.whom}", head, " " * len(head))
