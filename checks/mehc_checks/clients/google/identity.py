"""Who this process is to Google: a token of its workload identity, its node or its file of credentials.

``google-auth`` gets it, once for all services; it is imported where Google is in use.
"""

import asyncio
import importlib
import json
import logging
import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC
from pathlib import Path
from typing import Any, Final

from mehc_checks.clients.google.reasons import GoogleReasons as R
from mehc_checks.clients.google.transport import Refused, Transport, Unanswered
from mehc_checks.core.deadline import queued
from mehc_checks.core.errors import Problem
from mehc_checks.core.threads import Threads

SCOPE: Final = "https://www.googleapis.com/auth/cloud-platform"
KEPT_BEFORE_EXPIRY: Final = 240.0
"""A token is used until so many seconds before it expires; the metadata server has a new one from then on."""
FAILED_SECONDS: Final = 5.0
"""For so long a failure counts."""
_IMPORT_SECONDS: Final = 120.0
_IMPORTS: Final = Threads("imports of google-auth", 1)
_TOKENS: Final = Threads("tokens of Google", 8)
_OF_NODES: Final = "google.auth.compute_engine"
_OF_FILES: Final = {
    "external_account": ("google.auth.identity_pool", "from_info"),
    "service_account": ("google.oauth2.service_account", "from_service_account_info"),
    "authorized_user": ("google.oauth2.credentials", "from_authorized_user_info"),
}
"""By the type of a file of credentials, whose class Credentials reads it, and by which of its methods."""
_DEFAULT_FILE: Final = "google.auth._cloud_sdk"
_FILE: Final = "GOOGLE_APPLICATION_CREDENTIALS"
_OURS: Final = ("GOOGLE_", "GCE_METADATA_", "CLOUDSDK_CONFIG")
_POOL: Final = re.compile(r"[a-z0-9:.-]+\.svc\.id\.goog")
_WORD: Final = re.compile(r"[A-Za-z_]{1,40}")
_METADATA_HOSTS: Final = ("metadata.google.internal", "169.254.169.254")


class GoogleProblem(Problem):
    """A call failed: one of ``GoogleReasons``, or ``NOT_FOUND``; none of Google's sentences."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Token:
    """A token. ``expires`` is in seconds of the epoch; ``principal`` is whose it is, for messages."""

    text: str = field(repr=False)
    expires: float
    principal: str


_KEPT: Final[dict[tuple[tuple[str, str], ...], Token]] = {}
"""By the variables that say who this process is, which in a pod are always the same."""
_FAILED: Final[dict[tuple[tuple[str, str], ...], tuple[float, GoogleProblem]]] = {}
_ASKED: Final[dict[tuple[Any, ...], asyncio.Task[Token]]] = {}
"""What is being asked for, by loop and identity: once for all who want it."""


async def token(*, timeout: float) -> Token:
    """A token of this process's identity, within ``timeout`` seconds. Raises GoogleProblem."""
    identity = tuple(sorted((name, text) for name, text in os.environ.items() if name.startswith(_OURS)))
    found = _KEPT.get(identity)
    if found and found.expires - time.time() > KEPT_BEFORE_EXPIRY:
        return found
    until, failure = _FAILED.get(identity, (0.0, None))
    if failure and time.monotonic() < until:
        raise GoogleProblem(failure.reason, **failure.words)
    key = (asyncio.get_running_loop(), identity)
    task = _ASKED.get(key)
    if task is None:
        task = _ASKED[key] = asyncio.ensure_future(_asked(timeout))
        task.add_done_callback(lambda done: _over(done, key, identity))
    try:
        return await asyncio.shield(task)
    except Problem as problem:
        raise type(problem)(problem.reason, **problem.words) from None


def forget(rejected: Token) -> None:
    """Have another token asked for in place of one that a service does not accept."""
    for identity, held in list(_KEPT.items()):
        if held == rejected:
            del _KEPT[identity]


def _over(done: asyncio.Task[Token], key: tuple[Any, ...], identity: tuple[tuple[str, str], ...]) -> None:
    _ASKED.pop(key, None)
    if done.cancelled():
        return
    error = done.exception()
    if error is None:
        _KEPT[identity] = done.result()
    elif isinstance(error, GoogleProblem):
        _FAILED[identity] = (time.monotonic() + FAILED_SECONDS, error)


async def _asked(timeout: float) -> Token:
    try:
        with queued():  # not in the time of the call: it is this machine that is slow, once, and not Google
            for module in (_OF_NODES, _DEFAULT_FILE, *(module for module, _ in _OF_FILES.values())):
                await _IMPORTS.run(importlib.import_module, module, seconds=_IMPORT_SECONDS)
    except ModuleNotFoundError:
        raise GoogleProblem(R.CLIENT_MISSING) from None
    logging.getLogger("google").setLevel(logging.CRITICAL)  # each failure is a finding
    try:
        return await _TOKENS.run(_fetched, timeout, seconds=timeout)
    except TimeoutError:
        raise GoogleProblem(
            R.UNREACHABLE, address="the service that gives tokens", detail=f"no answer within {timeout:g} s"
        ) from None


def _fetched(timeout: float) -> Token:
    """In a thread, since google-auth blocks. Raises GoogleProblem."""
    from google.auth.exceptions import GoogleAuthError

    file, credential = "", None
    try:
        file = _file()
        credential = _credential(file)
        credential.refresh(Transport(timeout))
    except Refused as answer:
        raise _refused(answer, credential, file) from None
    except Unanswered as silence:
        raise _unanswered(silence, file) from None
    except (GoogleAuthError, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        if file:
            raise GoogleProblem(R.CREDENTIALS_INVALID, file=file, detail=type(error).__name__) from None
        detail = "its answer is no token"
        raise GoogleProblem(R.METADATA_UNREACHABLE, address=_METADATA_HOSTS[0], detail=detail) from None
    return Token(
        text=credential.token,
        expires=credential.expiry.replace(tzinfo=UTC).timestamp(),
        principal=_principal(credential),
    )


def _file() -> str:
    """The file of Application Default Credentials; "" where there is none, and the metadata server is to be asked."""
    if named := os.environ.get(_FILE):
        return named
    known = str(importlib.import_module(_DEFAULT_FILE).get_application_default_credentials_path())
    return known if Path(known).is_file() else ""


def _credential(file: str) -> Any:
    """Raises OSError, ValueError, KeyError and google-auth's errors for a file that is of no use."""
    if not file:
        return importlib.import_module(_OF_NODES).Credentials()
    info = json.loads(Path(file).read_text())
    module, method = _OF_FILES[info["type"]]
    return getattr(importlib.import_module(module).Credentials, method)(info, scopes=[SCOPE])


def _principal(credential: Any) -> str:
    email = str(getattr(credential, "service_account_email", None) or "")
    if _POOL.fullmatch(email):
        return f"the operator's ServiceAccount in the workload identity pool {email}"
    if email and email != "default":
        return f"service account {email}"
    if audience := getattr(credential, "_audience", ""):
        return f"the operator's ServiceAccount by {_pool(str(audience))}"
    if hasattr(credential, "refresh_token"):
        return "the user of gcloud"
    return "the service account of the node"


def _pool(audience: str) -> str:
    """ "workload identity pool p, provider q" of a federation's audience."""
    found = re.search(r"workloadIdentityPools/([\w-]+)/providers/([\w-]+)", audience)
    return (
        f"workload identity pool {found[1]}, provider {found[2]}" if found else "workload identity federation"
    )


def _refused(answer: Refused, credential: Any, file: str) -> GoogleProblem:
    """What an error of the metadata server or of a token service means."""
    who = _principal(credential)
    if not file:
        text = answer.body.decode(errors="replace")
        if "404 Not Found" in text:
            return GoogleProblem(R.IDENTITY_NOT_FOUND, principal=who, code="HTTP 404")
        if answer.status == 403 or "IAM returned" in text:
            return GoogleProblem(R.BINDING_MISSING, principal=who, code=f"HTTP {answer.status}")
        if answer.status == 404:
            detail = f", and the node has none ({answer.host} was asked)"
            return GoogleProblem(R.NO_IDENTITY, detail=detail)
        return GoogleProblem(R.METADATA_UNREACHABLE, address=answer.host, detail=f"HTTP {answer.status}")
    code = _code(answer)
    if answer.status >= 500 or answer.status == 429:
        return GoogleProblem(R.UNREACHABLE, address=answer.host, detail=code)
    if answer.host.startswith("iamcredentials."):
        reason = R.IDENTITY_NOT_FOUND if answer.status == 404 else R.BINDING_MISSING
        return GoogleProblem(reason, principal=who, code=code)
    if answer.host.startswith("sts."):
        audience = _pool(str(getattr(credential, "_audience", "")))
        return GoogleProblem(R.FEDERATION_REJECTED, audience=audience, code=code)
    return GoogleProblem(R.CREDENTIALS_INVALID, file=file, detail=code)


def _code(answer: Refused) -> str:
    """ "invalid_grant" of an OAuth error, "PERMISSION_DENIED" of another; "HTTP 500" for none."""
    try:
        content = json.loads(answer.body)
    except ValueError:
        content = None
    error = content.get("error") if isinstance(content, Mapping) else None
    code = error.get("status") if isinstance(error, Mapping) else error
    return code if isinstance(code, str) and _WORD.fullmatch(code) else f"HTTP {answer.status}"


def _unanswered(silence: Unanswered, file: str) -> GoogleProblem:
    if file:
        return GoogleProblem(R.UNREACHABLE, address=silence.host, detail=silence.detail)
    if not silence.resolved:
        return GoogleProblem(R.NO_IDENTITY, detail=f" ({silence.host} was tried too)")
    return GoogleProblem(R.METADATA_UNREACHABLE, address=silence.host, detail=silence.detail)
