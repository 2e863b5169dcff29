"""Which hosts mean something else, or nothing, to who asks from outside of their cluster."""

import ipaddress
from typing import Final

_CLUSTER_NAMES: Final = (".svc", ".local", ".internal", ".localhost")
"""How names end that public DNS does not have."""
_PUBLIC: Final = frozenset({"com", "edu", "gov", "io", "net", "org"})
"""Second parts of names of two, of which no namespace is expected: ghcr.io is public, redis.cache is a Service's."""


def only_inside(host: str) -> bool:
    """Whether ``host`` means another server, or none, outside of its cluster: a Service name, a private address."""
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        name = host.rstrip(".").lower()
        *_, parent, last = ("", *name.split("."))
        is_service = name.count(".") == 1 and last not in _PUBLIC
        return not parent or is_service or name.endswith(_CLUSTER_NAMES)


def is_loopback(host: str) -> bool:
    """Whether ``host``, by its text, is the machine that asks."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.rstrip(".").lower() == "localhost"
