"""A real PostgreSQL server from Debian's packages."""

import functools
import os
import re
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, LiteralString, Self
from urllib.parse import quote, urlencode

import psycopg
from psycopg import sql

from testbed.pki import Certificate, CertificateAuthority
from testbed.ports import LOOPBACK, free_port
from testbed.process import ComponentError, Process, temporary_directory

SUPERUSER = "postgres"

Tls = Literal["off", "on", "required"]


class Postgres(Process):
    """A server on TCP (passwords by scram-sha-256) and on a unix socket (superuser without password).

    `tls`: "on" offers TLS, "required" refuses TCP without it. `certificate`: the server's, by default one of `ca`
    for localhost. `settings`: lines of postgresql.conf, over the testbed's own.
    """

    # SIGINT is the fast shutdown, SIGQUIT the immediate one; a bare SIGKILL would leave shared memory behind.
    stop_signal = signal.SIGINT
    parent_death_signal = signal.SIGQUIT

    def __init__(
        self,
        *,
        tls: Tls = "off",
        ca: CertificateAuthority | None = None,
        certificate: Certificate | None = None,
        max_connections: int = 50,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__("postgres", user=server_account())
        self.host = LOOPBACK
        self.port = free_port()
        self.tls = tls
        if ca is None and tls != "off":
            ca = CertificateAuthority()
        self._certificate = certificate or (ca.issue() if ca else None)
        self.ca_file: Path | None = ca.ca_file if ca else None
        self._settings = dict(settings or {})
        self._max_connections = max_connections
        self._data = self.directory / "data"

    @property
    def superuser_dsn(self) -> str:
        return f"host={self.directory} port={self.port} user={SUPERUSER} dbname=postgres"

    def url(self, user: str, password: str | None, database: str, **parameters: str) -> str:
        """postgresql://user:password@host:port/database?parameters, percent-encoded."""
        secret = "" if password is None else f":{quote(password, safe='')}"
        query = f"?{urlencode(parameters)}" if parameters else ""
        return f"postgresql://{quote(user, safe='')}{secret}@{self.host}:{self.port}/{quote(database, safe='')}{query}"

    def execute(
        self,
        statement: str | sql.SQL | sql.Composed,
        parameters: Sequence[Any] | None = None,
        *,
        db: str = "postgres",
    ) -> list[tuple[Any, ...]]:
        """Run as superuser, in autocommit; several statements at once are fine without `parameters`."""
        query = statement if not isinstance(statement, str) else sql.SQL(_trusted(statement))
        with psycopg.connect(self.superuser_dsn, dbname=db, autocommit=True, connect_timeout=5) as connection:
            cursor = connection.execute(query, parameters)
            return cursor.fetchall() if cursor.description else []

    def create_database(self, name: str, *, owner: str | None = None, template: str | None = None) -> str:
        statement = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name))
        if owner:
            statement += sql.SQL(" OWNER {}").format(sql.Identifier(owner))
        if template:
            statement += sql.SQL(" TEMPLATE {}").format(sql.Identifier(template))
        self.execute(statement)
        return name

    def drop_database(self, name: str) -> None:
        self.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def create_role(self, name: str, password: str | None = None, *, options: str = "") -> str:
        """A role that may log in. `options`: further words of CREATE ROLE, such as "CONNECTION LIMIT 1"."""
        statement = sql.SQL("CREATE ROLE {} LOGIN ").format(sql.Identifier(name))
        if password is not None:
            statement += sql.SQL("PASSWORD {} ").format(sql.Literal(password))
        self.execute(statement + sql.SQL(_trusted(options)))
        return name

    def set_read_only(self, read_only: bool) -> None:
        """`default_transaction_read_only` for every new session."""
        self.execute(f"ALTER SYSTEM SET default_transaction_read_only = {'on' if read_only else 'off'}")
        self.execute("SELECT pg_reload_conf()")

    def standby(self, *, settings: Mapping[str, str] | None = None) -> "Standby":
        """A hot standby of this server, not yet started; replays until it is closed. `settings` are over ours."""
        return Standby(self, settings or {})

    def prepare(self) -> None:
        _run(["cp", "-a", str(_template()), str(self._data)])
        self._configure()

    def _configure(self) -> None:
        settings = {
            "listen_addresses": self.host,
            "port": str(self.port),
            "unix_socket_directories": str(self.directory),
            "max_connections": str(self._max_connections),
            "fsync": "off",
            "synchronous_commit": "off",
            "full_page_writes": "off",
            "shared_buffers": "16MB",
            "dynamic_shared_memory_type": "mmap",
            "autovacuum": "off",
            "wal_level": "replica",
            "max_wal_senders": "4",
            "max_wal_size": "64MB",
            "min_wal_size": "4MB",
            "log_min_messages": "warning",
        }
        if self._certificate and self.tls != "off":
            pair = self._certificate.copy_to(self.directory, user=self.user)
            settings |= {
                "ssl": "on",
                "ssl_cert_file": str(pair.certificate_file),
                "ssl_key_file": str(pair.key_file),
            }
        settings |= self._settings
        lines = [f"{key} = '{value.replace(chr(39), chr(39) * 2)}'\n" for key, value in settings.items()]
        (self._data / "postgresql.conf").write_text("".join(lines))
        kind = "hostssl" if self.tls == "required" else "host"
        (self._data / "pg_hba.conf").write_text(
            f"local all {SUPERUSER} trust\nlocal replication {SUPERUSER} trust\n{kind} all all all scram-sha-256\n"
        )

    def command(self) -> Sequence[str | Path]:
        return [binaries() / "postgres", "-D", self._data]

    def ready(self) -> bool:
        return self.execute("SELECT 1") == [(1,)]


class Standby(Postgres):
    """A read-only replica by streaming replication."""

    def __init__(self, primary: Postgres, settings: Mapping[str, str]) -> None:
        super().__init__(
            tls=primary.tls,
            certificate=primary._certificate,
            max_connections=primary._max_connections,
            settings={**primary._settings, **settings},
        )
        self.ca_file = primary.ca_file
        self._primary = primary

    def prepare(self) -> None:
        source = f"host={self._primary.directory} port={self._primary.port} user={SUPERUSER}"
        backup = [
            binaries() / "pg_basebackup",
            "-D",
            self._data,
            "-d",
            source,
            "-X",
            "stream",
            "-c",
            "fast",
            "-R",
            "-N",
        ]
        _run([*_as(self.user), *map(str, backup)])
        self._configure()

    def ready(self) -> bool:
        return self.execute(
            "SELECT pg_is_in_recovery() FROM pg_stat_wal_receiver WHERE status = 'streaming'"
        ) == [(True,)]

    def wait_caught_up(self, timeout: float = 10) -> Self:
        """Until everything the primary has written so far is visible here."""
        # A record of our own: the insert position alone may be a page header, which nothing ever replays.
        position = self._primary.execute("SELECT pg_logical_emit_message(false, 'testbed', '')")[0][0]
        reached = sql.SQL("SELECT pg_last_wal_replay_lsn() >= {}::pg_lsn").format(sql.Literal(position))
        for _ in range(int(timeout / 0.02)):
            if self.execute(reached) == [(True,)]:
                return self
            self.execute("SELECT pg_sleep(0.02)")
        raise ComponentError(f"the standby did not reach {position}")


@functools.cache
def binaries() -> Path:
    """The newest /usr/lib/postgresql/*/bin."""
    found = {
        int(path.parent.parent.name): path.parent
        for path in Path("/usr/lib/postgresql").glob("*/bin/postgres")
        if re.fullmatch(r"\d+", path.parent.parent.name)
    }
    if not found:
        raise ComponentError("no PostgreSQL server in /usr/lib/postgresql; run `make setup`")
    return found[max(found)]


def server_account() -> str | None:
    """PostgreSQL refuses to run as root."""
    return SUPERUSER if os.geteuid() == 0 else None


@functools.cache
def _template() -> Path:
    """An initialised data directory, made once per process and copied for every server."""
    user = server_account()
    data = temporary_directory("postgres-template", user=user) / "data"
    initdb = [str(binaries() / "initdb"), "-D", str(data), "-U", SUPERUSER, "-E", "UTF8", "--locale=C.UTF-8"]
    # 1 MB segments: the default 16 MB one is most of what a copy would have to write
    _run([*_as(user), *initdb, "--no-sync", "--no-instructions", "--wal-segsize=1", "--auth=trust"])
    return data


def _as(user: str | None) -> list[str]:
    return [] if user is None else ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "--"]


def _run(argv: Sequence[str]) -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PG")}
    done = subprocess.run(argv, capture_output=True, text=True, env=environment, cwd="/", check=False)
    if done.returncode:
        raise ComponentError(f"{' '.join(argv)} failed:\n{done.stdout}{done.stderr}")


def _trusted(statement: str) -> LiteralString:
    """psycopg asks for literal SQL; the testbed runs whatever its tests write."""
    return statement
