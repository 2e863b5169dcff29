"""KWOK in the kubelets' place: nodes heartbeat, pods become ready or get the trouble that a test stages."""

import time
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from testbed import tools
from testbed.controlplane import ApiError, ControlPlane
from testbed.ports import LOOPBACK, free_port
from testbed.process import ComponentError, Process

STAGES = Path(__file__).with_name("stages.yaml")
_EXEC = """
apiVersion: kwok.x-k8s.io/v1alpha1
kind: ClusterExec
metadata: {{name: here}}
spec:
  execs:
    - local: {{workDir: {folder}, envs: [{{name: KUBECONFIG, value: {kubeconfig}}}]}}
---
apiVersion: kwok.x-k8s.io/v1alpha1
kind: ClusterLogs
metadata: {{name: here}}
spec: {{logs: [{{logsFile: {log}, follow: true}}]}}
"""
"""What is executed in any pod runs on this machine, and the log of any container is one file, in the form of CRI."""

# On a pod's metadata; see stages.yaml.
STAGE_LABEL = "testbed.mehc/stage"
CONTAINER_ANNOTATION = "testbed.mehc/container"
MESSAGE_ANNOTATION = "testbed.mehc/message"
DELAY_ANNOTATION = "testbed.mehc/delay"

PodStage = Literal[
    "image-pull-backoff",
    "err-image-pull",
    "oom-killed",
    "crash-loop",
    "container-creating",
    "config-error",
    "slow-start",
]

_OURS = "testbed.mehc/played"

CAPACITY = {"cpu": "16", "memory": "64Gi", "ephemeral-storage": "200Gi", "pods": "110"}


class Kwok(Process):
    """Plays every node of a started control plane, or with ``own_nodes`` those of ``add_node``: beside a real one.

    With ``path``, exec and logs are served: commands run on this machine with this PATH, and the cluster's
    administrator in KUBECONFIG; every container's log is the file ``log``, as a container runtime writes it. The API
    server needs ``kubelet-preferred-address-types: InternalIP`` for it.
    """

    def __init__(self, control_plane: ControlPlane, *, path: str = "", own_nodes: bool = False) -> None:
        super().__init__("kwok")
        self._control_plane = control_plane
        self._port = free_port()
        self._address = f"{LOOPBACK}:{self._port}"
        self._path = path
        self._own_nodes = own_nodes
        self.log = self.directory / "container.log"

    def command(self) -> Sequence[str | Path]:
        return [
            tools.resolve(tools.KWOK),
            f"--kubeconfig={self._control_plane.kubeconfig}",
            f"--config={STAGES}",
            f"--server-address={self._address}",
            *self._nodes(),
            "--node-lease-duration-seconds=40",
            "--cidr=10.1.0.1/16",
            *(self._serving() if self._path else ["--node-ip=10.0.0.1"]),
        ]

    def _nodes(self) -> list[str]:
        if not self._own_nodes:
            return ["--manage-all-nodes=true"]
        return ["--manage-all-nodes=false", f"--manage-nodes-with-annotation-selector={_OURS}=true"]

    def environment(self) -> Mapping[str, str]:
        return {"PATH": self._path} if self._path else {}  # it looks for commands on its own

    def _serving(self) -> list[str]:
        pair = self._control_plane.ca.issue("kwok", names=(LOOPBACK,))
        exec = self.directory / "exec.yaml"
        places = {"folder": self.directory, "log": self.log, "kubeconfig": self._control_plane.kubeconfig}
        exec.write_text(_EXEC.format(**places))
        return [
            f"--config={exec}",
            f"--node-ip={LOOPBACK}",
            f"--node-port={self._port}",
            f"--tls-cert-file={pair.certificate_file}",
            f"--tls-private-key-file={pair.key_file}",
        ]

    def ready(self) -> bool:
        with urllib.request.urlopen(f"http://{self._address}/readyz", timeout=2) as response:
            return bool(response.status == 200)

    def add_node(
        self,
        name: str,
        *,
        labels: Mapping[str, str] | None = None,
        capacity: Mapping[str, str] | None = None,
        allocatable: Mapping[str, str] | None = None,
        taints: Sequence[Mapping[str, str]] = (),
        annotations: Mapping[str, str] | None = None,
        ready: bool = True,
        timeout: float = 10,
    ) -> str:
        """A node that is Ready and schedulable on return, or stays NotReady with `ready=False`.

        `capacity`: quantities over `CAPACITY`, such as {"nvidia.com/gpu": "8"}. `taints`: as in a node's spec.
        """
        more = dict(labels or {}) | ({} if ready else {STAGE_LABEL: "not-ready"})
        quantities = CAPACITY | dict(capacity or {})
        body = {
            "metadata": {
                "name": name,
                "labels": {
                    "kubernetes.io/hostname": name,
                    "kubernetes.io/os": "linux",
                    "kubernetes.io/arch": "amd64",
                }
                | more,
                "annotations": {_OURS: "true"} | dict(annotations or {}),
            },
            "spec": {"taints": [dict(taint) for taint in taints]},
            "status": {"capacity": quantities, "allocatable": quantities | dict(allocatable or {})},
        }
        self._control_plane.api("POST", "/api/v1/nodes", body)
        if self._path:
            served = {"status": {"daemonEndpoints": {"kubeletEndpoint": {"Port": self._port}}}}
            kind = "application/merge-patch+json"
            self._control_plane.api("PATCH", f"/api/v1/nodes/{name}/status", served, content_type=kind)
        deadline = time.monotonic() + timeout
        while True:
            node = self._control_plane.api("GET", f"/api/v1/nodes/{name}")
            if _is_ready(node) if ready else _condition(node, "Ready") == "False":
                return name
            if time.monotonic() > deadline:
                raise ComponentError(f"node {name} did not settle: {node['status']}\n{self.log_tail()}")
            time.sleep(0.02)

    def delete_node(self, name: str) -> None:
        """Does nothing if it is gone already."""
        try:
            self._control_plane.api("DELETE", f"/api/v1/nodes/{name}")
        except ApiError as error:
            if error.code != 404:
                raise


def _is_ready(node: Mapping[str, Any]) -> bool:
    """Ready, and the node lifecycle controller has seen it: its own NoSchedule taints are gone."""
    own = [
        taint for taint in node["spec"].get("taints", ()) if taint["key"].startswith("node.kubernetes.io/")
    ]
    return _condition(node, "Ready") == "True" and not own


def _condition(node: Mapping[str, Any], kind: str) -> str | None:
    found: str | None = next(
        (c["status"] for c in node["status"].get("conditions", ()) if c["type"] == kind), None
    )
    return found
