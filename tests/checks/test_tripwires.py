"""Idle connections, held to real servers: what ends them, when they are held again, and whose they never are."""

import asyncio
import shutil
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from mehc_checks.clients.network import idle, keepalive
from mehc_checks.clients.postgres import idle as postgres_idle
from mehc_checks.clients.postgres.server import Server as PostgresServer
from mehc_checks.clients.redis import idle as redis_idle
from mehc_checks.clients.redis.conversation import conversation
from mehc_checks.clients.redis.server import Server
from mehc_checks.core.wire import Address, Kind, Wire, to_spare
from mehc_checks.engine.check import catalogue
from mehc_checks.installation.context import Context
from mehc_checks.modelengine.values import Layer, Values
from mehc_operator import tripwires as held
from mehc_operator.tripwires import Tripwires
from testbed import names, rawserver
from testbed.installation import Tree, aws_values
from testbed.judging import reported
from testbed.modelengine import migrate
from testbed.pki import CertificateAuthority
from testbed.ports import free_port
from testbed.postgres import Postgres
from testbed.prometheus import Prometheus
from testbed.rawserver import RawServer
from testbed.redis import Redis

HOST = "127.0.0.1"


class Holder:
    """Tripwires, and what they have told. ``users`` counts the resources that use an address; 1 unless told."""

    def __init__(self) -> None:
        self.lost: list[Address] = []
        self.users: dict[Address, int] = {}
        self.wires = Tripwires(self.lost.append, lambda: self.users)

    def hold(self, wire: Wire, users: int = 1) -> Address:
        self.users[wire.address] = users
        self.wires.hold(wire, time.monotonic())
        return wire.address

    async def opened(self, *addresses: Address) -> None:
        """Return when connections to ``addresses`` are open, and logged in."""
        await self.until(lambda: all(self.wires._held[each].is_open for each in addresses))

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(90):
            while not condition():  # noqa: ASYNC110 - it is of another process
                await asyncio.sleep(0.02)


@pytest.fixture
async def holder() -> AsyncIterator[Holder]:
    made = Holder()
    yield made
    await made.wires.stop()


async def test_a_server_that_is_away_is_waited_for_and_its_first_answer_is_told(holder: Holder) -> None:
    port = free_port()
    server = Server(host=HOST, port=port, password="secret")
    address = holder.hold(replace(redis_idle.wire(server), away=True))
    await holder.until(lambda: holder.wires._held[address]._failed)
    assert not holder.lost
    with Redis(password="changed", address=(HOST, port)):
        await holder.until(lambda: holder.lost)
        told = holder.wires._held[address]._failed
        await holder.until(lambda: holder.wires._held[address]._failed > told + 1)  # rejected again
        assert holder.lost == [address]
    with Redis(password="secret", address=(HOST, port)):
        await holder.opened(address)
        assert holder.lost == [address, address]


async def test_redis_is_held_logged_in_and_its_end_is_told(holder: Holder) -> None:
    with Redis(password="secret") as server:
        address = holder.hold(
            redis_idle.wire(Server(host=HOST, port=server.port, password="secret")),
        )
        await holder.opened(address)
        assert "cmd=ping" in server.call("CLIENT", "LIST", "TYPE", "normal")
        server.kill()
        await holder.until(lambda: address in holder.lost)


async def test_over_tls_it_answers_too_and_holds_no_buffer_for_more(
    holder: Holder,
    redis_tls: Redis,
    certificate_authority: CertificateAuthority,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate_authority.ca_file))
    monkeypatch.setattr(redis_idle, "_BETWEEN", 0.05)
    server = Server(host=HOST, port=redis_tls.port, password="secret", tls=True)
    async with conversation(server, timeout=30) as asked:
        _, writer = asked.streams
        redis_idle._slim(writer)
        assert len(writer.transport._ssl_protocol._ssl_buffer) == redis_idle._CHUNK  # type: ignore[attr-defined]
        assert len(await asked.info()) > 100
    before = _pings(redis_tls)
    holder.hold(redis_idle.wire(server))
    await holder.until(lambda: _pings(redis_tls) > before + 3)
    assert holder.lost == []


def _pings(server: Redis) -> int:
    info = server.call("INFO", "commandstats")
    return int(info.get("cmdstat_ping", {}).get("calls", 0))


async def test_a_redis_that_hangs_is_found_by_ping(holder: Holder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_idle, "_BETWEEN", 0.1)
    monkeypatch.setattr(redis_idle, "_ANSWER", 3.0)
    with Redis() as server:
        address = holder.hold(redis_idle.wire(Server(host=HOST, port=server.port)))
        await holder.opened(address)
        server.pause()
        await holder.until(lambda: address in holder.lost)
        server.resume()


async def test_a_session_of_postgresql_is_named_and_its_end_is_told(
    holder: Holder, postgres: Postgres
) -> None:
    postgres.create_role("holder", "password")
    postgres.create_database("held", owner="holder")
    server = PostgresServer(
        host=HOST, port=postgres.port, database="held", user="holder", password="password"
    )
    address = holder.hold(postgres_idle.wire(server))
    sessions = "SELECT state, application_name FROM pg_stat_activity WHERE usename = 'holder'"
    await holder.opened(address)
    await holder.until(lambda: postgres.execute(sessions) == [("idle", "mehc")])
    postgres.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'holder'")
    await holder.until(lambda: address in holder.lost)
    await holder.wires.stop()
    await holder.until(lambda: not postgres.execute(sessions))


@pytest.mark.parametrize("tls", [False, True])
async def test_a_server_of_http_is_held_as_it_expects(
    holder: Holder, tls: bool, certificate_authority: CertificateAuthority
) -> None:
    certificate = certificate_authority.issue() if tls else None
    with Prometheus(certificate=certificate) as server:
        address = holder.hold(idle.wire(Kind.PROMETHEUS, HOST, server.port, tls=tls))
        await holder.opened(address)
        server.kill()
        await holder.until(lambda: address in holder.lost)
        assert "TLS handshake" not in server.log_text()


async def test_a_reset_is_told(holder: Holder) -> None:
    with RawServer(_reset_later) as server:
        address = holder.hold(idle.wire(Kind.STORE, HOST, port_of(server), tls=False))
        await holder.until(lambda: address in holder.lost)


def _reset_later(connection: socket.socket) -> None:
    time.sleep(0.5)
    rawserver.reset(connection)


@pytest.mark.skipif(not shutil.which("iptables"), reason="no iptables")
async def test_a_network_that_drops_everything_is_told(
    holder: Holder, monkeypatch: pytest.MonkeyPatch
) -> None:
    for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL):
        monkeypatch.setitem(keepalive._OPTIONS, option, 1)
    with Prometheus() as server:
        address = holder.hold(idle.wire(Kind.PROMETHEUS, HOST, server.port, tls=False))
        await holder.opened(address)
        with dropping(server.port):
            await holder.until(lambda: address in holder.lost)


@contextmanager
def dropping(port: int) -> Iterator[None]:
    rule = ("-p", "tcp", "--dport", str(port), "-j", "DROP")
    if subprocess.run(["iptables", "-w", "-I", "INPUT", *rule], check=False, capture_output=True).returncode:
        pytest.skip("iptables may not be used here")
    try:
        yield
    finally:
        subprocess.run(["iptables", "-w", "-D", "INPUT", *rule], check=True, capture_output=True)


async def test_a_name_that_leads_elsewhere_is_told_and_followed(
    holder: Holder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held, "_LOOKUP", 0.1)
    with Redis() as one, Redis(address=("127.0.0.2", one.port)) as two:
        name = f"redis.test:{one.port}"
        with names.leading({name: f"{one.host}:{one.port}"}):
            address = holder.hold(redis_idle.wire(Server(host="redis.test", port=one.port)))
            await holder.opened(address)
            assert clients(one) == 1
            with names.leading({name: f"{two.host}:{two.port}"}):
                await holder.until(lambda: address in holder.lost)
                await holder.until(lambda: clients(two) == 1 and clients(one) == 0)


def clients(server: Redis) -> int:
    listed: str = server.call("CLIENT", "LIST", "TYPE", "normal")
    return listed.count("cmd=ping")


async def test_a_server_that_closes_what_is_idle_is_not_asked_again_and_again(
    holder: Holder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each time that it is found sound after, the time until it is held again doubles."""
    monkeypatch.setattr(held, "_ALARMED", 0.05)
    told: list[float] = []

    def lost(_: Address) -> None:
        told.append(time.monotonic())
        wires.hold(wire, time.monotonic())  # by the probe run that is asked for

    wires = Tripwires(lost, lambda: {wire.address: 1})
    with RawServer(lambda _: time.sleep(0.01)) as server:
        wire = idle.wire(Kind.STORE, HOST, port_of(server), tls=False)
        wires.hold(wire, time.monotonic())
        await holder.until(lambda: len(told) > 4)
        await wires.stop()
    assert all(after - before >= 0.05 * 2**n for n, (before, after) in enumerate(pairwise(told), 1))


def test_a_server_that_closes_after_a_certain_time_is_renewed_before(monkeypatch: pytest.MonkeyPatch) -> None:
    async def learn(*lasted: float) -> float | None:
        one = held._Held(idle.wire(Kind.STORE, HOST, 1, tls=False), lambda _: None, lambda: 3600.0)
        for seconds in lasted:
            one._lasted, one._told = seconds, held.End.CLOSED
            one.found_sound(one.wire, 0.0)
        one.task.cancel()
        return one._renewal

    assert asyncio.run(learn(300, 301)) == pytest.approx(225, rel=0.01)
    assert asyncio.run(learn(300)) is None
    assert asyncio.run(learn(300, 4000)) is None
    assert asyncio.run(learn(5, 5)) is None


async def test_when_all_are_taken_the_one_of_least_use_makes_room(holder: Holder) -> None:
    holder.wires._most = 2
    with Redis() as one, Redis() as two, Redis() as three:
        wires = [redis_idle.wire(Server(host=HOST, port=each.port)) for each in (one, two, three)]
        holder.hold(wires[0], users=1)
        holder.hold(wires[1], users=3)
        await holder.opened(wires[0].address, wires[1].address)
        holder.hold(wires[2], users=1)
        await asyncio.sleep(0)
        assert set(holder.wires._held) == {wires[0].address, wires[1].address}
        holder.hold(wires[2], users=2)
        await holder.opened(wires[2].address)
        await holder.until(lambda: not clients(one))
        assert holder.lost == []


@pytest.mark.parametrize(
    ("most", "used", "spare"),
    [(0, 0, False), (20, 9, True), (20, 10, False), (1000, 899, True), (1000, 900, False)],
)
def test_what_is_to_spare(most: int, used: int, spare: bool) -> None:
    assert to_spare(most, used) is spare


async def offered(check: str, values: Tree, *, away: bool = False, **parameters: Any) -> list[Kind]:
    """The kinds of what ``check`` offers to be held, now or when it is no longer ``away``."""
    found: list[Wire] = []
    declared = catalogue()[check]
    context = Context(
        values=Values.merged([Layer(source="spec.values", values=values)]),
        timeout=timedelta(seconds=20),
        parameters={declared.parameters: declared.parameters.model_validate(parameters)},
        hold=found.append,
    )
    await reported([declared], context)
    return [each.address.kind for each in found if each.away == away]


async def test_the_last_connections_of_a_redis_are_left_to_others() -> None:
    for most, kinds in ((10, []), (100, [Kind.REDIS])):
        with Redis(config={"maxclients": str(most)}) as server:
            values = aws_values(cache_redis_aws_url=server.url())
            assert list(dict.fromkeys(await offered("RedisReachable", values))) == kinds
    assert await offered("RedisReachable", values) == []
    assert set(await offered("RedisReachable", values, away=True)) == {Kind.REDIS}


async def test_nothing_is_offered_where_the_parameter_says_no(redis_server: Redis) -> None:
    values = aws_values(cache_redis_aws_url=redis_server.url())
    assert Kind.REDIS in await offered("RedisReachable", values)
    assert await offered("RedisReachable", values, tripwire=False) == []


async def test_the_last_connections_of_a_database_are_left_to_others(postgres: Postgres) -> None:
    postgres.create_role("few", "password")
    postgres.create_database("few", owner="few")
    migrate(postgres, "few", revision="head", owner="few")
    values = {"config": {"values": {"infra": {"cloud_provider": "aws"}}}}
    url = postgres.url("few", "password", "few")
    environment = {"extraEnvVars": [{"name": "ML_INFRA_DATABASE_URL", "value": url}], **values}
    assert await offered("DatabaseMigrated", environment) == [Kind.POSTGRESQL]
    postgres.execute("ALTER ROLE few CONNECTION LIMIT 10")
    assert await offered("DatabaseMigrated", environment) == []


def port_of(server: RawServer) -> int:
    return int(server.address.rpartition(":")[2])
