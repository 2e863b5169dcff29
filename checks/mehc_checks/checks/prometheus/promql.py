"""One PromQL query, asked as KEDA asks it, each way of getting no usable answer by its own name."""

import asyncio
import io
import json
import ssl
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from http import HTTPStatus
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit, urlunsplit

import requests
import urllib3.exceptions
from prometheus_api_client import PrometheusConnect
from prometheus_api_client.exceptions import PrometheusApiClientException
from requests.adapters import HTTPAdapter
from urllib3.util.retry import Retry

from mehc_checks.clients.network import connect as net
from mehc_checks.clients.network.connect import NetworkProblem
from mehc_checks.clients.network.reasons import NetworkReasons as N
from mehc_checks.modelengine.scaling import ServerAddress

T = TypeVar("T")

_WORKERS = ThreadPoolExecutor(max_workers=32, thread_name_prefix="prometheus")
"""The client blocks: kept apart, so that slow servers starve nothing else."""

_MOST_BYTES: Final = 4 * 1024 * 1024
_MOST_REDIRECTS: Final = 9
"""Go's HTTP client stops at the tenth."""
_NO_RETRIES: Final = Retry(total=0, read=False)
"""``read=False`` lets the cause of a broken conversation through as it is."""
_PREFIXES: Final = ("", "/prometheus", "/prom", "/select/0/prometheus")
"""Where Prometheus and what speaks its protocol usually live."""
_ERROR_TYPES: Final = frozenset({"bad_data", "execution", "timeout", "canceled", "internal", "unavailable"})


class Trouble(StrEnum):
    """Why there is no usable answer; each is a reason of the check."""

    HOST_UNRESOLVABLE = "host unresolvable"
    CONNECTION_REFUSED = "connection refused"
    NO_ANSWER = "no answer"
    CONNECTION_FAILED = "connection failed"
    TLS_UNTRUSTED = "tls untrusted"
    TLS_EXPIRED = "tls expired"
    TLS_WRONG_HOST = "tls wrong host"
    TLS_FAILED = "tls failed"
    TLS_NOT_SPOKEN = "tls not spoken"
    TLS_REQUIRED = "tls required"
    CREDENTIALS_REQUIRED = "credentials required"
    ACCESS_DENIED = "access denied"
    PATH_NOT_FOUND = "path not found"
    NOT_PROMETHEUS = "not prometheus"
    QUERY_REJECTED = "query rejected"
    SERVER_ERROR = "server error"
    ANSWER_UNUSABLE = "answer unusable"
    TOO_SLOW = "too slow"


_OF_FAULT: Final = {
    N.HOST_UNRESOLVABLE: Trouble.HOST_UNRESOLVABLE,
    N.CONNECTION_REFUSED: Trouble.CONNECTION_REFUSED,
    N.CONNECTION_TIMEOUT: Trouble.NO_ANSWER,
    N.HOST_UNREACHABLE: Trouble.CONNECTION_FAILED,
    N.CONNECTION_CLOSED: Trouble.CONNECTION_FAILED,
    N.SERVER_NOT_TLS: Trouble.TLS_NOT_SPOKEN,
    N.TLS_UNTRUSTED: Trouble.TLS_UNTRUSTED,
    N.TLS_EXPIRED: Trouble.TLS_EXPIRED,
    N.TLS_WRONG_HOST: Trouble.TLS_WRONG_HOST,
    N.TLS_HANDSHAKE_FAILED: Trouble.TLS_FAILED,
}


class PrometheusFailure(Exception):  # noqa: N818
    """There is no usable answer. ``str()`` is one line that names the address and echoes nothing of the answer."""

    def __init__(self, trouble: Trouble, detail: str) -> None:
        super().__init__(detail)
        self.trouble = trouble


@dataclass(frozen=True, kw_only=True, slots=True)
class Element:
    """One element of an instant vector. ``value`` is as KEDA parses it: NaN and infinities included."""

    labels: Mapping[str, str]
    value: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """An instant vector, and the seconds from sending the request to the last byte."""

    elements: tuple[Element, ...]
    seconds: float


class Prometheus:
    """The server at ``address``. ``tls`` says whom to trust; ``timeout`` is in seconds, for each request."""

    def __init__(self, address: ServerAddress, *, tls: ssl.SSLContext, timeout: float) -> None:
        self._address = address
        self._tls = tls
        self._timeout = timeout
        self._where = f"{address.host}:{address.port}"

    async def reach(self) -> None:
        """Resolve and connect, without taking a worker thread. Raises PrometheusFailure."""
        try:
            await net.connect(self._address.host, self._address.port, timeout=self._timeout)
        except NetworkProblem as failure:
            raise _failure(failure) from None

    async def query(self, promql: str, at: datetime) -> Answer:
        """The answer to an instant query at ``at``. Raises PrometheusFailure."""
        try:
            return await self._in_thread(self._query, promql, at)
        except _Unclear as unclear:
            trouble, detail = await self._clarify(unclear)
            raise PrometheusFailure(trouble, detail) from None

    async def _in_thread(self, call: Callable[..., T], *arguments: Any) -> T:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._timeout + 0.2):
                return await loop.run_in_executor(_WORKERS, call, *arguments)
        except TimeoutError:
            raise self._late() from None

    def _late(self) -> PrometheusFailure:
        return PrometheusFailure(
            Trouble.TOO_SLOW,
            f"{self._where} accepts connections and did not answer within {self._timeout:g} s",
        )

    def _query(self, promql: str, at: datetime) -> Answer:
        adapter = _Adapter(self._tls, self._timeout)
        began = time.monotonic()
        with _session(adapter) as session:
            client = PrometheusConnect(
                url=self._address.given, session=session, retry=_NO_RETRIES, timeout=self._timeout
            )
            session.mount(self._address.given, adapter)  # over the client's own, which is unbounded
            moment = at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            try:
                result = client.custom_query(promql, params={"time": moment})
            except requests.exceptions.TooManyRedirects:
                raise PrometheusFailure(
                    Trouble.NOT_PROMETHEUS, f"{self._where} redirects without end"
                ) from None
            except PrometheusApiClientException:
                raise self._refused(adapter.last) from None
            except (requests.exceptions.JSONDecodeError, KeyError, TypeError):
                raise _Unclear(adapter.last.status_code, "answers 200 with something else") from None
            except requests.exceptions.RequestException as error:
                raise self._broken(error) from None
        return Answer(elements=self._elements(result), seconds=time.monotonic() - began)

    def _elements(self, result: Any) -> tuple[Element, ...]:
        """The vector, read as KEDA reads it."""
        elements = []
        found: list[Any] = result if isinstance(result, list) else [None]
        for item in found:
            try:
                labels = {str(key): str(text) for key, text in item["metric"].items()}
                elements.append(Element(labels=labels, value=float(item["value"][1])))
            except (TypeError, KeyError, IndexError, ValueError, AttributeError):
                raise PrometheusFailure(
                    Trouble.ANSWER_UNUSABLE,
                    f"{self._where} answers with something else than a vector of numbers",
                ) from None
        return tuple(elements)

    def _refused(self, response: requests.Response) -> Exception:
        """What an answer other than 200 means."""
        status, where = response.status_code, self._where
        if status == HTTPStatus.UNAUTHORIZED:
            who = (
                "rejects the user and password in the address" if self._address.login else "wants credentials"
            )
            return PrometheusFailure(Trouble.CREDENTIALS_REQUIRED, f"{where} {who} (HTTP 401)")
        if status == HTTPStatus.FORBIDDEN:
            return PrometheusFailure(Trouble.ACCESS_DENIED, f"{where} denies access (HTTP 403)")
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.TOO_MANY_REQUESTS:
            return PrometheusFailure(Trouble.SERVER_ERROR, f"{where} answers HTTP {status}")
        kind = _error_type(response)
        if kind:
            return PrometheusFailure(
                Trouble.QUERY_REJECTED, f"{where} rejects the query (HTTP {status}, {kind})"
            )
        return _Unclear(status, f"answers HTTP {status}")

    def _broken(self, error: requests.exceptions.RequestException) -> Exception:
        """What a conversation that broke off means."""
        if isinstance(error, requests.exceptions.ConnectTimeout):
            return PrometheusFailure(
                Trouble.NO_ANSWER, f"{self._where} did not answer within {self._timeout:g} s"
            )
        if isinstance(error, requests.exceptions.Timeout):
            return self._late()
        if isinstance(error, _TooLarge):
            return PrometheusFailure(
                Trouble.NOT_PROMETHEUS, f"{self._where} answers with more than {_MOST_BYTES} bytes"
            )
        if isinstance(error, requests.exceptions.ContentDecodingError):
            return PrometheusFailure(
                Trouble.NOT_PROMETHEUS, f"{self._where} sends a body that cannot be unpacked"
            )
        failure = net.classify(error, self._address.host, self._address.port)
        if failure.reason is N.CONNECTION_TIMEOUT:  # connected, and a read ran out of time
            return self._late()
        if failure.reason in (N.CONNECTION_CLOSED, N.HOST_UNREACHABLE):
            return _Unclear(0, "does not answer in HTTP", failure)
        return _failure(failure)

    async def _clarify(self, unclear: "_Unclear") -> tuple[Trouble, str]:
        """Find out who gave an answer that is none of Prometheus: a port with TLS, another path, another program."""
        where = self._where
        if (
            not self._address.tls
            and unclear.status in (0, HTTPStatus.BAD_REQUEST)
            and await self._speaks_tls()
        ):
            return Trouble.TLS_REQUIRED, f"{where} speaks TLS, and the address begins with http://"
        if unclear.failure is not None:
            if unclear.failure.reason is N.CONNECTION_CLOSED:
                return Trouble.CONNECTION_FAILED, str(unclear.failure)
            return Trouble.NOT_PROMETHEUS, f"{where} {unclear.what}"
        try:
            who, prefix = await self._in_thread(self._identify)
        except PrometheusFailure:
            who, prefix = "", None
        own = urlsplit(self._address.given).path.rstrip("/")
        if prefix is not None and prefix != own:
            there = f"Prometheus answers at path {prefix or '/'}"
            return Trouble.PATH_NOT_FOUND, f"{self._address.shown} {unclear.what}; {there}"
        if who:
            return Trouble.NOT_PROMETHEUS, f"{where} is {who}, not Prometheus"
        if unclear.status == HTTPStatus.NOT_FOUND:
            return Trouble.PATH_NOT_FOUND, f"{self._address.shown}/api/v1/query does not exist (HTTP 404)"
        return Trouble.NOT_PROMETHEUS, f"{where} {unclear.what}; that is not Prometheus"

    async def _speaks_tls(self) -> bool:
        try:
            await net.handshake(self._address.host, self._address.port, self._tls, timeout=self._timeout)
        except NetworkProblem as failure:
            return failure.reason in (N.TLS_UNTRUSTED, N.TLS_EXPIRED, N.TLS_WRONG_HOST)
        return True

    def _identify(self) -> tuple[str, str | None]:
        """The name of a known other program, and the path at which Prometheus does answer."""
        url = urlsplit(self._address.given)
        deadline = time.monotonic() + self._timeout

        def get(path: str) -> Any:
            left = deadline - time.monotonic()
            if left <= 0:
                return None
            target = urlunsplit((url.scheme, url.netloc, path, "", ""))
            with _session(_Adapter(self._tls, left)) as session:
                try:
                    response = session.get(target, timeout=left)
                    return response.json() if response.ok else None
                except requests.exceptions.RequestException:
                    return None

        for prefix in _PREFIXES:
            answer = get(f"{prefix}/api/v1/status/buildinfo")
            if isinstance(answer, dict) and answer.get("status") == "success":
                return "", prefix
        own = url.path.rstrip("/")
        for base in dict.fromkeys((own, "")):
            health, status = get(f"{base}/api/health"), get(f"{base}/api/v2/status")
            if isinstance(health, dict) and "database" in health:
                return "Grafana", None
            if isinstance(status, dict) and "versionInfo" in status:
                return "Alertmanager", None
        return "", None


class _Unclear(Exception):  # noqa: N818
    """An answer that asks for a second look. ``status`` is 0 where it was not even HTTP."""

    def __init__(self, status: int, what: str, failure: NetworkProblem | None = None) -> None:
        super().__init__(what)
        self.status, self.what, self.failure = status, what, failure


class _TooLarge(requests.exceptions.RequestException):
    """More bytes than an answer of Prometheus has."""


class _Adapter(HTTPAdapter):
    """Bounds an answer in size and in time as a whole, verifies by one TLS context, and keeps the last answer."""

    last: requests.Response

    def __init__(self, tls: ssl.SSLContext, timeout: float) -> None:
        self._tls = tls
        self._deadline = time.monotonic() + timeout
        super().__init__(max_retries=_NO_RETRIES, pool_connections=1, pool_maxsize=1)

    def init_poolmanager(self, *arguments: Any, **settings: Any) -> None:
        super().init_poolmanager(*arguments, **settings, ssl_context=self._tls)

    def cert_verify(self, *_: Any, **__: Any) -> None:
        """The TLS context knows whom to trust; the library would add its own bundle."""

    def request_url(self, request: requests.PreparedRequest, proxies: Any) -> str:
        """The path as it is: the library would mend a double slash, which KEDA sends."""
        return request.path_url

    def send(self, request: requests.PreparedRequest, *arguments: Any, **settings: Any) -> requests.Response:
        response = super().send(request, *arguments, **{**settings, "stream": True})
        raw, body = response.raw, bytearray()
        try:
            while chunk := raw.read1(65536, decode_content=True):
                body += chunk
                if len(body) > _MOST_BYTES:
                    raise _TooLarge
                if time.monotonic() > self._deadline:
                    raise requests.exceptions.ReadTimeout
            if raw.length_remaining:
                raise requests.exceptions.ConnectionError from ConnectionResetError()
        except urllib3.exceptions.ReadTimeoutError as error:
            raise requests.exceptions.ReadTimeout(error) from error
        except urllib3.exceptions.DecodeError as error:
            raise requests.exceptions.ContentDecodingError(error) from error
        except urllib3.exceptions.HTTPError:
            raise requests.exceptions.ConnectionError from ConnectionResetError()
        finally:
            raw.close()
        response.raw = io.BytesIO(bytes(body))
        self.last = response
        return response


def _session(adapter: _Adapter) -> requests.Session:
    session = requests.Session()
    session.trust_env = False  # KEDA knows nothing of our proxies and .netrc
    session.max_redirects = _MOST_REDIRECTS
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    return session


def _failure(failure: NetworkProblem) -> PrometheusFailure:
    return PrometheusFailure(_OF_FAULT[failure.reason], str(failure))


def _error_type(response: requests.Response) -> str:
    """The ``errorType`` of Prometheus' own error answer, or ""."""
    try:
        answer = json.loads(response.content)
    except ValueError:
        return ""
    if not isinstance(answer, dict) or answer.get("status") != "error":
        return ""
    kind = answer.get("errorType")
    return kind if kind in _ERROR_TYPES else ""
