"""A report as JSON, for programs. Field names are those of the resource's status."""

import json
from typing import Any

from mehc_checks.core import duration
from mehc_checks.core.outcome import EndpointStatus, Status
from mehc_checks.engine.correlate import SHOWN
from mehc_checks.engine.report import CheckResult, Report


def render(report: Report) -> str:
    """One JSON document, indented."""
    return json.dumps(document(report), indent=2, ensure_ascii=False)


def document(report: Report) -> dict[str, Any]:
    """The report as plain data: passing, rootCauses, checks, duration."""
    applicable = [check for check in report.checks if check.status is not Status.SKIP]
    return {
        "passing": f"{sum(check.status is Status.PASS for check in applicable)}/{len(applicable)}",
        "started": report.started.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "duration": duration.show(report.duration),
        "rootCauses": [
            {
                "check": cause.check,
                "reason": cause.reason,
                "message": cause.message,
                "remediation": cause.remediation,
                "docs": cause.docs,
                "explains": list(cause.explains),
            }
            for cause in report.root_causes[:SHOWN]
        ],
        "checks": [_check(check) for check in report.checks],
        "endpoints": [endpoint(found) for check in report.checks for found in check.endpoints or ()],
    }


def endpoint(found: EndpointStatus) -> dict[str, Any]:
    """An endpoint that is not ready, as plain data."""
    return {
        "endpointId": found.endpoint_id,
        "name": found.name,
        "kind": found.kind,
        "ready": found.ready,
        "desired": found.desired,
        "cause": found.cause,
        "message": found.message,
        "remediation": found.remediation,
    }


def _check(check: CheckResult) -> dict[str, Any]:
    return {
        "name": check.name,
        "title": check.title,
        "status": str(check.status),
        "severity": str(check.severity),
        "reason": check.reason,
        "message": check.message,
        "remediation": check.remediation,
        "docs": check.docs,
        "duration": duration.show(check.duration),
        "evidence": dict(check.evidence),
        "findings": [
            {
                "subject": found.subject,
                "status": str(found.status),
                "severity": str(found.severity),
                "reason": found.reason,
                "message": found.message,
                "remediation": found.remediation,
                "docs": found.docs,
            }
            for found in check.findings
        ],
    }
