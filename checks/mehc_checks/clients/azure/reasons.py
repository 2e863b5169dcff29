"""What every client of Azure can find about its own identity and its path to Azure, declared once.

Words of a message: ``what`` is what was asked for ("secret db of Key Vault kv"), ``role`` the role that allows it,
``principal`` who asked ("client 1111 (object 2222)"). ``concerning`` is what the asker was after, with its colon.
"""

from typing import Final

from mehc_checks.core.outcome import Reason, ReasonSet, Status

_CONCERNING: Final = {"concerning": ""}
_SET_UP: Final = (
    "set serviceAccount.annotations azure.workload.identity/client-id and podLabels azure.workload.identity/use: "
    '"true" of the model-engine-health-check chart'
)


class AzureReasons(ReasonSet):
    """All but the last say nothing about the installation: mehc's identity is not the platform's."""

    NO_IDENTITY = Reason(
        "AzureNoIdentity",
        Status.ERROR,
        "The process that runs the check has no Azure identity, so what needs one was not tested.",
        message="{concerning}no Azure identity in this process{detail}",
        remedy=f"To have it tested, {_SET_UP}, and assign that identity the role {{role}}.",
        defaults={**_CONCERNING, "detail": "", "role": "that the page of the check names"},
    )
    CLIENT_MISSING = Reason(
        "AzureClientNotInstalled",
        Status.ERROR,
        "mehc was installed without the packages that get a token of Azure; the image has them.",
        message="{concerning}the package azure-identity is not installed here",
        remedy="Install it (pip install 'mehc[azure]'), or run mehc check --in-cluster.",
        defaults=_CONCERNING,
    )
    METADATA_UNREACHABLE = Reason(
        "AzureMetadataUnreachable",
        Status.ERROR,
        "AZURE_CLIENT_ID names a managed identity, and the metadata service that has its token does not answer.",
        message="{concerning}the metadata service of Azure ({address}) did not answer: no token for {principal}",
        remedy=f"Use workload identity ({_SET_UP}), or let the operator reach {{address}} "
        "(networkPolicy.egress.presets: identity).",
        defaults=_CONCERNING,
    )
    FEDERATION_REJECTED = Reason(
        "AzureFederatedTokenRejected",
        Status.ERROR,
        "Microsoft Entra does not accept the ServiceAccount's token for the identity: no federated credential names "
        "the cluster's issuer and the ServiceAccount.",
        message="{concerning}Microsoft Entra rejected the ServiceAccount's token for {principal} ({code})",
        remedy="Add a federated credential to the identity (az identity federated-credential create) with the "
        "cluster's OIDC issuer, subject system:serviceaccount:NAMESPACE:NAME of the operator, audience "
        "api://AzureADTokenExchange.",
        defaults=_CONCERNING,
    )
    IDENTITY_NOT_FOUND = Reason(
        "AzureIdentityNotFound",
        Status.ERROR,
        "The tenant does not exist or has no such identity, or no node has it.",
        message="{concerning}Azure does not know {principal}{tenant} ({code})",
        remedy="Correct azure.workload.identity/client-id and azure.workload.identity/tenant-id on the operator's "
        "ServiceAccount, then restart the operator.",
        defaults={**_CONCERNING, "tenant": ""},
    )
    DENIED = Reason(
        "AzureAccessDenied",
        Status.ERROR,
        "mehc's own Azure identity is not authorized; the platform's identity was not tested.",
        message="{concerning}Azure denied {what} to {principal}{code}",
        remedy="To have it tested, assign the role {role} to {principal}, the identity that runs the check.",
        defaults={**_CONCERNING, "code": ""},
    )
    FIREWALL = Reason(
        "AzureFirewallDenied",
        Status.ERROR,
        "The firewall of the resource does not admit the address that mehc asked from; pods of the platform on the "
        "same network get the same answer.",
        message="{concerning}the firewall in front of {what} does not admit the operator ({code})",
        remedy="Admit the cluster's subnet or its outbound address in the networking settings of the resource, or "
        "give it a private endpoint.",
        defaults=_CONCERNING,
    )
    TOKEN_WITHHELD = Reason(
        "AzureTokenWithheld",
        Status.ERROR,
        "The server has another name than Azure's own servers. A token for one opens all that admit the operator, so "
        "it is not sent there.",
        message="{concerning}{host} is not a server of {domain}: the operator does not send its Azure token there",
        remedy="Write the server's own name, which ends in {domain}, or have an administrator add the namespace to "
        "probes.trustedNamespaces of the operator's chart.",
        defaults=_CONCERNING,
    )
    TOKEN_REJECTED = Reason(
        "AzureTokenRejected",
        Status.ERROR,
        "The service does not accept the token of mehc's identity: it is of another tenant, or the node's clock is "
        "wrong.",
        message="{concerning}Azure rejected the token of {principal} for {what}",
        remedy="Use an identity of the tenant that the resource belongs to, and check the clock of the operator's "
        "node.",
        defaults=_CONCERNING,
    )
    UNREACHABLE = Reason(
        "AzureUnreachable",
        Status.ERROR,
        "Microsoft Entra, which gives tokens, cannot be reached from the process that runs the check.",
        message="{concerning}Microsoft Entra ({address}) could not be asked for a token: {detail}",
        remedy="Check DNS, firewalls and the proxy between the process that runs the check and {address}.",
        defaults=_CONCERNING,
    )
    THROTTLED = Reason(
        "AzureThrottled",
        Status.ERROR,
        "Azure throttles the requests, or the service is unavailable for the moment.",
        message="{concerning}Azure returned {code} for {what}",
        remedy="Wait for the next probe run; if it persists, raise the check's interval.",
        defaults=_CONCERNING,
    )
    OTHER = Reason(
        "AzureError",
        Status.ERROR,
        "Azure returned an error that has no reason of its own.",
        message="{concerning}Azure returned {code} for {what}",
        remedy="Look up {code} in Azure's documentation of the service.",
        defaults=_CONCERNING,
    )
    PLATFORM_DENIED = Reason(
        "AzurePlatformAccessDenied",
        Status.FAIL,
        "The platform's own identity, by which mehc runs here, is not authorized.",
        message="{concerning}Azure denied {what} to the platform's identity, {principal}{code}",
        remedy="Assign the role {role} to {principal}.",
        defaults={**_CONCERNING, "code": ""},
    )


NOT_FOUND: Final = Reason(
    "AzureNotFound",
    Status.ERROR,
    "What was asked for does not exist.",
    message="{concerning}{what} does not exist",
    defaults=_CONCERNING,
)
"""No member of the family: what does not exist is about the installation, and each check has its own reason for it."""
