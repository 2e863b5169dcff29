"""``CheckReport``: what ``mehc check`` prints."""

from collections.abc import Iterable
from typing import Literal

from pydantic import Field

from mehc_checks.core.outcome import EndpointStatus, Severity, Status
from mehc_checks.engine.correlate import SHOWN
from mehc_checks.engine.health import Health, health
from mehc_checks.engine.report import CheckResult, Found, Report, RootCause
from mehc_checks.render.documents.base import Document, Part, Time


class ReleaseDocument(Part):
    """The Helm release that was judged."""

    name: str
    revision: int
    chart: str = Field(description="Name and version of the chart.")
    status: str = Field(description='As Helm says it: "deployed".')


class FindingDocument(Part):
    """One reason, found in one place."""

    subject: str = Field(description="The part concerned, empty where that is the whole check.")
    status: Status
    severity: Severity
    reason: str
    message: str
    remediation: str
    docs: str


class CheckDocument(Part):
    """One check; status, reason, message and remediation are those of its worst finding."""

    name: str
    title: str
    status: Status
    severity: Severity
    reason: str
    message: str
    remediation: str
    docs: str
    duration_seconds: float
    evidence: dict[str, str | int | float | bool | None] = Field(description="What was measured.")
    findings: list[FindingDocument] = Field(description="Worst first.")


class RootCauseDocument(Part):
    """Failures of one check for one reason that no other failure explains."""

    check: str
    reason: str
    severity: Severity
    message: str
    remediation: str
    docs: str
    endpoints: int = Field(description="How many endpoints it keeps from being ready.")
    explains: list[str] = Field(description="Failing checks that follow from it.")


class EndpointDocument(Part):
    """An endpoint that is not ready."""

    endpoint_id: str
    name: str
    kind: str = Field(description="sync, async or streaming.")
    ready: int
    desired: int
    cause: str = Field(description="The reason, as in the page of EndpointsReady.")
    message: str
    remediation: str


class Counts(Part):
    """Checks by status."""

    passed: int
    warned: int
    failed: int
    unknown: int = Field(description="Could not be evaluated.")
    skipped: int


class CheckReport(Document):
    """What ``mehc check`` prints."""

    kind: Literal["CheckReport"] = "CheckReport"
    context: str = Field(description="The kubeconfig's context; empty where no cluster was asked.")
    namespace: str
    release: ReleaseDocument | None
    health: Health
    counts: Counts
    started: Time
    duration_seconds: float
    root_causes: list[RootCauseDocument] = Field(description=f"At most {SHOWN}, worst first.")
    checks: list[CheckDocument]
    endpoints: list[EndpointDocument] = Field(description="Those that are not ready.")


def check_report(report: Report, *, context: str = "") -> CheckReport:
    """The document of ``report``."""
    judged = [check for check in report.checks if check.status is not Status.SKIP]
    count = [check.status for check in report.checks].count
    release = report.release
    return CheckReport(
        context=context,
        namespace=report.namespace,
        release=release
        and ReleaseDocument(
            name=release.name, revision=release.revision, chart=release.chart, status=release.status
        ),
        health=health((found.status, found.severity) for check in judged for found in check.findings),
        counts=Counts(
            passed=count(Status.PASS),
            warned=count(Status.WARN),
            failed=count(Status.FAIL),
            unknown=count(Status.ERROR),
            skipped=count(Status.SKIP),
        ),
        started=report.started,
        duration_seconds=round(report.duration.total_seconds(), 3),
        root_causes=[_cause(cause) for cause in report.root_causes[:SHOWN]],
        checks=[_check(check) for check in report.checks],
        endpoints=endpoints(found for check in report.checks for found in check.endpoints or ()),
    )


def endpoints(found: Iterable[EndpointStatus]) -> list[EndpointDocument]:
    """Endpoints that are not ready, as documents."""
    return [
        EndpointDocument(
            endpoint_id=each.endpoint_id,
            name=each.name,
            kind=each.kind,
            ready=each.ready,
            desired=each.desired,
            cause=each.cause,
            message=each.message,
            remediation=each.remediation,
        )
        for each in found
    ]


def _cause(cause: RootCause) -> RootCauseDocument:
    return RootCauseDocument(
        check=cause.check,
        reason=cause.reason,
        severity=cause.severity,
        message=cause.message,
        remediation=cause.remediation,
        docs=cause.docs,
        endpoints=cause.endpoints,
        explains=list(cause.explains),
    )


def _check(check: CheckResult) -> CheckDocument:
    return CheckDocument(
        name=check.name,
        title=check.title,
        status=check.status,
        severity=check.severity,
        reason=check.reason,
        message=check.message,
        remediation=check.remediation,
        docs=check.docs,
        duration_seconds=round(check.duration.total_seconds(), 3),
        evidence=dict(check.evidence),
        findings=[_finding(found) for found in check.findings],
    )


def _finding(found: Found) -> FindingDocument:
    return FindingDocument(
        subject=found.subject,
        status=found.status,
        severity=found.severity,
        reason=found.reason,
        message=found.message,
        remediation=found.remediation,
        docs=found.docs,
    )
