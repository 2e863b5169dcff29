"""What every client of AWS can find about its own identity and its path to AWS, declared once.

Words of a message: ``service`` and ``operation`` ("sqs", "GetQueueUrl"), ``where`` (" in region eu-west-1"), ``code``
(AWS's, none of its sentences), ``action`` (the IAM action needed). ``concerning`` is what the asker was after, with its
colon ("bucket models: ").
"""

from typing import Final

from mehc_checks.core.outcome import Reason, ReasonSet, Status

_CONCERNING: Final = {"concerning": ""}
_RETURNED: Final = "{concerning}{service} {operation}{where} returned {code}"


class AwsReasons(ReasonSet):
    """They say nothing about the installation: mehc's identity is not the platform's."""

    NO_CREDENTIALS = Reason(
        "AWSNoCredentials",
        Status.ERROR,
        "The process that runs the check has no AWS credentials.",
        message="{concerning}no AWS credentials for {action} in this process{detail}",
        remedy="Grant the operator's ServiceAccount an IAM role (IRSA) that allows {action}, or run mehc check from a "
        "pod that has the platform's role.",
        defaults=_CONCERNING,
    )
    NO_PROFILE = Reason(
        "AWSProfileNotFound",
        Status.ERROR,
        "AWS_PROFILE of the process that runs the check names a profile that its AWS configuration does not have.",
        message="{concerning}the AWS configuration of this process has no profile {profile}",
        remedy="Correct AWS_PROFILE of the process that runs the check, or mount an AWS configuration that has the "
        "profile.",
        defaults=_CONCERNING,
    )
    ROLE_DENIED = Reason(
        "AWSAssumeRoleDenied",
        Status.ERROR,
        "The role that the process is to assume does not exist, or its trust policy does not name the ServiceAccount.",
        message="{concerning}AWS denied {action} to this process ({code})",
        remedy="Correct the role ARN on the operator's ServiceAccount, and allow {action} for that ServiceAccount in "
        "the role's trust policy.",
        defaults=_CONCERNING,
    )
    CREDENTIALS_REJECTED = Reason(
        "AWSCredentialsRejected",
        Status.ERROR,
        "AWS rejects the process's credentials: they are expired or unknown, or the node's clock is wrong.",
        message=_RETURNED,
        remedy="Renew the AWS credentials of the process that runs the check, and check the clock of its node.",
        defaults=_CONCERNING,
    )
    DENIED = Reason(
        "AWSAccessDenied",
        Status.ERROR,
        "mehc's own AWS identity is not authorized; the platform's identity was not tested.",
        message=_RETURNED,
        remedy="Allow {action} in the IAM policy of the identity that runs the check.",
        defaults=_CONCERNING,
    )
    REGION = Reason(
        "AWSRegionInvalid",
        Status.ERROR,
        "No region is set, or it is not a region of AWS.",
        message="{concerning}{service} {operation}{where} failed: {detail}",
        remedy="Set config.values.infra.default_region to the AWS region of the installation.",
        defaults=_CONCERNING,
    )
    UNREACHABLE = Reason(
        "AWSUnreachable",
        Status.ERROR,
        "The AWS endpoint cannot be reached from the process that runs the check.",
        message="{concerning}{service}{where} could not be reached: {detail}",
        remedy="Check the region's name, DNS, the VPC endpoint and the firewalls between the process that runs the "
        "check and AWS.",
        defaults=_CONCERNING,
    )
    UNTRUSTED = Reason(
        "AWSEndpointUntrusted",
        Status.ERROR,
        "The certificate of the AWS endpoint is not trusted by the process that runs the check; a proxy may intercept "
        "TLS.",
        message="{concerning}the TLS handshake with {service}{where} failed: its certificate is not trusted",
        remedy="Point AWS_CA_BUNDLE of the process that runs the check to a file with the authority's certificates.",
        defaults=_CONCERNING,
    )
    THROTTLED = Reason(
        "AWSThrottled",
        Status.ERROR,
        "AWS throttles the requests of this account.",
        message=_RETURNED,
        remedy="Wait for the next probe run; if it persists, raise the check's interval.",
        defaults=_CONCERNING,
    )
    OTHER = Reason(
        "AWSError",
        Status.ERROR,
        "AWS returned an error that has no reason of its own.",
        message=_RETURNED,
        remedy="Look up {code} in the AWS documentation of {service} {operation}.",
        defaults=_CONCERNING,
    )


NOT_FOUND: Final = Reason(
    "AWSNotFound",
    Status.ERROR,
    "What was asked for does not exist.",
    message=_RETURNED,
    defaults=_CONCERNING,
)
"""No member of the family: what does not exist is about the installation, and each check has its own reason for it."""
