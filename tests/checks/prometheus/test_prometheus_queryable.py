"""PrometheusQueryable on real servers and a real API server: every broken installation first, then the sound ones."""

import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mehc_checks.checks.prometheus.reasons import PrometheusReasons
from mehc_checks.clients.kubernetes.api import KubernetesCluster
from mehc_checks.core.outcome import Status
from mehc_checks.engine.report import CheckResult
from mehc_checks.installation.metricsapi import CUSTOM_METRICS, EXTERNAL_METRICS
from mehc_checks.modelengine.configuration import Configuration
from mehc_checks.modelengine.scaling import (
    CUSTOM_METRIC,
    REDIS_TRIGGER_AUTHENTICATION,
    resource_name,
)
from mehc_checks.modelengine.values import Layer, Values
from mehc_operator.connection import Access, connected
from testbed import keda, ports
from testbed.aggregation import API_SERVICES, register
from testbed.controlplane import ApiError, ControlPlane
from testbed.httpserver import Reply, Request, ScriptedServer
from testbed.installation import overlaid
from testbed.judging import judged
from testbed.keda import METRICS_SERVER, OPERATOR
from testbed.pki import CertificateAuthority
from testbed.prometheusfaults import BUSY, CASES, PASSWORD, USER, Case, Stage, always, values
from testbed.scaledobjects import scaled_object
from testbed.waiting import eventually

CHECK = "PrometheusQueryable"
DEPLOYMENTS = f"/apis/apps/v1/namespaces/{keda.NAMESPACE}/deployments"
MERGE = "application/merge-patch+json"

Tree = dict[str, Any]


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with Stage() as everything:
        yield everything


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_each_address_is_judged(case: Case, stage: Stage) -> None:
    result = await judged(
        CHECK,
        values(case.address(stage)),
        parameters={"caBundle": stage.ca.ca_pem},
        seconds=case.seconds,
    )
    assert (result.status, result.reason) == (case.status, case.reason), result
    assert case.says in result.message
    assert "{" not in result.remediation
    assert ("KEDA_HTTP_DEFAULT_TIMEOUT" in result.remediation) is (case.reason == "SlowerThanKeda")
    assert PASSWORD not in str(result)


class Cluster(contextlib.ExitStack):
    """An API server of our own: KEDA's objects are cluster-wide. There is a sound KEDA in it, by its objects.

    No controller runs, so that each Deployment's status is the one that a case stages.
    """

    def __init__(self) -> None:
        super().__init__()
        self.plane = ControlPlane()
        self.ca = CertificateAuthority()

    def __enter__(self) -> "Cluster":
        super().__enter__()
        self.callback(self.plane.close)
        try:
            self.plane.etcd.start()
            self.plane.apiserver.start()
            keda.install(self.plane)
            for name in (OPERATOR, METRICS_SERVER):
                self.deployment(name)
            self.external = self.serve(always(200, b"{}"))
            self.api_service(EXTERNAL_METRICS, METRICS_SERVER, self.external)
        except BaseException:
            self.close()
            raise
        return self

    def serve(self, script: Callable[[Request], Reply]) -> int:
        """The port of an API server behind the API server."""
        server = self.enter_context(ScriptedServer(script, certificate=self.ca.issue()))
        return int(server.address.rpartition(":")[2])

    def namespace(self) -> str:
        name = f"endpoints-{time.monotonic_ns()}"
        self.plane.api("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
        return name

    def deployment(self, name: str, environment: dict[str, str] | None = None) -> None:
        manifest = keda.deployment(name, environment)
        self.plane.api("POST", DEPLOYMENTS, manifest)
        self.ready(name, 1)

    def ready(self, name: str, replicas: int) -> None:
        status = {"replicas": 1, "readyReplicas": replicas, "availableReplicas": replicas}
        self.plane.api("PATCH", f"{DEPLOYMENTS}/{name}/status", {"status": status}, content_type=MERGE)

    def api_service(self, name: str, service: str, port: int, *, available: bool = True) -> None:
        """An aggregated API on loopback."""
        register(self.plane, name, namespace=keda.NAMESPACE, service=service, port=port, available=available)

    def remove(self, path: str) -> None:
        with contextlib.suppress(ApiError):
            self.plane.api("DELETE", path)


@dataclass(kw_only=True)
class Ask:
    """One installation in the cluster, and how to put the cluster right again afterwards."""

    cluster: Cluster
    stage: Stage
    namespace: str
    values: Tree
    undo: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    parameters: Tree = field(default_factory=dict)

    def overlay(self, tree: Tree) -> None:
        self.values = overlaid(self.values, tree)

    def scaled(self, endpoint_id: str = BUSY, *, address: str | None = None, **conditions: str) -> str:
        """A ScaledObject, by default as the platform makes it, with these conditions ("True" or "False: Reason")."""
        own = self.values if address is None else values(address)
        merged = Configuration(Values.merged([Layer(source="test", values=own)]))
        manifest = scaled_object(merged, endpoint_id, namespace=self.namespace)
        path = f"/apis/keda.sh/v1alpha1/namespaces/{self.namespace}/scaledobjects"
        self.cluster.plane.api("POST", path, manifest)
        if conditions:
            listed = []
            for kind, text in conditions.items():
                status, _, reason = text.partition(": ")
                listed.append({"type": kind, "status": status, "reason": reason or "Staged"})
            name = manifest["metadata"]["name"]
            patch = {"status": {"conditions": listed}}
            self.cluster.plane.api("PATCH", f"{path}/{name}/status", patch, content_type=MERGE)
        return str(manifest["metadata"]["name"])

    def event(self, name: str) -> None:
        """What KEDA reports of a failing trigger."""
        moment = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        body = {
            "metadata": {"name": f"{name}.{time.monotonic_ns()}", "namespace": self.namespace},
            "eventTime": moment,
            "type": "Warning",
            "reason": "KEDAScalerFailed",
            "action": "KEDAScalerFailed",
            "reportingController": "keda-operator",
            "reportingInstance": "keda-operator-0",
            "note": "prometheus query api returned error. status: 503",
            "regarding": {"kind": "ScaledObject", "name": name, "namespace": self.namespace},
        }
        self.cluster.plane.api("POST", f"/apis/events.k8s.io/v1/namespaces/{self.namespace}/events", body)

    def autoscaler(
        self, name: str, target: str, *, metric: str = "", failing: str = "", most: int = 2
    ) -> None:
        """A HorizontalPodAutoscaler, by a metric of pods; ``failing`` is why it does not read it, for an hour now."""
        spec: Tree = {
            "maxReplicas": most,
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": target},
        }
        if metric:
            pods = {"metric": {"name": metric}, "target": {"type": "AverageValue", "averageValue": "2"}}
            spec["metrics"] = [{"type": "Pods", "pods": pods}]
        path = f"/apis/autoscaling/v2/namespaces/{self.namespace}/horizontalpodautoscalers"
        self.cluster.plane.api("POST", path, {"metadata": {"name": name}, "spec": spec})
        if failing:
            since = (datetime.now(UTC) - timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
            condition = {
                "type": "ScalingActive",
                "status": "False",
                "reason": failing,
                "lastTransitionTime": since,
            }
            status = {"desiredReplicas": 1, "currentMetrics": None, "conditions": [condition]}
            self.cluster.plane.api("PATCH", f"{path}/{name}/status", {"status": status}, content_type=MERGE)

    def endpoint_autoscaler(self, endpoint_id: str = "steady", **words: Any) -> None:
        """As the platform makes it for an endpoint with min_workers above 0."""
        name = resource_name(endpoint_id)
        self.autoscaler(name, name, metric=CUSTOM_METRIC, **words)


def nothing(_: Ask) -> None:
    """As it is."""


def with_traffic(ask: Ask) -> None:
    ask.scaled(Ready="True: ScaledObjectReady", Fallback="False")
    ask.autoscaler(f"keda-hpa-{resource_name(BUSY)}", resource_name(BUSY))
    ask.autoscaler("somebody-else", "something-else")


def new_endpoint(ask: Ask) -> None:
    ask.scaled("quiet", Ready="Unknown", Fallback="Unknown")


def no_crd(ask: Ask) -> None:
    name = "triggerauthentications.keda.sh"
    plane = ask.cluster.plane
    plane.kubectl("delete", "crd", name)
    source = keda.custom_resource_definitions() / "keda.sh_triggerauthentications.yaml"

    def restore() -> None:
        plane.kubectl("create", "-f", source)
        plane.wait_established()
        eventually(
            lambda: plane.api("GET", "/apis/keda.sh/v1alpha1"),
            lambda found: "triggerauthentications" in str(found["resources"]),
        )

    ask.undo.callback(restore)


def not_ready(name: str) -> Callable[[Ask], None]:
    def break_it(ask: Ask) -> None:
        ask.undo.callback(ask.cluster.ready, name, 1)
        ask.cluster.ready(name, 0)

    return break_it


def not_there(name: str) -> Callable[[Ask], None]:
    def break_it(ask: Ask) -> None:
        ask.undo.callback(ask.cluster.deployment, name)
        ask.cluster.remove(f"{DEPLOYMENTS}/{name}")

    return break_it


def elsewhere(ask: Ask) -> None:
    ask.parameters["kedaNamespace"] = ask.namespace
    # The APIService would lead to the right one
    no_external_metrics(ask)


def slower_than_keda(ask: Ask) -> None:
    ask.undo.callback(ask.cluster.deployment, OPERATOR)
    ask.undo.callback(ask.cluster.remove, f"{DEPLOYMENTS}/{OPERATOR}")
    ask.cluster.remove(f"{DEPLOYMENTS}/{OPERATOR}")
    ask.cluster.deployment(OPERATOR, {"KEDA_HTTP_DEFAULT_TIMEOUT": "100"})
    ask.overlay(values(ask.stage.relay(delay=0.2)))


def no_external_metrics(ask: Ask) -> None:
    ask.undo.callback(ask.cluster.api_service, EXTERNAL_METRICS, METRICS_SERVER, ask.cluster.external)
    ask.cluster.remove(f"{API_SERVICES}/{EXTERNAL_METRICS}")


def broken_external_metrics(ask: Ask) -> None:
    no_external_metrics(ask)
    _, port = ask.undo.enter_context(ports.refused_port())
    ask.cluster.api_service(EXTERNAL_METRICS, METRICS_SERVER, port, available=False)


def foreign_external_metrics(ask: Ask) -> None:
    no_external_metrics(ask)
    ask.cluster.api_service(EXTERNAL_METRICS, "datadog-cluster-agent", ask.cluster.external)


def refused_by_keda(ask: Ask) -> None:
    ask.scaled(Ready="False: ScaledObjectCheckFailed")


def partial(ask: Ask) -> None:
    ask.scaled(Ready="Unknown: PartialTriggerError")


def fallen_back(ask: Ask) -> None:
    ask.scaled(Ready="True", Fallback="True")


def moved(ask: Ask) -> None:
    ask.scaled("first", address="http://old-prometheus:9090", Ready="True")
    ask.scaled("second", address="http://old-prometheus:9090", Ready="True")


def made_with_none(ask: Ask) -> None:
    ask.scaled(address="", Ready="True")


def address_removed(ask: Ask) -> None:
    ask.scaled(Ready="True")
    ask.values["config"]["values"]["infra"] = {}


def reported(ask: Ask) -> None:
    ask.event(ask.scaled(Ready="True"))


def enable_auth(ask: Ask) -> None:
    ask.overlay({"redis": {"enableAuth": True}})


def two_scalers(ask: Ask) -> None:
    ask.autoscaler(resource_name(BUSY), ask.scaled(Ready="True"))


def gateway_scales(ask: Ask) -> None:
    ask.overlay({"autoscaling": {"horizontal": {"enabled": True}}})


def gateway_scales_by_quoted_text(ask: Ask) -> None:
    ask.overlay({"autoscaling": {"horizontal": {"enabled": "false"}}})


def endpoints_scale(ask: Ask) -> None:
    ask.overlay({"autoscaling": {"horizontal": {"enabled": False}}})
    ask.endpoint_autoscaler("one")
    ask.endpoint_autoscaler("two")


def nothing_to_scale(ask: Ask) -> None:
    """Neither has room, scales by the metric, or is an endpoint's."""
    ask.endpoint_autoscaler("fixed", most=1)
    ask.autoscaler(resource_name("by-cpu"), resource_name("by-cpu"))
    ask.autoscaler("somebody-elses", "somebody-elses", metric=CUSTOM_METRIC)


def adapter_knows_others(ask: Ask) -> None:
    adapter("pods/cpu_usage")(ask)
    gateway_does_not_scale(ask)
    ask.endpoint_autoscaler()


def adapter_finds_nothing(ask: Ask) -> None:
    adapter(f"pods/{CUSTOM_METRIC}")(ask)
    gateway_does_not_scale(ask)
    ask.endpoint_autoscaler(failing="FailedGetPodsMetric")


def endpoints_scale_by_an_adapter(ask: Ask) -> None:
    adapter(f"pods/{CUSTOM_METRIC}")(ask)
    gateway_does_not_scale(ask)
    ask.endpoint_autoscaler()


def gateway_does_not_scale(ask: Ask) -> None:
    ask.overlay({"autoscaling": {"horizontal": {"enabled": False}}})


def adapter(*metrics: str) -> Callable[[Ask], None]:
    resources = [
        {"name": metric, "namespaced": True, "kind": "MetricValueList", "verbs": ["get"]}
        for metric in metrics
    ]
    listed = {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": "custom.metrics.k8s.io/v1beta1",
        "resources": resources,
    }

    def serve(ask: Ask) -> None:
        gateway_scales(ask)
        port = ask.cluster.serve(always(200, json.dumps(listed).encode(), Content_Type="application/json"))
        ask.undo.callback(ask.cluster.remove, f"{API_SERVICES}/{CUSTOM_METRICS}")
        ask.cluster.api_service(CUSTOM_METRICS, "adapter", port)

    return serve


def broken_adapter(ask: Ask) -> None:
    gateway_scales(ask)
    _, port = ask.undo.enter_context(ports.refused_port())
    ask.undo.callback(ask.cluster.remove, f"{API_SERVICES}/{CUSTOM_METRICS}")
    ask.cluster.api_service(CUSTOM_METRICS, "adapter", port, available=False)


def too_many_samples_for_us(ask: Ask) -> None:
    ask.scaled("nobody", address=ask.stage.limited.url(), Ready="True")
    ask.overlay(values(ask.stage.limited.url()))


def with_credentials(ask: Ask) -> None:
    ask.overlay(values(ask.stage.secured.url(user=USER, password=PASSWORD)))
    ask.scaled(Ready="True")


def somebody_elses(ask: Ask) -> None:
    ask.overlay({"config": {"values": {"launch": {"endpoint_namespace": "kube-system"}}}})


@dataclass(frozen=True, kw_only=True)
class KedaCase:
    name: str
    reason: str
    stage: Callable[[Ask], None]
    status: Status = Status.FAIL
    says: str = ""


def bad(name: str, reason: str, stage: Callable[[Ask], None], says: str = "") -> KedaCase:
    return KedaCase(name=name, reason=reason, stage=stage, says=says)


def warns(name: str, reason: str, stage: Callable[[Ask], None], says: str = "") -> KedaCase:
    return KedaCase(name=name, reason=reason, stage=stage, says=says, status=Status.WARN)


def unknown(name: str, reason: str, stage: Callable[[Ask], None], says: str = "") -> KedaCase:
    return KedaCase(name=name, reason=reason, stage=stage, says=says, status=Status.ERROR)


def good(name: str, stage: Callable[[Ask], None], says: str = "") -> KedaCase:
    return KedaCase(name=name, reason="Queryable", stage=stage, says=says, status=Status.PASS)


KEDA_CASES = [
    bad("no CRD", "KedaNotInstalled", no_crd, "triggerauthentications.keda.sh"),
    bad("operator not ready", "KedaOperatorNotReady", not_ready(OPERATOR), "0 of 1"),
    bad("no operator", "KedaOperatorNotReady", not_there(OPERATOR), "no Deployment"),
    bad("operator elsewhere", "KedaOperatorNotReady", elsewhere, "no Deployment"),
    bad("metrics server not ready", "KedaMetricsServerNotReady", not_ready(METRICS_SERVER), "0 of 1"),
    bad("no metrics server", "KedaMetricsServerNotReady", not_there(METRICS_SERVER)),
    bad("KEDA in a hurry", "SlowerThanKeda", slower_than_keda, "KEDA gives up after 0.1 s"),
    bad("no external metrics", "ExternalMetricsUnavailable", no_external_metrics, "does not exist"),
    bad("external metrics fail", "ExternalMetricsUnavailable", broken_external_metrics, "not available"),
    bad("other external metrics", "ExternalMetricsTaken", foreign_external_metrics, "datadog-cluster-agent"),
    bad("refused by KEDA", "ScaledObjectNotReady", refused_by_keda, "ScaledObjectCheckFailed"),
    bad("some triggers fail", "ScaledObjectNotReady", partial, "PartialTriggerError"),
    bad("fallen back", "ScaledObjectFallback", fallen_back),
    bad("moved", "StaleServerAddress", moved, "2 ScaledObjects (launch-endpoint-id-first, …) are using"),
    bad("made with no address", "StaleServerAddress", made_with_none),
    bad("address removed", "PrometheusAddressUnset", address_removed, "dummy-value"),
    bad(
        "no TriggerAuthentication", "TriggerAuthenticationMissing", enable_auth, REDIS_TRIGGER_AUTHENTICATION
    ),
    bad("two scalers", "AutoscalerConflict", two_scalers),
    warns("lately failing", "TriggerFailing", reported),
    warns("no adapter", "CustomMetricsUnavailable", gateway_scales, "does not exist"),
    warns("adapter fails", "CustomMetricsUnavailable", broken_adapter, "not available"),
    warns("metric missing", "CustomMetricMissing", adapter("pods/cpu_usage")),
    warns("no adapter, quoted", "CustomMetricsUnavailable", gateway_scales_by_quoted_text, "the gateway's"),
    bad(
        "no adapter for endpoints",
        "CustomMetricsUnavailable",
        endpoints_scale,
        "2 HorizontalPodAutoscalers of endpoints (launch-endpoint-id-one, …)",
    ),
    bad(
        "metric of endpoints missing",
        "CustomMetricMissing",
        adapter_knows_others,
        "launch-endpoint-id-steady",
    ),
    warns(
        "metric of endpoints not found",
        "AutoscalerMetricFailing",
        adapter_finds_nothing,
        "cannot read it (FailedGetPodsMetric)",
    ),
    good("nothing to scale", nothing_to_scale),
    good("endpoints scale", endpoints_scale_by_an_adapter),
    unknown("limited server", "IstioSeriesUnknown", too_many_samples_for_us, "execution"),
    unknown("somebody else's namespace", "EndpointNamespaceNotVerified", somebody_elses, "not verified"),
    good("nothing yet", nothing, "which is normal"),
    good("traffic", with_traffic, f"for {resource_name(BUSY)}"),
    good("new endpoint", new_endpoint, "which is normal"),
    good("adapter", adapter("pods/request-concurrency-average", "pods/cpu_usage")),
    good("credentials in the address", with_credentials),
]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster() as everything:
        yield everything


@pytest.fixture(scope="module")
async def api(cluster: Cluster) -> AsyncIterator[KubernetesCluster]:
    async with connected(Access(kubeconfig=str(cluster.plane.kubeconfig))) as client:
        yield KubernetesCluster(client)


@pytest.fixture
def ask(cluster: Cluster, stage: Stage) -> Iterator[Ask]:
    """A sound installation."""
    with contextlib.ExitStack() as undo:
        yield Ask(
            cluster=cluster,
            stage=stage,
            namespace=cluster.namespace(),
            values=values(stage.sound.url()),
            parameters={"caBundle": stage.ca.ca_pem},
            undo=undo,
        )


async def judge(ask: Ask, api: KubernetesCluster) -> CheckResult:
    return await judged(CHECK, ask.values, cluster=api, namespace=ask.namespace, parameters=ask.parameters)


@pytest.mark.parametrize("case", KEDA_CASES, ids=lambda case: case.name)
async def test_each_installation_is_judged(case: KedaCase, ask: Ask, api: KubernetesCluster) -> None:
    case.stage(ask)
    result = await judge(ask, api)
    assert case.reason in {found.reason for found in result.findings}, result
    assert result.status is case.status, result
    assert any(case.says in found.message for found in result.findings)
    assert "{" not in result.remediation
    assert PASSWORD not in str(result)


async def test_what_may_not_be_read_hides_nothing_else(ask: Ask, cluster: Cluster) -> None:
    ask.scaled(address="http://old-prometheus:9090")
    kubeconfig = cluster.plane.service_account_kubeconfig(ask.namespace, "reader")
    rule = {"apiGroups": ["keda.sh"], "resources": ["scaledobjects"], "verbs": ["list"]}
    rbac = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{ask.namespace}"
    cluster.plane.api("POST", f"{rbac}/roles", {"metadata": {"name": "reader"}, "rules": [rule]})
    binding = {
        "metadata": {"name": "reader"},
        "subjects": [{"kind": "ServiceAccount", "name": "reader", "namespace": ask.namespace}],
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"},
    }
    cluster.plane.api("POST", f"{rbac}/rolebindings", binding)
    async with connected(Access(kubeconfig=str(kubeconfig))) as client:
        result = await judge(ask, KubernetesCluster(client))
    assert (result.status, result.reason) == (Status.FAIL, "StaleServerAddress")
    refused = {found.message for found in result.findings if found.reason == "IncompleteData"}
    assert refused == {
        f"not allowed to list events in namespace {ask.namespace}",
        f"not allowed to list horizontalpodautoscalers.autoscaling in namespace {ask.namespace}",
        "not allowed to list deployments.apps in namespace keda",
        "not allowed to list deployments.apps in namespace kube-system",
        f'not allowed to get apiservices.apiregistration.k8s.io "{EXTERNAL_METRICS}" in the whole cluster',
    }
    assert "Queryable" in {found.reason for found in result.findings}


async def test_requests_do_not_grow_with_the_number_of_endpoints(ask: Ask, api: KubernetesCluster) -> None:
    async def requests() -> int:
        paths: list[str] = []

        class Counting(KubernetesCluster):
            async def get(self, path: str, **query: str) -> Any:
                paths.append(path)
                return await api.get(path, **query)

        await judge(ask, Counting(None))  # type: ignore[arg-type]
        return len(paths)

    ask.scaled("one")
    before = await requests()
    for number in range(20):
        ask.scaled(f"more{number}")
    assert await requests() == before <= 7


async def test_a_certificate_authority_comes_from_a_config_map(ask: Ask, api: KubernetesCluster) -> None:
    ask.overlay(values(ask.stage.private.url()))
    ask.parameters = {"caConfigMap": "trust"}
    missing = await judge(ask, api)
    assert (missing.status, missing.reason) == (Status.ERROR, "InvalidValue")
    manifest = {"metadata": {"name": "trust"}, "data": {"ca.crt": ask.stage.ca.ca_pem}}
    ask.cluster.plane.api("POST", f"/api/v1/namespaces/{ask.namespace}/configmaps", manifest)
    assert (await judge(ask, api)).status is Status.PASS


async def test_a_bundle_that_is_none_is_refused(stage: Stage) -> None:
    result = await judged(CHECK, values(stage.sound.url()), parameters={"caBundle": "no certificate"})
    assert (result.status, result.reason) == (Status.ERROR, "InvalidValue")
    assert "parameters.caBundle" in result.message


def test_every_reason_has_a_case() -> None:
    elsewhere = {"EndpointNamespaceNotVerified"}
    shown = {case.reason for case in (*CASES, *KEDA_CASES)} - elsewhere
    never_on_loopback = {PrometheusReasons.DNS_TIMEOUT.name, PrometheusReasons.HOST_UNREACHABLE.name}
    assert shown | never_on_loopback == {reason.name for reason in PrometheusReasons.all()}
