"""The control plane and its KWOK nodes behave as a cluster does."""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest

from testbed.controlplane import CONTROLLERS, ApiError, ControlPlane
from testbed.kwok import (
    CONTAINER_ANNOTATION,
    DELAY_ANNOTATION,
    MESSAGE_ANNOTATION,
    STAGE_LABEL,
    Kwok,
)
from testbed.process import ComponentError
from testbed.waiting import eventually


def deployment(
    name: str, stage: str | None = None, annotations: Mapping[str, str] | None = None
) -> dict[str, Any]:
    labels = {"app": name}
    metadata = {
        "labels": labels | ({STAGE_LABEL: stage} if stage else {}),
        "annotations": dict(annotations or {}),
    }
    containers = [
        {"name": "main", "image": "registry.example/main:1"},
        {"name": "forwarder", "image": "forwarder:2"},
    ]
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": metadata, "spec": {"containers": containers}},
        },
    }


def pods(control_plane: ControlPlane, namespace: str) -> dict[str, dict[str, Any]]:
    items = control_plane.api("GET", f"/api/v1/namespaces/{namespace}/pods")["items"]
    return {pod["metadata"]["labels"]["app"]: pod["status"] for pod in items}


def containers(status: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in status.get("containerStatuses", ())}


def test_every_controller_known(control_plane: ControlPlane) -> None:
    # an unknown name would have ended it; a known one may still be off, by a feature gate for example
    log = control_plane.controller_manager.log_text()
    disabled = set(re.findall(r'controller is disabled" controller="([^"]+)"', log))
    assert disabled
    assert not disabled & set(CONTROLLERS)


def test_rbac_decides_for_service_accounts(control_plane: ControlPlane, namespace: str) -> None:
    kubeconfig = f"--kubeconfig={control_plane.service_account_kubeconfig(namespace, 'reader')}"
    with pytest.raises(ComponentError, match="cannot list resource"):
        control_plane.kubectl(kubeconfig, "get", "secrets")
    control_plane.kubectl(
        "-n",
        namespace,
        "create",
        "rolebinding",
        "r",
        "--clusterrole=view",
        f"--serviceaccount={namespace}:reader",
    )
    eventually(
        lambda: control_plane.kubectl(kubeconfig, "get", "pods", "-o", "name"), lambda names: names == ""
    )
    with pytest.raises(ComponentError, match="cannot list resource"):
        control_plane.kubectl(kubeconfig, "get", "secrets")
    with pytest.raises(ApiError, match="404"):
        control_plane.api("GET", f"/api/v1/namespaces/{namespace}/configmaps/none")


def test_stages_of_pods(control_plane: ControlPlane, kwok: Kwok, namespace: str) -> None:
    one = {CONTAINER_ANNOTATION: "main"}
    troubles = {
        "image-pull-backoff": ("Pending", "ImagePullBackOff"),
        "err-image-pull": ("Pending", "ErrImagePull"),
        "container-creating": ("Pending", "ContainerCreating"),
        "crash-loop": ("Running", "CrashLoopBackOff"),
        "oom-killed": ("Running", "CrashLoopBackOff"),
    }
    manifests = [deployment("fine"), *(deployment(stage, stage, one) for stage in troubles)]
    manifests.append(deployment("told", "image-pull-backoff", {MESSAGE_ANNOTATION: 'denied: "no" pull'}))
    manifests.append(deployment("slow", "slow-start", {DELAY_ANNOTATION: "1s"}))
    control_plane.apply(manifests, namespace=namespace)

    def settled(found: dict[str, dict[str, Any]]) -> bool:
        return len(found) == len(manifests) and all(containers(status) for status in found.values())

    found = eventually(lambda: pods(control_plane, namespace), settled)
    assert not any(each["ready"] for each in containers(found["slow"]).values())
    for stage, (phase, reason) in troubles.items():
        main, forwarder = containers(found[stage])["main"], containers(found[stage])["forwarder"]
        assert (found[stage]["phase"], main["state"]["waiting"]["reason"]) == (phase, reason)
        assert forwarder["ready"]
        assert not main["ready"]
    last = containers(found["oom-killed"])["main"]["lastState"]["terminated"]
    assert (last["reason"], last["exitCode"]) == ("OOMKilled", 137)
    assert containers(found["told"])["main"]["state"]["waiting"]["message"] == 'denied: "no" pull'

    control_plane.kubectl("-n", namespace, "rollout", "status", "deployment/fine", "--timeout=60s")
    control_plane.kubectl("-n", namespace, "rollout", "status", "deployment/slow", "--timeout=60s")
    # a trouble ends with its label, and can begin on a running pod
    control_plane.kubectl("-n", namespace, "label", "pod", "-l", "app=crash-loop", f"{STAGE_LABEL}-")
    control_plane.kubectl("-n", namespace, "label", "pod", "-l", "app=fine", f"{STAGE_LABEL}=oom-killed")
    control_plane.kubectl(
        "-n", namespace, "wait", "deployment/crash-loop", "--for=condition=Available", "--timeout=60s"
    )
    control_plane.kubectl(
        "-n", namespace, "wait", "deployment/fine", "--for=condition=Available=False", "--timeout=60s"
    )


def test_nodes_have_what_they_are_given(control_plane: ControlPlane, kwok: Kwok) -> None:
    taint = {"key": "nvidia.com/gpu", "value": "true", "effect": "NoSchedule"}
    kwok.add_node("gpu", labels={"gpu": "a10"}, capacity={"nvidia.com/gpu": "8"}, taints=[taint])
    kwok.add_node("broken", ready=False)
    try:
        node = control_plane.api("GET", "/api/v1/nodes/gpu")
        assert node["status"]["allocatable"]["nvidia.com/gpu"] == "8"
        assert node["spec"]["taints"] == [taint]
        assert node["metadata"]["labels"]["gpu"] == "a10"
        control_plane.kubectl("wait", "node/broken", "--for=condition=Ready=False", "--timeout=60s")
        leases = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
        eventually(
            lambda: [lease["metadata"]["name"] for lease in control_plane.api("GET", leases)["items"]],
            lambda names: "gpu" in names,
        )
    finally:
        kwok.delete_node("gpu")
        kwok.delete_node("broken")


def test_jobs_complete(control_plane: ControlPlane, kwok: Kwok, namespace: str) -> None:
    pod = {"restartPolicy": "Never", "containers": [{"name": "main", "image": "image"}]}
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "job"},
        "spec": {"template": {"spec": pod}},
    }
    control_plane.apply(job, namespace=namespace)
    control_plane.kubectl("-n", namespace, "wait", "job/job", "--for=condition=Complete", "--timeout=60s")


def test_aggregation_layer_proxies(control_plane: ControlPlane, namespace: str) -> None:
    """The API server forwards to an APIService's address: itself here, which answers 200 under the wrong group."""
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "metrics"},
        "spec": {"type": "ExternalName", "externalName": "localhost"},
    }
    registration = {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": "v1.aggregated.testbed.mehc"},
        "spec": {
            "group": "aggregated.testbed.mehc",
            "version": "v1",
            "groupPriorityMinimum": 100,
            "versionPriority": 100,
            "insecureSkipTLSVerify": True,
            "service": {"name": "metrics", "namespace": namespace, "port": control_plane.port},
        },
    }
    control_plane.apply(service, namespace=namespace)
    control_plane.apply(registration)
    path = "/apis/apiregistration.k8s.io/v1/apiservices/v1.aggregated.testbed.mehc"
    try:
        status = eventually(
            lambda: control_plane.api("GET", path)["status"].get("conditions", []),
            lambda conditions: any("failing or missing response" in c.get("message", "") for c in conditions),
        )
        assert f"https://localhost:{control_plane.port}/apis/aggregated.testbed.mehc/v1" in json.dumps(status)
    finally:
        control_plane.api("DELETE", path)


def test_restart_keeps_port_and_data_and_close_leaves_nothing() -> None:
    with ControlPlane() as own:
        name = own.create_namespace("kept")
        family = [psutil.Process(part.pid) for part in own.parts]
        directories = [own.directory, own.ca.directory, *(part.directory for part in own.parts)]
        own.apiserver.restart()
        assert own.api("GET", f"/api/v1/namespaces/{name}")["metadata"]["name"] == name
        family.append(psutil.Process(own.apiserver.pid))
    assert not [process for process in family if process.is_running()]
    assert not [directory for directory in directories if directory.exists()]


def test_foreign_cluster_is_out_of_reach(control_plane: ControlPlane) -> None:
    assert os.environ["KUBECONFIG"] == os.devnull
    assert Path(control_plane.kubeconfig).is_file()
