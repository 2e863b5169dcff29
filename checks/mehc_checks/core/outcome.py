"""What a check says: statuses, reasons, findings and outcomes."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Self

Evidence = Mapping[str, str | int | float | bool | None]
"""Measured facts behind a judgement: flat, JSON-ready, free of secrets after redaction."""


class Status(StrEnum):
    """The result of one check. A crash or a missing permission is ERROR, never FAIL."""

    PASS = "Pass"  # noqa: S105 - a status, not a password
    WARN = "Warn"
    FAIL = "Fail"
    SKIP = "Skip"
    ERROR = "Error"


class Severity(StrEnum):
    """How much it hurts when a check fails; ``critical`` and ``high`` decide the condition Ready."""

    CRITICAL = "critical"
    HIGH = "high"
    WARNING = "warning"
    INFO = "info"

    @property
    def rank(self) -> int:
        """0 for the worst."""
        return list(Severity).index(self)


_WORST_FIRST = (Status.FAIL, Status.ERROR, Status.WARN, Status.PASS, Status.SKIP)


@dataclass(frozen=True, slots=True)
class Reason:
    """One thing that a check can find, documented: the row of its table in the check's page.

    ``name`` is the CamelCase reason of the condition and never changes once released.
    ``remedy`` is a sentence of instruction; ``{placeholders}`` are filled by ``finding``.
    """

    name: str
    status: Status
    meaning: str
    remedy: str = ""

    def finding(self, message: str, *, subject: str = "", **placeholders: object) -> "Finding":
        """This reason, found: ``message`` says what was seen, with names and numbers.

        Raises KeyError when the remedy has a placeholder that is not given.
        """
        return Finding(
            reason=self, message=message, remediation=self.remedy.format(**placeholders), subject=subject
        )


class ReasonSet:
    """Base of the reasons of one check; each is a class attribute."""

    @classmethod
    def all(cls) -> Iterator[Reason]:
        """The reasons in the order of their declaration, inherited ones first."""
        for ancestor in reversed(cls.__mro__):
            yield from (value for value in vars(ancestor).values() if isinstance(value, Reason))


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One reason, found in one place. ``subject`` names the part concerned ("cache", "broker"), or is empty.

    ``explains`` names the failures of other checks that follow from it, as correlation reads names;
    ``depends_on`` those that would explain it, where that is known better than by its reason (``Check.depends_on``).
    """

    reason: Reason
    message: str
    remediation: str
    subject: str = ""
    explains: tuple[str, ...] = ()
    depends_on: tuple[str, ...] | None = None

    @property
    def status(self) -> Status:
        return self.reason.status


@dataclass(frozen=True, kw_only=True, slots=True)
class EndpointStatus:
    """One endpoint that is not ready, and why: an item of ``status.endpoints``. ``cause`` is a reason's name."""

    endpoint_id: str
    name: str
    kind: str
    ready: int
    desired: int
    cause: str
    message: str
    remediation: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """The judgement of one check, led by its worst finding."""

    status: Status
    reason: str
    message: str
    remediation: str = ""
    findings: tuple[Finding, ...] = ()
    evidence: Evidence = field(default_factory=dict)
    endpoints: tuple[EndpointStatus, ...] | None = None
    """Those that are not ready; None where the check is not about endpoints, or could not read them."""

    def __post_init__(self) -> None:
        """Raises ValueError for a failure without a failing finding: root causes, and so Ready, are told by these."""
        if self.status is Status.FAIL and not any(found.status is Status.FAIL for found in self.findings):
            raise ValueError("a failure needs a failing finding")

    @classmethod
    def of(
        cls,
        findings: Iterable[Finding],
        *,
        evidence: Evidence | None = None,
        endpoints: Iterable[EndpointStatus] | None = None,
    ) -> Self:
        """Judge by ``findings`` (at least one): the worst leads; among equals, the first.

        The messages of the others follow the leader's, so that one glance at the condition shows all.
        """
        ordered = sorted(findings, key=lambda finding: _WORST_FIRST.index(finding.status))
        if not ordered:
            raise ValueError("an outcome needs a finding; a healthy one has a reason too")
        leader = ordered[0]
        troubles = [f for f in ordered if f.status is not Status.PASS] or ordered
        return cls(
            status=leader.status,
            reason=leader.reason.name,
            message="; ".join(dict.fromkeys(f.message for f in troubles)),
            remediation=" ".join(dict.fromkeys(f.remediation for f in troubles if f.remediation)),
            findings=tuple(ordered),
            evidence=evidence or {},
            endpoints=None if endpoints is None else tuple(endpoints),
        )
