"""The operator itself: `mehc run` as a real process against the testbed's control plane."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from testbed.controlplane import ControlPlane, _request
from testbed.ports import LOOPBACK, free_port
from testbed.process import Process

ROOT = Path(__file__).resolve().parents[2]


class Operator(Process):
    """`mehc run`, ready when /readyz says so. `log_lines()` are its structured log."""

    stop_timeout = 10.0

    def __init__(self, kubeconfig: Path, *words: str, namespaces: Sequence[str] = ()) -> None:
        """`words`: more arguments of `mehc run`; without `namespaces` it watches the whole cluster."""
        super().__init__("operator")
        self.port = free_port()
        self._words = [
            *("run", "--log-format", "json", "--host", LOOPBACK, "--port", str(self.port)),
            *("--kubeconfig", str(kubeconfig)),
            *(word for name in namespaces for word in ("--namespace", name)),
            *words,
        ]

    def command(self) -> Sequence[str | Path]:
        return [Path(sys.executable).with_name("mehc"), *self._words]

    def ready(self) -> bool:
        return self.get("/readyz")[0] == 200

    def get(self, path: str) -> tuple[int, str]:
        """Status and text of a health endpoint."""
        return _request("GET", f"http://{LOOPBACK}:{self.port}{path}")

    def log_lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log_text().splitlines() if line.startswith("{")]

    def cpu_seconds(self) -> float:
        """User and system time since its start."""
        times = psutil.Process(self.pid).cpu_times()
        return times.user + times.system

    def resident(self) -> int:
        """Resident memory, in bytes."""
        return int(psutil.Process(self.pid).memory_info().rss)


def crd() -> Mapping[str, Any]:
    """The CustomResourceDefinition as the code has it now."""
    from mehc_operator.crd import custom_resource_definition

    return custom_resource_definition()


def install_crd(plane: ControlPlane) -> None:
    """Apply the CRD and wait until the API serves it."""
    plane.apply(crd())
    plane.kubectl("wait", "--for=condition=Established", f"crd/{crd()['metadata']['name']}", "--timeout=20s")
