"""What a registry's answers mean that are not the thing asked for."""

from http import HTTPStatus

from yarl import URL

from mehc_checks.clients.network.connect import NetworkProblem
from mehc_checks.clients.registry.exchange import NOT_FOUND, Answer, address_of
from mehc_checks.clients.registry.keyring import Login
from mehc_checks.clients.registry.reasons import RegistryReasons as R
from mehc_checks.core.errors import Problem


class Refusals:
    """Of one repository to one login (or none), as Problems."""

    def __init__(self, host: str, repository: str, login: Login | None) -> None:
        self.host = host
        self.repository = repository
        self.login = login

    def not_a_registry(self, detail: str) -> Problem:
        """The problem that the address serves something else."""
        return Problem(R.NOT_A_REGISTRY, address=self.host, detail=detail)

    def require(self, answer: Answer, *, bearer: bool) -> None:
        """Raise what is about the asker or the server, not about the thing asked for. ``bearer``: a token was sent."""
        if answer.status == HTTPStatus.UNAUTHORIZED:
            raise self.denied(answer) if bearer and self.login else self.rejected(answer)
        self.require_able(answer)
        if answer.status == HTTPStatus.FORBIDDEN:
            raise self.denied(answer)

    def store_unreachable(self, url: URL, problem: NetworkProblem) -> Problem:
        """The store that the registry leads to for a blob cannot be reached."""
        return Problem(R.LAYER_STORE_UNREACHABLE, store=address_of(url), host=self.host, detail=str(problem))

    def require_from_store(self, answer: Answer) -> None:
        """Raise where that store refuses."""
        if answer.status >= HTTPStatus.BAD_REQUEST and answer.status != NOT_FOUND:
            raise Problem(
                R.LAYER_STORE_ERROR,
                store=answer.address,
                host=self.host,
                repository=self.repository,
                code=answer.status,
            )

    def require_able(self, answer: Answer) -> None:
        """Raise for a server that answers no request now."""
        if answer.status == HTTPStatus.TOO_MANY_REQUESTS or "TOOMANYREQUESTS" in answer.codes:
            after = answer.headers.get("Retry-After", "")
            hint = f"; it allows the next after {after} s" if after.isdecimal() and len(after) < 8 else ""
            raise Problem(R.RATE_LIMITED, host=answer.address, repository=self.repository, after=hint)
        if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise Problem(
                R.SERVER_ERROR,
                service=answer.address,
                host=self.host,
                repository=self.repository,
                code=answer.status,
            )

    def denied(self, answer: Answer) -> Problem:
        """Known credentials, not for this repository."""
        who = {} if self.login is None else {"login": self.login.source}
        return Problem(R.PULL_DENIED, host=self.host, repository=self.repository, code=answer.status, **who)

    def rejected(self, answer: Answer) -> Problem:
        """Wrong credentials, or none."""
        if self.login is None:
            return self.unauthenticated()
        return Problem(
            R.PULL_CREDENTIALS_REJECTED,
            service=answer.address,
            host=self.host,
            login=self.login.source,
            repository=self.repository,
        )

    def unauthenticated(self) -> Problem:
        """None, and some are required."""
        return Problem(R.NO_PULL_CREDENTIALS, host=self.host, repository=self.repository)
