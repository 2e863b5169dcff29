"""Errors that this package raises on purpose.

MehcError
├── UsageError          what the user gave cannot be used; exit status 2, or a refused spec
├── NotApplicable       the check has nothing to judge here; reported as Skip
└── CannotEvaluate      the check applies, but could not be carried out; reported as Error (Unknown)
    └── Forbidden       the Kubernetes API refused a request; names the verb and the resource
"""


class MehcError(Exception):
    """Base of the errors above. ``str()`` is one line, fit for a user to read."""


class UsageError(MehcError):
    """Input that cannot be used. The message names the field or the file."""


class NotApplicable(MehcError):  # noqa: N818 - an answer, not an accident
    """This check has nothing to judge in this installation. The message says why."""


class CannotEvaluate(MehcError):  # noqa: N818
    """The check could not be carried out, which says nothing about the installation.

    ``reason`` is a CamelCase condition reason, ``remediation`` what lets the check run next time.
    """

    def __init__(self, message: str, *, reason: str, remediation: str = "") -> None:
        super().__init__(message)
        self.reason = reason
        self.remediation = remediation


class Forbidden(CannotEvaluate):
    """The Kubernetes API answered 403. ``resource`` is in RBAC's form: ``secrets``, ``deployments.apps``."""

    def __init__(
        self, verb: str, resource: str, *, namespace: str | None = None, name: str | None = None
    ) -> None:
        what = f"{resource} {name!r}" if name else resource
        where = f"in namespace {namespace}" if namespace else "in the whole cluster"
        super().__init__(
            f"not allowed to {verb} {what} {where}",
            reason="Forbidden",
            remediation=f"Grant the ServiceAccount that runs this check the verb {verb} on {resource} {where}.",
        )
        self.verb = verb
        self.resource = resource
