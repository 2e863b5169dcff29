"""The proxy that the environment of this process names."""

from urllib.request import (  # type: ignore[attr-defined]
    getproxies_environment,
    proxy_bypass_environment,
)

from yarl import URL


def proxy_of(url: URL) -> str | None:
    """The proxy that the environment names for ``url``; not aiohttp's own reading of it, which opens ~/.netrc."""
    proxies = getproxies_environment()
    if proxy_bypass_environment(f"{url.host}:{url.port}", proxies):
        return None
    return proxies.get(url.scheme)
