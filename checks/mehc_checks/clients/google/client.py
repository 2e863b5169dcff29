"""Asks services of Google Cloud by their REST interfaces, never for long: each failure is a Problem with its reason."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

from mehc_checks.clients.google.identity import GoogleProblem, Token, forget, token
from mehc_checks.clients.google.reasons import NOT_FOUND
from mehc_checks.clients.google.reasons import GoogleReasons as R
from mehc_checks.clients.http.exchange import Response, send
from mehc_checks.core.deadline import Allowance
from mehc_checks.core.outcome import Reason

_WORD: Final = re.compile(r"[A-Za-z_]{1,60}")
_NAME: Final = re.compile(r"[a-z0-9:./-]{1,120}")
_STATE: Final = re.compile(r"\b(DISABLED|DESTROYED)\b")
_MOST: Final = 256 * 1024
_BY_CODE: Final = {
    "SERVICE_DISABLED": R.API_DISABLED,
    "accessNotConfigured": R.API_DISABLED,
    "BILLING_DISABLED": R.BILLING_DISABLED,
    "accountDisabled": R.BILLING_DISABLED,
    "ACCESS_TOKEN_SCOPE_INSUFFICIENT": R.SCOPES_INSUFFICIENT,
    "insufficientPermissions": R.SCOPES_INSUFFICIENT,
    "SECURITY_POLICY_VIOLATED": R.PERIMETER,
    "vpcServiceControls": R.PERIMETER,
    "CONSUMER_INVALID": R.PROJECT_UNKNOWN,
    "USER_PROJECT_DENIED": R.PROJECT_UNKNOWN,
}
"""By Google's reason of an error. Source: google.rpc.ErrorInfo; error codes of Cloud Storage."""
_BY_STATUS: Final = {401: R.TOKEN_REJECTED, 403: R.DENIED, 404: NOT_FOUND, 429: R.THROTTLED, 503: R.THROTTLED}


@dataclass(frozen=True, kw_only=True, slots=True)
class _Error:
    """What Google says of an error: its reasons, its status ("FAILED_PRECONDITION"), and what it is about."""

    reasons: tuple[str, ...] = ()
    status: str = ""
    service: str = ""
    project: str = ""
    state: str = ""


class Google:
    """The services of Google. ``timeout`` is in seconds, for one call with the token that it takes.

    ``platform`` is the email of the platform's account: what is denied to that one fails the installation.
    """

    def __init__(self, *, timeout: float, platform: str = "") -> None:
        self._timeout = timeout
        self._platform = platform

    async def token(self) -> Token:
        """Raises GoogleProblem."""
        return await token(timeout=self._timeout)

    async def call(
        self,
        url: str,
        *,
        what: str,
        role: str,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        data: bytes | None = None,
    ) -> Response:
        """The answer of a service to this process's identity. ``what`` and ``role`` are as in ``GoogleReasons``.

        Raises GoogleProblem, whose words have ``state`` too ("disabled", of a version), and NetworkProblem where the
        service cannot be reached.
        """
        allowance = Allowance(self._timeout)
        try:
            held = await self.token()
        except GoogleProblem as problem:
            raise GoogleProblem(problem.reason, **{"role": role, **problem.words}) from None
        sent = {"Authorization": f"Bearer {held.text}", **(headers or {})}
        answer = await send(
            method, url, timeout=max(allowance.left, 1), headers=sent, data=data, most=_MOST, proxied=True
        )
        if answer.ok:
            return answer
        if answer.status == HTTPStatus.UNAUTHORIZED:
            forget(held)
        error = _read(answer.json())
        reason, code = _reason(answer.status, error)
        shown = code or error.status or f"HTTP {answer.status}"
        if reason is R.DENIED and self._platform and held.principal == f"service account {self._platform}":
            reason = R.PLATFORM_DENIED
        raise GoogleProblem(
            reason,
            what=what,
            role=role,
            principal=held.principal,
            code=f" ({shown})" if reason in (R.DENIED, R.PLATFORM_DENIED) else shown,
            service=error.service or url.split("/")[2],
            project=error.project or "its project",
            state=error.state,
        )


def _reason(status: int, error: _Error) -> tuple[Reason, str]:
    """What an error means, and Google's code that says so."""
    for code in error.reasons:
        if code in _BY_CODE:
            return _BY_CODE[code], code
    return _BY_STATUS.get(status, R.OTHER), next(iter(error.reasons), "")


def _read(content: Any) -> _Error:
    error = content.get("error") if isinstance(content, dict) else None
    if not isinstance(error, dict):
        return _Error()
    status = str(error.get("status", ""))
    found = _STATE.search(str(error.get("message", "")))
    about = next((each for each in _items(error, "details") if isinstance(each.get("metadata"), dict)), {})
    metadata: Mapping[str, Any] = about.get("metadata") or {}
    reasons = (str(each.get("reason", "")) for name in ("details", "errors") for each in _items(error, name))
    return _Error(
        reasons=tuple(each for each in reasons if _WORD.fullmatch(each)),
        status=status if _WORD.fullmatch(status) else "",
        service=_named(metadata.get("service")),
        project=_named(metadata.get("consumer")).replace("projects/", "project "),
        state=found[1].lower() if found else "",
    )


def _items(error: Mapping[str, Any], name: str) -> Iterator[Mapping[str, Any]]:
    listed = error.get(name)
    if isinstance(listed, list):
        yield from (each for each in listed if isinstance(each, dict))


def _named(value: object) -> str:
    return value if isinstance(value, str) and _NAME.fullmatch(value) else ""
