"""What the operator has stored, for people: one resource on a screen, many in a table, or a line to paste."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final

from mehc_checks.core.outcome import Severity, Status
from mehc_checks.core.text import ago, counted, dated
from mehc_checks.engine.check import Check
from mehc_checks.engine.health import Health
from mehc_checks.render.markdown import markdown
from mehc_checks.render.page import Doubt, MuteLine
from mehc_checks.render.terminal import Style
from mehc_checks.render.text import body
from mehc_operator.history import flapping
from mehc_operator.judgement import unconfirmed
from mehc_operator.limits import cut
from mehc_operator.status import EndpointStatus, MuteState
from mehc_operator.stored import Resource

_ENDPOINTS: Final = 10
"""Stuck endpoints that a screen names."""
_TRANSITIONS: Final = 8
"""Of the history, that a screen shows."""
_LINE: Final = 160
"""Characters of an endpoint's message."""
_COLOR: Final = {
    Health.HEALTHY: Status.PASS,
    Health.DEGRADED: Status.WARN,
    Health.FAILING: Status.FAIL,
    Health.UNKNOWN: Status.ERROR,
    Health.SUSPENDED: Status.SKIP,
}
_ORDER: Final = (Health.FAILING, Health.UNKNOWN, Health.DEGRADED, Health.SUSPENDED, Health.HEALTHY)
"""Worst first."""
NOT_PROBED: Final = "not probed"
_OPERATOR: Final = "kubectl get pods -A -l app.kubernetes.io/name=model-engine-health-check"


def screen(
    resource: Resource, checks: Mapping[str, Check], now: datetime, *, style: Style, context: str = ""
) -> str:
    """One resource: root causes with their fixes first, then each check, stuck endpoints, and how old it all is."""
    lines = [place(resource, context), _verdict(resource, now, style), *_doubtful(resource, now, style), ""]
    if resource.status.checks:
        lines += [*body(resource.report(checks), style, notes(resource, now)), ""]
    if stuck := list(_stuck(resource, style)):
        lines += [*stuck, ""]
    if muted := list(_muted(resource, style)):
        lines += [*muted, ""]
    lines += _history(resource, style)
    return "\n".join(lines).rstrip()


def short(resource: Resource, now: datetime) -> str:
    """One line to paste: which installation, the verdict, the first cause with its fix."""
    status = resource.status
    age = f" [stale, last probed {ago(now, status.last_probe_time)} ago]" if resource.stale(now) else ""
    cause = status.causes[0] if status.causes else status.summary or "not probed yet"
    passing = f" ({status.passing})" if status.passing else ""
    return f"{resource.namespace}/{resource.name} {resource.health or 'not probed'}{passing}{age}: {cause}"


def as_markdown(resource: Resource, checks: Mapping[str, Check], now: datetime, *, context: str = "") -> str:
    """One resource, for a ticket."""
    plain = Style()
    doubts = " ".join(line.strip() for line in _doubtful(resource, now, plain))
    return markdown(
        resource.report(checks),
        verdict=_verdict(resource, now, plain),
        about=f"{place(resource, context)}. {doubts}".rstrip(". ") + ".",
    )


def fleet(resources: Iterable[Resource], now: datetime, *, style: Style) -> str:
    """A row for each resource, the worst first, and how many are healthy."""
    ordered = ranked(resources, now)
    rows = [
        (
            one.namespace,
            one.name,
            f"{one.health or 'NotProbed'}{' (stale)' if one.stale(now) else ''}",
            one.status.passing or "-",
            one.status.cause or "-",
            str(one.status.stuck_endpoints or 0),
            f"{ago(now, one.status.last_probe_time)} ago" if one.status.last_probe_time else "never",
        )
        for one in ordered
    ]
    head = ("NAMESPACE", "NAME", "HEALTH", "PASSING", "CAUSE", "STUCK", "PROBED")
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = ["   ".join(map(str.ljust, head, widths)).rstrip()]
    for one, row in zip(ordered, rows, strict=True):
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        cells[2] = style.colored(cells[2], _COLOR[one.health] if one.health else Status.SKIP)
        lines.append("   ".join(cells).rstrip())
    return "\n".join([*lines, "", _counts(ordered, now)])


def ranked(resources: Iterable[Resource], now: datetime) -> list[Resource]:
    """The worst first."""
    return sorted(resources, key=lambda one: (_rank(one, now), one.namespace, one.name))


def tally(resources: Iterable[Resource]) -> dict[str, int]:
    """How many are how, the worst first; nothing of what none is."""
    count = Counter(str(one.health or NOT_PROBED) for one in resources)
    return {word: count[word] for word in [*map(str, _ORDER), NOT_PROBED] if count[word]}


def _rank(one: Resource, now: datetime) -> tuple[int, int]:
    worst = min((cause.severity.rank for cause in one.status.root_causes), default=Severity.INFO.rank)
    if one.stale(now) or one.health is None:
        return 1, worst
    return _ORDER.index(one.health), worst


def _counts(resources: Sequence[Resource], now: datetime) -> str:
    words = [f"{count} {word}" for word, count in tally(resources).items()]
    stale = sum(one.stale(now) for one in resources)
    late = f"; {stale} stale" if stale else ""
    return f"{counted(len(resources), 'resource')}: {', '.join(words)}{late}"


def place(resource: Resource, context: str) -> str:
    words = [f"context {context}"] if context else []
    words += [f"namespace {resource.namespace}", f"resource {resource.name}"]
    if (release := resource.status.release) and release.name:
        words.append(f"release {release.name} revision {release.revision} ({release.status})")
    return ", ".join(words)


def _verdict(resource: Resource, now: datetime, style: Style) -> str:
    status = resource.status
    if status.health is None:
        return "not probed yet"
    passing, _, of = (status.passing or "0/0").partition("/")
    word = style.colored(status.health, _COLOR[status.health])
    probed = f"; probed {ago(now, status.last_probe_time)} ago" if status.last_probe_time else ""
    took = f", took {status.duration}" if status.duration and probed else ""
    return f"{word}: {passing} of {of} checks pass{probed}{took}"


def doubts(resource: Resource, now: datetime) -> Iterator[Doubt]:
    """Why the verdict may not be about now."""
    status = resource.status
    if resource.stale(now):
        what = (
            "no probe run since" if status.last_probe_time else "no operator has probed this resource since"
        )
        when = dated(status.last_probe_time or resource.created)
        yield Doubt(
            text=f"STALE: {what} {when}; what follows may no longer hold",
            fix=f"Check that the operator runs: {_OPERATOR}",
            warns=True,
        )
    elif resource.outdated:
        yield Doubt(text="the spec has changed; the next probe run judges it")
    if status.health is Health.SUSPENDED:
        yield Doubt(text="probing is suspended (spec.suspend: true); results are from the last probe run")


def _doubtful(resource: Resource, now: datetime, style: Style) -> Iterator[str]:
    for doubt in doubts(resource, now):
        yield style.colored(doubt.text, Status.WARN) if doubt.warns else doubt.text
        if doubt.fix:
            yield from style.remedy(doubt.fix, "")


def notes(resource: Resource, now: datetime) -> dict[str, str]:
    """By check: since when it does not pass, or that a failure is not confirmed."""
    found, pending = {}, unconfirmed(resource.status)
    for one in resource.status.checks:
        if one.muted:
            found[one.name] = "muted"
        elif turns := flapping(resource.status.history, one.name, now):
            found[one.name] = f"flapping: {turns} changes within an hour"
        elif one.name in pending:
            found[one.name] = "failed just now, not confirmed yet"
        elif one.status not in (Status.PASS, Status.SKIP):
            found[one.name] = f"for {ago(now, one.since)}"
    return found


def _stuck(resource: Resource, style: Style) -> Iterator[str]:
    stuck = resource.status.stuck_endpoints or 0
    if not stuck:
        return
    yield f"Stuck endpoints: {stuck}"
    shown = resource.status.endpoints[:_ENDPOINTS]
    for one in shown:
        yield from style.wrapped(_endpoint(one), f"{style.mark(Status.FAIL)} ", "    ")
    more = f" ({stuck - len(shown)} more)" if stuck > len(shown) else ""
    yield f"    mehc explain -n {resource.namespace}{more}"


def mutes(resource: Resource) -> Iterator[MuteLine]:
    """The mutes that are not over, and those that ended because of what was found."""
    states = {MuteState.WORSE: "ended, it got worse", MuteState.UNUSED: "nothing to mute"}
    for one in resource.status.mutes:
        if one.state is not MuteState.ENDED:
            yield MuteLine(
                name="/".join(filter(None, (one.check, one.reason))),
                state=states.get(one.state, f"until {dated(one.until)}"),
                why=one.why,
            )


def _muted(resource: Resource, style: Style) -> Iterator[str]:
    if shown := list(mutes(resource)):
        yield "Mutes"
    for one in shown:
        yield from style.wrapped(f"{one.name}: {one.state}: {one.why}", "  ", "    ")


def _history(resource: Resource, style: Style) -> Iterator[str]:
    """The last verdicts that changed, and what else did shortly before."""
    if not resource.status.history:
        return
    yield "History (UTC)"
    for one in resource.status.history[:_TRANSITIONS]:
        head = f"  {one.time:%Y-%m-%d %H:%M:%S}  "
        line = f"{one.check}: {one.before} -> {one.to} ({one.reason}) after {one.duration}"
        yield from style.wrapped(line, head, " " * len(head))
        if one.changes:
            seen = "; ".join(f"{each.what} ({ago(one.time, each.time)} before)" for each in one.changes)
            yield from style.wrapped(f"changed shortly before: {seen}", " " * len(head))


def _endpoint(one: EndpointStatus) -> str:
    return (
        f"{one.name} ({one.endpoint_id}, {one.kind}): {one.ready} of {one.desired} pods ready, {one.cause}: "
        f"{cut(one.message, _LINE)}"
    )
