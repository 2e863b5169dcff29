"""What the documentation says of a reason or a rule, for people without a network."""

from collections.abc import Iterable, Iterator

from mehc_checks.checks.config.rules.rule import Rule
from mehc_checks.core.links import docs_url
from mehc_checks.core.outcome import Reason
from mehc_checks.engine.check import Check
from mehc_checks.render.terminal import Style


def reason_text(name: str, found: Iterable[tuple[Check, Reason]], style: Style) -> str:
    """What each check means by the reason ``name``; checks that mean the same share a paragraph."""
    alike: dict[tuple[str, str, str], list[tuple[Check, Reason]]] = {}
    for check, reason in found:
        alike.setdefault((reason.meaning, reason.message, reason.remedy), []).append((check, reason))
    lines = [name]
    for group in alike.values():
        check, reason = group[0]
        names = ", ".join(each.name for each, _ in group)
        lines += ["", *style.wrapped(f"{reason.status} of {names}", "")]
        lines += _reason(reason, style)
        if reason.explained_by:
            lines += style.wrapped(f"follows from {', '.join(reason.explained_by)}", "  ")
        lines.append(f"  {docs_url(check.docs_of(reason))}")
    return "\n".join(lines)


def rule_text(rule: Rule, style: Style) -> str:
    """What the rule demands, and each way of breaking it."""
    lines = style.wrapped(f"{rule.id}: {rule.title}", "")
    if rule.clouds:
        lines += style.wrapped(f"on {', '.join(rule.clouds)} only", "  ")
    if rule.reads:
        lines += style.wrapped(f"judges {', '.join(rule.reads)}", "  ")
    for fault in rule.faults:
        lines += ["", f"{fault.name} ({fault.severity})", *_reason(fault, style)]
    return "\n".join([*lines, "", docs_url(f"{rule.faults[0].page}#{rule.id.lower()}")])


def _reason(reason: Reason, style: Style) -> Iterator[str]:
    yield from style.wrapped(reason.meaning, "  ")
    if reason.message:
        yield from style.wrapped(f"says: {reason.shown(reason.message)}", "  ", "    ")
    if reason.remedy:
        yield from style.remedy(reason.shown(reason.remedy), "  ")
