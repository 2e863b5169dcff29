"""What each check under way is waiting for, for whoever shows its progress. Nothing is noted unless somebody does."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

Awaited = dict[str, str]
"""By check, the server that it has turned to last, as host:port; "" before the first."""

_SHOWN: Final[ContextVar[Awaited | None]] = ContextVar("awaited", default=None)
_HOST: Final = re.compile(r"[A-Za-z0-9.:_-]{1,253}")
"""What is shown at a terminal: a name or an address, and nothing that steers it."""
_CHECK: Final[ContextVar[str]] = ContextVar("check under way", default="")


@contextmanager
def shown() -> Iterator[Awaited]:
    """What is awaited in tasks that begin within this context, kept up to date."""
    awaited: Awaited = {}
    token = _SHOWN.set(awaited)
    try:
        yield awaited
    finally:
        _SHOWN.reset(token)


@contextmanager
def under_way(check: str) -> Iterator[None]:
    """``check`` is carried out in this context."""
    awaited = _SHOWN.get()
    if awaited is None:
        yield
        return
    awaited[check] = ""
    token = _CHECK.set(check)
    try:
        yield
    finally:
        _CHECK.reset(token)
        awaited.pop(check, None)


def turned_to(host: str, port: int) -> None:
    """The check of this context asks a server."""
    awaited, check = _SHOWN.get(), _CHECK.get()
    if awaited is not None and check in awaited and _HOST.fullmatch(host):
        awaited[check] = f"{host}:{port}"
