"""How google-auth reaches the metadata server and Google's token services: without retries, and never for long.

It knows the metadata server by its own rules, not by anything that values name, and is the only one here to ask it.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import urllib3
from yarl import URL

from mehc_checks.clients.http.proxy import proxy_of
from mehc_checks.clients.network.connect import client_context

METADATA_SECONDS: Final = 2.0
"""To connect to the metadata server, which is on the node."""
_MOST: Final = 256 * 1024


class Refused(Exception):  # noqa: N818 - an answer, and no error of ours
    """``host`` answered with an error. It is none of google-auth's exceptions, which it would answer by retrying."""

    def __init__(self, host: str, status: int, body: bytes) -> None:
        super().__init__(f"{host} answered {status}")
        self.host, self.status, self.body = host, status, body


class Unanswered(Exception):  # noqa: N818
    """``host`` could not be asked. ``resolved`` is False where its name has no address."""

    def __init__(self, host: str, detail: str, *, resolved: bool) -> None:
        super().__init__(f"{host}: {detail}")
        self.host, self.detail, self.resolved = host, detail, resolved


@dataclass(frozen=True, slots=True)
class Answer:
    """As google-auth has it."""

    status: int
    headers: Mapping[str, str]
    data: bytes


class Transport:
    """A callable as google-auth's ``transport.Request``, for one token, within ``seconds`` in all.

    Raises Refused and Unanswered.
    """

    def __init__(self, seconds: float) -> None:
        self._until = time.monotonic() + seconds

    def __call__(
        self,
        url: str,
        method: str = "GET",
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
        **_: Any,
    ) -> Answer:
        host = urlsplit(url).netloc
        left = max(self._until - time.monotonic(), 0.1)
        connecting = min(left, METADATA_SECONDS) if url.startswith("http://") else left
        try:
            with _pool(url) as pool:
                answer = pool.request(
                    method,
                    url,
                    body=body,
                    headers=dict(headers or {}),
                    timeout=urllib3.Timeout(connect=connecting, read=connecting),
                    retries=False,
                    redirect=False,
                    preload_content=False,
                )
                data = answer.read(_MOST)
        except urllib3.exceptions.NameResolutionError:
            raise Unanswered(host, "its name does not resolve", resolved=False) from None
        except urllib3.exceptions.HTTPError as error:
            raise Unanswered(host, _words(error), resolved=True) from None
        if not 200 <= answer.status < 300:
            raise Refused(host, answer.status, data)
        return Answer(answer.status, answer.headers, data)


def _pool(url: str) -> urllib3.PoolManager:
    """With the environment's proxy for Google's services; none leads to the metadata server."""
    proxy = proxy_of(URL(url)) if url.startswith("https://") else None
    if proxy is None:
        return urllib3.PoolManager(ssl_context=client_context())
    login = urllib3.util.parse_url(proxy).auth
    headers = urllib3.make_headers(proxy_basic_auth=unquote(login)) if login else None
    return urllib3.ProxyManager(proxy, proxy_headers=headers, ssl_context=client_context())


def _words(error: urllib3.exceptions.HTTPError) -> str:
    if isinstance(error, urllib3.exceptions.TimeoutError):
        return "no answer in time"
    if isinstance(error, urllib3.exceptions.SSLError):
        return "TLS failed"
    if isinstance(error, urllib3.exceptions.NewConnectionError):
        return "no connection"
    return "the connection was closed"
