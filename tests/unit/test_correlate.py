"""Causes and consequences: what is declared, and what must hold for any results of any checks."""

import difflib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mehc_checks.checks.config.rules.catalogue import all_rules
from mehc_checks.checks.config.rules.fault import NO_INSTALL, NO_START, Fault
from mehc_checks.core.outcome import EndpointStatus, Severity, Status
from mehc_checks.engine.check import catalogue
from mehc_checks.engine.correlate import Failure, root_causes
from mehc_checks.engine.report import CheckResult, Found, RootCause
from mehc_checks.modelengine.broker import Broker
from mehc_checks.modelengine.redis import Path

CHECKS = catalogue()
CONFIG: Final = "ConfigValid"
FAULTS: Final[dict[str, Fault]] = {
    fault.name: fault for rule in all_rules().values() for fault in rule.faults if fault.status is Status.FAIL
}
SUBJECTS: Final = {
    "RedisReachable": set(Path),
    "BrokerReachable": {Broker.SERVICE_BUS.word},
    "ControlPlaneReady": {"gateway", "cacher", "builder", "autoscaler"},
}
"""Of the checks that declarations narrow by the subject of a finding."""


def failing(
    name: str,
    *given: str,
    severity: Severity = Severity.HIGH,
    endpoints: Sequence[EndpointStatus] | None = None,
) -> CheckResult:
    """A result with a failure for each of ``given``, "Reason" or "subject/Reason"."""
    return result(name, [failure(name, one, severity) for one in given], endpoints)


def result(
    name: str, findings: Iterable[Found], endpoints: Sequence[EndpointStatus] | None = None
) -> CheckResult:
    return CheckResult(
        name=name,
        title=CHECKS[name].title,
        severity=CHECKS[name].severity,
        findings=tuple(findings),
        endpoints=None if endpoints is None else tuple(endpoints),
    )


def failure(name: str, given: str, severity: Severity = Severity.HIGH) -> Found:
    subject, _, reason = given.rpartition("/")
    explains = FAULTS[reason].explains if name == CONFIG and reason in FAULTS else ()
    assert reason in {one.name for one in CHECKS[name].reasons.all()}
    return Found(
        subject=subject,
        status=Status.FAIL,
        severity=severity,
        reason=reason,
        message=f"{given} was found",
        remediation=f"Fix {given}.",
        docs=_docs(name, reason),
        explains=explains,
    )


def _docs(name: str, reason: str) -> str:
    (declared,) = (one for one in CHECKS[name].reasons.all() if one.name == reason)
    return CHECKS[name].docs_of(declared)


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


def told(*results: CheckResult) -> list[tuple[str, str, tuple[str, ...]]]:
    return [(cause.check, cause.reason, cause.explains) for cause in root_causes(results, CHECKS.values())]


# What is declared


def declared() -> Iterator[tuple[str, str]]:
    """Each name in a declaration, with the check whose finding follows from it, or "" where it names what follows."""
    for check in CHECKS.values():
        for reason in check.reasons.all():
            yield from ((check.name, name) for name in reason.explained_by)
    yield from (("", name) for rule in all_rules().values() for name in rule.explains)
    yield from (("", name) for name in (*NO_INSTALL, *NO_START, "EndpointsReady/VolumeSourceMissing"))


@pytest.mark.parametrize("name", sorted({name for _, name in declared()}))
def test_a_declaration_names_failures_that_a_check_can_have(name: str) -> None:
    check, *narrowed = name.split("/")
    if check not in CHECKS:  # its room was removed; a typo would resemble a check that there is
        assert difflib.get_close_matches(check, CHECKS, cutoff=0.8) == []
        return
    reasons = {reason.name for reason in CHECKS[check].reasons.all() if reason.status is Status.FAIL}
    assert set(narrowed) <= reasons | SUBJECTS.get(check, set())
    assert len(reasons.intersection(narrowed)) <= 1
    assert len(set(narrowed) - reasons) <= 1


def test_what_follows_from_others_are_reasons_that_fail() -> None:
    for check in CHECKS.values():
        assert {one.status for one in check.reasons.all() if one.explained_by} <= {Status.FAIL}


def test_only_a_rule_that_can_fail_explains() -> None:
    explaining = [fault for rule in all_rules().values() for fault in rule.faults if fault.explains]
    assert {fault.status for fault in explaining} == {Status.FAIL}


def test_no_cycle() -> None:
    """What follows from a failure explains nothing of it, directly or through others, whatever their subjects are."""
    failures = [
        Failure(check.name, reason.name)
        for check in CHECKS.values()
        for reason in check.reasons.all()
        if reason.status is Status.FAIL
    ]
    subjects = {subject for given in SUBJECTS.values() for subject in given}

    def named(names: Iterable[str]) -> set[Failure]:
        plain = {"/".join(part for part in name.split("/") if part not in subjects) for name in names}
        return {failure for failure in failures if failure.is_one_of(plain)}

    follows = {failure: set[Failure]() for failure in failures}
    for check in CHECKS.values():
        for reason in check.reasons.all():
            consequence = Failure(check.name, reason.name)
            for cause in named(reason.explained_by):
                follows[cause].add(consequence)
            if isinstance(reason, Fault) and reason.status is Status.FAIL:
                follows[consequence] |= named(reason.explains)
    while leaves := {failure for failure, others in follows.items() if not others}:
        follows = {failure: others - leaves for failure, others in follows.items() if failure not in leaves}
    assert follows == {}


# What is told


def test_the_rule_leads_and_another_rule_stands_on_its_own() -> None:
    assert told(
        failing(CONFIG, "PrometheusAddressEmpty", "ServicePortNot80"),
        failing("PrometheusQueryable", "PrometheusAddressUnset"),
        failing("EndpointsReady", "StuckAtZero"),
    ) == [
        (CONFIG, "PrometheusAddressEmpty", ("EndpointsReady", "PrometheusQueryable")),
        (CONFIG, "ServicePortNot80", ()),
    ]


def test_a_cause_has_the_words_of_its_own_finding() -> None:
    cause, _ = root_causes([failing(CONFIG, "PrometheusAddressEmpty", "ServicePortNot80")], CHECKS.values())
    assert (cause.message, cause.remediation) == (
        "PrometheusAddressEmpty was found",
        "Fix PrometheusAddressEmpty.",
    )
    assert cause.docs == CHECKS[CONFIG].docs_of(FAULTS["PrometheusAddressEmpty"])


def test_a_rule_that_explains_nothing_swallows_nothing() -> None:
    assert told(
        failing(CONFIG, "ServicePortNot80"),
        failing("ObjectStoreReachable", "BucketNotFound"),
        failing("VllmImagePullable", "TagMissing"),
    ) == [
        (CONFIG, "ServicePortNot80", ()),
        ("ObjectStoreReachable", "BucketNotFound", ()),
        ("VllmImagePullable", "TagMissing", ()),
    ]


def test_a_rule_explains_one_reason_and_not_the_next() -> None:
    broken = failing(CONFIG, "PrometheusAddressEmpty")
    assert told(broken, failing("PrometheusQueryable", "PrometheusAddressUnset", "KedaOperatorNotReady")) == [
        (CONFIG, "PrometheusAddressEmpty", ()),
        ("PrometheusQueryable", "KedaOperatorNotReady", ()),
    ]


def test_a_declaration_may_be_narrowed_by_the_subject() -> None:
    stays = failing("ControlPlaneReady", "cacher/CacherNotReady")
    assert told(stays, failing("RedisReachable", "keda/TLSRequired")) == [
        ("RedisReachable", "TLSRequired", ()),
        ("ControlPlaneReady", "CacherNotReady", ()),
    ]
    assert told(stays, failing("RedisReachable", "cache/TLSRequired")) == [
        ("RedisReachable", "TLSRequired", ("ControlPlaneReady",))
    ]


def test_findings_of_one_reason_are_one_cause() -> None:
    (cause,) = root_causes(
        [
            failing(
                "RedisReachable",
                "cache/ConnectionTimeout",
                "keda/ConnectionTimeout",
                "keda/ConnectionTimeout",
            )
        ],
        CHECKS.values(),
    )
    assert cause.message == "cache/ConnectionTimeout was found (and 2 more)"


def test_a_cause_is_as_severe_as_the_worst_that_it_explains() -> None:
    """Else what keeps the platform down would stand behind a lesser check, for the name of the check that found it."""
    causes = root_causes(
        [
            failing(CONFIG, "PrometheusAddressEmpty", severity=Severity.INFO),
            failing("PrometheusQueryable", "PrometheusAddressUnset", severity=Severity.CRITICAL),
            failing("ObjectStoreReachable", "BucketNotFound", severity=Severity.HIGH),
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


def _failures(name: str) -> st.SearchStrategy[list[Found]]:
    own = [one.name for one in CHECKS[name].reasons.all() if one.status is Status.FAIL]
    subjects = ["", *SUBJECTS.get(name, ())]
    if not own:  # a check that only warns
        return st.just([])
    given = st.tuples(st.sampled_from(sorted(subjects)), st.sampled_from(own))
    said = given.map(lambda one: f"{one[0]}/{one[1]}" if one[0] else one[1])
    failures = st.builds(lambda one, severity: failure(name, one, severity), said, st.sampled_from(Severity))
    return st.lists(failures, min_size=1, max_size=6)


def _results(name: str) -> st.SearchStrategy[CheckResult]:
    """Of a check that fails, and warns besides, or whose findings are all of another status."""
    causes = [reason.name for reason in CHECKS["EndpointsReady"].reasons.all()]
    stuck = st.lists(
        st.builds(endpoint, st.integers(0, 99), st.sampled_from(causes), st.sampled_from(["sync", "async"])),
        max_size=5,
    )
    warns = replace(failure(name, next(CHECKS[name].reasons.all()).name), status=Status.WARN)
    other = st.builds(
        lambda findings, status: [replace(one, status=status) for one in findings or [warns]],
        _failures(name),
        st.sampled_from([status for status in Status if status is not Status.FAIL]),
    )
    return st.builds(
        result,
        st.just(name),
        _failures(name).map(lambda findings: [*findings, warns]) | other,
        stuck if name == "EndpointsReady" else st.none(),
    )


RESULTS: Final = st.tuples(*(_results(name) for name in CHECKS)).flatmap(st.permutations)


def _names(results: Sequence[CheckResult]) -> set[str]:
    return {result.name for result in results if result.status is Status.FAIL}


def _causes(results: Sequence[CheckResult]) -> tuple[RootCause, ...]:
    return root_causes(results, CHECKS.values())


def _failing(of: CheckResult) -> list[Found]:
    return [finding for finding in of.findings if finding.status is Status.FAIL]


def _explains(cause: tuple[str, Found], of: tuple[str, Found]) -> bool:
    """Whether one finding directly explains another, by the declarations alone."""
    (name, finding), (other, found) = cause, of
    (reason,) = (one for one in CHECKS[other].reasons.all() if one.name == found.reason)
    return Failure(name, finding.reason, finding.subject).is_one_of(reason.explained_by) or Failure(
        other, found.reason, found.subject
    ).is_one_of(finding.explains)


@given(RESULTS)
def test_every_failing_check_is_a_cause_or_explained_by_one(results: Sequence[CheckResult]) -> None:
    causes = _causes(results)
    named = {cause.check for cause in causes}
    explained = {name for cause in causes for name in cause.explains}
    assert named | explained == _names(results)
    assert named & explained == set()


@given(RESULTS)
def test_every_finding_that_nothing_explains_is_told_and_no_other(results: Sequence[CheckResult]) -> None:
    found = [(each.name, finding) for each in results for finding in _failing(each)]
    standing = [one for one in found if not any(_explains(other, one) for other in found)]
    causes = {(cause.check, cause.reason): cause for cause in _causes(results)}
    assert causes.keys() == {(name, finding.reason) for name, finding in standing}
    for key, cause in causes.items():
        own = [finding.message for name, finding in standing if (name, finding.reason) == key]
        assert cause.message == own[0] + (f" (and {len(own) - 1} more)" if len(own) > 1 else "")


@given(RESULTS)
def test_no_failure_explains_itself(results: Sequence[CheckResult]) -> None:
    for each in results:
        assert not any(_explains((each.name, one), (each.name, one)) for one in _failing(each))


@given(RESULTS)
def test_the_order_is_total_and_does_not_hang_on_that_of_the_results(results: Sequence[CheckResult]) -> None:
    causes = _causes(results)
    assert causes == _causes(sorted(results, key=lambda result: result.name))
    assert [cause.severity.rank for cause in causes] == sorted(cause.severity.rank for cause in causes)
    assert len({(cause.check, cause.reason) for cause in causes}) == len(causes)


@given(RESULTS)
def test_no_severity_is_lost(results: Sequence[CheckResult]) -> None:
    """The condition Ready is judged by the root causes alone."""
    ranks = [finding.severity.rank for each in results for finding in _failing(each)]
    assert min((cause.severity.rank for cause in _causes(results)), default=None) == min(ranks, default=None)


@given(RESULTS)
def test_no_endpoint_is_lost(results: Sequence[CheckResult]) -> None:
    (ready,) = (result for result in results if result.name == "EndpointsReady")
    if ready.status is not Status.FAIL:  # an endpoint whose own cause only warns may still wait for another's
        held = {(cause.check, cause.endpoints) for cause in _causes(results) if cause.endpoints}
        assert "EndpointsReady" not in {check for check, _ in held}
        return
    found = {finding.reason for finding in _failing(ready)}
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


def test_failures_that_explain_each_other_are_one_cause() -> None:
    names = ("EndpointNamespaceInvalid", "EndpointNamespaceMissing")
    both = [
        replace(failure(CONFIG, name), explains=tuple(f"{CONFIG}/{each}" for each in names)) for name in names
    ]
    (cause,) = root_causes([result(CONFIG, both)], CHECKS.values())
    assert cause.reason == names[0]
