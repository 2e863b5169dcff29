"""Challenges for credentials, and what meets them."""

import base64
import json
import re
from typing import Any, Final

from mehc_checks.clients.registry.keyring import Login

_PARAMETER = re.compile(r'([A-Za-z_]+)=(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')
_TOKEN = re.compile(r"[A-Za-z0-9\-._~+/=]+")
_UNSAID: Final = 60.0
"""Seconds that a token lasts whose service does not say."""
_EARLY: Final = 10.0
"""Seconds before its end from which on a token is not used."""
_SHORTEST: Final = 5.0


def challenge(text: str) -> tuple[str, dict[str, Any]]:
    """Scheme and parameters of a WWW-Authenticate header."""
    scheme, _, rest = text.strip().partition(" ")
    parameters = {
        match[1].lower(): re.sub(r"\\(.)", r"\1", match[2]) if match[2] is not None else match[3]
        for match in _PARAMETER.finditer(rest)
    }
    return scheme.lower(), parameters


def basic(login: Login) -> str:
    """The header Authorization that ``login`` is."""
    return f"Basic {base64.b64encode(f'{login.username}:{login.password}'.encode()).decode()}"


def token_of(body: bytes) -> tuple[str, float] | None:
    """The token in a token service's answer, and for how many seconds to use it; None where there is none."""
    try:
        content = json.loads(body)
        token = content.get("token") or content.get("access_token")
    except (ValueError, AttributeError, RecursionError):
        return None
    if not isinstance(token, str) or not _TOKEN.fullmatch(token):
        return None
    lasts = content.get("expires_in")
    known = isinstance(lasts, int | float) and not isinstance(lasts, bool) and lasts > 0
    return token, max(_SHORTEST, (float(lasts) if known else _UNSAID) - _EARLY)
