"""What carries the requests of ``prometheus_api_client``: our own bounded exchange.

The library speaks the API; its own transport would retry without end, follow redirects with credentials, and read a
body of any size. A request of its session is therefore handed to the event loop, where one deadline bounds it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import requests
from prometheus_api_client import PrometheusConnect
from prometheus_api_client.exceptions import PrometheusApiClientException
from requests.adapters import BaseAdapter

from mehc_checks.clients.http.exchange import Response

_NO_RESULT: Final = (
    PrometheusApiClientException,
    requests.RequestException,
    KeyError,
    TypeError,
    ValueError,
    RecursionError,
)
"""The last two are of JSON with a number of very many digits, or very many levels."""


class NoResult(Exception):  # noqa: N818 - what it means is for the caller to tell
    """The answer has no query result: ``Transport.last`` has the answer."""


class _Session(requests.Session):
    """A session with one adapter for whatever it is asked; a .netrc or proxy of this process is none of KEDA's."""

    def __init__(self, transport: "Transport") -> None:
        super().__init__()
        self.trust_env = False
        self._transport = transport

    def get_adapter(self, url: str | bytes) -> BaseAdapter:
        return self._transport


class Transport(BaseAdapter):
    """Carries one query. ``ask`` takes the query part of its URL; it runs on ``loop``, and bounds itself.

    ``last`` is the answer, None where the library rejected the URL before it asked.
    """

    last: Response | None = None

    def __init__(self, ask: Callable[[str], Awaitable[Response]], loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._ask = ask
        self._loop = loop

    def query(self, url: str, promql: str, parameters: Mapping[str, str]) -> Any:
        """The ``result`` of an instant query. To be called in a thread; raises NoResult, and what ``ask`` raises."""
        with _Session(self) as session:
            client = PrometheusConnect(url=url, session=session)
            try:
                return client.custom_query(promql, params=dict(parameters))
            except _NO_RESULT:
                raise NoResult from None

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        """Carry ``request`` out on the event loop."""

        async def asked() -> Response:
            return await self._ask(urlsplit(request.url or "").query)

        self.last = last = asyncio.run_coroutine_threadsafe(asked(), self._loop).result()
        answer = requests.Response()
        answer.status_code = last.status
        answer.url = request.url or ""
        answer.request = request
        answer._content = last.body
        return answer

    def close(self) -> None:
        """Nothing is kept open."""
