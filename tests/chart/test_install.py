"""Install, upgrade from the version before, uninstall: by the real Helm, on a cluster that knows nothing of us yet."""

import contextlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from testbed.chart import CHART, CRD
from testbed.controlplane import ControlPlane
from testbed.helm import Helm, HelmError
from testbed.kwok import Kwok

NAMESPACE, PLATFORM = "mehc", "model-engine"
PATH = f"/apis/health.modelengine.io/v1alpha1/namespaces/{PLATFORM}/modelenginehealthchecks"
INSTANCE = "app.kubernetes.io/instance=mehc"
VALUES: dict[str, Any] = {
    "image": {"repository": "registry.example.com/mehc"},
    "healthChecks": [{"namespace": PLATFORM, "name": "model-engine", "spec": {"interval": "10m"}}],
}


@pytest.fixture
def plane() -> Iterator[ControlPlane]:
    with ControlPlane() as plane, Kwok(plane) as kwok:
        kwok.add_node("node-1")
        restricted = {"pod-security.kubernetes.io/enforce": "restricted"}
        plane.api("POST", "/api/v1/namespaces", {"metadata": {"name": NAMESPACE, "labels": restricted}})
        plane.api("POST", "/api/v1/namespaces", {"metadata": {"name": PLATFORM}})
        yield plane


@pytest.fixture
def before(tmp_path: Path) -> Path:
    """The chart as an earlier version had it: its resource had no field `suspend`."""
    chart = shutil.copytree(CHART, tmp_path / "chart")
    metadata = yaml.safe_load((chart / "Chart.yaml").read_text())
    (chart / "Chart.yaml").write_text(yaml.safe_dump({**metadata, "version": "0.0.9"}))
    crd = yaml.safe_load((chart / "files" / "crd.yaml").read_text())
    del spec_of(crd)["suspend"]
    (chart / "files" / "crd.yaml").write_text(yaml.safe_dump(crd))
    return chart


def spec_of(crd: Any) -> dict[str, Any]:
    (version,) = crd["spec"]["versions"]
    fields: dict[str, Any] = version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    return fields


def objects(plane: ControlPlane) -> set[str]:
    """What there is of the chart's kinds, as kind/name; the testbed's own ServiceAccount and ConfigMap left out."""
    kinds = "deployments,pods,serviceaccounts,roles,rolebindings,poddisruptionbudgets,services"
    listed = plane.kubectl("get", kinds, "-n", NAMESPACE, "-o", "name").split()
    listed += plane.kubectl("get", "clusterroles,clusterrolebindings", "-l", INSTANCE, "-o", "name").split()
    return {name for name in listed if name != "serviceaccount/default"}


def patch(plane: ControlPlane, body: dict[str, Any], subresource: str = "") -> None:
    path = f"{PATH}/model-engine{subresource}"
    plane.api("PATCH", path, body, content_type="application/merge-patch+json")


def test_from_the_first_install_to_the_last_uninstall(plane: ControlPlane, before: Path) -> None:
    helm = Helm(plane)
    helm.install("mehc", NAMESPACE, VALUES, "--wait", "--timeout=60s", chart=before)
    pods = plane.api("GET", f"/api/v1/namespaces/{NAMESPACE}/pods")["items"]
    assert [pod["status"]["phase"] for pod in pods] == ["Running", "Running"]
    crd = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{CRD}"
    assert "suspend" not in spec_of(plane.api("GET", crd))
    resource = plane.api("GET", f"{PATH}/model-engine")
    assert resource["spec"]["interval"] == "10m"
    patch(plane, {"status": {"health": "Healthy"}}, "/status")

    values = {**VALUES, "healthChecks": [{**VALUES["healthChecks"][0], "spec": {"suspend": True}}]}
    helm.upgrade("mehc", NAMESPACE, values, "--wait", "--timeout=60s", chart=CHART)
    upgraded = plane.api("GET", f"{PATH}/model-engine")
    assert upgraded["spec"]["suspend"] is True
    assert upgraded["spec"]["interval"] != "10m"
    assert upgraded["metadata"]["uid"] == resource["metadata"]["uid"]
    assert upgraded["status"]["health"] == "Healthy"
    helm.upgrade("mehc", NAMESPACE, {"image": VALUES["image"]}, chart=CHART)  # taken off the list, it stays
    helm.upgrade("mehc", NAMESPACE, values, chart=CHART)

    helm.run("uninstall", "mehc", "-n", NAMESPACE, "--wait", "--timeout=60s")
    assert objects(plane) == set()
    kept = plane.api("GET", f"{PATH}/model-engine")
    assert kept["metadata"]["uid"] == resource["metadata"]["uid"]

    helm.install("mehc", NAMESPACE, VALUES, "--wait", "--timeout=60s", chart=CHART)
    again = plane.api("GET", f"{PATH}/model-engine")
    assert again["metadata"]["uid"] == resource["metadata"]["uid"]
    assert again["status"]["health"] == "Healthy"
    with pytest.raises(HelmError, match=r"(?s)ServiceMonitor.*ensure CRDs are installed first"):
        helm.upgrade("mehc", NAMESPACE, {**VALUES, "serviceMonitor": {"enabled": True}}, chart=CHART)
    assert "deployment.apps/mehc" in objects(plane)


def test_a_first_install_without_wait_is_mended_by_running_helm_again(plane: ControlPlane) -> None:
    """The resources may come before the API server serves their kind: nothing of Helm's waits for that but --wait."""
    helm = Helm(plane)
    with contextlib.suppress(HelmError):
        helm.install("mehc", NAMESPACE, VALUES, chart=CHART)
    helm.upgrade("mehc", NAMESPACE, VALUES, "--install", chart=CHART)
    assert plane.api("GET", f"{PATH}/model-engine")["spec"]["interval"] == "10m"
    status = json.loads(helm.run("status", "mehc", "-n", NAMESPACE, "-o", "json"))
    assert status["info"]["status"] == "deployed"
