"""Causes and consequences: what is declared, and what must hold for any results of any checks."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mehc_checks.checks.config.check import RULES
from mehc_checks.checks.config.rules.catalogue import all_rules
from mehc_checks.checks.config.rules.rule import NO_INSTALL, NO_START
from mehc_checks.core.outcome import EndpointStatus, Finding, Severity, Status
from mehc_checks.engine.check import catalogue
from mehc_checks.engine.correlate import Failure, RootCause, root_causes
from mehc_checks.modelengine.redis import Path

CHECKS = catalogue()
CONFIG: Final = "ConfigValid"
SUBJECTS: Final = {
    "RedisReachable": set(Path),
    "ControlPlaneReady": {"gateway", "cacher", "builder", "autoscaler"},
}
"""Of the checks that declarations narrow by the subject of a finding."""


@dataclass(frozen=True)
class Result:
    """As much of a check's result as correlation reads."""

    name: str
    status: Status
    severity: Severity = Severity.HIGH
    failures: Sequence[Finding] = ()
    endpoints: Sequence[EndpointStatus] | None = None


def failing(name: str, *reasons: str, severity: Severity = Severity.HIGH, **options: object) -> Result:
    """A result with a finding for each of ``reasons``, "Reason" or "subject/Reason"; rules are named by their id."""
    findings = [_finding(name, reason) for reason in reasons]
    return replace(Result(name, Status.FAIL, severity, findings), **options)  # type: ignore[arg-type]


def _finding(name: str, given: str) -> Finding:
    if name == CONFIG and given in RULES:
        found = RULES[given].finding(f"{given} is broken", subject=given)
        return replace(found, explains=all_rules()[given].explains)
    subject, _, reason = given.rpartition("/")
    (declared,) = (each for each in CHECKS[name].reasons.all() if each.name == reason)
    return Finding(
        reason=declared, message=f"{given} was found", remediation=f"mend {given}", subject=subject
    )


def endpoint(number: int, cause: str, kind: str = "sync") -> EndpointStatus:
    return EndpointStatus(
        endpoint_id=f"end_{number}",
        name=f"e{number}",
        kind=kind,
        ready=0,
        desired=1,
        cause=cause,
        message="it waits",
    )


def told(*results: Result) -> list[tuple[str, str, tuple[str, ...]]]:
    return [(cause.check, cause.reason, cause.explains) for cause in root_causes(results, CHECKS.values())]


# What is declared


def declared() -> Iterator[tuple[str, str]]:
    """Each name in a declaration, with the check whose finding follows from it, or "" where it names what follows."""
    for check in CHECKS.values():
        yield from ((check.name, name) for names in check.depends_on.values() for name in names)
    yield from (("", name) for rule in all_rules().values() for name in rule.explains)
    yield from (("", name) for name in (*NO_INSTALL, *NO_START, "EndpointsReady/VolumeSourceMissing"))


@pytest.mark.parametrize("name", sorted({name for _, name in declared()}))
def test_a_declaration_names_failures_that_a_check_can_have(name: str) -> None:
    check, *narrowed = name.split("/")
    reasons = {reason.name for reason in CHECKS[check].reasons.all() if reason.status is Status.FAIL}
    assert set(narrowed) <= reasons | SUBJECTS.get(check, set())
    assert len(reasons.intersection(narrowed)) <= 1
    assert len(set(narrowed) - reasons) <= 1


def test_what_depends_on_others_are_reasons_that_fail() -> None:
    for check in CHECKS.values():
        assert {reason.status for reason in check.depends_on} <= {Status.FAIL}
        assert set(check.depends_on) <= set(check.reasons.all())


def test_only_a_rule_that_can_fail_explains() -> None:
    assert {id for id, rule in all_rules().items() if rule.explains} <= RULES.keys()


def test_no_cycle() -> None:
    """Of checks and rules: what follows from a check explains nothing of it, directly or through others."""
    follows: dict[str, set[str]] = {name: set() for name in CHECKS}
    for check, name in declared():
        named = name.partition("/")[0]
        cause, consequence = (named, check) if check else (CONFIG, named)
        follows[cause].add(consequence)
    while leaves := {name for name, others in follows.items() if not others}:
        follows = {name: others - leaves for name, others in follows.items() if name not in leaves}
    assert follows == {}


# What is told


def test_the_rule_leads_and_another_rule_stands_on_its_own() -> None:
    assert told(
        failing(CONFIG, "S4-06", "S5-04"),
        failing("PrometheusQueryable", "AddressUnset"),
        failing("EndpointsReady", "StuckAtZero"),
    ) == [
        (CONFIG, "RuleS4_06", ("EndpointsReady", "PrometheusQueryable")),
        (CONFIG, "RuleS5_04", ()),
    ]


def test_a_cause_has_the_words_of_its_own_finding() -> None:
    cause, _ = root_causes([failing(CONFIG, "S4-06", "S5-04")], CHECKS.values())
    assert (cause.message, cause.remediation) == ("S4-06 is broken", all_rules()["S4-06"].remedy)
    assert cause.docs == "docs/checks/ConfigValid.md#rules4_06"


def test_a_rule_that_explains_nothing_swallows_nothing() -> None:
    assert told(
        failing(CONFIG, "S5-04"),
        failing("ObjectStoreReachable", "BucketMissing"),
        failing("BrokerReachable", "ServiceBusUnreachable"),
    ) == [
        ("BrokerReachable", "ServiceBusUnreachable", ()),
        (CONFIG, "RuleS5_04", ()),
        ("ObjectStoreReachable", "BucketMissing", ()),
    ]


def test_a_rule_explains_one_reason_and_not_the_next() -> None:
    broken = failing(CONFIG, "S4-06")
    assert told(broken, failing("PrometheusQueryable", "AddressUnset", "KedaOperatorNotReady")) == [
        (CONFIG, "RuleS4_06", ()),
        ("PrometheusQueryable", "KedaOperatorNotReady", ()),
    ]


def test_a_declaration_may_be_narrowed_by_the_subject() -> None:
    stays = failing("ControlPlaneReady", "cacher/CacherNotReady")
    assert told(stays, failing("RedisReachable", "keda/TLSRequired")) == [
        ("ControlPlaneReady", "CacherNotReady", ()),
        ("RedisReachable", "TLSRequired", ()),
    ]
    assert told(stays, failing("RedisReachable", "cache/TLSRequired")) == [
        ("RedisReachable", "TLSRequired", ("ControlPlaneReady",))
    ]


def test_findings_of_one_reason_are_one_cause() -> None:
    (cause,) = root_causes(
        [failing("RedisReachable", "cache/NoAnswer", "keda/NoAnswer", "keda/NoAnswer")], CHECKS.values()
    )
    assert cause.message == "cache/NoAnswer was found; keda/NoAnswer was found"


def test_a_cause_is_as_severe_as_the_worst_that_it_explains() -> None:
    """Else what keeps the platform down would stand behind a lesser check, for the name of the check that found it."""
    causes = root_causes(
        [
            failing(CONFIG, "S2-op-01", severity=Severity.INFO),
            failing("BrokerReachable", "BuilderHearsAnotherBroker", severity=Severity.CRITICAL),
            failing("ObjectStoreReachable", "BucketMissing", severity=Severity.HIGH),
        ],
        CHECKS.values(),
    )
    assert [(cause.check, cause.severity) for cause in causes] == [
        (CONFIG, Severity.CRITICAL),
        ("ObjectStoreReachable", Severity.HIGH),
    ]


def test_more_endpoints_come_first_then_more_kinds_of_traffic() -> None:
    places = [endpoint(9, "TaintUntolerated")]
    images = [endpoint(number, "ImageNotFound", "async") for number in range(7)]
    results = [
        failing("GpuNodesReady", "UntoleratedTaint"),
        failing("VllmImagePullable", "TagMissing"),
    ]
    stuck = failing(
        "EndpointsReady", "TaintUntolerated", "ImageNotFound", "OutOfMemory", endpoints=[*places, *images]
    )
    causes = root_causes([*results, stuck], CHECKS.values())
    assert [(cause.check, cause.endpoints, cause.modes) for cause in causes] == [
        ("VllmImagePullable", 7, ("async",)),
        ("GpuNodesReady", 1, ("sync",)),
        ("EndpointsReady", 0, ()),
    ]
    even = [endpoint(number, "TaintUntolerated") for number in range(2)]
    even += [endpoint(2, "ImageNotFound"), endpoint(3, "ImageNotFound", "async")]
    stuck = failing("EndpointsReady", "TaintUntolerated", "ImageNotFound", endpoints=even)
    causes = root_causes([*results, stuck], CHECKS.values())
    assert [(cause.check, cause.explains) for cause in causes] == [
        ("VllmImagePullable", ("EndpointsReady",)),
        ("GpuNodesReady", ("EndpointsReady",)),
    ]


def test_an_endpoint_of_an_unexplained_cause_is_its_own() -> None:
    (cause,) = root_causes(
        [failing("EndpointsReady", "OutOfMemory", endpoints=[endpoint(1, "OutOfMemory")])], CHECKS.values()
    )
    assert (cause.reason, cause.endpoints) == ("OutOfMemory", 1)


# What must hold of any results


def _findings(name: str) -> st.SearchStrategy[list[Finding]]:
    own = [reason.name for reason in CHECKS[name].reasons.all() if reason.status is Status.FAIL]
    if name == CONFIG:
        own = [reason for reason in own if not reason.startswith("Rule")] + list(RULES)
    subjects = ["", *SUBJECTS.get(name, ())]
    given = st.tuples(st.sampled_from(sorted(subjects)), st.sampled_from(own))
    said = given.map(lambda one: f"{one[0]}/{one[1]}" if one[0] else one[1])
    return st.lists(said.map(lambda one: _finding(name, one)), min_size=1, max_size=6)


def _results(name: str) -> st.SearchStrategy[Result]:
    causes = [reason.name for reason in CHECKS["EndpointsReady"].reasons.all()]
    stuck = st.lists(
        st.builds(endpoint, st.integers(0, 99), st.sampled_from(causes), st.sampled_from(["sync", "async"])),
        max_size=5,
    )
    return st.builds(
        Result,
        st.just(name),
        st.sampled_from([Status.FAIL, Status.FAIL, Status.FAIL, *Status]),
        st.sampled_from(Severity),
        _findings(name),
        stuck if name == "EndpointsReady" else st.none(),
    )


RESULTS: Final = st.tuples(*(_results(name) for name in CHECKS)).flatmap(st.permutations)


def _names(results: Sequence[Result]) -> set[str]:
    return {result.name for result in results if result.status is Status.FAIL}


def _causes(results: Sequence[Result]) -> tuple[RootCause, ...]:
    return root_causes(results, CHECKS.values())


def _explains(cause: tuple[str, Finding], of: tuple[str, Finding]) -> bool:
    """Whether one finding directly explains another, by the declarations alone."""
    (name, finding), (other, found) = cause, of
    needed = CHECKS[other].depends_on.get(found.reason, ())
    return Failure(name, finding.reason.name, finding.subject).is_one_of(needed) or Failure(
        other, found.reason.name, found.subject
    ).is_one_of(finding.explains)


@given(RESULTS)
def test_every_failing_check_is_a_cause_or_explained_by_one(results: Sequence[Result]) -> None:
    causes = _causes(results)
    named = {cause.check for cause in causes}
    explained = {name for cause in causes for name in cause.explains}
    assert named | explained == _names(results)
    assert named & explained == set()


@given(RESULTS)
def test_every_finding_that_nothing_explains_is_told_and_no_other(results: Sequence[Result]) -> None:
    found = [(r.name, finding) for r in results if r.status is Status.FAIL for finding in r.failures]
    standing = [one for one in found if not any(_explains(other, one) for other in found)]
    causes = {(cause.check, cause.reason): cause for cause in _causes(results)}
    assert causes.keys() == {(name, finding.reason.name) for name, finding in standing}
    for name, finding in standing:
        assert finding.message in causes[name, finding.reason.name].message
    for key, cause in causes.items():
        own = {finding.message for name, finding in standing if (name, finding.reason.name) == key}
        assert set(cause.message.split("; ")) == own


@given(RESULTS)
def test_no_failure_explains_itself(results: Sequence[Result]) -> None:
    for result in results:
        for one in result.failures:
            assert not any(_explains((result.name, one), (result.name, other)) for other in result.failures)


@given(RESULTS)
def test_the_order_is_total_and_does_not_hang_on_that_of_the_results(results: Sequence[Result]) -> None:
    causes = _causes(results)
    assert causes == _causes(sorted(results, key=lambda result: result.name))
    assert [cause.severity.rank for cause in causes] == sorted(cause.severity.rank for cause in causes)
    assert len({(cause.check, cause.reason) for cause in causes}) == len(causes)


@given(RESULTS)
def test_no_severity_is_lost(results: Sequence[Result]) -> None:
    """The condition Ready is judged by the root causes alone."""
    ranks = [result.severity.rank for result in results if result.status is Status.FAIL]
    assert min((cause.severity.rank for cause in _causes(results)), default=None) == min(ranks, default=None)


@given(RESULTS)
def test_no_endpoint_is_lost(results: Sequence[Result]) -> None:
    (ready,) = (result for result in results if result.name == "EndpointsReady")
    if ready.status is not Status.FAIL:
        assert {cause.endpoints for cause in _causes(results)} <= {0}
        return
    found = {finding.reason.name for finding in ready.failures}
    counted = [each for each in ready.endpoints or () if each.cause in found]
    assert sum(cause.endpoints for cause in _causes(results)) >= len(counted)
    assert all(cause.endpoints <= len(ready.endpoints or ()) for cause in _causes(results))


def test_a_failure_is_named_by_its_check_its_reason_or_its_subject() -> None:
    failure = Failure("A", "Broken", "part")
    assert failure.is_one_of(["A"])
    assert failure.is_one_of(["B", "A/Broken"])
    assert failure.is_one_of(["A/part"])
    assert failure.is_one_of(["A/part/Broken"])
    assert not failure.is_one_of([])
    assert not failure.is_one_of(["A/Other", "A/part/Other", "Ab", "B/Broken"])
    assert not Failure("A", "Broken").is_one_of(["A/part"])
