"""What ordinary upgrades cost: six of them, which leave the pod template alone, with releases of real size.

The pods then are older than their configuration, so each probe run reads an older revision too.
"""

import random
import re
import shutil
import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final, NamedTuple

from bench.rows import Row
from mehc_checks.core import duration
from testbed.controlplane import ControlPlane
from testbed.healthchecks import manifest
from testbed.helm import MODEL_ENGINE, Helm
from testbed.installation import only, overlaid
from testbed.kwok import Kwok
from testbed.operatorprocess import Operator
from testbed.process import temporary_directory
from testbed.rulejudging import at
from testbed.sound import AWS
from testbed.waiting import eventually

UPGRADES: Final = 6
CHECKS: Final = ("ConfigValid", "ControlPlaneReady", "DatabaseMigrated", "RedisReachable")
_MIB: Final = 2**20
_RUN: Final = re.compile(r"\([a-z-]+, (\S+)\)$")


class Cost(NamedTuple):
    """Of one probe run: seconds, and seconds of CPU. Beside it, bytes that are resident afterwards."""

    took: float
    cpu: float
    resident: int


def upgrades(control_plane: ControlPlane, kilobytes: int) -> Iterator[Row]:
    """With release Secrets of ``kilobytes``."""
    with ExitStack() as stack:
        namespace, endpoints = (control_plane.create_namespace() for _ in range(2))
        stack.callback(control_plane.delete_namespace, namespace)
        stack.callback(control_plane.delete_namespace, endpoints)
        kwok = stack.enter_context(Kwok(control_plane))
        node = kwok.add_node(f"bench-{kilobytes}")
        stack.callback(kwok.delete_node, node)
        helm, chart = Helm(control_plane), _padded(kilobytes)
        stack.callback(shutil.rmtree, chart.parent)
        values = overlaid(
            AWS,
            at("config.values.launch.endpoint_namespace", endpoints),
            at("aws.configMap.namespaces", [namespace, endpoints]),
        )
        helm.install("me", namespace, values, chart=chart)
        control_plane.kubectl(
            "rollout", "status", "-n", namespace, "deployment/model-engine", "--timeout=50s"
        )
        operator = stack.enter_context(Operator(control_plane, namespaces=[namespace]))
        control_plane.apply(manifest(only(*CHECKS)), namespace=namespace)
        _probed(control_plane, operator, namespace)  # the first ones import what they need
        costs = [_probed(control_plane, operator, namespace)]
        for number in range(UPGRADES):
            time.sleep(1.1)  # times have whole seconds
            changed = at("config.values.infra.k8s_cluster_name", f"cluster-{number}")
            helm.upgrade("me", namespace, overlaid(values, changed), chart=chart)
            time.sleep(6)  # for the watch, which tells of changes every five seconds
            costs.append(_probed(control_plane, operator, namespace))
    size = f"{kilobytes} kB"
    first, later = costs[0], costs[1:]
    growth = max(cost.resident for cost in later) - first.resident
    yield Row(what=f"resident memory, release of {size}", measured=first.resident / _MIB, unit="MiB")
    yield Row(what=f"growth over {UPGRADES} upgrades, {size}", measured=growth / _MIB, unit="MiB", budget=10)
    yield Row(what=f"a probe run after the install, {size}", measured=first.took * 1000, unit="ms")
    for what, figures in (("time", [cost.took for cost in costs]), ("CPU", [cost.cpu for cost in costs])):
        yield Row(
            what=f"{what} of a probe run after an upgrade / after the install, {size}, slowest",
            measured=max(figures[1:]) / figures[0],
            unit="x",
            budget=1.5,
        )


def _probed(control_plane: ControlPlane, operator: Operator, namespace: str, *, times: int = 5) -> Cost:
    """Ask for probe runs; what one of them cost, in the middle."""
    before, spent = len(_runs(operator)), operator.cpu_seconds()
    for wanted in range(before, before + times):
        control_plane.kubectl(
            *("annotate", "mehc", "model-engine", "-n", namespace, "--overwrite"),
            f"health.modelengine.io/probe-now={wanted}",
        )
        eventually(lambda: len(_runs(operator)), wanted.__lt__)
    took = _runs(operator)[before:]
    cpu = (operator.cpu_seconds() - spent) / len(took)
    return Cost(took=statistics.median(took), cpu=cpu, resident=operator.resident())


def _runs(operator: Operator) -> list[float]:
    """The seconds of each probe run so far."""
    found = (_RUN.search(str(line["message"])) for line in operator.log_lines() if "trigger" in line)
    return [duration.parse(match[1]).total_seconds() for match in found if match]


def _padded(kilobytes: int) -> Path:
    """The testbed's chart, with a file in it that makes its release as large as that."""
    directory = temporary_directory("chart") / "model-engine"
    shutil.copytree(MODEL_ENGINE, directory)
    noise = random.Random(kilobytes).randbytes((kilobytes - 15) * 1000 * 3 // 4)  # noqa: S311 - does not shrink
    (directory / "padding.bin").write_bytes(noise)
    return directory
