"""From a change that the Kubernetes API shows to the condition, at the default interval, all checks on."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Final

from bench.rows import Row
from demo.demo import Demo
from demo.stage import GPU_NODE, IMAGE_CACHE, REGISTRY, endpoint, image_cache, workloads
from mehc_checks.modelengine.accelerators import ACCELERATOR_LABEL
from testbed import keda
from testbed.controlplane import ControlPlane
from testbed.healthchecks import Cluster, manifest, wait
from testbed.helm import Helm, HelmInstallation
from testbed.kwok import STAGE_LABEL
from testbed.operatorprocess import Operator

_LIMIT: Final = 280
"""Seconds: less than the interval, which would find everything."""
_REST: Final = 12
"""Seconds between two changes: while more change, runs are further apart."""
_GATEWAY: Final = "deployment/model-engine"


@dataclass(frozen=True, slots=True)
class _Change:
    """``begin`` breaks what ``check`` asserts, ``end`` undoes it; both get the installation and its control plane."""

    what: str
    check: str
    begin: Callable[[ControlPlane, HelmInstallation], object]
    end: Callable[[ControlPlane, HelmInstallation], object]


def news(stack: ExitStack) -> Iterator[Row]:
    """Each change in turn, and its end."""
    demo = Demo(stack)
    plane = demo.control_plane
    installation = demo.servers.faults()[0][1]
    installation.install(plane, Helm(plane), image_cache())
    plane.kubectl("rollout", "status", "-n", installation.endpoints, f"daemonset/{IMAGE_CACHE}")
    for workload in workloads(installation):
        plane.kubectl("rollout", "status", "-n", installation.namespace, workload)
    cluster = Cluster(plane, installation.namespace)
    with Operator(plane, environment=demo.environment):
        grace = {"checks": {"EndpointsReady": {"parameters": {"gracePeriod": "1s"}}}}
        plane.apply([manifest(grace)], namespace=installation.namespace)
        cluster.probed()
        wait(lambda: cluster.condition("Ready")["status"] == "True", _LIMIT)
        for change in CHANGES:
            time.sleep(_REST)
            clock = time.monotonic()
            change.begin(plane, installation)
            wait(lambda: not _passes(cluster, change.check), _LIMIT)  # noqa: B023 - asked at once
            yield _row(f"{change.what} → {change.check}", time.monotonic() - clock, 3)
            time.sleep(_REST)
            clock = time.monotonic()
            change.end(plane, installation)
            wait(lambda: _passes(cluster, change.check), _LIMIT)  # noqa: B023
            yield _row(f"{change.what}, undone → {change.check}", time.monotonic() - clock)


def _passes(cluster: Cluster, check: str) -> bool:
    checks: list[dict[str, Any]] = cluster.get()["status"]["checks"]
    return any(each["name"] == check and each["status"] == "Pass" for each in checks)


def _row(what: str, measured: float, budget: float | None = None) -> Row:
    return Row(what=what, measured=measured, unit="s", budget=budget)


def _scaled(namespace: str, name: str, replicas: int) -> Callable[[ControlPlane, HelmInstallation], object]:
    return lambda plane, each: plane.kubectl(
        "scale", "-n", namespace or each.namespace, name, f"--replicas={replicas}"
    )


def _stage(name: str, stage: str | None) -> Callable[[ControlPlane, HelmInstallation], object]:
    labels = {"spec": {"template": {"metadata": {"labels": {STAGE_LABEL: stage}}}}}
    return lambda plane, each: plane.kubectl("patch", "-n", each.namespace, name, "-p", json.dumps(labels))


def _applied(**words: Any) -> Callable[[ControlPlane, HelmInstallation], object]:
    return lambda plane, each: plane.apply([endpoint("end-bench", **words)], namespace=each.endpoints)


def _deleted(plane: ControlPlane, each: HelmInstallation) -> object:
    return plane.kubectl("delete", "-n", each.endpoints, "deployment/launch-endpoint-id-end-bench")


def _labelled(label: str) -> Callable[[ControlPlane, HelmInstallation], object]:
    return lambda plane, _: plane.kubectl("label", "node", GPU_NODE, label)


CHANGES: Final = (
    _Change("gateway scaled to 0", "ControlPlaneReady", _scaled("", _GATEWAY, 0), _scaled("", _GATEWAY, 2)),
    _Change(
        "cacher's container crashes",
        "ControlPlaneReady",
        _stage(f"{_GATEWAY}-cacher", "crash-loop"),
        _stage(f"{_GATEWAY}-cacher", None),
    ),
    _Change(
        "KEDA's operator scaled to 0",
        "PrometheusQueryable",
        _scaled(keda.NAMESPACE, "deployment/keda-operator", 0),
        _scaled(keda.NAMESPACE, "deployment/keda-operator", 1),
    ),
    _Change(
        "an endpoint's image is missing",
        "EndpointsReady",
        _applied(image=f"{REGISTRY}/vllm:0.9.9", stage="image-pull-backoff"),
        _deleted,
    ),
    _Change(
        "an endpoint's container crashes",
        "EndpointsReady",
        _applied(stage="crash-loop"),
        _deleted,
    ),
    _Change(
        "an endpoint fits on no node",
        "EndpointsReady",
        _applied(nodeSelector={ACCELERATOR_LABEL: "nvidia-hopper-h100"}),
        _deleted,
    ),
    _Change(
        "an endpoint's ServiceAccount is gone",
        "EndpointsReady",
        _applied(serviceAccountName="gone"),
        _deleted,
    ),
    _Change(
        "GPU node loses its label",
        "GpuNodesReady",
        _labelled(f"{ACCELERATOR_LABEL}-"),
        _labelled(f"{ACCELERATOR_LABEL}=nvidia-ampere-a10"),
    ),
)
