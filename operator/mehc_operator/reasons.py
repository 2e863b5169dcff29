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
    STATUS_TOO_LARGE = Reason(
        "StatusTooLarge",
        Status.ERROR,
        "An Event: spec leaves no room for the whole status in one Kubernetes object (1.5 MB). Where there is room for "
        "it, the status has the health and the first root cause.",
        message="the API server rejected the status: with it, the resource is too large",
        remedy="Move spec.values into a ConfigMap or Secret of this namespace, and name it in spec.valuesFrom.",
        page=SHARED_PAGE,
    )
    STATUS_REJECTED = Reason(
        "StatusRejected",
        Status.ERROR,
        "An Event: the API server rejected the whole status, because the CRD is of another version or an older spec "
        "breaks a rule of it. Where it accepts that, the status has the health and the first root cause.",
        message="the API server rejected the status for {fields}",
        remedy="Install the operator and its CRD in the same version. Correct the fields of spec that are named.",
        page=SHARED_PAGE,
    )
