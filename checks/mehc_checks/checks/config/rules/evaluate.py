"""Judges values by all rules."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import islice
from typing import Final

from mehc_checks.checks.config.rules.catalogue import all_rules
from mehc_checks.checks.config.rules.rule import ClusterFacts, Duplicate, Rule, Unknowable, View
from mehc_checks.core.errors import UsageError
from mehc_checks.core.outcome import Finding, Severity, Status
from mehc_checks.core.text import nearest
from mehc_checks.modelengine.values import Part, Values
from mehc_checks.modelengine.versions import Platform

MOST_PLACES: Final = 200
"""Places where one rule is looked at for being broken; a list of thousands of wrong items is one mistake."""
_DEPLOYED: Final = "Helm and the API server accepted these values"


class Verdict(StrEnum):
    """What became of one rule."""

    HOLDS = "holds"
    BROKEN = "broken"
    IGNORED = "ignored"
    SKIPPED = "skipped"
    CRASHED = "crashed"


@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """One rule's verdict. ``why`` is set for what was skipped, ignored or crashed.

    ``findings`` are the places where it is broken, or would be were it not ignored.
    """

    rule: Rule
    verdict: Verdict
    findings: tuple[Finding, ...] = ()
    why: str = ""

    def found_on(self, platform: Platform) -> list[Finding]:
        """``findings``, of which none fails where ``platform`` may not need what the rule demands."""
        if not (platform.is_newer or (platform.is_older and self.rule.of_version)):
            return list(self.findings)
        return [
            replace(found, status=Status.WARN, severity=Severity.WARNING)
            if found.status is Status.FAIL
            else found
            for found in self.findings
        ]

    @property
    def shown_why(self) -> str:
        """``why`` for people: of a rule that crashed, it is only the kind of the error."""
        return f"the rule itself crashed ({self.why})" if self.verdict is Verdict.CRASHED else self.why


def evaluate(
    values: Values,
    *,
    facts: ClusterFacts | None = None,
    whole: frozenset[str] = frozenset(Part),
    ignored: Mapping[str, str] | None = None,
    duplicates: tuple[Duplicate, ...] = (),
) -> list[Judged]:
    """Judge every rule, in the order of ids.

    ``whole`` are the parts, and the top-level keys, of the values of which nothing is hidden. ``duplicates`` are the
    keys that a values file gives more than once. ``ignored`` maps ids to why. Raises UsageError for one that does not
    exist. A rule that raises becomes a verdict of its own and disturbs no other.
    """
    ignored = ignored or {}
    require_rules(ignored)
    view = View(values, facts=facts, whole=whole, duplicates=duplicates)
    return [_judged(rule, view, ignored.get(rule.id)) for rule in all_rules().values()]


def require_rules(ids: Iterable[str]) -> None:
    """Raises UsageError for the first of ``ids`` that no rule has."""
    rules = all_rules()
    names = {fault.name.lower(): rule.id for rule in rules.values() for fault in rule.faults}
    for given in ids:
        if given in rules:
            continue
        near = names.get(given.lower()) or next(iter(nearest(given.upper(), rules, cutoff=0.5)), "")
        raise UsageError(f"there is no rule {given}" + (f"; did you mean {near}?" if near else ""))


def _judged(rule: Rule, view: View, ignored: str | None) -> Judged:
    if rule.clouds and view.cloud not in rule.clouds:
        clouds = ", ".join(rule.clouds)
        return Judged(rule=rule, verdict=Verdict.SKIPPED, why=f"for {clouds}; cloud_provider is {view.cloud}")
    if rule.of_install and view.deployed:
        return Judged(rule=rule, verdict=Verdict.SKIPPED, why=_DEPLOYED)
    found: list[Finding] = []
    why = ""
    try:
        found.extend(islice(rule.judge(view), MOST_PLACES))  # keeps what was found before an exception
    except Unknowable as unknown:
        why = str(unknown)
    except Exception as error:
        return Judged(rule=rule, verdict=Verdict.CRASHED, why=type(error).__name__)
    if found:
        verdict = Verdict.BROKEN if ignored is None else Verdict.IGNORED
        return Judged(rule=rule, verdict=verdict, findings=tuple(found), why=ignored or "")
    if why:
        return Judged(rule=rule, verdict=Verdict.SKIPPED, why=why)
    return Judged(rule=rule, verdict=Verdict.HOLDS)
