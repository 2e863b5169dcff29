"""The query API of Prometheus, asked as a client in Go asks it: each way of getting no usable answer has a reason."""

import asyncio
import ssl
from collections.abc import Iterable
from datetime import UTC, datetime
from http import HTTPStatus
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

from yarl import URL

from mehc_checks.clients.http import exchange as http
from mehc_checks.clients.http.exchange import Response
from mehc_checks.clients.network import connect as net
from mehc_checks.clients.network.connect import NetworkProblem
from mehc_checks.clients.network.reach import kind_of
from mehc_checks.clients.network.reasons import ReachReasons
from mehc_checks.clients.prometheus.answer import Answer, Element
from mehc_checks.clients.prometheus.reasons import PrometheusApiReasons
from mehc_checks.clients.prometheus.transport import NoResult, Transport
from mehc_checks.core.deadline import Allowance
from mehc_checks.core.errors import Problem
from mehc_checks.core.threads import Threads

_MOST_BYTES: Final = 4 * 1024 * 1024
_SAID: Final = 1024
"""Bytes of an error's body that are read for what it says."""
_MOST_REDIRECTS: Final = 9
"""Go's HTTP client stops at the tenth."""
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_PREFIXES: Final = ("", "/prometheus", "/prom", "/select/0/prometheus")
"""Where Prometheus and what has its API usually live."""
_ERROR_TYPES: Final = frozenset({"bad_data", "execution", "timeout", "canceled", "internal", "unavailable"})
_SECOND_LOOK: Final = 1 / 8
"""Of the time for all queries: what a second look may take even where that time is over."""


R = PrometheusApiReasons
_READERS: Final = Threads("reading answers of Prometheus", 2)
"""An answer may have megabytes; no thread waits for a server."""


class Prometheus:
    """The server whose API is below ``url``. ``timeout``: seconds for all queries, from now on."""

    def __init__(self, url: str, *, tls: ssl.SSLContext | None = None, timeout: float) -> None:
        self._url = url
        self._tls = tls
        self._host, self._port = http.address(url)
        self._timeout = timeout
        self._allowance = Allowance(timeout)
        parts = urlsplit(url)
        self._plain = parts.scheme == "http"
        self._login = parts.username is not None
        bare = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
        self._words = {"address": f"{self._host}:{self._port}", "url": bare.rstrip("/")}

    async def query(self, promql: str, at: datetime) -> Answer:
        """The answer to an instant query at ``at``. Raises Problem: one of ``PrometheusApiReasons``."""
        moment = at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        asked = Allowance(self._timeout)
        transport = Transport()
        parameters = {"time": moment}
        try:
            words = transport.asks(self._url, promql, parameters)
            transport.last = await self._followed(f"{self._url}/api/v1/query?{words}")
            result = await _READERS.run(
                transport.result, self._url, promql, parameters, seconds=self._timeout
            )
        except NetworkProblem as problem:
            raise await self._clarified(problem) from None
        except NoResult:
            if transport.last is None:
                raise self._not_prometheus("its address is not a URL that HTTP clients accept") from None
            answer = transport.last.json()
            data = answer.get("data") if isinstance(answer, dict) else None
            if not (transport.last.ok and isinstance(data, dict)):
                raise await self._refused(transport.last, answer) from None
            result = data.get("result")
        return Answer(elements=self._elements(result), seconds=asked.spent)

    async def _followed(self, url: str) -> Response:
        """The answer, after redirects: as in Go, user and password go along with a relative one only."""
        for _ in range(_MOST_REDIRECTS + 1):
            left = self._allowance.left
            if left <= 0:
                raise NetworkProblem(R.CONNECTION_TIMEOUT, self._host, self._port)
            try:
                response = await http.get(url, tls=self._tls, timeout=left, most=_MOST_BYTES)
                if response.status not in _REDIRECTS or not (location := response.headers.get("Location")):
                    return response
                url = str(URL(url, encoded=True).join(URL(location)))
                await self._require_elsewhere(url)
            except ValueError:
                raise self._not_prometheus("it redirects to something that is not a URL") from None
        raise self._not_prometheus("it redirects endlessly")

    async def _require_elsewhere(self, url: str) -> None:
        """Raise where a redirect leads to what only this pod, or its node, has: its metadata, its own ports.

        KEDA's pod would come to other servers there.
        """
        host, port = http.address(url)
        if host == self._host:
            return
        try:
            places = await net.resolve(host, port, timeout=self._rest)
        except NetworkProblem as problem:
            if problem.reason is not ReachReasons.ADDRESS_NOT_ALLOWED:
                raise
            places = []
        if not places or any(kind_of(ip_address(place)) for place in places):
            raise self._not_prometheus(f"it redirects to {host}, which is another server for each pod")

    def _elements(self, result: Any) -> tuple[Element, ...]:
        """The vector, read as KEDA reads it."""
        try:
            return tuple(
                Element(
                    labels={str(key): str(text) for key, text in item["metric"].items()},
                    value=float(item["value"][1]),
                )
                for item in result
            )
        except (TypeError, KeyError, IndexError, ValueError, AttributeError):
            raise Problem(R.ANSWER_UNUSABLE, **self._words, detail="not a vector of numbers") from None

    async def _refused(self, response: Response, answer: Any) -> Problem:
        """What an answer without a result means."""
        status, words = response.status, self._words
        kind = _error_type(answer)
        if not response.complete:
            return self._not_prometheus(f"its answer is larger than {_MOST_BYTES >> 20} MiB")
        if status == HTTPStatus.UNAUTHORIZED and b"no org id" in response.body[:_SAID]:
            return Problem(R.TENANT_REQUIRED, **words)
        if status == HTTPStatus.UNAUTHORIZED:
            return Problem(R.CREDENTIALS_REJECTED if self._login else R.CREDENTIALS_REQUIRED, **words)
        if status == HTTPStatus.FORBIDDEN:
            return Problem(R.ACCESS_DENIED, **words)
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.TOO_MANY_REQUESTS:
            return Problem(R.SERVER_ERROR, **words, code=status, kind=f" ({kind})" if kind else "")
        if kind and b"unavailable with Prometheus Agent" in response.body[:_SAID]:
            return Problem(R.AGENT_MODE, **words)
        if kind and not response.ok:
            return Problem(R.QUERY_REJECTED, **words, code=status, kind=kind)
        if status == HTTPStatus.BAD_REQUEST and await self._speaks_tls():
            return NetworkProblem(R.TLS_REQUIRED, self._host, self._port)
        return await self._identified(status)

    async def _clarified(self, problem: NetworkProblem) -> Problem:
        """``problem``, unless a second look finds out more: a port with TLS, a query that only takes long."""
        if problem.reason in (R.CONNECTION_CLOSED, R.SERVER_NOT_HTTP) and await self._speaks_tls():
            return NetworkProblem(R.TLS_REQUIRED, self._host, self._port)
        if problem.reason is R.CONNECTION_TIMEOUT:
            try:
                await http.get(self._at("/-/ready"), tls=self._tls, timeout=self._rest, most=0)
            except NetworkProblem:
                words = {"time": f"{self._timeout:.3g} s"}
                return NetworkProblem(R.CONNECTION_TIMEOUT, self._host, self._port, **words)
            return Problem(R.QUERY_TIMEOUT, **self._words, seconds=f"{self._timeout:.3g}")
        return problem

    async def _speaks_tls(self) -> bool:
        """Whether a port that is addressed without TLS has it."""
        if not self._plain:
            return False
        tls = net.client_context(verify=False)
        try:
            await net.handshake(self._host, self._port, tls, timeout=self._rest)
        except NetworkProblem:
            return False
        return True

    async def _identified(self, status: int) -> Problem:
        """Who answers where no Prometheus does, or where it does."""
        own = urlsplit(self._url).path.rstrip("/")
        bases = tuple(dict.fromkeys((own, "")))
        builds, healths, statuses = await asyncio.gather(
            self._json_at(f"{prefix}/api/v1/status/buildinfo" for prefix in _PREFIXES),
            self._json_at(f"{base}/api/health" for base in bases),
            self._json_at(f"{base}/api/v2/status" for base in bases),
        )
        for prefix, build in zip(_PREFIXES, builds, strict=True):
            if build.get("status") == "success" and prefix != own:
                detail = f"Prometheus answers below path {prefix or '/'}"
                return Problem(R.PATH_NOT_FOUND, **self._words, detail=detail)
        if any("database" in health for health in healths):
            return self._not_prometheus("it is Grafana")
        if any("versionInfo" in answer for answer in statuses):
            return self._not_prometheus("it is Alertmanager")
        if status == HTTPStatus.NOT_FOUND:
            return Problem(R.PATH_NOT_FOUND, **self._words, detail="HTTP 404")
        without = " without a query result" if status < HTTPStatus.MULTIPLE_CHOICES else ""
        return self._not_prometheus(f"it returned HTTP {status}{without}")

    async def _json_at(self, paths: Iterable[str]) -> list[dict[str, Any]]:
        """The JSON objects at ``paths`` of the server, empty where there is none."""

        async def one(path: str) -> dict[str, Any]:
            try:
                response = await http.get(self._at(path), tls=self._tls, timeout=self._rest)
            except NetworkProblem:
                return {}
            answer = response.json() if response.ok else None
            return answer if isinstance(answer, dict) else {}

        return list(await asyncio.gather(*map(one, paths)))

    @property
    def _rest(self) -> float:
        """Seconds for a second look."""
        return max(self._allowance.left, self._timeout * _SECOND_LOOK)

    def _at(self, path: str) -> str:
        parts = urlsplit(self._url)
        return urlunsplit((parts.scheme, parts.netloc, path, "", ""))

    def _not_prometheus(self, detail: str) -> Problem:
        return Problem(R.NOT_PROMETHEUS, **self._words, detail=detail)


def _error_type(answer: Any) -> str:
    """The ``errorType`` of Prometheus' own error answer, or ""."""
    if not isinstance(answer, dict) or answer.get("status") != "error":
        return ""
    kind = answer.get("errorType")
    return kind if kind in _ERROR_TYPES else ""
