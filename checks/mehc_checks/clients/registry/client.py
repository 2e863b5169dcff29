"""A client of the OCI distribution protocol, as far as a pull needs it."""

import asyncio
import base64
import ipaddress
import json
import re
import socket
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import quote, urlencode
from urllib.request import (  # type: ignore[attr-defined]
    getproxies_environment,
    proxy_bypass_environment,
)

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from mehc_checks.clients.network import connect as net
from mehc_checks.clients.network.reasons import NetworkReasons as N
from mehc_checks.clients.registry.keyring import Login
from mehc_checks.clients.registry.trouble import RegistryFailure, Trouble, of_network

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_MOST_REDIRECTS: Final = 5
_TOKEN_BYTES: Final = 64 * 1024
_ERROR_BYTES: Final = 16 * 1024
_PARAMETER = re.compile(r'([A-Za-z_]+)=(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')
_TOKEN = re.compile(r"[A-Za-z0-9\-._~+/=]+")


@dataclass(frozen=True, kw_only=True, slots=True)
class Access:
    """How registries are reached: the certificates to trust, and those that may be asked over plain HTTP."""

    tls: ssl.SSLContext
    insecure: frozenset[str] = frozenset()

    def plain_allowed(self, address: str) -> bool:
        """Whether ``host[:port]`` is a loopback address or a registry configured as insecure."""
        host = URL(f"//{address}").host or ""
        return address in self.insecure or host == "localhost" or _is_loopback(host)


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """One HTTP answer; ``body`` is cut at the limit that was asked for, and ``host`` is who gave it."""

    status: int
    headers: Mapping[str, str]
    challenges: tuple[str, ...]
    body: bytes
    complete: bool
    host: str

    @property
    def media_type(self) -> str:
        return self.headers.get("Content-Type", "").partition(";")[0].strip().lower()

    @property
    def codes(self) -> frozenset[str]:
        """The error codes of the distribution protocol in the body."""
        try:
            errors = json.loads(self.body)["errors"]
            return frozenset(str(error["code"]) for error in errors)
        except (ValueError, KeyError, TypeError, RecursionError):
            return frozenset()


class Registry:
    """One registry, one repository, one login (or none). Use as an asynchronous context manager.

    ``timeout`` is in seconds and covers everything from entering on. Every method raises RegistryFailure.
    """

    def __init__(
        self, host: str, repository: str, *, login: Login | None, access: Access, timeout: float
    ) -> None:
        self.host = host
        self.repository = repository
        self.login = login
        self._access = access
        self._timeout = timeout
        self._deadline = 0.0
        self._origin: URL | None = None
        self._authorization = ""

    async def __aenter__(self) -> Self:
        self._deadline = asyncio.get_running_loop().time() + self._timeout
        connector = aiohttp.TCPConnector(
            ssl=self._access.tls, resolver=_Resolver(self._timeout), limit=8, use_dns_cache=True
        )
        # nothing is decompressed: what a digest is of is the document as it was pushed, and a bomb stays one
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            headers={"User-Agent": "mehc", "Accept-Encoding": "identity"},
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def request(
        self, method: str, path: str, *, accept: Iterable[str] = (), limit: int = _ERROR_BYTES
    ) -> Answer:
        """The answer to ``path`` below ``/v2/``, redirects followed and the challenge for credentials met.

        Whatever its status, except 401, 403, 429 and 5xx, which are raised as RegistryFailure.
        """
        answer = await self._send(method, path, accept, limit)
        if answer.status == HTTPStatus.UNAUTHORIZED and not self._authorization and answer.challenges:
            await self._authorize(answer.challenges)
            answer = await self._send(method, path, accept, limit)
        self._refused(answer)
        return answer

    async def is_registry(self) -> bool:
        """Whether the address speaks the distribution protocol at all, with or without access to it."""
        answer = await self._send("GET", "", (), _ERROR_BYTES)
        if "Docker-Distribution-Api-Version" in answer.headers:
            return True
        speaks = answer.status == HTTPStatus.OK or (
            answer.status == HTTPStatus.UNAUTHORIZED and bool(answer.challenges)
        )
        return speaks and answer.media_type != "text/html"

    async def _send(self, method: str, path: str, accept: Iterable[str], limit: int) -> Answer:
        headers = {"Accept": ", ".join(accept)} if accept else {}
        below = URL(f"/v2/{path}", encoded=True)
        url = (self._origin or URL(f"https://{self.host}")).join(below)
        try:
            answer = await self._once(method, url, headers, limit)
        except RegistryFailure as failure:
            if self._origin is not None:
                raise
            url = (await self._without_tls(failure)).join(below)
            answer = await self._once(method, url, headers, limit)
        self._origin = url.origin()
        for _ in range(_MOST_REDIRECTS):
            location = answer.headers.get("Location", "")
            if answer.status not in _REDIRECTS or not location:
                return answer
            url = self._target(url, location)
            answer = await self._once(method, url, headers, limit)
        raise RegistryFailure(
            Trouble.NOT_A_REGISTRY, f"{self.host} redirects more than {_MOST_REDIRECTS} times"
        )

    def _target(self, url: URL, location: str) -> URL:
        try:
            target = url.join(URL(location, encoded=True))
            address = _address(target)
        except ValueError:
            raise RegistryFailure(
                Trouble.NOT_A_REGISTRY, f"{self.host} redirects to something that is no address"
            ) from None
        if target.scheme != "https" and not (target.scheme == "http" and self._access.plain_allowed(address)):
            raise RegistryFailure(
                Trouble.PLAIN_HTTP, f"{self.host} redirects to {address}, which is not reached by https"
            )
        return target

    async def _without_tls(self, failure: RegistryFailure) -> URL:
        """The plain origin, if HTTPS failed for want of TLS and plain HTTP is allowed here. Raises otherwise."""
        cause = failure.__cause__
        if not isinstance(cause, net.NetworkProblem) or cause.reason not in (
            N.SERVER_NOT_TLS,
            N.CONNECTION_CLOSED,
        ):
            raise failure
        plain = URL(f"http://{self.host}")
        if self._access.plain_allowed(self.host):
            return plain
        if await self._speaks_plain(plain):
            raise RegistryFailure(
                Trouble.PLAIN_HTTP, f"{self.host} speaks plain HTTP, and container runtimes insist on HTTPS"
            )
        raise failure

    async def _speaks_plain(self, plain: URL) -> bool:
        try:
            await self._once("GET", plain.join(URL("/v2/")), {}, 0)
        except RegistryFailure:
            return False
        return True

    async def _once(self, method: str, url: URL, headers: Mapping[str, str], limit: int) -> Answer:
        """One request without redirects. Credentials go to the registry's own origin only."""
        sent = dict(headers)
        if self._authorization and self._origin is not None and url.origin() == self._origin:
            sent["Authorization"] = self._authorization
        return await self._exchange(method, url, sent, limit)

    async def _exchange(self, method: str, url: URL, headers: Mapping[str, str], limit: int) -> Answer:
        address = _address(url)
        left = self._deadline - asyncio.get_running_loop().time()
        try:
            async with (
                asyncio.timeout(max(left, 0)),
                self._session.request(
                    method, url, headers=headers, allow_redirects=False, proxy=_proxy(url)
                ) as response,
            ):
                body = await _read(response, limit)
                return Answer(
                    status=response.status,
                    headers=response.headers,
                    challenges=tuple(response.headers.getall("WWW-Authenticate", [])),
                    body=body[:limit],
                    complete=len(body) <= limit,
                    host=address,
                )
        except TimeoutError:
            waited = net.NetworkProblem(
                N.CONNECTION_TIMEOUT, url.host or "", url.port or 0, seconds=f"{self._timeout:g}"
            )
            raise of_network(waited) from waited
        except aiohttp.ClientHttpProxyError as error:
            raise RegistryFailure(
                Trouble.UNREACHABLE, f"the proxy did not connect to {address} (HTTP {error.status})"
            ) from None
        except (aiohttp.ClientResponseError, aiohttp.ClientPayloadError):
            raise RegistryFailure(Trouble.NOT_A_REGISTRY, f"{address} does not speak HTTP properly") from None
        except (aiohttp.ClientError, OSError, net.NetworkProblem, ValueError) as error:
            failure = _classify(error, url)
            raise of_network(failure) from failure

    async def _authorize(self, challenges: Iterable[str]) -> None:
        """Meet a challenge as container runtimes do: a bearer token before basic authentication."""
        offered = [_challenge(text) for text in challenges]
        for scheme, parameters in offered:
            if scheme == "bearer" and "realm" in parameters:
                self._authorization = f"Bearer {await self._token(parameters)}"
                return
        for scheme, _ in offered:
            if scheme == "basic" and self.login is not None:
                self._authorization = _basic(self.login)
                return
        if self.login is not None:
            raise RegistryFailure(
                Trouble.NOT_A_REGISTRY, f"{self.host} asks for an authentication that runtimes do not know"
            )
        raise self._unauthenticated()

    async def _token(self, parameters: Mapping[str, str]) -> str:
        """Ask the token service that the challenge names; it gets the login, as every runtime gives it."""
        query = {"scope": parameters.get("scope") or f"repository:{self.repository}:pull"}
        if "service" in parameters:
            query["service"] = parameters["service"]
        realm = self._target(URL(f"https://{self.host}"), parameters["realm"])
        url = URL(f"{realm}{'&' if realm.query_string else '?'}{urlencode(query)}", encoded=True)
        headers = {} if self.login is None else {"Authorization": _basic(self.login)}
        answer = await self._exchange("GET", url, headers, _TOKEN_BYTES)
        if answer.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.BAD_REQUEST):
            if self.login is None:
                raise self._unauthenticated()
            raise RegistryFailure(
                Trouble.CREDENTIALS_REJECTED,
                f"the token service {answer.host} of {self.host} rejects {self.login.source}",
            )
        self._refused(answer)
        try:
            content = json.loads(answer.body)
            token = content.get("token") or content.get("access_token")
        except (ValueError, AttributeError, RecursionError):
            token = None
        if answer.status != HTTPStatus.OK or not isinstance(token, str) or not _TOKEN.fullmatch(token):
            raise RegistryFailure(
                Trouble.NOT_A_REGISTRY, f"the token service {answer.host} of {self.host} gives no token"
            )
        return token

    def _refused(self, answer: Answer) -> None:
        """Raise what is about the asker or the server, not about the thing asked for."""
        where = f"{answer.host} (for {self.repository})"
        if answer.status == HTTPStatus.UNAUTHORIZED:
            if self.login is None:
                raise self._unauthenticated()
            trouble = (
                Trouble.DENIED if self._authorization.startswith("Bearer") else Trouble.CREDENTIALS_REJECTED
            )
            verb = "does not let in" if trouble is Trouble.DENIED else "rejects"
            raise RegistryFailure(trouble, f"{where} {verb} {self.login.source}")
        if answer.status == HTTPStatus.TOO_MANY_REQUESTS or "TOOMANYREQUESTS" in answer.codes:
            after = answer.headers.get("Retry-After", "")
            hint = f", to be asked again in {after} s" if after.isdecimal() and len(after) < 8 else ""
            raise RegistryFailure(Trouble.RATE_LIMITED, f"{where} answers 429, too many requests{hint}")
        if answer.status == HTTPStatus.FORBIDDEN:
            who = "without credentials" if self.login is None else self.login.source
            raise RegistryFailure(Trouble.DENIED, f"{where} denies access (HTTP 403) {_to(who)}")
        if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise RegistryFailure(Trouble.SERVER_ERROR, f"{where} answers HTTP {answer.status}")

    def _unauthenticated(self) -> RegistryFailure:
        return RegistryFailure(
            Trouble.UNAUTHENTICATED,
            f"{self.host} wants credentials for {self.repository}, and there are none",
        )


class _Resolver(AbstractResolver):
    """Resolution by ``net.resolve``: named when it fails, and kept off the loop's own threads."""

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in await net.resolve(host, port, timeout=self._timeout)
        ]

    async def close(self) -> None:
        """Nothing is held."""


async def _read(response: aiohttp.ClientResponse, limit: int) -> bytes:
    """At most one byte more than ``limit``, so that a cut is seen."""
    parts, left = [], limit + 1
    while left > 0 and limit:
        part = await response.content.read(left)
        if not part:
            break
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def _classify(error: Exception, url: URL) -> net.NetworkProblem:
    host, port = url.host or "", url.port or 0
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return net.NetworkProblem(N.CONNECTION_CLOSED, host, port)
    if isinstance(error, aiohttp.ClientError) and isinstance(error.__cause__, Exception):
        error = error.__cause__  # aiohttp's own pass for errors of ssl without having what those have
    return net.classify(error, host, port)


def _challenge(text: str) -> tuple[str, dict[str, Any]]:
    scheme, _, rest = text.strip().partition(" ")
    parameters = {
        match[1].lower(): re.sub(r"\\(.)", r"\1", match[2]) if match[2] is not None else match[3]
        for match in _PARAMETER.finditer(rest)
    }
    return scheme.lower(), parameters


def _basic(login: Login) -> str:
    return f"Basic {base64.b64encode(f'{login.username}:{login.password}'.encode()).decode()}"


def _to(who: str) -> str:
    return who if who == "without credentials" else f"to {who}"


def _address(url: URL) -> str:
    """``host[:port]``, the port only where it is not the scheme's own. Raises ValueError without a host."""
    if not url.host:
        raise ValueError("no host")
    host = f"[{url.host}]" if ":" in url.host else url.host
    return host if url.is_default_port() else f"{host}:{url.port}"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _proxy(url: URL) -> str | None:
    """The proxy that the environment names for ``url``; not aiohttp's own reading of it, which opens ~/.netrc."""
    proxies = getproxies_environment()
    if proxy_bypass_environment(f"{url.host}:{url.port}", proxies):
        return None
    return proxies.get(url.scheme)


def path_of(repository: str, kind: str, name: str) -> str:
    """The path below ``/v2/`` of a manifest, a blob or the list of tags."""
    return f"{quote(repository)}/{kind}/{quote(name, safe=':')}"
