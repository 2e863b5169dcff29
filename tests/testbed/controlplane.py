"""A real Kubernetes control plane: etcd, kube-apiserver, kube-scheduler and kube-controller-manager."""

import contextlib
import http.client
import json
import os
import secrets
import ssl
import subprocess
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

from testbed import tools
from testbed.pki import CertificateAuthority
from testbed.ports import LOOPBACK, free_port
from testbed.process import ComponentError, Process, remove_directory, temporary_directory
from testbed.waiting import eventually

CONTEXT = "mehc-testbed"
API_SERVER = "10.96.0.1"
"""The address of the Service "kubernetes"."""

CONTROLLERS = (
    "clusterrole-aggregation-controller",
    "daemonset-controller",
    "deployment-controller",
    "endpoints-controller",
    "endpointslice-controller",
    "garbage-collector-controller",
    "horizontal-pod-autoscaler-controller",
    "job-controller",
    "namespace-controller",
    "node-lifecycle-controller",
    "pod-garbage-collector-controller",
    "replicaset-controller",
    "root-ca-certificate-publisher-controller",
    "serviceaccount-controller",
    "serviceaccount-token-controller",
    "statefulset-controller",
    "taint-eviction-controller",
    "ttl-after-finished-controller",
)

Manifest = Mapping[str, Any]
Flags = dict[str, str | Path | int]


_PATIENCE = 180
"""Seconds that one request may take: the API server needs long for objects of 20,000 fields on a busy machine."""


class ApiError(RuntimeError):
    """The API server answered with an error; `code` is the HTTP status."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code


class _KubernetesProcess(Process):
    """One applet; its binary is KUBEBUILDER_ASSETS' if that has it, else the cached build."""

    def __init__(self, applet: str, flags: Flags, health: str, ca_file: Path | None) -> None:
        super().__init__(applet)
        self.flags = flags
        self._applet = applet
        self._health = health
        self._ca_file = ca_file

    def command(self) -> Sequence[str | Path]:
        return [*_binary(self._applet), *(f"--{key}={value}" for key, value in self.flags.items())]

    def ready(self) -> bool:
        status, _ = _request("GET", self._health, context=_tls(self._ca_file) if self._ca_file else None)
        return status == 200


class ControlPlane:
    """Etcd, API server (RBAC, aggregation), scheduler, and the controllers of `CONTROLLERS`.

    `start()` returns when the API server's /readyz, the scheduler and the controller manager are healthy. The parts
    `etcd`, `apiserver`, `scheduler` and `controller_manager` can be paused, stopped and restarted on their own; the
    API server keeps its port and its data.
    """

    def __init__(self, *, apiserver_flags: Mapping[str, str | Path | int] | None = None) -> None:
        self.directory = temporary_directory("controlplane")
        self.ca = CertificateAuthority("testbed kubernetes CA")
        self.ca_file = self.ca.ca_file
        self.host = LOOPBACK
        self.port = free_port()
        self.server = f"https://{self.host}:{self.port}"
        self.admin_token = secrets.token_hex(16)
        self.kubeconfig = self.client_kubeconfig("admin", "testbed-admin", "system:masters")
        self._admin_tls = _tls(self.ca_file)
        self.etcd = self._etcd()
        self.apiserver = self._apiserver(apiserver_flags or {})
        self.scheduler = self._scheduler()
        self.controller_manager = self._controller_manager()

    @property
    def parts(self) -> tuple[Process, ...]:
        return (self.controller_manager, self.scheduler, self.apiserver, self.etcd)

    def start(self) -> Self:
        self.etcd.start()
        self.apiserver.start()
        with ThreadPoolExecutor() as side_by_side:
            list(side_by_side.map(lambda part: part.start(), (self.scheduler, self.controller_manager)))
        return self

    def close(self) -> None:
        """End everything at once: the data is thrown away, so nothing needs a graceful end."""
        for part in self.parts:
            part.kill()
            part.close()
        remove_directory(self.ca.directory)
        remove_directory(self.directory)

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def api(
        self, method: str, path: str, body: Manifest | None = None, *, content_type: str = "application/json"
    ) -> Any:
        """One request as the administrator; the decoded JSON answer. Raises ApiError from HTTP 400 up."""
        status, answer = _request(
            method,
            self.server + path,
            context=self._admin_tls,
            headers={"Authorization": f"Bearer {self.admin_token}", "Content-Type": content_type},
            body=None if body is None else json.dumps(body),
        )
        if status >= 400:
            raise ApiError(status, answer)
        return json.loads(answer)

    def kubectl(self, *words: str | Path, input: str | None = None, timeout: float = 60) -> str:
        """kubectl's standard output. Raises ComponentError with its standard error."""
        argv = [str(tools.kubectl()), f"--cache-dir={self.directory / 'kubectl'}", *map(str, words)]
        done = subprocess.run(
            argv,
            input=input,
            stdin=subprocess.DEVNULL if input is None else None,
            capture_output=True,
            text=True,
            env=os.environ | {"KUBECONFIG": str(self.kubeconfig)},
            timeout=timeout,
            check=False,
        )
        if done.returncode:
            raise ComponentError(f"kubectl {' '.join(map(str, words))}: {done.stderr.strip()}")
        return done.stdout

    def apply(self, manifest: str | Manifest | Sequence[Manifest], *, namespace: str | None = None) -> str:
        """kubectl apply of YAML text, one object, or several."""
        if not isinstance(manifest, str):
            objects = [manifest] if isinstance(manifest, Mapping) else list(manifest)
            manifest = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
        place = ["-n", namespace] if namespace else []
        return self.kubectl("apply", "-f", "-", *place, input=manifest)

    def wait_established(self) -> None:
        """Wait until the API serves every CustomResourceDefinition. kubectl's own wait fails where one is very new."""
        path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"

        def waiting() -> list[str]:
            return [
                item["metadata"]["name"]
                for item in self.api("GET", path)["items"]
                if ("Established", "True")
                not in (
                    (each["type"], each["status"]) for each in item.get("status", {}).get("conditions") or ()
                )
            ]

        eventually(waiting, lambda names: not names, 90)

    def create_namespace(self, prefix: str = "test") -> str:
        """A new namespace that is ready for pods: its default ServiceAccount exists."""
        name = f"{prefix}-{secrets.token_hex(3)}"
        self.api("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
        deadline = time.monotonic() + 60
        while True:
            try:
                self.api("GET", f"/api/v1/namespaces/{name}/serviceaccounts/default")
            except ApiError as error:
                if error.code != 404 or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
            else:
                return name

    def delete_namespace(self, name: str) -> None:
        """Asks for the deletion and does not wait for it."""
        with contextlib.suppress(ApiError):
            self.api("DELETE", f"/api/v1/namespaces/{name}")

    def service_account_kubeconfig(self, namespace: str, name: str, *, seconds: int = 3600) -> Path:
        """A kubeconfig with a token minted for the ServiceAccount (TokenRequest), which is created if missing."""
        accounts = f"/api/v1/namespaces/{namespace}/serviceaccounts"
        try:
            self.api("POST", accounts, {"metadata": {"name": name}})
        except ApiError as error:
            if error.code != 409:
                raise
        request = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": seconds},
        }
        answer = self.api("POST", f"{accounts}/{name}/token", request)
        return self._kubeconfig(f"{namespace}-{name}", {"token": answer["status"]["token"]}, namespace)

    def client_kubeconfig(self, name: str, user: str, *groups: str) -> Path:
        """A kubeconfig with a client certificate."""
        pair = self.ca.issue(user, names=(), organizations=groups)
        return self._kubeconfig(
            name, {"client-certificate": str(pair.certificate_file), "client-key": str(pair.key_file)}
        )

    def _kubeconfig(self, name: str, user: Mapping[str, str], namespace: str = "default") -> Path:
        cluster = {"server": self.server, "certificate-authority": str(self.ca_file)}
        path = self.directory / f"{name}.kubeconfig"
        path.touch(mode=0o600)
        path.write_text(
            yaml.safe_dump(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "clusters": [{"name": CONTEXT, "cluster": cluster}],
                    "users": [{"name": name, "user": dict(user)}],
                    "contexts": [
                        {
                            "name": CONTEXT,
                            "context": {"cluster": CONTEXT, "user": name, "namespace": namespace},
                        }
                    ],
                    "current-context": CONTEXT,
                }
            )
        )
        return path

    def _etcd(self) -> Process:
        self._etcd_url = f"http://{LOOPBACK}:{free_port()}"
        peers = f"http://{LOOPBACK}:{free_port()}"
        flags: Flags = {
            "data-dir": self.directory / "etcd",
            "listen-client-urls": self._etcd_url,
            "advertise-client-urls": self._etcd_url,
            "listen-peer-urls": peers,
            "initial-advertise-peer-urls": peers,
            "initial-cluster": f"default={peers}",
            "unsafe-no-fsync": "true",
            "log-level": "warn",
        }
        return _KubernetesProcess("etcd", flags, f"{self._etcd_url}/health", None)

    def _apiserver(self, more: Mapping[str, str | Path | int]) -> Process:
        serving = self.ca.issue(
            "kube-apiserver",
            names=("localhost", LOOPBACK, "kubernetes.default.svc", "kubernetes.default", API_SERVER),
        )
        tokens = self.directory / "tokens.csv"
        tokens.write_text(f'{self.admin_token},testbed-admin,testbed-admin,"system:masters"\n')
        accounts = self.ca.issue("service-accounts", names=())
        self._account_key = accounts.key_file
        front_proxy = CertificateAuthority("testbed front-proxy CA")
        proxy = front_proxy.issue("front-proxy", names=())
        flags: Flags = {
            "bind-address": LOOPBACK,
            "secure-port": self.port,
            "advertise-address": LOOPBACK,
            "endpoint-reconciler-type": "none",  # Endpoints may not hold a loopback address
            "etcd-servers": self._etcd_url,
            "tls-cert-file": serving.certificate_file,
            "tls-private-key-file": serving.key_file,
            "client-ca-file": self.ca_file,
            "token-auth-file": tokens,
            "authorization-mode": "Node,RBAC",
            "service-cluster-ip-range": "10.96.0.0/16",
            "service-account-issuer": "https://kubernetes.default.svc",
            "service-account-signing-key-file": self._account_key,
            "service-account-key-file": accounts.certificate_file,
            "requestheader-client-ca-file": front_proxy.ca_file,
            "requestheader-allowed-names": "front-proxy",
            "requestheader-username-headers": "X-Remote-User",
            "requestheader-group-headers": "X-Remote-Group",
            "requestheader-extra-headers-prefix": "X-Remote-Extra-",
            "proxy-client-cert-file": proxy.certificate_file,
            "proxy-client-key-file": proxy.key_file,
            "allow-privileged": "true",
            "profiling": "false",
        }
        process = _KubernetesProcess(
            "kube-apiserver", flags | dict(more), f"{self.server}/readyz", self.ca_file
        )
        process.stop_timeout = 1.0  # it would wait a minute for open watches
        return process

    def _scheduler(self) -> Process:
        flags = self._controller_flags("scheduler", "system:kube-scheduler")
        return self._controller("kube-scheduler", flags)

    def _controller_manager(self) -> Process:
        flags = self._controller_flags("controller-manager", "testbed-controller-manager", "system:masters")
        flags |= {
            "controllers": ",".join(CONTROLLERS),
            "service-account-private-key-file": self._account_key,
            "root-ca-file": self.ca_file,
            "node-monitor-period": "1s",
            "horizontal-pod-autoscaler-sync-period": "2s",
            "kube-api-qps": 200,
            "kube-api-burst": 400,
        }
        return self._controller("kube-controller-manager", flags)

    def _controller_flags(self, name: str, user: str, *groups: str) -> Flags:
        kubeconfig = self.client_kubeconfig(name, user, *groups)
        pair = self.ca.issue(name)
        return {
            "kubeconfig": kubeconfig,
            "authentication-kubeconfig": kubeconfig,
            "authorization-kubeconfig": kubeconfig,
            "bind-address": LOOPBACK,
            "secure-port": free_port(),
            "tls-cert-file": pair.certificate_file,
            "tls-private-key-file": pair.key_file,
            "leader-elect": "false",
        }

    def _controller(self, applet: str, flags: Flags) -> Process:
        return _KubernetesProcess(
            applet, flags, f"https://{LOOPBACK}:{flags['secure-port']}/healthz", self.ca_file
        )


def _binary(applet: str) -> list[str | Path]:
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    if assets and (found := Path(assets) / applet).exists():
        return [found]
    return [tools.resolve(tools.CONTROL_PLANE), applet]


def _tls(ca_file: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(ca_file))


def _request(
    method: str,
    url: str,
    *,
    context: ssl.SSLContext | None = None,
    headers: Mapping[str, str] | None = None,
    body: str | None = None,
) -> tuple[int, str]:
    scheme, _, rest = url.partition("://")
    address, _, path = rest.partition("/")
    connection = (
        http.client.HTTPSConnection(address, timeout=_PATIENCE, context=context)
        if scheme == "https"
        else http.client.HTTPConnection(address, timeout=_PATIENCE)
    )
    with contextlib.closing(connection):
        connection.request(method, f"/{path}", body=body, headers=dict(headers or {}))
        response = connection.getresponse()
        return response.status, response.read().decode()
