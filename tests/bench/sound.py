"""What a probe run of all checks costs on sound installations: `make bench ARGS="--only sound"`."""

import re
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, Final

import psutil
import redis

from bench.rows import Row, cpu_seconds
from demo.demo import Demo
from demo.stage import IMAGE_CACHE, PASSWORD, image_cache, workloads
from testbed.healthchecks import manifest
from testbed.helm import Helm
from testbed.operatorprocess import Operator
from testbed.waiting import eventually

COUNTS: Final = (2, 20)
"""Resources, half of them on AWS."""
_INTERVAL: Final = 30
"""Seconds. Runs that were asked for read the cluster, whatever is remembered: those that are due are measured."""
_QUIET: Final = 75
"""Seconds after which it is remembered which kinds the API server has."""
_RUNS: Final = 3
_PATIENCE: Final = 900.0
_READS = re.compile(r'^mehc_api_requests_total\{.*verb="(?:get|list)".*\} (\S+)$', re.MULTILINE)
_COUNT = re.compile(r"^mehc_probe_run_duration_seconds_count\S* (\S+)", re.MULTILINE)
_LAG = re.compile(r"^mehc_event_loop_lag\S* (\S+)", re.MULTILINE)


def sound(stack: ExitStack) -> Iterator[Row]:
    """Rows for each of COUNTS."""
    demo = Demo(stack)
    plane, helm = demo.control_plane, Helm(demo.control_plane)
    installations = [each for _, each in demo.servers.faults()[:2]]
    for each in installations:
        each.install(plane, helm, image_cache())
    for each in installations:
        plane.kubectl("rollout", "status", "-n", each.endpoints, f"daemonset/{IMAGE_CACHE}")
        for workload in workloads(each):
            plane.kubectl("rollout", "status", "-n", each.namespace, workload)
    namespaces = [each.namespace for each in installations]
    for count in COUNTS:
        with Operator(plane, environment=demo.environment) as operator:
            yield from _Crowd(demo, operator, namespaces, count).rows()
        plane.kubectl("delete", "mehc", "--all", "-A", timeout=180)


class _Crowd:
    def __init__(self, demo: Demo, operator: Operator, namespaces: list[str], count: int) -> None:
        self._demo = demo
        self._operator = operator
        self._process = psutil.Process(operator.pid)
        self._namespaces = namespaces
        self._count = count

    def rows(self) -> Iterator[Row]:
        began = time.monotonic()
        for number in range(self._count):
            namespace = self._namespaces[number % len(self._namespaces)]
            spec = manifest({"interval": f"{_INTERVAL}s"}, f"r{number:03}")
            self._demo.control_plane.apply(spec, namespace=namespace)
        eventually(lambda: self._number(_COUNT) >= self._count, bool, _PATIENCE)
        yield self._row("apply → every status", time.monotonic() - began, "s")
        time.sleep(_QUIET)
        before, connections = self._numbers(), self._connections()
        while self._number(_COUNT) < before[0] + self._count * _RUNS:
            time.sleep(5)  # a page of metrics costs some milliseconds, too
        runs, reads, cpu = (now - then for now, then in zip(self._numbers(), before, strict=True))
        yield self._row("API reads per resource and run", reads / runs, "", 5)
        yield self._row("CPU per resource and run", cpu / runs * 1000, "ms", 30)
        yield self._row(
            "Redis connections per resource and run on AWS",
            (self._connections() - connections) / runs * 2,
            "",
        )
        yield self._row("resident memory", self._process.memory_info().rss / 2**20, "MiB", 110)
        yield self._row("loop's greatest lag", self._number(_LAG) * 1000, "ms", 200)
        found = self._demo.control_plane.api(
            "GET", "/apis/health.modelengine.io/v1alpha1/modelenginehealthchecks"
        )
        unwell: list[Any] = [
            each for each in found["items"] if each.get("status", {}).get("health") != "Healthy"
        ]
        yield self._row("wrong verdicts", len(unwell), "", 0)

    def _row(self, what: str, measured: float, unit: str, budget: float | None = None) -> Row:
        return Row(
            what=f"all checks, {self._count} resources: {what}", measured=measured, unit=unit, budget=budget
        )

    def _number(self, pattern: re.Pattern[str]) -> float:
        return sum(map(float, pattern.findall(self._operator.get("/metrics")[1])))

    def _numbers(self) -> tuple[float, float, float]:
        """Probe runs, reads of the Kubernetes API, and seconds of CPU so far."""
        return self._number(_COUNT), self._number(_READS), cpu_seconds(self._process)

    def _connections(self) -> int:
        """That Redis of the installation on AWS has accepted, ours among them."""
        server = self._demo.servers.redis
        with redis.Redis.from_url(
            server.url(0, user="app", password=PASSWORD), ssl_cert_reqs="none"
        ) as client:
            return int(client.info("stats")["total_connections_received"])
