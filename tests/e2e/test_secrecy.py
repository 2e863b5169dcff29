"""No secret leaves: a distinct one is planted in every slot of an installation, and all that is written is searched.

Servers echo what they are told, texts of the cluster quote what they should not, and passwords have signs that a URL
must quote and nobody quoted.
"""

import base64
import contextlib
import io
import json
import socket
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import yaml

from faults.objects import packed, stored
from mehc_operator.cli import main
from testbed.aws import Aws
from testbed.controlplane import ControlPlane
from testbed.endpoints import World
from testbed.healthchecks import PROBE_NOW, Cluster
from testbed.httpserver import Reply, Request, ScriptedServer
from testbed.installation import Tree, aws_values, only, overlaid, without
from testbed.kwok import MESSAGE_ANNOTATION, Kwok
from testbed.operatorprocess import Operator
from testbed.pki import CertificateAuthority
from testbed.planting import ODD, Planting
from testbed.postgres import Postgres
from testbed.rawserver import RawServer, Script, message
from testbed.redis import Redis
from testbed.rulejudging import at
from testbed.waiting import eventually

LONG = 300.0
CACHE = "config.values.launch.cache_redis_aws_url"
DOCUMENTS = ("text", "json", "yaml")
PAGES = ("markdown", "junit", "html")
FEW = -6
"""The cases, from there on, that are enough for a second form of the same document."""
PROMETHEUS = "config.values.infra.prometheus_server_address"


@dataclass(kw_only=True)
class Case:
    """One resource, whose values come from a Secret: what is searched has no ``spec.values``."""

    name: str
    values: Tree | str
    """Text, where it is to be read as it stands."""
    reasons: frozenset[str]
    """Some of these must be found: else what was planted was not reached."""
    objects: Sequence[Tree] = ()
    spec: Tree = field(default_factory=dict)


def secret(name: str, data: Mapping[str, str], kind: str = "Opaque") -> Tree:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name},
        "type": kind,
        "stringData": dict(data),
    }


def config_map(name: str, data: Mapping[str, str]) -> Tree:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": dict(data)}


def echo_redis(*, lets_in: bool) -> Script:
    """Refuses each command, or each after the login, with all that it was told."""

    def script(connection: socket.socket) -> None:
        stream = connection.makefile("rb")
        heard = b""
        while (line := stream.readline()).startswith(b"*"):
            words = [stream.read(int(stream.readline()[1:]) + 2)[:-2] for _ in range(int(line[1:]))]
            heard += b" ".join([b"", *words])
            echo = heard.replace(b"\r", b"").replace(b"\n", b" ") + repr(words).encode()
            answer = b"-ERR unknown login" + echo + b"\r\n"
            if lets_in and words[0] in (b"AUTH", b"SELECT"):
                answer = b"+OK\r\n"
            elif lets_in and words[0] == b"PING":
                answer = b"+PONG\r\n"
            elif lets_in and words[0] == b"INFO":
                told = b"redis_version:%b\r\nrole:%b\r\n" % (echo, echo)
                answer = b"$%d\r\n%b\r\n" % (len(told), told)
            connection.sendall(answer)

    return script


def echo_postgres(connection: socket.socket) -> None:
    """Asks for the password in clear text, and refuses it by name."""
    first = connection.recv(65536)
    if first[4:8] == struct.pack("!i", 80877103):
        connection.sendall(b"N")
        connection.recv(65536)
    connection.sendall(message(b"R", struct.pack("!i", 3)))
    password = connection.recv(65536)[5:].rstrip(b"\0")
    fields = (
        b"SFATAL",
        b"VFATAL",
        b"C28P01",
        b"Mpassword authentication failed: " + password,
        b"Dit was " + password,
    )
    connection.sendall(message(b"E", b"".join(each + b"\0" for each in fields) + b"\0"))


def echo_http(request: Request) -> Reply:
    """Refuses, with all headers, the login, and the path."""
    login = ":".join(request.login or ())
    said = {"path": request.path, "headers": dict(request.headers), "login": login}
    body = {
        "status": "error",
        "errorType": "bad_data",
        "error": said,
        "errors": [{"code": "DENIED", "message": str(said)}],
    }
    challenge = f'Basic realm="{quote(login)}"'
    return Reply(
        401, json.dumps(body).encode(), {"Content-Type": "application/json", "WWW-Authenticate": challenge}
    )


class Bearer:
    """A registry whose token service gives a planted token, and which then quotes it."""

    def __init__(self, token: str) -> None:
        self.token, self.url = token, ""

    def __call__(self, request: Request) -> Reply:
        if request.path.startswith("/token"):
            return Reply(
                200, json.dumps({"token": self.token}).encode(), {"Content-Type": "application/json"}
            )
        if request.headers.get("Authorization", "").startswith("Bearer "):
            return echo_http(request)
        challenge = f'Bearer realm="{self.url}/token",service="registry"'
        return Reply(401, b"{}", {"WWW-Authenticate": challenge})


def texts(planting: Planting, slot: str) -> Iterator[str]:
    """Texts of components that quote a secret which nobody else knows, as components do."""
    for name, form in {
        "assignment": "cannot connect: password={} host=db",
        "variable": "env PGPASSWORD={} psql failed",
        "url": "dial postgresql://u:{}@db:5432/llm failed",
        "bearer": "request had header Authorization: Bearer {}",
        "json": '{{"user": "u", "password": "{}"}} was rejected',
        "key": "aws_secret_access_key = {}",
        "option": "exec: redis-cli --password={} ping",
        "query": "GET https://store.example/b?X-Amz-Signature={} failed",
    }.items():
        yield form.format(planting.secret(f"{slot}: {name}"))


def cases(planting: Planting, servers: Mapping[str, str]) -> Iterator[Case]:
    plant = planting.secret
    yield from odd_addresses(planting)
    for kind in ("redis", "open-redis"):
        password = quote(plant(f"{kind} password", "/"), safe="")
        yield Case(
            name=f"echo-{kind}",
            values=overlaid(aws_values(), at(CACHE, f"redis://u:{password}@{servers[kind]}/0")),
            spec=only("RedisReachable", "BrokerReachable"),
            reasons=frozenset({"RedisError"}),
        )
    yield Case(
        name="echo-redis-token",
        values=overlaid(
            aws_values(),
            at(CACHE, f"redis://{servers['redis']}/0"),
            at("redis.enableAuth", True),
            at("redis.authSecretName", "token"),
        ),
        objects=[
            secret(
                "token", {"auth_token": plant("Redis token", "/"), "other": plant("other key of the token")}
            )
        ],
        spec=only("RedisReachable"),
        reasons=frozenset({"RedisError"}),
    )
    for kind in ("postgres", "real-postgres"):
        password = plant(f"{kind} password", "@/:")
        url = f"postgresql://u:{quote(password, safe='')}@{servers[kind]}/llm"
        yield Case(
            name=f"echo-{kind}",
            values=overlaid(aws_values(), at("secrets.kubernetesDatabaseSecretName", kind)),
            objects=[secret(kind, {"database_url": url, "note": plant(f"other key of {kind}")})],
            spec=only("DatabaseMigrated"),
            reasons=frozenset({"PasswordRejected"}),
        )
    login = f"u:{plant('Prometheus password')}"
    yield Case(
        name="echo-prometheus",
        values=overlaid(aws_values(), at(PROMETHEUS, f"http://{login}@{servers['http']}")),
        spec=only("PrometheusQueryable", "ConfigValid"),
        reasons=frozenset({"CredentialsRejected"}),
    )
    for kind in ("registry", "bearer"):
        password = plant(f"{kind} password", "/")
        auth = base64.b64encode(f"u:{password}".encode()).decode()
        logins = {
            "auths": {
                servers[kind]: {"username": "u", "password": password, "auth": auth, "email": "u@example.com"}
            }
        }
        yield Case(
            name=f"echo-{kind}",
            values=overlaid(
                aws_values(vllm_repository="vllm"),
                at("inferenceFramework.vllm", "0.6.3"),
                at("config.values.infra.docker_registry_type", "onprem"),
                at("config.values.infra.docker_repo_prefix", servers[kind]),
            ),
            objects=[
                secret(
                    f"pull-{kind}",
                    {".dockerconfigjson": json.dumps(logins)},
                    "kubernetes.io/dockerconfigjson",
                ),
                {
                    "apiVersion": "v1",
                    "kind": "ServiceAccount",
                    "metadata": {"name": "default"},
                    "imagePullSecrets": [{"name": f"pull-{kind}"}],
                },
            ],
            spec=only("VllmImagePullable"),
            reasons=frozenset({"PullCredentialsRejected", "PullDenied"}),
        )
    yield Case(
        name="cloud-secret",
        values=overlaid(
            without(aws_values(), "secrets.kubernetesDatabaseSecretName"),
            at("secrets.cloudDatabaseSecretName", "planted/db"),
        ),
        spec=only("DatabaseMigrated"),
        reasons=frozenset({"PasswordRejected"}),
    )
    yield Case(
        name="broken-yaml",
        values=f"redis: {{auth: {plant('broken YAML')}\nurl: [{plant('broken list')}",
        reasons=frozenset({"ValuesInvalid"}),
    )
    yield Case(
        name="wrong-types",
        values=overlaid(
            aws_values(),
            at("redis", plant("a table's place")),
            at("balloons", plant("a list's place", ": ")),
            at("service.port", f"password={plant('a number')}"),
        ),
        reasons=frozenset({"SpecInvalid", "ValuesInvalid", "WrongType", "ComponentMissing"}),
    )


def odd_addresses(planting: Planting) -> Iterator[Case]:
    """Passwords that should have been quoted in a URL and were not, and quoted ones."""
    for number, odd in enumerate((*ODD, "")):

        def secret_of(slot: str, odd: str = odd) -> str:
            return planting.secret(slot, odd) if odd else quote(planting.secret(slot, "".join(ODD)), safe="")

        name = f"odd-{number}"
        url = f"postgresql://u:{secret_of('database URL')}@127.0.0.1:1/llm"
        yield Case(
            name=name,
            values=overlaid(
                aws_values(),
                at(CACHE, f"redis://u:{secret_of('Redis URL')}@127.0.0.1:1/0"),
                at(PROMETHEUS, f"http://{secret_of('token of Prometheus')}@127.0.0.1:1/x"),
                at("s3EndpointUrl", f"http://u:{secret_of('store URL')}@127.0.0.1:1"),
                at("config.values.infra.s3_bucket", "bucket"),
                at("secrets.kubernetesDatabaseSecretName", name),
                at("celeryBrokerUrl", f"redis://:{secret_of('broker URL')}@127.0.0.1:1/1"),
            ),
            objects=[secret(name, {"database_url": url})],
            spec=only(
                *("RedisReachable", "DatabaseMigrated", "PrometheusQueryable", "ConfigValid"),
                *("BrokerReachable", "ObjectStoreReachable"),
            ),
            reasons=frozenset({"ConnectionRefused", "RedisURLInvalid", "DatabaseURLInvalid"}),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    planting: Planting
    plane: ControlPlane
    operator: Operator
    cases: Sequence[tuple[Cluster, Case]]
    installed: Cluster
    """A namespace with a failed release, live objects that differ from it, and endpoints in trouble."""


@pytest.fixture(scope="module")
def stage(
    control_plane: ControlPlane,
    kwok: Kwok,
    postgres: Postgres,
    redis_server: Redis,
    aws: Aws,
    certificate_authority: CertificateAuthority,
) -> Iterator[Stage]:
    planting = Planting()
    certificate = certificate_authority.issue()
    with ExitStack() as stack:
        bearer = Bearer(planting.secret("token of the registry's service"))
        registry = stack.enter_context(ScriptedServer(echo_http, certificate=certificate))
        tokens = stack.enter_context(ScriptedServer(bearer, certificate=certificate))
        bearer.url = tokens.url
        servers = {
            "redis": stack.enter_context(RawServer(echo_redis(lets_in=False))).address,
            "open-redis": stack.enter_context(RawServer(echo_redis(lets_in=True))).address,
            "postgres": stack.enter_context(RawServer(echo_postgres)).address,
            "real-postgres": f"{postgres.host}:{postgres.port}",
            "http": stack.enter_context(ScriptedServer(echo_http)).address,
            "registry": registry.address,
            "bearer": tokens.address,
        }
        host, port = servers["postgres"].split(":")
        kept = {
            "username": "u",
            "password": planting.secret("AWS secret", "+"),
            "clusterHost": host,
            "port": port,
            "dbname": "llm",
            "apiKey": planting.secret("another field of the AWS secret"),
        }
        aws.keep_secret("planted/db", json.dumps(kept))
        environment = {**aws.client_environment(), "SSL_CERT_FILE": str(certificate_authority.ca_file)}
        operator = stack.enter_context(Operator(control_plane, "--verbose", environment=environment))
        made = []
        for case in cases(planting, servers):
            cluster = Cluster(control_plane, control_plane.create_namespace("secrecy"))
            stack.callback(control_plane.delete_namespace, cluster.namespace)
            text = (
                case.values
                if isinstance(case.values, str)
                else yaml.safe_dump(case.values, allow_unicode=True)
            )
            values = secret("overrides", {"values.yaml": text})
            control_plane.apply([values, *case.objects], namespace=cluster.namespace)
            reference = {"secretKeyRef": {"name": "overrides", "key": "values.yaml"}}
            cluster.apply(
                {
                    "valuesFrom": [reference],
                    "timeout": "5s",
                    "confirmations": 1,
                    "interval": "1h",
                    **case.spec,
                }
            )
            made.append((cluster, case))
        installed = Cluster(control_plane, control_plane.create_namespace("secrecy"))
        stack.callback(control_plane.delete_namespace, installed.namespace)
        install(planting, installed, kwok, postgres, redis_server)
        for cluster in (*(cluster for cluster, _ in made), installed):
            eventually(lambda cluster=cluster: cluster.get().get("status", {}).get("conditions"), bool, LONG)
        for cluster in (*(cluster for cluster, _ in made), installed):  # once more: transitions have Events
            cluster.patch({"metadata": {"annotations": {PROBE_NOW: "again"}}})
        for cluster in (*(cluster for cluster, _ in made), installed):
            eventually(
                lambda cluster=cluster: cluster.get()["status"].get("lastHandledProbeNow"),
                lambda handled: handled == "again",
                LONG,
            )
        yield Stage(
            planting=planting, plane=control_plane, operator=operator, cases=made, installed=installed
        )


def install(planting: Planting, cluster: Cluster, kwok: Kwok, postgres: Postgres, redis: Redis) -> None:
    """A failed release, live objects that differ from it, and endpoints whose texts quote secrets."""
    plant = planting.secret
    here = World(
        plane=cluster.plane,
        kwok=kwok,
        postgres=postgres,
        redis=redis,
        database="",
        namespace=cluster.namespace,
    )
    variables = (
        "DB_PWD",
        "HF_TOKEN",
        "AWS_SECRET_ACCESS_KEY",
        "SLACK_WEBHOOK",
        "DD_API_KEY",
        "CONNECTION_STRING",
    )
    values = overlaid(
        aws_values(),
        at(CACHE, f"redis://u:{plant('Redis URL of the release')}@127.0.0.1:1/0"),
        at("extraEnvVars", [{"name": name, "value": plant(f"{name} of the release")} for name in variables]),
        at("dbPassword", plant("unknown key of the release")),
        at("datadog", {"enabled": False, "apiKey": plant("API key of the release")}),
        at("redis.auth", plant("redis.auth")),
    )
    description = "; ".join(texts(planting, "description"))
    document = {
        "name": "me",
        "version": 1,
        "info": {"status": "failed", "description": f"Upgrade failed: {description}"},
        "chart": {"metadata": {"name": "model-engine", "version": "0.2.7"}, "values": {}},
        "config": values,
    }
    live = overlaid(values, at(CACHE, f"redis://u:{plant('live Redis URL')}@127.0.0.1:1/0"))["config"][
        "values"
    ]
    service = {
        "launch_service_config": yaml.safe_dump(live["launch"]),
        "infra_service_config": yaml.safe_dump({**live["infra"], "secret_token": plant("service ConfigMap")}),
    }
    environment = [
        {"name": name, "value": plant(f"live {name}")} for name in (*variables, "DB_PASSWORD", "EXTRA")
    ]
    database = {"secretKeyRef": {"name": "live-database", "key": "database_url"}}
    known = plant("database password that pods quote", "/")
    url = f"postgresql://u:{quote(known, safe='')}@127.0.0.1:1/llm"
    gateway = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "model-engine", "labels": {"app": "model-engine"}},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"app": "model-engine"}},
            "template": {
                "metadata": {
                    "labels": {"app": "model-engine", "testbed.mehc/stage": "crash-loop"},
                    "annotations": {
                        MESSAGE_ANNOTATION: f"FATAL: {known} was rejected; {plant('bare') and ''}"
                    },
                },
                "spec": {
                    "containers": [
                        {
                            "name": "model-engine",
                            "image": "registry.example/model-engine:1",
                            "env": [*environment, {"name": "ML_INFRA_DATABASE_URL", "valueFrom": database}],
                        }
                    ]
                },
            },
        },
    }
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "model-engine-database-migration", "labels": {"app": "model-engine"}},
        "spec": {
            "backoffLimit": 0,
            "template": {
                "metadata": {
                    "labels": {"testbed.mehc/stage": "crash-loop"},
                    "annotations": {MESSAGE_ANNOTATION: "\n".join(texts(planting, "Job"))},
                },
                "spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": "x"}]},
            },
        },
    }
    cluster.plane.apply(
        [
            stored(packed(document)),
            config_map("model-engine-service-config", service),
            secret("live-database", {"database_url": url}),
            gateway,
            job,
        ],
        namespace=cluster.namespace,
    )
    here.deployment(
        stage="crash-loop", notes={MESSAGE_ANNOTATION: "; ".join(texts(planting, "termination message"))}
    )
    pod = here.staged()
    for reason, told in zip(
        (
            "Failed",
            "BackOff",
            "Unhealthy",
            "FailedMount",
            "FailedCreatePodSandBox",
            "FailedScheduling",
            "Failed",
            "Failed",
        ),
        texts(planting, "Event"),
        strict=True,
    ):
        here.told(pod, reason, told)
    here.told(
        pod,
        "Failed",
        f"Error: it sent {quote(known, safe='')} and {base64.b64encode(known.encode()).decode()}",
    )
    grace = {"gracePeriod": "0s", "loadingGracePeriod": "0s"}
    cluster.apply(
        {
            "timeout": "5s",
            "interval": "1h",
            "confirmations": 1,
            "checks": {"EndpointsReady": {"parameters": grace}},
        }
    )


def mehc(*words: str) -> str:
    """All that the command prints."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        status = main(words)
    assert status in (0, 1, 2)
    return out.getvalue()


def shown(cluster: Cluster) -> str:
    resource = cluster.get()
    told = json.dumps([{**resource, "spec": None}, cluster.events()], ensure_ascii=False)
    return told + cluster.kubectl("describe", "mehc") + cluster.kubectl("get", "mehc", "-o", "wide")


def reasons(cluster: Cluster) -> set[str]:
    checks = cluster.get()["status"]["checks"]
    return {found["reason"] for check in checks for found in (check, *check.get("findings", ()))}


def test_every_slot_was_reached(stage: Stage) -> None:
    missed = {
        case.name: reasons(cluster) for cluster, case in stage.cases if not reasons(cluster) & case.reasons
    }
    assert missed == {}
    assert {"ReleaseFailed"} < reasons(stage.installed)


def test_the_operator_writes_no_secret(stage: Stage) -> None:
    found = {case.name: stage.planting.found(shown(cluster)) for cluster, case in stage.cases}
    found |= {"installed": stage.planting.found(shown(stage.installed))}
    for path in ("/metrics", "/readyz", "/healthz"):
        found[path] = stage.planting.found(stage.operator.get(path)[1])
    found["log"] = stage.planting.found(stage.operator.log_text())
    assert {place: slots for place, slots in found.items() if slots} == {}


@pytest.fixture
def here(on_aws: Aws, certificate_authority: CertificateAuthority, monkeypatch: pytest.MonkeyPatch) -> None:
    """This process sees AWS and trusts the authority, as the operator does."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate_authority.ca_file))


def place(stage: Stage, cluster: Cluster) -> tuple[str, ...]:
    return "--kubeconfig", str(stage.plane.kubeconfig), "-n", cluster.namespace


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("output", [*DOCUMENTS, *PAGES])
def test_check_prints_no_secret(stage: Stage, output: str) -> None:
    found = {}
    cases = stage.cases if output in ("text", "json") else stage.cases[FEW:]
    for cluster, case in (*cases, (stage.installed, None)):
        words = ("check", *place(stage, cluster), "--resource", "model-engine", "--inside", "-o", output)
        if found_here := stage.planting.found(mehc(*words)):
            found[case.name if case else "installed"] = found_here
    assert found == {}


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("output", DOCUMENTS)
def test_explain_prints_no_secret(stage: Stage, output: str) -> None:
    said = mehc("explain", *place(stage, stage.installed), "--grace-period", "1s", "-o", output)
    assert "llama" in said
    assert stage.planting.found(said) == []


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("output", [*DOCUMENTS, "markdown", "html", "short"])
def test_status_prints_no_secret(stage: Stage, output: str) -> None:
    """The stored verdict, with its history."""
    found = {}
    for cluster in (*(cluster for cluster, _ in stage.cases), stage.installed):
        said = mehc("status", *place(stage, cluster), "-o", output)
        assert "model-engine" in said
        if slots := stage.planting.found(said):
            found[cluster.namespace] = slots
    assert found == {}


@pytest.mark.usefixtures("here")
def test_what_changes_a_resource_prints_no_secret(stage: Stage) -> None:
    """A mute as well, which shows the finding that it is for."""
    found = {}
    for cluster in (*(cluster for cluster, _ in stage.cases[FEW:]), stage.installed):
        here = place(stage, cluster)
        check = next(
            each for each in cluster.get()["status"]["checks"] if each["status"] not in ("Pass", "Skip")
        )
        what = f"{check['name']}/{check['reason']}"
        for words in (
            ("mute", what, "--for", "4h", "--why", "known"),
            ("probe",),
            ("status",),
            ("unmute", what),
            ("probe", "--no-wait"),
            ("mute", "None", "--for", "4h", "--why", "known"),
        ):
            if slots := stage.planting.found(mehc(*words, *here)):
                found[f"{words[0]} in {cluster.namespace}"] = slots
    assert found == {}


def test_reason_prints_no_secret(stage: Stage) -> None:
    named = {reason for cluster, _ in stage.cases for reason in reasons(cluster)} | reasons(stage.installed)
    assert {each: slots for each in named if (slots := stage.planting.found(mehc("reason", each)))} == {}


@pytest.mark.parametrize("output", [*DOCUMENTS, *PAGES, "sarif"])
def test_lint_prints_no_secret(stage: Stage, output: str, tmp_path: Path) -> None:
    found = {}
    for cluster, case in stage.cases:
        file = tmp_path / f"{case.name}.yaml"
        resource: Any = stage.plane.api("GET", f"/api/v1/namespaces/{cluster.namespace}/secrets/overrides")
        file.write_bytes(base64.b64decode(resource["data"]["values.yaml"]))
        commands = [
            *([("lint", str(file))] if output not in ("markdown", "html") else []),
            *([("check", "-f", str(file))] if output != "sarif" else []),
        ]
        for words in commands:
            if slots := stage.planting.found(mehc(*words, "-o", output)):
                found[f"{words[0]} {case.name}"] = slots
    assert found == {}


def test_what_fits_the_crd_and_cannot_be_used_is_refused_without_its_secret(stage: Stage) -> None:
    namespace = stage.plane.create_namespace("secrecy")
    cluster = Cluster(stage.plane, namespace)
    plant = stage.planting.secret
    values = {
        "config": plant("a table's place in spec.values"),
        "tag": {"password": plant("a map in a text's place")},
    }
    cluster.apply({"values": values, "timeout": "5s"})
    eventually(lambda: cluster.get().get("status", {}).get("conditions"), bool, LONG)
    told = json.dumps([cluster.get()["status"], cluster.events()], ensure_ascii=False)
    stage.plane.delete_namespace(namespace)
    assert stage.planting.found(told + stage.operator.log_text()) == []
