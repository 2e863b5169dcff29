"""The resource ModelEngineHealthCheck: its spec and its status, as users read and write them.

The CustomResourceDefinition is generated from these models (``mehc_operator.crd``), so a
description here is what ``kubectl explain`` shows.
"""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer
from pydantic.alias_generators import to_camel

from mehc_checks.core import duration
from mehc_checks.core.outcome import Severity, Status
from mehc_checks.engine.health import Health as Health

GROUP = "health.modelengine.io"
VERSION = "v1alpha1"
KIND = "ModelEngineHealthCheck"
PLURAL = "modelenginehealthchecks"
PROBE_NOW = f"{GROUP}/probe-now"
"""The annotation that asks for a pass at once: every new value is one request."""

DURATION = r"^([0-9]{1,6}([.][0-9]{1,3})?(ms|s|m|h))+$"
"""``duration.PATTERN``, with as many digits as CEL's ``duration()`` can hold within 16 characters."""

Duration = Annotated[str, Field(pattern=DURATION, max_length=16)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$", max_length=253)]
Key = Annotated[str, Field(pattern=r"^[-._a-zA-Z0-9]+$", max_length=253)]
Time = Annotated[
    datetime, PlainSerializer(lambda value: value.strftime("%Y-%m-%dT%H:%M:%SZ"), when_used="json")
]


class ConditionStatus(StrEnum):
    """metav1.ConditionStatus."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Part(BaseModel):
    """Base of the models: camelCase outside; fields of a newer version are ignored."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True, extra="ignore")


class ReleaseReference(Part):
    name: str = Field(
        description="Name of the Helm release.", pattern=r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$", max_length=53
    )


class KeyReference(Part):
    name: Name = Field(description="Name of the object, in the namespace of this resource.")
    key: Key = Field(description="The key whose content is a YAML document of values.")
    optional: bool = Field(
        default=False, description="Whether the object or the key may be missing without harm."
    )


class ValuesSource(Part):
    """A source of values: a key of a Secret or of a ConfigMap."""

    secret_key_ref: KeyReference | None = Field(default=None, description="A key of a Secret.")
    config_map_key_ref: KeyReference | None = Field(default=None, description="A key of a ConfigMap.")


class CheckOptions(Part):
    enabled: bool = Field(default=True, description="Whether the check runs.")
    severity: Severity | None = Field(
        default=None,
        description="How much a failure of this check weighs, in place of the check's own severity; "
        "critical and high decide the condition Ready.",
    )
    interval: Duration | None = Field(
        default=None, description="Time between two probes of this check, in place of spec.interval."
    )
    timeout: Duration | None = Field(
        default=None, description="Time that this check may take, in place of spec.timeout."
    )
    parameters: dict[str, Any] = Field(
        default_factory=dict, description="Parameters of the check; each names the checks that take it."
    )


class IgnoredRule(Part):
    id: str = Field(
        description="The rule's number in the configuration catalogue.",
        pattern=r"^S[1-8](-(aws|az|gcp|op))?-[0-9]{2}$",
        max_length=16,
    )
    reason: str = Field(
        description="Why the rule does not hold here; shown beside the result.", min_length=1, max_length=256
    )


class Spec(Part):
    """What to check, and how often. Every field is optional: {} diagnoses the release found in this namespace."""

    release: ReleaseReference | None = Field(
        default=None, description="The Helm release to diagnose, where the namespace has several."
    )
    values: dict[str, Any] = Field(
        default_factory=dict,
        description="Values in the shape of the model engine chart; they win over whatever was found elsewhere.",
        json_schema_extra={"x-kubernetes-preserve-unknown-fields": True},
    )
    values_from: list[ValuesSource] = Field(
        default_factory=list,
        description="Keys of Secrets and ConfigMaps of this namespace that hold values; later ones win, "
        "and spec.values wins over all.",
        max_length=16,
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    interval: Duration = Field(default="5m", description="Time between two passes: 90s, 5m, 1h30m.")
    timeout: Duration = Field(
        default="10s", description="Time that one check may take; shorter than the interval."
    )
    confirmations: int = Field(
        default=2,
        ge=1,
        le=10,
        description="How many times in a row a check must fail before its condition leaves True; "
        "failures are probed again within seconds.",
    )
    suspend: bool = Field(default=False, description="Whether to stop probing until this is false again.")
    checks: dict[str, CheckOptions] = Field(
        default_factory=dict, description="Options of single checks, by the name of the check."
    )
    ignore_rules: list[IgnoredRule] = Field(
        default_factory=list,
        description="Rules of the configuration catalogue that are broken on purpose.",
        max_length=256,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["id"]},
    )

    @property
    def interval_time(self) -> timedelta:
        return duration.parse(self.interval)

    @property
    def timeout_time(self) -> timedelta:
        return duration.parse(self.timeout)


class Condition(Part):
    """metav1.Condition."""

    type: str = Field(
        description="Ready, Degraded, or the name of a check.",
        pattern=r"^[A-Za-z][A-Za-z0-9]*$",
        max_length=316,
    )
    status: ConditionStatus = Field(description="True, False, or Unknown where it could not be evaluated.")
    reason: str = Field(
        description="Why, as one CamelCase word.",
        pattern=r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$",
        min_length=1,
        max_length=1024,
    )
    message: str = Field(description="Why, for people.", max_length=32768)
    last_transition_time: Time = Field(description="When the status last changed.")
    observed_generation: int = Field(description="The generation of the spec that was judged.", ge=0)


class CheckStatus(Part):
    name: str = Field(description="Name of the check.")
    status: Status = Field(description="Pass, Warn, Fail, Skip, or Error where it could not be evaluated.")
    severity: Severity = Field(description="How much a failure weighs.")
    reason: str = Field(description="Why, as one CamelCase word.")
    message: str = Field(description="What was found.")
    remediation: str = Field(default="", description="What to do about it.")
    docs: str = Field(default="", description="Where the reason is explained.")
    since: Time = Field(description="When the status last changed.")
    duration: str | None = Field(default=None, description="How long the check took.")
    failures: int = Field(
        default=0,
        ge=0,
        description="How many times in a row the check has not passed, counted up to spec.confirmations. "
        "Beside the status Pass or Warn: failures that are not confirmed yet.",
    )
    evidence: dict[str, Any] = Field(
        default_factory=dict,
        description="What was measured.",
        json_schema_extra={"x-kubernetes-preserve-unknown-fields": True},
    )


class RootCauseStatus(Part):
    check: str = Field(description="Name of the failing check.")
    reason: str = Field(description="Why it fails, as one CamelCase word.")
    message: str = Field(description="What was found.")
    remediation: str = Field(default="", description="What to do about it.")
    docs: str = Field(default="", description="Where the reason is explained.")
    explains: list[str] = Field(
        default_factory=list,
        description="Failing checks of which all that is found follows from such causes, this one among them.",
    )


class ReleaseStatus(Part):
    name: str | None = Field(default=None, description="Name of the release.")
    revision: int | None = Field(default=None, description="Its revision.")
    chart: str | None = Field(default=None, description="Its chart and version.")
    status: str | None = Field(default=None, description="Its status, as Helm says it.")
    source: str | None = Field(default=None, description="Where this was read.")


class EndpointStatus(Part):
    endpoint_id: str = Field(description="The endpoint's id in model engine.")
    name: str = Field(description="The endpoint's name.")
    kind: str = Field(description="Sync, async or streaming.")
    ready: int = Field(description="Pods that are ready.", ge=0)
    desired: int = Field(description="Pods that are wanted.", ge=0)
    cause: str = Field(description="Why it is not ready, as one CamelCase word.")
    message: str = Field(description="Why it is not ready.")
    remediation: str = Field(default="", description="What to do about it.")


class StatusReport(Part):
    """The verdict on the installation, with causes and remedies."""

    observed_generation: int | None = Field(
        default=None, description="The generation of the spec that this status is about."
    )
    health: Health | None = Field(default=None, description="The verdict in one word.")
    passing: str | None = Field(default=None, description="Checks that pass, of those that apply: 8/10.")
    summary: str | None = Field(default=None, description="The verdict in one sentence.")
    root_causes: list[RootCauseStatus] = Field(
        default_factory=list,
        description="The failures that no other failure explains, worst first, at most five.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    release: ReleaseStatus | None = Field(default=None, description="The Helm release that was diagnosed.")
    last_probe_time: Time | None = Field(
        default=None,
        description="When the last pass began. Passes that found nothing new renew this every five minutes.",
    )
    next_probe_time: Time | None = Field(
        default=None, description="When the next pass was due, as of the last pass shown here."
    )
    duration: str | None = Field(default=None, description="How long the last pass took.")
    conditions: list[Condition] = Field(
        default_factory=list,
        description="Ready, Degraded, and one condition for each check that applies.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )
    checks: list[CheckStatus] = Field(
        default_factory=list,
        description="Every check, those that do not apply included.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    stuck_endpoints: int | None = Field(
        default=None,
        description="How many endpoints have not been ready for longer than their grace period.",
        ge=0,
    )
    endpoints: list[EndpointStatus] = Field(
        default_factory=list,
        description="Endpoints that have not been ready for longer than their grace period, worst first; at most 200.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["endpointId"]},
    )

    def condition(self, kind: str) -> Condition | None:
        """The condition of that type, or None."""
        return next((condition for condition in self.conditions if condition.type == kind), None)
