"""A TLS client of a server that leaves its hello without an answer: a plain answer beside it proves plain Redis."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import pytest

from mehc_checks.clients.network.connect import NetworkProblem
from mehc_checks.clients.network.reasons import NetworkReasons as N
from mehc_checks.clients.redis.conversation import conversation, reach
from mehc_checks.clients.redis.server import Server
from mehc_checks.core.errors import Problem
from testbed.pki import CertificateAuthority
from testbed.rawserver import RawServer, answers, silence
from testbed.redis import Redis

PASSWORD: Final = "pw-never-shown"
HOUR: Final = 3600.0
"""What a client may take: an answer that needs the whole of it fails the test's own limit."""
LIMIT: Final = 60.0


def client(address: str, **words: Any) -> Server:
    host, port = address.rsplit(":", 1)
    return Server(host=host, port=int(port), **words)


def address(server: Redis) -> str:
    return f"{server.host}:{server.port}"


async def begun(server: Server, timeout: float = HOUR) -> None:
    async with asyncio.timeout(LIMIT), conversation(server, timeout=timeout) as asked:
        await asked.ask("GET", "key")


async def problem(server: Server, timeout: float = HOUR) -> NetworkProblem:
    with pytest.raises(NetworkProblem) as caught:
        await begun(server, timeout)
    return caught.value


def crowd(server: Redis) -> None:
    server.call("CONFIG", "SET", "maxclients", "1")


@pytest.mark.parametrize(
    ("options", "change"),
    [
        ({}, None),
        ({"password": PASSWORD}, None),
        ({"users": {"default": "off"}}, None),
        ({"users": {"default": "on nopass -@all"}}, None),
        ({}, crowd),
    ],
    ids=["open", "a password", "no anonymous user", "no command allowed", "too many clients"],
)
async def test_plain_redis_is_told_at_once(
    options: Mapping[str, Any], change: Callable[[Redis], None] | None
) -> None:
    with Redis(**options) as server:
        if change:
            await asyncio.to_thread(change, server)
        found = await problem(client(address(server), password=PASSWORD, tls=True))
        assert found.reason is N.SERVER_NOT_TLS
        assert PASSWORD not in str(found)


async def test_so_it_is_where_no_login_is_to_be_tried() -> None:
    with Redis() as server, pytest.raises(NetworkProblem) as caught:
        async with asyncio.timeout(LIMIT):
            await reach(client(address(server), tls=True), timeout=HOUR)
    assert caught.value.reason is N.SERVER_NOT_TLS
    assert "answered PING in plain text" in str(caught.value)


async def test_a_short_time_suffices() -> None:
    with Redis() as server:
        found = await problem(client(address(server), tls=True), timeout=2)
    assert found.reason is N.SERVER_NOT_TLS


class Front:
    """In front of ``server``: TLS clients are served once another was told ``words``, and put off."""

    def __init__(self, server: Redis, words: bytes) -> None:
        self._server, self._words = server, words
        self.told = threading.Event()
        self.left = threading.Event()
        """Set when a TLS client has closed its connection."""

    def __call__(self, connection: socket.socket) -> None:
        first = connection.recv(1, socket.MSG_PEEK)
        if first != b"\x16":
            connection.sendall(self._words)
            self.told.set()
            return
        self.told.wait(LIMIT)
        with socket.create_connection((self._server.host, self._server.port)) as behind:
            threading.Thread(target=_pour, args=(behind, connection), daemon=True).start()
            _pour(connection, behind)
        self.left.set()


def _pour(source: socket.socket, into: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            into.sendall(data)
        into.shutdown(socket.SHUT_WR)


@pytest.fixture(scope="module")
def secured(certificate_authority: CertificateAuthority) -> Iterator[Redis]:
    with Redis(tls=True, ca=certificate_authority) as server:
        yield server


REFUSALS: Final = {
    "closed": b"",
    "an alert": b"\x15\x03\x03\x00\x02\x02\x46",
    "as Redis Enterprise": b"-ERR unencrypted connection is prohibited\r\n",
    "as Dragonfly": b"-ERR Bad TLS header, double check if you enabled TLS for your client.\r\n",
    "of HTTP": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "without an end": b"+" * 100_000,
}
"""What a TLS port answers a client that begins without."""


@pytest.mark.parametrize("refusal", REFUSALS)
async def test_a_slow_tls_server_is_waited_for(refusal: str, secured: Redis) -> None:
    front = Front(secured, REFUSALS[refusal])
    with RawServer(front) as server:
        await begun(client(server.address, tls=True, verify=False))
        assert await asyncio.to_thread(front.left.wait, LIMIT)


async def test_a_quick_one_is_not_asked_in_plain_text(secured: Redis) -> None:
    before = secured.call("INFO", "stats")["total_connections_received"]
    await begun(client(address(secured), tls=True, verify=False))
    after = secured.call("INFO", "stats")["total_connections_received"]
    assert after - before == 2, "the client's connection, and that of this question"


async def test_silence_proves_nothing() -> None:
    with RawServer(silence) as server:
        found = await problem(client(server.address, tls=True), timeout=2)
    assert found.reason is N.CONNECTION_TIMEOUT


@pytest.mark.parametrize("password", ["", PASSWORD])
@pytest.mark.parametrize("refusal", ["as Redis Enterprise", "as Dragonfly"])
async def test_a_tls_port_that_tells_plain_clients_so(refusal: str, password: str) -> None:
    with RawServer(answers(REFUSALS[refusal])) as server, pytest.raises(Problem) as caught:
        await begun(client(server.address, password=password))
    assert caught.value.reason is N.TLS_REQUIRED
