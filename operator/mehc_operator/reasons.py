"""Why the operator could not judge: reasons that are about the resource, not about the installation."""

from mehc_checks.core.outcome import SHARED_PAGE, Reason, ReasonSet, Status


class OperatorReasons(ReasonSet):
    """Every check of the resource then has the same one."""

    SPEC_INVALID = Reason(
        "SpecInvalid",
        Status.ERROR,
        "The spec has a field that this version of the operator cannot read.",
        message="{detail}",
        remedy="Correct the field, or install the operator and its CRD in the same version.",
        page=SHARED_PAGE,
    )
