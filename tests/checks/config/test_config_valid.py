"""ConfigValid on real installations: the release, the live objects and the rules, each broken in turn."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from mehc_checks.checks.config.clusterfacts import cluster_facts
from mehc_checks.checks.config.reasons import ConfigReasons
from mehc_checks.checks.config.rules.catalogue import all_rules
from mehc_checks.checks.config.rules.fault import NO_START, NOT_CREATED
from mehc_checks.checks.config.rules.rule import REGISTRY
from mehc_checks.clients.kubernetes.api import KubernetesCluster
from mehc_checks.core.clock import now
from mehc_checks.core.outcome import Severity, Status
from mehc_checks.engine.check import catalogue
from mehc_checks.engine.report import CheckResult
from mehc_checks.installation.context import Context
from mehc_checks.installation.discover import discover
from mehc_checks.installation.installation import WITHOUT_CLUSTER
from mehc_checks.installation.objects import ListedReleases
from mehc_checks.modelengine.values import Layer
from mehc_operator.connection import Access, connected
from testbed.controlplane import ControlPlane
from testbed.helm import MODEL_ENGINE, Helm, HelmError, packed, release_secret
from testbed.identity import as_account
from testbed.installation import Tree, overlaid
from testbed.judging import reported
from testbed.kwok import Kwok
from testbed.rulejudging import at
from testbed.sound import AWS, BY_CLOUD
from testbed.waiting import eventually

INFRA = "config.values.infra"
PRODUCED: set[str] = set()


@pytest.fixture(scope="module")
def helm(control_plane: ControlPlane) -> Helm:
    return Helm(control_plane)


@pytest.fixture
def endpoints(control_plane: ControlPlane) -> Iterator[str]:
    name = control_plane.create_namespace()
    yield name
    control_plane.delete_namespace(name)


@pytest.fixture
async def cluster(control_plane: ControlPlane) -> AsyncIterator[KubernetesCluster]:
    async with connected(Access(kubeconfig=str(control_plane.kubeconfig))) as api:
        yield KubernetesCluster(api)


@pytest.fixture
def values(namespace: str, endpoints: str) -> Tree:
    """Sound for this cluster, which has neither Istio nor custom metrics."""
    return overlaid(
        AWS,
        at("config.values.launch", {"endpoint_namespace": endpoints, "istio_enabled": False}),
        at("aws.configMap.namespaces", [namespace, endpoints]),
        at("virtualservice.enabled", False),
        at("destinationrule.enabled", False),
        at("autoscaling.horizontal.enabled", False),
    )


NO_ISTIO = {"S5-01": "this cluster has no Istio"}
IF_PODS_RUN = {"PodsOlderThanConfig"}
"""Found after an upgrade where KWOK is there to play pods, which is so where tests before these ones needed it."""


async def judged(
    cluster: KubernetesCluster,
    namespace: str,
    *,
    ignored: dict[str, str] | None = None,
    given: Tree | None = None,
    later: timedelta = timedelta(),
) -> CheckResult:
    """The result of the check with no input but ``given``; ``later`` is how far the clock is ahead."""
    layers = [Layer(source="spec.values", values=given or {})]
    releases = ListedReleases(cluster)
    installation = await discover(cluster, releases, namespace, given=layers)
    context = Context(
        values=installation.under(layers),
        cluster=cluster,
        namespace=namespace,
        installation=installation,
        ignored_rules=NO_ISTIO if ignored is None else ignored,
        clock=lambda: now() + later,
    )
    report = await reported([catalogue()["ConfigValid"]], context)
    result = report.checks[0]
    PRODUCED.update(found.reason for found in result.findings)
    return result


async def test_a_sound_installation(
    helm: Helm, cluster: KubernetesCluster, namespace: str, values: Tree
) -> None:
    helm.install("me", namespace, values)
    result = await judged(cluster, namespace)
    assert (result.status, result.reason) == (Status.PASS, "ConfigValid"), result.message
    assert result.message.endswith("rules hold, 1 ignored")
    assert result.evidence["rulesBroken"] == 0
    assert result.evidence["ignored"] == (
        "S5-01 (this cluster has no Istio): "
        "azure is empty, so the chart creates objects of Istio, but the cluster has no namespace istio-system, "
        "azure is empty, so the chart creates objects of Istio, but the cluster has no CRD "
        "telemetries.telemetry.istio.io, "
        "azure is empty, so the chart creates objects of Istio, but the cluster has no CRD "
        "wasmplugins.extensions.istio.io"
    )


@pytest.mark.parametrize("cloud", BY_CLOUD)
async def test_a_sound_installation_of_each_cloud(
    helm: Helm, cluster: KubernetesCluster, namespace: str, endpoints: str, cloud: str
) -> None:
    """What the live objects show agrees with what the release says, for every cloud's own values."""
    given = overlaid(
        BY_CLOUD[cloud],
        at("config.values.launch", {"endpoint_namespace": endpoints, "istio_enabled": False}),
        at("aws.configMap.namespaces", [namespace, endpoints]) if cloud == "aws" else {},
        at("virtualservice.enabled", False),
        at("destinationrule.enabled", False),
        at("autoscaling.horizontal.enabled", False),
    )
    helm.install("me", namespace, given)
    result = await judged(cluster, namespace, ignored=NO_ISTIO | {"S2-az-06": "no pull secret here"})
    assert (result.status, result.reason) == (Status.PASS, "ConfigValid"), result.message


async def test_a_broken_rule_names_value_origin_consequence_and_remedy(
    helm: Helm, cluster: KubernetesCluster, namespace: str, values: Tree
) -> None:
    helm.install("me", namespace, overlaid(values, at(f"{INFRA}.db_engine_pool_size", 10)))
    result = await judged(cluster, namespace)
    assert (result.status, result.reason) == (Status.FAIL, "PoolSizeUnusable")
    assert result.message == (
        "config.values.infra.db_engine_pool_size is 10, which SQLAlchemy gets as text: every use of the database fails "
        "(TypeError) (from Helm release me revision 1)"
    )
    assert result.remediation.startswith("Remove the key config.values.infra.db_engine_pool_size")
    assert result.docs.endswith("/docs/rules.md#poolsizeunusable")
    assert result.leader.severity is Severity.CRITICAL


async def test_the_worst_rule_leads_and_warnings_only_warn(
    helm: Helm, cluster: KubernetesCluster, namespace: str, values: Tree
) -> None:
    helm.install("me", namespace, overlaid(values, at("config.values.launch.sensitive_log_mode", False)))
    result = await judged(cluster, namespace)
    assert (result.status, result.reason) == (Status.WARN, "PayloadsLogged")
    given = at("replicaCount.builder", 0)
    result = await judged(cluster, namespace, given=given)
    assert (result.status, result.reason) == (Status.FAIL, "ReplicasMissing")
    assert (
        result.message == "replicaCount.builder is 0: no endpoint is created (from spec.values) (and 1 more)"
    )
    assert [(found.subject, found.severity) for found in result.findings] == [
        ("replicaCount.builder", Severity.CRITICAL),
        ("config.values.launch.sensitive_log_mode", Severity.WARNING),
    ]


async def test_an_ignored_rule_that_does_not_exist(
    helm: Helm, cluster: KubernetesCluster, namespace: str, values: Tree
) -> None:
    helm.install("me", namespace, values)
    result = await judged(cluster, namespace, ignored={"S9-99": "x"})
    assert (result.status, result.reason) == (Status.ERROR, "InvalidValue")
    assert result.message.startswith("spec.ignoreRules: there is no rule S9-99")


async def test_a_failed_release(helm: Helm, cluster: KubernetesCluster, namespace: str, values: Tree) -> None:
    helm.install("me", namespace, values)
    with pytest.raises(HelmError):
        helm.upgrade("me", namespace, overlaid(values, at("replicaCount.builder", -1)))
    result = await judged(cluster, namespace)
    assert result.status is Status.FAIL
    assert any(found.message.startswith("Helm release me revision 2 failed: ") for found in result.findings)
    assert "ReleaseFailed" in {found.reason for found in result.findings}
    (failed,) = (found for found in result.findings if found.reason == "ReleaseFailed")
    assert failed.explains == NOT_CREATED
    assert f"run helm upgrade me -n {namespace} again" in failed.remediation


async def test_a_release_that_never_ended(
    control_plane: ControlPlane, helm: Helm, cluster: KubernetesCluster, namespace: str, values: Tree
) -> None:
    helm.install("me", namespace, values)
    document = {
        "name": "me",
        "version": 2,
        "info": {"status": "pending-upgrade", "last_deployed": now().isoformat()},
        "chart": {"metadata": {"name": "model-engine", "version": "0.2.7"}, "values": {}},
        "config": values,
    }
    control_plane.api(
        "POST",
        f"/api/v1/namespaces/{namespace}/secrets",
        release_secret(namespace, "me", packed(document), revision=2, status="pending-upgrade"),
    )
    assert (await judged(cluster, namespace)).reason != "ReleasePending"
    result = await judged(cluster, namespace, later=timedelta(minutes=40))
    assert result.status is Status.FAIL
    assert "Helm release me revision 2 has been pending-upgrade for 40m" in result.message
    assert f"helm rollback me -n {namespace} to the last good revision" in result.remediation


def of_version(version: str, directory: Path) -> Path:
    """The testbed's chart with another version."""
    chart = shutil.copytree(MODEL_ENGINE, directory / "chart")
    described = chart / "Chart.yaml"
    described.write_text(described.read_text().replace("version: 0.2.7", f"version: {version}"))
    return chart


async def test_a_newer_chart_only_warns(
    helm: Helm, cluster: KubernetesCluster, namespace: str, values: Tree, tmp_path: Path
) -> None:
    chart = of_version("0.3.0-rc.1", tmp_path)
    helm.install("me", namespace, values, chart=chart)
    result = await judged(cluster, namespace)
    assert (result.status, result.reason) == (Status.WARN, "ChartNewer"), result.message
    assert result.message.startswith("chart 0.3.0 is newer than chart 0.2.7")
    helm.upgrade("me", namespace, overlaid(values, at(f"{INFRA}.db_engine_pool_size", 10)), chart=chart)
    result = await judged(cluster, namespace)
    assert result.status is Status.WARN
    assert {found.reason for found in result.findings} - IF_PODS_RUN == {"ChartNewer", "PoolSizeUnusable"}


async def test_variables_of_a_newer_chart_are_no_drift(
    control_plane: ControlPlane, helm: Helm, cluster: KubernetesCluster, namespace: str, values: Tree
) -> None:
    """A chart of the same version that configures TLS apart from authentication is a newer one."""
    helm.install("me", namespace, values)
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments/model-engine"
    pod = control_plane.api("GET", path)["spec"]["template"]["spec"]
    added = [{"name": "REDIS_ENABLE_TLS", "value": "false"}, {"name": "NOT_KNOWN_YET", "value": "1"}]
    pod["containers"][0]["env"] = [*pod["containers"][0].get("env", ()), *added]
    changed = {"spec": {"template": {"spec": {"containers": pod["containers"]}}}}
    control_plane.api("PATCH", path, changed, content_type="application/merge-patch+json")
    result = await judged(cluster, namespace)
    assert [(found.status, found.reason) for found in result.findings] == [(Status.WARN, "ChartNewer")]
    assert result.message.startswith("a chart that sets REDIS_ENABLE_TLS is newer than chart 0.2.7")


async def test_an_older_chart_warns_about_its_keys_and_fields(
    helm: Helm, cluster: KubernetesCluster, namespace: str, values: Tree, tmp_path: Path
) -> None:
    """What no version accepts still fails."""
    chart = of_version("0.2.5", tmp_path)
    helm.install("me", namespace, values, chart=chart)
    result = await judged(cluster, namespace)
    assert (result.status, result.reason) == (Status.PASS, "ConfigValid"), result.message
    assert result.evidence["platform"].startswith(
        "chart 0.2.5 (label helm.sh/chart of Deployment model-engine)"
    )
    without = overlaid(values)
    del without["config"]["values"]["launch"]["tgi_repository"]
    helm.upgrade("me", namespace, without, chart=chart)
    result = await judged(cluster, namespace)
    assert {found.status for found in result.findings} == {Status.WARN}
    assert {found.reason for found in result.findings} - IF_PODS_RUN == {"ChartOlder", "LaunchFieldMissing"}
    helm.upgrade("me", namespace, overlaid(without, at(f"{INFRA}.db_engine_pool_size", 10)), chart=chart)
    result = await judged(cluster, namespace)
    assert (result.status, result.reason) == (Status.FAIL, "PoolSizeUnusable")


async def test_config_maps_missing_unreadable_and_different(
    control_plane: ControlPlane,
    helm: Helm,
    cluster: KubernetesCluster,
    namespace: str,
    endpoints: str,
    values: Tree,
) -> None:
    helm.install("me", namespace, values)
    name = "model-engine-service-config"
    path = f"/api/v1/namespaces/{endpoints}/configmaps/{name}"
    data = control_plane.api("GET", path)["data"]

    def put(text: str) -> None:
        changed = {"data": {**data, "infra_service_config": text}}
        control_plane.api("PATCH", path, changed, content_type="application/merge-patch+json")

    put(data["infra_service_config"].replace("my-redis", "old-redis"))
    result = await judged(cluster, namespace)
    assert (result.status, result.reason) == (Status.WARN, "ConfigMapsDiffer")
    assert result.message == (
        f"config.values.infra.redis_host differs between ConfigMap {name} of namespace {namespace} and that of "
        f"namespace {endpoints}"
    )
    put("{ not: yaml")
    result = await judged(cluster, namespace)
    assert (result.status, result.reason) == (Status.FAIL, "ConfigMapUnreadable")
    assert (
        f"in namespace {endpoints} cannot be read: its key infra_service_config is not YAML" in result.message
    )
    control_plane.kubectl("delete", "configmap", "-n", endpoints, name)
    result = await judged(cluster, namespace)
    assert (result.status, result.reason) == (Status.FAIL, "ConfigMapMissing")
    assert [found.explains for found in result.findings] == [("EndpointsReady/VolumeSourceMissing",)]
    assert f"ConfigMap {name} in namespace {endpoints} does not exist" in result.message
    assert f"Create the namespace {endpoints} if it is missing" in result.remediation
    control_plane.kubectl("delete", "configmap", "-n", namespace, name)
    result = await judged(cluster, namespace)
    explained = {failure for found in result.findings for failure in found.explains}
    assert explained == {*NO_START, "ControlPlaneReady/ObjectMissing", "EndpointsReady/VolumeSourceMissing"}


async def test_drift(
    control_plane: ControlPlane,
    helm: Helm,
    cluster: KubernetesCluster,
    namespace: str,
    endpoints: str,
    values: Tree,
) -> None:
    helm.install("me", namespace, values)
    for where in (namespace, endpoints):
        path = f"/api/v1/namespaces/{where}/configmaps/model-engine-service-config"
        data = control_plane.api("GET", path)["data"]
        data["infra_service_config"] = data["infra_service_config"].replace(
            "my-redis.use1", "my-redis-2.use1"
        )
        control_plane.api("PATCH", path, {"data": data}, content_type="application/merge-patch+json")
    result = await judged(cluster, namespace)
    assert (result.status, result.reason) == (Status.WARN, "Drift")
    assert result.message == (
        "config.values.infra.redis_host is my-redis-2.use1.cache.amazonaws.com in ConfigMap "
        "model-engine-service-config, but my-redis.use1.cache.amazonaws.com in the release"
    )


async def test_a_rollback_leaves_the_configuration_behind(
    helm: Helm, cluster: KubernetesCluster, namespace: str, values: Tree
) -> None:
    """The chart's ConfigMap is a hook of install and upgrade; Helm runs neither on a rollback."""
    helm.install("me", namespace, values)
    helm.upgrade("me", namespace, overlaid(values, at(f"{INFRA}.s3_bucket", "new-bucket")))
    helm.run("rollback", "me", "1", "-n", namespace)
    result = await judged(cluster, namespace)
    assert (result.status, result.reason) == (Status.WARN, "Drift"), result.message
    assert "s3_bucket is new-bucket in ConfigMap" in result.message
    assert "my-bucket in the release" in result.message


async def test_an_upgrade_does_not_change_the_frameworks_tags(
    helm: Helm, cluster: KubernetesCluster, namespace: str, values: Tree
) -> None:
    """The chart's ConfigMap is a hook of install only."""
    helm.install("me", namespace, values)
    helm.upgrade("me", namespace, overlaid(values, at("inferenceFramework.vllm", "0.11.1")))
    result = await judged(cluster, namespace)
    assert (result.status, result.reason) == (Status.WARN, "FrameworkTagDrift"), result.message
    assert result.message == (
        "inferenceFramework.vllm is latest in ConfigMap model-engine-inference-framework-latest-config, "
        "but 0.11.1 in the release"
    )
    assert result.remediation == (
        "Run kubectl patch configmap model-engine-inference-framework-latest-config "
        f'-n {namespace} --type merge -p \'{{"data": {{"vllm": "0.11.1"}}}}\'.'
    )


async def test_no_secret_of_a_drifted_url_is_shown(
    control_plane: ControlPlane,
    helm: Helm,
    cluster: KubernetesCluster,
    namespace: str,
    endpoints: str,
    values: Tree,
) -> None:
    url = "config.values.launch.cache_redis_aws_url"
    helm.install("me", namespace, overlaid(values, at(url, "redis://:first-word@r:6379/0")))
    path = f"/api/v1/namespaces/{namespace}/configmaps/model-engine-service-config"
    data = control_plane.api("GET", path)["data"]
    data["launch_service_config"] = data["launch_service_config"].replace("first-word", "second-word")
    control_plane.api("PATCH", path, {"data": data}, content_type="application/merge-patch+json")
    result = await judged(cluster, namespace)
    assert "cache_redis_aws_url" in result.message
    assert "first-word" not in repr(result)
    assert "second-word" not in repr(result)


async def test_pods_older_than_their_configuration(
    control_plane: ControlPlane,
    kwok: Kwok,
    helm: Helm,
    cluster: KubernetesCluster,
    namespace: str,
    values: Tree,
) -> None:
    helm.install("me", namespace, values)
    control_plane.kubectl("rollout", "status", "-n", namespace, "deployment/model-engine", "--timeout=60s")
    await asyncio.sleep(1.1)  # times have whole seconds
    helm.upgrade("me", namespace, values)  # writes the ConfigMap again, and nothing in it has changed
    result = await judged(cluster, namespace)
    assert result.reason == "ConfigValid", result.message
    helm.upgrade("me", namespace, overlaid(values, at(f"{INFRA}.s3_bucket", "another-bucket")))
    result = await judged(cluster, namespace)
    assert (result.status, result.reason) == (Status.WARN, "PodsOlderThanConfig"), result.message
    assert "4 pods started before the configuration changed at" in result.message
    assert "; changed: config.values.infra.s3_bucket" in result.message
    assert "kubectl rollout restart deployment model-engine model-engine-cacher" in result.remediation
    await asyncio.sleep(1.1)
    for name in ("model-engine", "model-engine-cacher", "model-engine-endpoint-builder"):
        control_plane.kubectl("rollout", "restart", "-n", namespace, f"deployment/{name}")
    for name in ("model-engine", "model-engine-cacher", "model-engine-endpoint-builder"):
        control_plane.kubectl("rollout", "status", "-n", namespace, f"deployment/{name}", "--timeout=60s")
    pods = f"/api/v1/namespaces/{namespace}/pods?labelSelector=product%3Dmodel-engine"
    eventually(lambda: len(control_plane.api("GET", pods)["items"]), lambda count: count == 4)
    result = await judged(cluster, namespace)
    assert result.reason == "ConfigValid", result.message


async def test_facts_of_the_cluster(
    control_plane: ControlPlane,
    kwok: Kwok,
    helm: Helm,
    cluster: KubernetesCluster,
    namespace: str,
    endpoints: str,
) -> None:
    """What exists is known to exist, what does not is known not to."""
    helm.install("me", namespace, overlaid(AWS, at("config.values.launch.endpoint_namespace", endpoints)))
    hpa = {
        "metadata": {"name": "launch-endpoint-id-1"},
        "spec": {
            "maxReplicas": 1,
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "x"},
        },
    }
    enforced = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}
    merge = "application/merge-patch+json"
    control_plane.api("PATCH", f"/api/v1/namespaces/{endpoints}", enforced, content_type=merge)
    path = f"/apis/autoscaling/v2/namespaces/{endpoints}/horizontalpodautoscalers"
    control_plane.api("POST", path, hpa)
    selector = {
        "kubernetes.io/os": "linux",
        "node-lifecycle": None,
    }  # the chart's default comes back with the map
    given = Layer(source="spec.values", values={"nodeSelector": selector})
    installation = await discover(cluster, ListedReleases(cluster), namespace, given=[given])
    context = Context(
        values=installation.under([given]), cluster=cluster, namespace=namespace, installation=installation
    )
    facts = await cluster_facts(context)
    assert facts.endpoint_namespace_exists is True
    assert (facts.pod_security, facts.own_pod_security) == ("restricted", "")
    assert set(facts.priority_classes) == {"model-engine-high-priority", "model-engine-default-priority"}
    assert facts.istio_namespace_exists is False
    assert facts.service_accounts == {f"{endpoints}/model-engine-endpoints": True}
    assert facts.gateways == {"default/internal-gateway": False}
    assert facts.selected_nodes
    assert facts.request_metric is False
    assert facts.scaled_twice == ()
    assert facts.crds is not None
    assert "virtualservices.networking.istio.io" not in facts.crds


async def test_without_permission_to_read_the_release(
    control_plane: ControlPlane, helm: Helm, namespace: str, values: Tree
) -> None:
    helm.install("me", namespace, values)
    rules = [
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]},
        {"apiGroups": ["apps"], "resources": ["deployments", "statefulsets"], "verbs": ["get", "list"]},
    ]
    async with as_account(control_plane, namespace, rules) as cluster:
        result = await judged(cluster, namespace, ignored={})
    assert (result.status, result.reason) == (Status.ERROR, "ReleaseNotRead")
    assert (
        f"could not read the values of the Helm release: not allowed to list secrets in namespace {namespace}"
        in (result.message)
    )
    assert "spec.valuesFrom" in result.remediation
    assert int(str(result.evidence["rulesSkipped"])) > 20


async def test_without_a_cluster_the_values_alone_are_judged() -> None:
    context = Context(values=WITHOUT_CLUSTER.under([Layer(source="values.yaml", values=AWS)]))
    report = await reported([catalogue()["ConfigValid"]], context)
    assert (report.checks[0].status, report.checks[0].reason) == (Status.PASS, "ConfigValid")


async def test_a_rule_that_crashes_is_no_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(_: Any) -> Any:
        raise RuntimeError("secret text")

    monkeypatch.setitem(REGISTRY, "S5-04", replace(REGISTRY["S5-04"], judge=crash))
    context = Context(values=WITHOUT_CLUSTER.under([Layer(source="values.yaml", values=AWS)]))
    report = await reported([catalogue()["ConfigValid"]], context)
    result = report.checks[0]
    PRODUCED.update(found.reason for found in result.findings)
    assert (result.status, result.reason) == (Status.ERROR, "RuleCrashed")
    assert result.message == "rule S5-04 crashed (RuntimeError)"


def test_every_reason_has_a_case() -> None:
    """Each rule's own reason is its name; tests/rules holds that each rule fires."""
    declared = {reason.name for reason in ConfigReasons.all()}
    rules = {fault.name for rule in all_rules().values() for fault in rule.faults}
    assert declared - rules == (PRODUCED & declared) - rules
