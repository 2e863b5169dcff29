"""Reasons that are about the resource, not about the installation."""

from mehc_checks.core.outcome import SHARED_PAGE, Reason, ReasonSet, Status


class OperatorReasons(ReasonSet):
    """Of Ready and Degraded where no finding decides them, and of a spec that cannot be read."""

    CHECKS_PASS = Reason(
        "ChecksPass",
        Status.PASS,
        "Ready: no critical or high check fails. Degraded: every check passes.",
        message="{detail}",
        page=SHARED_PAGE,
    )
    NOTHING_TO_CHECK = Reason(
        "NothingToCheck",
        Status.SKIP,
        "Every check is disabled or does not apply.",
        message="no check applies",
        remedy="Enable checks in spec.checks, or delete the resource.",
        page=SHARED_PAGE,
    )
    SUSPENDED = Reason(
        "Suspended",
        Status.SKIP,
        "Probing is suspended; conditions of checks and status.checks are from the last probe run.",
        message="probing is suspended (spec.suspend: true); results are from the last probe run",
        remedy="Set spec.suspend: false to resume.",
        page=SHARED_PAGE,
    )
    SPEC_INVALID = Reason(
        "SpecInvalid",
        Status.ERROR,
        "The spec has a field that this version of the operator cannot read.",
        message="{detail}",
        remedy="Correct the field, or install the operator and its CRD in the same version.",
        page=SHARED_PAGE,
    )
