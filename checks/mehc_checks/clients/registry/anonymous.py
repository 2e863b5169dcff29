"""What a registry shows to a client that has no credentials, and that follows no redirect."""

import json
import re
from http import HTTPStatus
from typing import Final
from urllib.parse import quote, urlencode

from yarl import URL

from mehc_checks.clients.network.place import is_loopback
from mehc_checks.clients.registry.connections import Connections
from mehc_checks.clients.registry.exchange import (
    Access,
    Answer,
    Exchange,
    address_of,
    is_link_local,
)
from mehc_checks.clients.registry.manifest import ACCEPTED
from mehc_checks.clients.registry.reasons import RegistryReasons as R
from mehc_checks.core.errors import Problem
from mehc_checks.core.outcome import Status

_BEARER = re.compile(r"bearer\s+(.*)", re.IGNORECASE)
_PARAMETER = re.compile(r'(\w+)="([^"]*)"')
_TOKEN_BYTES: Final = 64 * 1024


async def hidden(
    host: str,
    repository: str,
    tag: str,
    *,
    access: Access,
    timeout: float,
    connections: Connections | None = None,
) -> str:
    """Why a HEAD of the manifest does not return 200, in a few words; "" where it does. ``timeout`` is in seconds.

    Over HTTPS only. A Bearer challenge is met with a token for anonymous clients; no other is. Raises Problem for what
    this process does not do and others may: then nothing is known.
    """
    headers = {"Accept": ", ".join(ACCEPTED[:-1])}
    try:
        url = URL(f"https://{host}/v2/{quote(repository)}/manifests/{quote(tag)}", encoded=True)
        async with Exchange(access, timeout=timeout, connections=connections) as exchange:
            answer = await exchange.once("HEAD", url, headers, 0)
            token = await _token(exchange, answer, access)
            if token:
                answer = await exchange.once("HEAD", url, {**headers, "Authorization": f"Bearer {token}"}, 0)
    except Problem as problem:
        if problem.reason.status is Status.ERROR:
            raise
        return str(problem)
    except ValueError:
        return f"{host!r} is not a host"
    if answer.status == HTTPStatus.OK:
        return ""
    what = " (a redirect)" if HTTPStatus.MULTIPLE_CHOICES <= answer.status < HTTPStatus.BAD_REQUEST else ""
    return f"HTTP {answer.status}{what}"


async def _token(exchange: Exchange, answer: Answer, access: Access) -> str:
    """The token for anonymous clients of the service that a challenge names; "" for none. Raises Problem."""
    if answer.status != HTTPStatus.UNAUTHORIZED:
        return ""
    parameters = [
        dict(_PARAMETER.findall(bearer[1])) for text in answer.challenges if (bearer := _BEARER.match(text))
    ]
    if not parameters or "realm" not in parameters[0]:
        return ""
    realm = parameters[0]["realm"]
    query = urlencode({name: parameters[0][name] for name in ("service", "scope") if name in parameters[0]})
    try:
        url = URL(f"{realm}{'&' if '?' in realm else '?'}{query}", encoded=True)
        target, asked = address_of(url), URL(f"//{answer.address}").host or ""
    except ValueError:
        return ""
    if is_link_local(target) or (is_loopback(url.host or "") and not is_loopback(asked)):
        return ""
    if url.scheme != "https" and not access.follows_to_plain(target):
        raise Problem(R.REDIRECT_NOT_FOLLOWED, host=answer.address, target=target)
    found = await exchange.once("GET", url, {}, _TOKEN_BYTES)
    try:
        content = json.loads(found.body)
        token = content.get("token") or content.get("access_token")
    except (ValueError, AttributeError, RecursionError):
        return ""
    usable = found.status == HTTPStatus.OK and isinstance(token, str) and token.isascii()
    return token if usable and token.isprintable() else ""
