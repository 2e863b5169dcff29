"""What a check says when AWS does not answer it: that it could not be carried out, and why."""

from collections.abc import Mapping

from mehc_checks.clients.aws.client import AwsFailure, Trouble
from mehc_checks.core.outcome import Finding, Reason, ReasonSet, Status

_IDENTITY = (
    "Give the ServiceAccount that runs this check a role of AWS (workload identity) that may {action}; "
    "or run mehc check where the platform's identity is."
)


class AwsReasons(ReasonSet):
    """Reasons about this process's own way to AWS; they say nothing about the installation."""

    NO_CREDENTIALS = Reason(
        "AWSNoCredentials", Status.ERROR, "This process has no AWS credentials.", _IDENTITY
    )
    NO_PROFILE = Reason(
        "AWSProfileAbsent",
        Status.ERROR,
        "AWS_PROFILE of this process names a profile that its AWS configuration lacks.",
        "Correct AWS_PROFILE of the process that runs this check, or mount the configuration.",
    )
    ROLE_REFUSED = Reason(
        "AWSRoleRefused",
        Status.ERROR,
        "The role that this process is to assume does not exist, or does not trust its ServiceAccount.",
        "Correct the role's name and its trust policy: {action} for the ServiceAccount that runs this check.",
    )
    CREDENTIALS_REJECTED = Reason(
        "AWSCredentialsRejected",
        Status.ERROR,
        "AWS rejects this process's credentials: they are expired or unknown, or the node's clock is wrong.",
        "Renew the credentials of the process that runs this check, and compare its node's clock with the time.",
    )
    DENIED = Reason(
        "AWSAccessDenied",
        Status.ERROR,
        "The identity of this process may not ask; that of the platform was not tried.",
        "Allow the identity that runs this check the action {action}.",
    )
    REGION = Reason(
        "AWSRegionUnusable",
        Status.ERROR,
        "No region is set, or it is none of AWS's.",
        "Set config.values.infra.default_region to the region of the installation.",
    )
    UNREACHABLE = Reason(
        "AWSUnreachable",
        Status.ERROR,
        "AWS's endpoint cannot be reached from here.",
        "Check the region's name, DNS, the VPC endpoint and the firewalls between this process and AWS.",
    )
    UNTRUSTED = Reason(
        "AWSEndpointUntrusted",
        Status.ERROR,
        "The certificate of the endpoint is not trusted here; a proxy may stand between.",
        "Name the authority's certificates in AWS_CA_BUNDLE of the process that runs this check.",
    )
    THROTTLED = Reason(
        "AWSThrottled",
        Status.ERROR,
        "AWS limits the rate of requests of this account.",
        "Wait for the next pass; if it stays so, raise the check's interval.",
    )
    OTHER = Reason(
        "AWSError", Status.ERROR, "AWS answered another error.", "Look the code up in AWS's documentation."
    )


_REASONS: Mapping[Trouble, Reason] = {
    Trouble.NO_CREDENTIALS: AwsReasons.NO_CREDENTIALS,
    Trouble.NO_PROFILE: AwsReasons.NO_PROFILE,
    Trouble.ROLE_REFUSED: AwsReasons.ROLE_REFUSED,
    Trouble.CREDENTIALS_REJECTED: AwsReasons.CREDENTIALS_REJECTED,
    Trouble.DENIED: AwsReasons.DENIED,
    Trouble.REGION: AwsReasons.REGION,
    Trouble.UNREACHABLE: AwsReasons.UNREACHABLE,
    Trouble.UNTRUSTED: AwsReasons.UNTRUSTED,
    Trouble.THROTTLED: AwsReasons.THROTTLED,
}


def aws_finding(failure: AwsFailure, *, subject: str = "", concerning: str = "") -> Finding:
    """``failure`` as a finding; ``concerning`` says what was asked about.

    That something does not exist is about the installation: a check that can meet it judges it before.
    """
    reason = _REASONS.get(failure.trouble, AwsReasons.OTHER)
    message = f"{concerning}: {failure}" if concerning else str(failure)
    return reason.finding(message, subject=subject, action=failure.action)
