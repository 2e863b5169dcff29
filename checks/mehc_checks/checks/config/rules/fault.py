"""What a rule can find: reasons with a severity of their own, declared beside the rule."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from mehc_checks.core.outcome import Finding, Reason, Severity, Status
from mehc_checks.core.text import masked

PAGE: Final = "docs/rules.md"
NO_START: Final = tuple(
    f"ControlPlaneReady/{reason}"
    for reason in ("GatewayNotReady", "BuilderNotReady", "CacherNotReady", "RolloutStuck")
)
"""What follows when no process of the control plane starts: pods of an older revision may go on."""
NOT_CREATED: Final = ("ControlPlaneReady/ComponentMissing", "ControlPlaneReady/ObjectMissing")
"""What follows from an install or upgrade that ended early."""
NO_INSTALL: Final = ("ConfigValid/ReleaseFailed", *NOT_CREATED)
"""What follows when the API server or Helm refuses what the chart makes of the values."""
OF_THE_CLOUD: Final = ("RedisReachable", "BrokerReachable", "ObjectStoreReachable")
"""What follows when the platform takes the values of one cloud for those of another: it uses other servers."""
_STATUS: Final = {
    Severity.CRITICAL: Status.FAIL,
    Severity.HIGH: Status.FAIL,
    Severity.WARNING: Status.WARN,
    Severity.INFO: Status.PASS,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault(Reason):
    """One way in which a rule is broken.

    Its message and remedy know ``{path}``, the values path at fault, besides the words of the call. ``explains`` names
    failures of checks that it surely produces, not all that it might.
    """

    severity: Severity = Severity.HIGH
    explains: tuple[str, ...] = ()
    page: str = PAGE

    def at(self, path: str, *, explains: tuple[str, ...] | None = None, **words: object) -> Finding:
        """This fault, found at ``path``; ``explains`` where this place breaks less.

        ``words`` may be what a user wrote, whatever that is: what looks like a credential is masked.
        """
        words = {name: masked(word) if isinstance(word, str) else word for name, word in words.items()}
        filled = {**self.defaults, "path": path, **words}
        return Finding(
            reason=self,
            status=self.status,
            severity=self.severity,
            message=self.message.format(**filled),
            remediation=self.remedy.format(**filled),
            subject=path,
            explains=self.explains if explains is None else explains,
            words=words,
        )


def _declares(severity: Severity) -> Callable[..., Fault]:
    def declare(
        name: str, meaning: str, *, message: str, remedy: str, explains: tuple[str, ...] = (), **defaults: str
    ) -> Fault:
        return Fault(
            name,
            _STATUS[severity],
            meaning,
            remedy,
            message,
            defaults,
            severity=severity,
            explains=explains,
        )

    return declare


critical: Final = _declares(Severity.CRITICAL)
high: Final = _declares(Severity.HIGH)
warning: Final = _declares(Severity.WARNING)
info: Final = _declares(Severity.INFO)
"""Declare a fault: its name, what it means for the installation, what was observed, and what to do."""
