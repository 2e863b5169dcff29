"""The operator as users run it: its own image, installed by its chart on a real node."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psutil

from testbed.chart import CHART
from testbed.controlplane import ControlPlane
from testbed.helm import Helm
from testbed.installation import Tree
from testbed.node import Node
from testbed.operatorimage import ServedImage, tag
from testbed.operatorprocess import install_crd
from testbed.waiting import eventually

PATIENCE = 300
"""Seconds for anything that pods and probes do, on a slow machine."""


@dataclass(frozen=True, slots=True)
class OperatorOnNode:
    """The chart's release, as its administrator and its node see it. ``name`` is that of the release and namespace."""

    plane: ControlPlane
    node: Node
    name: str

    def pods(self) -> list[Tree]:
        """Those that are ready and stay."""
        path = f"/api/v1/namespaces/{self.name}/pods?labelSelector=app.kubernetes.io/instance%3D{self.name}"
        return [
            pod
            for pod in self.plane.api("GET", path)["items"]
            if "deletionTimestamp" not in pod["metadata"]
            and any(
                each["type"] == "Ready" and each["status"] == "True"
                for each in pod["status"].get("conditions", ())
            )
        ]

    def settled(self) -> list[str]:
        """The names of its two pods, once both are ready, and one of them leads."""
        pods = eventually(self.pods, lambda pods: len(pods) == 2, PATIENCE)
        names = [pod["metadata"]["name"] for pod in pods]
        eventually(self.leader, lambda leader: leader in names, PATIENCE)
        return names

    def holder(self) -> str:
        return str(self._lease().get("holderIdentity", ""))

    def _lease(self) -> Tree:
        path = f"/apis/coordination.k8s.io/v1/namespaces/{self.name}/leases/{self.name}"
        found: Tree = self.plane.api("GET", path)["spec"]
        return found

    def renewed(self) -> str:
        """When the leader last renewed the Lease."""
        return str(self._lease().get("renewTime", ""))

    def metrics(self, pod: str) -> str:
        """The page of the pod's metrics, as the API server gets it."""
        return self.plane.kubectl(
            "get", "--raw", f"/api/v1/namespaces/{self.name}/pods/{pod}:8080/proxy/metrics"
        )

    def leader(self) -> str:
        """The name of the pod that the Lease names."""
        return self.holder().partition("_")[0]

    def process(self, pod: str) -> psutil.Process:
        """`mehc run` of the pod, as this machine sees it."""
        (found,) = [each for each in self.node.processes("mehc") if each.environ().get("POD_NAME") == pod]
        return found


@contextlib.contextmanager
def deploy(node: Node, image: ServedImage, name: str, **more: Any) -> Iterator[OperatorOnNode]:
    """Release ``name`` in a namespace of that name which admits restricted pods only. ``more`` are values."""
    plane = node.control_plane
    node.reach(image.registry.port)
    install_crd(plane)
    level = {"pod-security.kubernetes.io/enforce": "restricted"}
    plane.api("POST", "/api/v1/namespaces", {"metadata": {"name": name, "labels": level}})
    values = {
        "fullnameOverride": name,
        "crds": {"enabled": False},  # another release may own it
        "image": {"repository": image.repository, "tag": tag()},
        **more,
    }
    helm = Helm(plane)
    helm.install(name, name, values, "--wait", f"--timeout={PATIENCE}s", chart=CHART)
    yield OperatorOnNode(plane, node, name)
    helm.run("uninstall", name, "-n", name)
    plane.delete_namespace(name)
