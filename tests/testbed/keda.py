"""The real KEDA operator, outside the cluster, on the testbed's API server."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from testbed import tools
from testbed.controlplane import ControlPlane
from testbed.ports import LOOPBACK, free_port, is_listening
from testbed.process import Process
from testbed.waiting import eventually

NAMESPACE = "keda"
OPERATOR, METRICS_SERVER = "keda-operator", "keda-operator-metrics-apiserver"
MODULE = "github.com/kedacore/keda/v2"


def custom_resource_definitions() -> Path:
    """The folder of KEDA's CRDs in Go's module cache; downloads the module if it is not there."""
    return tools.module_folder(tools.KEDA.folder, MODULE) / "config" / "crd" / "bases"


def install(control_plane: ControlPlane) -> None:
    """Put KEDA's CRDs and its namespace into the cluster; returns when the API server serves them."""
    # Not apply: the annotation that it adds would be larger than an annotation may be
    control_plane.kubectl("create", "-f", custom_resource_definitions())
    control_plane.wait_established()
    control_plane.api("POST", "/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})


def deploy(control_plane: ControlPlane) -> None:
    """Make KEDA's Deployments, and wait until their pods are ready: on nodes that Kwok plays."""
    deployments = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments"
    for name in (OPERATOR, METRICS_SERVER):
        control_plane.api("POST", deployments, deployment(name))
    eventually(
        lambda: [
            each["status"].get("readyReplicas") for each in control_plane.api("GET", deployments)["items"]
        ],
        lambda ready: ready == [1, 1],
    )


def deployment(name: str, environment: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The manifest of one of KEDA's Deployments, as far as it can be told from outside."""
    labels = {"app.kubernetes.io/name": name}
    container = {
        "name": "main",
        "image": "keda:1",
        "env": [{"name": key, "value": value} for key, value in (environment or {}).items()],
    }
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    return {"metadata": {"name": name, "labels": labels}, "spec": spec}


class Keda(Process):
    """The operator. `variables` are further ones of its environment; `ca_dir` holds certificates that it trusts."""

    start_timeout = 60.0

    def __init__(
        self,
        control_plane: ControlPlane,
        *,
        ca_dir: Path | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__("keda")
        self._control_plane = control_plane
        self._ca_dir = ca_dir
        self._variables = dict(variables or {})
        self._probe_port = free_port()
        self._service_port = free_port()

    def command(self) -> Sequence[str | Path]:
        flags: dict[str, str | Path | int] = {
            "kubeconfig": self._control_plane.kubeconfig,
            "leader-elect": "false",
            "cert-dir": self.directory / "certs",
            "enable-cert-rotation": "false",
            "metrics-bind-address": "0",
            "health-probe-bind-address": f"{LOOPBACK}:{self._probe_port}",
            "metrics-service-bind-address": f"{LOOPBACK}:{self._service_port}",
            "kube-api-qps": 200,
            "kube-api-burst": 400,
            "zap-log-level": "error",
        }
        if self._ca_dir:
            flags["ca-dir"] = self._ca_dir
        return [tools.resolve(tools.KEDA), *(f"--{key}={value}" for key, value in flags.items())]

    def environment(self) -> Mapping[str, str]:
        return {
            "KEDA_CLUSTER_OBJECT_NAMESPACE": NAMESPACE,
            "POD_NAMESPACE": NAMESPACE,
            "WATCH_NAMESPACE": "",
            "KEDA_SCALEDOBJECT_CTRL_MAX_RECONCILES": "200",
            **self._variables,
        }

    def prepare(self) -> None:
        """The certificate of its own service, which nobody asks for here."""
        certs = self.directory / "certs"
        certs.mkdir()
        authority = self._control_plane.ca
        pair = authority.issue("keda-operator")
        for name, source in (
            ("ca.crt", authority.ca_file),
            ("tls.crt", pair.certificate_file),
            ("tls.key", pair.key_file),
        ):
            (certs / name).write_bytes(source.read_bytes())

    def ready(self) -> bool:
        return is_listening(self._probe_port)

    def complaints(self, namespace: str) -> dict[str, list[str]]:
        """Messages of KEDA's warning Events of a namespace, by the name of the ScaledObject."""
        found: dict[str, list[str]] = {}
        events: Any = self._control_plane.api("GET", f"/api/v1/namespaces/{namespace}/events")
        for event in events["items"]:
            if event["type"] == "Warning" and event["involvedObject"]["kind"] == "ScaledObject":
                found.setdefault(event["involvedObject"]["name"], []).append(
                    f"{event['reason']}: {event.get('message', '')}"
                )
        return found
