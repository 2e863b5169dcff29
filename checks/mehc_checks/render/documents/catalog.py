"""``Catalog``: what ``mehc catalog`` prints."""

from collections.abc import Iterable
from typing import Any, Literal

from pydantic import Field

from mehc_checks.core.links import docs_url
from mehc_checks.core.outcome import Severity, Status
from mehc_checks.engine.check import Check
from mehc_checks.render.documents.base import Document, Part


class ReasonDocument(Part):
    """One thing that a check can find."""

    name: str
    status: Status
    meaning: str
    message: str = Field(description="With the names of what fills it in braces.")
    remediation: str = Field(description="With the names of what fills it in braces.")
    explained_by: list[str] = Field(description="Failures of other checks that it follows from.")
    docs: str


class CheckEntry(Part):
    """One check."""

    name: str
    title: str
    severity: Severity
    docs: str
    parameters: dict[str, Any] = Field(description="By name, each as a JSON Schema.")
    reasons: list[ReasonDocument]


class Catalog(Document):
    """What ``mehc catalog`` prints."""

    kind: Literal["Catalog"] = "Catalog"
    checks: list[CheckEntry]


def catalog(checks: Iterable[Check]) -> Catalog:
    """The document of ``checks``."""
    return Catalog(
        checks=[
            CheckEntry(
                name=check.name,
                title=check.title,
                severity=check.severity,
                docs=docs_url(check.docs),
                parameters=check.parameters.model_json_schema(by_alias=True).get("properties", {}),
                reasons=[
                    ReasonDocument(
                        name=reason.name,
                        status=reason.status,
                        meaning=reason.meaning,
                        message=reason.message,
                        remediation=reason.remedy,
                        explained_by=list(reason.explained_by),
                        docs=docs_url(check.docs_of(reason)),
                    )
                    for reason in check.reasons.all()
                ],
            )
            for check in checks
        ]
    )
