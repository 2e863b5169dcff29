"""A real Kubernetes node in namespaces of its own: kubelet, containerd, runc, kube-proxy. Needs root."""

import contextlib
import functools
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil
import yaml

from testbed import tools
from testbed.controlplane import API_SERVER, ApiError, ControlPlane
from testbed.node import cgroups, settings
from testbed.node.addresses import Addresses, ip
from testbed.node.archives import BUSYBOX, archive
from testbed.node.portals import Portals, network_of
from testbed.ports import LOOPBACK
from testbed.process import ComponentError, Process, remove_directory, temporary_directory
from testbed.waiting import eventually

GPU = "nvidia.com/gpu"
_SCRIPTS = Path(__file__).parent
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""Where containerd finds its shim, runc and iptables."""


@functools.cache
def impossible() -> str:
    """Why there can be no node on this machine, or ""."""
    if os.geteuid() != 0:
        return "a real node needs root"
    folder = temporary_directory("probe")
    words = ["sh", str(_SCRIPTS / "enter.sh"), "probe", str(folder), os.devnull]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    cgroups.remove(folder / cgroups.RECORD)
    remove_directory(folder)
    if done.returncode:
        return f"this machine cannot have a node: {done.stderr.strip()}"
    return ""


class Node(Process):
    """One node of a started control plane.

    It reaches the API server, also through the Service "kubernetes", and what ``reach`` and ``service`` lead it to.
    The kernel ends all of it when this process ends; what is left then, ``cgroups.sweep`` removes.
    """

    start_timeout = 600.0

    def __init__(
        self,
        control_plane: ControlPlane,
        name: str = "real-1",
        *,
        labels: Mapping[str, str] | None = None,
        taints: Sequence[Mapping[str, str]] = (),
        kubelet: Mapping[str, Any] | None = None,
        gpus: int = 0,
        has_api: bool = True,
    ) -> None:
        """``kubelet``: more of its configuration. ``gpus``: how many the device plugin offers. ``has_api``: whether
        the Service "kubernetes" leads to this node, of all those of a control plane.
        """
        cgroups.sweep()
        super().__init__(name)
        self.node = name
        self._addresses = Addresses()
        self.address, self.pods = self._addresses.node, self._addresses.pods
        self.control_plane = control_plane
        self._labels, self._taints = dict(labels or {}), list(taints)
        self._more = dict(kubelet or {})
        self._gpus = gpus
        self._has_api = has_api
        self._portals: Portals | None = None

    def command(self) -> Sequence[str | Path]:
        labels = ",".join(f"{key}={value}" for key, value in self._labels.items())
        binary = tools.resolve(tools.CONTROL_PLANE)
        words: list[str | Path] = [
            self.node,
            self.directory,
            _SCRIPTS / "boot.sh",
            self.address,
            self._addresses.gateway,
        ]
        return ["sh", _SCRIPTS / "enter.sh", *words, binary, labels, str(self._gpus)]

    def environment(self) -> Mapping[str, str]:
        return {"PATH": _PATH}

    def prepare(self) -> None:
        here, plane = self.directory, self.control_plane
        for folder in ("registries", "cni", "images", "kubelet", "names", "podlogs"):
            (here / folder).mkdir()
        sandbox = {"bin/busybox": BUSYBOX.read_bytes()}
        (here / "images" / "pause.tar").write_bytes(
            archive(settings.PAUSE, sandbox, command=["/bin/busybox", "sleep", "infinity"])
        )
        (here / "containerd.toml").write_text(settings.containerd(here))
        self.write_network(settings.network(self._addresses.pods))
        (here / "kubelet.yaml").write_text(
            yaml.safe_dump(settings.kubelet(here, self.address, self._taints) | self._more)
        )
        own = plane.client_kubeconfig(self.node, f"system:node:{self.node}", "system:nodes")
        shutil.copy(own, here / "kubeconfig")
        shutil.copy(plane.client_kubeconfig("kube-proxy", "system:kube-proxy"), here / "proxy.kubeconfig")
        self.break_gpus("")

    def spawn(self) -> None:
        super().spawn()
        deadline = time.monotonic() + self.start_timeout
        while network_of(self._process_1()) in (0, network_of(os.getpid())):
            if not self.running or time.monotonic() > deadline:
                self._fail("did not get namespaces of its own")
            time.sleep(0.01)
        pid = str(self._process_1())
        ip("link", "add", self._addresses.link, "type", "veth", "peer", "name", "eth0", "netns", pid)
        ip("address", "add", f"{self._addresses.gateway}/30", "dev", self._addresses.link)
        ip("link", "set", self._addresses.link, "up")
        ip("route", "add", self._addresses.pods, "via", self.address)
        self._portals = Portals(self._process_1())
        self.reach(self.control_plane.port)
        if self._has_api:
            self._lead("default", "kubernetes", self.control_plane.port, "https")
        self.resolve(API_SERVER, "kubernetes.default.svc.cluster.local")

    def ready(self) -> bool:
        try:
            node = self.control_plane.api("GET", f"/api/v1/nodes/{self.node}")
        except ApiError:
            return False
        conditions = {each["type"]: each["status"] for each in node["status"].get("conditions", ())}
        offered = int(node["status"].get("allocatable", {}).get(GPU, 0))
        taints = node["spec"].get("taints") or []
        return (
            conditions.get("Ready") == "True" and offered == self._gpus and len(taints) == len(self._taints)
        )

    def reach(self, port: int) -> None:
        """127.0.0.1:``port`` is on the node what it is here: a registry's address, say."""
        assert self._portals is not None, "the node is not started"
        self._portals.open(LOOPBACK, port, port)

    def service(self, namespace: str, name: str, port: int, to: int) -> None:
        """Make a Service at ``port`` that leads pods to our loopback's port ``to``, with a name in DNS."""
        spec = {"ports": [{"port": port, "targetPort": to}]}
        manifest = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}
        self.control_plane.apply(manifest, namespace=namespace)
        self._lead(namespace, name, to)
        made = self.control_plane.api("GET", f"/api/v1/namespaces/{namespace}/services/{name}")
        self.resolve(made["spec"]["clusterIP"], f"{name}.{namespace}.svc.cluster.local")

    def resolve(self, address: str, name: str) -> None:
        """Make ``name`` known to DNS, as the node and its pods have it; it knows no other."""
        (self.directory / "names" / name).write_text(f"{address} {name}\n")

    def _lead(self, namespace: str, service: str, port: int, name: str = "") -> None:
        assert self._portals is not None, "the node is not started"
        self._portals.open(self.address, port, port)
        self.control_plane.apply(settings.endpoints(namespace, service, self.address, port, name))

    def run(self, *words: str | Path) -> str:
        """The output of a command in the node's namespaces. Raises ComponentError."""
        enter = ["nsenter", "-t", str(self._process_1()), "-m", "-n", "-p", "-u", "-i"]
        done = subprocess.run([*enter, *map(str, words)], capture_output=True, text=True, check=False)
        if done.returncode:
            raise ComponentError(f"{words}: {done.stdout}{done.stderr}")
        return done.stdout

    def load(self, image: bytes) -> None:
        """Import an image (``archives``), so that pods have it without a registry. Raises ComponentError."""
        socket = str(self.directory / "containerd.sock")
        words = ["ctr", "--address", socket, "--namespace", "k8s.io", "images", "import", "--no-unpack", "-"]
        done = subprocess.run(words, input=image, capture_output=True, check=False)
        if done.returncode:
            raise ComponentError(done.stderr.decode())

    def registry(self, host: str, hosts_toml: str) -> None:
        """How containerd reaches the registry ``host``; without it, over HTTPS, but over HTTP on loopback."""
        folder = self.directory / "registries" / host
        folder.mkdir(exist_ok=True)
        (folder / "hosts.toml").write_text(hosts_toml)

    def break_gpus(self, how: str) -> None:
        """ "unhealthy": none is offered any more; "refuse": no pod gets one; "": they work."""
        (self.directory / "gpu-fault").write_text(how)

    def write_network(self, configuration: Mapping[str, Any]) -> None:
        """Replace the configuration of the network plugin."""
        (self.directory / "cni" / "10-pods.conflist").write_text(json.dumps(configuration))

    def remove_network(self) -> None:
        """Remove it: a node that is not ready for the pods' network."""
        (self.directory / "cni" / "10-pods.conflist").unlink()

    def processes(self, name: str) -> list[psutil.Process]:
        """Those of the node whose command line has the word ``name`` first or second."""
        found = []
        for each in psutil.Process(self.pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                if name in [Path(word).name for word in each.cmdline()[:2]]:
                    found.append(each)
        return found

    def restart_program(self, name: str) -> None:
        """Kill "kubelet", "containerd", "kube-proxy", "dnsmasq" or "device-plugin"; it is started again at once."""
        for each in self.processes(name):
            with contextlib.suppress(psutil.Error):
                each.kill()

    @contextlib.contextmanager
    def without(self, name: str) -> Iterator[None]:
        """Inside, the program does not run on the node."""
        gone = self.directory / f"no-{name}"
        gone.touch()
        try:
            self.restart_program(name)
            yield
        finally:
            gone.unlink()

    @contextlib.contextmanager
    def paused(self, name: str) -> Iterator[None]:
        """Inside, the program stands still: what asks it gets no answer."""
        found = eventually(lambda: self.processes(name), bool, self.start_timeout)
        for each in found:
            each.suspend()
        try:
            yield
        finally:
            for each in found:
                with contextlib.suppress(psutil.NoSuchProcess):
                    each.resume()

    def log_tail(self, lines: int = 40) -> str:
        text = super().log_tail(lines)
        for path in sorted(self.directory.glob("*.log")):
            end = path.read_text(errors="replace").splitlines()[-lines:]
            text += f"\n--- {path.name}\n" + "\n".join(end)
        return text

    def stop(self) -> None:
        """End everything at once, with all pods."""
        if self._portals is not None:
            self._portals.close()
            self._portals = None
        if self._child is None:
            return
        self._child.kill()  # process 1 gets the same (--kill-child), and with it everything that it holds
        self._child.wait()
        self._child = None
        with contextlib.suppress(ComponentError):
            ip("link", "delete", self._addresses.link)  # the kernel would do it, some seconds later
        cgroups.remove(self.directory / cgroups.RECORD)

    def kill(self) -> None:
        self.stop()

    def close(self) -> None:
        super().close()
        self._addresses.release()

    def _process_1(self) -> int:
        """Its number here; 0 while there is no child. Before there are namespaces, a command of enter.sh."""
        try:
            children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        except OSError:
            return 0
        return int(children[0]) if children else 0
