"""The testbed's own servers start, really serve, restart, hang on demand, and leave nothing behind."""

import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import psycopg
import pytest
import redis as client
from redis.backoff import NoBackoff
from redis.retry import Retry

from testbed import ports
from testbed.pki import CertificateAuthority
from testbed.postgres import Postgres
from testbed.process import ComponentError, Process
from testbed.redis import Redis

NO_RETRY = Retry(NoBackoff(), 0)


@pytest.mark.parametrize("component", [Postgres, Redis])
def test_component_leaves_no_process_and_no_directory(component: Callable[[], Process]) -> None:
    with component() as server:
        family = [psutil.Process(server.pid), *psutil.Process(server.pid).children(recursive=True)]
        directory = server.directory
        assert directory.is_dir()
    assert not [process for process in family if process.is_running()]
    assert not directory.exists()


# the shortest request that each server answers with a byte
GREETINGS = {Postgres: (8).to_bytes(4, "big") + (80877103).to_bytes(4, "big"), Redis: b"PING\r\n"}


@pytest.mark.parametrize("component", [Postgres, Redis])
def test_paused_server_hangs_then_resumes_and_stops_even_when_paused(
    component: type[Postgres | Redis],
) -> None:
    with component() as server:
        server.pause()
        with socket.create_connection((server.host, server.port), timeout=0.2) as connection:
            connection.sendall(GREETINGS[component])
            with pytest.raises(TimeoutError):
                connection.recv(1)
            server.resume()
            connection.settimeout(5)
            assert len(connection.recv(1)) == 1
        server.pause()
        family = [psutil.Process(server.pid), *psutil.Process(server.pid).children(recursive=True)]
    assert not [process for process in family if process.is_running()]


def test_failure_shows_the_log() -> None:
    with pytest.raises(ComponentError, match="no-such-setting"), Redis(config={"no-such-setting": "1"}):
        pass


def test_children_die_with_a_killed_parent() -> None:
    script = (
        "import sys, threading; sys.path.insert(0, sys.argv[1])\n"
        "from testbed.redis import Redis\n"
        "server = Redis()\n"
        "starter = threading.Thread(target=server.start); starter.start(); starter.join()\n"
        "print(server.pid, server.directory, flush=True); sys.stdin.read()\n"
    )
    tests = Path(__file__).parents[1]
    with subprocess.Popen(
        [sys.executable, "-c", script, tests], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout
        pid, directory = parent.stdout.readline().split()
        orphan = psutil.Process(int(pid))
        time.sleep(0.1)
        assert orphan.is_running(), "the thread that started it has ended, and it lives on"
        parent.kill()
    psutil.wait_procs([orphan], timeout=5)
    assert not orphan.is_running() or orphan.status() == psutil.STATUS_ZOMBIE
    # what a killed run leaves is removed by the next one
    cleaner = "from testbed.process import temporary_directory as make; make('x')"
    subprocess.run([sys.executable, "-c", cleaner], check=True, cwd=tests)
    assert not Path(directory).exists()


def test_postgres_serves_scram_keeps_data_and_port_over_a_restart() -> None:
    with Postgres(max_connections=20) as server:
        server.create_role("app", "p@ss/word")
        server.create_database("llm", owner="app")
        url = server.url("app", "p@ss/word", "llm", connect_timeout="3")
        with psycopg.connect(url) as connection:
            connection.execute("CREATE TABLE t (n int)")
        server.restart()
        assert server.execute("SELECT count(*) FROM t", db="llm") == [(0,)]
        assert server.execute("SHOW max_connections") == [("20",)]
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(server.url("app", "wrong", "llm"))
        server.set_read_only(True)
        with psycopg.connect(url) as connection, pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            connection.execute("CREATE TABLE u (n int)")


def test_postgres_requires_tls_of_its_authority() -> None:
    ca = CertificateAuthority()
    with Postgres(tls="required", ca=ca) as server:
        server.create_role("app", "secret")
        verified = {"sslmode": "verify-full", "sslrootcert": str(ca.ca_file)}
        with psycopg.connect(server.url("app", "secret", "postgres", **verified)) as connection:
            assert connection.execute(
                "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
            ).fetchone() == (True,)
        with pytest.raises(psycopg.OperationalError, match="no encryption"):
            psycopg.connect(server.url("app", "secret", "postgres", sslmode="disable"))
        other = {"sslmode": "verify-full", "sslrootcert": str(CertificateAuthority("other").ca_file)}
        with pytest.raises(psycopg.OperationalError, match="certificate verify failed"):
            psycopg.connect(server.url("app", "secret", "postgres", **other))


def test_postgres_standby_follows_and_refuses_writes() -> None:
    with Postgres() as primary, primary.standby() as standby:
        primary.execute("CREATE TABLE t AS SELECT 7 AS n")
        standby.wait_caught_up()
        assert standby.execute("SELECT n FROM t") == [(7,)]
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            standby.execute("DROP TABLE t")


def test_redis_acl_password_and_config() -> None:
    users = {"app": "on >secret ~app:* +get +set +ping"}
    with Redis(
        password="pass word", users=users, config={"maxmemory-policy": "allkeys-lru", "databases": "2"}
    ) as server:
        assert server.call("CONFIG", "GET", "maxmemory-policy") == {"maxmemory-policy": "allkeys-lru"}
        with client.Redis.from_url(server.url(1)) as connection:
            assert connection.ping()
        with client.Redis.from_url(server.url(user="app", password="secret")) as connection:
            assert connection.set("app:1", "x")
            with pytest.raises(client.exceptions.NoPermissionError):
                connection.set("other", "x")
        with (
            client.Redis(port=server.port, retry=NO_RETRY) as connection,
            pytest.raises(client.AuthenticationError),
        ):
            connection.ping()


def test_redis_tls_with_client_certificates_and_replica() -> None:
    ca = CertificateAuthority()
    own = ca.issue("client")
    with (
        Redis(tls=True, also_plain=True, client_auth=True, ca=ca) as server,
        Redis(replica_of=server) as replica,
    ):
        trust = {"ssl_ca_certs": str(ca.ca_file)}
        with (
            client.Redis.from_url(server.url(), **trust) as connection,
            pytest.raises(client.ConnectionError),
        ):
            connection.ping()
        shown = {"ssl_certfile": str(own.certificate_file), "ssl_keyfile": str(own.key_file)}
        with client.Redis.from_url(server.url(), **trust, **shown) as connection:
            assert connection.ping()
        assert replica.call("ROLE")[0] == "slave"


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("expired", "certificate has expired"),
        ("wrong_host", "IP address mismatch"),
        ("other", "unable to get local issuer certificate"),
    ],
)
def test_certificates_fail_as_named(kind: str, message: str) -> None:
    ca, other = CertificateAuthority(), CertificateAuthority("other CA")
    leaf = {"expired": ca.expired, "wrong_host": ca.wrong_host, "other": other.issue}[kind]()
    with Redis(tls=True, ca=ca, certificate=leaf) as server:
        context = ssl.create_default_context(cafile=str(ca.ca_file))
        with (
            socket.create_connection((server.host, server.port), timeout=2) as raw,
            pytest.raises(ssl.SSLCertVerificationError, match=message),
        ):
            context.wrap_socket(raw, server_hostname=server.host)


def test_network_faults() -> None:
    with ports.refused_port() as address, pytest.raises(ConnectionRefusedError):
        socket.create_connection(address, timeout=1)
    with ports.black_hole() as address, pytest.raises(TimeoutError):
        socket.create_connection(address, timeout=0.3)
    with ports.silent_server() as address, socket.create_connection(address, timeout=0.3) as connection:
        connection.sendall(b"hello")
        with pytest.raises(TimeoutError):
            connection.recv(1)
    answer = b"HTTP/1.1 400 no\r\n"
    with ports.garbage_server(answer) as address, socket.create_connection(address, timeout=1) as connection:
        connection.sendall(b"PING\r\n")
        assert connection.recv(100) == answer
        assert connection.recv(100) == b""
    assert len({ports.free_port() for _ in range(200)}) == 200
