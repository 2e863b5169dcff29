"""Causes and consequences: what must hold for any results of any checks."""

from dataclasses import dataclass
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mehc_checks.check import catalogue
from mehc_checks.correlate import root_causes
from mehc_checks.outcome import Severity, Status

CHECKS = catalogue()


@dataclass(frozen=True)
class Result:
    """As much of a check's result as correlation reads."""

    status: Status
    severity: Severity
    reason: str = "Reason"
    message: str = "message"
    remediation: str = "remedy"
    docs: str = "docs"


RESULTS: st.SearchStrategy[dict[str, Result]] = st.fixed_dictionaries(
    {name: st.builds(Result, st.sampled_from(Status), st.sampled_from(Severity)) for name in CHECKS}
)
PARTS: st.SearchStrategy[Any] = st.dictionaries(
    st.sampled_from(list(CHECKS)),
    st.lists(st.lists(st.sampled_from(list(CHECKS)), max_size=2).map(tuple), max_size=3),
    max_size=3,
)


def test_no_check_depends_on_itself() -> None:
    """Directly or through others: then each would be the other's consequence, and none a cause."""
    for name in CHECKS:
        seen: set[str] = set()
        pending = list(CHECKS[name].depends_on)
        while pending:
            other = pending.pop()
            assert other != name
            if other not in seen:
                seen.add(other)
                pending.extend(CHECKS[other].depends_on if other in CHECKS else ())


def test_what_a_check_depends_on_exists() -> None:
    for check in CHECKS.values():
        assert set(check.depends_on) <= CHECKS.keys(), check.name


@given(RESULTS)
def test_every_failure_is_a_cause_or_explained_by_one(results: dict[str, Result]) -> None:
    causes = root_causes(results, CHECKS.values())
    failing = {name for name, result in results.items() if result.status is Status.FAIL}
    named = {cause.check for cause in causes}
    explained = {name for cause in causes for name in cause.explains}
    assert named <= failing
    assert named & explained == set()
    assert len(causes) <= 5
    assert bool(causes) == bool(failing)
    if len(causes) < 5:  # nothing was cut off
        assert named | explained == failing


@given(RESULTS)
def test_the_worst_comes_first(results: dict[str, Result]) -> None:
    ranks = [cause.severity.rank for cause in root_causes(results, CHECKS.values())]
    assert ranks == sorted(ranks)


@given(RESULTS, PARTS)
def test_a_check_with_a_part_that_nothing_explains_is_a_cause(results: dict[str, Result], parts: Any) -> None:
    failing = {name for name, result in results.items() if result.status is Status.FAIL}
    causes = root_causes(results, CHECKS.values(), parts)
    named = {cause.check for cause in causes}
    for name, found in parts.items():
        if name in failing and () in found and len(causes) < 5:
            assert name in named
