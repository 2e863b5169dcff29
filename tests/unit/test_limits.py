"""What a status is cut to: texts, and the whole where the API server would refuse it."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mehc_checks.core.outcome import Severity, Status
from mehc_checks.engine.health import Health
from mehc_operator.crd import status_schema
from mehc_operator.limits import LARGEST, conforming, cut, evidence, fitting, with_fix
from mehc_operator.status import (
    CheckStatus,
    Condition,
    ConditionStatus,
    EndpointStatus,
    FindingStatus,
    RootCauseStatus,
    StatusReport,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LONG = "ü" * 1024


def largest() -> StatusReport:
    """As much as there can be of everything."""
    words = {"severity": Severity.HIGH, "reason": "Refused", "message": LONG, "remediation": LONG}
    finding = FindingStatus(status=Status.FAIL, **words)
    check = CheckStatus(
        **{**words, "remediation": None},
        name="Alpha",
        status=Status.FAIL,
        since=NOW,
        findings=[finding] * 20,
        evidence={f"key{number}": LONG for number in range(20)},
    )
    endpoint = EndpointStatus(
        endpoint_id="e", name="e", kind="sync", ready=0, desired=1, cause="X", message=LONG, remediation=LONG
    )
    condition = Condition(
        type="Alpha",
        status=ConditionStatus.FALSE,
        reason="Refused",
        message=LONG,
        last_transition_time=NOW,
        observed_generation=1,
    )
    return StatusReport(
        health=Health.FAILING,
        causes=[LONG] * 10,
        root_causes=[RootCauseStatus(check="Alpha", endpoints=0, **words)] * 10,
        conditions=[condition] * 12,
        checks=[check] * 10,
        endpoints=[endpoint] * 200,
    )


def size(status: StatusReport) -> int:
    return len(status.model_dump_json(by_alias=True, exclude_none=True).encode())


@pytest.mark.parametrize("limit", [LARGEST, LARGEST // 4, LARGEST // 16])
def test_the_largest_status_is_made_to_fit(limit: int) -> None:
    assert size(largest()) > 1_500_000
    fit = fitting(largest(), limit)
    assert size(fit) <= limit
    assert len(fit.conditions) == 12
    assert len(fit.checks) == 10
    assert len(fit.root_causes) >= 3
    assert fit.health is Health.FAILING


def test_evidence_goes_before_endpoints_and_these_before_findings() -> None:
    kept = [fitting(largest(), limit) for limit in (2_000_000, 1_300_000, 500_000)]
    counts = [(len(s.checks[0].evidence), len(s.endpoints), len(s.checks[0].findings)) for s in kept]
    assert counts == [(0, 200, 20), (0, 50, 20), (0, 0, 5)]


def test_a_status_conforms_to_its_schema() -> None:
    schema = status_schema()
    whole = largest().model_dump(mode="json", by_alias=True, exclude_defaults=True)
    assert conforming(whole, schema) == whole
    longer = {
        "summary": "x" * 5000,
        "causes": ["y" * 5000] * 100,
        "release": {"chart": "z" * 5000},
        "stuckEndpoints": 3,
    }
    cut_down = conforming(longer, schema)
    assert [len(cut_down["summary"]), len(cut_down["causes"]), len(cut_down["causes"][0])] == [1024, 10, 1024]
    assert len(cut_down["release"]["chart"]) == 1024
    assert cut_down["stuckEndpoints"] == 3


def test_what_fits_is_left_alone() -> None:
    small = StatusReport(health=Health.HEALTHY)
    assert fitting(small) is small


@given(st.text(max_size=300), st.text(max_size=300), st.integers(20, 200))
def test_a_text_and_its_fix_keep_to_the_limit(text: str, remedy: str, limit: int) -> None:
    assert len(cut(text, limit)) <= limit
    assert len(with_fix(text, remedy, limit)) <= limit


def test_a_fix_is_not_cut_for_its_text_and_ends_stay() -> None:
    assert with_fix("It broke.", "Fix it.", 100) == "It broke. Fix: Fix it."
    assert with_fix("It broke", "", 100) == "It broke"
    long = with_fix("begin " + "x" * 500 + " end", "Set it.", 60)
    assert long.startswith("begin xxx")
    assert long.endswith("xxx end. Fix: Set it.")


def test_evidence_is_short_and_without_nothing() -> None:
    found = evidence({"none": None, "number": 1, "text": "x" * 1000, **{f"k{n}": n for n in range(40)}})
    assert "none" not in found
    assert len(found) == 20
    assert len(str(found["text"])) == 256
