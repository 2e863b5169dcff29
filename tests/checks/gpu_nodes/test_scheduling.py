"""Our predicates against the real kube-scheduler's filters, on a pinned corpus of generated nodes and pods."""

import pytest

from mehc_checks.clients.kubernetes.scheduling.filters import (
    INSUFFICIENT,
    TOO_MANY_PODS,
    UNSCHEDULABLE,
    UNTOLERATED,
    WRONG_LABELS,
)
from testbed.scheduling import SchedulerOracle

EXTENDED = ("nvidia.com/gpu", "nvidia.com/mig-3g.40gb", "hugepages-2Mi")


@pytest.mark.integration
def test_we_decide_as_the_scheduler_does() -> None:
    with SchedulerOracle() as oracle:
        oracle.compare_many(60, at=1)
    # A corpus that lacks a verdict would prove nothing of it.
    seen = oracle.compared
    assert seen["placed"] > 50
    assert seen["refused by all"] > 50
    for reason in (UNSCHEDULABLE, UNTOLERATED, WRONG_LABELS, TOO_MANY_PODS):
        assert seen[reason], reason
    for resource in ("cpu", "memory", "ephemeral-storage", *EXTENDED):
        assert seen[f"{INSUFFICIENT}{resource}"], resource
