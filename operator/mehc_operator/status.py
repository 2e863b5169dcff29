"""The status of a ModelEngineHealthCheck, as users and programs read it.

A description here is what ``kubectl explain`` shows. ``kubectl describe`` prints fields in the order of their names:
so ``causes`` are one line each, and come before everything that is long.
"""

from enum import StrEnum
from typing import Any, Final

from pydantic import Field

from mehc_checks.core.outcome import Severity, Status
from mehc_checks.engine.correlate import SHOWN
from mehc_checks.engine.health import Health
from mehc_operator.models import Part, Time

MOST_FINDINGS: Final = 20
"""Of one check."""
MOST_ENDPOINTS: Final = 200
MOST_TRANSITIONS: Final = 30
MOST_CHANGES: Final = 5
"""Of one transition."""
REASON: Final = "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$"


class ConditionStatus(StrEnum):
    """metav1.ConditionStatus."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Condition(Part):
    """metav1.Condition."""

    type: str = Field(
        description="Ready, Degraded, or the name of a check.",
        pattern=r"^[A-Za-z][A-Za-z0-9]*$",
        max_length=316,
    )
    status: ConditionStatus = Field(description="True, False, or Unknown if it could not be evaluated.")
    reason: str = Field(
        description="The reason in one CamelCase word; the documentation has an entry for each.",
        pattern=REASON,
        min_length=1,
        max_length=1024,
    )
    message: str = Field(
        description="The worst finding, and how many more there are. status.checks lists them all.",
        max_length=32768,
    )
    last_transition_time: Time = Field(description="When the status last changed.")
    observed_generation: int = Field(description="The generation of the spec that was evaluated.", ge=0)


class FindingStatus(Part):
    """One reason, found in one place."""

    subject: str = Field(
        default="", description="The part concerned, such as cache or broker; empty for all of it."
    )
    status: Status = Field(description="Warn, Fail, or Error if it could not be evaluated.")
    severity: Severity = Field(description="How serious it is.")
    reason: str = Field(description="The reason in one CamelCase word.")
    message: str = Field(description="What was observed.")
    remediation: str = Field(default="", description="What to do about it.")
    docs: str = Field(default="", description="Link to the documentation of the reason.")


class CheckStatus(Part):
    """One check. Its reason and message are those of its worst finding."""

    name: str = Field(description="Name of the check.")
    status: Status = Field(description="Pass, Warn, Fail, Skip, or Error if it could not be evaluated.")
    severity: Severity = Field(description="How serious a failure of the check is.")
    reason: str = Field(description="The reason in one CamelCase word.")
    message: str = Field(description="The worst finding, and how many more there are.")
    since: Time = Field(description="When the status last changed.")
    duration: str | None = Field(default=None, description="How long the check took.")
    failures: int = Field(
        default=0,
        ge=0,
        description="How many times in a row the check failed or could not be evaluated, counted up to "
        "spec.confirmations. With status Pass or Warn: failures that are not confirmed yet.",
    )
    findings: list[FindingStatus] = Field(
        default_factory=list,
        description=f"What does not pass, worst first, at most {MOST_FINDINGS}.",
        json_schema_extra={"x-kubernetes-list-type": "atomic", "maxItems": MOST_FINDINGS},
    )
    muted: bool | None = Field(default=None, description="true while mutes cover all that was found.")
    evidence: dict[str, Any] = Field(
        default_factory=dict,
        description="What was measured.",
        json_schema_extra={"x-kubernetes-preserve-unknown-fields": True},
    )


class RootCauseStatus(Part):
    """Failures of one check for one reason that no other failure explains."""

    check: str = Field(description="Name of the failing check.")
    reason: str = Field(description="The reason in one CamelCase word.")
    severity: Severity = Field(
        description="How serious the worst failure is that it causes, its own included."
    )
    endpoints: int = Field(description="How many endpoints are not ready because of it.", ge=0)
    message: str = Field(description="What was observed.")
    remediation: str = Field(default="", description="What to do about it.")
    docs: str = Field(default="", description="Link to the documentation of the reason.")
    explains: list[str] = Field(
        default_factory=list,
        description="Failing checks that are fully explained by root causes, this one among them.",
    )


class ReleaseStatus(Part):
    """The Helm release of the installation."""

    name: str | None = Field(default=None, description="Name of the release.")
    revision: int | None = Field(default=None, description="Revision of the release.")
    chart: str | None = Field(default=None, description="Name and version of the chart.")
    status: str | None = Field(
        default=None, description="Status of the release in Helm's words, such as deployed."
    )
    source: str | None = Field(default=None, description="The Secret it was read from.")


class EndpointStatus(Part):
    """An endpoint that is not ready."""

    endpoint_id: str = Field(description="The endpoint's id in model engine.")
    name: str = Field(description="The endpoint's name.")
    kind: str = Field(description="sync, async or streaming.")
    ready: int = Field(description="Number of ready pods.", ge=0)
    desired: int = Field(description="Number of desired pods.", ge=0)
    cause: str = Field(description="Why it is not ready, as one CamelCase word.")
    message: str = Field(description="What was observed.")
    remediation: str = Field(default="", description="What to do about it.")


class ChangeStatus(Part):
    """Something that was seen to change."""

    time: Time = Field(description="When it was seen.")
    what: str = Field(description="What changed; names only, never a value of a Secret.", max_length=256)


class TransitionStatus(Part):
    """A check whose status changed."""

    time: Time = Field(description="When it changed.")
    check: str = Field(description="Name of the check.")
    before: Status = Field(alias="from", description="The status until then.")
    to: Status = Field(description="The status from then on.")
    reason: str = Field(description="The reason from then on, in one CamelCase word.")
    duration: str = Field(description="How long it had the status before.")
    changes: list[ChangeStatus] = Field(
        default_factory=list,
        description="What else changed in the 15 minutes before a check failed, nearest first: a coincidence in time, "
        f"which need not be the cause. At most {MOST_CHANGES}.",
        json_schema_extra={"x-kubernetes-list-type": "atomic", "maxItems": MOST_CHANGES},
    )


class MuteState(StrEnum):
    """What has become of a mute."""

    ACTIVE = "Active"
    UNUSED = "Unused"
    """Nothing that it would cover is found."""
    WORSE = "Worse"
    """It has ended, because the check got worse."""
    ENDED = "Ended"


class MuteStatus(Part):
    """A mute of spec.mutes, and what has become of it."""

    check: str = Field(description="Name of the check.")
    reason: str | None = Field(default=None, description="The reason that is muted, if the mute names one.")
    until: Time = Field(description="When the mute ends.")
    why: str = Field(description="Why, as spec.mutes says.")
    state: MuteState = Field(
        description="Active; Unused while it covers nothing; Worse where it has ended because of another reason or "
        "more endpoints; Ended when its time is over."
    )
    covers: list[str] = Field(
        default_factory=list,
        description="The reasons that it covers: those found when it was first seen.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    endpoints: int = Field(default=0, description="Endpoints that were not ready then.", ge=0)


class StatusReport(Part):
    """The health of the installation: root causes, conditions, and every check with its findings."""

    observed_generation: int | None = Field(
        default=None, description="The generation of the spec that this status is about."
    )
    health: Health | None = Field(
        default=None,
        description="The health of the installation in one word: Healthy, Degraded, Failing, Unknown or Suspended.",
    )
    passing: str | None = Field(
        default=None, description="Checks that pass, out of those that apply, such as 8/10."
    )
    summary: str | None = Field(default=None, description="The health of the installation in one sentence.")
    cause: str | None = Field(
        default=None,
        description="Check and reason of the first of causes, such as RedisReachable/ConnectionRefused.",
    )
    causes: list[str] = Field(
        default_factory=list,
        description=f"What is wrong, worst first, one line each, at most {SHOWN}: the root causes, then what could "
        "not be evaluated, then warnings.",
        json_schema_extra={"x-kubernetes-list-type": "atomic", "maxItems": SHOWN},
    )
    root_causes: list[RootCauseStatus] = Field(
        default_factory=list,
        description=f"The failures that no other failure explains, worst first, at most {SHOWN}.",
        json_schema_extra={"x-kubernetes-list-type": "atomic", "maxItems": SHOWN},
    )
    release: ReleaseStatus | None = Field(default=None, description="The Helm release that was evaluated.")
    last_probe_time: Time | None = Field(
        default=None,
        description="When the last probe run shown here began. Probe runs that change nothing else update this about "
        "every five minutes.",
    )
    next_probe_time: Time | None = Field(
        default=None, description="When the next probe run is due, at the latest, as of this status."
    )
    last_handled_probe_now: str | None = Field(
        default=None,
        description="The value of the annotation health.modelengine.io/probe-now that the last complete probe run "
        "has handled.",
        max_length=256,
    )
    duration: str | None = Field(default=None, description="How long the last probe run took.")
    conditions: list[Condition] = Field(
        default_factory=list,
        description="Ready, Degraded, and one condition for each check that applies.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )
    checks: list[CheckStatus] = Field(
        default_factory=list,
        description="Every check, including those that do not apply.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    stuck_endpoints: int | None = Field(
        default=None,
        description="How many endpoints have not been ready for longer than their grace period.",
        ge=0,
    )
    endpoints: list[EndpointStatus] = Field(
        default_factory=list,
        description="Endpoints that have not been ready for longer than their grace period, worst first, at most "
        f"{MOST_ENDPOINTS}.",
        json_schema_extra={
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["endpointId"],
            "maxItems": MOST_ENDPOINTS,
        },
    )

    mutes: list[MuteStatus] = Field(
        default_factory=list,
        description="The mutes of the spec, and what has become of each.",
        json_schema_extra={"x-kubernetes-list-type": "atomic", "maxItems": 32},
    )
    history: list[TransitionStatus] = Field(
        default_factory=list,
        description=f"Checks whose status changed, newest first, at most {MOST_TRANSITIONS}.",
        json_schema_extra={"x-kubernetes-list-type": "atomic", "maxItems": MOST_TRANSITIONS},
    )

    def condition(self, kind: str) -> Condition | None:
        """The condition of that type, or None."""
        return next((condition for condition in self.conditions if condition.type == kind), None)
