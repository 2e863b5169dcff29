"""What the tests of VllmImagePullable share: real registries filled once, each fault staged on them."""

import base64
import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from mehc_checks.clients.kubernetes.api import Cluster
from mehc_checks.engine.report import CheckResult
from testbed.aws import Aws
from testbed.controlplane import ControlPlane
from testbed.httpserver import Proxy, Reply, Request, Script, ScriptedServer
from testbed.installation import overlaid
from testbed.judging import judged
from testbed.pki import Certificate, CertificateAuthority
from testbed.process import temporary_directory
from testbed.registry import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    PASSWORD,
    USER,
    ImageStore,
    Registry,
    TokenService,
    digest,
)

CHECK = "VllmImagePullable"
ECR_ACCOUNT = "111122223333"
ECR_HOST = f"{ECR_ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com"
ACR_HOST = "corp.azurecr.io"
GAR_HOST = "us-docker.pkg.dev"
PRIVATE_HOST = "registry.corp.internal"
"""A name that public DNS does not have; it has the images of `open`."""
CLOUDS = (".amazonaws.com", ".azurecr.io", "-docker.pkg.dev")
PLAIN_HOST = "registry.example.com"
ACCOUNT = "inference"
VALID = {USER: PASSWORD}
OUTSIDER = ("outsider", "outside-password")

Tree = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Ask:
    """One installation to judge. ``login`` is what its pods pull with, for the runtime that has the last word."""

    values: Tree
    parameters: Tree = field(default_factory=dict)
    namespace: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    ca_file: Path | None = None
    login: tuple[str, str] | None = None
    seconds: float = 2.5

    @property
    def image(self) -> str:
        launch, prefix = self.values["config"]["values"]["launch"], self.values["config"]["values"]["infra"]
        return f"{prefix['docker_repo_prefix']}/{launch['vllm_repository']}:{self.parameters['tag']}"


class Stage(contextlib.ExitStack):
    """Starts on entering; hands out installations."""

    def __init__(self, control_plane: ControlPlane, cluster: Cluster) -> None:
        super().__init__()
        self.control_plane = control_plane
        self.cluster = cluster
        self.ca = CertificateAuthority("testbed registry CA")

    def __enter__(self) -> "Stage":
        super().__enter__()
        enter = self.enter_context
        store = temporary_directory("images")
        pair = self.ca.issue(names=("localhost", "127.0.0.1", ECR_HOST, ACR_HOST, GAR_HOST, PRIVATE_HOST))
        self.plain = enter(Registry(storage=store))
        self.open = enter(Registry(storage=store, certificate=pair))
        self.basic = enter(Registry(storage=store, certificate=pair, basic=VALID))
        users = {
            "": ("", frozenset({"public/vllm"})),
            USER: (PASSWORD, frozenset("*")),
            OUTSIDER[0]: (OUTSIDER[1], frozenset[str]()),
        }
        self.tokens = TokenService(ca=self.ca, users=users)
        enter(self.tokens.server)
        self.token = enter(Registry(storage=store, certificate=pair, tokens=self.tokens))
        self.aws = enter(Aws())
        self.ecr = enter(Registry(storage=store, certificate=pair, basic=self.ecr_login))
        self.proxy = enter(
            Proxy(
                {
                    f"{ECR_HOST}:443": self.ecr.address,
                    f"{ACR_HOST}:443": self.basic.address,
                    f"{GAR_HOST}:443": self.open.address,
                    f"{PRIVATE_HOST}:443": self.open.address,
                    f"{PLAIN_HOST}:443": self.plain.address,
                    f"{PLAIN_HOST}:80": self.plain.address,
                }
            )
        )
        self.images = ImageStore(self.plain)
        self._fill()
        return self

    @cached_property
    def ecr_login(self) -> dict[str, str]:
        """The user name and password that ECR's registry takes."""
        data = self.aws.client("ecr").get_authorization_token()["authorizationData"][0]
        user, _, password = base64.b64decode(data["authorizationToken"]).decode().partition(":")
        return {user: password}

    def _fill(self) -> None:
        push, images = self.images.push, self.images
        for tag in ("0.10.1", "0.10.2", "latest"):
            push("vllm", tag)
        push("public/vllm", "0.10.1")
        push("mirror/vllm-mirrored", "0.10.1")
        push("project/repository/team/vllm-mirrored", "0.10.1")
        push("vllm-docker", "1", manifest_type=DOCKER_MANIFEST)
        push("vllm-arm", "1", architecture="arm64")
        push("vllm-huge", "1", claimed_size=400 * 10**9)
        images.push_index("vllm-multi", "1", attestation=True)
        images.push_index("vllm-list", "1", index_type=DOCKER_LIST)
        images.push_index("vllm-arm-index", "1", ("arm64",))
        images.push_index("vllm-lost-child", "1")
        children = images.manifest("vllm-lost-child", "1")["manifests"]
        images.lose_manifest("vllm-lost-child", children[0]["digest"])
        images.push_index("vllm-lost-other", "1")
        images.lose_manifest(
            "vllm-lost-other", images.manifest("vllm-lost-other", "1")["manifests"][1]["digest"]
        )
        push("vllm-lost-layer", "1")
        images.lose_blob("vllm-lost-layer", images.manifest("vllm-lost-layer", "1")["layers"][0]["digest"])
        push("vllm-lost-config", "1")
        images.lose_blob("vllm-lost-config", images.manifest("vllm-lost-config", "1")["config"]["digest"])

    async def judge(self, ask: Ask) -> CheckResult:
        return await judged(
            CHECK,
            ask.values,
            cluster=self.cluster if ask.namespace else None,
            namespace=ask.namespace,
            parameters=ask.parameters,
            seconds=ask.seconds,
        )

    def ask(
        self,
        registry: Registry | str,
        repository: str = "vllm",
        tag: str = "0.10.1",
        *,
        values: Tree | None = None,
        trusted: bool = True,
        proxied: bool = False,
        **parameters: Any,
    ) -> Ask:
        """An installation without a cluster, whose gateway searches registries of clouds only."""
        prefix = registry if isinstance(registry, str) else registry.address
        kind = None if prefix.partition("/")[0].endswith(CLOUDS) else "onprem"
        tree: Tree = {
            "config": {
                "values": {
                    "infra": {"docker_repo_prefix": prefix, "docker_registry_type": kind},
                    "launch": {"vllm_repository": repository},
                }
            }
        }
        given = {"tag": tag, **({"caBundle": self.ca.ca_pem} if trusted else {}), **parameters}
        proxy = {"HTTPS_PROXY": self.proxy.url, "HTTP_PROXY": self.proxy.url, "NO_PROXY": "127.0.0.1"}
        return Ask(
            values=overlaid(tree, values or {}),
            parameters=given,
            environment=proxy if proxied else {},
            ca_file=self.ca.ca_file if trusted else None,
        )

    def scripted(
        self, script: Script, *, certificate: Certificate | None = None, client_ca: Path | None = None
    ) -> str:
        """The address of a server that answers as ``script`` says, over TLS."""
        server = ScriptedServer(script, certificate=certificate or self.ca.issue(), client_ca=client_ca)
        return self.enter_context(server).address

    def serving(self, certificate: Certificate) -> str:
        """The address of a registry with ``certificate``."""
        return self.enter_context(Registry(storage=self.plain.storage, certificate=certificate)).address

    def in_cluster(
        self,
        ask: Ask,
        *,
        login: tuple[str, str] | None = None,
        secret: Tree | None = None,
        names: tuple[str, ...] = (),
        account: bool = True,
    ) -> Ask:
        """The same in a cluster: the inference ServiceAccount has a pull secret for the registry with ``login``.

        ``secret``: another manifest in its place. ``names``: further names in imagePullSecrets.
        """
        namespace = self.control_plane.create_namespace("images")
        objects: list[Tree] = []
        if login:
            host = ask.values["config"]["values"]["infra"]["docker_repo_prefix"]
            secret = pull_secret({host: {"username": login[0], "password": login[1]}})
        if secret:
            objects.append(secret)
            names = (secret["metadata"]["name"], *names)
        if account:
            objects.append(service_account(*names))
        for item in objects:
            self.create(namespace, item)
        values = overlaid(ask.values, {"serviceTemplate": {"serviceAccountName": ACCOUNT}})
        return replace(ask, values=values, namespace=namespace, login=login)

    def create(self, namespace: str, item: Tree) -> Tree:
        plural = item["kind"].lower() + "s"
        api = "/apis/apps/v1" if item["kind"] == "DaemonSet" else "/api/v1"
        created: Tree = self.control_plane.api("POST", f"{api}/namespaces/{namespace}/{plural}", item)
        return created

    def waiting_pod(
        self, namespace: str, image: str, *, owner: Tree | None = None, why: str = "not found"
    ) -> None:
        """A pod whose container is in ImagePullBackOff, as a kubelet would report it."""
        manifest: Tree = {
            "kind": "Pod",
            "metadata": {"generateName": "launch-endpoint-id-"},
            "spec": {"containers": [{"name": "main", "image": image}], "nodeSelector": {"nowhere": "true"}},
        }
        if owner:
            manifest["metadata"]["ownerReferences"] = [
                {
                    "apiVersion": "apps/v1",
                    "kind": "DaemonSet",
                    "name": owner["metadata"]["name"],
                    "uid": owner["metadata"]["uid"],
                }
            ]
        name = self.create(namespace, manifest)["metadata"]["name"]
        state = {"waiting": {"reason": "ImagePullBackOff", "message": f"Back-off pulling image: {why}"}}
        status = {
            "containerStatuses": [
                {
                    "name": "main",
                    "image": image,
                    "imageID": "",
                    "ready": False,
                    "restartCount": 0,
                    "state": state,
                }
            ]
        }
        self.control_plane.api(
            "PATCH",
            f"/api/v1/namespaces/{namespace}/pods/{name}/status",
            {"status": status},
            content_type="application/strategic-merge-patch+json",
        )

    def pulled_event(self, namespace: str, image: str, *, pod: str = "launch-endpoint-x") -> None:
        """What a kubelet says after a pull over the network for ``pod``."""
        self.create(
            namespace,
            {
                "kind": "Event",
                "metadata": {"generateName": "launch-endpoint-"},
                "type": "Normal",
                "reason": "Pulled",
                "involvedObject": {"kind": "Pod", "namespace": namespace, "name": pod},
                "message": f'Successfully pulled image "{image}" in 61s (61s including waiting). Image size: 9 bytes.',
            },
        )

    def image_cache(self, namespace: str) -> Tree:
        labels = {"app": "image-cache"}
        return self.create(
            namespace,
            {
                "kind": "DaemonSet",
                "metadata": {"name": "launch-image-cache-a10"},
                "spec": {
                    "selector": {"matchLabels": labels},
                    "template": {
                        "metadata": {"labels": labels},
                        "spec": {
                            "nodeSelector": {"nowhere": "true"},
                            "containers": [{"name": "main", "image": "x"}],
                        },
                    },
                },
            },
        )


def pull_secret(
    auths: Tree | str, *, name: str = "regcred", kind: str = "kubernetes.io/dockerconfigjson"
) -> Tree:
    text = auths if isinstance(auths, str) else json.dumps({"auths": auths})
    return {
        "kind": "Secret",
        "metadata": {"name": name},
        "type": kind,
        "stringData": {".dockerconfigjson": text},
    }


def service_account(*names: str) -> Tree:
    return {
        "kind": "ServiceAccount",
        "metadata": {"name": ACCOUNT},
        "imagePullSecrets": [{"name": name} for name in names],
    }


def service_config(owner: str) -> Tree:
    """The ConfigMap by which an endpoint namespace says whose it is."""
    return {
        "kind": "ConfigMap",
        "metadata": {"name": "model-engine-service-config"},
        "data": {"launch_service_config": f'dd_trace_enabled: "false"\ngateway_namespace: "{owner}"\n'},
    }


def always(status: int, body: bytes = b"", **headers: str) -> Script:
    """The same reply to everything."""
    return lambda _: Reply(status, body, {name.replace("_", "-"): value for name, value in headers.items()})


def serves(kind: str, manifest: bytes, claimed: str = "") -> Script:
    """A registry with one manifest, whatever is asked for."""

    def script(request: Request) -> Reply:
        if "/manifests/" in request.path:
            headers = {"Content-Type": kind, "Docker-Content-Digest": claimed or digest(manifest)}
            return Reply(200, manifest, headers)
        return Reply(200 if request.path == "/v2/" else 404, b"{}", {"Content-Type": "application/json"})

    return script
