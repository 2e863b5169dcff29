"""The first root cause is the one that a senior on-call would name, and no more are told than there are.

The table is ``installations.yaml``; each of its rows is one test. They are staged and judged together, once.
"""

import pytest

from mehc_checks.engine.health import health
from mehc_checks.engine.report import Report, RootCause
from ranking.judging import Reports, judged_rows
from ranking.rows import Row, rows

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def reports() -> Reports:
    return judged_rows()


@pytest.mark.parametrize("row", rows(), ids=lambda row: row.name)
def test_the_first_cause(row: Row, reports: Reports) -> None:
    report = reports[row.name]
    if isinstance(report, BaseException):
        raise report
    shown = told(report)
    if row.first is None:
        assert not report.root_causes, f"{row.why}\n{shown}"
    else:
        assert report.root_causes, f"{row.why}\n{shown}"
        assert is_named(row.first, report), f"{row.why}\n{shown}"
        assert len(report.root_causes) <= row.most, f"{row.why}\n{shown}"
        assert row.remedy in report.root_causes[0].remediation, shown
    findings = [found for check in report.checks for found in check.findings]
    assert health((each.status, each.severity) for each in findings) == row.health, shown


def is_named(expected: str, report: Report) -> bool:
    """Whether the first cause is ``expected``, "Check/Reason" or "Check/subject/Reason"."""
    check, *subject, reason = expected.split("/")
    first: RootCause = report.root_causes[0]
    subjects = {
        found.subject
        for result in report.checks
        if result.name == check
        for found in result.findings
        if found.reason == reason
    }
    return (first.check, first.reason) == (check, reason) and subjects.issuperset(subject)


def told(report: Report) -> str:
    """What is said of the installation, for whoever reads a failed test."""
    causes = [
        f"  cause: {each.severity} {each.check}/{each.reason}: {each.message} explains {each.explains}"
        for each in report.root_causes
    ]
    others = [
        f"  {check.name}: {found.status} {found.subject} {found.reason}: {found.message[:160]}"
        for check in report.checks
        for found in check.findings
        if found.status not in ("Pass", "Skip")
    ]
    return "\n".join([*causes, "", *others])
