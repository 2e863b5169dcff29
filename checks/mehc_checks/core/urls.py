"""Where a text has a URL with credentials; in linear time, whatever the text is."""

import re
from collections.abc import Iterator
from typing import Final

_LONGEST_SCHEME: Final = 32
_SCHEME: Final = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*$")
_END: Final = re.compile(r"[\s\"'<>`]")
_AUTHORITY_END: Final = re.compile(r"[/?#]")
_HOST_AND_PORT: Final = re.compile(r"(\[[0-9a-fA-F:.%]*\]|[^:]*)(:[0-9]{0,5})?")
_PARAMETER: Final = re.compile(r"[?&;]([\w.-]{1,40})=([^&;\s#\"'<>`]+)")
_HOST_BEHIND: Final = re.compile(r"@(?!sha\d+:)(?:[\w.-]+|\[[0-9a-fA-F:.%]*\]):[0-9]{1,5}(?=[/?#]|$)")
"""An "@" that is no part of a path: a host and its port follow."""
_WITH_PATHS: Final = frozenset({"http", "https", "s3", "gs", "oci", "docker", "file", "git", "ssh"})
"""Schemes after whose host an "@" may stand: in a path, a digest, a version."""


def user_info(text: str, *, whole: bool = False) -> Iterator[tuple[int, int]]:
    """Where each URL in ``text`` has its user info: from after "//" to before the "@".

    A password with a "/", "?" or "#" that should have been quoted is found too: what comes before it is no host and
    port, or the scheme's URLs have no "@" elsewhere. ``whole``: the text is a URL, and a quote or a space does not
    end it.
    """
    end = len(text) if whole else -1
    at = text.find("://")
    while at >= 0:
        start = at + 3
        if end < start:
            found = _END.search(text, start)
            end = found.start() if found else len(text)
        scheme = _SCHEME.search(text, max(0, at - _LONGEST_SCHEME), at)
        stop = _stop(text, start, end, scheme[0].lower()) if scheme else -1
        if stop > start:
            yield start, stop
        at = text.find("://", max(start, stop))


def parameters(text: str) -> Iterator[tuple[str, int, int]]:
    """Where the parameters of queries have their values, each with its name."""
    return ((found[1], *found.span(2)) for found in _PARAMETER.finditer(text))


def _stop(text: str, start: int, end: int, scheme: str) -> int:
    """Where the user info ends that begins at ``start`` of a URL that goes on to ``end``; -1 where it has none."""
    found = _AUTHORITY_END.search(text, start, end)
    limit = found.start() if found else end
    stop = text.rfind("@", start, limit)
    if stop < 0 and not (scheme in _WITH_PATHS and _HOST_AND_PORT.fullmatch(text, start, limit)):
        return text.rfind("@", limit, end)
    if stop < 0:
        for behind in _HOST_BEHIND.finditer(text, limit, end):
            stop = behind.start()
    return stop
