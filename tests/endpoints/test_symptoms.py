"""Each cause that ``docs/explain.md`` names has a real state, a text that was read, or a reason to have none."""

from collections import defaultdict
from pathlib import Path

import pytest
import yaml

from mehc_checks.checks.endpoints.reasons import SYMPTOMS, Symptom
from mehc_checks.core.outcome import Reason
from mehc_checks.workload.reasons import WorkloadReasons as R
from mehc_checks.workload.registry import PROVED
from testbed.realstates import states

TEXTS = [
    yaml.safe_load(path.read_text())
    for name in ("reported.yaml", "corpus.yaml")
    if (path := Path(__file__).with_name(name)).exists()
]
STAGED = {state.cause for state in states(defaultdict(str)).values()}
TOLD = {entry["cause"] for text in TEXTS for entries in text.values() for entry in entries}
WITHOUT_WORDS: dict[Reason, str] = {
    R.DELETION_STUCK: "the API server's deletionTimestamp",
    R.NO_PODS: "the controller says nothing",
    R.NOT_CONSIDERED: "the scheduler says nothing",
    R.NODE_LOST: "the node controller's condition",
    R.TERMINATION_STUCK: "the API server's deletionTimestamp",
    R.IMAGE_PULL_SLOW: "the kubelet's Event Pulling alone",
    R.SIDECAR_NOT_READY: "the name of the container",
    R.PROBE_COMMAND_MISSING: "an Event Unhealthy",
}
"""Causes of workloads that no text names; staged on the control plane in test_endpoints_ready.py."""
OF_THE_NODE = (
    R.RUNTIME_HANDLER_MISSING,
    R.IMAGE_NOT_FOUND,
    R.CONNECTION_REFUSED,
    R.CONFIGURATION_MISSING,
    R.CRASHING,
    R.INIT_RUNNING,
    R.EVICTED,
)
"""One of each symptom that a kubelet makes."""


def _rows(reasons: tuple[Reason, ...]) -> list[Symptom]:
    return [row for row in SYMPTOMS if set(row.causes) & set(reasons)]


def test_every_cause_of_a_workload_has_a_state_or_a_text() -> None:
    proved = {reason.name for reason in PROVED}  # test_registry_answers.py
    known = STAGED | TOLD | proved | {reason.name for reason in WITHOUT_WORDS}
    assert {reason.name for reason in R.all()} <= known


def test_no_exception_is_left_over() -> None:
    assert not {reason.name for reason in WITHOUT_WORDS} & TOLD


@pytest.mark.parametrize("row", _rows(OF_THE_NODE), ids=lambda row: row.seen)
def test_each_symptom_that_a_kubelet_makes_is_a_state_on_the_real_node(row: Symptom) -> None:
    assert {cause.name for cause in row.causes} & STAGED
