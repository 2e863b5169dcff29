"""The query API of Prometheus, asked as a client in Go asks it: each way of getting no usable answer has a reason."""

import asyncio
import ssl
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlencode, urlsplit, urlunsplit

from yarl import URL

from mehc_checks.clients import http
from mehc_checks.clients.http import HttpReasons, Response
from mehc_checks.clients.network import connect as net
from mehc_checks.clients.network.connect import NetworkProblem
from mehc_checks.core.errors import Problem
from mehc_checks.core.outcome import Reason, Status

_MOST_BYTES: Final = 4 * 1024 * 1024
_MOST_REDIRECTS: Final = 9
"""Go's HTTP client stops at the tenth."""
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_PREFIXES: Final = ("", "/prometheus", "/prom", "/select/0/prometheus")
"""Where Prometheus and what has its API usually live."""
_ERROR_TYPES: Final = frozenset({"bad_data", "execution", "timeout", "canceled", "internal", "unavailable"})
_SECOND_LOOK: Final = 1 / 8
"""Of the time for all queries: what a second look may take even where that time is over."""
_SOURCE: Final = {"source": "the configured address"}


class PrometheusApiReasons(HttpReasons):
    """What a client of the API can find.

    A check narrows the words: ``source`` is what names the address, ``client`` who asks.
    """

    CREDENTIALS_REQUIRED = Reason(
        "CredentialsRequired",
        Status.FAIL,
        "Prometheus, or a proxy in front of it, requires credentials, and the address contains none.",
        message="{address} requires credentials (HTTP 401)",
        remedy="Set {source} to an address that requires no credentials, or to one that contains them: "
        "http://USER:PASSWORD@HOST:PORT.",
        defaults=_SOURCE,
    )
    CREDENTIALS_REJECTED = Reason(
        "CredentialsRejected",
        Status.FAIL,
        "The user or the password in the address is wrong.",
        message="{address} rejected the user and password in the address (HTTP 401)",
        remedy="Correct the user and password in {source}.",
        defaults=_SOURCE,
    )
    ACCESS_DENIED = Reason(
        "AccessDenied",
        Status.FAIL,
        "An authorization policy or a proxy in front of Prometheus denies access.",
        message="{address} denied access (HTTP 403)",
        remedy="Allow {client} in the authorization policy or proxy in front of Prometheus.",
        defaults={"client": "the client"},
    )
    PATH_NOT_FOUND = Reason(
        "PathNotFound",
        Status.FAIL,
        "The query API does not exist below the address: a path prefix is missing, wrong or superfluous.",
        message="{url}/api/v1/query does not exist ({detail})",
        remedy="Correct the path in {source}: it must be the --web.route-prefix of Prometheus (by default the path of "
        "its --web.external-url).",
        defaults=_SOURCE,
    )
    NOT_PROMETHEUS = Reason(
        "NotPrometheus",
        Status.FAIL,
        "Another program answers: a web page, a login portal, Grafana, Alertmanager.",
        message="{address} is not Prometheus: {detail}",
        remedy="Set {source} to the host and port of Prometheus itself.",
        defaults=_SOURCE,
    )
    QUERY_REJECTED = Reason(
        "QueryRejected",
        Status.FAIL,
        "Prometheus rejects the query, usually because it loads more samples than --query.max-samples.",
        message="{address} rejected the query (HTTP {code}, {kind})",
        remedy="Check the log of Prometheus; if the limit of samples is exceeded, raise --query.max-samples or scrape "
        "fewer series.",
    )
    QUERY_TIMEOUT = Reason(
        "QueryTimeout",
        Status.FAIL,
        "Prometheus answers, but does not finish the query in time.",
        message="{address} answers, but did not finish the query within {seconds} s",
        remedy="Give Prometheus more memory and CPU, or scrape fewer series.",
    )
    SERVER_ERROR = Reason(
        "HTTPServerError",
        Status.FAIL,
        "Prometheus, or a proxy in front of it, returns 5xx or 429.",
        message="{address} returned HTTP {code}{kind}",
        remedy="Check the pods and the log of Prometheus: it is starting, overloaded or rate-limited.",
        defaults={"kind": ""},
    )
    ANSWER_UNUSABLE = Reason(
        "AnswerUnusable",
        Status.FAIL,
        "The result is not a vector of at most one number; KEDA accepts nothing else.",
        message="{address} returned an unusable result: {detail}",
        remedy="Set {source} to one Prometheus, not to a proxy that merges several without adding them up.",
        defaults=_SOURCE,
    )


R = PrometheusApiReasons


@dataclass(frozen=True, kw_only=True, slots=True)
class Element:
    """One element of an instant vector. ``value`` is as Go parses it: NaN and infinities included."""

    labels: Mapping[str, str]
    value: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """An instant vector, and the seconds from sending the request to the last byte."""

    elements: tuple[Element, ...]
    seconds: float


class Prometheus:
    """The server whose API is below ``url``. ``timeout``: seconds for all queries, from now on."""

    def __init__(self, url: str, *, tls: ssl.SSLContext | None = None, timeout: float) -> None:
        self._url = url
        self._tls = tls
        self._host, self._port = http.address(url)
        self._timeout = timeout
        self._deadline = time.monotonic() + timeout
        parts = urlsplit(url)
        self._plain = parts.scheme == "http"
        self._login = parts.username is not None
        bare = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
        self._words = {"address": f"{self._host}:{self._port}", "url": bare.rstrip("/")}

    async def query(self, promql: str, at: datetime) -> Answer:
        """The answer to an instant query at ``at``. Raises Problem: one of ``PrometheusApiReasons``."""
        moment = at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        began = time.monotonic()
        target = f"{self._url}/api/v1/query?{urlencode({'query': promql, 'time': moment})}"
        try:
            response = await self._followed(target)
        except NetworkProblem as problem:
            raise await self._clarified(problem) from None
        answer = response.json()
        if response.ok and isinstance(answer, dict) and isinstance(data := answer.get("data"), dict):
            return Answer(elements=self._elements(data.get("result")), seconds=time.monotonic() - began)
        raise await self._refused(response, answer)

    async def _followed(self, url: str) -> Response:
        """The answer, after redirects: as in Go, user and password go along with a relative one only."""
        for _ in range(_MOST_REDIRECTS + 1):
            left = self._deadline - time.monotonic()
            if left <= 0:
                raise NetworkProblem(R.CONNECTION_TIMEOUT, self._host, self._port)
            try:
                response = await http.get(url, tls=self._tls, timeout=left, most=_MOST_BYTES)
                if response.status not in _REDIRECTS or not (location := response.headers.get("Location")):
                    return response
                url = str(URL(url, encoded=True).join(URL(location)))
            except ValueError:
                raise self._not_prometheus("it redirects to something that is not a URL") from None
        raise self._not_prometheus("it redirects endlessly")

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
        if status == HTTPStatus.UNAUTHORIZED:
            return Problem(R.CREDENTIALS_REJECTED if self._login else R.CREDENTIALS_REQUIRED, **words)
        if status == HTTPStatus.FORBIDDEN:
            return Problem(R.ACCESS_DENIED, **words)
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.TOO_MANY_REQUESTS:
            return Problem(R.SERVER_ERROR, **words, code=status, kind=f" ({kind})" if kind else "")
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
                words = {"seconds": f"{self._timeout:.3g}"}
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
        return max(self._deadline - time.monotonic(), self._timeout * _SECOND_LOOK)

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
