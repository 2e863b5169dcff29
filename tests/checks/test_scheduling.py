"""Our predicates against the real kube-scheduler's filters, on a pinned corpus of generated nodes and pods."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from mehc_checks.scheduling.filters import (
    INSUFFICIENT,
    TOO_MANY_PODS,
    UNSCHEDULABLE,
    UNTOLERATED,
    WRONG_LABELS,
)
from testbed.scheduling import Round, SchedulerOracle, rounds


@pytest.fixture(scope="module")
def oracle() -> Iterator[SchedulerOracle]:
    with SchedulerOracle() as oracle:
        yield oracle


@pytest.mark.integration
@settings(
    max_examples=60,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(case=rounds())
def test_we_decide_as_the_scheduler_does(oracle: SchedulerOracle, case: Round) -> None:
    oracle.compare(case)


@pytest.mark.integration
def test_the_corpus_has_every_verdict(oracle: SchedulerOracle) -> None:
    """Guards the test above against a corpus that proves nothing."""
    if not oracle.compared:
        pytest.fail("runs after the comparison")
    seen = oracle.compared
    assert seen["placed"] > 50
    assert seen["refused by all"] > 50
    for reason in (UNSCHEDULABLE, UNTOLERATED, WRONG_LABELS, TOO_MANY_PODS):
        assert seen[reason], reason
    for resource in (
        "cpu",
        "memory",
        "ephemeral-storage",
        "nvidia.com/gpu",
        "nvidia.com/mig-3g.40gb",
        "hugepages-2Mi",
    ):
        assert seen[f"{INSUFFICIENT}{resource}"], resource
