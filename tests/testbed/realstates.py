"""Endpoints in trouble on a real node: what is asked of the kubelet, and the cause that mehc must name."""

import json
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Final, Self

from testbed.endpoints import OWNER, PASSWORD, prepared
from testbed.httpserver import Reply, Request, ScriptedServer
from testbed.installation import DATABASE_SECRET, Tree
from testbed.node import GPU, Node
from testbed.node.archives import BUSYBOX_IMAGE, archive, busybox, push
from testbed.pki import CertificateAuthority
from testbed.ports import free_port
from testbed.postgres import Postgres
from testbed.process import temporary_directory
from testbed.registry import PASSWORD as PULL
from testbed.registry import USER, ImageStore, Registry, TokenService

SERVES: Final = "echo hi > /tmp/index.html; exec httpd -f -p 5005 -h /tmp"
WAITS: Final = "exec sleep 1000"
ARM: Final = bytes.fromhex("7f454c460201010000000000000000000200b70001000000") + b"\0" * 200
"""The beginning of a program for arm64."""


@dataclass(frozen=True, kw_only=True)
class State:
    """``cause`` is the reason that must be named; what follows changes the pod and its containers."""

    cause: str
    main: Tree = field(default_factory=dict)
    forwarder: Tree = field(default_factory=dict)
    init: Tree | None = None
    pod: Tree = field(default_factory=dict)


def runs(script: str, **container: Any) -> Tree:
    return {"command": ["/bin/sh", "-c", script], **container}


def _volume(source: Tree, cause: str) -> State:
    mounts = [{"name": "v", "mountPath": "/v"}]
    return State(cause=cause, pod={"volumes": [{"name": "v", **source}]}, main={"volumeMounts": mounts})


def _variable(source: Tree) -> State:
    return State(cause="ContainerConfigMissing", main={"env": [{"name": "A", "valueFrom": source}]})


def states(host: Mapping[str, str]) -> dict[str, State]:
    """By name. ``host`` has the registries' addresses by what is wrong with them."""
    health = {"httpGet": {"port": 5005, "path": "/health"}, "periodSeconds": 1}
    small = {"limits": {"memory": "48Mi"}}

    def image(cause: str, name: str, **more: Any) -> State:
        return State(cause=cause, main={"image": name}, **more)

    return {
        "tag": image("ImageNotFound", f"{host['plain']}/vllm:9.9.9"),
        "repository": image("ImageNotFound", f"{host['plain']}/no/such:1"),
        "digest": image("ImageNotFound", f"{host['plain']}/vllm@sha256:{'0' * 64}"),
        "no-login": image("ImageAccessDenied", f"{host['basic']}/vllm:1"),
        "wrong-login": image(
            "ImageAccessDenied", f"{host['basic']}/vllm:1", pod={"imagePullSecrets": [{"name": "bad"}]}
        ),
        "no-pull-secret": image(
            "PullSecretMissing", f"{host['basic']}/vllm:1", pod={"imagePullSecrets": [{"name": "nowhere"}]}
        ),
        "no-token": image("ImageAccessDenied", f"{host['token']}/vllm:1"),
        "forbidden": image("ImageAccessDenied", f"{host['forbidden']}/vllm:1"),
        "untrusted": image("TLSUntrusted", f"{host['untrusted']}/vllm:1"),
        "wrong-host": image("TLSWrongHost", f"{host['wrong host']}/vllm:1"),
        "expired": image("TLSExpired", f"{host['expired']}/vllm:1"),
        "plain": image("ServerNotTLS", f"{host['no TLS']}/vllm:1"),
        "rate": image("RegistryRateLimited", f"{host['429']}/vllm:1"),
        "down": image("RegistryServerError", f"{host['503']}/vllm:1"),
        "refused": image("ConnectionRefused", f"127.0.0.1:{host['closed']}/vllm:1"),
        "platform": image("ImagePlatformMissing", f"{host['plain']}/vllm-arm-index:1"),
        "lost-layer": image("BlobsMissing", f"{host['plain']}/lost-layer:1"),
        "invalid-name": image("ImageNameInvalid", "Registry.example/UPPER:1"),
        "never": State(
            cause="ImagePullPolicyNever",
            main={"image": f"{host['plain']}/never:1", "imagePullPolicy": "Never"},
        ),
        "crash": State(cause="ContainerCrashing", main=runs("echo boom >&2; sleep 1; exit 3")),
        "ends": State(cause="ContainerCrashing", main=runs("sleep 1; exit 0")),
        "memory": State(
            cause="OutOfMemory",
            main=runs("sleep 1; exec dd if=/dev/zero of=/dev/null bs=200M count=1", resources=small),
        ),
        "arm": State(
            cause="ContainerCrashing", main={"image": f"{host['plain']}/arm:1", "command": ["/bin/main"]}
        ),
        "secret": _variable({"secretKeyRef": {"name": "absent", "key": "k"}}),
        "secret-key": _variable({"secretKeyRef": {"name": "present", "key": "absent"}}),
        "map-key": _variable({"configMapKeyRef": {"name": "present", "key": "absent"}}),
        "map": State(
            cause="ContainerConfigMissing", main={"envFrom": [{"configMapRef": {"name": "absent"}}]}
        ),
        "root": State(cause="RunAsRootForbidden", main={"securityContext": {"runAsNonRoot": True}}),
        "no-program": State(cause="ContainerStartFailed", main={"command": ["/opt/none"]}),
        "not-on-path": State(cause="ContainerStartFailed", main={"command": ["uvicorn"]}),
        "workdir": State(cause="ContainerStartFailed", main={"workingDir": "/bin/busybox"}),
        "hook": State(
            cause="PostStartHookFailed",
            main=runs(WAITS, lifecycle={"postStart": {"exec": {"command": ["/bin/false"]}}}),
        ),
        "volume-map": _volume({"configMap": {"name": "absent"}}, "VolumeSourceMissing"),
        "volume-secret": _volume({"secret": {"secretName": "absent"}}, "VolumeSourceMissing"),
        "volume-path": _volume({"hostPath": {"path": "/no/such", "type": "Directory"}}, "VolumeMountFailed"),
        "volume-claim": _volume({"persistentVolumeClaim": {"claimName": "absent"}}, "VolumeUnbound"),
        "volume-driver": _volume({"csi": {"driver": "secrets-store.csi.k8s.io"}}, "VolumeMountFailed"),
        "probe-refused": State(cause="ReadinessFailing", main=runs(WAITS, readinessProbe=health)),
        "probe-404": State(cause="ReadinessFailing", main=runs(SERVES, readinessProbe=health)),
        "liveness": State(
            cause="KilledByProbe", main=runs(WAITS, livenessProbe={**health, "failureThreshold": 2})
        ),
        "startup": State(
            cause="KilledByProbe", main=runs(WAITS, startupProbe={**health, "failureThreshold": 2})
        ),
        "forwarder": State(
            cause="ForwarderNotReady",
            main=runs(SERVES),
            forwarder=runs(WAITS, readinessProbe={"httpGet": {"port": 5000, "path": "/readyz"}}),
        ),
        "init-crash": State(cause="ContainerCrashing", init=runs("exit 5")),
        "init-hangs": State(cause="InitContainerRunning", init=runs(WAITS)),
        "init-image": State(cause="ImageNotFound", init={"image": f"{host['plain']}/no/init:1"}),
        "gpu": State(cause="NodesTooSmall", main={"resources": {"limits": {GPU: "9"}}}),
        "cpu": State(cause="NodesTooSmall", main={"resources": {"requests": {"cpu": "640"}}}),
        "runtime-class": State(cause="RuntimeHandlerMissing", pod={"runtimeClassName": "nvidia"}),
        "account": State(cause="ServiceAccountMissing", pod={"serviceAccountName": "absent"}),
        "readiness-gate": State(
            cause="ReadinessGateUnmet",
            main=runs(SERVES),
            pod={"readinessGates": [{"conditionType": "example.com/lb"}]},
        ),
        "evicted": State(
            cause="PodEvicted",
            main=runs(
                "dd if=/dev/zero of=/v/x bs=1M count=30; exec sleep 1000",
                volumeMounts=[{"name": "v", "mountPath": "/v"}],
            ),
            pod={"volumes": [{"name": "v", "emptyDir": {"sizeLimit": "1Mi"}}]},
        ),
    }


class Ward(ExitStack):
    """The registries, the installation's records, and a Deployment for each state; starts on entering."""

    def __init__(self, node: Node, postgres: Postgres) -> None:
        super().__init__()
        self._node = node
        self.plane = node.control_plane
        self._postgres = postgres

    def __enter__(self) -> Self:
        super().__enter__()
        try:
            self.namespace = self.plane.create_namespace("endpoints")
            self.callback(self.plane.delete_namespace, self.namespace)
            self.states = states(self._registries())
            self._surroundings()
            for name, state in self.states.items():
                self.plane.api(
                    "POST", f"/apis/apps/v1/namespaces/{self.namespace}/deployments", _deployment(name, state)
                )
        except BaseException:
            self.close()
            raise
        return self

    def _registries(self) -> dict[str, str]:
        enter = self.enter_context
        ca, stranger = CertificateAuthority("testbed registry CA"), CertificateAuthority("stranger CA")
        store = temporary_directory("images")
        tokens = TokenService(ca=ca, users={"": ("", frozenset()), USER: (PULL, frozenset("*"))})
        enter(tokens.server)
        plain = enter(Registry(storage=store))
        issued = ca.issue()

        def answers(status: int) -> str:
            def script(_: Request) -> Reply:
                return Reply(status)

            return enter(ScriptedServer(script, certificate=issued)).address

        hosts = {
            "basic": enter(Registry(storage=store, certificate=issued, basic={USER: PULL})).address,
            "token": enter(Registry(storage=store, certificate=issued, tokens=tokens)).address,
            "untrusted": enter(Registry(storage=store, certificate=stranger.issue())).address,
            "wrong host": enter(Registry(storage=store, certificate=ca.wrong_host())).address,
            "expired": enter(Registry(storage=store, certificate=ca.expired())).address,
            "no TLS": enter(Registry(storage=store)).address,
            "429": answers(429),
            "503": answers(503),
            "forbidden": answers(403),
        }
        for address in hosts.values():
            place = f'server = "https://{address}"\n[host."https://{address}"]\n'
            trust = f'  capabilities = ["pull", "resolve"]\n  ca = "{ca.ca_file}"\n'
            self._node.registry(address, place + trust)
        for address in (plain.address, tokens.server.address, *hosts.values()):
            self._node.reach(int(address.rpartition(":")[2]))
        self._fill(plain)
        return {**hosts, "plain": plain.address, "closed": str(free_port())}

    def _fill(self, plain: Registry) -> None:
        push(busybox("x:1", {"etc/vllm": b"vllm"}), f"{plain.address}/vllm:1")
        push(busybox("x:1", {"etc/lost": b"lost"}), f"{plain.address}/lost-layer:1")
        push(archive("x:1", {"bin/main": ARM}), f"{plain.address}/arm:1")
        images = ImageStore(plain)
        images.push_index("vllm-arm-index", "1", ("arm64",))
        images.lose_blob("lost-layer", images.manifest("lost-layer", "1")["layers"][0]["digest"])

    def _surroundings(self) -> None:
        database = prepared(self._postgres)
        auths = {"auths": {host: {"username": USER, "password": "wrong"} for host in ("127.0.0.1",)}}
        url = {"database_url": self._postgres.url(OWNER, PASSWORD, database)}
        self.plane.apply(
            [
                _object("Secret", DATABASE_SECRET, stringData=url),
                _object("Secret", "present", stringData={"k": "v"}),
                _object(
                    "Secret",
                    "bad",
                    type="kubernetes.io/dockerconfigjson",
                    stringData={".dockerconfigjson": json.dumps(auths)},
                ),
                _object("ConfigMap", "present", data={"k": "v"}),
                {**_object("RuntimeClass", "nvidia", handler="nvidia"), "apiVersion": "node.k8s.io/v1"},
            ],
            namespace=self.namespace,
        )
        for name in self.states:
            columns = {
                "id": _id(name),
                "name": name,
                "endpoint_type": "streaming",
                "endpoint_status": "READY",
            }
            then = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 3600))
            columns |= {
                "status_reason": "",
                "creation_task_id": "t",
                "created_at": then,
                "last_updated_at": then,
            }
            table = "hosted_model_inference.endpoints"
            self._postgres.execute(
                f"INSERT INTO {table} SELECT * FROM json_populate_record(NULL::{table}, '{json.dumps(columns)}')",  # noqa: S608
                db=database,
            )


def _object(kind: str, name: str, **content: Any) -> Tree:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name}, **content}


def _id(name: str) -> str:
    return f"end_{name.replace('-', '_')}"


def _deployment(name: str, state: State) -> Tree:
    base = {"image": BUSYBOX_IMAGE, **runs(WAITS)}
    containers = [
        {"name": "http-forwarder", **base, **state.forwarder},
        {"name": "main", **base, **state.main},
    ]
    workload = f"launch-endpoint-id-{_id(name).replace('_', '-')}"
    labels = {"app": workload, "endpoint_id": _id(name), "endpoint_name": name}
    init = [{"name": "fetch", "image": BUSYBOX_IMAGE, **state.init}] if state.init else []
    pod = {"terminationGracePeriodSeconds": 1, "initContainers": init, "containers": containers, **state.pod}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": workload, "labels": labels},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"app": workload}},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }
