"""A real Alertmanager from Debian's packages."""

import http.client
import json
import shutil
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any

import yaml

from testbed.ports import LOOPBACK, free_port
from testbed.process import ComponentError, Process


class Alertmanager(Process):
    """Notifies as ``config`` says, the content of an alertmanager.yml."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__("alertmanager")
        self.port = free_port()
        self._config = dict(config)

    def command(self) -> Sequence[str | Path]:
        executable = shutil.which("prometheus-alertmanager")
        if executable is None:
            raise ComponentError("no prometheus-alertmanager on the PATH; run `make setup`")
        flags: dict[str, str | Path] = {
            "config.file": self.directory / "alertmanager.yml",
            "storage.path": self.directory / "data",
            "web.listen-address": f"{LOOPBACK}:{self.port}",
            "cluster.listen-address": "",
            "log.level": "warn",
        }
        return [executable, *(f"--{key}={value}" for key, value in flags.items())]

    def prepare(self) -> None:
        (self.directory / "alertmanager.yml").write_text(yaml.safe_dump(self._config))

    def ready(self) -> bool:
        return self._ask("GET", "/-/ready") == HTTPStatus.OK

    def receive(self, alerts: Sequence[Mapping[str, Any]]) -> None:
        """Take ``alerts`` as Prometheus sends them: each with its labels and annotations."""
        status = self._ask("POST", "/api/v2/alerts", json.dumps(alerts))
        if status != HTTPStatus.OK:
            raise ComponentError(f"alertmanager answered {status}")

    def _ask(self, method: str, path: str, body: str | None = None) -> int:
        connection = http.client.HTTPConnection(LOOPBACK, self.port, timeout=60)
        try:
            connection.request(method, path, body, {"Content-Type": "application/json"})
            return connection.getresponse().status
        finally:
            connection.close()
