"""What every check can have, because it is about carrying it out."""

from typing import Final

from mehc_checks.clients.aws.reasons import AwsReasons
from mehc_checks.clients.kubernetes.reasons import KubernetesReasons
from mehc_checks.clients.network.reasons import NetworkReasons, ReachReasons
from mehc_checks.clients.prometheus.reasons import PrometheusApiReasons
from mehc_checks.core.deadline import OwnReasons
from mehc_checks.core.outcome import SHARED_PAGE, Reason, ReasonSet, Status
from mehc_checks.installation.reasons import InstallationReasons


class RunnerReasons(ReasonSet):
    """They say nothing about the installation."""

    SKIPPED = Reason(
        "Skipped",
        Status.SKIP,
        "The check is disabled, or was not selected.",
        message="{detail}",
        page=SHARED_PAGE,
    )
    NOT_APPLICABLE = Reason(
        "NotApplicable",
        Status.SKIP,
        "The check has nothing to judge in this installation.",
        message="{detail}",
        page=SHARED_PAGE,
    )
    INVALID_VALUE = Reason(
        "InvalidValue",
        Status.ERROR,
        "A value that the check needs cannot be read.",
        message="{detail}",
        remedy="Correct the value that the message names.",
        page=SHARED_PAGE,
    )
    NOT_TESTABLE_FROM_HERE = Reason(
        "NotTestableFromHere",
        Status.ERROR,
        "The command ran outside the cluster, and the address, or the authority of its certificate, may only be known "
        "inside.",
        message="not testable from outside the cluster: {detail}",
        remedy="Run the check inside the cluster: mehc check --in-cluster -n {namespace}.",
        defaults={"namespace": "NAMESPACE"},
        page=SHARED_PAGE,
    )
    ADDRESS_NOT_VERIFIED = Reason(
        "AddressNotVerified",
        Status.ERROR,
        "The server does not answer as it should, and only the resource names its address: no live workload does, so "
        "no details are given.",
        message="{host} did not answer as expected; no live workload in namespace {namespace} names it, so details are "
        "withheld",
        remedy="Apply the address to the installation, run mehc check -n {namespace} with your own identity, or have "
        "an administrator add {namespace} to probes.trustedNamespaces of the operator's chart.",
        page=SHARED_PAGE,
    )
    PROBE_TIMEOUT = Reason(
        "ProbeTimeout",
        Status.ERROR,
        "The check did not finish within its own timeout. A dependency that does not answer has a reason of its own.",
        message="the check did not finish within its timeout of {allowed}",
        remedy="Raise spec.timeout or spec.checks.{check}.timeout if its dependencies are known to be slow.",
        page=SHARED_PAGE,
    )
    INTERNAL_ERROR = Reason(
        "InternalError",
        Status.ERROR,
        "The check itself crashed, which says nothing about the installation.",
        message="the check crashed ({error})",
        remedy="Report this as a bug, with the operator's log.",
        page=SHARED_PAGE,
    )


COMMON: tuple[type[ReasonSet], ...] = (
    RunnerReasons,
    OwnReasons,
    KubernetesReasons,
    InstallationReasons,
    ReachReasons,
)
"""The families of reasons that every check can have; ``SHARED_PAGE`` explains them."""
OF_TIME: Final = frozenset(
    reason.name
    for reason in (
        OwnReasons.OVERLOADED,
        RunnerReasons.PROBE_TIMEOUT,
        KubernetesReasons.UNREACHABLE,
        NetworkReasons.CONNECTION_TIMEOUT,
        NetworkReasons.DNS_TIMEOUT,
        AwsReasons.UNREACHABLE,
        PrometheusApiReasons.QUERY_TIMEOUT,
    )
)
"""Reasons that a process which is short of time may find without cause."""
