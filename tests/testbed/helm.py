"""The real Helm, on the testbed's control plane, and the charts that it installs."""

import base64
import gzip
import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from mehc_checks.installation.helm import SECRET_PREFIX, SECRET_TYPE
from testbed.controlplane import ControlPlane
from testbed.installation import Tree, overlaid
from testbed.process import temporary_directory
from testbed.tools import HELM, TESTBED, resolve

MODEL_ENGINE = TESTBED / "charts" / "model-engine"
"""A small chart that makes what a health check reads of the objects of the real one, under its name."""


class HelmError(RuntimeError):
    """Helm ended with an error; the message is what it said."""


class Helm:
    """Helm against ``control_plane``; without one, for what needs no cluster."""

    def __init__(self, control_plane: ControlPlane | None = None) -> None:
        self._binary = resolve(HELM)
        self._home = temporary_directory("helm")
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self._home),
            "HELM_NO_PLUGINS": "1",
            "KUBECONFIG": str(control_plane.kubeconfig) if control_plane else os.devnull,
        }

    def install(
        self, release: str, namespace: str, values: Mapping[str, Any], *words: str, chart: Path = MODEL_ENGINE
    ) -> None:
        """Install ``chart`` and wait for its hooks, not for its pods. Raises HelmError."""
        self._with_values("install", release, namespace, values, chart, *words)

    def upgrade(
        self, release: str, namespace: str, values: Mapping[str, Any], *words: str, chart: Path = MODEL_ENGINE
    ) -> None:
        """Upgrade to these values, and to no others. Raises HelmError."""
        self._with_values("upgrade", release, namespace, values, chart, "--reset-values", *words)

    def run(self, *words: str, stdin: str | None = None) -> str:
        """Any other command; what it printed. Raises HelmError."""
        done = subprocess.run(
            [self._binary, *words],
            env=self._environment,
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise HelmError(done.stderr.strip())
        return done.stdout

    def computed_values(self, release: str, namespace: str) -> Any:
        """The values that Helm itself works out for a release: its chart's defaults and what was given."""
        return json.loads(self.run("get", "values", release, "-n", namespace, "--all", "-o", "json"))

    def _with_values(
        self, command: str, release: str, namespace: str, values: Mapping[str, Any], chart: Path, *words: str
    ) -> None:
        text = yaml.safe_dump(dict(values))
        self.run(command, release, str(chart), "-n", namespace, "-f", "-", *words, stdin=text)


@dataclass(frozen=True, kw_only=True, slots=True)
class HelmInstallation:
    """Model engine in a namespace, and its endpoints in another, as a customer installs it: by Helm,
    ``values`` in hand."""

    namespace: str
    values: Tree
    secrets: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Secrets of its own namespace by name, each a map of plain text."""

    @property
    def endpoints(self) -> str:
        """The endpoint namespace."""
        return f"{self.namespace}-endpoints"

    def helm_values(self) -> Tree:
        """The values, with the namespaces that they name."""
        aws = {"aws": {"configMap": {"namespaces": [self.namespace, self.endpoints]}}}
        return overlaid(
            self.values,
            aws if "aws" in self.values else {},
            {"config": {"values": {"launch": {"endpoint_namespace": self.endpoints}}}},
        )

    def install(self, control_plane: ControlPlane, helm: Helm, *others: Tree) -> None:
        """Make the namespaces and the Secrets, put ``others`` into the endpoint namespace, and install the chart."""
        namespaces = [
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
            for name in (self.namespace, self.endpoints)
        ]
        secrets = [
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": name, "namespace": self.namespace},
                "stringData": dict(data),
            }
            for name, data in self.secrets.items()
        ]
        placed = [
            {**manifest, "metadata": {**manifest["metadata"], "namespace": self.endpoints}}
            for manifest in others
        ]
        control_plane.apply([*namespaces, *secrets, *placed])
        helm.install("model-engine", self.namespace, self.helm_values())

    def resource(self) -> Tree:
        """The ModelEngineHealthCheck: an empty spec is enough."""
        return {
            "apiVersion": "health.modelengine.io/v1alpha1",
            "kind": "ModelEngineHealthCheck",
            "metadata": {"name": "model-engine", "namespace": self.namespace},
            "spec": {},
        }


@contextmanager
def wrapper(key: str = "", *, values: Mapping[str, Any] | None = None) -> Iterator[Path]:
    """A customer's own chart, "acme-platform", with model engine in it as a subchart; ``key`` is its alias."""
    directory = temporary_directory("chart") / "acme-platform"
    try:
        shutil.copytree(MODEL_ENGINE, directory / "charts" / "model-engine")
        dependency = {"name": "model-engine", "version": "0.2.7", **({"alias": key} if key else {})}
        metadata = {
            "apiVersion": "v2",
            "name": "acme-platform",
            "version": "1.0.0",
            "dependencies": [dependency],
        }
        (directory / "Chart.yaml").write_text(yaml.safe_dump(metadata))
        (directory / "values.yaml").write_text(yaml.safe_dump(dict(values or {})))
        yield directory
    finally:
        shutil.rmtree(directory.parent)


def packed(document: Any) -> str:
    """A release as Helm stores it, the same at any time."""
    return base64.b64encode(gzip.compress(json.dumps(document).encode(), mtime=0)).decode()


def release_secret(
    namespace: str, release: str, payload: str, *, revision: int = 1, status: str = "deployed"
) -> Tree:
    labels = {"owner": "helm", "name": release, "version": str(revision), "status": status}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": SECRET_TYPE,
        "metadata": {
            "name": f"{SECRET_PREFIX}{release}.v{revision}",
            "namespace": namespace,
            "labels": labels,
        },
        "stringData": {"release": payload},
    }
