"""GpuNodesReady on a real control plane with KWOK's nodes: every broken pool of nodes first, then the sound one."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from mehc_checks.checks.gpu_nodes.reasons import GpuNodesReasons
from mehc_checks.clients.kubernetes.api import KubernetesCluster
from mehc_checks.core.outcome import Status
from mehc_checks.engine.report import CheckResult
from mehc_checks.installation.reasons import InstallationReasons
from mehc_checks.modelengine.accelerators import suggestion
from mehc_operator.connection import Access, connected
from testbed.controlplane import ControlPlane
from testbed.installation import overlaid
from testbed.judging import judged
from testbed.kwok import Kwok
from testbed.waiting import eventually

A10, A100, H100 = "nvidia-ampere-a10", "nvidia-ampere-a100", "nvidia-hopper-h100"
LABEL = "k8s.amazonaws.com/accelerator"
GPU = "nvidia.com/gpu"
TAINT = {"key": GPU, "value": "present", "effect": "NoSchedule"}
TOLERATION = {"key": GPU, "operator": "Exists", "effect": "NoSchedule"}
GPU_TAINT_NODES = {"key": "dedicated", "value": "ml", "effect": "NoSchedule"}


def tier(le: int = 24, **changes: Any) -> dict[str, Any]:
    small = {"cpus": 10, "gpus": 1, "memory": "24Gi", "storage": "80Gi", "gpu_type": A10}
    return {"gpu_memory_le": le, "nodes_per_worker": 1, **small, **changes}


def named(name: str, **changes: Any) -> dict[str, Any]:
    """An entry of byModelName."""
    entry = {**tier(**changes), "name": name}
    del entry["gpu_memory_le"]
    return entry


def both(**changes: Any) -> dict[str, Any]:
    """Both tables, with one entry of the same size."""
    return {"byGpuMemoryGb": [tier(**changes)], "byModelName": [named("foo-7b", **changes)]}


def device(name: str, accelerator: str, *tolerations: Mapping[str, str]) -> dict[str, Any]:
    return {
        "name": name,
        "nodeSelector": {LABEL: accelerator},
        "tolerations": [dict(toleration) for toleration in tolerations or (TOLERATION,)],
    }


VALUES: dict[str, Any] = {
    "nodeSelector": {"node-lifecycle": "normal"},
    "balloonNodeSelector": {"node-lifecycle": "normal"},
    "balloonConfig": {"reserveHighPriority": True},
    "imageCache": {"devices": [device("a10", A10)]},
    "recommendedHardware": {"byGpuMemoryGb": [tier()], "byModelName": [named("foo-7b")]},
}


def balloons(*entries: tuple[str, int], **more: Any) -> dict[str, Any]:
    return {"balloons": [{"acceleratorName": name, "replicaCount": count, **more} for name, count in entries]}


def tiers(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"recommendedHardware": {"byGpuMemoryGb": list(entries)}}


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """A GPU node; ``offers`` replaces what its device plugin offers, of ``has`` (all of it where that is empty)."""

    accelerator: str | None = A10
    offers: Mapping[str, str] = field(default_factory=lambda: {GPU: "4"})
    has: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: Sequence[Mapping[str, str]] = (TAINT,)
    ready: bool = True
    cordoned: bool = False

    def add(self, world: "World", name: str) -> None:
        labels = {"node-lifecycle": "normal", **self.labels}
        if self.accelerator is not None:
            labels[LABEL] = self.accelerator
        world.kwok.add_node(
            name,
            labels={key: value for key, value in labels.items() if value},
            capacity={
                "cpu": "48",
                "memory": "192Gi",
                "ephemeral-storage": "500Gi",
                **self.offers,
                **self.has,
            },
            allocatable=self.offers,
            taints=self.taints,
            ready=self.ready,
        )
        if self.cordoned:
            world.patch(f"/api/v1/nodes/{name}", {"spec": {"unschedulable": True}})


@dataclass(frozen=True, kw_only=True)
class World:
    """The control plane, and one case's namespace and nodes in it."""

    plane: ControlPlane
    kwok: Kwok
    namespace: str
    nodes: Sequence[str]

    def patch(self, path: str, body: Mapping[str, Any]) -> None:
        self.plane.api("PATCH", path, body, content_type="application/merge-patch+json")

    def create(self, resource: str, name: str, spec: Mapping[str, Any], *, group: str = "apps") -> str:
        root = f"/apis/{group}/v1" if group else "/api/v1"
        path = f"{root}/namespaces/{self.namespace}/{resource}"
        self.plane.api("POST", path, {"metadata": {"name": name}, "spec": dict(spec)})
        return f"{path}/{name}"

    def workload(
        self,
        resource: str,
        name: str,
        *,
        requests: Mapping[str, str],
        pod: Mapping[str, Any],
        marks: Mapping[str, str] | None = None,
        **spec: Any,
    ) -> str:
        labels = {"app": name}
        container = {"name": "main", "image": "x", "resources": {"limits": dict(requests)}}
        template = {
            "metadata": {"labels": {**labels, **(marks or {})}},
            "spec": {"containers": [container], **pod},
        }
        return self.create(
            resource, name, {**spec, "selector": {"matchLabels": labels}, "template": template}
        )

    def balloon(self, accelerator: str = A10, *, replicas: int = 1, gpus: str = "1", **pod: Any) -> str:
        return self.workload(
            "deployments",
            f"model-engine-balloon-{accelerator}",
            replicas=replicas,
            requests={GPU: gpus, "cpu": "4", "memory": "28Gi"},
            pod={"nodeSelector": {LABEL: accelerator}, "tolerations": [TOLERATION], **pod},
        )

    def cache(self, name: str = "a10", *, stage: str = "") -> str:
        return self.workload(
            "daemonsets",
            f"launch-image-cache-{name}",
            requests={},
            pod={"nodeSelector": {LABEL: A10}, "tolerations": [TOLERATION]},
            marks={"testbed.mehc/stage": stage} if stage else None,
        )

    def endpoint(
        self,
        name: str = "launch-endpoint-id-1",
        *,
        gpus: str = "1",
        accelerator: str = A10,
        replicas: int = 1,
    ) -> str:
        return self.workload(
            "deployments",
            name,
            replicas=replicas,
            requests={GPU: gpus},
            pod={"nodeSelector": {LABEL: accelerator}, "tolerations": [TOLERATION]},
        )

    def wait(self, path: str, settled: Callable[[dict[str, Any]], bool]) -> None:
        eventually(lambda: self.plane.api("GET", path)["status"], settled, seconds=20)


def caches(world: World) -> None:
    path = world.cache()
    world.wait(path, lambda status: status.get("numberReady", 0) == len(world.nodes))


def cached_on_one(world: World) -> None:
    world.wait(world.cache(), lambda status: status.get("numberReady", 0) == 1)


def stuck_cache(stage: str) -> Callable[[World], None]:
    def stuck(world: World) -> None:
        path = world.cache(stage=stage)
        world.wait(path, lambda status: status.get("currentNumberScheduled", 0) == len(world.nodes))
        pods = f"/api/v1/namespaces/{world.namespace}/pods"
        eventually(
            lambda: world.plane.api("GET", pods)["items"],
            lambda found: any(pod["status"].get("containerStatuses") for pod in found),
            seconds=20,
        )

    return stuck


def sound_balloon(world: World) -> None:
    world.wait(world.balloon(), lambda status: status.get("readyReplicas") == 1)
    caches(world)


def waiting(world: World, app: str) -> None:
    """Until the scheduler has said why a pod of ``app`` waits."""
    query = f"/api/v1/namespaces/{world.namespace}/pods?labelSelector=app%3D{app}"
    eventually(
        lambda: world.plane.api("GET", query)["items"], lambda pods: any(map(refused, pods)), seconds=20
    )


def refused(pod: Mapping[str, Any]) -> bool:
    conditions = pod["status"].get("conditions", ())
    return any(c["type"] == "PodScheduled" and c["status"] == "False" for c in conditions)


def greedy_balloon(world: World) -> None:
    world.balloon(replicas=5)
    waiting(world, f"model-engine-balloon-{A10}")


def balloon_without_class(world: World) -> None:
    path = world.balloon(priorityClassName="model-engine-low-priority")
    world.wait(path, lambda s: any(c["type"] == "ReplicaFailure" for c in s.get("conditions", ())))


def balloons_first(world: World) -> None:
    world.wait(world.balloon(gpus="4"), lambda status: status.get("readyReplicas") == 1)
    world.endpoint()
    waiting(world, "launch-endpoint-id-1")


def all_taken_by_balloons(world: World) -> None:
    world.wait(world.balloon(gpus="4"), lambda status: status.get("readyReplicas") == 1)
    caches(world)


def endpoint_runs(gpus: str = "1") -> Callable[[World], None]:
    def stage(world: World) -> None:
        world.wait(world.endpoint(gpus=gpus), lambda status: status.get("readyReplicas") == 1)
        caches(world)

    return stage


def greedy_daemons(world: World) -> None:
    path = world.workload(
        "daemonsets", "monitoring", requests={"cpu": "8"}, pod={"tolerations": [{"operator": "Exists"}]}
    )
    world.wait(path, lambda status: status.get("numberReady", 0) >= len(world.nodes))
    caches(world)


def endpoint_at_zero(world: World) -> None:
    world.endpoint(accelerator=H100, replicas=0)
    caches(world)


def displaced_balloon(world: World) -> None:
    """An endpoint has taken the GPUs of the one node; the balloon that held it waits."""
    world.wait(world.endpoint(gpus="4"), lambda status: status.get("readyReplicas") == 1)
    world.balloon(gpus="4")
    waiting(world, f"model-engine-balloon-{A10}")
    caches(world)


def greedy_cpu_balloon(world: World) -> None:
    """As the chart makes it: without tolerations."""
    world.workload(
        "deployments",
        "model-engine-balloon-cpu",
        replicas=1,
        requests={"cpu": "6", "memory": "28Gi"},
        pod={"nodeSelector": {"pool": "gpu"}},
    )
    waiting(world, "model-engine-balloon-cpu")


def real_endpoint(world: World, cpus: str) -> str:
    """An endpoint's pod as the platform makes it: the forwarder of a streaming endpoint, and the model."""
    pod = {"nodeSelector": {LABEL: A10}, "tolerations": [TOLERATION]}
    forwarder = {"requests": {"cpu": "1", "memory": "100M"}, "limits": {"cpu": "1", "memory": "2Gi"}}
    model = {"limits": {"cpu": cpus, "memory": "24Gi", GPU: "1"}}
    containers = [
        {"name": "http-forwarder", "image": "x", "resources": forwarder},
        {"name": "main", "image": "x", "resources": model},
    ]
    name = "launch-endpoint-id-real"
    template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": containers, **pod}}
    spec = {"replicas": 1, "selector": {"matchLabels": {"app": name}}, "template": template}
    return world.create("deployments", name, spec)


def refused_by_the_scheduler(world: World) -> None:
    """48 CPUs of a node with 48: the forwarder's CPU is one too many."""
    real_endpoint(world, "48")
    waiting(world, "launch-endpoint-id-real")
    query = f"/api/v1/namespaces/{world.namespace}/pods?labelSelector=app%3Dlaunch-endpoint-id-real"
    (pod,) = world.plane.api("GET", query)["items"]
    (said,) = (c["message"] for c in pod["status"]["conditions"] if c["type"] == "PodScheduled")
    assert "1 Insufficient cpu" in said


def placed_by_the_scheduler(world: World) -> None:
    path = real_endpoint(world, "47")
    world.wait(path, lambda status: status.get("readyReplicas") == 1)
    caches(world)


def waiting_for_a_node(world: World) -> None:
    """An endpoint's pod waits, and the cluster autoscaler has said that it adds a node."""
    world.endpoint(accelerator=H100)
    waiting(world, "launch-endpoint-id-1")
    query = f"/api/v1/namespaces/{world.namespace}/pods?labelSelector=app%3Dlaunch-endpoint-id-1"
    (pod,) = world.plane.api("GET", query)["items"]
    about = {"kind": "Pod", "namespace": world.namespace, "name": pod["metadata"]["name"]}
    event = {
        "metadata": {"name": "scale-up"},
        "involvedObject": about,
        "reason": "TriggeredScaleUp",
        "message": "pod triggered scale-up: [{h100 0->1 (max: 4)}]",
    }
    world.plane.api("POST", f"/api/v1/namespaces/{world.namespace}/events", event)
    caches(world)


def karpenter(world: World) -> None:
    """A NodePool that makes such nodes; an endpoint at zero uses them."""
    crd = {
        "metadata": {"name": "nodepools.karpenter.sh"},
        "spec": {
            "group": "karpenter.sh",
            "scope": "Cluster",
            "names": {"kind": "NodePool", "plural": "nodepools", "singular": "nodepool"},
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "schema": {
                        "openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
                    },
                }
            ],
        },
    }
    world.plane.api("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", crd)
    world.plane.wait_established()
    requirement = {"key": LABEL, "operator": "In", "values": [H100]}
    pool = {
        "apiVersion": "karpenter.sh/v1",
        "kind": "NodePool",
        "metadata": {"name": "gpu"},
        "spec": {"template": {"spec": {"requirements": [requirement]}}},
    }
    world.plane.apply(pool)
    endpoint_at_zero(world)


def nothing(_: World) -> None:
    pass


@dataclass(frozen=True, kw_only=True)
class Case:
    """Nodes, values and objects; the finding that must be there, and a part of its message."""

    id: str
    reason: str
    says: str
    nodes: tuple[Gpu, ...] = (Gpu(),)
    values: Mapping[str, Any] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    stage: Callable[[World], None] = caches
    alone: bool = False
    """Whether nothing else is wrong."""
    status: Status | None = None
    """Of the check, where it is not the reason's own."""
    fix: tuple[str, ...] = ()
    """Parts of its remedy."""


CASES = [
    Case(
        id="nobody has such nodes",
        reason="NoNodeWithLabel",
        says=f"no node has {LABEL}={H100} (recommendedHardware: 180 GB, 320 GB)",
        values=tiers(tier(), tier(180, gpu_type=H100), tier(320, gpu_type=H100, gpus=4)),
        stage=endpoint_at_zero,
        alone=True,
    ),
    Case(
        id="nobody has such nodes, nor uses them",
        reason="NoNodeWithLabel",
        says="no endpoint, balloon or image cache uses it (recommendedHardware: 180 GB)",
        values=tiers(tier(), tier(180, gpu_type=H100)),
        alone=True,
        status=Status.WARN,
    ),
    Case(
        id="an autoscaler will bring them",
        reason="AutoscaledPoolAtZero",
        says=f"no node has {LABEL}={H100} now",
        values=tiers(tier(), tier(180, gpu_type=H100)),
        parameters={"autoscaledPools": [H100]},
        alone=True,
    ),
    Case(
        id="the cluster autoscaler is bringing one",
        reason="AutoscaledPoolAtZero",
        says="the cluster autoscaler is adding one (recommendedHardware: 180 GB)",
        values=tiers(tier(), tier(180, gpu_type=H100)),
        stage=waiting_for_a_node,
        alone=True,
    ),
    Case(
        id="an endpoint waits, and nothing brings one",
        reason="NoNodeWithLabel",
        says=f"no node has {LABEL}={H100} (recommendedHardware: 180 GB)",
        values=tiers(tier(), tier(180, gpu_type=H100)),
        stage=endpoint_at_zero,
        alone=True,
    ),
    Case(
        id="a GPU type that does not exist",
        reason="UnknownAccelerator",
        says="is nvidia-tesla-a10, which is not a GPU type of model engine (did you mean nvidia-ampere-a10?)",
        values=tiers(tier(gpu_type="nvidia-tesla-a10")),
    ),
    Case(
        id="a GPU type that LLMs may not have",
        reason="UnknownAccelerator",
        says="is nvidia-ampere-a100e, which LLM endpoints cannot have",
        values=tiers(tier(), tier(180, gpu_type="nvidia-ampere-a100e")),
    ),
    Case(
        id="the label's value is misspelt on the nodes",
        reason="AcceleratorLabelMisspelt",
        says="1 has nvidia-ampere-a10g",
        nodes=(Gpu(accelerator="nvidia-ampere-a10g"),),
        stage=nothing,
    ),
    Case(
        id="the label is missing",
        reason="GpuNodesUnlabelled",
        says="2 GPU nodes lack the label: ",
        nodes=(
            Gpu(accelerator=None),
            Gpu(accelerator=None, labels={"nvidia.com/gpu.product": "NVIDIA-A10G"}),
        ),
        stage=nothing,
    ),
    Case(
        id="G-07: the label is missing, and the product's is there",
        reason="GpuNodesUnlabelled",
        says="1 GPU node lacks the label: gpu-",
        nodes=(Gpu(accelerator=None, labels={"nvidia.com/gpu.product": "NVIDIA-A10G"}),),
        stage=nothing,
        fix=(f"{LABEL}={A10}",),
    ),
    Case(
        id="the label is missing on some",
        reason="SomeGpuNodesUnlabelled",
        says="1 GPU node has no accelerator label",
        nodes=(Gpu(), Gpu(accelerator=None, labels={"nvidia.com/gpu.product": "NVIDIA-A10G"})),
        stage=nothing,
    ),
    Case(
        id="the top-level nodeSelector does not match",
        reason="NodeSelectorUnmatched",
        says=f"of 1 {A10} node, 1 lacks node-lifecycle=normal",
        nodes=(Gpu(labels={"node-lifecycle": "spot"}),),
        stage=nothing,
    ),
    Case(
        id="nor does it match any node",
        reason="NodeSelectorUnmatched",
        says="gateway, builder and cacher",
        values={"nodeSelector": {"pool": "control"}},
        stage=nothing,
    ),
    Case(
        id="a taint that nothing tolerates",
        reason="UntoleratedTaint",
        says="dedicated=ml:NoSchedule on 1",
        nodes=(Gpu(taints=(TAINT, GPU_TAINT_NODES)),),
        stage=nothing,
        fix=("add its key to gpuTolerations", "dedicated-."),
    ),
    *(
        Case(
            id=f"a taint to stay: {key}",
            reason="UntoleratedTaint",
            says=f"{key}=x:NoSchedule on 1",
            nodes=(Gpu(taints=(TAINT, {"key": key, "value": "x", "effect": "NoSchedule"})),),
            stage=nothing,
            fix=(f"If taint {key} reserves the nodes",),
        )
        for key in ("karpenter.sh/capacity-type", "health-team", "kubernetes.azure.com/scalesetpriority")
    ),
    Case(
        id="effect NoExecute",
        reason="TaintNoExecute",
        says="nvidia.com/gpu=present:NoExecute on 1",
        nodes=(Gpu(taints=({**TAINT, "effect": "NoExecute"},)),),
        stage=nothing,
    ),
    Case(
        id="NoExecute of a key in gpuTolerations",
        reason="TaintNoExecute",
        says="dedicated=ml:NoExecute on 1",
        nodes=(Gpu(taints=(TAINT, {**GPU_TAINT_NODES, "effect": "NoExecute"})),),
        values={"gpuTolerations": [{"key": "dedicated", "operator": "Exists", "effect": "NoExecute"}]},
        stage=nothing,
    ),
    Case(
        id="cordoned",
        reason="GpuNodesCordoned",
        says="1 is cordoned",
        nodes=(Gpu(cordoned=True),),
        stage=nothing,
    ),
    Case(
        id="NotReady",
        reason="GpuNodesNotReady",
        says="1 is NotReady",
        nodes=(Gpu(ready=False),),
        stage=nothing,
        alone=True,
    ),
    Case(
        id="one cordoned, one NotReady",
        reason="GpuNodesNotReady",
        says="1 is cordoned",
        nodes=(Gpu(ready=False), Gpu(cordoned=True)),
        stage=nothing,
    ),
    Case(
        id="some cordoned",
        reason="SomeGpuNodesExcluded",
        says=f"1 of 2 {A10} nodes accepts no endpoint: 1 is cordoned",
        nodes=(Gpu(), Gpu(cordoned=True)),
        alone=True,
    ),
    Case(
        id="no device plugin",
        reason="NoGpuAllocatable",
        says="1 nvidia-ampere-a10 node offers no nvidia.com/gpu: ",
        nodes=(Gpu(offers={}),),
    ),
    Case(
        id="G-03: all devices unhealthy",
        reason="GpuUnhealthy",
        says="has 16 GPUs, 0 healthy",
        nodes=(Gpu(offers={GPU: "0"}, has={GPU: "16"}),),
        fix=("kubectl drain gpu-",),
    ),
    Case(
        id="G-19: MIG mixed",
        reason="MIGStrategyNotSingle",
        says="1 nvidia-ampere-a10 node offers nvidia.com/mig-3g.20gb and no nvidia.com/gpu",
        nodes=(Gpu(offers={"nvidia.com/mig-3g.20gb": "8"}),),
        fix=("MIG strategy to single", "mig.strategy=single"),
    ),
    Case(
        id="more CPU than any node",
        reason="TierTooLarge",
        says="cpu: 61 requested, 48 at most",
        values=tiers(tier(), tier(48, cpus=60)),
        alone=True,
    ),
    Case(
        id="exactly the node, and the forwarder beside it",
        reason="TierTooLarge",
        says="cpu: 49 requested, 48 at most",
        values=tiers(tier(cpus=48)),
        stage=refused_by_the_scheduler,
    ),
    Case(
        id="one CPU less, which leaves it to the forwarder",
        reason="NoRoomNow",
        says="can hold it, 0 have room now (recommendedHardware: 24 GB, foo-7b)",
        values={"recommendedHardware": both(cpus=47)},
        stage=placed_by_the_scheduler,
        alone=True,
        status=Status.PASS,
    ),
    Case(
        id="more of everything",
        reason="TierTooLarge",
        says="nvidia.com/gpu: 8 requested, 4 at most",
        values={"recommendedHardware": {"byModelName": [named("deepseek-coder-v2", gpus=8, memory="240Gi")]}},
    ),
    Case(
        id="a worker over more nodes than there are",
        reason="TooFewNodesForWorker",
        says=f"a worker needs 2 nodes, 1 {A10} node can hold its part",
        values=tiers(tier(nodes_per_worker=2)),
    ),
    Case(
        id="only without the DaemonSets",
        reason="FitsOnlyWhenEmpty",
        says=f"1 {A10} node can hold it when empty, 0 beside the pods of DaemonSets",
        values=tiers(tier(cpus=44)),
        stage=greedy_daemons,
        alone=True,
    ),
    Case(
        id="all occupied",
        reason="NoRoomNow",
        says="1 nvidia-ampere-a10 node can hold it, 0 have room now",
        stage=endpoint_runs(gpus="4"),
    ),
    Case(
        id="ordinary pods may come",
        reason="GpuTaintMissing",
        says="1 GPU node has no taint",
        nodes=(Gpu(taints=()),),
        alone=True,
    ),
    Case(
        id="the documented duplicate",
        reason="DuplicateTier",
        says="byGpuMemoryGb[1].gpu_memory_le is 24, as in recommendedHardware.byGpuMemoryGb[0], which is used",
        values=tiers(tier(), tier(nodes_per_worker=2)),
        nodes=(Gpu(), Gpu()),
        alone=True,
    ),
    Case(
        id="a balloon of a type that does not exist",
        reason="BalloonUnmatched",
        says="did you mean nvidia-ampere-a10?",
        values=balloons(("nvidia-tesla-a10", 1)),
        alone=True,
    ),
    Case(
        id="a balloon that no node matches",
        reason="BalloonUnmatched",
        says="node(s) didn't match Pod's node affinity/selector",
        values={**balloons((A10, 1)), "balloonNodeSelector": {"node-lifecycle": "reserved"}},
        alone=True,
    ),
    Case(
        id="a balloon with more GPUs than a node",
        reason="BalloonTooLarge",
        says="nvidia.com/gpu: 8 requested, 4 at most",
        values=balloons((A10, 1), gpuCount=8),
        alone=True,
    ),
    Case(
        id="a balloon's Deployment is missing",
        reason="BalloonAbsent",
        says=f"Deployment model-engine-balloon-{A10} does not exist",
        values=balloons((A10, 1)),
        alone=True,
    ),
    Case(
        id="more balloons than GPUs",
        reason="BalloonPending",
        says="Insufficient nvidia.com/gpu, 1 node(s) didn't match Pod's node affinity/selector",
        values=balloons((A10, 5)),
        stage=greedy_balloon,
    ),
    Case(
        id="the balloons' priority class is missing",
        reason="BalloonPending",
        says="no PriorityClass with name model-engine-low-priority",
        values=balloons((A10, 1)),
        stage=balloon_without_class,
    ),
    Case(
        id="balloons that do not yield",
        reason="BalloonsBlockEndpoints",
        says="1 endpoint pod of default priority waits",
        values=balloons((A10, 1), gpuCount=4),
        stage=balloons_first,
    ),
    Case(
        id="no balloon for a type in use",
        reason="NoWarmNodes",
        says=f"endpoints use {A10}, but its balloon",
        values=balloons((A10, 0)),
        stage=endpoint_runs(),
    ),
    Case(
        id="a device that the cacher does not know",
        reason="ImageCacheDeviceUnknown",
        says="named nvidia-a10",
        values={"imageCache": {"devices": [device("a10", A10), device("nvidia-a10", A10)]}},
        alone=True,
    ),
    Case(
        id="a device is missing",
        reason="ImageCacheDeviceMissing",
        says="imageCache.devices lacks a10",
        values={"imageCache": {"devices": []}},
        alone=True,
    ),
    Case(
        id="the device's selector matches nothing",
        reason="ImageCacheSelectorUnmatched",
        says=f"matches no node, although 1 {A10} node exists",
        values={"imageCache": {"devices": [device("a10", "nvidia-tesla-a10")]}},
        alone=True,
    ),
    Case(
        id="the device's toleration is missing",
        reason="ImageCacheTolerationMissing",
        says="1 of 1 node has the taint nvidia.com/gpu=present:NoSchedule",
        values={"imageCache": {"devices": [{"name": "a10", "nodeSelector": {LABEL: A10}}]}},
        stage=nothing,
        alone=True,
    ),
    Case(
        id="the cacher made no DaemonSet",
        reason="ImageCacheAbsent",
        says="DaemonSet launch-image-cache-a10 does not exist",
        stage=nothing,
        alone=True,
    ),
    Case(
        id="the DaemonSet's pods do not start",
        reason="ImageCacheNotReady",
        says="DaemonSet launch-image-cache-a10 is ready on 0 of 1 node",
        stage=stuck_cache("container-creating"),
        alone=True,
    ),
    Case(
        id="the DaemonSet's pods only wait for an image",
        reason="ImageCacheNotReady",
        says="1 pod waits for an image pull",
        stage=stuck_cache("image-pull-backoff"),
        alone=True,
        status=Status.PASS,
    ),
    Case(
        id="an endpoint namespace that is not ours",
        reason="EndpointNamespaceNotVerified",
        says="kube-public",
        values={"config": {"values": {"launch": {"endpoint_namespace": "kube-public"}}}},
        alone=True,
    ),
    Case(
        id="the balloon takes the GPU that a tier would need",
        reason="GpuNodesCovered",
        says="2 tiers are",
        values={**balloons((A10, 1), gpuCount=4), "balloonConfig": {"reserveHighPriority": False}},
        stage=all_taken_by_balloons,
        alone=True,
    ),
    Case(
        id="sound, with a balloon",
        reason="GpuNodesCovered",
        says=f"2 tiers are covered by 1 {A10} node",
        values=balloons((A10, 1)),
        stage=sound_balloon,
        alone=True,
    ),
    Case(
        id="sound, other accelerators unused",
        reason="GpuNodesCovered",
        says="2 tiers",
        values=tiers(tier(), tier(180, gpu_type=H100)),
        parameters={"unusedAccelerators": [H100]},
        alone=True,
    ),
    Case(
        id="one tier and one node",
        reason="GpuNodesCovered",
        says=f"1 tier is covered by 1 {A10} node",
        values={"recommendedHardware": {"byModelName": []}},
        alone=True,
    ),
    *(
        Case(
            id=f"{public}a controller's taint: {key}",
            reason="NodeStateTaint",
            says=f"1 is {state} ({key}",
            nodes=(Gpu(taints=(TAINT, {"key": key, "value": "true", "effect": effect})),),
            stage=nothing,
            fix=(f"Do not add {key} to gpuTolerations", owner),
        )
        for public, key, effect, state, owner in (
            ("G-04: ", "node.cilium.io/agent-not-ready", "NoExecute", "starting", "Cilium"),
            ("", "karpenter.sh/disrupted", "NoSchedule", "being removed", "Karpenter"),
            ("G-06: ", "ToBeDeletedByClusterAutoscaler", "NoSchedule", "being removed", "cluster autoscaler"),
            ("", "startup-taint.cluster-autoscaler.kubernetes.io/gpu", "NoSchedule", "starting", "start-up"),
            ("G-18: ", "AggregatedNodeHealth", "NoSchedule", "unhealthy", "health"),
            ("", "example.com/agent-not-ready", "NoSchedule", "starting", "a controller"),
            ("", "GpuUnhealthy", "NoSchedule", "unhealthy", "a controller"),
        )
    ),
    Case(
        id="a controller's taint on a node that just joined",
        reason="NodeStateTaint",
        says="1 node has just joined",
        nodes=(Gpu(taints=(TAINT, {"key": "ebs.csi.aws.com/agent-not-ready", "effect": "NoExecute"})),),
        parameters={"joiningGracePeriod": "10m"},
        stage=nothing,
        alone=False,
    ),
    Case(
        id="G-02: one of eight GPUs is broken, and a tier needs all",
        reason="GpuUnhealthy",
        says="has 8 GPUs, 7 healthy (recommendedHardware: 640 GB)",
        nodes=(Gpu(offers={GPU: "7"}, has={GPU: "8"}),),
        values=tiers(tier(), tier(640, gpus=8)),
        alone=True,
        fix=("kubectl drain gpu-",),
    ),
    Case(
        id="one of eight GPUs is broken, and no tier needs it",
        reason="GpuUnhealthy",
        says="has 8 GPUs, 7 healthy",
        nodes=(Gpu(offers={GPU: "7"}, has={GPU: "8"}),),
        alone=True,
        status=Status.WARN,
    ),
    Case(
        id="G-01: time slicing under another name",
        reason="GpuResourceRenamed",
        says="1 nvidia-ampere-a10 node offers nvidia.com/gpu.shared and no nvidia.com/gpu",
        nodes=(Gpu(offers={"nvidia.com/gpu.shared": "4"}),),
        fix=("renameByDefault",),
    ),
    Case(
        id="time slicing under the name of whole GPUs",
        reason="GpuShared",
        says="1 node offers parts of GPUs as nvidia.com/gpu (NVIDIA-A10G-SHARED): ",
        nodes=(Gpu(labels={"nvidia.com/gpu.product": "NVIDIA-A10G-SHARED"}),),
        alone=True,
        fix=("sharing.timeSlicing",),
    ),
    Case(
        id="MIG slices under the label of a whole GPU",
        reason="GpuShared",
        says="(NVIDIA-A100-SXM4-80GB-MIG-3g.40gb)",
        nodes=(Gpu(labels={"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-80GB-MIG-3g.40gb"}),),
        alone=True,
        fix=("nvidia.com/mig.config=all-disabled",),
    ),
    Case(
        id="GPUs of another vendor beside ours are no affair of ours",
        reason="GpuNodesCovered",
        says="2 tiers are covered by 1 nvidia-ampere-a10 node",
        nodes=(Gpu(), Gpu(accelerator=None, offers={"amd.com/gpu": "8"}, taints=())),
        stage=cached_on_one,
        alone=True,
    ),
    Case(
        id="no other nodes than those of another vendor",
        reason="NoNodeWithLabel",
        says=f"no node has {LABEL}={A10}",
        nodes=(Gpu(accelerator=None, offers={"amd.com/gpu": "8"}, taints=()),),
        stage=nothing,
    ),
    Case(
        id="neither label nor device plugin, but the product's label",
        reason="GpuNodesUnlabelled",
        says="1 GPU node lacks the label: gpu-",
        nodes=(Gpu(accelerator=None, offers={}, labels={"nvidia.com/gpu.product": "NVIDIA-A10G"}),),
        stage=nothing,
    ),
    Case(
        id="G-16: a node that just joined beside one that serves",
        reason="GpuNodesCovered",
        says="covered",
        nodes=(Gpu(), Gpu(offers={})),
        parameters={"joiningGracePeriod": "10m"},
        alone=True,
    ),
    Case(
        id="the same node, when its time is over",
        reason="SomeGpuNodesExcluded",
        says="1 offers no nvidia.com/gpu",
        nodes=(Gpu(), Gpu(offers={})),
        alone=True,
    ),
    Case(
        id="a node that an autoscaler removes beside one that serves",
        reason="GpuNodesCovered",
        says="covered",
        nodes=(
            Gpu(),
            Gpu(
                taints=(
                    TAINT,
                    {"key": "ToBeDeletedByClusterAutoscaler", "value": "1", "effect": "NoSchedule"},
                )
            ),
        ),
        stage=cached_on_one,
        alone=True,
    ),
    Case(
        id="the only node just joined",
        reason="NoGpuAllocatable",
        says="1 node has just joined",
        nodes=(Gpu(offers={}),),
        parameters={"joiningGracePeriod": "10m"},
        alone=True,
        status=Status.WARN,
    ),
    Case(
        id="an endpoint has taken the balloon's place",
        reason="BalloonDisplaced",
        says="0 of 1 run; endpoints use the GPUs",
        values=balloons((A10, 1), gpuCount=4),
        stage=displaced_balloon,
    ),
    Case(
        id="the balloon without GPUs tolerates no taint",
        reason="BalloonUnmatched",
        says="untolerated taint",
        nodes=(Gpu(labels={"pool": "gpu"}),),
        values={**balloons(("cpu", 1)), "balloonNodeSelector": {"pool": "gpu"}},
        stage=greedy_cpu_balloon,
    ),
    Case(
        id="a hidden tier is not judged",
        reason="DuplicateTier",
        says="which is used instead",
        values=tiers(tier(), tier(gpus=8)),
        alone=True,
    ),
    Case(
        id="of two entries for a model the last one is used",
        reason="DuplicateTier",
        says="byModelName[0].name is foo-7b, as in recommendedHardware.byModelName[1], which is used",
        values={"recommendedHardware": {"byModelName": [named("foo-7b", gpus=8), named("foo-7b")]}},
        alone=True,
    ),
    Case(
        id="a tier above the platform's limits",
        reason="RecommendedHardwareInvalid",
        says="byGpuMemoryGb[1].cpus is 80; model engine allows nvidia-ampere-a10 at most 62",
        values=tiers(tier(), tier(48, cpus=80)),
        alone=True,
    ),
    Case(
        id="a tier that the platform cannot read",
        reason="RecommendedHardwareInvalid",
        says="byGpuMemoryGb[1].nodes_per_worker is not set",
        values=tiers(tier(), tier(48, nodes_per_worker=None)),
        alone=True,
    ),
    Case(
        id="Karpenter brings them",  # last: its CRD stays
        reason="AutoscaledPoolAtZero",
        says="Karpenter NodePool gpu adds them",
        values=tiers(tier(), tier(180, gpu_type=H100)),
        stage=karpenter,
        alone=True,
    ),
]


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    """Of this module alone: nodes belong to no namespace."""
    with ControlPlane() as plane:
        yield plane


@pytest.fixture(scope="module")
def kubelets(plane: ControlPlane) -> Iterator[Kwok]:
    with Kwok(plane) as kubelets:
        kubelets.add_node("control-1", labels={"node-lifecycle": "normal"})
        yield kubelets


@contextmanager
def world(plane: ControlPlane, kubelets: Kwok, nodes: Sequence[Gpu]) -> Iterator[World]:
    namespace = plane.create_namespace("gpu")
    names = [f"{namespace}-{index}" for index in range(len(nodes))]
    here = World(plane=plane, kwok=kubelets, namespace=namespace, nodes=names)
    try:
        for node, name in zip(nodes, names, strict=True):
            node.add(here, name)
        yield here
    finally:
        plane.delete_namespace(namespace)
        for name in names:
            kubelets.delete_node(name)


async def judge(here: World, case: Case, kubeconfig: str = "") -> CheckResult:
    async with connected(Access(kubeconfig=kubeconfig or str(here.plane.kubeconfig))) as api:
        return await judged(
            "GpuNodesReady",
            overlaid(VALUES, case.values),
            cluster=KubernetesCluster(api),
            namespace=here.namespace,
            parameters={"joiningGracePeriod": "0s", **case.parameters},
        )


@pytest.mark.integration
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
async def test_each_fault_has_its_reason(case: Case, plane: ControlPlane, kubelets: Kwok) -> None:
    with world(plane, kubelets, case.nodes) as here:
        case.stage(here)
        result = await judge(here, case)
    reasons = {reason.name: reason for reason in (*GpuNodesReasons.all(), *InstallationReasons.all())}
    found = [finding for finding in result.findings if finding.reason == case.reason]
    assert found, result
    assert any(case.says in finding.message for finding in found), result
    for words in case.fix:
        assert any(words in finding.remediation for finding in found), result
    if case.alone:
        worse = {finding.reason for finding in result.findings if finding.status is not Status.PASS}
        assert worse <= {case.reason}, result
        assert result.status is (case.status or reasons[case.reason].status)


READS_NODES = {"apiGroups": [""], "resources": ["nodes"], "verbs": ["list"]}


def account(plane: ControlPlane, namespace: str, *rules: Mapping[str, Any]) -> str:
    """A kubeconfig of a ServiceAccount with these rules, cluster-wide."""
    path = plane.service_account_kubeconfig(namespace, "prober")
    rbac = "/apis/rbac.authorization.k8s.io/v1"
    plane.api("POST", f"{rbac}/clusterroles", {"metadata": {"name": namespace}, "rules": list(rules)})
    subject = {"kind": "ServiceAccount", "name": "prober", "namespace": namespace}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": namespace}
    binding = {"metadata": {"name": namespace}, "roleRef": role, "subjects": [subject]}
    plane.api("POST", f"{rbac}/clusterrolebindings", binding)
    return str(path)


UNSEEN = Case(id="only nodes may be read", reason="IncompleteData", says="", stage=nothing)


@pytest.mark.integration
async def test_without_pods_the_nodes_are_judged_all_the_same(plane: ControlPlane, kubelets: Kwok) -> None:
    with world(plane, kubelets, UNSEEN.nodes) as here:
        result = await judge(here, UNSEEN, account(plane, here.namespace, READS_NODES))
    assert (result.status, result.reason) == (Status.ERROR, UNSEEN.reason)
    messages = [finding.message for finding in result.findings]
    assert "not allowed to list pods in the whole cluster" in messages
    assert f"not allowed to list deployments.apps in namespace {here.namespace}" in messages
    assert f"not allowed to list daemonsets.apps in namespace {here.namespace}" in messages
    assert result.evidence["nodes"] == 2


@pytest.mark.integration
async def test_without_nodes_nothing_can_be_said(plane: ControlPlane, kubelets: Kwok) -> None:
    with world(plane, kubelets, ()) as here:
        result = await judge(here, UNSEEN, account(plane, here.namespace))
    assert (result.status, result.reason) == (Status.ERROR, "Forbidden")
    assert result.message == "not allowed to list nodes in the whole cluster"
    assert "the verb list on nodes" in result.remediation


@pytest.mark.integration
async def test_pods_are_not_read_when_they_are_not_to_be_counted(plane: ControlPlane, kubelets: Kwok) -> None:
    rules = {
        "apiGroups": ["apps", "leaderworkerset.x-k8s.io"],
        "resources": ["deployments", "daemonsets", "leaderworkersets"],
        "verbs": ["list"],
    }
    case = Case(id="", reason="", says="", parameters={"countPods": False})
    with world(plane, kubelets, case.nodes) as here:
        caches(here)
        result = await judge(here, case, account(plane, here.namespace, READS_NODES, rules))
    assert (result.status, result.reason) == (Status.PASS, "GpuNodesCovered")


async def test_no_gpu_is_configured() -> None:
    result = await judged("GpuNodesReady", {"balloons": [{"acceleratorName": "cpu", "replicaCount": 2}]})
    assert (result.status, result.reason) == (Status.SKIP, "NotApplicable")
    assert "no GPU is configured" in result.message


async def test_no_cluster_is_given() -> None:
    result = await judged("GpuNodesReady", VALUES)
    assert (result.status, result.reason) == (Status.SKIP, "NotApplicable")
    assert "needs a cluster" in result.message


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"balloons": "all"}, "balloons (from spec.values): expected a list"),
        ({"balloons": [A10]}, "balloons (from spec.values): balloons[0] is not a map"),
        (balloons((A10, 1), gpuCount="two"), "balloons[0].gpuCount: expected a whole number, not 'two'"),
        ({"nodeSelector": ["a"]}, "nodeSelector: expected a map of labels"),
        ({"gpuTolerations": [{"operator": "Exists"}]}, "gpuTolerations[0] has no key"),
        ({"tolerations": ["all"]}, "tolerations (from spec.values): expected a list of tolerations"),
        (
            {"imageCache": {"devices": [{"name": "a10", "tolerations": "x"}]}},
            "expected a list of tolerations",
        ),
    ],
)
async def test_values_that_cannot_be_read(values: Mapping[str, Any], says: str) -> None:
    result = await judged("GpuNodesReady", overlaid(VALUES, values))
    assert (result.status, result.reason) == (Status.ERROR, "InvalidValue")
    assert says in result.message


def test_every_reason_has_a_case() -> None:
    own = {reason.name for reason in GpuNodesReasons.all()}
    assert own == {case.reason for case in CASES} - {"EndpointNamespaceNotVerified"}


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("nvidia-tesla-a10", A10),
        ("nvidia-ampere-a10g", A10),
        ("nvidia-a100", A100),
        ("NVIDIA-Hopper-H100", H100),
        ("nvidia-hopper-h100-1g.20gb", "nvidia-hopper-h100-1g20gb"),
        ("t4", "nvidia-tesla-t4"),
        ("amd-mi300", ""),
    ],
)
def test_the_accelerator_that_was_meant(written: str, meant: str) -> None:
    assert suggestion(written) == meant
