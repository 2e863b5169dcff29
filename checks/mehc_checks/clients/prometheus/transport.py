"""What carries the requests of ``prometheus_api_client``: our own bounded exchange.

The library speaks the API; its own transport would retry without end, follow redirects with credentials, and read a
body of any size. A request of its session is therefore carried out by the event loop, where one deadline bounds it.
"""

from collections.abc import Mapping
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


class _Asked(Exception):  # noqa: N818 - an answer, not an accident
    def __init__(self, query: str) -> None:
        super().__init__()
        self.query = query


class _Session(requests.Session):
    """A session with one adapter for whatever it is asked; a .netrc or proxy of this process is none of KEDA's."""

    def __init__(self, transport: "Transport") -> None:
        super().__init__()
        self.trust_env = False
        self._transport = transport

    def get_adapter(self, url: str | bytes) -> BaseAdapter:
        return self._transport


class Transport(BaseAdapter):
    """Carries one query in two steps, so that no thread waits for a server: what ``asks`` has the library ask, the
    caller asks in its place and puts into ``last``; ``result`` is what the library makes of that.

    ``last`` is None where the library rejected the URL before it asked.
    """

    last: Response | None = None

    def asks(self, url: str, promql: str, parameters: Mapping[str, str]) -> str:
        """The query part of the URL of an instant query. Raises NoResult."""
        try:
            self.result(url, promql, parameters)
        except _Asked as asked:
            return asked.query
        raise NoResult

    def result(self, url: str, promql: str, parameters: Mapping[str, str]) -> Any:
        """The ``result`` of the query in ``last``. Raises NoResult."""
        with _Session(self) as session:
            client = PrometheusConnect(url=url, session=session)
            try:
                return client.custom_query(promql, params=dict(parameters))
            except _NO_RESULT:
                raise NoResult from None

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        """Answer ``request`` by ``last``. Raises _Asked while there is none."""
        if self.last is None:
            raise _Asked(urlsplit(request.url or "").query)
        answer = requests.Response()
        answer.status_code = self.last.status
        answer.url = request.url or ""
        answer.request = request
        answer._content = self.last.body
        return answer

    def close(self) -> None:
        """Nothing is kept open."""
