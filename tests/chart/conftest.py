"""What the chart's tests share: its scenarios, and a control plane with the Prometheus Operator's kinds."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from testbed import prometheusoperator
from testbed.chart import CHART
from testbed.controlplane import ControlPlane
from testbed.helm import Helm

SCENARIOS = Path(__file__).with_name("scenarios")


def scenarios() -> list[str]:
    return sorted(file.stem for file in SCENARIOS.glob("*.yaml"))


def scenario(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((SCENARIOS / f"{name}.yaml").read_text())
    return found


@pytest.fixture(scope="session")
def helm() -> Helm:
    """Without a cluster."""
    return Helm()


@pytest.fixture(scope="session")
def stocked() -> Iterator[ControlPlane]:
    """A control plane that serves every kind that the chart makes, and has the namespaces of its scenarios.

    Namespace "mehc" admits restricted pods only.
    """
    with ControlPlane() as plane:
        prometheusoperator.install(plane)
        plane.kubectl("create", "-f", CHART / "files" / "crd.yaml")
        plane.wait_established()
        restricted = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
        for name in ("team-a", "team-b", "team-endpoints", "monitoring", "mehc"):
            labels = restricted if name == "mehc" else {}
            plane.api("POST", "/api/v1/namespaces", {"metadata": {"name": name, "labels": labels}})
        yield plane
