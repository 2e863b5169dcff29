"""VllmImagePullable on real registries: every broken installation first, then the sound ones."""

import asyncio
import base64
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from mehc_checks.checks.image.reasons import VllmImageReasons
from mehc_checks.clients.aws.reasons import AwsReasons
from mehc_checks.clients.kubernetes.api import KubernetesCluster
from mehc_checks.core.outcome import Status
from mehc_operator.connection import Access, connected
from testbed import ports
from testbed.aws import Aws
from testbed.containerd import Containerd
from testbed.controlplane import ControlPlane
from testbed.httpserver import Proxy, Reply, Request, Script, ScriptedServer
from testbed.images import (
    ACR_HOST,
    CHECK,
    ECR_ACCOUNT,
    ECR_HOST,
    GAR_HOST,
    OUTSIDER,
    PLAIN_HOST,
    Ask,
    Stage,
    always,
    pull_secret,
    serves,
    service_config,
)
from testbed.installation import overlaid
from testbed.judging import judged
from testbed.registry import MANIFEST, PASSWORD, SCHEMA_1, USER, digest, schema_1_manifest

LOGIN = (USER, PASSWORD)
ENTRY = {"username": USER, "password": PASSWORD}
WRONG = (USER, "wrong-password")
AWS_VARIABLES = ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION")
HTML = b"<!doctype html><html><body>Sign in</body></html>"


@pytest.fixture(scope="module")
def stage(control_plane: ControlPlane, cluster: KubernetesCluster) -> Iterator[Stage]:
    with Stage(control_plane, cluster) as everything:
        yield everything


@pytest.fixture(scope="module")
def black_hole() -> Iterator[str]:
    with ports.black_hole() as (host, port):
        yield f"{host}:{port}"


@pytest.fixture(autouse=True)
def no_cloud(monkeypatch: pytest.MonkeyPatch, black_hole: str) -> None:
    """No AWS identity is found, and the instance metadata address swallows every packet."""
    for name in (
        *AWS_VARIABLES,
        "AWS_PROFILE",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "HTTPS_PROXY",
        "HTTP_PROXY",
        "NO_PROXY",
    ):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", f"http://{black_hole}/")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")


@dataclass(frozen=True)
class Case:
    """``pulls`` is what containerd must say of the same image; None where it is not about pulling from here."""

    name: str
    reason: str
    stage: Callable[[Stage], Ask]
    status: Status = Status.FAIL
    pulls: bool | None = None
    says: str = ""
    fix: str = ""


def at(registry: str, *words: str, **parameters: Any) -> Callable[[Stage], Ask]:
    """Without a cluster; ``registry`` names one of the stage's."""
    return lambda stage: stage.ask(getattr(stage, registry), *words, **parameters)


def inside(registry: str, *words: str, **cluster: Any) -> Callable[[Stage], Ask]:
    """The same in a cluster."""
    return lambda stage: stage.in_cluster(stage.ask(getattr(stage, registry), *words), **cluster)


def answering(script: Script) -> Callable[[Stage], Ask]:
    """A server of the test's own in the registry's place."""
    return lambda stage: stage.ask(stage.scripted(script))


def named(host: str, **parameters: Any) -> Callable[[Stage], Ask]:
    """A registry behind the proxy, by its public name."""

    def stage_it(stage: Stage) -> Ask:
        return stage.ask(host, proxied=True, **parameters)

    return stage_it


def token_until(when: datetime) -> str:
    """A password as ECR issues it."""
    content = {
        "payload": "x",
        "datakey": "y",
        "version": "2",
        "type": "DATA_KEY",
        "expiration": when.timestamp(),
    }
    return base64.b64encode(json.dumps(content).encode()).decode()


def json_web_token(when: datetime) -> str:
    """A password as ACR issues it."""
    claims = base64.urlsafe_b64encode(json.dumps({"exp": int(when.timestamp())}).encode()).decode()
    return f"eyJhbGciOiJSUzI1NiJ9.{claims.rstrip('=')}.c2lnbmVk"


def with_token(script: Script, password: str) -> Callable[[Stage], Ask]:
    return lambda stage: stage.in_cluster(stage.ask(stage.scripted(script)), login=("AWS", password))


def open_with_token(password: str) -> Callable[[Stage], Ask]:
    """A registry that takes any login, or none."""
    return lambda stage: stage.in_cluster(stage.ask(stage.open), login=("AWS", password))


def denying_as_ecr(request: Request) -> Reply:
    """An expired token: no word of it in the answer to HEAD."""
    if request.login is None:
        return Reply(401, b"", {"WWW-Authenticate": 'Basic realm="https://ecr/",service="ecr.amazonaws.com"'})
    return Reply(403, b'{"errors": [{"code": "DENIED", "message": "Your authorization token has expired."}]}')


def without_port(stage: Stage) -> Ask:
    return stage.in_cluster(stage.ask(stage.basic), secret=pull_secret({"127.0.0.1": ENTRY}))


def credentials_elsewhere(**content: Any) -> Callable[[Stage], Ask]:
    """The file of a Docker client on a laptop."""

    def stage_it(stage: Stage) -> Ask:
        whole = json.dumps({"auths": {stage.basic.address: {}}, **content})
        return stage.in_cluster(stage.ask(stage.basic), secret=pull_secret(whole))

    return stage_it


def identity_token(stage: Stage) -> Ask:
    """What az acr login leaves."""
    entry = {
        "auth": base64.b64encode(b"00000000-0000-0000-0000-000000000000:").decode(),
        "identitytoken": "t",
    }
    return stage.in_cluster(stage.ask(stage.basic), secret=pull_secret({stage.basic.address: entry}))


def pulled_by_the_cache(stage: Stage) -> Ask:
    """Pods of the image cache have another ServiceAccount: what they pull proves nothing for endpoints."""
    ask = stage.in_cluster(stage.ask(stage.basic))
    stage.pulled_event(ask.namespace, ask.image, pod="launch-image-cache-a10-x7k2p")
    return ask


def secret_missing_and_a_pod_stuck(stage: Stage) -> Ask:
    ask = stage.in_cluster(stage.ask(stage.open), names=("gone",))
    why = "pull access denied, repository does not exist or may require authorization"
    stage.waiting_pod(ask.namespace, "registry.example.com/team/bundle:1", why=why)
    return ask


def secret_missing_and_a_tag_too(stage: Stage) -> Ask:
    """The pod waits for what does not exist, which is no fault of the Secret."""
    ask = stage.in_cluster(stage.ask(stage.open), names=("gone",))
    stage.waiting_pod(ask.namespace, "registry.example.com/team/bundle:1", why="manifest unknown: not found")
    return ask


def invalid(prefix: str, repository: str = "vllm") -> Callable[[Stage], Ask]:
    return lambda stage: stage.ask(prefix, repository)


def launch(**keys: Any) -> dict[str, Any]:
    return {"config": {"values": {"launch": keys}}}


def docker_registry_type(name: str) -> dict[str, Any]:
    return {"config": {"values": {"infra": {"docker_registry_type": name}}}}


def refused(stage: Stage) -> Ask:
    host, port = stage.enter_context(ports.refused_port())
    return stage.ask(f"{host}:{port}")


def swallowed(stage: Stage) -> Ask:
    host, port = stage.enter_context(ports.black_hole())
    return stage.ask(f"{host}:{port}")


def silent(stage: Stage) -> Ask:
    host, port = stage.enter_context(ports.silent_server())
    return stage.ask(f"{host}:{port}")


def garbage(stage: Stage) -> Ask:
    host, port = stage.enter_context(ports.garbage_server(b"220 smtp ready\r\n"))
    return stage.ask(f"{host}:{port}")


def closing(_: Request) -> Reply:
    """A server that drops every connection once it has the request."""
    raise ConnectionError


def full_path(stage: Stage) -> Ask:
    return stage.ask(stage.open, f"{stage.open.address}/vllm", values=docker_registry_type("generic"))


def full_path_on_artifact_registry(stage: Stage) -> Ask:
    """Pods pull it as it stands; the gateway looks for it below the prefix."""
    prefix = f"{GAR_HOST}/project/repository"
    return stage.ask(prefix, f"{stage.open.address}/vllm")


def of_type(name: str) -> Callable[[Stage], Ask]:
    """A registry of a private authority, of class ``name``."""
    return lambda stage: stage.ask(stage.open, values=docker_registry_type(name))


def public(ask: Ask, stage: Stage) -> Ask:
    """The same, of an authority that everybody trusts."""
    return replace(ask, environment={**ask.environment, "SSL_CERT_FILE": str(stage.ca.ca_file)})


def signed_in_only(stage: Stage) -> Ask:
    ask = stage.ask(stage.basic, values=docker_registry_type("generic"))
    return public(stage.in_cluster(ask, login=LOGIN), stage)


def moved(stage: Stage) -> Ask:
    """As docker.io and registry.k8s.io: the name leads to another host, where runtimes follow."""
    location = f"https://{stage.open.address}"
    address = stage.scripted(lambda request: Reply(307, b"", {"Location": location + request.path}))
    return public(stage.ask(address, values=docker_registry_type("generic")), stage)


def seen_by_gateway(repository: str, registry: str = "open") -> Callable[[Stage], Ask]:
    def stage_it(stage: Stage) -> Ask:
        found = stage.ask(getattr(stage, registry), repository, values=docker_registry_type("generic"))
        return public(found, stage)

    return stage_it


def trusting_gateway(stage: Stage) -> Ask:
    variables = [{"name": "REQUESTS_CA_BUNDLE", "value": "/etc/ca/ca.crt"}]
    values = overlaid(docker_registry_type("generic"), {"extraEnvVars": variables})
    return stage.ask(stage.open, values=values)


def signed(ask: Ask, aws: Aws) -> Ask:
    """The same with an identity of AWS; a first answer takes its time."""
    return replace(ask, environment={**ask.environment, **aws.client_environment()}, seconds=8)


def account_of(account: str) -> dict[str, Any]:
    return {"config": {"values": {"infra": {"ml_account_id": account, "default_region": "us-east-1"}}}}


def below_the_account(stage: Stage) -> Ask:
    """Pods pull what the prefix says; the gateway asks the account for the bare repository."""
    ask = stage.ask(f"{ECR_HOST}/mirror", "vllm-mirrored", values=account_of(ECR_ACCOUNT), proxied=True)
    return signed(ask, stage.aws)


def below_the_account_and_there(stage: Stage) -> Ask:
    ask = stage.ask(f"{ECR_HOST}/public", values=account_of(ECR_ACCOUNT), proxied=True)
    return signed(ask, stage.aws)


def another_account(stage: Stage) -> Ask:
    ask = stage.ask(ECR_HOST, values=account_of("999988887777"), proxied=True)
    return signed(ask, stage.aws)


def below_the_repository(stage: Stage) -> Ask:
    """The gateway takes project and repository of the prefix, and drops what follows."""
    return stage.ask(f"{GAR_HOST}/project/repository/team", "vllm-mirrored", proxied=True)


def mutual_tls(stage: Stage) -> Ask:
    return stage.ask(stage.scripted(always(200), client_ca=stage.ca.ca_file))


web_page = always(200, HTML, Content_Type="text/html")
schema_1 = serves(SCHEMA_1, schema_1_manifest("vllm", "0.10.1"))


def not_found_page(stage: Stage) -> Ask:
    return stage.ask(stage.scripted(always(404, HTML, Content_Type="text/html")))


def downgrade(stage: Stage) -> Ask:
    """Layers over plain HTTP, as a store without TLS behind a registry with it."""
    store = f"http://{stage.plain.address}"

    def registry(request: Request) -> Reply:
        if "/blobs/" in request.path:
            return Reply(307, b"", {"Location": f"{store}{request.path}"})
        accept = {"Accept": request.headers.get("Accept", "")}
        status, headers, body = stage.plain.call("GET", request.path, headers=accept)
        kept = {name: headers[name] for name in ("Content-Type", "Docker-Content-Digest") if name in headers}
        return Reply(status, body, kept)

    return stage.ask(stage.scripted(registry))


def metadata_service(stage: Stage) -> Ask:
    return stage.ask(stage.scripted(always(307, Location="http://169.254.169.254/latest/meta-data/")))


def artifact(stage: Stage) -> Ask:
    chart = b'{"schemaVersion": 2, "config": null, "layers": []}'
    return stage.ask(stage.scripted(serves(MANIFEST, chart)))


def tampered(stage: Stage) -> Ask:
    manifest = json.dumps(stage.images.manifest("vllm", "0.10.1")).encode()
    return stage.ask(stage.scripted(serves(MANIFEST, manifest, claimed=digest(b"another"))))


def redirecting(stage: Stage, store: str) -> Ask:
    """A registry whose manifests come and whose blobs are in a store elsewhere, as with ECR and S3."""
    config = json.dumps({"os": "linux", "architecture": "amd64", "store": store}).encode()
    part = {"digest": digest(config), "size": len(config)}
    manifest = json.dumps({"schemaVersion": 2, "config": part, "layers": []}).encode()

    def registry(request: Request) -> Reply:
        if "/blobs/" in request.path and request.method == "GET":
            return Reply(307, b"", {"Location": f"https://{store}/bucket/blob?signed=yes"})
        return serves(MANIFEST, manifest)(request) if "/blobs/" not in request.path else Reply(200)

    return stage.ask(stage.scripted(registry))


def store_refused(stage: Stage) -> Ask:
    host, port = stage.enter_context(ports.refused_port())
    return redirecting(stage, f"{host}:{port}")


def store_denies(stage: Stage) -> Ask:
    """As S3 does, when the policy of the gateway endpoint allows other buckets only."""
    return redirecting(stage, stage.scripted(always(403)))


def short_lived(stage: Stage, *, accepted: int = 2) -> Ask:
    """A registry whose first token is accepted so often: it expires in the middle of a pull. 0: nor is any other."""
    uses: Counter[str] = Counter()

    def registry(request: Request) -> Reply:
        if request.path.startswith("/token"):
            return Reply(200, json.dumps({"token": f"t{len(uses)}"}).encode())
        token = request.headers.get("Authorization", "")
        uses[token] += 1
        expired = not accepted or (token == "Bearer t1" and uses[token] > accepted)
        if expired or not token.startswith("Bearer "):
            realm = (
                f'Bearer realm="https://{request.headers["Host"]}/token",service="x",error="invalid_token"'
            )
            return Reply(401, b"", {"WWW-Authenticate": realm})
        return passed_on(stage, request)

    return stage.ask(stage.scripted(registry))


def passed_on(stage: Stage, request: Request) -> Reply:
    """What the real registry answers."""
    asked = {name: text for name, text in request.headers.items() if name in ("Accept", "Range")}
    status, headers, body = stage.open.call(request.method, request.path, headers=asked)
    kept = ("Content-Type", "Docker-Content-Digest", "Content-Length", "Content-Range")
    return Reply(status, body, {name: headers[name] for name in kept if name in headers})


def half_mute(stage: Stage) -> Ask:
    """A registry whose token service is gone."""
    realm = 'Bearer realm="https://127.0.0.1:1/token",service="x"'
    return stage.ask(stage.scripted(always(401, WWW_Authenticate=realm)))


def ecr(stage: Stage, *, aws: dict[str, str] | None = None, account: str = ECR_HOST) -> Ask:
    ask = stage.ask(account, proxied=True)
    return replace(ask, environment={**ask.environment, **(aws or {})})


def ecr_by_secret(stage: Stage) -> Ask:
    """As on Azure, where nodes pull from ECR: a pull secret, and no AWS identity."""
    ((user, password),) = stage.ecr_login.items()
    secret = pull_secret({ECR_HOST: {"username": user, "password": password}})
    return stage.in_cluster(stage.ask(ECR_HOST, proxied=True), secret=secret)


def no_metadata(stage: Stage) -> Ask:
    """Nothing answers where EC2 would give an identity; this must end before the check's own time does."""
    return replace(ecr(stage, aws={"AWS_EC2_METADATA_DISABLED": "false"}), seconds=8)


def ecr_denied(stage: Stage) -> Ask:
    denied = stage.enter_context(Aws(enforce_iam=True)).client_environment()
    return replace(ecr(stage, aws=denied), seconds=8)


def ecr_unreachable(stage: Stage) -> Ask:
    host, port = stage.enter_context(ports.refused_port())
    return ecr(stage, aws=stage.aws.client_environment() | {"AWS_ENDPOINT_URL": f"http://{host}:{port}"})


def unreadable_secrets(stage: Stage) -> Ask:
    """The ServiceAccount of the check may not read pull secrets, and the registry wants credentials."""
    return stage.in_cluster(stage.ask(stage.basic), login=LOGIN)


def elsewhere(stage: Stage) -> Ask:
    """The values name a namespace that is not the installation's."""
    foreign = stage.in_cluster(stage.ask(stage.open))
    own = stage.control_plane.create_namespace("images")
    stage.create(foreign.namespace, service_config(owner="somebody-else"))
    values = {**foreign.values, "config": {"values": {**foreign.values["config"]["values"]}}}
    values["config"]["values"]["launch"] = {
        **values["config"]["values"]["launch"],
        "endpoint_namespace": foreign.namespace,
    }
    return replace(foreign, values=values, namespace=own)


def pulled_by_nodes(stage: Stage) -> Ask:
    ask = stage.in_cluster(stage.ask(stage.open, trusted=False))
    stage.pulled_event(ask.namespace, ask.image)
    return ask


def stuck(stage: Stage) -> Ask:
    ask = stage.in_cluster(stage.ask(stage.open))
    stage.waiting_pod(ask.namespace, ask.image)
    return ask


def cache_stuck(stage: Stage) -> Ask:
    ask = stage.in_cluster(stage.ask(stage.open))
    stage.waiting_pod(ask.namespace, "mirror/proxyv2:1.15.0", owner=stage.image_cache(ask.namespace))
    return ask


def probe_without_nodes(stage: Stage) -> Ask:
    return stage.in_cluster(stage.ask(stage.open, pullFrom="node", architectures=["amd64"]))


def other_full_path(stage: Stage) -> Ask:
    tgi = launch(tgi_repository=f"{stage.open.address}/vllm")
    return public(stage.ask(stage.open, values=overlaid(docker_registry_type("generic"), tgi)), stage)


def batch_doubled(stage: Stage) -> Ask:
    return stage.ask(stage.open, values=launch(batch_inference_vllm_repository=f"{stage.open.address}/vllm"))


def other_missing(stage: Stage) -> Ask:
    return stage.ask(stage.open, values=launch(lightllm_repository="lightllm"))


def full_path_on_premises(stage: Stage) -> Ask:
    return stage.ask(stage.open, f"{stage.open.address}/vllm", values=docker_registry_type("onprem"))


def without_framework_map(stage: Stage) -> Ask:
    ask = stage.in_cluster(stage.ask(stage.open))
    return replace(ask, parameters={key: value for key, value in ask.parameters.items() if key != "tag"})


NOW = datetime.now(UTC)
EXPIRED = token_until(NOW - timedelta(hours=1))
EXPIRED_WEB_TOKEN = json_web_token(datetime(2026, 1, 2, tzinfo=UTC))
EXPIRING = token_until(NOW + timedelta(minutes=30))
FRESH = token_until(NOW + timedelta(hours=11))
ANOTHER_HOST = pull_secret({"ghcr.io": {"username": "u", "password": "p"}})
MALFORMED = pull_secret('{"auths": {"x": {"auth": "%"}}}')
OPAQUE = pull_secret({}, kind="Opaque")

CASES = [
    Case(
        "scheme in the prefix", "InvalidImageReference", invalid("https://registry.example.com"), pulls=False
    ),
    Case("trailing slash", "InvalidImageReference", invalid("registry.example.com/"), pulls=False),
    Case("no prefix", "InvalidImageReference", invalid(""), pulls=False),
    Case("upper case", "InvalidImageReference", invalid("registry.example.com/Team"), pulls=False),
    Case("account of zeros", "PlaceholderRegistry", invalid("000000000000.dkr.ecr.us-east-1.amazonaws.com")),
    Case("documented example", "PlaceholderRegistry", invalid("gcr.io/my-gcp-project")),
    Case("vendor", "VendorRegistry", invalid("692474966980.dkr.ecr.us-west-2.amazonaws.com")),
    Case("full path", "FullPathRepository", full_path, says="is the full path"),
    Case("full path on GAR", "FullPathRepository", full_path_on_artifact_registry),
    Case("ACR with a path", "RegistryPrefixInvalid", named(f"{ACR_HOST}/public")),
    Case("ACR's class elsewhere", "RegistryPrefixInvalid", of_type("acr"), says="no API of Azure"),
    Case("GAR without project", "RegistryPrefixInvalid", named(GAR_HOST), says="IndexError"),
    Case("GAR's class elsewhere", "RegistryPrefixInvalid", of_type("gar"), says="IndexError"),
    Case("GAR below the repository", "ImageNotFoundByGateway", below_the_repository),
    Case("ECR with a path", "ImageNotFoundByGateway", below_the_account),
    Case(
        "another ml_account_id",
        "GatewaySearchNotVerified",
        another_account,
        Status.WARN,
        says="999988887777.dkr.ecr.us-east-1.amazonaws.com/vllm:0.10.1",
    ),
    Case("asked anonymously", "RegistryClosedToGateway", signed_in_only, says="HTTP 401"),
    Case("private CA", "RegistryClosedToGateway", of_type("generic"), says="is not trusted", pulls=True),
    Case("redirect of the manifest", "RegistryClosedToGateway", moved, says="HTTP 307 (a redirect)"),
    Case("unknown class", "RegistryClosedToGateway", of_type("ECR"), says="'ECR' is unknown"),
    Case("no such host", "HostUnresolvable", invalid("registry.invalid"), pulls=False),
    Case("refused", "ConnectionRefused", refused, pulls=False),
    Case("proxy refuses", "HostUnreachable", named("unrouted.example")),
    Case("closes", "ConnectionClosed", answering(closing), pulls=False),
    Case("black hole", "ConnectionTimeout", swallowed, pulls=False),
    Case("hangs", "ConnectionTimeout", silent, pulls=False),
    Case("plain HTTP", "ServerNotTLS", named(PLAIN_HOST)),
    Case("redirect to a metadata service", "NotARegistry", metadata_service),
    Case("untrusted", "TLSUntrusted", at("open", trusted=False), pulls=False),
    Case("expired", "TLSExpired", lambda s: s.ask(s.serving(s.ca.expired())), pulls=False),
    Case(
        "not yet valid",
        "TLSNotYetValid",
        lambda s: s.ask(s.serving(s.ca.issue(begins_in=timedelta(days=2)))),
        pulls=False,
    ),
    Case("wrong host", "TLSWrongHost", lambda s: s.ask(s.serving(s.ca.wrong_host())), pulls=False),
    Case("client certificate", "TLSHandshakeFailed", mutual_tls, pulls=False),
    Case(
        "web page",
        "NotARegistry",
        answering(web_page),
        pulls=False,
    ),
    Case("web page, 404", "NotARegistry", not_found_page, pulls=False),
    Case("not HTTP", "NotARegistry", garbage, pulls=False),
    Case("other status", "NotARegistry", answering(always(418)), pulls=False),
    Case("no credentials, basic", "NoPullCredentials", at("basic"), pulls=False),
    Case("no credentials, token", "NoPullCredentials", at("token"), pulls=False),
    Case("entry without port", "NoPullCredentials", without_port, pulls=False, says="covers only 127.0.0.1"),
    Case("no pull secret", "NoPullCredentials", inside("basic"), pulls=False, says="has no pull secret"),
    Case(
        "ECR token expired",
        "PullTokenExpired",
        with_token(denying_as_ecr, EXPIRED),
        says="user AWS of",
        fix="let a CronJob renew it before it expires: one of ECR lasts 12 hours",
    ),
    Case(
        "web token expired", "PullTokenExpired", with_token(denying_as_ecr, EXPIRED_WEB_TOKEN), says="2026-"
    ),
    Case("expired, not needed", "PullTokenExpired", open_with_token(EXPIRED), Status.WARN),
    Case("expires soon", "PullTokenExpiresSoon", open_with_token(EXPIRING), Status.WARN),
    Case("expires later", "Pullable", open_with_token(FRESH), Status.PASS),
    Case(
        "credsStore",
        "PullSecretWithoutPassword",
        credentials_elsewhere(credsStore="desktop"),
        says="credsStore",
    ),
    Case(
        "credHelpers",
        "PullSecretWithoutPassword",
        credentials_elsewhere(credHelpers={"x": "ecr-login"}),
        says="credHelpers",
    ),
    Case("identitytoken", "PullSecretWithoutPassword", identity_token, says="identitytoken"),
    Case("no such secret, and needed", "PullSecretMissing", inside("basic", names=("gone",)), pulls=False),
    Case("no such secret, a pod waits", "PullSecretMissing", secret_missing_and_a_pod_stuck),
    Case("no such secret, no such tag", "PullSecretMissing", secret_missing_and_a_tag_too, Status.WARN),
    Case("another type, and needed", "PullSecretIgnored", inside("basic", secret=OPAQUE), pulls=False),
    Case("pulled by the image cache", "NoPullCredentials", pulled_by_the_cache, pulls=False),
    Case(
        "no entry for this host",
        "NoPullCredentials",
        inside("basic", secret=ANOTHER_HOST),
        pulls=False,
    ),
    Case("node identity", "NodeIdentityNeeded", named(ACR_HOST), Status.WARN),
    Case(
        "wrong password, basic",
        "PullCredentialsRejected",
        inside("basic", login=WRONG),
        pulls=False,
    ),
    Case(
        "wrong password, token",
        "PullCredentialsRejected",
        inside("token", login=WRONG),
        pulls=False,
    ),
    Case("not granted", "PullDenied", inside("token", login=OUTSIDER), pulls=False),
    Case("no token is accepted", "NoPullCredentials", partial(short_lived, accepted=0), pulls=False),
    Case("403", "PullDenied", answering(always(403)), pulls=False),
    Case("token service refused", "TokenServiceUnreachable", half_mute, pulls=False),
    Case(
        "429",
        "RegistryRateLimited",
        answering(always(429, Retry_After="60")),
        pulls=False,
        says="60 s",
    ),
    Case("503", "RegistryServerError", answering(always(503)), pulls=False),
    Case("no repository", "RepositoryMissing", at("open", "vlm"), pulls=False),
    Case(
        "no repository, token",
        "RepositoryMissing",
        inside("token", "vlm", login=LOGIN),
        pulls=False,
    ),
    Case(
        "no tag",
        "TagMissing",
        at("open", tag="0.10.3"),
        pulls=False,
        says="tag 0.10.3 does not exist; nearest 0.10.2, 0.10.1",
    ),
    Case(
        "schema 1",
        "ManifestSchema1",
        answering(schema_1),
        pulls=False,
    ),
    Case("not an image", "ManifestInvalid", artifact, pulls=False),
    Case("digest does not fit", "ManifestInvalid", tampered, pulls=False),
    Case("arm only", "ImagePlatformMissing", at("open", "vllm-arm-index", "1"), pulls=False),
    Case("arm, no index", "ImagePlatformMissing", at("open", "vllm-arm", "1"), pulls=True),
    Case("no child", "IndexIncomplete", at("open", "vllm-lost-child", "1"), pulls=False),
    Case("no layer", "BlobsMissing", at("open", "vllm-lost-layer", "1"), pulls=False),
    Case("store refused", "LayerStoreUnreachable", store_refused, says="layer store: 127.0.0.1:"),
    Case("store denies", "LayerStoreError", store_denies, says="returned HTTP 403"),
    Case("no configuration", "BlobsMissing", at("open", "vllm-lost-config", "1"), pulls=False),
    Case("no AWS identity", "AWSNoCredentials", ecr, Status.ERROR),
    Case("no metadata service", "AWSNoCredentials", no_metadata, Status.ERROR),
    Case("AWS says no", "AWSAccessDenied", ecr_denied, Status.ERROR),
    Case("AWS refused", "AWSUnreachable", ecr_unreachable, Status.ERROR),
    Case(
        "no ServiceAccount",
        "InferenceServiceAccountMissing",
        inside("open", account=False),
    ),
    Case(
        "malformed secret",
        "PullSecretMalformed",
        inside("open", secret=MALFORMED),
    ),
    Case(
        "no such secret",
        "PullSecretMissing",
        inside("open", names=("gone",)),
        Status.WARN,
    ),
    Case(
        "secret of another type",
        "PullSecretIgnored",
        inside("open", secret=OPAQUE),
        Status.WARN,
    ),
    Case(
        "may not read secrets",
        "Forbidden",
        unreadable_secrets,
        Status.ERROR,
        says="not allowed to get",
    ),
    Case("somebody else's namespace", "EndpointNamespaceNotVerified", elsewhere, Status.WARN),
    Case("nodes have another way", "RegistryUnreachableFromOperator", pulled_by_nodes, Status.WARN),
    Case("nodes have no way", "NodesCannotPull", stuck, Status.WARN),
    Case("image cache waits", "ImageCacheStuck", cache_stuck, Status.WARN, says="proxyv2"),
    Case("no framework map", "FrameworkTagUnknown", without_framework_map, Status.WARN),
    Case("huge", "PullTooSlow", at("open", "vllm-huge", "1"), Status.WARN, says="400.0 GB"),
    Case(
        "full path of another",
        "FullPathRepository",
        other_full_path,
        Status.WARN,
    ),
    Case(
        "batch doubled",
        "DoubleRegistryPrefix",
        batch_doubled,
        Status.WARN,
    ),
    Case(
        "another is missing",
        "RepositoryMissing",
        other_missing,
        Status.WARN,
    ),
    Case("seen by the gateway", "Pullable", seen_by_gateway("vllm"), Status.PASS),
    Case("by a token for anybody", "Pullable", seen_by_gateway("public/vllm", "token"), Status.PASS),
    Case("gateway told to trust", "Pullable", trusting_gateway, Status.PASS, pulls=True),
    Case("ECR with a path, both there", "Pullable", below_the_account_and_there, Status.PASS),
    Case("layers over plain HTTP", "Pullable", downgrade, Status.PASS, pulls=True),
    Case("open", "Pullable", at("open"), Status.PASS, pulls=True),
    Case("Docker's manifest", "Pullable", at("open", "vllm-docker", "1"), Status.PASS, pulls=True),
    Case("index", "Pullable", at("open", "vllm-multi", "1"), Status.PASS, pulls=True),
    Case("Docker's list", "Pullable", at("open", "vllm-list", "1"), Status.PASS, pulls=True),
    Case(
        "child for others lost",
        "Pullable",
        at("open", "vllm-lost-other", "1"),
        Status.PASS,
        pulls=True,
    ),
    Case("anonymous token", "Pullable", at("token", "public/vllm"), Status.PASS, pulls=True),
    Case("basic", "Pullable", inside("basic", login=LOGIN), Status.PASS, pulls=True),
    Case("token", "Pullable", inside("token", login=LOGIN), Status.PASS, pulls=True),
    Case("token that expires in mid session", "Pullable", short_lived, Status.PASS, pulls=True),
    Case("ECR", "Pullable", lambda s: signed(ecr(s), s.aws), Status.PASS, says="an ECR token"),
    Case("ECR by a secret", "Pullable", ecr_by_secret, Status.PASS, says="user AWS of Secret regcred"),
    Case("loopback without TLS", "Pullable", at("plain", trusted=False), Status.PASS),
    Case(
        "insecure by choice",
        "Pullable",
        named(PLAIN_HOST, insecureRegistries=[PLAIN_HOST]),
        Status.PASS,
    ),
    Case(
        "a pull by a node is asked for, and there is no GPU node",
        "PullProbeNotRun",
        probe_without_nodes,
        Status.WARN,
        says="no GPU node takes the pod",
    ),
    Case(
        "full path, on-premises class",
        "Pullable",
        full_path_on_premises,
        Status.PASS,
    ),
]


@pytest.fixture(scope="module")
async def reader(control_plane: ControlPlane, stage: Stage) -> AsyncIterator[KubernetesCluster]:
    """The cluster as a ServiceAccount sees it that may read all but Secrets."""
    namespace = control_plane.create_namespace("reader")
    kubeconfig = control_plane.service_account_kubeconfig(namespace, "reader")
    control_plane.kubectl(
        "create",
        "clusterrolebinding",
        namespace,
        "--clusterrole=view",
        f"--serviceaccount={namespace}:reader",
    )
    async with connected(Access(kubeconfig=str(kubeconfig))) as api:
        yield KubernetesCluster(api)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_each_installation_is_judged(
    case: Case,
    stage: Stage,
    reader: KubernetesCluster,
    containerd: Containerd,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ask = case.stage(stage)
    for name, value in ask.environment.items():
        monkeypatch.setenv(name, value)
    if case.reason == "Forbidden":
        result = await judged(
            CHECK, ask.values, cluster=reader, namespace=ask.namespace, parameters=ask.parameters
        )
    else:
        result = await stage.judge(ask)
    found = {finding.reason for finding in result.findings}
    assert case.reason in found, result
    assert (result.status, result.reason) == (case.status, case.reason), result
    assert case.says in result.message
    assert result.evidence["image"]
    if case.status is not Status.PASS:
        assert "{" not in result.remediation
    assert case.fix in result.remediation
    if case.pulls is not None:
        theirs = await asyncio.to_thread(
            containerd.pulls, ask.image, ca_file=ask.ca_file, login=ask.login, seconds=2
        )
        assert theirs is case.pulls


@pytest.fixture(scope="module")
def containerd() -> Iterator[Containerd]:
    with Containerd() as daemon:
        yield daemon


async def test_images_that_the_cacher_names_by_itself_are_no_fault(stage: Stage) -> None:
    """On every ordinary installation they are not mirrored; all of them are named once, whatever waits for them."""
    ask = stage.in_cluster(stage.ask(stage.open, values=launch(tgi_repository="vllm-docker")))
    cache = stage.image_cache(ask.namespace)
    prefix = stage.open.address
    old = [f"{prefix}/vllm-docker:1.1.0", f"{prefix}/vllm:0.2.7", "gcr.io/istio-release/proxyv2:1.15.0"]
    for image in old:
        stage.waiting_pod(ask.namespace, image, owner=cache)
    values = overlaid(ask.values, launch(tgi_repository="vllm-docker"))
    result = await stage.judge(replace(ask, values=values))
    said = [found for found in result.findings if found.reason == "PrefetchImagesUnavailable"]
    assert [found.status for found in said] == [Status.PASS], result
    assert all(image in said[0].message for image in old)
    assert "ImageCacheStuck" not in {found.reason for found in result.findings}


def test_every_reason_has_a_case() -> None:
    """Those of AWS that are not staged here are in tests/checks/test_aws.py, of the operator alone in tests/faults."""
    produced = {case.reason for case in CASES} - {"Forbidden", "EndpointNamespaceNotVerified"}
    produced.add("PrefetchImagesUnavailable")
    elsewhere = {*AwsReasons.all(), VllmImageReasons.DNS_TIMEOUT, VllmImageReasons.TLS_REQUIRED}
    elsewhere.add(VllmImageReasons.REDIRECT_NOT_FOLLOWED)
    own = {reason.name for reason in VllmImageReasons.all() if reason not in elsewhere}
    assert produced - {reason.name for reason in elsewhere} == own


async def test_a_token_of_ecr_that_ends_between_probe_runs_is_not_used_again(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The registry accepts the token that was issued last, and no other."""
    issued = 0

    def aws(_: Request) -> Reply:
        nonlocal issued
        issued += 1
        token = base64.b64encode(f"AWS:token-{issued}".encode()).decode()
        body = json.dumps({"authorizationData": [{"authorizationToken": token}]}).encode()
        return Reply(200, body, {"Content-Type": "application/x-amz-json-1.1"})

    def registry(request: Request) -> Reply:
        if request.login is None:
            return Reply(401, b"", {"WWW-Authenticate": 'Basic realm="x"'})
        if request.login != ("AWS", f"token-{issued}"):
            return denying_as_ecr(request)
        return passed_on(stage, request)

    own = stage.ca.issue(names=(ECR_HOST, "127.0.0.1"))
    proxy = stage.enter_context(Proxy({f"{ECR_HOST}:443": stage.scripted(registry, certificate=own)}))
    identity = dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), "testing")
    ask = ecr(stage)
    for name, value in {**ask.environment, **identity, "HTTPS_PROXY": proxy.url}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", stage.enter_context(ScriptedServer(aws)).url)
    for number in (1, 2):
        result = await stage.judge(replace(ask, seconds=60))
        assert (result.status, result.reason) == (Status.PASS, "Pullable"), result
        assert issued == number
