"""What every client of a network can find, declared once: a check that talks to a server inherits these.

A check narrows the words, never the name: ``source`` is what names the address ("config.values.infra.redis_host"),
``enable_tls`` and ``disable_tls`` how its client is told to use TLS, or not to. ``concerning`` is what the asker was
after, with its colon ("cache: ").
"""

from typing import Final

from mehc_checks.core.errors import Problem
from mehc_checks.core.outcome import SHARED_PAGE, Reason, ReasonSet, Status

_CONCERNING = {"concerning": ""}
_SOURCE = {"concerning": "", "source": "the configured address"}


class NetworkReasons(ReasonSet):
    """The faults in the order in which a connection meets them."""

    HOST_UNRESOLVABLE = Reason(
        "HostUnresolvable",
        Status.FAIL,
        "The host name has no address in DNS.",
        message="{concerning}{host} does not resolve ({detail})",
        remedy="Correct the host in {source}, or fix its DNS record.",
        defaults=_SOURCE,
    )
    DNS_TIMEOUT = Reason(
        "DNSTimeout",
        Status.FAIL,
        "DNS did not answer within the time allowed.",
        message="{concerning}{host} was not resolved{within}: DNS does not answer",
        remedy="Check {dns} and the path to it.",
        defaults={
            **_CONCERNING,
            "within": "",
            "dns": "the cluster's DNS (kubectl get pods -n kube-system -l k8s-app=kube-dns)",
        },
    )
    CONNECTION_REFUSED = Reason(
        "ConnectionRefused",
        Status.FAIL,
        "Nothing listens on the port.",
        message="{concerning}{address} refused the connection: nothing listens there",
        remedy="Start the server, or correct the host and port in {source}.",
        defaults=_SOURCE,
    )
    HOST_UNREACHABLE = Reason(
        "HostUnreachable",
        Status.FAIL,
        "The network has no route to the address.",
        message="{concerning}{address} is unreachable ({detail})",
        remedy="Check routes, peering and firewalls between the cluster and {address}, or correct {source}.",
        defaults=_SOURCE,
    )
    CONNECTION_TIMEOUT = Reason(
        "ConnectionTimeout",
        Status.FAIL,
        "No answer arrived in time: packets are dropped (security group, firewall), or the server is hung.",
        message="{concerning}{address} did not answer within {time}",
        remedy="Check security groups, network policies and firewalls between the cluster and {address}, and that the "
        "server is not hung.",
        defaults={"concerning": "", "time": "the time allowed"},
    )
    CONNECTION_CLOSED = Reason(
        "ConnectionClosed",
        Status.FAIL,
        "The server closed the connection in the middle of the exchange.",
        message="{concerning}{address} closed the connection without an answer",
        remedy="Check the server's log, and any proxy or load balancer in front of {address}.",
        defaults=_CONCERNING,
    )
    SERVER_NOT_TLS = Reason(
        "ServerNotTLS",
        Status.FAIL,
        "The client starts TLS and the port is plain text.",
        message="{concerning}{address} does not speak TLS{proof}",
        remedy="{disable_tls}",
        defaults={
            "concerning": "",
            "proof": "",
            "disable_tls": "Enable TLS on the server, or configure the client without TLS.",
        },
    )
    TLS_REQUIRED = Reason(
        "TLSRequired",
        Status.FAIL,
        "The port speaks TLS and the client connects without it.",
        message="{concerning}{address} requires TLS, and the client is configured without it",
        remedy="{enable_tls}",
        defaults={"concerning": "", "enable_tls": "Configure the client to use TLS."},
    )
    TLS_UNTRUSTED = Reason(
        "TLSUntrusted",
        Status.FAIL,
        "The certificate is not signed by an authority that the client trusts.",
        message="{concerning}the certificate of {address} is not trusted ({detail})",
        remedy="{trust}",
        defaults={
            "concerning": "",
            "trust": "Use a certificate of a public authority, or add the authority to the client's trust store.",
        },
    )
    TLS_EXPIRED = Reason(
        "TLSExpired",
        Status.FAIL,
        "The certificate has expired.",
        message="{concerning}the certificate of {address} has expired",
        remedy="Renew the certificate of {address}.",
        defaults=_CONCERNING,
    )
    TLS_NOT_YET_VALID = Reason(
        "TLSNotYetValid",
        Status.FAIL,
        "The certificate is not valid yet: it begins later, or a clock is slow.",
        message="{concerning}the certificate of {address} is not valid yet",
        remedy="Compare the node's clock (date -u) with the time from which the certificate of {address} is valid; "
        "correct the clock, or reissue the certificate.",
        defaults=_CONCERNING,
    )
    TLS_WRONG_HOST = Reason(
        "TLSWrongHost",
        Status.FAIL,
        "The certificate is issued for other names.",
        message="{concerning}the certificate of {address} is not valid for {host}",
        remedy="Use a name from the certificate in {source}, or reissue it for {host}.",
        defaults=_SOURCE,
    )
    TLS_HANDSHAKE_FAILED = Reason(
        "TLSHandshakeFailed",
        Status.FAIL,
        "The TLS handshake failed: no common version or cipher, or the server requires a client certificate.",
        message="{concerning}the TLS handshake with {address} failed ({detail})",
        remedy="Check the server's log: it names the version, cipher or client certificate it requires.",
        defaults=_CONCERNING,
    )


class ReachReasons(ReasonSet):
    """What this process does not do, and what says nothing about the server."""

    ADDRESS_NOT_ALLOWED = Reason(
        "AddressNotAllowed",
        Status.ERROR,
        "The address is one that only the operator's own pod or its node reaches (loopback, link-local, the metadata "
        "of a cloud, a kubelet), so the operator does not connect to it.",
        message="{concerning}{host} is {kind}, to which the operator does not connect",
        remedy="Correct the host in {source}, or have an administrator add the address to probes.allowedAddresses of "
        "the operator's chart.",
        defaults={**_SOURCE, "kind": "an address of the operator's own pod or node"},
        page=SHARED_PAGE,
    )


_AWAY: Final = frozenset(
    reason.name
    for reason in (
        NetworkReasons.HOST_UNRESOLVABLE,
        NetworkReasons.CONNECTION_REFUSED,
        NetworkReasons.HOST_UNREACHABLE,
        NetworkReasons.CONNECTION_TIMEOUT,
        NetworkReasons.CONNECTION_CLOSED,
    )
)


def is_away(problem: Problem | None) -> bool:
    """Whether nothing answered where the server should be, so that it may come back there."""
    return problem is not None and problem.reason.name in _AWAY


class CertificateReasons(ReasonSet):
    """What is noticed about a connection that works."""

    TLS_EXPIRES_SOON = Reason(
        "TLSExpiresSoon",
        Status.WARN,
        "The certificate expires within 14 days.",
        message="{concerning}the certificate of {address} expires in {days}",
        remedy="Renew the certificate of {address}.",
        defaults=_CONCERNING,
    )
