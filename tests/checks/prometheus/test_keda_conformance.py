"""KEDA's own operator judges the ScaledObjects that the platform would create; our verdicts are held against its."""

import contextlib
import itertools
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from mehc_checks.core.outcome import Status
from mehc_checks.modelengine.configuration import Configuration
from mehc_checks.modelengine.scaling import REDIS_TRIGGER_AUTHENTICATION, resource_name
from mehc_checks.modelengine.values import Layer, Values
from testbed import keda
from testbed.aws import REGION, Aws
from testbed.controlplane import ControlPlane
from testbed.judging import judged
from testbed.keda import Keda
from testbed.prometheusfaults import CASES, Case, Stage, values
from testbed.redis import Redis
from testbed.scaledobjects import scaled_object
from testbed.waiting import eventually

pytestmark = pytest.mark.timeout(1200)
"""The first test waits for KEDA to poll all ScaledObjects."""
NAMESPACE = "endpoints"
ASKED = [case for case in CASES if case.name != "unset"]
"""Without an address the gateway creates no ScaledObject."""

KEDA_SECRET, REDIS_PASSWORD = "keda-redis", "redis-password"
SECRETS = {
    KEDA_SECRET: REDIS_PASSWORD,
    "keda-another": "another",
    "keda-line": f"{REDIS_PASSWORD}\n",
    "keda-json": json.dumps({"password": REDIS_PASSWORD}),
    "keda-missing": None,
}
"""The texts of secrets that redis.kedaSecretName may name; None is not there."""


def trigger_authentication(secret: str) -> dict[str, Any]:
    """As the chart makes it with redis.enableAuth; of each secret but the usual one by a name of its own."""
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "TriggerAuthentication",
        "metadata": {"name": REDIS_TRIGGER_AUTHENTICATION if secret == KEDA_SECRET else secret},
        "spec": {
            "awsSecretManager": {
                "podIdentity": {"provider": "aws"},
                "secrets": [{"parameter": "password", "name": secret}],
            }
        },
    }


Verdicts = dict[str, list[str]]


@pytest.fixture(scope="module")
def cluster() -> Iterator[ControlPlane]:
    """An API server of our own with KEDA's resources; KEDA needs no controller for what we ask."""
    plane = ControlPlane()
    with contextlib.closing(plane):
        plane.etcd.start()
        plane.apiserver.start()
        keda.install(plane)
        plane.api("POST", "/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
        yield plane


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with Stage() as everything:
        yield everything


def target(name: str) -> dict[str, Any]:
    """An endpoint's Deployment, scaled to zero."""
    labels = {"app": name}
    containers = [{"name": "main", "image": "vllm:1"}]
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": containers}},
        },
    }


def create(plane: ControlPlane, scaled: dict[str, Any]) -> None:
    where = f"namespaces/{NAMESPACE}"
    plane.api("POST", f"/apis/apps/v1/{where}/deployments", target(scaled["metadata"]["name"]))
    plane.api("POST", f"/apis/keda.sh/v1alpha1/{where}/scaledobjects", scaled)


def polled(plane: ControlPlane) -> dict[str, bool]:
    """Whether KEDA has come to a conclusion about each ScaledObject: active, not active, or refused."""
    time.sleep(0.5)  # a hundred objects: asking all the time would slow KEDA down
    try:
        found = plane.api("GET", f"/apis/keda.sh/v1alpha1/namespaces/{NAMESPACE}/scaledobjects")
    except TimeoutError:  # KEDA keeps the API server busy
        return {"all": False}
    return {
        item["metadata"]["name"]: any(
            condition["type"] == "Active" and condition.get("reason")
            for condition in item.get("status", {}).get("conditions", [])
        )
        for item in found["items"]
    }


@dataclass(frozen=True, kw_only=True)
class RedisCase:
    """One Redis and one setting of what only KEDA's trigger obeys: three flags, and the secret of its password."""

    server: str
    tls: bool
    auth: bool
    unsafe: bool
    secret: str = KEDA_SECRET

    @property
    def endpoint_id(self) -> str:
        return f"redis-{self}".replace(" ", "-")

    @property
    def keda(self) -> bool:
        """Whether KEDA is content. An open server takes any password, as it takes none.

        The URL of a plain server with a password gives KEDA no address; a line's end around the password is stripped.
        """
        encrypted, _, kind = self.server.partition("-")
        trusted = kind not in ("foreign", "elsewhere") or self.unsafe
        known = self.auth and self.secret in (KEDA_SECRET, "keda-line")
        let_in = kind != "password" or (encrypted == "tls" and known)
        return self.tls is (encrypted == "tls") and trusted and let_in

    def __str__(self) -> str:
        flags = {"tls": self.tls, "auth": self.auth, "unsafe": self.unsafe}
        other = [] if self.secret == KEDA_SECRET else [self.secret]
        return " ".join([self.server, *(name for name, on in flags.items() if on), *other])

    def values(self, url: str) -> dict[str, Any]:
        """As on AWS, where KEDA's password is in Secrets Manager."""
        flags = {"enableTLS": self.tls, "enableAuth": self.auth, "unsafeSsl": self.unsafe}
        return {
            "redis": {**flags, "kedaSecretName": self.secret},
            "config": {
                "values": {
                    "infra": {"cloud_provider": "aws", "default_region": REGION},
                    "launch": {"cache_redis_aws_url": url},
                }
            },
        }


SERVERS = ("plain", "plain-password", "tls", "tls-password", "tls-foreign", "tls-elsewhere")
REDIS_CASES = [
    RedisCase(server=server, tls=tls, auth=auth, unsafe=unsafe)
    for server, tls, auth, unsafe in itertools.product(SERVERS, *[(False, True)] * 3)
] + [
    RedisCase(server=server, tls=server.startswith("tls"), auth=True, unsafe=False, secret=secret)
    for server, secret in itertools.product(SERVERS[:4], SECRETS)
    if secret != KEDA_SECRET
]


@pytest.fixture(scope="module")
def caches(stage: Stage) -> Iterator[dict[str, str]]:
    """URLs of real servers by name."""
    wrong = stage.ca.wrong_host()
    servers = {
        "plain": Redis(),
        "plain-password": Redis(password=REDIS_PASSWORD),
        "tls": Redis(tls=True, ca=stage.ca),
        "tls-password": Redis(tls=True, ca=stage.ca, password=REDIS_PASSWORD),
        "tls-foreign": Redis(tls=True, ca=stage.foreign_ca),
        "tls-elsewhere": Redis(tls=True, ca=stage.ca, certificate=wrong),
    }
    with contextlib.ExitStack() as started:
        yield {name: started.enter_context(server).url() for name, server in servers.items()}


@pytest.fixture(scope="module")
def aws() -> Iterator[Aws]:
    """Holds KEDA's passwords of Redis."""
    with Aws() as emulator:
        for name, text in SECRETS.items():
            if text is not None:
                emulator.keep_secret(name, text)
        yield emulator


@pytest.fixture(scope="module")
def addresses(stage: Stage) -> dict[str, str | None]:
    return {case.name: case.address(stage) for case in ASKED}


def effective(tree: dict[str, Any]) -> Configuration:
    return Configuration(Values.merged([Layer(source="test", values=tree)]))


@pytest.fixture(scope="module")
def verdicts(
    cluster: ControlPlane,
    stage: Stage,
    addresses: dict[str, str | None],
    caches: dict[str, str],
    aws: Aws,
) -> Iterator[Verdicts]:
    """What KEDA complains about, by ScaledObject, after it has polled each; all are created at once."""
    for case in ASKED:
        own = effective(values(addresses[case.name]))
        create(cluster, scaled_object(own, case.endpoint_id, namespace=NAMESPACE))
    for secret in SECRETS:
        cluster.apply(trigger_authentication(secret), namespace=NAMESPACE)
    for asked in REDIS_CASES:
        url = caches[asked.server]
        own = effective(asked.values(url))
        manifest = scaled_object(own, asked.endpoint_id, namespace=NAMESPACE, cache_url=url)
        manifest["spec"]["triggers"] = manifest["spec"]["triggers"][1:]
        if asked.auth:
            (trigger,) = manifest["spec"]["triggers"]
            trigger["authenticationRef"] = {"name": trigger_authentication(asked.secret)["metadata"]["name"]}
        create(cluster, manifest)
    identity = aws.client_environment() | {"AWS_REGION": REGION}
    with Keda(cluster, ca_dir=stage.ca.ca_file.parent, variables=identity) as operator:
        eventually(lambda: polled(cluster), lambda found: all(found.values()), seconds=900)
        cases = [*ASKED, *REDIS_CASES]
        expected = {resource_name(case.endpoint_id) for case in cases if not case.keda}
        # What KEDA is content with, it has to be content with for as long as it takes to complain about the rest
        with contextlib.suppress(AssertionError):
            eventually(
                lambda: set(operator.complaints(NAMESPACE)), lambda found: found >= expected, seconds=60
            )
        yield operator.complaints(NAMESPACE)


@pytest.mark.parametrize("case", ASKED, ids=lambda case: case.name)
async def test_keda_and_we_agree_on_prometheus(
    case: Case, stage: Stage, addresses: dict[str, str | None], verdicts: Verdicts
) -> None:
    complaints = verdicts.get(resource_name(case.endpoint_id), [])
    assert bool(complaints) is not case.keda, complaints
    result = await judged(
        "PrometheusQueryable",
        values(addresses[case.name]),
        parameters={"caBundle": stage.ca.ca_pem},
        seconds=case.seconds,
    )
    ours = result.status is Status.PASS
    assert ours is (case.keda and not case.stricter), result


@pytest.mark.parametrize("case", REDIS_CASES, ids=str)
async def test_keda_and_we_agree_on_redis(
    case: RedisCase,
    stage: Stage,
    caches: dict[str, str],
    verdicts: Verdicts,
    aws: Aws,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(stage.ca.ca_file))
    for name, value in aws.client_environment().items():
        monkeypatch.setenv(name, value)
    complaints = verdicts.get(resource_name(case.endpoint_id), [])
    assert bool(complaints) is not case.keda, complaints
    result = await judged("RedisReachable", case.values(caches[case.server]), seconds=5)
    ours = {found.status for found in result.findings if found.subject == "keda"}
    assert ours, result
    assert Status.ERROR not in ours, result
    assert (Status.FAIL in ours) is bool(complaints), (result.findings, complaints)
