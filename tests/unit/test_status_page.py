"""The status page over HTTP: what it answers, to whom, and how much of it."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import aiohttp
import pytest

from mehc_operator import statuspage
from mehc_operator.board import Board
from mehc_operator.fleet import ROWS
from testbed.ports import LOOPBACK
from testbed.stored import HOSTILE, NOW, failing, healthy, resource

LIMIT = 60
"""Seconds for what takes milliseconds."""


@pytest.fixture
async def board() -> Board:
    board = Board()
    board.observe(resource("acme", "broken", **failing()))
    board.observe(resource("acme", "sound", **healthy()))
    board.observe(resource("other", "sound", **healthy()))
    return board


@pytest.fixture
async def client(board: Board) -> AsyncIterator[aiohttp.ClientSession]:
    async with (
        statuspage.serving(LOOPBACK, 0, board, lambda: NOW) as port,
        aiohttp.ClientSession(f"http://{LOOPBACK}:{port}", timeout=aiohttp.ClientTimeout(LIMIT)) as client,
    ):
        yield client


async def text(client: aiohttp.ClientSession, path: str, status: int = 200) -> str:
    async with client.get(path) as response:
        assert response.status == status
        return await response.text()


def named(page: str) -> list[str]:
    """The installations in a page of the fleet."""
    return re.findall(r'<th scope="row"><a id="installations/([^"]+)"', page)


async def test_the_fleet_is_filtered_by_the_query(client: aiohttp.ClientSession) -> None:
    page = await text(client, "/")
    assert "<h1>3 installations</h1>" in page
    assert named(page) == ["acme/broken", "acme/sound", "other/sound"]
    assert "RedisReachable/<wbr>ConnectionRefused" in page
    assert named(await text(client, "/?health=Healthy")) == ["acme/sound", "other/sound"]
    assert named(await text(client, "/?health=Healthy&namespace=other")) == ["other/sound"]
    nothing = await text(client, "/?health=Nope&namespace=%3Cscript%3E&page=-1")
    assert named(nothing) == []
    assert "No installation matches the filter." in nothing


async def test_an_installation_has_a_page(client: aiohttp.ClientSession) -> None:
    page = await text(client, "/installations/acme/broken")
    assert "<h1>acme/broken</h1>" in page
    assert "Start Redis, then run <code>kubectl get pods -n acme</code>." in page
    missing = await text(client, "/installations/acme/%3Cscript%3Ex", 404)
    assert "has no ModelEngineHealthCheck &lt;script&gt;x" in missing
    await text(client, "/installations/acme", 404)


async def test_it_only_reads(client: aiohttp.ClientSession) -> None:
    for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
        async with client.request(method, "/") as response:
            assert response.status == 405
    async with client.head("/") as response:
        assert (response.status, await response.read()) == (200, b"")


async def test_nothing_can_run_be_framed_or_be_kept(client: aiohttp.ClientSession) -> None:
    for path in ("/", "/installations/acme/broken", "/installations/x/y", "/nope"):
        async with client.get(path) as response:
            policy = response.headers["Content-Security-Policy"]
            assert policy.startswith("default-src 'none'; ")
            assert "unsafe" not in policy
            assert "frame-ancestors 'none'" in policy
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            assert response.headers["Cache-Control"] == "no-cache"
            assert "Set-Cookie" not in response.headers


async def test_a_page_that_the_reader_has_is_not_sent_again(
    client: aiohttp.ClientSession, board: Board
) -> None:
    async with client.get("/") as response:
        tag = response.headers["ETag"]
    async with client.get("/", headers={"If-None-Match": tag}) as response:
        assert (response.status, await response.read()) == (304, b"")
    board.observe(resource("acme", "sound", version=2, **failing()))
    async with client.get("/", headers={"If-None-Match": tag}) as response:
        assert response.status == 200
        assert named(await response.text())[:2] == ["acme/broken", "acme/sound"]


async def next_event(stream: aiohttp.StreamReader) -> str:
    async with asyncio.timeout(LIMIT):
        while not (line := (await stream.readline()).decode()).startswith("data: "):
            assert line, "the stream has ended"
    return line.removeprefix("data: ").strip()


async def test_events_say_that_there_is_news(client: aiohttp.ClientSession, board: Board) -> None:
    async with client.get("/events") as response:
        assert response.content_type == "text/event-stream"
        assert await next_event(response.content) == board.revision
        before = board.revision
        board.observe(resource("acme", "sound", version=2, **failing()))
        assert await next_event(response.content) == board.revision != before
        board.forget("acme-sound")
        assert await next_event(response.content) == board.revision
    assert named(await text(client, "/")) == ["acme/broken", "other/sound"]


async def test_two_replicas_say_the_same(board: Board) -> None:
    """Whatever the order in which each has seen what there is."""
    other = Board()
    for each in (
        resource("other", "sound", **healthy()),
        resource("acme", "gone", **healthy()),
        resource("acme", "sound", version=9, **failing()),
        resource("acme", "broken", **failing()),
        resource("acme", "sound", **healthy()),
    ):
        other.observe(each)
    other.forget("acme-gone")
    other.forget("never seen")
    assert other.revision == board.revision


async def test_readers_are_bounded(client: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statuspage, "MOST_FOLLOWERS", 2)
    async with AsyncExitStack() as stack:
        for _ in range(2):
            followed = await stack.enter_async_context(client.get("/events"))
            await next_event(followed.content)
        async with client.get("/events") as response:
            assert (response.status, response.headers["Retry-After"]) == (503, "60")
        assert "<h1>3 installations</h1>" in await text(client, "/")
        monkeypatch.setattr(statuspage, "MOST_CONNECTIONS", 2)
        reader, writer = await asyncio.open_connection(LOOPBACK, client._base_url.port)  # type: ignore[union-attr]
        async with asyncio.timeout(LIMIT):
            assert await reader.read() == b""
        writer.close()


async def test_a_connection_that_asks_nothing_is_closed(
    client: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statuspage, "SILENT", 0.01)
    reader, writer = await asyncio.open_connection(LOOPBACK, client._base_url.port)  # type: ignore[union-attr]
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n")  # and no end of the head
    async with asyncio.timeout(LIMIT):
        assert await reader.read() == b""
    writer.close()


async def test_a_reader_of_events_has_to_come_again(
    client: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statuspage, "FOLLOWED", 0.01)
    monkeypatch.setattr(statuspage, "ALIVE", 0.01)
    async with client.get("/events") as response, asyncio.timeout(LIMIT):
        assert (await response.read()).count(b"event: changed") == 1


async def test_a_large_fleet_has_pages(client: aiohttp.ClientSession, board: Board) -> None:
    for number in range(500):
        board.observe(resource(f"team-{number % 7}", f"engine-{number:03}", **healthy()))
    page = await text(client, "/?health=Healthy")
    assert len(named(page)) == ROWS
    assert len(page) < 80_000
    assert 'href="./?health=Healthy&amp;page=2"' in page
    last = await text(client, "/?health=Healthy&page=99999")
    assert "Page 6 of 6 (502 installations)" in last
    assert len(named(last)) == 2


async def test_it_shows_no_secret_and_no_markup_of_others(
    client: aiohttp.ClientSession, board: Board
) -> None:
    status = failing(message=f"redis://u:planted-in-the-status@h:1 {HOSTILE}")
    board.observe(resource("acme", "broken", version=2, **{**status, "cause": HOSTILE}))
    for path in ("/", "/installations/acme/broken"):
        page = await text(client, path)
        assert "planted" not in page
        assert "&lt;script&gt;document.title" in page
        assert page.count("<script>") == 1


@pytest.mark.parametrize(
    "status",
    [
        {"health": "Wonderful"},
        {"checks": "all"},
        {"checks": [{"name": "x"}]},
        {"evidence": [[[]]] * 60_000},
        {"rootCauses": 1},
    ],
    ids=["word", "text", "incomplete", "large", "number"],
)
async def test_a_status_that_cannot_be_read_is_none(
    client: aiohttp.ClientSession, board: Board, status: dict[str, object]
) -> None:
    board.observe(resource("acme", "odd", **status))
    assert "acme/odd" in named(await text(client, "/"))
    assert "<h1>acme/odd</h1>" in await text(client, "/installations/acme/odd")
