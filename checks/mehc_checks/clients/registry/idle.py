"""Holds a connection to a registry."""

from collections.abc import Iterator

from yarl import URL

from mehc_checks.clients.http.proxy import proxy_of
from mehc_checks.clients.network import idle
from mehc_checks.clients.registry.exchange import Access
from mehc_checks.core.wire import Kind, Wire


def wires(host: str, access: Access) -> Iterator[Wire]:
    """A connection to the registry ``host[:port]``; none where a proxy is between."""
    tls = not access.plain_allowed(host)
    url = URL(f"{'https' if tls else 'http'}://{host}")
    if url.host and url.port and proxy_of(url) is None:
        yield idle.wire(Kind.REGISTRY, url.host, url.port, tls=tls)
