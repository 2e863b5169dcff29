"""What VllmImagePullable must not do: read foreign Secrets, give credentials away, or repeat what servers say."""

import base64
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import pytest

from mehc_checks.clients.kubernetes.api import KubernetesCluster
from mehc_checks.core.errors import CannotEvaluate
from mehc_checks.core.outcome import Status
from mehc_checks.engine.check import catalogue
from mehc_checks.engine.correlate import root_causes
from mehc_checks.installation.context import Context
from mehc_checks.installation.reasons import InstallationReasons
from mehc_checks.modelengine.names import fullname
from mehc_checks.modelengine.values import Layer, Values
from testbed import ports
from testbed.controlplane import ControlPlane
from testbed.httpserver import Reply, Request, ScriptedServer
from testbed.images import Ask, Stage, always, pull_secret, service_config
from testbed.installation import overlaid
from testbed.judging import judged
from testbed.pki import CertificateAuthority
from testbed.registry import PASSWORD, USER, digest

LOGIN = (USER, PASSWORD)


@pytest.fixture(scope="module")
def stage(control_plane: ControlPlane, cluster: KubernetesCluster) -> Iterator[Stage]:
    with Stage(control_plane, cluster) as everything:
        yield everything


def two_namespaces(stage: Stage, *, owner: str | None) -> Ask:
    """A registry that wants a login, which a Secret of the endpoint namespace has; ``owner`` claims that namespace."""
    endpoints = stage.in_cluster(stage.ask(stage.basic), login=LOGIN)
    own = stage.control_plane.create_namespace("images")
    if owner is not None:
        stage.create(endpoints.namespace, service_config(owner or own))
    launch = {"config": {"values": {"launch": {"endpoint_namespace": endpoints.namespace}}}}
    return Ask(
        values=overlaid(endpoints.values, launch), parameters=endpoints.parameters, namespace=own, login=LOGIN
    )


async def test_an_endpoint_namespace_of_the_installation_is_read(stage: Stage) -> None:
    result = await stage.judge(two_namespaces(stage, owner=""))
    assert (result.status, result.reason) == (Status.PASS, "Pullable"), result
    assert "Secret regcred" in result.message


@pytest.mark.parametrize(
    ("owner", "why"), [(None, "it has no ConfigMap"), ("other", "belongs to the installation in")]
)
async def test_a_foreign_endpoint_namespace_is_not_read(stage: Stage, owner: str | None, why: str) -> None:
    ask = two_namespaces(stage, owner=owner)
    result = await stage.judge(ask)
    assert result.status is Status.ERROR
    assert result.reason == "EndpointNamespaceNotVerified"
    assert why in result.message
    assert "regcred" not in json.dumps(asdict(result), default=str)


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"launch_service_config": ""},
        {"launch_service_config": "- a list"},
        {"launch_service_config": "gateway_namespace: [broken"},
        {"launch_service_config": "gateway_namespace: 1"},
        {"launch_service_config": "endpoint_namespace: x"},
        {"infra_service_config": "gateway_namespace: OWN"},
        {"launch_service_config": "gateway_namespace: another"},
    ],
)
async def test_only_a_plain_word_of_the_namespace_itself_is_proof(
    stage: Stage, cluster: KubernetesCluster, config: dict[str, str]
) -> None:
    own, foreign = (stage.control_plane.create_namespace("images") for _ in range(2))
    data = {key: value.replace("OWN", own) for key, value in config.items()}
    stage.create(
        foreign, {"kind": "ConfigMap", "metadata": {"name": "model-engine-service-config"}, "data": data}
    )
    stage.create(foreign, pull_secret({}))
    context = Context(values=values(endpoint_namespace=foreign), cluster=cluster, namespace=own)
    with pytest.raises(CannotEvaluate) as refused:
        await context.secret("regcred", namespace=foreign)
    assert refused.value.reason is InstallationReasons.NAMESPACE_NOT_VERIFIED
    assert refused.value.remediation


async def test_the_proof_is_looked_for_under_the_chart_s_name(
    stage: Stage, cluster: KubernetesCluster
) -> None:
    own, endpoints = (stage.control_plane.create_namespace("images") for _ in range(2))
    stage.create(
        endpoints, overlaid(service_config(own), {"metadata": {"name": "model-engine-blue-service-config"}})
    )
    stage.create(endpoints, pull_secret({}))
    tree = {"serviceIdentifier": "blue"}
    context = Context(values=values(tree, endpoint_namespace=endpoints), cluster=cluster, namespace=own)
    assert await context.secret("regcred", namespace=endpoints)


@pytest.mark.parametrize(
    ("tree", "name"),
    [
        ({}, "model-engine"),
        ({"serviceIdentifier": "blue"}, "model-engine-blue"),
        ({"serviceIdentifier": "blue", "fullnameOverride": "llm"}, "llm"),
        ({"fullnameOverride": "x" * 39 + "-y"}, "x" * 39),
    ],
)
def test_names_are_prefixed_as_the_chart_does(tree: dict[str, Any], name: str) -> None:
    assert fullname(Values.merged([Layer(source="test", values=tree)])) == name


def values(tree: dict[str, Any] | None = None, **launch: str) -> Values:
    merged = overlaid({"config": {"values": {"launch": launch}}}, tree or {})
    return Values.merged([Layer(source="spec.values", values=merged)])


async def test_credentials_do_not_follow_a_redirect_to_another_host(stage: Stage) -> None:
    config = json.dumps({"os": "linux", "architecture": "amd64"}).encode()
    manifest = json.dumps(
        {"schemaVersion": 2, "config": {"digest": digest(config), "size": len(config)}, "layers": []}
    ).encode()
    with ScriptedServer(always(200, config), certificate=stage.ca.issue()) as store:

        def registry(request: Request) -> Reply:
            if request.login is None:
                return Reply(401, b"", {"WWW-Authenticate": 'Basic realm="r"'})
            if "/blobs/" in request.path:
                return Reply(307, b"", {"Location": f"{store.url}/bucket/blob?signed=yes"})
            kind = "application/vnd.oci.image.manifest.v1+json"
            return Reply(200, manifest, {"Content-Type": kind, "Docker-Content-Digest": digest(manifest)})

        ask = stage.in_cluster(stage.ask(stage.scripted(registry)), login=LOGIN)
        result = await stage.judge(ask)
        assert result.status is Status.PASS, result
        assert {request.method for request in store.requests} == {"HEAD", "GET"}
        assert not [request for request in store.requests if "Authorization" in request.headers]


async def test_an_untrusted_token_service_gets_nothing(stage: Stage) -> None:
    stranger = CertificateAuthority("somebody else's CA")
    with ScriptedServer(always(200, b'{"token": "t"}'), certificate=stranger.issue()) as tokens:
        challenge = f'Bearer realm="{tokens.url}/token",service="s"'
        address = stage.scripted(always(401, WWW_Authenticate=challenge))
        result = await stage.judge(stage.in_cluster(stage.ask(address), login=LOGIN))
        assert result.reason == "TokenServiceUnreachable"
        assert tokens.requests == []


@pytest.mark.parametrize(
    "script",
    [
        always(401, b"<evil>", WWW_Authenticate='Evil realm="<evil>"'),
        always(401, b"<evil>", WWW_Authenticate='Bearer realm="<evil>",service="<evil>"'),
        always(403, b'{"errors": [{"code": "<evil>", "message": "<evil>"}]}'),
        always(429, b"<evil>", Retry_After="<evil>"),
        always(500, b"<evil>"),
        always(302, Location="https://[<evil>"),
        always(302, Location="<evil>"),
        always(200, b"<evil>", Content_Type="<evil>", Docker_Content_Digest="<evil>"),
        always(200, b'{"schemaVersion": 2, "mediaType": "<evil>"}'),
        always(200, b'{"tags": ["<evil>"], "schemaVersion": 2}'),
        always(200, b"[" * 100_000),
        lambda request: Reply(200, b'{"tags": ["<evil>", "0.9"]}') if "tags" in request.path else Reply(404),
    ],
)
async def test_what_a_server_says_is_never_repeated(stage: Stage, script: Any) -> None:
    result = await stage.judge(stage.ask(stage.scripted(script)))
    assert result.status is Status.FAIL, result
    assert "evil" not in json.dumps(asdict(result), default=str)


async def test_no_secret_is_in_the_result(stage: Stage) -> None:
    password = "never-to-be-seen"
    encoded = base64.b64encode(f"u:{password}".encode()).decode()
    ask = stage.ask(stage.basic)
    host = ask.values["config"]["values"]["infra"]["docker_repo_prefix"]
    secret = pull_secret({f"user:{password}@{host}": {"auth": encoded}})
    result = await stage.judge(stage.in_cluster(ask, secret=secret))
    text = json.dumps(asdict(result), default=str)
    assert result.reason == "PullCredentialsRejected"
    assert password not in text
    assert encoded not in text


async def test_the_first_login_that_fits_is_enough(stage: Stage) -> None:
    ask = stage.ask(stage.basic)
    host = ask.values["config"]["values"]["infra"]["docker_repo_prefix"]
    secret = pull_secret(
        {
            f"{host}/vllm": {"username": USER, "password": "expired"},
            host: {"username": USER, "password": PASSWORD},
        }
    )
    result = await stage.judge(stage.in_cluster(ask, secret=secret))
    assert result.status is Status.PASS, result
    assert result.evidence["credentials"] == f"user {USER} of Secret regcred, entry {host}"


async def test_the_evidence_says_what_would_be_pulled(stage: Stage) -> None:
    result = await stage.judge(stage.ask(stage.open, "vllm-multi", "1", bandwidthMbit=100))
    evidence = result.evidence
    assert evidence["image"] == f"{stage.open.address}/vllm-multi:1"
    assert evidence["platforms"] == "linux/amd64, linux/arm64"
    assert str(evidence["digest"]).startswith("sha256:")
    assert evidence["created"] == "2026-01-02T03:04:05+00:00"
    assert evidence["taskLimitMinutes"] == 30
    assert evidence["bandwidthMbit"] == 100
    assert isinstance(evidence["sizeBytes"], int)
    assert 0 < evidence["sizeBytes"] < 2000


async def test_the_evidence_says_what_model_engine_makes_of_it(stage: Stage) -> None:
    named = {"config": {"values": {"infra": {"docker_registry_type": "ecr"}}}}
    evidence = (await stage.judge(stage.ask(stage.open, "absent", values=named))).evidence
    assert evidence["creationError"] == "RepositoryNotFoundException (HTTP 500)"
    assert "cacherError" not in evidence
    assert (await stage.judge(stage.ask(stage.open))).evidence["cacherError"] == "NotImplementedError"


async def test_the_tag_is_that_of_the_framework_map(stage: Stage) -> None:
    ask = stage.in_cluster(stage.ask(stage.open))
    name = "model-engine-inference-framework-latest-config"
    stage.create(ask.namespace, {"kind": "ConfigMap", "metadata": {"name": name}, "data": {"vllm": "0.10.2"}})
    without = {key: value for key, value in ask.parameters.items() if key != "tag"}
    result = await stage.judge(Ask(values=ask.values, parameters=without, namespace=ask.namespace))
    assert result.status is Status.PASS
    assert result.evidence["image"] == f"{stage.open.address}/vllm:0.10.2"
    assert result.evidence["tagSource"] == f"ConfigMap {name}, key vllm"


async def test_certificates_come_from_a_config_map_too(stage: Stage) -> None:
    ask = stage.in_cluster(stage.ask(stage.open, trusted=False, caConfigMap="ca"))
    missing = await stage.judge(ask)
    assert (missing.status, missing.reason) == (Status.ERROR, "InvalidValue")
    stage.create(
        ask.namespace, {"kind": "ConfigMap", "metadata": {"name": "ca"}, "data": {"ca.crt": stage.ca.ca_pem}}
    )
    assert (await stage.judge(ask)).status is Status.PASS


async def test_a_bad_bundle_is_named(stage: Stage) -> None:
    result = await stage.judge(stage.ask(stage.open, trusted=False, caBundle="no PEM"))
    assert (result.status, result.reason) == (Status.ERROR, "InvalidValue")
    assert "caBundle" in result.message


async def test_gpu_nodes_of_another_architecture_decide(stage: Stage) -> None:
    nodes = "/api/v1/nodes"
    labels = {"k8s.amazonaws.com/accelerator": "nvidia-hopper-h100", "kubernetes.io/arch": "arm64"}
    stage.control_plane.api("POST", nodes, {"metadata": {"name": "grace-hopper", "labels": labels}})
    try:
        for repository, reason in (("vllm", "ImagePlatformMissing"), ("vllm-multi", "Pullable")):
            ask = stage.in_cluster(
                stage.ask(stage.open, repository, "1" if "multi" in repository else "0.10.1")
            )
            result = await stage.judge(ask)
            assert result.reason == reason
            assert result.evidence["architectures"] == "arm64"
    finally:
        stage.control_plane.api("DELETE", f"{nodes}/grace-hopper")


async def test_what_was_seen_once_is_looked_for_again(stage: Stage) -> None:
    images = stage.images
    images.push_index("fleeting", "1")
    index = images.manifest("fleeting", "1")
    child = index["manifests"][0]["digest"]
    layer = images.manifest("fleeting", child)["layers"][0]["digest"]
    ask = stage.ask(stage.open, "fleeting", "1")
    assert (await stage.judge(ask)).reason == "Pullable"
    images.lose_blob("fleeting", layer)
    assert (await stage.judge(ask)).reason == "BlobsMissing"
    images.lose_manifest("fleeting", child)
    assert (await stage.judge(ask)).reason == "IndexIncomplete"


async def test_a_pass_that_finds_nothing_new_gets_no_document_again(stage: Stage) -> None:
    """Registries limit the manifests that are fetched; asking whether they are there is free."""
    config = json.dumps({"os": "linux", "architecture": "amd64", "seed": "counted"}).encode()
    manifest = json.dumps(
        {"schemaVersion": 2, "config": {"digest": digest(config), "size": len(config)}, "layers": []}
    ).encode()

    def registry(request: Request) -> Reply:
        if "/blobs/" in request.path:
            return Reply(200, config)
        kind = "application/vnd.oci.image.manifest.v1+json"
        return Reply(200, manifest, {"Content-Type": kind, "Docker-Content-Digest": digest(manifest)})

    with ScriptedServer(registry, certificate=stage.ca.issue()) as server:
        ask = stage.ask(server.address)
        assert (await stage.judge(ask)).reason == "Pullable"
        server.requests.clear()
        assert (await stage.judge(ask)).reason == "Pullable"
        assert [(each.method, each.path.split("/")[-2]) for each in server.requests] == [
            ("HEAD", "manifests"),
            ("HEAD", "blobs"),
            ("GET", "blobs"),
        ]
        assert server.requests[-1].headers["Range"] == "bytes=0-0"


@dataclass
class Redirecting:
    """A registry that answers HEAD of blobs itself and leads GET to ``store``, where one is set."""

    store: str = ""

    def __post_init__(self) -> None:
        self.config = json.dumps({"os": "linux", "architecture": "amd64", "of": id(self)}).encode()
        self.layer = b"x" * 4096
        parts = [{"digest": digest(part), "size": len(part)} for part in (self.config, self.layer)]
        whole = {"schemaVersion": 2, "config": parts[0], "layers": parts[1:]}
        self.manifest = json.dumps(whole).encode()

    def __call__(self, request: Request) -> Reply:
        if "/blobs/" not in request.path:
            kind = "application/vnd.oci.image.manifest.v1+json"
            headers = {"Content-Type": kind, "Docker-Content-Digest": digest(self.manifest)}
            return Reply(200, self.manifest, headers)
        if request.method == "GET" and self.store:
            return Reply(307, b"", {"Location": f"{self.store}{request.path}?signed=for-GET"})
        return self.blob(request)

    def blob(self, request: Request) -> Reply:
        """As a store serves it: a range where one is asked for."""
        content = self.layer if digest(self.layer) in request.path else self.config
        return Reply(206, content[:1]) if "Range" in request.headers else Reply(200, content)


async def test_a_layer_store_that_is_cut_off_is_noticed_at_the_next_pass(stage: Stage) -> None:
    registry = Redirecting()
    ask = stage.ask(stage.scripted(registry))
    assert (await stage.judge(ask)).reason == "Pullable"
    with ports.refused_port() as (host, port):
        registry.store = f"https://{host}:{port}"
        result = await stage.judge(ask)
    assert (result.status, result.reason) == (Status.FAIL, "LayerStoreUnreachable"), result
    assert f"{host}:{port}" in result.message
    assert "docker_repo_prefix" not in result.remediation


async def test_a_layer_that_the_store_has_lost_is_noticed(stage: Stage) -> None:
    """The registry's own index still has it, so it answers HEAD by itself."""
    registry = Redirecting()
    ask = stage.ask(stage.scripted(registry))
    registry.store = f"https://{stage.scripted(registry.blob)}"
    assert (await stage.judge(ask)).reason == "Pullable"
    registry.store = f"https://{stage.scripted(always(404))}"
    assert (await stage.judge(ask)).reason == "BlobsMissing"


async def test_a_store_that_takes_no_head_is_sound(stage: Stage) -> None:
    """Addresses are signed for GET: S3 answers 403 to HEAD of them."""
    registry = Redirecting()

    def store(request: Request) -> Reply:
        return Reply(403) if request.method == "HEAD" else registry.blob(request)

    address = stage.scripted(store)

    def leading(request: Request) -> Reply:
        if "/blobs/" in request.path:
            return Reply(307, b"", {"Location": f"https://{address}{request.path}"})
        return registry(request)

    assert (await stage.judge(stage.ask(stage.scripted(leading)))).reason == "Pullable"


async def test_a_missing_secret_is_the_cause_of_what_follows(stage: Stage) -> None:
    ask = stage.in_cluster(stage.ask(stage.basic), names=("gone",))
    check = catalogue()["VllmImagePullable"]
    causes = root_causes([await stage.judge(ask)], [check])
    assert [cause.reason for cause in causes] == ["PullSecretMissing"]
    assert "gone" in causes[0].message


async def test_what_all_images_of_a_registry_share_is_told_once(stage: Stage) -> None:
    others = {"tgi_repository": "tgi", "lightllm_repository": "lightllm", "sglang_repository": "sglang"}
    shared = stage.ask(stage.basic, values={"config": {"values": {"launch": others}}})
    assert [found.reason for found in (await stage.judge(shared)).findings] == ["NoPullCredentials"]
    each = stage.ask(stage.open, "missing-too", values={"config": {"values": {"launch": others}}})
    findings = (await stage.judge(each)).findings
    assert [found.reason for found in findings] == ["RepositoryMissing", *["RepositoryMissing"] * 3]
    assert [found.subject for found in findings] == [
        "",
        "tgi_repository",
        "lightllm_repository",
        "sglang_repository",
    ]


@pytest.mark.parametrize("prefix", [None, "", "/", "not a host", "host:port", "[::1", "a" * 300, "ü"])
async def test_no_prefix_crashes_the_check(prefix: str | None) -> None:
    values = {"config": {"values": {"infra": {"cloud_provider": "onprem", "docker_repo_prefix": prefix}}}}
    result = await judged("VllmImagePullable", values)
    assert result.reason != "InternalError"
