"""Who this process is to Azure: tokens of its workload identity or managed identity, each kept until it nearly expires.

``azure-identity`` gets them; it is imported where Azure is in use, which takes a tenth of a second and 11 MB.
"""

import asyncio
import base64
import importlib
import json
import logging
import os
import re
import time
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp

from mehc_checks.clients.azure.reasons import AzureReasons as R
from mehc_checks.clients.network.connect import client_context, require_foreign
from mehc_checks.core.deadline import queued, within
from mehc_checks.core.errors import Problem
from mehc_checks.core.threads import Threads

METADATA_ADDRESS: Final = "169.254.169.254"
"""Where a machine of Azure finds its identity, and where elsewhere nothing answers."""
METADATA_SECONDS: Final = 2.0
KEPT_BEFORE_EXPIRY: Final = 300.0
"""A token is used until so many seconds before it expires."""
FAILED_SECONDS: Final = 5.0
"""For so long a failure counts: where there is no identity, looking for one takes two seconds."""
_IMPORT_SECONDS: Final = 120.0
_THREADS: Final = Threads("imports of azure-identity", 1)
_FEDERATED: Final = ("AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_FEDERATED_TOKEN_FILE")
"""What the webhook of workload identity sets in a pod."""
_CODE: Final = re.compile(r"AADSTS(\d{4,8})")
_NO_IDENTITY: Final = frozenset({"700016", "90002", "900023", "7000112"})
"""No such application or tenant, or a disabled one. Source: the list of AADSTS error codes of Microsoft Entra."""
_NO_FEDERATION: Final = frozenset(
    {"50013", "50027", "70021", "700024", "700027", "700211", "700212", "700213", "700214"}
)
"""The assertion is not for this identity, not of an issuer that it trusts, expired or badly signed."""


class AzureProblem(Problem):
    """A call failed: one of ``AzureReasons``, or ``NOT_FOUND``; none of Azure's sentences."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Token:
    """A token. ``expires`` is in seconds of the epoch; ``client`` and ``object`` are whose it is, "" where not told."""

    text: str = field(repr=False)
    expires: float
    client: str
    object: str
    tenant: str

    @property
    def principal(self) -> str:
        """Who that is, for messages."""
        return principal(self.client, self.object)


def principal(client: str, object_: str = "") -> str:
    """ "client 1111 (object 2222)"."""
    if not client:
        return f"object {object_}" if object_ else "the managed identity of the node"
    return f"client {client} (object {object_})" if object_ else f"client {client}"


@dataclass(slots=True)
class _Kept:
    """Tokens and failures of one identity, by scope."""

    tokens: dict[str, Token] = field(default_factory=dict)
    failures: dict[str, tuple[float, Problem]] = field(default_factory=dict)


_KEPT: Final[dict[tuple[tuple[str, str], ...], _Kept]] = {}
"""By the variables that configure Azure's clients, which in a pod are always the same."""
_ASKED: Final[dict[tuple[Any, ...], asyncio.Task[Token]]] = {}
"""What is being asked for, by loop, identity and scope: once for all who want it."""


async def token(scope: str, *, timeout: float) -> Token:
    """A token of this process's identity for ``scope``, within ``timeout`` seconds. Raises AzureProblem."""
    identity = _identity()
    kept = _KEPT.setdefault(identity, _Kept())
    found = kept.tokens.get(scope)
    if found and found.expires - time.time() > KEPT_BEFORE_EXPIRY:
        return found
    until, failure = kept.failures.get(scope, (0.0, None))
    if failure and time.monotonic() < until:
        raise AzureProblem(failure.reason, **failure.words)
    key = (asyncio.get_running_loop(), identity, scope)
    task = _ASKED.get(key)
    if task is None:
        task = _ASKED[key] = asyncio.ensure_future(_asked(scope, timeout))
        task.add_done_callback(lambda done: _over(done, key, kept, scope))
    try:
        return await asyncio.shield(task)
    except Problem as problem:
        raise type(problem)(problem.reason, **problem.words) from None


def forget(scope: str) -> None:
    """Ask for another token next time: a service does not accept this one."""
    if kept := _KEPT.get(_identity()):
        kept.tokens.pop(scope, None)


def _identity() -> tuple[tuple[str, str], ...]:
    return tuple(sorted((name, text) for name, text in os.environ.items() if name.startswith("AZURE_")))


def _over(done: asyncio.Task[Token], key: tuple[Any, ...], kept: _Kept, scope: str) -> None:
    _ASKED.pop(key, None)
    if done.cancelled():
        return
    error = done.exception()
    if error is None:
        kept.tokens[scope] = done.result()
    elif isinstance(error, AzureProblem):
        kept.failures[scope] = (time.monotonic() + FAILED_SECONDS, error)


async def _asked(scope: str, timeout: float) -> Token:
    try:
        with queued():  # not in the time of the call: it is this machine that is slow, once, and not Azure
            for module in ("azure.identity.aio", "azure.core.pipeline.transport"):
                await _THREADS.run(importlib.import_module, module, seconds=_IMPORT_SECONDS)
    except ModuleNotFoundError:
        raise AzureProblem(R.CLIENT_MISSING) from None
    # what it logs of a failure is Microsoft's sentences, and each failure is a finding
    logging.getLogger("azure").setLevel(logging.CRITICAL)
    federated = all(os.environ.get(name) for name in _FEDERATED)
    try:
        async with within(timeout if federated else min(timeout, METADATA_SECONDS)):
            found = await _fetched(scope, federated=federated)
    except TimeoutError:
        detail = f"no answer within {timeout:g} s"
        raise (_unreachable(detail) if federated else _no_metadata()) from None
    return found


async def _fetched(scope: str, *, federated: bool) -> Token:
    from azure.core.exceptions import AzureError
    from azure.core.pipeline.transport import AioHttpTransport
    from azure.identity.aio import ManagedIdentityCredential, WorkloadIdentityCredential

    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=client_context()),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,  # azure-core does
        trust_env=federated,  # a proxy leads to Microsoft Entra, and to no metadata
    ) as session:
        transport = AioHttpTransport(session=session, session_owner=False, use_env_settings=False)
        try:
            credential: Any
            if federated:
                credential = WorkloadIdentityCredential(transport=transport, retry_total=0)
            else:
                client = os.environ.get("AZURE_CLIENT_ID") or None
                credential = ManagedIdentityCredential(client_id=client, transport=transport, retry_total=0)
            found = await credential.get_token(scope)
        except (AzureError, OSError, ValueError) as error:
            require_foreign(error)
            raise _classified(error, federated=federated) from None
    claims = _claims(found.token)
    return Token(
        text=found.token,
        expires=float(found.expires_on),
        client=claims.get("appid") or claims.get("azp") or os.environ.get("AZURE_CLIENT_ID", ""),
        object=claims.get("oid", ""),
        tenant=claims.get("tid") or os.environ.get("AZURE_TENANT_ID", ""),
    )


def _claims(text: str) -> dict[str, str]:
    """What a token says of its owner; it is not verified here."""
    try:
        body = text.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    except (IndexError, ValueError):
        return {}
    return {str(key): str(value) for key, value in claims.items()} if isinstance(claims, dict) else {}


def _classified(error: Exception, *, federated: bool) -> AzureProblem:
    """The problem behind an exception of azure-identity, by the code of Microsoft Entra where it has one."""
    who = principal(os.environ.get("AZURE_CLIENT_ID", ""))
    if isinstance(error, FileNotFoundError | PermissionError):
        detail = f": its federated token cannot be read ({type(error).__name__})"
        return AzureProblem(R.NO_IDENTITY, detail=detail)
    found = _CODE.search(str(error))
    code = found[1] if found else ""
    if not federated:
        answer = getattr(error.__cause__, "status_code", None)
        if answer is None and getattr(error, "status_code", None) is None:
            return _no_metadata()
        if not os.environ.get("AZURE_CLIENT_ID"):
            return AzureProblem(R.NO_IDENTITY, detail=f", and {METADATA_ADDRESS} gives it none")
        return AzureProblem(R.IDENTITY_NOT_FOUND, principal=who, code=f"HTTP {answer or ''}".strip())
    tenant = f" in tenant {os.environ.get('AZURE_TENANT_ID', '')}"
    if code in _NO_IDENTITY:
        return AzureProblem(R.IDENTITY_NOT_FOUND, principal=who, tenant=tenant, code=f"AADSTS{code}")
    if code in _NO_FEDERATION:
        return AzureProblem(R.FEDERATION_REJECTED, principal=who, code=f"AADSTS{code}")
    if code:
        return AzureProblem(R.OTHER, what=f"a token of {who}", code=f"AADSTS{code}")
    return _unreachable("its answer is no token" if getattr(error, "status_code", None) else _kind(error))


def _kind(error: BaseException) -> str:
    """What kept a connection from being made, in a word: the innermost exception's kind."""
    found = error
    while inner := found.__cause__ or found.__context__ or getattr(found, "inner_exception", None):
        if inner is found:
            break
        found = inner
    return type(found).__name__


def _no_metadata() -> AzureProblem:
    if client := os.environ.get("AZURE_CLIENT_ID", ""):
        return AzureProblem(R.METADATA_UNREACHABLE, address=METADATA_ADDRESS, principal=principal(client))
    return AzureProblem(R.NO_IDENTITY, detail=f" ({METADATA_ADDRESS} was tried too)")


def _unreachable(detail: str) -> AzureProblem:
    host = os.environ.get("AZURE_AUTHORITY_HOST", "") or "login.microsoftonline.com"
    parts = urlsplit(host if "://" in host else f"https://{host}")
    return AzureProblem(R.UNREACHABLE, address=parts.netloc, detail=detail)
