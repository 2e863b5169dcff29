"""What can keep an image from being pulled, as far as the registry shows it."""

from enum import StrEnum

from mehc_checks.clients.network.connect import NetworkProblem
from mehc_checks.clients.network.reasons import NetworkReasons as N


class Trouble(StrEnum):
    """Why an image cannot be pulled, roughly in the order in which a pull meets it."""

    INVALID_REFERENCE = "invalid reference"
    UNRESOLVABLE = "unresolvable"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    NO_ANSWER = "no answer"
    PLAIN_HTTP = "plain http"
    """A registry that speaks HTTP where the runtime speaks only HTTPS."""
    TLS_UNTRUSTED = "tls untrusted"
    TLS_EXPIRED = "tls expired"
    TLS_WRONG_HOST = "tls wrong host"
    TLS_OTHER = "tls other"
    NOT_A_REGISTRY = "not a registry"
    UNAUTHENTICATED = "unauthenticated"
    """Credentials are wanted and there are none."""
    CREDENTIALS_REJECTED = "credentials rejected"
    DENIED = "denied"
    """The registry knows who asks, and says no."""
    RATE_LIMITED = "rate limited"
    SERVER_ERROR = "server error"
    REPOSITORY_MISSING = "repository missing"
    TAG_MISSING = "tag missing"
    SCHEMA_1 = "schema 1"
    MANIFEST_INVALID = "manifest invalid"
    NO_VARIANT = "no variant"
    """No manifest for the nodes' architecture."""
    CHILD_MISSING = "child missing"
    """The index names a manifest that the registry does not have."""
    BLOBS_MISSING = "blobs missing"
    AWS_NO_CREDENTIALS = "aws no credentials"
    AWS_DENIED = "aws denied"
    AWS_UNREACHABLE = "aws unreachable"


class RegistryFailure(Exception):  # noqa: N818
    """A step failed. ``str()`` names the address and the step in one line, without echoing the peer."""

    def __init__(self, trouble: Trouble, message: str) -> None:
        super().__init__(message)
        self.trouble = trouble


_OF_FAULT = {
    N.HOST_UNRESOLVABLE: Trouble.UNRESOLVABLE,
    N.CONNECTION_REFUSED: Trouble.REFUSED,
    N.HOST_UNREACHABLE: Trouble.UNREACHABLE,
    N.CONNECTION_TIMEOUT: Trouble.NO_ANSWER,
    N.CONNECTION_CLOSED: Trouble.UNREACHABLE,
    N.SERVER_NOT_TLS: Trouble.NOT_A_REGISTRY,
    N.TLS_UNTRUSTED: Trouble.TLS_UNTRUSTED,
    N.TLS_EXPIRED: Trouble.TLS_EXPIRED,
    N.TLS_WRONG_HOST: Trouble.TLS_WRONG_HOST,
    N.TLS_HANDSHAKE_FAILED: Trouble.TLS_OTHER,
}


def of_network(failure: NetworkProblem) -> RegistryFailure:
    """The same failure in this vocabulary."""
    return RegistryFailure(_OF_FAULT[failure.reason], str(failure))
