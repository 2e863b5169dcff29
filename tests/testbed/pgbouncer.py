"""A real PgBouncer from Debian's packages, in front of a server of the testbed."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal
from urllib.parse import quote

import psycopg

from testbed.ports import LOOPBACK, free_port
from testbed.postgres import Postgres, server_account
from testbed.process import ComponentError, Process


class PgBouncer(Process):
    """`mode`: pool_mode. Users log in with the password that they have here, and again on the server."""

    def __init__(
        self,
        server: Postgres,
        user: str,
        password: str,
        *,
        mode: Literal["session", "transaction"] = "transaction",
        pool_size: int = 5,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__("pgbouncer", user=server_account())
        self.host = LOOPBACK
        self.port = free_port()
        self._server, self._user, self._password = server, user, password
        self._mode, self._pool_size = mode, pool_size
        self._settings = dict(settings or {})

    def url(self, database: str) -> str:
        """postgresql://user:password@host:port/database."""
        return (
            f"postgresql://{self._user}:{quote(self._password, safe='')}@{self.host}:{self.port}/{database}"
        )

    def prepare(self) -> None:
        (self.directory / "users").write_text(f'"{self._user}" "{self._password}"\n')
        settings = {
            "listen_addr": self.host,
            "listen_port": self.port,
            "unix_socket_dir": "",
            "auth_type": "scram-sha-256",
            "auth_file": self.directory / "users",
            "pool_mode": self._mode,
            "default_pool_size": self._pool_size,
            **self._settings,
        }
        lines = [f"{name} = {value}" for name, value in settings.items()]
        databases = f"[databases]\n* = host={self._server.host} port={self._server.port}\n"
        text = databases + "\n".join(["[pgbouncer]", *lines]) + "\n"
        (self.directory / "pgbouncer.ini").write_text(text)

    def command(self) -> Sequence[str | Path]:
        executable = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
        if executable is None:
            raise ComponentError("no pgbouncer; run `make setup`")
        return [executable, self.directory / "pgbouncer.ini"]

    def ready(self) -> bool:
        with psycopg.connect(self.url("postgres"), connect_timeout=2):
            return True
