"""Which addresses this process may connect to, held where a connection is opened and not by the text of a name.

Values name the servers that are probed, and in a cluster whoever may write a ModelEngineHealthCheck writes values. What
they must not reach through the operator's pod is what only that pod and its node reach: their loopback, link-local
addresses, where clouds keep the identities of machines, and the kubelet. A command that a user runs has no such limits:
it reaches what its user reaches.
"""

import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, Final

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

METADATA: Final = frozenset(
    map(
        ip_address,
        (
            "169.254.169.254",
            "169.254.170.2",  # tasks of ECS
            "169.254.170.23",  # pod identities of EKS
            "fd00:ec2::254",
            "fd00:ec2::23",
            "fd20:ce::254",  # Google Cloud
            "168.63.129.16",  # Azure's wire server
            "100.100.100.200",  # Alibaba Cloud
            "192.0.0.192",  # Oracle Cloud
        ),
    )
)
"""Where machines and pods get their identities."""
METADATA_NAMES: Final = frozenset({"metadata.google.internal", "metadata", "instance-data"})
"""Names that a proxy would resolve for us."""
LOOPBACK: Final[tuple[Network, ...]] = (ip_network("127.0.0.0/8"), ip_network("::1"))
KUBELET_PORTS: Final = frozenset({10250, 10255})
_NAT64: Final = IPv6Network("64:ff9b::/96")


class NotAllowed(OSError):  # noqa: N818 - as ConnectionRefusedError, but ours
    """A connection was not opened. ``kind`` says what the address is, in words."""

    def __init__(self, address: str, kind: str) -> None:
        super().__init__(f"{address} is {kind}")
        self.kind = kind


@dataclass(frozen=True, kw_only=True, slots=True)
class Reach:
    """``restricted``: as the operator is. ``allowed`` are networks that its administrator allows after all.

    ``insecure`` are registries, ``host[:port]``, that may be asked over plain HTTP. ``trusted`` are the namespaces
    whose resources' values are as an administrator's, by patterns: "ml-*".
    """

    restricted: bool = False
    allowed: tuple[Network, ...] = ()
    insecure: frozenset[str] = frozenset()
    trusted: frozenset[str] = frozenset()

    def trusts(self, namespace: str) -> bool:
        """Whether the values of ``namespace`` may name what is used by this process's own rights."""
        return not self.restricted or any(fnmatchcase(namespace, pattern) for pattern in self.trusted)

    def refusal(self, address: str, port: int) -> str:
        """What keeps this process from connecting to an IP address, in words; "" for nothing."""
        if not self.restricted:
            return ""
        found = _plain(ip_address(address))
        if any(found in network for network in self.allowed if network.version == found.version):
            return ""
        return kind_of(found) or ("a kubelet's port" if port in KUBELET_PORTS else "")


_current = Reach()


def current() -> Reach:
    """What this process may reach."""
    return _current


def use(reach: Reach) -> None:
    """From now on ``reach`` holds for this process."""
    global _current
    _current = reach


@contextmanager
def using(reach: Reach) -> Iterator[None]:
    """``reach`` holds within the block."""
    before = current()
    use(reach)
    try:
        yield
    finally:
        use(before)


def networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Networks by CIDR, or single addresses. Raises ValueError."""
    return tuple(ip_network(text) for text in texts)


def kind_of(address: Address) -> str:
    """What is special about ``address``, in words; "" for an address that is the same server for all of a network."""
    address = _plain(address)
    if address in METADATA:
        return "the metadata address of a cloud"
    if address.is_loopback:
        return "a loopback address"
    if address.is_link_local:
        return "a link-local address"
    if address.is_unspecified or (address.version == 4 and address in IPv4Network("0.0.0.0/8")):
        return "no server's address"
    if address.is_multicast or address == IPv4Address("255.255.255.255"):
        return "a multicast address"
    return ""


def permitted(addresses: Iterable[str], port: int) -> list[str]:
    """Those of ``addresses`` that this process may connect to. Raises NotAllowed where there is none of them."""
    kept, refused = [], None
    for address in addresses:
        if kind := _current.refusal(address, port):
            refused = refused or NotAllowed(address, kind)
        else:
            kept.append(address)
    if refused and not kept:
        raise refused
    return kept


def socket_of(info: Any) -> socket.socket:
    """A socket for an address as getaddrinfo has it: what aiohttp calls before it connects. Raises NotAllowed."""
    family, kind, protocol, _, place = info
    permitted([place[0]], place[1])
    return socket.socket(family=family, type=kind, proto=protocol)


def named(host: str, port: int) -> None:
    """Raises NotAllowed for a host that a proxy is asked for, as far as its text tells."""
    if not _current.restricted:
        return
    bare = host.rstrip(".").lower()
    if address := _literal(bare):
        permitted([address], port)
    elif bare in METADATA_NAMES:
        raise NotAllowed(host, "the metadata address of a cloud")
    elif bare == "localhost" or bare.endswith(".localhost"):
        permitted(["127.0.0.1"], port)


def _literal(host: str) -> str:
    """The address that ``host`` is, also as only resolvers read it (2852039166, 0xa9.254.43518); "" for a name."""
    try:
        return str(ip_address(host.strip("[]")))
    except ValueError:
        try:
            return socket.inet_ntoa(socket.inet_aton(host))
        except OSError:
            return ""


def _plain(address: Address) -> Address:
    """The IPv4 address inside an IPv6 address that leads to it."""
    if isinstance(address, IPv4Address):
        return address
    if address.ipv4_mapped:
        return address.ipv4_mapped
    if address.sixtofour:
        return address.sixtofour
    if address in _NAT64 or (int(address) >> 32 == 0 and int(address) > 1):
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address
