"""A client of the OCI distribution protocol, as far as a pull needs it."""

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from types import MappingProxyType, TracebackType
from typing import Final, Self
from urllib.parse import urlencode

from yarl import URL

from mehc_checks.clients.network.connect import NetworkProblem
from mehc_checks.clients.network.place import is_loopback
from mehc_checks.clients.network.reasons import NetworkReasons as N
from mehc_checks.clients.registry.challenge import basic, challenge, token_of
from mehc_checks.clients.registry.connections import Connections
from mehc_checks.clients.registry.exchange import (
    Access,
    Answer,
    Exchange,
    address_of,
    is_link_local,
)
from mehc_checks.clients.registry.keyring import Login
from mehc_checks.clients.registry.reasons import RegistryReasons as R
from mehc_checks.clients.registry.refusals import Refusals
from mehc_checks.core.errors import Problem
from mehc_checks.core.outcome import Status

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_MOST_REDIRECTS: Final = 5
_TOKEN_BYTES: Final = 64 * 1024
_ERROR_BYTES: Final = 16 * 1024
_NO_END: Final = float("inf")


class Registry(Refusals):
    """One registry, one repository, one login (or none). Use as an asynchronous context manager.

    ``timeout`` is in seconds and covers everything from entering on. Every method raises Problem: one of
    ``RegistryReasons``.
    """

    def __init__(
        self,
        host: str,
        repository: str,
        *,
        login: Login | None,
        access: Access,
        timeout: float,
        connections: Connections | None = None,
    ) -> None:
        super().__init__(host, repository, login)
        self._access = access
        self._exchange = Exchange(access, timeout=timeout, connections=connections)
        self._shared = self._exchange.connections

    async def __aenter__(self) -> Self:
        await self._exchange.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._exchange.__aexit__(kind, error, trace)

    async def request(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] = MappingProxyType({}),
        limit: int = _ERROR_BYTES,
    ) -> Answer:
        """The answer to ``path`` below ``/v2/``, redirects followed and the challenge for credentials met.

        Whatever its status, except 401, 403, 429 and 5xx, which are raised as Problem.
        """
        answer = await self._send(method, path, headers, limit)
        # A token that was accepted before has expired; what was just rejected is not offered again.
        sent = self._authorization
        renewable = not sent or (sent in self._shared.accepted and sent.startswith("Bearer"))
        if (
            answer.status == HTTPStatus.UNAUTHORIZED
            and answer.challenges
            and renewable
            and self._is_own(answer)
        ):
            await self._authorize(answer.challenges)
            answer = await self._send(method, path, headers, limit)
        if answer.status == HTTPStatus.UNAUTHORIZED:
            self._shared.accepted.discard(self._authorization)
        elif self._authorization:
            self._shared.accepted.add(self._authorization)
        if "/blobs/" in path and not self._is_own(answer):
            self.require_from_store(answer)
        else:
            self.require(answer, bearer=self._authorization.startswith("Bearer"))
        return answer

    def _is_own(self, answer: Answer) -> bool:
        return self._origin is None or answer.address == address_of(self._origin)

    async def is_registry(self) -> bool:
        """Whether the address speaks the distribution protocol at all, with or without access to it."""
        answer = await self._send("GET", "", {}, _ERROR_BYTES)
        if "Docker-Distribution-Api-Version" in answer.headers:
            return True
        speaks = answer.status == HTTPStatus.OK or (
            answer.status == HTTPStatus.UNAUTHORIZED and bool(answer.challenges)
        )
        return speaks and answer.media_type != "text/html"

    async def _send(self, method: str, path: str, headers: Mapping[str, str], limit: int) -> Answer:
        if self._origin is None:
            async with self._shared.finding_origin(self.host):
                url, answer = await self._first(method, path, headers, limit)
        else:
            url = self._below(path, self._origin)
            answer = await self._once(method, url, headers, limit)
        for _ in range(_MOST_REDIRECTS):
            location = answer.headers.get("Location", "")
            if answer.status not in _REDIRECTS or not location:
                return answer
            url = self._target(url, location)
            try:
                answer = await self._once(method, url, headers, limit)
            except NetworkProblem as problem:
                if "/blobs/" not in path or url.origin() == self._origin or _is_ours(problem):
                    raise
                raise self.store_unreachable(url, problem) from None
        raise self.not_a_registry(f"it redirects more than {_MOST_REDIRECTS} times")

    async def _first(
        self, method: str, path: str, headers: Mapping[str, str], limit: int
    ) -> tuple[URL, Answer]:
        """The answer, and where it is from, while it may not be known yet whether there is TLS."""
        url = self._below(path, self._origin or URL(f"https://{self.host}"))
        try:
            answer = await self._once(method, url, headers, limit)
        except NetworkProblem as problem:
            if self._origin == url.origin():
                raise
            url = self._below(path, self._origin or await self._without_tls(problem))
            answer = await self._once(method, url, headers, limit)
        self._shared.origins[self.host] = url.origin()
        return url, answer

    @property
    def _origin(self) -> URL | None:
        """How the host is reached, once that is known."""
        return self._shared.origins.get(self.host)

    @property
    def _authorization(self) -> str:
        if self._origin is None:
            return ""
        return self._shared.authorization(self._origin, self.login, self.repository)

    @staticmethod
    def _below(path: str, origin: URL) -> URL:
        return origin.join(URL(f"/v2/{path}", encoded=True))

    def _target(self, url: URL, location: str) -> URL:
        """Where a redirect or a challenge leads, for ``url``.

        Runtimes follow to plain HTTP too, as digests vouch for what comes. The operator does not, unless that is how
        the server is reached anyway, or its administrator says so: who answers at ``url`` would choose whom it asks.
        """
        try:
            target = url.join(URL(location, encoded=True))
            address = address_of(target)
            local = is_link_local(address)
        except ValueError:
            target, address, local = url, "", True
        if local or target.scheme not in ("https", "http"):
            raise self.not_a_registry("it redirects to something that is not an address of the network")
        if is_loopback(target.host or "") and not is_loopback(url.host or ""):
            raise self.not_a_registry(f"it redirects to {address}, which is another server for each client")
        downgrade = target.scheme == "http" and url.scheme == "https"
        if downgrade and not self._access.follows_to_plain(address):
            raise Problem(R.REDIRECT_NOT_FOLLOWED, host=self.host, target=address)
        return target

    async def _without_tls(self, problem: NetworkProblem) -> URL:
        """The plain origin, if HTTPS failed for lack of TLS and plain HTTP is allowed here. Raises otherwise."""
        if problem.reason not in (N.SERVER_NOT_TLS, N.CONNECTION_CLOSED):
            raise problem
        plain = URL(f"http://{self.host}")
        if self._access.plain_allowed(self.host):
            return plain
        if await self._speaks_plain(plain):
            raise NetworkProblem(N.SERVER_NOT_TLS, plain.host or "", plain.port or 0)
        if problem.reason is N.SERVER_NOT_TLS:
            raise self.not_a_registry("it speaks neither TLS nor HTTP")
        raise problem

    async def _speaks_plain(self, plain: URL) -> bool:
        try:
            await self._once("GET", plain.join(URL("/v2/")), {}, 0)
        except Problem:
            return False
        return True

    async def _once(self, method: str, url: URL, headers: Mapping[str, str], limit: int) -> Answer:
        """One request without redirects. Credentials go to the registry's own origin only."""
        sent = dict(headers)
        if self._authorization and self._origin is not None and url.origin() == self._origin:
            sent["Authorization"] = self._authorization
        return await self._exchange.once(method, url, sent, limit)

    async def _authorize(self, challenges: Iterable[str]) -> None:
        """Meet a challenge as container runtimes do: a bearer token before basic authentication."""
        offered = [challenge(text) for text in challenges]
        for scheme, parameters in offered:
            if scheme == "bearer" and "realm" in parameters:
                token, seconds = await self._token(parameters)
                self._let_in(f"Bearer {token}", self.repository, seconds)
                return
        for scheme, _ in offered:
            if scheme == "basic" and self.login is not None:
                self._let_in(basic(self.login), "", _NO_END)
                return
        if self.login is not None:
            raise self.not_a_registry("it requires an authentication that container runtimes do not know")
        raise self.unauthenticated()

    def _let_in(self, header: str, repository: str, seconds: float) -> None:
        if self._origin is not None:
            self._shared.authorize(self._origin, self.login, repository, header, seconds)

    async def _token(self, parameters: Mapping[str, str]) -> tuple[str, float]:
        """Ask the token service that the challenge names; it gets the login, as every runtime gives it.

        The token, and for how many seconds to use it.
        """
        query = {"scope": parameters.get("scope") or f"repository:{self.repository}:pull"}
        if "service" in parameters:
            query["service"] = parameters["service"]
        realm = self._target(self._origin or URL(f"https://{self.host}"), parameters["realm"])
        url = URL(f"{realm}{'&' if realm.query_string else '?'}{urlencode(query)}", encoded=True)
        if (
            self.login is not None
            and url.scheme != "https"
            and not self._access.plain_allowed(address_of(url))
        ):
            detail = f"{address_of(url)} takes credentials over plain HTTP, where they are not sent"
            raise Problem(R.TOKEN_SERVICE_UNREACHABLE, service=address_of(url), host=self.host, detail=detail)
        headers = {} if self.login is None else {"Authorization": basic(self.login)}
        try:
            answer = await self._exchange.once("GET", url, headers, _TOKEN_BYTES)
        except NetworkProblem as problem:
            if _is_ours(problem):
                raise
            raise Problem(
                R.TOKEN_SERVICE_UNREACHABLE, service=address_of(url), host=self.host, detail=str(problem)
            ) from None
        if answer.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.BAD_REQUEST):
            raise self.rejected(answer)
        self.require_able(answer)
        issued = token_of(answer.body) if answer.status == HTTPStatus.OK else None
        if issued is None:
            raise self.not_a_registry(f"its token service {answer.address} issues no token")
        return issued


def _is_ours(problem: Problem) -> bool:
    """Whether ``problem`` is about this process only, and nodes have none."""
    return problem.reason.status is Status.ERROR
