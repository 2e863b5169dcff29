"""Texts of other components, made fit to show: short, on one line, without what may be a credential."""

import difflib
import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final

from mehc_checks.core import duration
from mehc_checks.core.redact import MASK

_LIMIT: Final = 200
_CUT: Final = "…"
_DIGEST = re.compile(r"(sha256:[0-9a-f]{12})[0-9a-f]{20,}")
_USER_INFO = re.compile(r"(?P<scheme>[a-zA-Z][a-zA-Z0-9+.-]*://)(?P<user>[^\s/@\"']*)@")
_EXAMPLE = re.compile(r"(?i)(?:<[^>]*>|\$?\{[^}]*\}|user(?:name)?|passw(?:or)?d|[…:*])+")
"""What stands for a user and a password in an address that is an example."""
_QUERY = re.compile(r"(https?://[^\s?\"']+)\?[^\s\"']+")
_SECRET_NAME = r"[\w.-]*(?:passw(?:or)?d|secret|token|api[_-]?key|credential|authorization)[\w.-]*"  # noqa: S105 - no password
_ASSIGNED = re.compile(
    rf"(?i)\b(?P<name>{_SECRET_NAME}(?P<sign>\"?\s*=\s*\"?|\"\s*:\s*\"?|:\s*\"?))"
    r"(?P<scheme>(?:bearer|basic)\s+)?(?P<value>[^\s\",;]{3,})"
)
_WORD = re.compile(r"[A-Za-z]?[a-z_/'-]*[:.)]*")
"""A word of a sentence: errors in Go put a colon after any noun, as in "token: unexpected status"."""
_NUMBER = re.compile(r"\d{1,7}")
_BEARER = re.compile(r"(?i)\b(bearer|basic)\s+(?=[A-Za-z._~+/-]*[0-9=])[A-Za-z0-9._~+/=-]{8,}")
_BLOB = re.compile(r"\b(?=[A-Za-z0-9+/_-]*[0-9])(?=[A-Za-z0-9+/_-]*[A-Z])[A-Za-z0-9+_-]{28,}={0,2}")
_DEVICE = re.compile(r"(?i)[A-Z]+-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""The name of a GPU, or of a part of one."""
_ADDRESS = re.compile(r"\"?(?:https?://)?[\w.-]+(?::\d+)?(?:/[\w.-]+)+(?::[\w.-]+)?(?:@sha256:\w+)?\"?")
"""An image or a URL, quoted or not."""
_PART_OF_NAME = re.compile("[A-Za-z0-9]+")


_MOST_COMPARED: Final = 1000
_LONGEST_COMPARED: Final = 64
"""Names that are compared with a misspelt one, the last ones if there are more, and how long each may be."""


def nearest(name: str, known: Iterable[str], *, most: int = 1, cutoff: float = 0.6) -> list[str]:
    """Those of ``known`` that ``name`` was probably meant to be, the likeliest first; none for a very long one."""
    if len(name) > _LONGEST_COMPARED:
        return []
    compared = [each for each in known if len(each) <= _LONGEST_COMPARED][-_MOST_COMPARED:]
    return difflib.get_close_matches(name, compared, most, cutoff)


def shortened(text: str, limit: int = _LIMIT) -> str:
    """``text`` as one line of at most ``limit`` characters; digests cut, likely credentials masked.

    The end stays, where container runtimes and Go put the cause: names of images and URLs that are repeated go first,
    then the middle.
    """
    line = masked(" ".join(text.split()))
    if len(line) > limit:
        line = _said_once(line)
    if len(line) <= limit:
        return line
    head = line[: limit // 3].rpartition(" ")[0] or line[: limit // 3]
    rest = line[-(limit - len(head) - 3) :]
    tail = rest.partition(" ")[2] if " " in rest[: limit // 3] else rest
    return f"{head} {_CUT} {tail}"[-limit:].strip()


def masked(line: str) -> str:
    """``line`` without what is, or looks like, a credential. Words of sentences and examples of addresses stay."""
    line = _USER_INFO.sub(lambda found: _unless(_EXAMPLE, found, "user", f"{found['scheme']}{MASK}@"), line)
    line = _QUERY.sub(rf"\1?{MASK}", line)
    line = _BEARER.sub(rf"\1 {MASK}", line)
    line = _ASSIGNED.sub(_assigned, line)
    line = _DIGEST.sub(r"\1", line)
    return _BLOB.sub(lambda found: _unless(_DEVICE, found, 0, MASK), line)


def _unless(innocent: re.Pattern[str], found: re.Match[str], group: str | int, replaced: str) -> str:
    return found[0] if innocent.fullmatch(found[group]) else replaced


def _assigned(found: re.Match[str]) -> str:
    prose = found["sign"].startswith(":") and not found["scheme"]
    if (prose and _WORD.fullmatch(found["value"])) or _NUMBER.fullmatch(found["value"]):
        return found[0]
    return f"{found['name']}{MASK}"


def _said_once(line: str) -> str:
    """``line`` without images and URLs that it has named before."""
    seen: set[str] = set()

    def once(found: re.Match[str]) -> str:
        name = found[0].strip('"')
        if name in seen:
            return ""
        seen.add(name)
        return found[0]

    return re.sub(r"\s*:(?:\s+:)+|\s+(?=[:,.;])|(?<=\s)\s+", _joint, _ADDRESS.sub(once, line)).strip()


def _joint(found: re.Match[str]) -> str:
    """What is left between two parts of a line when a name between them is gone."""
    return ":" if ":" in found[0] else ""


def middle(text: str, limit: int = _LIMIT) -> str:
    """``shortened``, but cut in the middle: container runtimes, Go and Helm put the cause last."""
    line = shortened(text, len(text) + _LIMIT)
    if len(line) <= limit:
        return line
    head = limit // 3
    return f"{line[:head].rstrip()} … {line[-(limit - head - 3) :].lstrip()}"


def ago(now: datetime, then: datetime | None) -> str:
    """How long ``then`` is past, for people: "4m10s"; "an unknown time" where it is unknown."""
    if then is None:
        return "an unknown time"
    return duration.show(timedelta(seconds=max(0, round((now - then).total_seconds()))))


def since(then: datetime | None) -> str:
    """ "since 2026-11-24T16:03Z": unlike a length of time, it is the same at the next probe run."""
    return "for an unknown time" if then is None else f"since {dated(then)}"


def dated(then: datetime) -> str:
    """ "2026-11-24T16:03Z"."""
    return f"{then.astimezone(UTC):%Y-%m-%dT%H:%MZ}"


def counted(count: int, what: str) -> str:
    """ "1 pod", "3 pods"."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def byte_count(count: int) -> str:
    """ "19.1 GB", "12 B"."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size / 10:
            return f"{count / size:.1f} {unit}"
    return f"{count} B"


def camel(text: str) -> str:
    """``text`` as a camelCase name: "gateway (async tasks)" is "gatewayAsyncTasks"."""
    head, *rest = _PART_OF_NAME.findall(text) or [""]
    words = [head[:1].lower() + head[1:], *(word[:1].upper() + word[1:] for word in rest)]
    return "".join(words)
