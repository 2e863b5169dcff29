"""One HTTP exchange against servers that do it wrong: each ends in time, within its bounds, with its own reason."""

import asyncio
import contextlib
import gzip
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from mehc_checks.clients.http import exchange as http
from mehc_checks.clients.http.reasons import HttpReasons as R
from mehc_checks.clients.network.connect import NetworkProblem
from mehc_checks.core.outcome import Reason
from testbed import ports
from testbed.httpserver import Reply, Request, ScriptedServer
from testbed.pki import CertificateAuthority

Peer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def serving(peer: Peer) -> AsyncIterator[str]:
    async def quiet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, EOFError, asyncio.CancelledError):
            await peer(reader, writer)
        writer.close()

    server = await asyncio.start_server(quiet, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


def sending(*pieces: bytes, pause: float = 0) -> Peer:
    """Sends the pieces after the request's head, with a pause after each."""

    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause)

    return peer


async def blunt(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """As servers of plain HTTP do: whatever begins otherwise gets an answer at once."""
    await reader.read(1)
    writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")


HEAD = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    ("peer", "reason"),
    [
        pytest.param(sending(b"", pause=9), R.CONNECTION_TIMEOUT, id="silent"),
        pytest.param(sending(HEAD, pause=9), R.CONNECTION_TIMEOUT, id="stops within the headers"),
        pytest.param(
            sending(HEAD, *[b"X-Header: 1\r\n"] * 90, pause=0.1), R.CONNECTION_TIMEOUT, id="headers in drops"
        ),
        pytest.param(
            sending(HEAD + b"Content-Length: 900\r\n\r\n", *[b"x"] * 90, pause=0.1),
            R.CONNECTION_TIMEOUT,
            id="a body in drops",
        ),
        pytest.param(sending(), R.CONNECTION_CLOSED, id="hangs up"),
        pytest.param(sending(HEAD), R.CONNECTION_CLOSED, id="hangs up within the headers"),
        pytest.param(sending(HEAD + b"Content-Length: 9\r\n\r\nx"), R.CONNECTION_CLOSED, id="cut short"),
        pytest.param(sending(b"+OK ready\r\n"), R.SERVER_NOT_HTTP, id="another protocol"),
        pytest.param(sending(b"\x15\x03\x01\x00\x02\x02\x16"), R.SERVER_NOT_HTTP, id="a TLS alert"),
        pytest.param(sending(HEAD + b"Content-Encoding: gzip\r\n\r\n{}"), R.SERVER_NOT_HTTP, id="not gzip"),
        pytest.param(
            sending(HEAD + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(b"x" * 99)[:-9]),
            R.SERVER_NOT_HTTP,
            id="gzip cut short",
        ),
    ],
)
async def test_a_fault_has_its_reason_before_its_server_ends(peer: Peer, reason: Reason) -> None:
    async with serving(peer) as url:
        with pytest.raises(NetworkProblem) as caught:
            await http.get(url, timeout=0.5)
    assert caught.value.reason is reason
    assert url.removeprefix("http://") in str(caught.value)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("https://{refused}", R.CONNECTION_REFUSED),
        ("http://localhost:{port}", R.CONNECTION_REFUSED),
        ("http://prometheus.invalid", R.HOST_UNRESOLVABLE),
    ],
)
async def test_there_is_nobody(url: str, reason: Reason) -> None:
    with ports.refused_port() as (host, port), pytest.raises(NetworkProblem) as caught:
        await http.get(url.format(refused=f"{host}:{port}", port=port), timeout=20)
    assert caught.value.reason is reason


async def test_tls_is_by_the_given_context() -> None:
    authority, foreign = CertificateAuthority(), CertificateAuthority()
    trusting = ssl.create_default_context(cafile=str(authority.ca_file))
    for certificate, reason in (
        (authority.issue(), None),
        (foreign.issue(), R.TLS_UNTRUSTED),
        (authority.expired(), R.TLS_EXPIRED),
        (authority.wrong_host(), R.TLS_WRONG_HOST),
    ):
        with ScriptedServer(lambda _: Reply(204), certificate=certificate) as server:
            if reason is None:
                assert (await http.get(server.url, tls=trusting, timeout=20)).ok
                continue
            with pytest.raises(NetworkProblem) as caught:
                await http.get(server.url, tls=trusting, timeout=20)
            assert caught.value.reason is reason
    async with serving(blunt) as url:
        with pytest.raises(NetworkProblem) as caught:
            await http.get(url.replace("http", "https"), tls=trusting, timeout=20)
    assert caught.value.reason is R.SERVER_NOT_TLS


async def test_a_body_is_bounded_packed_and_unpacked() -> None:
    bomb = gzip.compress(b"x" * 50_000_000)
    replies = {
        "/plain": Reply(200, b"x" * 3000),
        "/small": Reply(200, gzip.compress(b'{"a": 1}'), {"Content-Encoding": "gzip"}),
        "/bomb": Reply(200, bomb, {"Content-Encoding": "gzip"}),
        "/deep": Reply(200, b"[" * 900),
    }
    with ScriptedServer(lambda request: replies[request.path]) as server:
        plain, small, large, deep = [
            await http.get(server.url + path, timeout=20, most=1000) for path in replies
        ]
    assert (len(plain.body), plain.complete) == (1000, False)
    assert (small.json(), small.complete) == ({"a": 1}, True)
    assert len(large.body) <= 1000
    assert not large.complete
    assert deep.json() is None


async def test_a_request_is_sent_byte_for_byte() -> None:
    seen: list[Request] = []

    def script(request: Request) -> Reply:
        seen.append(request)
        return Reply(302, b"", {"Location": "/elsewhere"})

    with ScriptedServer(script) as server:
        url = server.url.replace("://", "://us%40er:p%C3%A4ss@") + "/a//../b%2Fc?query=%7B%7D+x"
        response = await http.get(url, timeout=20)
    (request,) = seen
    assert response.status == 302
    assert request.path == "/a//../b%2Fc?query=%7B%7D+x"
    assert request.login == ("us@er", "päss")


@pytest.mark.parametrize("url", ["ftp://host", "prometheus:9090", "http://", "http://host:port"])
async def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"URL|port"):
        await http.get(url, timeout=1)
