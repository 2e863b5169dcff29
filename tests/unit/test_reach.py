"""What only the operator's own pod or node reaches is not connected to, whatever text led there."""

import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime

import pytest
from yarl import URL

from mehc_checks.clients.aws.client import Aws, AwsProblem
from mehc_checks.clients.http import exchange as http
from mehc_checks.clients.network import connect as net
from mehc_checks.clients.network import reach
from mehc_checks.clients.network.reach import Reach
from mehc_checks.clients.network.reasons import ReachReasons
from mehc_checks.clients.postgres import client as postgres
from mehc_checks.clients.postgres.server import Server as PostgresServer
from mehc_checks.clients.prometheus.client import Prometheus
from mehc_checks.clients.redis.conversation import conversation, not_answered
from mehc_checks.clients.redis.conversation import reach as reached
from mehc_checks.clients.redis.server import Server as RedisServer
from mehc_checks.clients.registry.exchange import Access, Exchange
from mehc_checks.core.errors import Problem
from testbed.eavesdropper import Eavesdropper
from testbed.waiting import eventually

STRICT = Reach(restricted=True)
LONG = 60.0


@pytest.fixture
def strict() -> Iterator[None]:
    with reach.using(STRICT):
        yield


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.255.255.254",
        "0.0.0.0",
        "0.1.2.3",
        "169.254.169.254",
        "169.254.170.2",
        "169.254.0.1",
        "168.63.129.16",
        "100.100.100.200",
        "224.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::127.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "2002:7f00:1::",
        "64:ff9b::169.254.169.254",
        "fe80::1",
        "fe80::1%1",
        "fd00:ec2::254",
        "fd20:ce::254",
        "ff02::1",
    ],
)
def test_an_address_that_leads_to_the_pod_or_its_node_is_refused(address: str) -> None:
    assert STRICT.refusal(address, 443)
    assert not Reach().refusal(address, 443)


@pytest.mark.parametrize(
    "address", ["10.0.0.1", "172.20.0.10", "192.168.1.1", "100.64.0.1", "8.8.8.8", "fd12::1", "2600::1"]
)
def test_an_address_of_a_network_is_not(address: str) -> None:
    assert not STRICT.refusal(address, 443)
    assert STRICT.refusal(address, 10250) == STRICT.refusal(address, 10255) == "a kubelet's port"


def test_an_administrator_allows_single_networks() -> None:
    allowing = Reach(restricted=True, allowed=reach.networks(["127.0.0.1", "fd00:ec2::/64", "10.0.0.0/8"]))
    assert not allowing.refusal("127.0.0.1", 443)
    assert not allowing.refusal("::ffff:127.0.0.1", 443)
    assert not allowing.refusal("fd00:ec2::254", 80)
    assert not allowing.refusal("10.0.0.9", 10250)
    assert allowing.refusal("127.0.0.2", 443)
    assert allowing.refusal("::1", 443)
    assert allowing.refusal("169.254.169.254", 80)


async def redis(host: str, port: int) -> None:
    async with conversation(RedisServer(host=host, port=port), timeout=LONG):
        pass


async def redis_tls(host: str, port: int) -> None:
    async with conversation(RedisServer(host=host, port=port, tls=True), timeout=LONG):
        pass


async def redis_only_reached(host: str, port: int) -> None:
    await reached(RedisServer(host=host, port=port), timeout=LONG)


async def redis_not_answered(host: str, port: int) -> None:
    raise await not_answered(RedisServer(host=host, port=port), timeout=LONG)


async def database(host: str, port: int) -> None:
    server = PostgresServer(host=host, port=port, database="d", user="u")
    async with postgres.session(server, timeout=LONG):
        pass


async def tcp(host: str, port: int) -> None:
    await net.connect(host, port, timeout=LONG)


async def tls(host: str, port: int) -> None:
    await net.handshake(host, port, net.client_context(), timeout=LONG)


async def get(host: str, port: int) -> None:
    await http.get(f"http://{host}:{port}/", timeout=LONG)


async def prometheus(host: str, port: int) -> None:
    await Prometheus(f"http://{host}:{port}", timeout=LONG).query("up", datetime.now(UTC))


async def registry(host: str, port: int) -> None:
    access = Access(tls=ssl.create_default_context(), insecure=frozenset({f"{host}:{port}"}))
    async with Exchange(access, timeout=LONG) as exchange:
        await exchange.once("GET", URL(f"https://{host}:{port}/v2/"), {}, 0)


CLIENTS = [redis, redis_tls, redis_only_reached, redis_not_answered, database, tcp, tls, get, prometheus]


@pytest.mark.parametrize("ask", [*CLIENTS, registry], ids=lambda ask: ask.__name__)
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0x7f.1", "2130706433", "::ffff:127.0.0.1"])
async def test_no_client_connects(
    ask: Callable[[str, int], Awaitable[None]], host: str, strict: None
) -> None:
    if ":" in host and ask in (get, prometheus, registry):
        host = f"[{host}]"
    with Eavesdropper() as listener:
        with pytest.raises(Problem) as refused:
            await ask(host, listener.port)
        assert refused.value.reason is ReachReasons.ADDRESS_NOT_ALLOWED or ask is registry
        assert listener.accepted == 0


@pytest.mark.parametrize("ask", [*CLIENTS, registry], ids=lambda ask: ask.__name__)
async def test_every_client_connects_where_that_is_allowed(
    ask: Callable[[str, int], Awaitable[None]],
) -> None:
    with Eavesdropper() as listener:
        with reach.using(Reach(restricted=True, allowed=reach.networks(["127.0.0.1"]))), suppress(Problem):
            await ask("127.0.0.1", listener.port)
        eventually(lambda: listener.accepted, bool, LONG)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_no_request_is_signed_for_such_an_address(
    host: str, strict: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        aws = Aws(region="us-east-1", timeout=LONG, endpoint=f"http://{host}:{server.getsockname()[1]}")
        with pytest.raises(AwsProblem):
            await aws.call("s3", "HeadBucket", Bucket="bucket")
        server.settimeout(0)
        try:
            connection, _ = server.accept()
        except BlockingIOError:
            return
        with closing(connection):
            assert connection.recv(1) == b""


SPELLED = (
    "169.254.169.254",
    "169.254.169.254.",
    "2852039166",
    "0xa9fea9fe",
    "169.254.43518",
    "0251.0376.0251.0376",
    "::ffff:169.254.169.254",
    "::ffff:a9fe:a9fe",
    "64:ff9b::a9fe:a9fe",
)


@pytest.mark.parametrize("host", SPELLED)
async def test_no_spelling_of_the_metadata_address_is_a_place(host: str, strict: None) -> None:
    with pytest.raises(Problem) as refused:
        await net.places(host, 80, timeout=LONG)
    unknown = host.endswith(".")  # no address to a resolver, and no name
    assert refused.value.reason is ReachReasons.ADDRESS_NOT_ALLOWED or unknown


@pytest.mark.parametrize("ask", [*CLIENTS, registry], ids=lambda ask: ask.__name__)
async def test_a_name_that_changes_its_address_leads_to_the_one_that_was_looked_at(
    ask: Callable[[str, int], Awaitable[None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first answer of DNS is allowed, and each further one is not."""
    lookups = iter(["127.0.0.1"])
    resolve = socket.getaddrinfo

    def rebound(host: str, *words: object, **more: object) -> object:
        return resolve(
            next(lookups, "127.0.0.2") if host == "rebinding.example.com" else host, *words, **more
        )  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", rebound)
    with Eavesdropper() as first, closing(socket.create_server(("127.0.0.2", first.port))) as second:
        with reach.using(Reach(restricted=True, allowed=reach.networks(["127.0.0.1"]))), suppress(Problem):
            await ask("rebinding.example.com", first.port)
        eventually(lambda: first.accepted, bool, LONG)
        second.settimeout(0)
        with pytest.raises(BlockingIOError):
            second.accept()


def test_what_a_proxy_is_asked_for_is_looked_at_by_its_text(strict: None) -> None:
    for host in (*SPELLED, "[::ffff:a9fe:a9fe]", "0177.1"):
        with pytest.raises(reach.NotAllowed):
            reach.named(host, 80)
    for host in ("169.254.169.254", "localhost", "a.localhost.", "Metadata.Google.Internal", "127.0.0.1"):
        with pytest.raises(reach.NotAllowed):
            reach.named(host, 80)
    for host in ("registry.example.com", "10.0.0.1"):
        reach.named(host, 80)
