"""What every client of Google Cloud can find about its own identity and its path to Google, declared once.

Words of a message: ``what`` is what was asked for ("secret db of project p1"), ``role`` the role that allows it,
``principal`` who asked ("service account mehc@p1.iam.gserviceaccount.com"). ``concerning`` is what the asker was
after, with its colon.
"""

from typing import Final

from mehc_checks.core.outcome import Reason, ReasonSet, Status

ZONE: Final = "the private DNS zone of googleapis.com"
"""Where addresses of Google's services are configured, if anywhere: the source that a network's problem names."""
_CONCERNING: Final = {"concerning": ""}
_SET_UP: Final = (
    "set serviceAccount.annotations iam.gke.io/gcp-service-account of the model-engine-health-check chart, and let the "
    "operator's ServiceAccount use that account (roles/iam.workloadIdentityUser)"
)


class GoogleReasons(ReasonSet):
    """All but the last two say nothing about the installation: mehc's identity is not the platform's."""

    NO_IDENTITY = Reason(
        "GoogleNoIdentity",
        Status.ERROR,
        "The process that runs the check has no Google identity, so what needs one was not tested.",
        message="{concerning}no Google identity in this process{detail}",
        remedy=f"To have it tested, {_SET_UP}; then grant the account {{role}}.",
        defaults={**_CONCERNING, "detail": "", "role": "the role that the page of the check names"},
    )
    CLIENT_MISSING = Reason(
        "GoogleClientNotInstalled",
        Status.ERROR,
        "mehc was installed without the package that gets a token of Google; the image has it.",
        message="{concerning}the package google-auth is not installed here",
        remedy="Install it (pip install 'mehc[gcp]'), or run mehc check --in-cluster.",
        defaults=_CONCERNING,
    )
    METADATA_UNREACHABLE = Reason(
        "GoogleMetadataUnreachable",
        Status.ERROR,
        "The metadata server, which has the identity of pods on Google Cloud, has an address here and does not answer.",
        message="{concerning}the metadata server of Google ({address}) did not answer: {detail}",
        remedy="Let the operator reach 169.254.169.254:80 and 169.254.169.252:988 (networkPolicy.egress.presets: "
        "identity), and check the gke-metadata-server pod of its node.",
        defaults=_CONCERNING,
    )
    BINDING_MISSING = Reason(
        "GoogleIdentityBindingMissing",
        Status.ERROR,
        "The operator's Kubernetes ServiceAccount is not allowed to use the Google service account of its annotation.",
        message="{concerning}the operator's ServiceAccount cannot use {principal} ({code})",
        remedy="Grant roles/iam.workloadIdentityUser on {principal} to the operator's ServiceAccount "
        "(gcloud iam service-accounts add-iam-policy-binding).",
        defaults=_CONCERNING,
    )
    IDENTITY_NOT_FOUND = Reason(
        "GoogleIdentityNotFound",
        Status.ERROR,
        "The Google service account that the operator is to use does not exist.",
        message="{concerning}Google does not know {principal} ({code})",
        remedy="Correct the annotation iam.gke.io/gcp-service-account on the operator's ServiceAccount, then restart "
        "the operator.",
        defaults=_CONCERNING,
    )
    FEDERATION_REJECTED = Reason(
        "GoogleFederatedTokenRejected",
        Status.ERROR,
        "Google's Security Token Service does not accept the ServiceAccount's token: the workload identity pool does "
        "not exist, or its provider does not trust the cluster's issuer or the token's audience.",
        message="{concerning}Google rejected the ServiceAccount's token for {audience} ({code})",
        remedy="Correct issuer and allowed audiences of the provider (gcloud iam workload-identity-pools providers "
        "describe), and audience in the file that GOOGLE_APPLICATION_CREDENTIALS names.",
        defaults=_CONCERNING,
    )
    CREDENTIALS_INVALID = Reason(
        "GoogleCredentialsInvalid",
        Status.ERROR,
        "The process that runs the check has a file of Google credentials that cannot be used: unreadable, not of a "
        "known type, or of a key or a login that was revoked.",
        message="{concerning}the Google credentials in {file} cannot be used: {detail}",
        remedy="Correct GOOGLE_APPLICATION_CREDENTIALS of the process that runs the check, or log in again (gcloud "
        "auth application-default login).",
        defaults=_CONCERNING,
    )
    DENIED = Reason(
        "GoogleAccessDenied",
        Status.ERROR,
        "mehc's own Google identity is not authorized, or what it asked for does not exist, which Google then does "
        "not tell; the platform's identity was not tested.",
        message="{concerning}Google denied {what} to {principal}{code}",
        remedy="To have it tested, grant {role} to {principal}, the identity that runs the check.",
        defaults={**_CONCERNING, "code": ""},
    )
    SCOPES_INSUFFICIENT = Reason(
        "GoogleScopesInsufficient",
        Status.ERROR,
        "The operator runs as the node's service account, whose tokens on this node have no scope for the service.",
        message="{concerning}tokens of {principal} have no scope for {what}",
        remedy=f"Use workload identity in place of the node's account: {_SET_UP}.",
        defaults=_CONCERNING,
    )
    API_DISABLED = Reason(
        "GoogleApiDisabled",
        Status.ERROR,
        "The service's API is not enabled in the project that the request counts for.",
        message="{concerning}{service} is not enabled in {project}: {what} cannot be read",
        remedy="Run gcloud services enable {service} in {project}, and in the project of the platform's identity.",
        defaults=_CONCERNING,
    )
    PROJECT_UNKNOWN = Reason(
        "GoogleProjectDenied",
        Status.ERROR,
        "The project does not exist, or mehc's identity cannot see it; Google does not say which.",
        message="{concerning}Google knows no project for {what} that {principal} may see",
        remedy="Check the project's ID. If it is right, grant {role} to {principal} in that project.",
        defaults=_CONCERNING,
    )
    PERIMETER = Reason(
        "GooglePerimeterDenied",
        Status.ERROR,
        "A perimeter of VPC Service Controls does not admit the request; pods of the platform in the same network get "
        "the same answer, unless a rule names their identity.",
        message="{concerning}VPC Service Controls do not admit {principal} to {what}",
        remedy="Add the project of the cluster to the perimeter, or an ingress rule for {principal}.",
        defaults=_CONCERNING,
    )
    TOKEN_REJECTED = Reason(
        "GoogleTokenRejected",
        Status.ERROR,
        "The service does not accept the token of mehc's identity: the account was disabled, or the node's clock is "
        "wrong.",
        message="{concerning}Google rejected the token of {principal} for {what}",
        remedy="Enable the account (gcloud iam service-accounts enable), and check the clock of the operator's node.",
        defaults=_CONCERNING,
    )
    UNREACHABLE = Reason(
        "GoogleUnreachable",
        Status.ERROR,
        "The service of Google that gives tokens cannot be reached from the process that runs the check.",
        message="{concerning}{address} could not be asked for a token: {detail}",
        remedy="Check DNS and firewalls between the process that runs the check and {address}.",
        defaults=_CONCERNING,
    )
    THROTTLED = Reason(
        "GoogleThrottled",
        Status.ERROR,
        "Google throttles the requests, or the service is unavailable for the moment.",
        message="{concerning}Google returned {code} for {what}",
        remedy="Wait for the next probe run; if it persists, raise the check's interval.",
        defaults=_CONCERNING,
    )
    OTHER = Reason(
        "GoogleError",
        Status.ERROR,
        "Google returned an error that has no reason of its own.",
        message="{concerning}Google returned {code} for {what}",
        remedy="Look up {code} in Google's documentation of the service.",
        defaults=_CONCERNING,
    )
    PLATFORM_DENIED = Reason(
        "GooglePlatformAccessDenied",
        Status.FAIL,
        "The platform's own account, by which mehc runs here, is not authorized, or what it asked for does not exist.",
        message="{concerning}Google denied {what} to the platform's own {principal}{code}",
        remedy="Check that {what} exists, and grant {role} to {principal}.",
        defaults={**_CONCERNING, "code": ""},
    )
    BILLING_DISABLED = Reason(
        "GoogleBillingDisabled",
        Status.FAIL,
        "The project has no active billing account, so its services reject every request.",
        message="{concerning}{what} is closed: its project has no active billing account ({code})",
        remedy="Link an active billing account to the project (gcloud billing projects link).",
        defaults=_CONCERNING,
    )


NOT_FOUND: Final = Reason(
    "GoogleNotFound",
    Status.ERROR,
    "What was asked for does not exist.",
    message="{concerning}{what} does not exist",
    defaults=_CONCERNING,
)
"""No member of the family: what does not exist is about the installation, and each check has its own reason for it."""
