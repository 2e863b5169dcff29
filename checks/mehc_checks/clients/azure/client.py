"""Asks services of Azure by their REST interfaces, never for long: each failure is a Problem with its own reason.

The vendor's clients say "service request failed" for a name that does not resolve, a port that is closed and a
certificate that is not trusted; ``clients.http`` tells these apart, and bounds what it reads.
"""

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from mehc_checks.clients.azure.identity import AzureProblem, Token, forget, token
from mehc_checks.clients.azure.reasons import NOT_FOUND, AzureReasons
from mehc_checks.clients.http.exchange import Response, send
from mehc_checks.core.deadline import Allowance
from mehc_checks.core.outcome import Reason

R = AzureReasons
_WORD: Final = re.compile(r"[A-Za-z]{1,40}")
_MOST: Final = 256 * 1024
_FIREWALL: Final = frozenset({"ForbiddenByFirewall", "AuthorizationFailure", "PublicAccessNotPermitted"})
"""Codes of Key Vault and of Storage for an address that their firewalls do not admit."""
_FORBIDDEN: Final = frozenset({HTTPStatus.FORBIDDEN.value})
_UNAUTHENTICATED: Final = frozenset({"AuthenticationFailed", "InvalidAuthenticationInfo"})
"""Codes of Storage for a token that it does not accept, with status 403 too."""
_REASONS: Final = {401: R.TOKEN_REJECTED, 403: R.DENIED, 429: R.THROTTLED, 503: R.THROTTLED}
_DENYING: Final = (R.DENIED, R.PLATFORM_DENIED)


class Azure:
    """The services of Azure. ``timeout`` is in seconds, for one call with the token that it takes.

    ``platform`` is the client ID of the platform's identity: what is denied to that one fails the installation.
    """

    def __init__(self, *, timeout: float, platform: str = "") -> None:
        self._timeout = timeout
        self._platform = platform

    async def token(self, scope: str) -> Token:
        """Raises AzureProblem."""
        return await token(scope, timeout=self._timeout)

    async def call(
        self,
        url: str,
        scope: str,
        *,
        what: str,
        role: str,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        data: bytes | None = None,
        denying: frozenset[int] = _FORBIDDEN,
    ) -> Response:
        """The answer of a service to this process's identity. ``what`` and ``role`` are as in ``AzureReasons``, and
        ``denying`` are the statuses by which the service says that a role is missing.

        Raises AzureProblem, and NetworkProblem where the service cannot be reached.
        """
        allowance = Allowance(self._timeout)
        try:
            held = await self.token(scope)
        except AzureProblem as problem:
            raise AzureProblem(problem.reason, **{"role": role, **problem.words}) from None
        sent = {"Authorization": f"Bearer {held.text}", **(headers or {})}
        answer = await send(
            method, url, timeout=max(allowance.left, 1), headers=sent, data=data, most=_MOST, proxied=True
        )
        if answer.ok:
            return answer
        code = _code(answer)
        words = {"what": what, "role": role, "principal": held.principal}
        if answer.status == HTTPStatus.NOT_FOUND:
            raise AzureProblem(NOT_FOUND, **words, code=code)
        reason = self._reason(HTTPStatus.FORBIDDEN if answer.status in denying else answer.status, code, held)
        if reason is R.TOKEN_REJECTED:
            forget(scope)
        shown = code or f"HTTP {answer.status}"
        raise AzureProblem(reason, **words, code=f" ({shown})" if reason in _DENYING else shown)

    def _reason(self, status: int, code: str, held: Token) -> Reason:
        """What ``status`` and ``code`` mean for the one who asked with the token ``held``."""
        if status == HTTPStatus.FORBIDDEN and code in _FIREWALL:
            return R.FIREWALL
        if code in _UNAUTHENTICATED:
            return R.TOKEN_REJECTED
        found = _REASONS.get(status, R.OTHER)
        return R.PLATFORM_DENIED if found is R.DENIED and self.is_platform(held) else found

    def is_platform(self, held: Token) -> bool:
        """Whether this process has the platform's own identity."""
        return bool(self._platform) and held.client.lower() == self._platform.lower()


def _code(answer: Response) -> str:
    """Azure's code of an error ("ForbiddenByRbac", "SecretDisabled"), the inner one before the outer; "" for none."""
    if found := answer.headers.get("x-ms-error-code"):
        return found if _WORD.fullmatch(found) else ""
    content = answer.json()
    error = content.get("error") if isinstance(content, dict) else None
    code = ""
    while isinstance(error, dict):
        code = str(error.get("code", "")) or code
        error = error.get("innererror")
    return code if _WORD.fullmatch(code) else ""
