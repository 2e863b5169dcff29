"""Passwords that are tokens and say themselves when they expire."""

import base64
import json
from datetime import UTC, datetime
from typing import Any, Final

_JWT_PARTS: Final = 3
_LATEST: Final = 253402300799
"""The last second of the year 9999: what is later is no time."""


def expiry(password: str) -> datetime | None:
    """When ``password`` expires, if it is a token of ECR (12 hours after its issue) or a JSON Web Token (ACR)."""
    parts = password.split(".")
    if len(parts) == _JWT_PARTS:
        return _moment(_decoded(parts[1]).get("exp"))
    return _moment(_decoded(password).get("expiration"))


def _decoded(text: str) -> dict[str, Any]:
    """The JSON object that ``text`` is the base64 of, in either alphabet; empty where it is none."""
    try:
        padded = text.translate(str.maketrans("-_", "+/")) + "=" * (-len(text) % 4)
        content = json.loads(base64.b64decode(padded, validate=True))
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _moment(seconds: Any) -> datetime | None:
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds < _LATEST:
        return None
    return datetime.fromtimestamp(seconds, UTC)
