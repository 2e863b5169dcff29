"""Texts of other components, made fit to show: short, on one line, without what may be a credential."""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from mehc_checks.core import duration
from mehc_checks.core.redact import MASK

_LIMIT: Final = 200
_DIGEST = re.compile(r"(sha256:[0-9a-f]{12})[0-9a-f]{20,}")
_USER_INFO = re.compile(r"(?P<scheme>[a-zA-Z][a-zA-Z0-9+.-]*://)[^\s/@\"']*@")
_QUERY = re.compile(r"(https?://[^\s?\"']+)\?[^\s\"']+")
_ASSIGNED = re.compile(
    r"(?i)\b([\w.-]*(?:passw(?:or)?d|secret|token|api[_-]?key|credential|authorization)[\w.-]*\"?\s*[=:]\s*\"?)"
    r"(?:(?:bearer|basic)\s+)?([^\s\",;]{3,})"
)
_BEARER = re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}")
_BLOB = re.compile(r"\b(?=[A-Za-z0-9+/_-]*[0-9])(?=[A-Za-z0-9+/_-]*[A-Z])[A-Za-z0-9+_-]{28,}={0,2}")


def shortened(text: str, limit: int = _LIMIT) -> str:
    """``text`` as one line of at most ``limit`` characters; digests cut, likely credentials masked."""
    line = " ".join(text.split())
    line = _USER_INFO.sub(rf"\g<scheme>{MASK}@", line)
    line = _QUERY.sub(rf"\1?{MASK}", line)
    line = _BEARER.sub(rf"\1 {MASK}", line)
    line = _ASSIGNED.sub(rf"\1{MASK}", line)
    line = _DIGEST.sub(r"\1", line)
    line = _BLOB.sub(MASK, line)
    return line if len(line) <= limit else f"{line[: limit - 1].rstrip()}…"


def ago(now: datetime, then: datetime | None) -> str:
    """How long ``then`` is past, for people: "4m10s"; "an unknown time" where it is unknown."""
    if then is None:
        return "an unknown time"
    return duration.show(timedelta(seconds=max(0, round((now - then).total_seconds()))))


def since(then: datetime | None) -> str:
    """ "since 2026-11-24T16:03Z": unlike a length of time, it is the same at the next pass."""
    return "for an unknown time" if then is None else f"since {then.astimezone(UTC):%Y-%m-%dT%H:%MZ}"


def counted(count: int, what: str) -> str:
    """ "1 pod", "3 pods"."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def byte_count(count: int) -> str:
    """ "19.1 GB", "12 B"."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size / 10:
            return f"{count / size:.1f} {unit}"
    return f"{count} B"
