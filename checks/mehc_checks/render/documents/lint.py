"""``LintReport``: what ``mehc lint`` prints."""

from typing import Literal

from pydantic import Field

from mehc_checks.checks.config.lint import LintReport as Report
from mehc_checks.checks.config.lint import Placed
from mehc_checks.core.outcome import Severity
from mehc_checks.render.documents.base import Document, Part


class LintFinding(Part):
    """A configuration rule that is broken at one place of a file."""

    rule: str = Field(description='The rule\'s number: "S4-06".')
    reason: str
    severity: Severity
    path: str = Field(description="The value at fault.")
    message: str
    meaning: str = Field(description="What follows from it.")
    remediation: str
    docs: str
    file: str
    line: int
    column: int


class IgnoredFinding(LintFinding):
    """A finding of a rule that was left out."""

    why: str = Field(description="Why it was left out.")


class SkippedRule(Part):
    """A rule that was not judged."""

    rule: str
    why: str


class SeverityCounts(Part):
    """Findings by severity."""

    critical: int
    high: int
    warning: int
    info: int


class LintReport(Document):
    """What ``mehc lint`` prints."""

    kind: Literal["LintReport"] = "LintReport"
    files: list[str]
    counts: SeverityCounts
    findings: list[LintFinding] = Field(description="Worst first.")
    ignored: list[IgnoredFinding]
    skipped: list[SkippedRule]


def lint_report(report: Report) -> LintReport:
    """The document of ``report``."""
    return LintReport(
        files=list(report.files),
        counts=SeverityCounts(**{str(severity): report.count(severity) for severity in Severity}),
        findings=[_finding(found) for found in report.findings],
        ignored=[IgnoredFinding(**dict(_finding(found)), why=why) for found, why in report.ignored],
        skipped=[SkippedRule(rule=one.rule.id, why=one.shown_why) for one in report.skipped()],
    )


def _finding(found: Placed) -> LintFinding:
    return LintFinding(
        rule=found.rule.id,
        reason=found.reason,
        severity=found.severity,
        path=found.path,
        message=found.message,
        meaning=found.meaning,
        remediation=found.remediation,
        docs=found.docs,
        file=found.file,
        line=found.mark.line,
        column=found.mark.column,
    )
