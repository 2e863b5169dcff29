"""The resource ModelEngineHealthCheck and its spec, as users write it; ``mehc_operator.status`` has its status.

The CustomResourceDefinition is generated from these models (``mehc_operator.crd``), so a
description here is what ``kubectl explain`` shows.
"""

from datetime import datetime, timedelta
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer
from pydantic.alias_generators import to_camel

from mehc_checks.core import duration
from mehc_checks.core.outcome import Severity

GROUP = "health.modelengine.io"
VERSION = "v1alpha1"
KIND = "ModelEngineHealthCheck"
PLURAL = "modelenginehealthchecks"
PROBE_NOW = f"{GROUP}/probe-now"
"""The annotation that asks for a probe run at once: every new value is one request."""

DURATION = r"^([0-9]{1,6}([.][0-9]{1,3})?(ms|s|m|h))+$"
"""``duration.PATTERN``, with as many digits as CEL's ``duration()`` can hold within 16 characters."""

SHORTEST_INTERVAL = "5s"
"""Probe runs of what changes nothing cost 30 ms of CPU each; a registry counts what it is asked."""
SHORTEST_TIMEOUT = "10ms"
LONGEST_TIMEOUT = "2m"
"""As long a check holds one of the probes in flight, which all resources share; a pull on a node may take minutes."""

Duration = Annotated[str, Field(pattern=DURATION, max_length=16)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$", max_length=253)]
Key = Annotated[str, Field(pattern=r"^[-._a-zA-Z0-9]+$", max_length=253)]
Time = Annotated[
    datetime, PlainSerializer(lambda value: value.strftime("%Y-%m-%dT%H:%M:%SZ"), when_used="json")
]


class Part(BaseModel):
    """Base of the models: camelCase outside; fields of a newer version are ignored."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True, extra="ignore")


class ReleaseReference(Part):
    name: str = Field(
        description="Name of the Helm release.", pattern=r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$", max_length=53
    )


class KeyReference(Part):
    name: Name = Field(description="Name of the object in the namespace of this resource.")
    key: Key = Field(description="The key whose value is a YAML document of chart values.")
    optional: bool = Field(default=False, description="Whether a missing object or key is ignored.")


class ValuesSource(Part):
    """A key of a Secret or a ConfigMap that holds chart values."""

    secret_key_ref: KeyReference | None = Field(default=None, description="A key of a Secret.")
    config_map_key_ref: KeyReference | None = Field(default=None, description="A key of a ConfigMap.")


class CheckOptions(Part):
    enabled: bool = Field(default=True, description="Whether the check runs.")
    severity: Severity | None = Field(
        default=None,
        description="Severity of a failure of this check, instead of its default; critical and high decide the "
        "condition Ready.",
    )
    interval: Duration | None = Field(
        default=None, description="Time between two runs of this check, instead of spec.interval."
    )
    timeout: Duration | None = Field(
        default=None, description="Timeout of this check, instead of spec.timeout."
    )
    parameters: dict[str, Any] = Field(default_factory=dict, description="Parameters of the check.")


class IgnoredRule(Part):
    id: str = Field(
        description="ID of the configuration rule, such as S4-06.",
        pattern=r"^S[1-8](-(aws|az|gcp|op))?-[0-9]{2}$",
        max_length=16,
    )
    reason: str = Field(
        description="Why the rule does not apply here; shown next to the result.",
        min_length=1,
        max_length=256,
    )


class Mute(Part):
    check: str = Field(description="Name of the check.", pattern=r"^[A-Za-z]+$", max_length=64)
    reason: str | None = Field(
        default=None,
        description="The reason to mute; without one, all that the check finds when the mute is first seen.",
        pattern=r"^[A-Za-z][A-Za-z0-9]*$",
        max_length=128,
    )
    until: Time = Field(description="When the mute ends.")
    why: str = Field(description="Why; shown next to the result.", min_length=1, max_length=256)


class Spec(Part):
    """What to check, and how often. Every field is optional: {} checks the Helm release found in this namespace."""

    release: ReleaseReference | None = Field(
        default=None, description="The Helm release to check, if the namespace has more than one."
    )
    values: dict[str, Any] = Field(
        default_factory=dict,
        description="Values of the model engine chart. They override the values found in the cluster.",
        json_schema_extra={"x-kubernetes-preserve-unknown-fields": True},
    )
    values_from: list[ValuesSource] = Field(
        default_factory=list,
        description="Secrets and ConfigMaps of this namespace that hold chart values. Later ones override earlier "
        "ones, and spec.values overrides them all.",
        max_length=16,
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    interval: Duration = Field(
        default="5m",
        description=f"Time between two probe runs, such as 90s, 5m or 1h30m; at least {SHORTEST_INTERVAL}.",
    )
    timeout: Duration = Field(
        default="10s",
        description=f"Timeout of one check, at most {LONGEST_TIMEOUT}. Must be shorter than the interval.",
    )
    confirmations: int = Field(
        default=2,
        ge=1,
        le=10,
        description="How many times in a row a check must fail before its condition leaves True. A failed check "
        "runs again within seconds.",
    )
    suspend: bool = Field(default=False, description="Whether probing is suspended.")
    checks: dict[str, CheckOptions] = Field(
        default_factory=dict, description="Options of individual checks by name."
    )
    ignore_rules: list[IgnoredRule] = Field(
        default_factory=list,
        description="Configuration rules that do not apply here.",
        max_length=256,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["id"]},
    )

    mutes: list[Mute] = Field(
        default_factory=list,
        description="What is known to be wrong and must not alert for a while. It stays visible, and counts again when "
        "its time is over or when it gets worse.",
        max_length=32,
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )

    def interval_of(self, check: str = "") -> timedelta:
        """Of ``check``, else of the resource. No shorter than the schema allows: it may be older than the schema."""
        own = self.options_of(check).interval
        return max(duration.parse(own or self.interval), duration.parse(SHORTEST_INTERVAL))

    def timeout_of(self, check: str = "") -> timedelta:
        """Of ``check``, else of the resource. No longer than the schema allows."""
        own = self.options_of(check).timeout
        return min(duration.parse(own or self.timeout), duration.parse(LONGEST_TIMEOUT))

    def options_of(self, check: str) -> CheckOptions:
        """Of ``check``; the defaults where the spec does not name it."""
        return self.checks.get(check) or CheckOptions()
