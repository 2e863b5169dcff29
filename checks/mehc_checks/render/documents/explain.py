"""``Explanation``: what ``mehc explain`` prints."""

from typing import Literal

from pydantic import Field

from mehc_checks.checks.endpoints.explain import Explained
from mehc_checks.checks.endpoints.explain import Explanation as Told
from mehc_checks.render.documents.base import Document, Part, Time


class StepDocument(Part):
    """One wait on an endpoint's way from its creation to ready pods."""

    who: str
    waits_for: str
    since: Time
    until: Time | None = Field(description="null while it goes on.")
    seconds: int


class EndpointDocument(Part):
    """One endpoint; fields that ``status.endpoints`` has are named as there."""

    endpoint_id: str
    name: str
    kubernetes_name: str
    kind: str
    state: str
    recorded: str = Field(description="Its state in the platform's table, empty where it is not there.")
    ready: int
    desired: int
    stuck: bool = Field(
        description="Whether it fails EndpointsReady: not ready for longer than its grace period."
    )
    cause: str = Field(description="The reason, empty where it is ready.")
    message: str
    remediation: str
    since: Time | None
    consequence_of: list[str] = Field(description="The checks that explain it, where they fail.")
    evidence: list[str]
    timeline: list[StepDocument]


class Explanation(Document):
    """What ``mehc explain`` prints."""

    kind: Literal["Explanation"] = "Explanation"
    namespace: str
    endpoints: list[EndpointDocument] = Field(description="Those asked for, worst first.")
    total: int = Field(description="Endpoints of the installation.")
    unread: list[str] = Field(description="What could not be read.")


def explanation(told: Told) -> Explanation:
    """The document of ``told``."""
    return Explanation(
        namespace=told.namespace,
        endpoints=[_endpoint(found, told) for found in told.endpoints],
        total=told.total,
        unread=list(told.unread),
    )


def _endpoint(found: Explained, told: Told) -> EndpointDocument:
    cause = found.cause
    return EndpointDocument(
        endpoint_id=found.endpoint_id,
        name=found.name,
        kubernetes_name=found.kubernetes_name,
        kind=found.kind,
        state=str(found.state),
        recorded=found.recorded,
        ready=found.ready,
        desired=found.desired,
        stuck=found.is_stuck,
        cause=cause.reason.name if cause else "",
        message=cause.message if cause else "",
        remediation=cause.remedy if cause else "",
        since=cause.since if cause else None,
        consequence_of=list(found.explained_by),
        evidence=list(cause.evidence) if cause else [],
        timeline=[
            StepDocument(
                who=step.who,
                waits_for=step.whom,
                since=step.since,
                until=step.until,
                seconds=round(step.took(told.now).total_seconds()),
            )
            for step in found.steps
        ],
    )
