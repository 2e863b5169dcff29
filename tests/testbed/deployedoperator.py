"""The operator as its chart deploys it: what the containers of its pods would run, as processes.

There is no container runtime here. KWOK says that the pods run; this starts, for each pod, its container's command
with its arguments, its environment and a token of its ServiceAccount, so under the chart's own RBAC.
"""

import os
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from testbed.chart import CHART
from testbed.controlplane import ControlPlane
from testbed.helm import Helm
from testbed.operatorprocess import Operator
from testbed.ports import LOOPBACK, free_port

NAME = "mehc"
"""Of the namespace, the release, and the release's objects."""
_HOSTS = Path("/etc/hosts")
_API = "$(KUBERNETES_SERVICE_HOST)"
"""In a variable: where the API server is, which the kubelet fills in."""
_OF_THE_POD = {"metadata.name": "name", "metadata.namespace": "namespace"}


class PodOperator(Operator):
    """The container of one pod. Its ports are its own: here all pods share an address. ``page`` is the URL of its
    status page, "" where the chart has it off.
    """

    def __init__(
        self,
        control_plane: ControlPlane,
        pod: Mapping[str, Any],
        environment: Mapping[str, str],
        hosts: Mapping[str, str],
    ) -> None:
        metadata, spec = pod["metadata"], pod["spec"]
        (container,) = spec["containers"]
        ports = ("--port", "--status-page-port")
        command, *words = [word for word in container["args"] if not word.startswith(ports)]
        self.page = ""
        if any(word.startswith("--status-page-port") for word in container["args"]):
            port = free_port()
            self.page = f"http://{LOOPBACK}:{port}/"
            words.append(f"--status-page-port={port}")
        if command != "run":
            raise ValueError(f"the container runs mehc {command}")
        self.pod: str = metadata["name"]
        self.account: str = spec["serviceAccountName"]
        self._hosts = hosts
        self.mounts = ""
        """What the shell does in a mount namespace of the process's own before it begins: for "can_have_hosts"."""
        self.api_port = 0
        """Where the API server is on loopback, for a process that finds it as pods do; 0: it has a kubeconfig."""
        super().__init__(
            control_plane,
            *words,
            kubeconfig=control_plane.service_account_kubeconfig(
                metadata["namespace"], spec["serviceAccountName"]
            ),
            environment={**environment, **_variables(container, metadata)},
            trusted=(),
        )

    def prepare(self) -> None:
        """The chart brought the CRD."""
        names = "".join(f"{address} {name}\n" for name, address in self._hosts.items())
        self._own_hosts.write_text(_HOSTS.read_text() + names)

    def environment(self) -> Mapping[str, str]:
        if not self.api_port:
            return super().environment()
        found = {"KUBERNETES_SERVICE_HOST": LOOPBACK, "KUBERNETES_SERVICE_PORT": str(self.api_port)}
        return {**super().environment(), **found}

    def command(self) -> Sequence[str | Path]:
        words = list(super().command())
        if self.api_port:
            at = words.index("--kubeconfig")
            del words[at : at + 2]
        if not self._hosts and not self.mounts:
            return words
        steps = [f'mount --bind "$0" {_HOSTS}' if self._hosts else "", self.mounts, 'exec "$@"']
        over = " && ".join(filter(None, steps))
        return ["unshare", "--mount", "sh", "-c", over, self._own_hosts, *words]

    @property
    def _own_hosts(self) -> Path:
        return self.directory / "hosts"


class DeployedOperator:
    """The chart, installed by Helm into the namespace "mehc", and the processes of its pods; a context manager."""

    def __init__(
        self,
        control_plane: ControlPlane,
        values: Mapping[str, Any],
        *,
        environment: Mapping[str, str],
        hosts: Mapping[str, str] | None = None,
    ) -> None:
        """``environment`` is what the nodes add: where AWS is, and what authorities are trusted. ``hosts`` are names
        and addresses that its pods' resolver has; they need ``can_have_hosts``.
        """
        self.control_plane = control_plane
        self._values = {"image": {"repository": "registry.example.com/mehc"}, **values}
        self._environment = environment
        self._hosts = dict(hosts or {})
        self._stack = ExitStack()
        self.replicas: list[PodOperator] = []

    def __enter__(self) -> Self:
        words = ("--create-namespace", "--wait", "--timeout=60s")
        Helm(self.control_plane).install(NAME, NAME, self._values, *words, chart=CHART)
        pods = self.control_plane.api(
            "GET", f"/api/v1/namespaces/{NAME}/pods?labelSelector=app.kubernetes.io/instance%3D{NAME}"
        )["items"]
        for pod in pods:
            operator = PodOperator(self.control_plane, pod, self._environment, self._hosts)
            self.replicas.append(self._stack.enter_context(operator))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def leader(self) -> PodOperator:
        """The replica that the Lease names. Raises LookupError while it names none."""
        path = f"/apis/coordination.k8s.io/v1/namespaces/{NAME}/leases/{NAME}"
        holder = self.control_plane.api("GET", path)["spec"].get("holderIdentity", "").partition("_")[0]
        for replica in self.replicas:
            if replica.pod == holder:
                return replica
        raise LookupError(f"no replica is {holder or 'nobody'}")


def can_have_hosts() -> bool:
    """Whether this process may give another one an /etc/hosts of its own."""
    if os.geteuid() != 0:
        return False
    done = subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False)
    return done.returncode == 0


def _variables(container: Mapping[str, Any], metadata: Mapping[str, Any]) -> dict[str, str]:
    found = {}
    for variable in container.get("env", ()):
        if "value" in variable:
            found[variable["name"]] = variable["value"].replace(_API, LOOPBACK)
        else:
            found[variable["name"]] = metadata[_OF_THE_POD[variable["valueFrom"]["fieldRef"]["fieldPath"]]]
    return found
