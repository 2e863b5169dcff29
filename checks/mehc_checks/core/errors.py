"""Errors that this package raises on purpose.

MehcError
├── UsageError              what the user gave cannot be used; exit status 2, or a refused spec
├── NotApplicable           the check has nothing to judge here; reported as Skip
└── Problem                 what a client found in place of an answer: a Reason with its words
    └── CannotEvaluate      it could not be asked at all; reported as Error (Unknown)
        └── Forbidden       the Kubernetes API refused a request; names the verb and the resource
"""

from typing import Any

from mehc_checks.core.outcome import SHARED_PAGE, Finding, Reason, Severity, Status


class MehcError(Exception):
    """Base of the errors above. ``str()`` is one line, fit for a user to read."""


class UsageError(MehcError):
    """Input that cannot be used. The message names the field or the file."""


class NotApplicable(MehcError):  # noqa: N818 - an answer, not an accident
    """This check has nothing to judge in this installation. The message says why."""


class Problem(MehcError):  # noqa: N818 - a finding that is yet to be placed
    """A reason with the words that whoever met it knows. ``str()`` is its message.

    The check that asked adds what it knows (``finding``): which part is concerned, which value is at fault.
    """

    def __init__(self, reason: Reason, /, **words: Any) -> None:
        super().__init__(reason.message.format(**{**reason.defaults, **words}))
        self.reason = reason
        self.words: dict[str, Any] = words

    @property
    def remediation(self) -> str:
        """What to do about it, as far as this side knows."""
        return self.finding().remediation

    def finding(
        self,
        *,
        subject: str = "",
        status: Status | None = None,
        severity: Severity | None = None,
        **words: Any,
    ) -> Finding:
        """The problem as a finding about ``subject``; ``words`` go before its own."""
        return self.reason(subject=subject, status=status, severity=severity, **{**self.words, **words})


class CannotEvaluate(Problem):
    """The check could not be carried out, which says nothing about the installation. Its reason is of status ERROR."""


class Forbidden(CannotEvaluate):
    """The Kubernetes API answered 403. ``resource`` is in RBAC's form: ``secrets``, ``deployments.apps``."""

    REASON = Reason(
        "Forbidden",
        Status.ERROR,
        "The Kubernetes API denied a request that the check needs.",
        message="not allowed to {verb} {what} {where}",
        remedy="Grant the ServiceAccount that runs this check the verb {verb} on {resource} {where}.",
        page=SHARED_PAGE,
    )

    def __init__(
        self, verb: str, resource: str, *, namespace: str | None = None, name: str | None = None
    ) -> None:
        super().__init__(
            self.REASON,
            verb=verb,
            resource=resource,
            what=f'{resource} "{name}"' if name else resource,
            where=f"in namespace {namespace}" if namespace else "in the whole cluster",
        )
        self.verb = verb
        self.resource = resource
