"""`mehc check --in-cluster` on a real kubelet, with the operator's own image: by Job, and in a pod of the operator."""

import contextlib
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from mehc_checks.checks.config.rules.evaluate import MOST_PLACES
from mehc_operator.crd import custom_resource_definition
from testbed.chart import CHART
from testbed.healthchecks import manifest
from testbed.helm import Helm
from testbed.installation import overlaid
from testbed.node import Node
from testbed.operatorimage import ServedImage
from testbed.operatorprocess import install_crd
from testbed.ports import LOOPBACK
from testbed.rulejudging import at
from testbed.sound import AWS
from testbed.waiting import eventually

MEHC = Path(sys.executable).with_name("mehc")
MINE = "labelSelector=app.kubernetes.io/managed-by%3Dmehc-check"

pytestmark = pytest.mark.timeout(1800)  # the image's first build takes minutes


class Place:
    """An installation on the node, in a namespace that admits restricted pods only once its own are there."""

    def __init__(self, node: Node, image: ServedImage) -> None:
        node.reach(image.registry.port)
        self.node = node
        self.plane = node.control_plane
        self.image = image
        self.operators: list[str] = []
        self.namespace = self.plane.create_namespace("checked")
        self.endpoints = self.plane.create_namespace("checked")
        values = overlaid(
            AWS,
            at("config.values.launch.endpoint_namespace", self.endpoints),
            at("aws.configMap.namespaces", [self.namespace, self.endpoints]),
        )
        Helm(self.plane).install("me", self.namespace, values)
        labels = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}
        kind = "application/merge-patch+json"
        self.plane.api("PATCH", f"/api/v1/namespaces/{self.namespace}", labels, content_type=kind)

    def command(self, *words: str) -> list[str]:
        where = ("--kubeconfig", str(self.plane.kubeconfig), "-n", self.namespace)
        return [str(MEHC), "check", "--in-cluster", *where, "--start-timeout=5m", *words]

    def check(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self.command(*words), capture_output=True, text=True, check=False)

    def made(self) -> list[str]:
        """What checks have made and is still there."""
        rbac = "/apis/rbac.authorization.k8s.io/v1"
        here = f"namespaces/{self.namespace}"
        kinds = [f"/api/v1/{here}/{kind}" for kind in ("pods", "secrets", "serviceaccounts")]
        kinds += [f"{rbac}/{here}/roles", f"{rbac}/namespaces/{self.endpoints}/roles", f"{rbac}/clusterroles"]
        kinds += [f"/apis/batch/v1/{here}/jobs"]
        return [
            item["metadata"]["name"]
            for path in kinds
            for item in self.plane.api("GET", f"{path}?{MINE}")["items"]
        ]


@pytest.fixture(scope="module")
def place(real_node: Node, operator_image: ServedImage) -> Iterator[Place]:
    made = Place(real_node, operator_image)
    yield made
    for name in (made.namespace, made.endpoints, *made.operators):
        made.plane.delete_namespace(name)


def judged(report: str) -> list[Any]:
    return [(each["name"], each["status"], each["reason"]) for each in json.loads(report)["checks"]]


def test_a_job_reports_whole_and_leaves_nothing(place: Place, tmp_path: Path) -> None:
    wrong = {f"unknown{number}{'x' * 900}": 1 for number in range(MOST_PLACES)}
    values = tmp_path / "values.yaml"
    values.write_text(yaml.safe_dump({"config": {"values": {"infra": wrong}}}))
    words = ("--only=ConfigValid,DatabaseMigrated", "-o", "json", "-f", str(values), "--timeout=60s")
    done = place.check(*words, "--image", place.image.reference)
    assert done.returncode == 1, done.stderr
    assert f"unknown{MOST_PLACES - 1}x" in done.stdout
    here = [word for word in place.command(*words) if word != "--in-cluster"]
    outside = subprocess.run(here, capture_output=True, text=True, check=False)
    assert judged(done.stdout) == judged(outside.stdout)
    eventually(place.made, lambda names: names == [])


def test_an_image_that_does_not_exist_is_named_by_the_kubelets_words(place: Place) -> None:
    done = place.check("--image", f"{place.image.repository}:nowhere")
    assert (done.returncode, done.stdout) == (2, "")
    line = done.stderr.splitlines()[-1]
    assert f"{place.image.repository}:nowhere" in line
    assert "Correct --image, or name its pull secret with --image-pull-secret." in line
    eventually(place.made, lambda names: names == [])


def test_an_image_that_is_not_mehcs_is_no_report(place: Place) -> None:
    done = place.check("--image", "testbed/busybox:1")
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{place.namespace}/mehc-check-" in done.stderr.splitlines()[-1]
    eventually(place.made, lambda names: names == [])


def test_a_pod_that_is_deleted_in_the_middle_is_named(place: Place, tmp_path: Path) -> None:
    values = tmp_path / "values.yaml"
    with contextlib.closing(socket.create_server((LOOPBACK, 0))) as silent:
        port = silent.getsockname()[1]
        place.node.service(place.namespace, "silent", port, port)
        service = place.plane.api("GET", f"/api/v1/namespaces/{place.namespace}/services/silent")
        url = f"redis://{service['spec']['clusterIP']}:{port}/15"
        values.write_text(yaml.safe_dump({"config": {"values": {"launch": {"cache_redis_aws_url": url}}}}))
        words = (
            "--image",
            place.image.reference,
            "-f",
            str(values),
            "--only=RedisReachable",
            "--timeout=10m",
        )
        with subprocess.Popen(
            place.command(*words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            silent.settimeout(300)
            with silent.accept()[0]:  # the check is waiting for an answer now
                pods = f"/api/v1/namespaces/{place.namespace}/pods"
                (pod,) = place.plane.api("GET", f"{pods}?{MINE}")["items"]
                place.plane.api("DELETE", f"{pods}/{pod['metadata']['name']}")
                out, said = process.communicate()
    assert (process.returncode, out) == (2, "")
    assert f"pod {place.namespace}/{pod['metadata']['name']}" in said.splitlines()[-1]
    eventually(place.made, lambda names: names == [])


@pytest.fixture
def definition(place: Place) -> Iterator[None]:
    """The CRD, and none afterwards if there was none: Helm takes over none that it has not made."""
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    name = custom_resource_definition()["metadata"]["name"]
    present = name in (each["metadata"]["name"] for each in place.plane.api("GET", path)["items"])
    if not present:
        install_crd(place.plane)
    yield
    if not present:
        place.plane.api("DELETE", f"{path}/{name}")


@pytest.mark.usefixtures("definition")
def test_the_operators_pod_reports_what_its_status_says(place: Place) -> None:
    operator = place.plane.create_namespace("operator")
    place.operators.append(operator)
    values = {
        "image": {"repository": place.image.repository, "tag": place.image.reference.rpartition(":")[2]},
        "crds": {"enabled": False},
        "watchNamespaces": [place.namespace],
        "endpointNamespaces": [place.endpoints],
    }
    Helm(place.plane).install("mehc", operator, values, chart=CHART)
    place.plane.kubectl("rollout", "status", "-n", operator, "deployment/mehc", timeout=600)
    place.plane.apply(manifest({"timeout": "60s"}), namespace=place.namespace)
    path = f"/apis/health.modelengine.io/v1alpha1/namespaces/{place.namespace}/modelenginehealthchecks"

    def status() -> list[Any]:
        found = place.plane.api("GET", f"{path}/model-engine").get("status") or {}
        return sorted((each["name"], each["status"], each["reason"]) for each in found.get("checks") or ())

    eventually(status, bool, 300)
    done = eventually(  # pods go on failing in between
        lambda: place.check("-o", "json", "--resource", "model-engine"),
        lambda done: bool(done.stdout) and sorted(judged(done.stdout)) == status(),
        400,
    )
    assert done.returncode == 1, done.stderr
    assert done.stderr.startswith(f"checking from pod {operator}/mehc-")
