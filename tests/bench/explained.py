"""What it costs to explain 75 endpoints that are stuck in various ways, and to judge 2,000, most without pods."""

import asyncio
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import yaml

from bench.rows import Row
from bench.traffic import Traffic
from mehc_checks.clients.kubernetes.api import KubernetesCluster
from mehc_checks.engine.check import catalogue
from mehc_checks.engine.report import CheckResult
from mehc_checks.installation.context import Context
from mehc_checks.modelengine.values import Layer, Values
from mehc_operator.connection import Access, connected
from mehc_operator.status import MOST_ENDPOINTS
from testbed import ports
from testbed.controlplane import ControlPlane
from testbed.installation import aws_values
from testbed.judging import reported
from testbed.kwok import CONTAINER_ANNOTATION, MESSAGE_ANNOTATION, STAGE_LABEL, Kwok
from testbed.process import temporary_directory
from testbed.waiting import eventually

STUCK: Final = 75
MANY: Final = 2000
TROUBLES: Final = (
    ("err-image-pull", "failed to resolve reference: not found"),
    ("image-pull-backoff", ""),
    ("oom-killed", ""),
    ("crash-loop", ""),
    ("container-creating", ""),
    ("config-error", 'secret "hf-token" not found'),
)
TOLD: Final = (
    ("Scheduled", "Normal", "Successfully assigned endpoints/{pod} to bench-explain"),
    ("Pulling", "Normal", 'Pulling image "{image}"'),
    (
        "Failed",
        "Warning",
        'Failed to pull image "{image}": failed to resolve reference "{image}": {image}: not found',
    ),
    ("Failed", "Warning", "Error: ErrImagePull"),
    ("BackOff", "Normal", 'Back-off pulling image "{image}"'),
    ("FailedMount", "Warning", 'MountVolume.SetUp failed for volume "config" : configmap "config" not found'),
    ("Unhealthy", "Warning", "Readiness probe failed: HTTP probe failed with statuscode: 503"),
)
"""Of each pod, as a kubelet tells."""


def explained(control_plane: ControlPlane) -> Iterator[Row]:
    """Registries do not answer, which is the slowest that they can be."""
    with ExitStack() as stack:
        namespace = control_plane.create_namespace("endpoints")
        stack.callback(control_plane.delete_namespace, namespace)
        kwok = stack.enter_context(Kwok(control_plane))
        stack.callback(kwok.delete_node, kwok.add_node("bench-explain"))
        host, port = stack.enter_context(ports.black_hole())
        _stage(control_plane, namespace, f"{host}:{port}")
        values = temporary_directory("bench") / "values.yaml"
        values.write_text(yaml.safe_dump(aws_values()))
        took, spent = min(_command(control_plane, namespace, values) for _ in range(3))
        yield Row(what=f"mehc explain of {STUCK} stuck endpoints", measured=took, unit="s", budget=3)
        yield Row(what="CPU of it, start of Python included", measured=spent, unit="s")
        yield from _check(control_plane, namespace, STUCK)
        for number in range(STUCK, MANY):
            _deployment(control_plane, namespace, number, paused=True)
        yield from _check(control_plane, namespace, MANY)


def _stage(plane: ControlPlane, namespace: str, registry: str) -> None:
    for number in range(STUCK):
        stage, message = TROUBLES[number % len(TROUBLES)]
        _deployment(
            plane, namespace, number, stage=stage, message=message, image=f"{registry}/vllm{number}:1"
        )

    def staged() -> list[Any]:
        pods = plane.api("GET", f"/api/v1/namespaces/{namespace}/pods")["items"]
        return [pod for pod in pods if pod["status"].get("containerStatuses")]

    pods = eventually(staged, lambda found: len(found) == STUCK, seconds=300)
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    for pod in pods:
        name, image = pod["metadata"]["name"], pod["spec"]["containers"][0]["image"]
        for reason, kind, message in TOLD:
            event = {
                "metadata": {"generateName": "kubelet-"},
                "involvedObject": {"kind": "Pod", "name": name, "namespace": namespace},
                "reason": reason,
                "type": kind,
                "message": message.format(pod=name, image=image),
                "firstTimestamp": now,
                "lastTimestamp": now,
                "count": 3,
            }
            plane.api("POST", f"/api/v1/namespaces/{namespace}/events", event)


def _deployment(
    plane: ControlPlane,
    namespace: str,
    number: int,
    *,
    stage: str = "",
    message: str = "",
    image: str = "vllm:1",
    paused: bool = False,
) -> None:
    name = f"launch-endpoint-id-end-{number}"
    labels = {"app": name, "endpoint_id": f"end_{number}", "endpoint_name": f"llama-{number}"}
    marks = {**labels, STAGE_LABEL: stage} if stage else labels
    notes = {CONTAINER_ANNOTATION: "main", MESSAGE_ANNOTATION: message} if message else {}
    template = {
        "metadata": {"labels": marks, "annotations": notes},
        "spec": {"containers": [{"name": "main", "image": image}], "terminationGracePeriodSeconds": 0},
    }
    spec = {"replicas": 1, "paused": paused, "selector": {"matchLabels": {"app": name}}, "template": template}
    body = {"metadata": {"name": name, "labels": labels}, "spec": spec}
    plane.api("POST", f"/apis/apps/v1/namespaces/{namespace}/deployments", body)


def _command(plane: ControlPlane, namespace: str, values: Path) -> tuple[float, float]:
    """Seconds, and seconds of CPU."""
    words = [Path(sys.executable).with_name("mehc"), "explain", "-n", namespace, "-f", str(values)]
    words += ["--kubeconfig", str(plane.kubeconfig), "--grace-period", "1s", "-o", "json"]
    clock, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=dict(os.environ))
    took, after = time.monotonic() - clock, resource.getrusage(resource.RUSAGE_CHILDREN)
    assert len(json.loads(done.stdout)["endpoints"]) == STUCK, done.stderr
    return took, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _check(plane: ControlPlane, namespace: str, count: int) -> Iterator[Row]:
    """EndpointsReady, as the operator carries it out, without the database."""
    result, took, requests = asyncio.run(_judged(plane, namespace))
    endpoints = result.endpoints or ()
    assert len(endpoints) == count, result.message
    what = f"{count:,} stuck endpoints"
    yield Row(what=f"EndpointsReady of {what}", measured=took, unit="s", budget=3 if count == STUCK else None)
    yield Row(what=f"API requests for {what}", measured=requests, unit="", budget=20)
    kept = endpoints[:MOST_ENDPOINTS]
    size = len(json.dumps([{"name": each.name, "message": each.message} for each in kept]))
    yield Row(what=f"status.endpoints of {what}", measured=len(kept), unit="", budget=MOST_ENDPOINTS)
    yield Row(what=f"messages in status.endpoints of {what}", measured=size / 1024, unit="KiB", budget=256)


async def _judged(plane: ControlPlane, namespace: str) -> tuple[CheckResult, float, int]:
    check = catalogue()["EndpointsReady"]
    parameters = check.parameters.model_validate(
        {"gracePeriod": "0s", "loadingGracePeriod": "0s", "readRecord": False}
    )
    async with connected(Access(kubeconfig=str(plane.kubeconfig))) as api:
        traffic = Traffic()
        api.configuration.trace_configs = [traffic.config()]
        context = Context(
            values=Values.merged([Layer(source="bench", values=aws_values())]),
            cluster=KubernetesCluster(api),
            namespace=namespace,
            timeout=timedelta(seconds=60),
            parameters={check.parameters: parameters},
        )
        clock = time.perf_counter()
        report = await reported([check], context)
        took = time.perf_counter() - clock
        await context.close()
    return report.checks[0], took, traffic.requests
