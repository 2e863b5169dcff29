"""What the page of metrics shows of resources, and that its labels are bounded."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from mehc_checks.core.outcome import Severity, Status
from mehc_checks.engine.health import Health
from mehc_operator import metrics
from mehc_operator.status import (
    CheckStatus,
    Condition,
    ConditionStatus,
    RootCauseStatus,
    StatusReport,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _not_leading() -> Iterator[None]:
    yield
    metrics.clear()


def observed(name: str = "model-engine", **status: Any) -> metrics.Observed:
    report = StatusReport(health=Health.FAILING, last_probe_time=NOW, **status)
    return metrics.Observed(namespace="acme", name=name, status=report, interval=timedelta(minutes=5))


def condition(kind: str) -> Condition:
    return Condition(
        type=kind,
        status=ConditionStatus.FALSE,
        reason="Any",
        message="",
        last_transition_time=NOW,
        observed_generation=1,
    )


def check(name: str) -> CheckStatus:
    return CheckStatus(
        name=name, status=Status.FAIL, severity=Severity.HIGH, reason="Any", message="", since=NOW
    )


def cause(name: str, reason: str) -> RootCauseStatus:
    return RootCauseStatus(check=name, reason=reason, severity=Severity.HIGH, endpoints=0, message="")


def labels_of(metric: str) -> list[dict[str, str]]:
    page, _ = metrics.exposition("")
    families = text_string_to_metric_families(page.decode())
    return [sample.labels for family in families for sample in family.samples if sample.name == metric]


def test_what_is_no_name_of_ours_is_no_label() -> None:
    """A status may come from another version of the operator, or from whoever may write it."""
    strange = "planted-9f3c"
    metrics.lead(
        lambda: [
            observed(
                conditions=[condition("Ready"), condition("Planted9f3c")],
                checks=[check("RedisReachable"), check(strange)],
                root_causes=[
                    cause("RedisReachable", "AuthRejected"),
                    cause("RedisReachable", strange),
                    cause(strange, "AuthRejected"),
                ],
            )
        ]
    )
    assert {labels["condition"] for labels in labels_of("mehc_status_condition")} == {"Ready"}
    assert {labels["check"] for labels in labels_of("mehc_check_status")} == {"RedisReachable"}
    causes = [(labels["check"], labels["reason"]) for labels in labels_of("mehc_root_cause")]
    assert causes == [("RedisReachable", "AuthRejected"), ("RedisReachable", metrics.OTHER)]
    assert "9f3c" not in metrics.exposition("")[0].decode()


def test_only_who_leads_shows_resources() -> None:
    assert not labels_of("mehc_health")
    metrics.lead(lambda: [observed()])
    assert labels_of("mehc_health")
    assert "\nmehc_leader 1.0\n" in metrics.exposition("")[0].decode()
    metrics.clear()
    assert not labels_of("mehc_health")
    assert "\nmehc_leader 0.0\n" in metrics.exposition("")[0].decode()


def test_a_resource_made_anew_under_its_name_is_shown_once() -> None:
    metrics.lead(lambda: [observed(), observed(), observed("other")])
    assert sorted(labels["name"] for labels in labels_of("mehc_last_probe_timestamp_seconds")) == [
        "model-engine",
        "other",
    ]


def test_a_resource_never_judged_shows_nothing() -> None:
    new = metrics.Observed(namespace="acme", name="new", status=StatusReport(), interval=timedelta(minutes=5))
    metrics.lead(lambda: [new])
    assert not re.findall(r"^mehc_.*acme", metrics.exposition("")[0].decode(), re.MULTILINE)


def test_what_is_described_is_what_is_shown() -> None:
    metrics.lead(
        lambda: [
            observed(
                conditions=[condition("Ready")],
                checks=[check("RedisReachable")],
                root_causes=[cause("RedisReachable", "AuthRejected")],
                stuck_endpoints=0,
            )
        ]
    )
    metrics.PROBE_DURATION.labels(check="RedisReachable").observe(0.1)
    metrics.api_request("get", "200")
    page, _ = metrics.exposition("")
    shown = {
        sample.name.removesuffix("_count"): set(sample.labels)
        for family in text_string_to_metric_families(page.decode())
        for sample in family.samples
        if sample.name.startswith("mehc_") and not sample.name.endswith(("_bucket", "_sum"))
    }
    assert shown == {metric.name: set(metric.labels) for metric in metrics.DESCRIBED}
