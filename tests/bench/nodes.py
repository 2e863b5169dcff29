"""What GpuNodesReady costs by the number of nodes: `python tests/bench/nodes.py [NODES…]`.

Each size is measured in a fresh process against a real API server with nodes as large as a kubelet makes them and
four pods on each: once listed, as the command does it, and once watched, as the operator does it.
"""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil

from bench.traffic import Traffic
from mehc_checks.checks.gpu_nodes.check import gpu_nodes_ready
from mehc_checks.checks.gpu_nodes.gather import gather as gpu_facts
from mehc_checks.clients.kubernetes.api import KubernetesCluster
from mehc_checks.installation.context import Context
from mehc_checks.installation.inventory import Inventory, ListedInventory, WatchedInventory
from mehc_checks.modelengine.values import Layer, Values
from mehc_operator.connection import Access, connected
from testbed.controlplane import ApiError, ControlPlane

SIZES = (10, 1000, 5000)
PODS_PER_NODE = 4
ACCELERATORS = ("nvidia-ampere-a10", "nvidia-hopper-h100", "")


def main(sizes: tuple[int, ...] = SIZES) -> list[dict[str, float]]:
    """One row for each size and way, printed as they come."""
    rows: list[dict[str, float]] = []
    plane = ControlPlane()
    with contextlib.closing(plane):
        plane.etcd.start()
        plane.apiserver.start()
        with contextlib.suppress(ApiError):
            plane.api("POST", "/api/v1/namespaces", {"metadata": {"name": "default"}})
        plane.api("POST", "/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "default"}})
        there = 0
        for size in sorted(sizes):
            asyncio.run(_fill(plane, there, size))
            there = size
            for way in ("listed", "watched"):
                done = subprocess.run(
                    [sys.executable, __file__, "--measure", way, str(plane.kubeconfig)],
                    check=True,
                    capture_output=True,
                    text=True,
                )
                row = {"nodes": size, **json.loads(done.stdout)}
                print(f"{way:8}", row, flush=True)
                rows.append(row)
    return rows


async def _fill(plane: ControlPlane, first: int, last: int) -> None:
    slots = asyncio.Semaphore(32)
    async with connected(Access(kubeconfig=str(plane.kubeconfig))) as api:
        cluster = KubernetesCluster(api)

        async def add(index: int) -> None:
            async with slots:
                for path, body in ((("/api/v1/nodes"), _node(index)), *_pods(index)):
                    status, answer = await cluster.request("POST", path, body=body)
                    assert status == 201, answer
                # Admission taints a new node as not ready, and no controller is here to undo it.
                node = _node(index)
                status, answer = await cluster.request(
                    "PATCH",
                    f"/api/v1/nodes/{node['metadata']['name']}",
                    body={"spec": node["spec"]},
                    content_type="application/merge-patch+json",
                )
                assert status == 200, answer

        await asyncio.gather(*(add(index) for index in range(first, last)))


def _node(index: int) -> dict[str, Any]:
    accelerator = ACCELERATORS[index % len(ACCELERATORS)]
    name = f"ip-10-{index >> 16}-{index >> 8 & 255}-{index & 255}.ec2.internal"
    labels = {
        "kubernetes.io/hostname": name,
        "kubernetes.io/arch": "amd64",
        "node-lifecycle": "normal",
        "topology.kubernetes.io/zone": f"us-east-1{'abc'[index % 3]}",
        **{f"feature.node.kubernetes.io/cpu-feature-{n}": "true" for n in range(25)},
        **({"k8s.amazonaws.com/accelerator": accelerator} if accelerator else {}),
    }
    resources = {"cpu": "48", "memory": "192Gi", "ephemeral-storage": "500Gi", "pods": "110"}
    if accelerator:
        resources["nvidia.com/gpu"] = "8"
    images = [
        {"names": [f"registry.example/{n}@sha256:{n:064x}", f"registry.example/{n}:{n}"], "sizeBytes": n}
        for n in range(50)
    ]
    condition = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "kubelet is ready"}
    return {
        "metadata": {"name": name, "labels": labels},
        "spec": {"taints": [{"key": "nvidia.com/gpu", "effect": "NoSchedule"}] if accelerator else []},
        "status": {
            "capacity": resources,
            "allocatable": resources,
            "images": images,
            "conditions": [condition],
        },
    }


def _pods(index: int) -> list[tuple[str, dict[str, Any]]]:
    node = _node(index)["metadata"]["name"]
    container = {"image": "x", "resources": {"requests": {"cpu": "500m", "memory": "1Gi"}}}
    return [
        (
            "/api/v1/namespaces/default/pods",
            {
                "metadata": {"name": f"pod-{index}-{n}", "labels": {"app": f"app-{n}"}},
                "spec": {
                    "nodeName": node,
                    "containers": [{**container, "name": "a"}, {**container, "name": "b"}],
                },
            },
        )
        for n in range(PODS_PER_NODE)
    ]


def _values() -> Values:
    entry = {"cpus": 10, "memory": "24Gi", "storage": "80Gi", "nodes_per_worker": 1}
    entries = [
        {**entry, "gpu_memory_le": 24 * gpus, "gpus": gpus, "gpu_type": kind}
        for kind in ACCELERATORS[:2]
        for gpus in (1, 2, 4, 8)
    ]
    tree = {
        "nodeSelector": {"node-lifecycle": "normal"},
        "recommendedHardware": {"byGpuMemoryGb": entries},
    }
    return Values.merged([Layer(source="bench", values=tree)])


async def _measure(way: str, kubeconfig: str) -> dict[str, float]:
    process, traffic = psutil.Process(os.getpid()), Traffic()
    async with connected(Access(kubeconfig=kubeconfig)) as api:
        api.configuration.trace_configs = [traffic.config()]
        cluster = KubernetesCluster(api)
        await cluster.get("/version")
        base = process.memory_info().rss
        traffic.requests = traffic.bytes = 0
        watching = WatchedInventory(cluster)
        first = await _pass(cluster, watching if way == "watched" else ListedInventory(cluster))
        asked, received = traffic.requests, traffic.bytes
        again = [await _pass(cluster, watching if way == "watched" else ListedInventory(cluster))]
        asked_again = traffic.requests - asked
        if way == "watched":
            again += [await _pass(cluster, watching) for _ in range(20)]
        row = {
            "requests": asked,
            "MB": round(received / 1e6, 2),
            "seconds": round(first, 3),
            "RSS before MiB": round(base / 2**20, 1),
            "RSS MiB": round(process.memory_info().rss / 2**20, 1),
            "peak RSS MiB": _peak(),
            "requests of the next pass": asked_again,
            "ms of the next pass": round(min(again) * 1000, 2),
        }
        await watching.stop()
        return row


async def _pass(cluster: KubernetesCluster, inventory: Inventory) -> float:
    began = time.perf_counter()
    context = Context(
        values=_values(),
        cluster=cluster,
        namespace="default",
        inventory=inventory,
        timeout=timedelta(seconds=60),
    )
    outcome = gpu_nodes_ready(await gpu_facts(context))
    await context.close()
    assert outcome.reason == "ImageCacheDeviceMissing", outcome
    return time.perf_counter() - began


def _peak() -> float:
    line = next(
        line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")
    )
    return round(int(line.split()[1]) / 1024, 1)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        print(json.dumps(asyncio.run(_measure(sys.argv[2], sys.argv[3]))))
    else:
        main(tuple(map(int, sys.argv[1:])) or SIZES)
