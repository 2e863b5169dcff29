"""Carries the rules out over values."""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from mehc_checks.checks.config.rules.catalogue import all_rules
from mehc_checks.checks.config.rules.rule import Broken, ClusterFacts, Rule, Unknowable, View
from mehc_checks.core.errors import UsageError
from mehc_checks.core.outcome import Severity
from mehc_checks.modelengine.values import Part, Values


class Verdict(StrEnum):
    """What became of one rule."""

    HOLDS = "holds"
    BROKEN = "broken"
    IGNORED = "ignored"
    SKIPPED = "skipped"
    CRASHED = "crashed"


@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """One rule's verdict. ``why`` is set for what was skipped or ignored; ``broken`` for broken and ignored."""

    rule: Rule
    verdict: Verdict
    broken: tuple[Broken, ...] = ()
    why: str = ""

    @property
    def severity(self) -> Severity:
        """The worst of what is broken, the rule's own where nothing is."""
        given = [item.severity or self.rule.severity for item in self.broken]
        return min(given, key=lambda severity: severity.rank, default=self.rule.severity)

    @property
    def explains(self) -> tuple[str, ...]:
        """The failures of checks that follow from what is broken."""
        places = (self.rule.explains if item.explains is None else item.explains for item in self.broken)
        return tuple(dict.fromkeys(name for names in places for name in names))


def evaluate(
    values: Values,
    *,
    facts: ClusterFacts | None = None,
    whole: frozenset[Part] = frozenset(Part),
    ignored: Mapping[str, str] | None = None,
) -> list[Judged]:
    """Judge every rule, in the order of ids. ``whole`` are the parts of the values of which nothing is hidden.

    ``ignored`` maps ids to why. Raises UsageError for one that does not exist. A rule that raises becomes a
    verdict of its own and disturbs no other.
    """
    ignored = ignored or {}
    require_rules(ignored)
    view = View(values, facts=facts, whole=whole)
    return [_judged(rule, view, ignored.get(rule.id)) for rule in all_rules().values()]


def require_rules(ids: Iterable[str]) -> None:
    """Raises UsageError for the first of ``ids`` that is no rule, with the nearest that is."""
    rules = all_rules()
    for given in ids:
        if given not in rules:
            near = difflib.get_close_matches(given.upper(), rules, n=1, cutoff=0.5)
            raise UsageError(f"there is no rule {given}" + (f"; did you mean {near[0]}?" if near else ""))


def _judged(rule: Rule, view: View, ignored: str | None) -> Judged:
    if rule.clouds and view.cloud not in rule.clouds:
        clouds = ", ".join(rule.clouds)
        return Judged(rule=rule, verdict=Verdict.SKIPPED, why=f"for {clouds}; cloud_provider is {view.cloud}")
    broken: list[Broken] = []
    why = ""
    try:
        broken.extend(rule.judge(view))  # keeps what was found before an exception
    except Unknowable as unknown:
        why = str(unknown)
    except Exception as error:
        return Judged(rule=rule, verdict=Verdict.CRASHED, why=type(error).__name__)
    if broken:
        verdict = Verdict.BROKEN if ignored is None else Verdict.IGNORED
        return Judged(rule=rule, verdict=verdict, broken=tuple(broken), why=ignored or "")
    if why:
        return Judged(rule=rule, verdict=Verdict.SKIPPED, why=why)
    return Judged(rule=rule, verdict=Verdict.HOLDS)
