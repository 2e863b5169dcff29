"""A real Prometheus server from Debian's packages."""

import base64
import contextlib
import http.client
import json
import shutil
import ssl
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import yaml

from testbed.pki import Certificate
from testbed.ports import LOOPBACK, free_port
from testbed.process import ComponentError, Process
from testbed.registry import bcrypt


class Prometheus(Process):
    """Scrapes `targets` ("host:port") and evaluates `rules` (the content of a rule file) every `interval`.

    `certificate`: serve its API by TLS. `users`: passwords by name, for basic authentication. `prefix`: the path
    below which it serves, with a leading slash. `flags`: further ones of its command line, without dashes. `agent`:
    in agent mode, which only forwards samples.
    """

    def __init__(
        self,
        targets: Sequence[str] = (),
        *,
        certificate: Certificate | None = None,
        users: Mapping[str, str] | None = None,
        prefix: str = "",
        flags: Mapping[str, str | int] | None = None,
        rules: Mapping[str, Any] | None = None,
        interval: str = "200ms",
        agent: bool = False,
    ) -> None:
        super().__init__("prometheus")
        self.port = free_port()
        self.address = f"{LOOPBACK}:{self.port}"
        self.scheme = "https" if certificate else "http"
        self.prefix = prefix
        self._targets = list(targets)
        self._certificate = certificate
        self._users = dict(users or {})
        self._flags = dict(flags or {})
        self._rules = dict(rules or {})
        self._interval = interval
        self._agent = agent

    def url(self, *, user: str = "", password: str = "") -> str:
        """What the platform's configuration would hold."""
        login = f"{user}:{password}@" if user else ""
        return f"{self.scheme}://{login}{self.address}{self.prefix}"

    def command(self) -> Sequence[str | Path]:
        executable = shutil.which("prometheus")
        if executable is None:
            raise ComponentError("no prometheus on the PATH; run `make setup`")
        flags: dict[str, str | Path | int] = {
            "config.file": self.directory / "prometheus.yml",
            **self._storage(),
            "web.listen-address": self.address,
            "web.route-prefix": self.prefix or "/",
            "web.external-url": f"{self.scheme}://{self.address}{self.prefix}",
            "web.config.file": self.directory / "web.yml",
            "log.level": "warn",
            **self._flags,
        }
        return [executable, *(f"--{key}={value}" for key, value in flags.items())]

    def _storage(self) -> dict[str, str | Path | int]:
        data = self.directory / "data"
        if self._agent:
            return {"enable-feature": "agent", "storage.agent.path": data}
        return {"storage.tsdb.path": data, "storage.tsdb.min-block-duration": "2h"}

    def environment(self) -> Mapping[str, str]:
        return {"GOMAXPROCS": "1", "GOGC": "50"}

    def prepare(self) -> None:
        config = {
            "global": {
                "scrape_interval": self._interval,
                "scrape_timeout": self._interval,
                "evaluation_interval": self._interval,
            },
            **({} if self._agent else {"rule_files": ["rules.yml"]}),
            "scrape_configs": [{"job_name": "istio", "static_configs": [{"targets": self._targets}]}],
        }
        web: dict[str, Any] = {}
        if self._certificate:
            web["tls_server_config"] = {
                "cert_file": str(self._certificate.certificate_file),
                "key_file": str(self._certificate.key_file),
            }
        if self._users:
            web["basic_auth_users"] = {name: bcrypt(word) for name, word in self._users.items()}
        (self.directory / "prometheus.yml").write_text(yaml.safe_dump(config))
        (self.directory / "rules.yml").write_text(yaml.safe_dump(self._rules))
        (self.directory / "web.yml").write_text(yaml.safe_dump(web))

    def ready(self) -> bool:
        return self._get("/-/ready") is not None

    def query(self, promql: str) -> list[Any]:
        """The instant vector, as the testbed's administrator; nothing where the query is refused."""
        answer = self._get(f"/api/v1/query?{urlencode({'query': promql})}")
        found: list[Any] = [] if answer is None else json.loads(answer)["data"]["result"]
        return found

    def alerts(self) -> list[Any]:
        """The alerts that are pending or firing."""
        answer = self._get("/api/v1/alerts")
        found: list[Any] = [] if answer is None else json.loads(answer)["data"]["alerts"]
        return found

    def _get(self, path: str) -> bytes | None:
        """The body of an answer 200, else None."""
        tls = ssl._create_unverified_context() if self._certificate else None  # noqa: S323
        connection = (
            http.client.HTTPSConnection(self.address, timeout=5, context=tls)
            if tls
            else http.client.HTTPConnection(self.address, timeout=5)
        )
        headers = {}
        for user, password in list(self._users.items())[:1]:
            login = base64.b64encode(f"{user}:{password}".encode()).decode()
            headers["Authorization"] = f"Basic {login}"
        with contextlib.closing(connection):
            connection.request("GET", f"{self.prefix}{path}", headers=headers)
            response = connection.getresponse()
            body = response.read()
        return body if response.status == HTTPStatus.OK else None
