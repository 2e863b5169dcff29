"""The operator with `spec: {}`: it finds the installation by itself, and notices when it changes."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from testbed.controlplane import ControlPlane
from testbed.healthchecks import manifest
from testbed.helm import Helm
from testbed.installation import DATABASE_SECRET, Tree, only, overlaid
from testbed.operatorprocess import Operator
from testbed.redis import Redis
from testbed.rulejudging import at
from testbed.sound import AWS, BY_CLOUD
from testbed.waiting import eventually

MEHC = Path(sys.executable).with_name("mehc")
URL = "config.values.launch.cache_redis_aws_url"


@pytest.fixture(scope="module")
def operator(control_plane: ControlPlane) -> Iterator[Operator]:
    with Operator(control_plane, trusted=()) as running:  # as the chart has it
        yield running


@pytest.fixture(scope="module")
def helm(control_plane: ControlPlane) -> Helm:
    return Helm(control_plane)


@pytest.fixture
def endpoints(control_plane: ControlPlane) -> Iterator[str]:
    name = control_plane.create_namespace()
    yield name
    control_plane.delete_namespace(name)


@pytest.fixture
def values(namespace: str, endpoints: str, redis_server: Redis) -> Tree:
    return overlaid(
        AWS,
        at("config.values.launch.endpoint_namespace", endpoints),
        at("aws.configMap.namespaces", [namespace, endpoints]),
        at(URL, f"redis://127.0.0.1:{redis_server.port}/15"),
    )


class Resource:
    """The ModelEngineHealthCheck of a namespace."""

    def __init__(self, plane: ControlPlane, namespace: str) -> None:
        self._plane = plane
        self._namespace = namespace
        self._path = f"/apis/health.modelengine.io/v1alpha1/namespaces/{namespace}/modelenginehealthchecks"

    def apply(self, spec: Tree) -> None:
        self._plane.apply(manifest(spec), namespace=self._namespace)

    def status(self) -> Tree:
        found: Tree = self._plane.api("GET", f"{self._path}/model-engine")
        return found.get("status") or {}

    def condition(self, kind: str, accept: Callable[[Tree], object]) -> Tree:
        """The condition, once it is accepted."""

        def ask() -> Tree:
            conditions = self.status().get("conditions", [])
            return next((each for each in conditions if each["type"] == kind), {})

        return eventually(ask, lambda each: bool(each and accept(each)))


@pytest.fixture
def resource(control_plane: ControlPlane, namespace: str, operator: Operator) -> Resource:
    return Resource(control_plane, namespace)


def test_an_empty_spec_is_enough(helm: Helm, namespace: str, resource: Resource, values: Tree) -> None:
    helm.install("me", namespace, values)
    resource.apply({})
    redis = resource.condition("RedisReachable", lambda _: True)
    assert redis["status"] == "True", redis["message"]
    config = resource.condition("ConfigValid", lambda _: True)
    assert (config["status"], config["reason"]) == ("False", "IstioNotInstalled")  # this cluster has no Istio
    database = resource.condition("DatabaseMigrated", lambda _: True)
    assert DATABASE_SECRET in database["message"]
    assert resource.status()["release"] == {
        "name": "me",
        "revision": 1,
        "chart": "model-engine-0.2.7",
        "status": "deployed",
        "source": "Secret sh.helm.release.v1.me.v1",
    }


def test_the_command_finds_it_too(
    control_plane: ControlPlane, helm: Helm, namespace: str, values: Tree
) -> None:
    def check(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [
                MEHC,
                "check",
                "--inside",
                "--kubeconfig",
                str(control_plane.kubeconfig),
                "-n",
                namespace,
                *words,
            ],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    nothing = check()
    assert (nothing.returncode, nothing.stdout) == (2, "")
    assert f"no model engine installation found in namespace {namespace}" in nothing.stderr
    helm.install("one", namespace, values)
    helm.install(
        "two", namespace, overlaid(values, at("serviceIdentifier", "b"), at(URL, "redis://127.0.0.1:1/0"))
    )
    several = check()
    assert several.returncode == 2
    assert "has several model engine releases: one, two" in several.stderr
    assert check("--release", "one", "--only", "RedisReachable").returncode == 0
    refused = check("--release", "two", "--only", "RedisReachable", "-o", "json")
    assert refused.returncode == 1
    reasons = {each["name"]: each["reason"] for each in json.loads(refused.stdout)["checks"]}
    assert reasons["RedisReachable"] == "ConnectionRefused"


PRIVATE = (
    at("redisHost", "redis.data.svc.cluster.local"),
    at("redis.authSecretName", "token"),
    at("config.values.infra.redis_host", "redis.data.svc.cluster.local"),
    at("config.values.infra.docker_repo_prefix", "registry.platform.svc.cluster.local:5000/llm"),
    at("config.values.infra.prometheus_server_address", "http://prometheus.monitoring:9090"),
    at("config.values.launch.cache_redis_onprem_url", "redis://cache.data.svc:6379/0"),
    at("s3EndpointUrl", "http://minio.storage.svc:9000"),
)
"""Names of the cluster, which is how an installation on premises names its servers."""
DATABASE = "postgresql://u:p@postgres.data.svc.cluster.local:5432/llm"


@pytest.mark.parametrize("cloud", ["onprem", "aws"])
def test_of_servers_that_the_installation_names_the_operator_tells_what_a_users_own_command_tells(
    control_plane: ControlPlane, helm: Helm, namespace: str, endpoints: str, resource: Resource, cloud: str
) -> None:
    """With the chart's own settings: nobody vouches for the namespace."""
    private = PRIVATE if cloud == "onprem" else (at(URL, "redis://cache.data.svc:6379/0"), PRIVATE[-3])
    where = at("config.values.launch.endpoint_namespace", endpoints)
    aws = at("aws.configMap.namespaces", [namespace, endpoints]) if cloud == "aws" else {}
    for name, data in ((DATABASE_SECRET, {"database_url": DATABASE}), ("token", {"auth_token": "t0ken"})):
        control_plane.api(
            "POST",
            f"/api/v1/namespaces/{namespace}/secrets",
            {"metadata": {"name": name}, "stringData": data},
        )
    helm.install("me", namespace, overlaid(BY_CLOUD[cloud], *private, where, aws))
    resource.apply({"interval": "1h", "timeout": "30s"})
    resource.condition("Ready", lambda _: True)
    words = ("--inside", "-o", "json", "--timeout", "30s", "-n", namespace)
    command = [MEHC, "check", "--kubeconfig", str(control_plane.kubeconfig), *words]

    def both() -> tuple[Tree, Tree]:
        """Of pods that begin meanwhile, one may know before the other."""
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        checks = json.loads(done.stdout)["checks"], resource.status()["checks"]
        own, told = ({each["name"]: each for each in found} for found in checks)
        return own, told

    def agree(found: tuple[Tree, Tree]) -> bool:
        own, told = ({name: each["status"] for name, each in one.items()} for one in found)
        return own == told

    _, told = eventually(both, agree, 300)
    limits = {"AddressNotVerified", "AddressNotAllowed", "NotVerified"}
    found = {finding["reason"] for each in told.values() for finding in each.get("findings", ())}
    assert not found & limits
    unreachable = {name for name, each in told.items() if each["reason"] in NAMELESS}
    assert unreachable >= {"DatabaseMigrated", "RedisReachable", "PrometheusQueryable"}, told


NAMELESS = {"HostUnresolvable", "DNSTimeout", "ConnectionTimeout"}


def test_where_nothing_is_installed(resource: Resource, namespace: str, helm: Helm, values: Tree) -> None:
    resource.apply({"interval": "1h"})
    ready = resource.condition("Ready", lambda _: True)
    assert (ready["status"], ready["reason"]) == ("Unknown", "InstallationNotFound")
    assert f"no model engine installation found in namespace {namespace}" in ready["message"]
    helm.install("me", namespace, values)
    resource.condition("RedisReachable", lambda each: each["status"] == "True")


def test_several_releases(resource: Resource, namespace: str, helm: Helm, values: Tree) -> None:
    helm.install("one", namespace, values)
    helm.install("two", namespace, overlaid(values, at("serviceIdentifier", "b")))
    resource.apply(only("RedisReachable"))
    ready = resource.condition("Ready", lambda _: True)
    assert (ready["status"], ready["reason"]) == ("Unknown", "ReleaseAmbiguous")
    resource.apply({"release": {"name": "two"}, **only("RedisReachable")})
    resource.condition("Ready", lambda each: each["status"] == "True")
    assert resource.status()["release"]["name"] == "two"


def test_a_change_is_noticed_long_before_the_interval_is_over(
    control_plane: ControlPlane, helm: Helm, namespace: str, resource: Resource, values: Tree
) -> None:
    helm.install("me", namespace, values)
    resource.apply({"interval": "1h", "timeout": "3s", **only("RedisReachable", "DatabaseMigrated")})
    resource.condition("RedisReachable", lambda each: each["status"] == "True")

    # a Helm upgrade
    helm.upgrade("me", namespace, overlaid(values, at(URL, "redis://127.0.0.1:1/15")))
    refused = resource.condition("RedisReachable", lambda each: each["status"] == "False")
    assert "127.0.0.1:1" in refused["message"]
    eventually(lambda: resource.status()["release"]["revision"], lambda revision: revision == 2)
    helm.upgrade("me", namespace, values)
    resource.condition("RedisReachable", lambda each: each["status"] == "True")

    # a ConfigMap, changed by hand
    path = f"/api/v1/namespaces/{namespace}/configmaps/model-engine-service-config"
    data = control_plane.api("GET", path)["data"]
    text: str = data["launch_service_config"]
    changed = {"data": {**data, "launch_service_config": text.replace(_port(values), ":1/15")}}
    control_plane.api("PATCH", path, changed, content_type="application/merge-patch+json")
    resource.condition("RedisReachable", lambda each: each["status"] == "False")
    control_plane.api("PATCH", path, {"data": data}, content_type="application/merge-patch+json")
    resource.condition("RedisReachable", lambda each: each["status"] == "True")

    # a Secret that a check asked for, and that did not exist
    missing = resource.condition("DatabaseMigrated", lambda _: True)
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": DATABASE_SECRET, "namespace": namespace},
        "stringData": {"database_url": "postgresql://u:p@127.0.0.1:1/d"},
    }
    control_plane.apply([secret])
    resource.condition("DatabaseMigrated", lambda each: each["reason"] != missing["reason"])


def _port(values: Tree) -> str:
    url: Any = values["config"]["values"]["launch"]["cache_redis_aws_url"]
    return ":" + str(url).rpartition(":")[2]
