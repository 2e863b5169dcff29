"""The system's clock is set while the operator runs: what is due stays due."""

from datetime import UTC, datetime, timedelta

import pytest
from kubernetes.aio.client import ApiClient, Configuration

from mehc_checks.clients.kubernetes.api import KubernetesCluster
from mehc_checks.clients.kubernetes.memory import Memory
from mehc_checks.core.outcome import Outcome, Severity
from mehc_checks.engine.check import Check
from mehc_checks.engine.reasons import RunnerReasons
from mehc_checks.engine.request import Sources
from mehc_checks.installation.context import Context
from mehc_operator.judgement import heartbeat_due
from mehc_operator.models import Spec
from mehc_operator.runs import Runs
from mehc_operator.scheduler import Trigger
from mehc_operator.status import StatusReport

SPEC = Spec.model_validate({"interval": "5m", "valuesFrom": [{}]})
"""Refused before any cluster is asked, which is a result like any other."""
MOMENT = datetime(2026, 11, 27, 12, tzinfo=UTC)


async def facts(_: Context) -> None:
    """Nothing is asked."""


CHECK = Check(
    name="Tested",
    title="it works",
    severity=Severity.HIGH,
    gather=facts,
    judge=lambda _: Outcome.of([RunnerReasons.SKIPPED(detail="tested")]),
    reasons=RunnerReasons,
)


@pytest.mark.parametrize("step", [timedelta(hours=-2), timedelta(hours=2)])
async def test_the_next_run_is_due_within_the_interval(step: timedelta) -> None:
    moment = MOMENT
    memory = Memory(KubernetesCluster(ApiClient(Configuration())), lambda path, query: None)
    runs = Runs({"Tested": CHECK}, memory, Sources(clock=lambda: moment))
    await runs.probe(SPEC, "ns", Trigger.SEEN, [])
    moment += step
    left = runs.next_due(SPEC)
    assert timedelta(minutes=1) < left <= timedelta(minutes=5)


@pytest.mark.parametrize("step", [timedelta(hours=-2), timedelta(hours=2)])
def test_a_status_of_another_time_is_written_again(step: timedelta) -> None:
    written = StatusReport(health="Healthy", last_probe_time=MOMENT)
    assert heartbeat_due(written.model_copy(update={"last_probe_time": MOMENT + step}), written)
    assert not heartbeat_due(written, written)
