"""`pullFrom: node`: KWOK's nodes in the kubelets' place, a real scheduler and API server before them."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from mehc_checks.checks.image.facts import NodePull, NodePullState
from mehc_checks.checks.image.pullprobe import POD_NAME, read_pull
from mehc_checks.clients.kubernetes.api import KubernetesCluster
from mehc_checks.core.outcome import Status
from mehc_operator.connection import Access, connected
from testbed.controlplane import ControlPlane
from testbed.images import Ask, Stage
from testbed.judging import judged
from testbed.kwok import Kwok
from testbed.waiting import eventually

ACCELERATOR = {"k8s.amazonaws.com/accelerator": "nvidia-ampere-a10"}
GPU_TAINT = {"key": "nvidia.com/gpu", "value": "true", "effect": "NoSchedule"}


@pytest.fixture(scope="module")
def stage(control_plane: ControlPlane, kwok: Kwok, cluster: KubernetesCluster) -> Iterator[Stage]:
    with Stage(control_plane, cluster) as everything:
        yield everything


@contextmanager
def gpu_node(kwok: Kwok, name: str) -> Iterator[str]:
    kwok.add_node(name, labels=ACCELERATOR, taints=[GPU_TAINT])
    try:
        yield name
    finally:
        kwok.delete_node(name)


def asking(stage: Stage, *words: str, **more: Any) -> Ask:
    return stage.in_cluster(stage.ask(stage.open, *words, pullFrom="node", architectures=["amd64"], **more))


def left(stage: Stage, ask: Ask) -> list[dict[str, Any]]:
    """Probes that are there and that nobody has deleted."""
    pods = stage.control_plane.api("GET", f"/api/v1/namespaces/{ask.namespace}/pods")["items"]
    return [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]


async def test_a_node_that_pulls_is_evidence(stage: Stage, kwok: Kwok) -> None:
    ask = asking(stage)
    with gpu_node(kwok, "pulls-1"):
        result = await stage.judge(ask)
    assert (result.status, result.reason) == (Status.PASS, "Pullable"), result
    assert result.evidence["pullProbe"] == "Pulled"
    assert result.evidence["pullProbeNode"] == "pulls-1"
    assert left(stage, ask) == []


async def test_the_node_knows_better_than_a_registry_that_is_hidden_from_here(
    stage: Stage, kwok: Kwok
) -> None:
    ask = asking(stage, trusted=False)
    with gpu_node(kwok, "pulls-2"):
        result = await stage.judge(ask)
    assert result.reason == "RegistryUnreachableFromOperator", result


async def test_a_node_that_cannot_pull_is_told_although_the_registry_gives_the_image(
    stage: Stage, kwok: Kwok
) -> None:
    ask = asking(stage)
    with gpu_node(kwok, "unpullable-1"):
        result = await stage.judge(ask)
    assert (result.status, result.reason) == (Status.WARN, "NodesCannotPull"), result
    assert "ImagePullBackOff" in result.message
    assert left(stage, ask) == []


async def test_a_missing_image_stays_the_cause_when_the_node_fails_too(stage: Stage, kwok: Kwok) -> None:
    ask = asking(stage, "absent")
    with gpu_node(kwok, "unpullable-2"):
        result = await stage.judge(ask)
    assert result.reason == "RepositoryMissing", result
    assert result.evidence["pullProbe"] == "Failed"


def quota(stage: Stage, ask: Ask) -> None:
    manifest = {"kind": "ResourceQuota", "metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}}
    path = f"/api/v1/namespaces/{ask.namespace}/resourcequotas"
    stage.control_plane.api("POST", path, manifest)
    # The testbed's controller-manager leaves quotas alone; admission goes by what it would have counted.
    counted = {"status": {"hard": {"pods": "0"}, "used": {"pods": "0"}}}
    stage.control_plane.api(
        "PATCH", f"{path}/none/status", counted, content_type="application/merge-patch+json"
    )


def no_account(stage: Stage, ask: Ask) -> None:
    account = ask.values["serviceTemplate"]["serviceAccountName"]
    stage.control_plane.api("DELETE", f"/api/v1/namespaces/{ask.namespace}/serviceaccounts/{account}")


def another_probe(stage: Stage, ask: Ask) -> None:
    manifest = {
        "kind": "Pod",
        "metadata": {"name": POD_NAME},
        "spec": {"containers": [{"name": "pull", "image": "x"}], "nodeSelector": {"nowhere": "true"}},
    }
    stage.create(ask.namespace, manifest)


@pytest.mark.parametrize(
    ("hinder", "says"),
    [
        (quota, "the cluster refuses the pod: its quota is used up"),
        (no_account, "the cluster refuses the pod: its ServiceAccount does not exist"),
        (another_probe, "another probe is under way"),
        (lambda _stage, _ask: None, "no GPU node takes the pod"),
    ],
    ids=["quota", "no ServiceAccount", "another probe", "no GPU node"],
)
async def test_a_probe_that_cannot_run_says_why(stage: Stage, hinder: Any, says: str) -> None:
    ask = asking(stage)
    await asyncio.to_thread(hinder, stage, ask)
    result = await stage.judge(ask)
    found = [finding for finding in result.findings if finding.reason == "PullProbeNotRun"]
    assert found, result
    assert says in found[0].message
    assert found[0].status is Status.WARN


async def test_without_the_permission_it_says_which_one(stage: Stage, control_plane: ControlPlane) -> None:
    ask = asking(stage)
    kubeconfig = control_plane.service_account_kubeconfig(ask.namespace, "viewer")
    control_plane.kubectl(
        "create",
        "clusterrolebinding",
        ask.namespace,
        "--clusterrole=view",
        f"--serviceaccount={ask.namespace}:viewer",
    )
    async with connected(Access(kubeconfig=str(kubeconfig))) as api:
        result = await judged(
            "VllmImagePullable",
            ask.values,
            cluster=KubernetesCluster(api),
            namespace=ask.namespace,
            parameters=ask.parameters,
        )
    found = [finding for finding in result.findings if finding.reason == "PullProbeNotRun"]
    assert found, result
    assert "create" in found[0].message
    assert "pods" in found[0].message


async def test_a_cancelled_pass_leaves_no_pod(stage: Stage) -> None:
    ask = asking(stage)
    # A pod that no scheduler looks at keeps the probe waiting until it is cancelled.
    values = {**ask.values, "nodeSelector": {"nowhere": "true"}}
    task = asyncio.create_task(stage.judge(replace(ask, values=values)))
    path = f"/api/v1/namespaces/{ask.namespace}/pods"
    await asyncio.to_thread(
        eventually, lambda: stage.control_plane.api("GET", path)["items"], lambda pods: bool(pods)
    )
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert left(stage, ask) == []


def pod(**status: Any) -> Mapping[str, Any]:
    return {"spec": {"nodeName": "n"}, "status": status}


@pytest.mark.parametrize(
    ("seen", "pull"),
    [
        (
            pod(containerStatuses=[{"state": {"waiting": {"reason": "CreateContainerConfigError"}}}]),
            NodePull(state=NodePullState.PULLED, node="n"),
        ),
        (
            pod(containerStatuses=[{"state": {"waiting": {"reason": "ContainerCreating"}}}]),
            NodePull(state=NodePullState.UNDER_WAY, node="n"),
        ),
        (
            pod(containerStatuses=[{"state": {"terminated": {"exitCode": 127}}}]),
            NodePull(state=NodePullState.PULLED, node="n"),
        ),
        (
            pod(phase="Failed", reason="OutOfpods"),
            NodePull(state=NodePullState.NOT_RUN, detail="the node refuses the pod: OutOfpods", node="n"),
        ),
    ],
)
def test_what_a_kubelet_reports(seen: Mapping[str, Any], pull: NodePull) -> None:
    assert read_pull(seen) == pull
