"""A real redis-server from Debian's packages."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import redis as client
from redis.backoff import NoBackoff
from redis.retry import Retry

from testbed.pki import Certificate, CertificateAuthority
from testbed.ports import LOOPBACK, free_port
from testbed.process import ComponentError, Process

# The testbed's own way in, by the unix socket: works whatever TLS, passwords and ACLs a test sets up.
_ADMIN = ("testbed-admin", "testbed-admin")


class Redis(Process):
    """A server; plain by default.

    `tls`: TLS only on `port`; `plain_port` then gives a plain listener too, if asked for with `also_plain`.
    `client_auth`: clients must show a certificate of `ca`. `certificate`: the server's, by default one of `ca` for
    localhost. `password`: requirepass. `users`: ACL rules by name, e.g. {"app": "on >secret ~* &* +@all"}; the name
    "default" restricts the anonymous user. `config`: lines of redis.conf, over the testbed's own. `replica_of`: a
    started server of the testbed.
    """

    def __init__(
        self,
        *,
        tls: bool = False,
        also_plain: bool = False,
        client_auth: bool = False,
        ca: CertificateAuthority | None = None,
        certificate: Certificate | None = None,
        password: str | None = None,
        users: Mapping[str, str] | None = None,
        config: Mapping[str, str] | None = None,
        replica_of: "Redis | None" = None,
        address: tuple[str, int] | None = None,
    ) -> None:
        super().__init__("redis")
        self.host, self.port = address or (LOOPBACK, free_port())
        self.tls = tls
        self.plain_port: int | None = (free_port() if also_plain else None) if tls else self.port
        self.password = password
        self.socket_path = self.directory / "socket"
        self.ca = (ca or CertificateAuthority()) if tls else ca
        self.ca_file: Path | None = self.ca.ca_file if self.ca else None
        self._certificate = certificate or (self.ca.issue() if self.ca and tls else None)
        self._client_auth = client_auth
        self._users = dict(users or {})
        self._config = dict(config or {})
        self._primary = replica_of

    def url(
        self, db: int | None = 0, *, user: str | None = None, password: str | None = None, **parameters: str
    ) -> str:
        """redis[s]://[user[:password]@]host:port[/db][?parameters]; the requirepass password if none is given."""
        secret = password if password is not None else (self.password if user is None else None)
        login = quote(user or "", safe="") + (f":{quote(secret, safe='')}" if secret is not None else "")
        query = f"?{urlencode(parameters)}" if parameters else ""
        path = "" if db is None else f"/{db}"
        scheme = "rediss" if self.tls else "redis"
        return f"{scheme}://{login}{'@' if login else ''}{self.host}:{self.port}{path}{query}"

    def command(self) -> Sequence[str | Path]:
        executable = shutil.which("redis-server")
        if executable is None:
            raise ComponentError("no redis-server on the PATH; run `make setup`")
        return [executable, self.directory / "redis.conf"]

    def call(self, *words: str | int | float, db: int = 0) -> Any:
        """The answer to one command, as the testbed's administrator; strings, not bytes.

        Raises redis.RedisError.
        """
        user, password = _ADMIN
        with client.Redis(
            unix_socket_path=str(self.socket_path),
            username=user,
            password=password,
            db=db,
            decode_responses=True,
            socket_timeout=5,
            retry=Retry(NoBackoff(), 0),  # the default sleeps seconds before it says that nobody listens
        ) as connection:
            return connection.execute_command(*words)

    def ready(self) -> bool:
        if self._primary is not None:
            return bool(self.call("INFO", "replication")["master_link_status"] == "up")
        return bool(self.call("PING"))

    def prepare(self) -> None:
        lines = [f"{key} {value}" for key, value in self._lines()]
        (self.directory / "redis.conf").write_text("\n".join(lines) + "\n")

    def _lines(self) -> Iterator[tuple[str, str]]:
        name, password = _ADMIN
        settings = {
            "bind": self.host,
            "port": str(self.plain_port or 0),
            "unixsocket": str(self.socket_path),
            "dir": str(self.directory),
            "save": '""',
            "appendonly": "no",
            "protected-mode": "no",
            "databases": "16",
            "repl-diskless-sync-delay": "0",
        }
        if self.tls and self._certificate:
            settings |= {
                "tls-port": str(self.port),
                "tls-cert-file": str(self._certificate.certificate_file),
                "tls-key-file": str(self._certificate.key_file),
                "tls-ca-cert-file": str(self.ca_file),
                "tls-auth-clients": "yes" if self._client_auth else "no",
            }
        if self.password is not None:
            settings["requirepass"] = f'"{self.password}"'
        if self._primary is not None:
            settings |= self._replication(self._primary)
        settings |= self._config
        # The cluster's bus would take port + 10000, which may be somebody's.
        if settings.get("cluster-enabled") == "yes":
            settings.setdefault("cluster-port", str(free_port()))
        yield from settings.items()
        yield "user", f"{name} on >{password} ~* &* +@all"
        for user, rules in self._users.items():
            yield "user", f"{user} {rules}"

    def _replication(self, primary: "Redis") -> dict[str, str]:
        user, password = _ADMIN
        settings = {
            "replicaof": f"{primary.host} {primary.port}",
            "masteruser": user,
            "masterauth": password,
        }
        if primary.tls and primary.ca:
            # redis shows its own certificate when it replicates, and refuses to start without one
            own = self._certificate or primary.ca.issue("replica")
            settings |= {
                "tls-replication": "yes",
                "tls-ca-cert-file": str(primary.ca_file),
                "tls-cert-file": str(own.certificate_file),
                "tls-key-file": str(own.key_file),
            }
        return settings


class Sentinel(Process):
    """A Redis Sentinel that watches nothing."""

    def __init__(self) -> None:
        super().__init__("sentinel")
        self.host, self.port = LOOPBACK, free_port()

    def url(self) -> str:
        return f"redis://{self.host}:{self.port}/0"

    def prepare(self) -> None:
        lines = (f"bind {self.host}", f"port {self.port}", f"dir {self.directory}")
        (self.directory / "sentinel.conf").write_text("\n".join(lines) + "\n")

    def command(self) -> Sequence[str | Path]:
        executable = shutil.which("redis-server")
        if executable is None:
            raise ComponentError("no redis-server on the PATH; run `make setup`")
        return [executable, self.directory / "sentinel.conf", "--sentinel"]

    def ready(self) -> bool:
        with client.Redis(host=self.host, port=self.port, retry=Retry(NoBackoff(), 0)) as connection:
            return bool(connection.ping())
