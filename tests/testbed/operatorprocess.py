"""The operator itself: `mehc run` as a real process against the testbed's control plane."""

import contextlib
import http.client
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import psutil

from mehc_operator.crd import custom_resource_definition
from testbed.controlplane import ControlPlane
from testbed.ports import LOOPBACK, free_port
from testbed.process import Process


class Operator(Process):
    """`mehc run`, ready when /readyz says so. `log_lines()` are its structured log."""

    stop_timeout = 10.0
    program: ClassVar[Sequence[str | Path]] = (Path(sys.executable).with_name("mehc"),)
    """Words that run mehc: of this environment, unless `make imagefaults` says otherwise."""

    def __init__(
        self,
        control_plane: ControlPlane,
        *words: str,
        kubeconfig: Path | None = None,
        namespaces: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        trusted: Sequence[str] = ("*",),
    ) -> None:
        """`words`: more arguments of `mehc run`. `trusted`: namespaces whose resources may name any Secret of theirs.
        Without `kubeconfig` it is the administrator; without `namespaces` it watches the whole cluster. The CRD is
        installed before the first start.
        """
        super().__init__("operator")
        self.port = free_port()
        self._control_plane = control_plane
        self._environment = dict(environment or {})
        self._words = [
            *("run", "--log-format", "json", "--host", LOOPBACK, "--port", str(self.port)),
            *("--kubeconfig", str(kubeconfig or control_plane.kubeconfig)),
            *(f"--trusted-namespace={pattern}" for pattern in trusted),
            *(word for name in namespaces for word in ("--namespace", name)),
            *words,
        ]

    def prepare(self) -> None:
        install_crd(self._control_plane)

    def environment(self) -> Mapping[str, str]:
        return self._environment

    def command(self) -> Sequence[str | Path]:
        return [*self.program, *self._words]

    def ready(self) -> bool:
        return self.get("/readyz")[0] == 200

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> tuple[int, str]:
        """Status and text of one of its endpoints."""
        connection = http.client.HTTPConnection(LOOPBACK, self.port, timeout=60)
        with contextlib.closing(connection):
            connection.request("GET", path, headers=dict(headers or {}))
            response = connection.getresponse()
            return response.status, response.read().decode()

    def log_lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log_text().splitlines() if line.startswith("{")]

    def cpu_seconds(self) -> float:
        """User and system time since its start."""
        times = psutil.Process(self.pid).cpu_times()
        return times.user + times.system

    def connections_to(self, port: int) -> int:
        """How many connections it has to ``port``, those of probe runs among them."""
        found = psutil.Process(self.pid).net_connections("tcp")
        return sum(
            bool(each.raddr) and each.raddr.port == port and each.status == "ESTABLISHED" for each in found
        )

    def resident(self) -> int:
        """Resident memory, in bytes."""
        return int(psutil.Process(self.pid).memory_info().rss)


def install_crd(control_plane: ControlPlane) -> None:
    """Apply the CustomResourceDefinition as the code has it now, and wait until the API serves it."""
    manifest = custom_resource_definition()
    control_plane.apply(manifest)
    control_plane.wait_established()
