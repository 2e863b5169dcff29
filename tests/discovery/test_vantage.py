"""A whole installation seen from outside the cluster: whatever only its pods can reach is Unknown, in every check."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from mehc_checks.clients.kubernetes.api import KubernetesCluster
from mehc_checks.core.outcome import Status
from mehc_checks.engine.check import catalogue
from mehc_checks.engine.report import Found
from mehc_checks.engine.request import CheckRequest, Request, Sources, diagnose
from testbed.controlplane import ControlPlane
from testbed.helm import Helm
from testbed.installation import Tree, overlaid
from testbed.ports import free_port
from testbed.rulejudging import at
from testbed.sound import AWS, AZURE, ONPREM

ELSEWHERE = (
    "DatabaseMigrated",
    "ObjectStoreReachable",
    "PrometheusQueryable",
    "RedisReachable",
    "VllmImagePullable",
)
INFRA = "config.values.infra"
LAUNCH = "config.values.launch"


@pytest.fixture
def endpoints(control_plane: ControlPlane) -> Iterator[str]:
    name = control_plane.create_namespace()
    yield name
    control_plane.delete_namespace(name)


def placed(values: Tree, host: str, port: int) -> Tree:
    """``values`` with every server at ``host``, a closed port where it can be given."""
    return overlaid(
        values,
        at(f"{INFRA}.redis_host", host),
        at(f"{INFRA}.docker_repo_prefix", f"{host}:{port}/platform"),
        at("s3EndpointUrl", f"http://{host}:{port}"),
        at("redisHost", host),
        at(f"{INFRA}.prometheus_server_address", f"http://{host}:{port}"),
        *(
            at(f"{LAUNCH}.cache_redis_{cloud}_url", f"redis://{host}:{port}/15")
            for cloud in ("aws", "onprem")
            if values["config"]["values"]["launch"].get(f"cache_redis_{cloud}_url")
        ),
    )


@pytest.mark.parametrize(
    ("cloud", "host"),
    [
        (AWS, "127.0.0.1"),
        (AZURE, "127.0.0.1"),
        (ONPREM, "127.0.0.1"),
        (ONPREM, "redis.cache"),
        (ONPREM, "redis.cache.svc"),
        (ONPREM, "no-such-host.example.com"),
    ],
    ids=["aws", "azure", "onprem", "service", "service-svc", "typo"],
)
async def test_what_only_the_cluster_reaches_is_unknown(
    control_plane: ControlPlane,
    cluster: KubernetesCluster,
    namespace: str,
    endpoints: str,
    cloud: Tree,
    host: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    port = free_port()
    values = overlaid(
        placed(cloud, host, port),
        at(f"{LAUNCH}.endpoint_namespace", endpoints),
        at("aws.configMap.namespaces", [namespace, endpoints]),
    )
    Helm(control_plane).install("me", namespace, values)
    control_plane.api(
        "POST",
        f"/api/v1/namespaces/{namespace}/secrets",
        {
            "metadata": {"name": "llm-engine-postgres-credentials"},
            "stringData": {"database_url": f"postgresql://user:password@{host}:{port}/llm"},
        },
    )
    parameters = {"gatewayUrl": f"http://{host}:{port}"}
    request = Request(
        namespace=namespace,
        inside=False,
        timeout=timedelta(seconds=30),
        checks={"ControlPlaneReady": CheckRequest(parameters=parameters)},
    )
    report = await diagnose(catalogue().values(), request, Sources(cluster=cluster))
    results = {result.name: result for result in report.checks}
    for name in ELSEWHERE:
        found = [each for each in results[name].findings if _is_about(each, host)]
        if name == "ObjectStoreReachable" and cloud is not ONPREM:
            continue  # a cloud's own store
        if name == "RedisReachable" and cloud is AZURE:
            continue  # its cache has an address of Azure's
        assert {each.reason for each in found} == {"NotTestableFromHere"}, (name, results[name].findings)
        assert f"mehc check --in-cluster -n {namespace}" in found[0].remediation
    wrong = {
        each.reason
        for result in report.checks
        if result.name != "ConfigValid"
        for each in result.findings
        if each.status in (Status.FAIL, Status.WARN) and _is_about(each, host)
    }
    assert wrong == set()


def _is_about(found: Found, host: str) -> bool:
    return host in found.message
