"""Names of one part, as pods of another namespace resolve them.

A pod's resolver appends the domains of its own namespace first: ``redis`` is ``redis.NAMESPACE.svc.cluster.local``. The
operator is in a namespace of its own, where such a name is another Service, or none. Source: resolv.conf(5), and what
the kubelet writes into it for the DNS policy ClusterFirst.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from typing import Final

RESOLV_CONF: Final = Path("/etc/resolv.conf")
_OF_NAMESPACE: Final = re.compile(r"(?P<namespace>[^.]+)\.svc\.(?P<domain>.+)")

_namespace: ContextVar[str] = ContextVar("namespace", default="")


@contextmanager
def of_namespace(namespace: str) -> Iterator[None]:
    """In the block, and in the tasks that it begins, names mean what they mean to pods of ``namespace``; "": to us."""
    token = _namespace.set(namespace)
    try:
        yield
    finally:
        _namespace.reset(token)


def spelled(host: str) -> tuple[str, ...]:
    """The names to look up for ``host``, in their order; ``host`` itself where it means the same to us."""
    namespace = _namespace.get()
    if not namespace or not host or "." in host or ":" in host or host.lower() == "localhost":
        return (host,)
    return candidates(host, namespace, _search())


def candidates(host: str, namespace: str, search: tuple[str, ...]) -> tuple[str, ...]:
    """``spelled``, where ``search`` is our own list of domains."""
    own = next(filter(None, map(_OF_NAMESPACE.fullmatch, search)), None)
    if own is None or own["namespace"] == namespace:
        return (host,)
    theirs = (f"{namespace}.svc.{own['domain']}" if domain == own[0] else domain for domain in search)
    return (*(f"{host}.{domain.rstrip('.')}." for domain in theirs), f"{host}.")


@cache
def _search() -> tuple[str, ...]:
    """The domains of our own resolver: a pod's do not change while it lives."""
    try:
        lines = RESOLV_CONF.read_text(errors="replace").splitlines()
    except OSError:
        return ()
    words = [line.split() for line in lines]
    lists = [found[1:] for found in words if found[:1] in (["search"], ["domain"])]
    return tuple(lists[-1]) if lists else ()
