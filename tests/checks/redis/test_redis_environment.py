"""RedisReachable by the variables that the pods have: those that cannot be read, and those that nothing reads."""

from collections.abc import AsyncIterator, Iterator, Sequence
from functools import partial
from typing import Any

import pytest

from mehc_checks.clients.kubernetes.api import Cluster, KubernetesCluster
from mehc_checks.clients.network import reach
from mehc_checks.core.outcome import Status
from mehc_checks.engine.report import CheckResult
from mehc_operator.connection import Access, connected
from testbed.controlplane import ControlPlane
from testbed.environments import Item, secret, value, whole
from testbed.judging import judged as judged_within
from testbed.ports import free_port
from testbed.redis import Redis

IDENTIFIER = value("SERVICE_IDENTIFIER", "")
"""The chart sets it, so that the values complete nothing."""


judged = partial(judged_within, seconds=60)


class Gateway:
    """Deployments of a gateway in one namespace, and values that would make another of them."""

    def __init__(self, plane: ControlPlane, server: Redis) -> None:
        self.plane, self.server, self.namespace = plane, server, plane.create_namespace("redis-env")
        self.made = 0

    def deploy(self, env: Sequence[Item], env_from: Sequence[Item] = ()) -> str:
        self.made += 1
        name, labels = f"gateway-{self.made}", {"app": "x"}
        container = {"name": name, "image": "x", "env": [IDENTIFIER, *env], "envFrom": list(env_from)}
        template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
        spec = {"replicas": 0, "selector": {"matchLabels": labels}, "template": template}
        path = f"/apis/apps/v1/namespaces/{self.namespace}/deployments"
        self.plane.api("POST", path, {"metadata": {"name": name}, "spec": spec})
        return name

    def values(self, name: str, **more: Any) -> dict[str, Any]:
        infra = {"cloud_provider": "onprem", "redis_host": "infra.invalid"}
        launch = {"cache_redis_onprem_url": self.server.url(), "endpoint_namespace": self.namespace}
        return {
            "fullnameOverride": name,
            "config": {"values": {"infra": infra, "launch": launch}},
            "celery_broker_type_redis": True,
            "redisHost": self.server.host,
            "redisPort": self.server.port,
            **more,
        }

    def host(self) -> list[Item]:
        return [value("REDIS_HOST", self.server.host), value("REDIS_PORT", str(self.server.port))]


@pytest.fixture(scope="module")
def gateway(control_plane: ControlPlane, redis_server: Redis) -> Iterator[Gateway]:
    place = Gateway(control_plane, redis_server)
    yield place
    control_plane.delete_namespace(place.namespace)


@pytest.fixture
async def restricted(gateway: Gateway) -> AsyncIterator[Cluster]:
    """The cluster as an account sees it that may read Deployments only."""
    name, group = "restricted", "rbac.authorization.k8s.io"
    metadata, path = {"name": name, "namespace": gateway.namespace}, gateway.plane
    kubeconfig = path.service_account_kubeconfig(gateway.namespace, name)
    rules = [{"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get"]}]
    subjects = [{"kind": "ServiceAccount", **metadata}]
    reference = {"apiGroup": group, "kind": "Role", "name": name}
    kind = {"apiVersion": f"{group}/v1", "metadata": metadata}
    path.apply([{**kind, "kind": "Role", "rules": rules}])
    path.apply([{**kind, "kind": "RoleBinding", "subjects": subjects, "roleRef": reference}])
    async with connected(Access(kubeconfig=str(kubeconfig))) as api:
        yield KubernetesCluster(api)


def of(result: CheckResult, subject: str) -> list[tuple[Status, str, str]]:
    return [(each.status, each.reason, each.message) for each in result.findings if each.subject == subject]


@pytest.mark.parametrize("variable", ["REDIS_HOST", "REDIS_PORT", "REDIS_ENABLE_TLS", "REDIS_AUTH_TOKEN"])
async def test_a_variable_that_may_not_be_read(variable: str, gateway: Gateway, restricted: Cluster) -> None:
    env = [item for item in gateway.host() if item["name"] != variable]
    name = gateway.deploy([*env, secret(variable, "key", of="kept")])
    result = await judged(
        "RedisReachable", gateway.values(name), cluster=restricted, namespace=gateway.namespace
    )
    (broker,) = of(result, "broker")
    assert broker[:2] == (Status.ERROR, "VariableNotRead"), broker
    assert f'{variable} of the gateway cannot be resolved: not allowed to get secrets "kept"' in broker[2]
    assert [each[1] for each in of(result, "cache")] == ["RedisReachable"]
    assert "the verb get on secrets in namespace" in result.remediation


async def test_variables_that_may_be_in_what_may_not_be_read(gateway: Gateway, restricted: Cluster) -> None:
    name = gateway.deploy(gateway.host(), [whole("secret", "all")])
    result = await judged(
        "RedisReachable", gateway.values(name), cluster=restricted, namespace=gateway.namespace
    )
    (broker,) = of(result, "broker")
    assert broker[:2] == (Status.ERROR, "VariableNotRead")
    assert "may be in Secret all of envFrom, and not allowed to get" in broker[2]


async def test_a_deployment_that_may_not_be_read(gateway: Gateway, control_plane: ControlPlane) -> None:
    """The values say the rest, and that they are not the last word is a finding."""
    kubeconfig = control_plane.service_account_kubeconfig(gateway.namespace, "nobody")
    async with connected(Access(kubeconfig=str(kubeconfig))) as api:
        result = await judged(
            "RedisReachable",
            gateway.values("gateway"),
            cluster=KubernetesCluster(api),
            namespace=gateway.namespace,
        )
    assert (result.status, result.reason) == (Status.ERROR, "IncompleteData")
    assert 'not allowed to get deployments.apps "gateway"' in result.message
    assert [each[1] for each in of(result, "broker")] == ["RedisReachable"]


async def test_what_nothing_reads_is_not_missed(gateway: Gateway, restricted: Cluster) -> None:
    """With SQS, a token that cannot be read matters to no connection."""
    name = gateway.deploy([secret("REDIS_AUTH_TOKEN", "key", of="kept")])
    values = gateway.values(name, celery_broker_type_redis=None)
    values["config"]["values"]["infra"]["cloud_provider"] = "aws"
    values["config"]["values"]["launch"] |= {
        "cache_redis_onprem_url": None,
        "cache_redis_aws_url": gateway.server.url(),
    }
    result = await judged("RedisReachable", values, cluster=restricted, namespace=gateway.namespace)
    assert result.status is Status.PASS, result.message


async def test_a_host_without_a_port_is_not_read(gateway: Gateway, cluster: KubernetesCluster) -> None:
    """Processes then use redis_host of the infra configuration."""
    name = gateway.deploy(gateway.host()[:1])
    result = await judged(
        "RedisReachable", gateway.values(name), cluster=cluster, namespace=gateway.namespace
    )
    (broker,) = of(result, "broker")
    assert broker[:2] == (Status.FAIL, "HostUnresolvable")
    assert "infra.invalid" in broker[2]


async def test_the_secret_of_a_host_is_named_as_such(gateway: Gateway, cluster: KubernetesCluster) -> None:
    name = gateway.deploy([secret("REDIS_HOST", "host", of="kept"), gateway.host()[1]])
    result = await judged(
        "RedisReachable", gateway.values(name), cluster=cluster, namespace=gateway.namespace
    )
    (broker,) = of(result, "broker")
    assert broker[:2] == (Status.FAIL, "SecretNotFound")
    assert "pods read REDIS_HOST from its key host" in broker[2]


async def test_a_service_named_redis(
    control_plane: ControlPlane, redis_server: Redis, cluster: KubernetesCluster
) -> None:
    gateway = Gateway(control_plane, redis_server)
    spec = {"selector": {"app": "redis"}, "ports": [{"port": 6379}]}
    path = f"/api/v1/namespaces/{gateway.namespace}/services"
    control_plane.api("POST", path, {"metadata": {"name": "redis"}, "spec": spec})
    for env, reason in ((gateway.host(), "RedisReachable"), (gateway.host()[:1], "ServiceLinkVariable")):
        values = gateway.values(gateway.deploy(env))
        result = await judged("RedisReachable", values, cluster=cluster, namespace=gateway.namespace)
        assert [each[1] for each in of(result, "broker")] == [reason]
    assert f"rename Service redis in namespace {gateway.namespace}" in result.remediation
    control_plane.delete_namespace(gateway.namespace)


async def test_the_cache_has_the_host_of_the_pods(gateway: Gateway, cluster: KubernetesCluster) -> None:
    """On premises without a URL; its port is fixed, so this server is not found there."""
    name = gateway.deploy([value("REDIS_HOST", "of-the-pods.invalid")])
    values = gateway.values(name)
    values["config"]["values"]["launch"]["cache_redis_onprem_url"] = None
    result = await judged("RedisReachable", values, cluster=cluster, namespace=gateway.namespace)
    (cache,) = of(result, "cache")
    assert cache[:2] == (Status.FAIL, "HostUnresolvable")
    assert "of-the-pods.invalid" in cache[2]


def pods(gateway: Gateway, name: str, suffix: str, env: Sequence[Item], **more: Any) -> None:
    """The Deployment of another component, or the gateway's with ``more`` in its pods."""
    full, labels = name + suffix, {"app": "x"}
    own = {"name": full, "image": "x", "env": [IDENTIFIER, *env]}
    spec = {"containers": [own, *more.pop("beside", [])], **more}
    template = {"metadata": {"labels": labels}, "spec": spec}
    body = {"replicas": 0, "selector": {"matchLabels": labels}, "template": template}
    path = f"/apis/apps/v1/namespaces/{gateway.namespace}/deployments"
    gateway.plane.api("POST", path, {"metadata": {"name": full}, "spec": body})


async def test_each_component_by_its_own_environment(gateway: Gateway, cluster: KubernetesCluster) -> None:
    name = gateway.deploy(gateway.host())
    elsewhere = [value("REDIS_HOST", "elsewhere.invalid"), value("REDIS_PORT", "6379")]
    pods(gateway, name, "-endpoint-builder", elsewhere)
    pods(gateway, name, "-cacher", elsewhere)  # which uses no broker
    result = await judged(
        "RedisReachable", gateway.values(name), cluster=cluster, namespace=gateway.namespace
    )
    assert [each[1] for each in of(result, "broker")] == ["RedisReachable"]
    (builder,) = of(result, "broker of the builder")
    assert builder[1] == "HostUnresolvable"
    assert builder[2].startswith("broker of the builder: elsewhere.invalid does not resolve")
    assert {each.subject for each in result.findings} == {"cache", "broker", "broker of the builder", "keda"}
    assert "REDIS_HOST in the builder's Deployment" in result.remediation


async def test_components_that_agree_are_said_once(gateway: Gateway, cluster: KubernetesCluster) -> None:
    name = gateway.deploy(gateway.host())
    pods(gateway, name, "-endpoint-builder", gateway.host())
    pods(gateway, name, "-cacher", [])
    result = await judged(
        "RedisReachable", gateway.values(name), cluster=cluster, namespace=gateway.namespace
    )
    assert {each.subject for each in result.findings} == {"cache", "broker", "keda"}


@pytest.mark.parametrize(
    ("beside", "reason"),
    [
        ({"beside": [{"name": "redis-proxy", "image": "x"}]}, "ReachableOnlyInPod"),
        (
            {"initContainers": [{"name": "proxy", "image": "x", "restartPolicy": "Always"}]},
            "ReachableOnlyInPod",
        ),
        ({"initContainers": [{"name": "wait", "image": "x"}]}, "ConnectionRefused"),
        ({"beside": [{"name": "istio-proxy", "image": "x"}]}, "ConnectionRefused"),
        ({}, "ConnectionRefused"),
    ],
    ids=["a sidecar", "a sidecar among the init containers", "an init container", "a mesh", "nothing"],
)
async def test_a_redis_of_the_pods_own(
    beside: dict[str, Any], reason: str, gateway: Gateway, cluster: KubernetesCluster
) -> None:
    gateway.made += 1
    name, port = f"gateway-{gateway.made}", str(free_port())
    pods(gateway, name, "", [value("REDIS_HOST", "localhost"), value("REDIS_PORT", port)], **beside)
    result = await judged(
        "RedisReachable", gateway.values(name), cluster=cluster, namespace=gateway.namespace
    )
    (broker,) = of(result, "broker")
    assert broker[:2] == (Status.ERROR if reason == "ReachableOnlyInPod" else Status.FAIL, reason), broker
    if reason == "ReachableOnlyInPod":
        assert f"deployment/{name} -c " in result.remediation
        assert broker[2].startswith("broker: localhost is the gateway's own pod")


@pytest.mark.parametrize(
    ("beside", "status", "reason"),
    [
        ({"beside": [{"name": "redis-proxy", "image": "x"}]}, Status.ERROR, "ReachableOnlyInPod"),
        ({}, Status.FAIL, "NothingOnLocalhost"),
    ],
    ids=["a sidecar", "nothing"],
)
async def test_an_operator_knows_localhost_without_a_connection(
    beside: dict[str, Any], status: Status, reason: str, gateway: Gateway, cluster: KubernetesCluster
) -> None:
    gateway.made += 1
    name, port = f"gateway-{gateway.made}", str(gateway.server.port)
    pods(gateway, name, "", [value("REDIS_HOST", "localhost"), value("REDIS_PORT", port)], **beside)
    with reach.using(reach.Reach(restricted=True)):
        result = await judged(
            "RedisReachable", gateway.values(name), cluster=cluster, namespace=gateway.namespace
        )
    (broker,) = of(result, "broker")
    assert broker[:2] == (status, reason), broker


NAMELESS = ("HostUnresolvable", "DNSTimeout", "ConnectionTimeout")


@pytest.mark.parametrize("by", ["the Deployment", "a Secret"])
async def test_an_operator_tells_of_servers_that_live_objects_name_alone(
    by: str, gateway: Gateway, cluster: KubernetesCluster
) -> None:
    """The values name them too: that is no proof."""
    host = f"redis.{by[-5:].strip().lower()}.svc.cluster.local"
    data = {"stringData": {"host": host, "token": "t0ken"}}
    kept = gateway.plane.api(
        "POST",
        f"/api/v1/namespaces/{gateway.namespace}/secrets",
        {"metadata": {"generateName": "r-"}, **data},
    )["metadata"]["name"]
    named = value("REDIS_HOST", host) if by == "the Deployment" else secret("REDIS_HOST", "host", of=kept)
    token = secret("REDIS_AUTH_TOKEN", "token", of=kept)
    live = gateway.deploy([named, value("REDIS_PORT", "6379"), token])
    values = {"redisHost": host, "redisPort": 6379, "extraEnvVars": [token]}
    for name, told in ((live, True), ("absent", False)):
        with reach.using(reach.Reach(restricted=True)):
            result = await judged(
                "RedisReachable",
                gateway.values(name, **values),
                cluster=cluster,
                namespace=gateway.namespace,
            )
        (broker,) = of(result, "broker")
        assert (broker[1] in NAMELESS) == told, broker
        assert told or broker[1] in ("NotVerified", "AddressNotVerified"), broker
    result = await judged(
        "RedisReachable", gateway.values("absent", **values), cluster=cluster, namespace=gateway.namespace
    )
    assert of(result, "broker")[0][1] in NAMELESS  # a command has no limits


async def test_a_builder_that_consumes_elsewhere(gateway: Gateway, cluster: KubernetesCluster) -> None:
    """Its own environment leads to another server; another name of the same server is none."""
    with Redis() as other:
        for host, reason in (((other.host, other.port), "BuilderBrokerMismatch"), (None, "BrokerReachable")):
            place, port = host or ("localhost", gateway.server.port)
            name = gateway.deploy(gateway.host())
            env = [value("REDIS_HOST", place), value("REDIS_PORT", str(port))]
            pods(gateway, name, "-endpoint-builder", env)
            values = gateway.values(name, celeryBrokerType="redis", celery_autoscaler={"enabled": False})
            result = await judged("BrokerReachable", values, cluster=cluster, namespace=gateway.namespace)
            assert result.reason == reason, result.message
            if host:
                assert (
                    f"sends build tasks to redis://{gateway.server.host}:{gateway.server.port}/0"
                    in result.message
                )
                assert (
                    f"consumes redis://{other.host}:{other.port}/0 (REDIS_HOST in the builder"
                    in result.message
                )
                assert f"not in Deployment {name}-endpoint-builder alone" in result.remediation
