"""What the operator has stored, as a report again: the status of a resource reads like a check that was just run."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from pydantic import ValidationError

from mehc_checks.core import duration
from mehc_checks.core.errors import UsageError
from mehc_checks.core.outcome import EndpointStatus as Endpoint
from mehc_checks.core.outcome import Status
from mehc_checks.core.redact import Redactor
from mehc_checks.engine.check import Check
from mehc_checks.engine.health import Health
from mehc_checks.engine.report import CheckResult, Found, Report, RootCause
from mehc_checks.installation.helm import ReleaseFacts
from mehc_operator.judgement import HEARTBEAT
from mehc_operator.models import Spec
from mehc_operator.status import CheckStatus, StatusReport

_OVERDUE: Final = 3
"""Intervals without a probe run after which a verdict is stale, as for the alert ModelEngineHealthStale."""
_FIRST: Final = timedelta(minutes=1)
"""In which an operator that runs has judged a resource for the first time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Resource:
    """A ModelEngineHealthCheck as it is in the cluster. ``spec`` is the default where it cannot be read."""

    namespace: str
    name: str
    version: str
    """Its resourceVersion."""
    generation: int
    created: datetime
    spec: Spec
    status: StatusReport

    @classmethod
    def of(cls, manifest: Mapping[str, Any]) -> "Resource":
        """Read ``manifest``; control characters in it are replaced. Raises UsageError on a status of another shape."""
        metadata = manifest["metadata"]
        where = f"{metadata['namespace']}/{metadata['name']}"
        status = manifest.get("status") or {}
        try:
            spec = Spec.model_validate(manifest.get("spec") or {})
        except ValidationError:
            spec = Spec()
        try:
            return cls(
                namespace=metadata["namespace"],
                name=metadata["name"],
                version=metadata.get("resourceVersion", ""),
                generation=metadata.get("generation", 0),
                created=datetime.fromisoformat(metadata["creationTimestamp"]),
                spec=spec,
                status=StatusReport.model_validate(Redactor().tree(status)),
            )
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            field = ".".join(map(str, first["loc"]))
            raise UsageError(f"{where}: status.{field}: {first['msg']}") from None

    @property
    def health(self) -> Health | None:
        """The verdict as it was written; None before the first."""
        return self.status.health

    @property
    def fails(self) -> bool:
        """Whether a check failed or could not be evaluated."""
        return any(one.status in (Status.FAIL, Status.ERROR) for one in self.status.checks)

    def stale(self, now: datetime) -> bool:
        """Whether probe runs have been missing for so long that the verdict says nothing about now."""
        if self.status.health is Health.SUSPENDED or self.spec.suspend:
            return False
        last = self.status.last_probe_time
        if last is None:
            return now - self.created > _FIRST
        interval = self.spec.interval_of()
        return now - last > max(_OVERDUE * interval, interval + HEARTBEAT) + _FIRST

    @property
    def outdated(self) -> bool:
        """Whether the spec has changed since it was judged."""
        return self.status.observed_generation not in (None, self.generation)

    def report(self, checks: Mapping[str, Check]) -> Report:
        """The verdict as a report. ``checks`` have the titles; one that is not among them goes by its name."""
        status = self.status
        endpoints = tuple(Endpoint(**dict(each)) for each in status.endpoints)
        return Report(
            checks=tuple(
                _result(one, checks.get(one.name), endpoints if one.name == "EndpointsReady" else None)
                for one in status.checks
            ),
            root_causes=tuple(
                RootCause(**{**dict(cause), "explains": tuple(cause.explains)})
                for cause in status.root_causes
            ),
            started=status.last_probe_time or self.created,
            duration=length(status.duration),
            namespace=self.namespace,
            release=_release(status),
        )


def _result(one: CheckStatus, check: Check | None, endpoints: tuple[Endpoint, ...] | None) -> CheckResult:
    own = Found(subject="", status=one.status, severity=one.severity, reason=one.reason, message=one.message)
    return CheckResult(
        name=one.name,
        title=check.title if check else one.name,
        severity=one.severity,
        findings=tuple(Found(**dict(each)) for each in one.findings) or (own,),
        duration=length(one.duration),
        evidence=one.evidence,
        endpoints=endpoints,
    )


def _release(status: StatusReport) -> ReleaseFacts | None:
    release = status.release
    if release is None or release.name is None:
        return None
    return ReleaseFacts(
        name=release.name,
        revision=release.revision or 0,
        secret="",
        chart=release.chart or "",
        status=release.status or "",
        description="",
        updated=None,
    )


def length(text: str | None) -> timedelta:
    """A duration that a status has; none where it cannot be read."""
    try:
        return duration.parse(text or "0s")
    except ValueError:
        return timedelta()
