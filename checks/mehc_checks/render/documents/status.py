"""``StatusList``: what ``mehc status`` prints."""

from typing import Literal

from pydantic import Field

from mehc_checks.render.documents.base import Document, Part, Time
from mehc_checks.render.documents.check import CheckReport


class ResourceDocument(Part):
    """One ModelEngineHealthCheck, as the operator has stored it."""

    namespace: str
    name: str
    health: str | None = Field(description="null before the first probe run.")
    summary: str
    stale: bool = Field(
        description="Whether no probe run has been recorded for so long that the verdict is void."
    )
    outdated: bool = Field(description="Whether the spec has changed since it was judged.")
    last_probe_time: Time | None
    next_probe_time: Time | None
    stuck_endpoints: int
    report: CheckReport | None = Field(description="null before the first probe run.")


class StatusList(Document):
    """What ``mehc status`` prints."""

    kind: Literal["StatusList"] = "StatusList"
    context: str = Field(description="The kubeconfig's context; empty in a pod.")
    resources: list[ResourceDocument]
