"""What a probe run reports: safe to write anywhere, because every text in it went through the redactor."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from mehc_checks.core.outcome import EndpointStatus, Evidence, Severity, Status, summary
from mehc_checks.installation.helm import ReleaseFacts


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """A finding as it is reported: redacted, its severity known, its explanation linked.

    ``explains`` and ``explained_by`` are names as correlation reads them; None where the reason's own hold.
    """

    subject: str
    status: Status
    severity: Severity
    reason: str
    message: str
    remediation: str = ""
    docs: str = ""
    explains: tuple[str, ...] = ()
    explained_by: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckResult:
    """One check, judged and redacted: safe to write anywhere. ``findings`` are worst first, at least one.

    The check itself has the status, reason, message and remedy of its worst finding; ``severity`` is how much a
    failure of it weighs where its findings do not say otherwise.
    """

    name: str
    title: str
    severity: Severity
    findings: tuple[Found, ...]
    duration: timedelta = timedelta()
    evidence: Evidence = field(default_factory=dict)
    endpoints: tuple[EndpointStatus, ...] | None = None
    changes_at: datetime | None = None
    """As of ``Outcome``."""

    @property
    def leader(self) -> Found:
        return self.findings[0]

    @property
    def status(self) -> Status:
        return self.leader.status

    @property
    def reason(self) -> str:
        return self.leader.reason

    @property
    def message(self) -> str:
        """The worst finding's, with the number of others that do not pass: "... (and 2 more)"."""
        return summary(self.findings)

    @property
    def remediation(self) -> str:
        return self.leader.remediation

    @property
    def docs(self) -> str:
        return self.leader.docs


@dataclass(frozen=True, kw_only=True, slots=True)
class RootCause:
    """Failures of one check for one reason that no other explains, with their own words.

    ``explains`` are the failing checks of which nothing stands for itself. ``severity`` is the worst of what it has a
    part in; ``endpoints`` how many endpoints it keeps from being ready, and ``modes`` their kinds of traffic.
    """

    check: str
    severity: Severity
    reason: str
    message: str
    remediation: str
    docs: str
    explains: tuple[str, ...] = ()
    endpoints: int = 0
    modes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """A probe run: its results in the order of the catalogue, and all root causes among them, worst first.

    ``namespace`` is the one that was asked about, "" without a cluster. ``release`` is the Helm release that was found,
    None where there is none or nobody looked.
    """

    checks: tuple[CheckResult, ...]
    root_causes: tuple[RootCause, ...]
    started: datetime
    duration: timedelta
    namespace: str = ""
    release: ReleaseFacts | None = None
