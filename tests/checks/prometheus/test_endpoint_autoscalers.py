"""Endpoints that scale by the custom metric, under the real controller of HorizontalPodAutoscalers."""

import contextlib
import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from mehc_checks.checks.prometheus.gather import PrometheusParameters
from mehc_checks.clients.kubernetes.api import KubernetesCluster
from mehc_checks.core.clock import now
from mehc_checks.core.outcome import Severity, Status
from mehc_checks.engine.check import catalogue
from mehc_checks.engine.report import CheckResult
from mehc_checks.installation.context import Context
from mehc_checks.installation.metricsapi import CUSTOM_METRICS
from mehc_checks.modelengine.scaling import CUSTOM_METRIC, resource_name
from mehc_checks.modelengine.values import Layer, Values
from mehc_operator.connection import Access, connected
from testbed.aggregation import register, unregister
from testbed.controlplane import ControlPlane
from testbed.httpserver import Reply, Request, ScriptedServer
from testbed.judging import reported
from testbed.pki import CertificateAuthority
from testbed.waiting import eventually

ENDPOINT = resource_name("steady")
GROUP = f"/apis/{CUSTOM_METRICS.partition('.')[2]}/v1beta1"


@pytest.fixture
def endpoint(control_plane: ControlPlane, namespace: str) -> str:
    """The namespace of an endpoint with min_workers 1 and max_workers 3, as the platform makes it."""
    labels = {"app": ENDPOINT}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "main", "image": "vllm:1"}]}}
    deployment = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    pods = {"metric": {"name": CUSTOM_METRIC}, "target": {"type": "AverageValue", "averageValue": "2"}}
    autoscaler = {
        "minReplicas": 1,
        "maxReplicas": 3,
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": ENDPOINT},
        "metrics": [{"type": "Pods", "pods": pods}],
    }
    metadata = {"name": ENDPOINT}
    control_plane.apply(
        [
            {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": deployment},
            {
                "apiVersion": "autoscaling/v2",
                "kind": "HorizontalPodAutoscaler",
                "metadata": metadata,
                "spec": autoscaler,
            },
        ],
        namespace=namespace,
    )
    return namespace


@pytest.fixture
def adapter(control_plane: ControlPlane) -> Iterator[None]:
    """Lists the metric, and has it of no pod."""
    resource = {
        "name": f"pods/{CUSTOM_METRIC}",
        "namespaced": True,
        "kind": "MetricValueList",
        "verbs": ["get"],
    }
    listed = {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": GROUP.removeprefix("/apis/")}
    body = json.dumps({**listed, "resources": [resource]}).encode()

    def script(request: Request) -> Reply:
        if request.path.partition("?")[0] == GROUP:
            return Reply(200, body, {"Content-Type": "application/json"})
        return Reply(404, b"{}", {"Content-Type": "application/json"})

    with contextlib.ExitStack() as undo:
        server = undo.enter_context(ScriptedServer(script, certificate=CertificateAuthority().issue()))
        undo.callback(unregister, control_plane, CUSTOM_METRICS)
        port = int(server.address.rpartition(":")[2])
        register(control_plane, CUSTOM_METRICS, namespace="default", service="adapter", port=port)
        yield


def controllers_word(plane: ControlPlane, namespace: str) -> str:
    """The reason for which the controller does not scale, once it has one."""

    def reason() -> str:
        path = f"/apis/autoscaling/v2/namespaces/{namespace}/horizontalpodautoscalers/{ENDPOINT}"
        conditions: list[Any] = plane.api("GET", path).get("status", {}).get("conditions", [])
        return next((each["reason"] for each in conditions if each["type"] == "ScalingActive"), "")

    return eventually(reason, lambda found: found.startswith("FailedGet"), seconds=60)


async def judge(plane: ControlPlane, namespace: str, later: timedelta = timedelta()) -> CheckResult:
    async with connected(Access(kubeconfig=str(plane.kubeconfig))) as api:
        tree = {"autoscaling": {"horizontal": {"enabled": False}}}
        context = Context(
            values=Values.merged([Layer(source="spec.values", values=tree)]),
            cluster=KubernetesCluster(api),
            namespace=namespace,
            parameters={PrometheusParameters: PrometheusParameters()},
            clock=lambda: now() + later,
        )
        return (await reported([catalogue()["PrometheusQueryable"]], context)).checks[0]


async def test_no_adapter_for_endpoints_that_scale_by_it(control_plane: ControlPlane, endpoint: str) -> None:
    assert controllers_word(control_plane, endpoint) == "FailedGetPodsMetric"
    result = await judge(control_plane, endpoint)
    (found,) = [found for found in result.findings if found.reason == "CustomMetricsUnavailable"]
    assert (found.status, found.severity, found.subject) == (Status.FAIL, Severity.WARNING, "endpoints")
    assert ENDPOINT in found.message


async def test_an_adapter_that_has_the_metric_of_no_pod(
    control_plane: ControlPlane, endpoint: str, adapter: None
) -> None:
    assert controllers_word(control_plane, endpoint) == "FailedGetPodsMetric"
    young = await judge(control_plane, endpoint)
    assert "Autoscaler" not in str({found.reason for found in young.findings})
    result = await judge(control_plane, endpoint, later=timedelta(minutes=11))
    (found,) = [found for found in result.findings if found.reason == "AutoscalerMetricFailing"]
    assert (found.status, found.subject) == (Status.WARN, ENDPOINT)
    assert f"kubectl describe hpa -n {endpoint} {ENDPOINT}" in found.remediation
