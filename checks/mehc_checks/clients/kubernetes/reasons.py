"""Why the Kubernetes API could not be read: every check can have these."""

from mehc_checks.core.errors import CannotEvaluate, Forbidden
from mehc_checks.core.outcome import SHARED_PAGE, Finding, Reason, ReasonSet, Status


class KubernetesReasons(ReasonSet):
    """They say nothing about the installation."""

    FORBIDDEN = Forbidden.REASON
    UNREACHABLE = Reason(
        "KubernetesApiUnreachable",
        Status.ERROR,
        "The Kubernetes API server did not answer.",
        message="the Kubernetes API is unreachable ({detail})",
        remedy="Check the API server (kubectl get --raw /readyz), and network policies between this process and it.",
        page=SHARED_PAGE,
    )
    ERROR = Reason(
        "KubernetesApiError",
        Status.ERROR,
        "The Kubernetes API server returned an error.",
        message="the Kubernetes API returned {detail}",
        remedy="Check the API server's log, and aggregated APIs that are down (kubectl get apiservices).",
        page=SHARED_PAGE,
    )
    INCOMPLETE_DATA = Reason(
        "IncompleteData",
        Status.ERROR,
        "A part of what the check must read could not be read; the rest was judged.",
        message="{detail}",
        remedy="{fix}",
        defaults={"fix": "Grant the permission or fix the read error that the message names."},
        page=SHARED_PAGE,
    )


def incomplete(problem: CannotEvaluate) -> Finding:
    """What a check says of a part of its facts that is missing, while it judges the rest.

    Whatever the Kubernetes API withheld is IncompleteData; a problem that has a better name keeps it.
    """
    if problem.reason in KubernetesReasons.all() and problem.reason is not KubernetesReasons.INCOMPLETE_DATA:
        return KubernetesReasons.INCOMPLETE_DATA(detail=str(problem), fix=problem.remediation)
    return problem.finding()
