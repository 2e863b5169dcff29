"""Why the Kubernetes API could not be read: every check can have these."""

from mehc_checks.core.errors import Forbidden
from mehc_checks.core.outcome import SHARED_PAGE, Reason, ReasonSet, Status


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
