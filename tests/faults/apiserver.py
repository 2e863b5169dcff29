"""An API server behind a proxy that answers in its place for a while, and the operator's own credentials.

The operator runs as in a pod: it finds the API server by its environment, and its token where a kubelet puts it.
"""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from faults.arena import Arena, Attack
from faults.servers import redis_spec
from testbed.apiproxy import ApiProxy, passes
from testbed.deployedoperator import NAME
from testbed.healthchecks import Cluster, manifest
from testbed.httpserver import Reply, Request
from testbed.projected import ProjectedAccount
from testbed.rawserver import silence
from testbed.waiting import eventually

PATIENCE = 240.0
CACHED = 11.0
"""Seconds after which the API server rejects a token whose Secret is gone."""
PAGE = {"Content-Type": "text/html"}
JSON = {"Content-Type": "application/json"}
WRONG_CHARSET = {"Content-Type": "application/json; charset=utf-8"}


def status(code: int, reason: str, message: str) -> bytes:
    """The API server's own kind of error."""
    body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason}
    return json.dumps({**body, "message": message}).encode()


def event_of_error(code: int, reason: str, message: str) -> bytes:
    """How a watch that has begun tells of an error."""
    return json.dumps({"type": "ERROR", "object": json.loads(status(code, reason, message))}).encode() + b"\n"


def is_watch(request: Request) -> bool:
    return "watch=true" in request.path


def every(_: Request) -> bool:
    return True


ENOUGH = {every: 12, is_watch: 8}
"""Requests that are answered wrongly: of the watches, the Lease, and the status of the healthy resource."""


@contextmanager
def behind(arena: Arena) -> Iterator[None]:
    """The operator of ``arena`` runs behind a proxy, ``arena.proxy``, with the token of ``arena.account``."""
    operator = arena.operator
    account = ProjectedAccount(arena.plane, NAME, operator.account, operator.directory / "account")
    with ApiProxy(arena.plane) as proxy:
        arena.proxy, arena.account = proxy, account
        operator.mounts, operator.api_port = account.mounts, proxy.port
        try:
            arena.restart()
            yield
        finally:
            operator.mounts, operator.api_port = "", 0
            arena.restart()


@contextmanager
def answered(proxy: ApiProxy, reply: Reply, whom: Callable[[Request], bool]) -> Iterator[None]:
    """Connections end, and requests of the new ones are answered so."""
    proxy.answered = 0
    proxy.answer = lambda request: reply if whom(request) else None
    proxy.drop()
    try:
        yield
    finally:
        proxy.answer = passes


def answering(reply: Reply, whom: Callable[[Request], bool], arena: Arena, _: Cluster) -> None:
    with answered(arena.proxy, reply, whom):
        arena.ask()
        eventually(lambda: arena.proxy.answered, lambda count: count >= ENOUGH[whom], PATIENCE)
        assert arena.operator.get("/healthz")[0] == 200
        assert arena.operator.get("/metrics")[0] == 200


def rotated(arena: Arena, _: Cluster) -> None:
    arena.account.rotate()
    arena.account.revoke()
    arena.proxy.drop()
    time.sleep(CACHED)
    for _ in range(3):
        arena.run()


def deleted_unseen(arena: Arena, tenant: Cluster) -> None:
    """What is deleted meanwhile is not probed for ever."""
    name = "short-lived"
    arena.plane.api("POST", tenant.path, manifest({"suspend": True}, name))

    def is_shown() -> bool:
        page = arena.operator.get("/metrics")[1]
        return any(name in line and tenant.namespace in line for line in page.splitlines())

    eventually(is_shown, bool, PATIENCE)
    with answered(arena.proxy, TO_WATCHES["410 to watches"], is_watch):
        eventually(lambda: arena.proxy.answered, bool, PATIENCE)
        arena.plane.api("DELETE", f"{tenant.path}/{name}")
    eventually(is_shown, lambda shown: not shown, PATIENCE)


def of(name: str, act: Callable[[Arena, Cluster], None]) -> Attack:
    says = "ConnectionTimeout"
    return Attack(name=f"API server: {name}", script=silence, spec=redis_spec, act=act, says=says)


ANSWERS = {
    "429 with Retry-After, a day": Reply(
        429, status(429, "TooManyRequests", "too many requests"), {**JSON, "Retry-After": "86400"}
    ),
    "429 with a date as Retry-After": Reply(
        429, b"slow down", {**PAGE, "Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}
    ),
    "500 from etcd's change of leader": Reply(
        500, status(500, "InternalError", "etcdserver: leader changed"), JSON
    ),
    "503 with a page that is no text": Reply(503, b"\xff\xfe<html>", WRONG_CHARSET),
    "504": Reply(504, status(504, "Timeout", "Timeout: request did not complete"), JSON),
    "401 while tokens cannot be looked up": Reply(401, status(401, "Unauthorized", "Unauthorized"), JSON),
    "404 with a proxy's page": Reply(404, b"<html>default backend - 404</html>", PAGE),
    "200 with a proxy's page": Reply(200, b"<html>maintenance</html>", PAGE),
}
"""To everything."""
TO_WATCHES = {
    "410 to watches": Reply(410, status(410, "Expired", "too old resource version"), JSON),
    "watches that end with 410": Reply(200, event_of_error(410, "Expired", "too old resource version"), JSON),
    "watches that end with 500": Reply(
        200, event_of_error(500, "InternalError", "etcdserver: no leader"), JSON
    ),
    "watches of another shape": Reply(200, b'{"type": "ADDED"}\n[]\n', JSON),
}

API_FAULTS = [
    *[of(name, partial(answering, reply, every)) for name, reply in ANSWERS.items()],
    *[of(name, partial(answering, reply, is_watch)) for name, reply in TO_WATCHES.items()],
    of("the operator's token is replaced, and the one before it rejected", rotated),
    of("a resource is deleted while nothing can be watched", deleted_unseen),
]
"""For an operator that is ``behind`` a proxy."""
