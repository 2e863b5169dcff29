"""One operator under its container's memory limit, a healthy victim, and a tenant who may write in one namespace."""

import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from testbed.controlplane import ControlPlane
from testbed.deployedoperator import DeployedOperator, PodOperator
from testbed.healthchecks import PROBE_NOW, Cluster, is_current
from testbed.healthchecks import manifest as manifest_of
from testbed.installation import Tree, only
from testbed.pki import CertificateAuthority
from testbed.rawserver import RawServer, Script
from testbed.redis import Redis
from testbed.waiting import eventually

LIMIT: Final = 384 * 1024**2
"""Bytes of memory that the chart allows a container of the operator."""
PLANTED: Final = "planted-Pa55word-9f3c"
"""A secret that a tenant, or a server, tries to get into what the operator writes."""
PATIENCE: Final = 240.0
"""Seconds until the arena gives up to wait; what is measured is never compared with it."""
_PASSES: Final = 3
_DEEPEST: Final = 9000
"""Frames; what a tenant sends may be nested."""


@dataclass(frozen=True, kw_only=True)
class Attack:
    """What one tenant brings, and what the operator has to say about it.

    ``objects`` are put into the tenant's namespace, then the resource with ``spec``. ``says`` is the reason that the
    tenant must be told.
    """

    name: str
    spec: Tree | Callable[[str], Tree] = field(default_factory=dict)
    """Of the resource; where there is a ``script``, made of the address at which it is played."""
    script: Script | None = None
    tls: bool = False
    objects: Callable[[], Sequence[Tree]] = list
    says: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """What an attack did. ``slowest`` is the victim's longest wait for a probe run, in seconds; ``peak`` is bytes."""

    name: str
    reasons: Sequence[str]
    slowest: float
    peak: int
    leaks: Sequence[str]
    crashes: Sequence[str]


class Arena(ExitStack):
    """Starts on entering."""

    def __init__(self, plane: ControlPlane) -> None:
        """``plane`` needs a node on which pods run."""
        super().__init__()
        self.plane = plane
        self._number = 0

    def __enter__(self) -> Self:
        super().__enter__()
        self.callback(sys.setrecursionlimit, sys.getrecursionlimit())
        sys.setrecursionlimit(_DEEPEST)
        try:
            authority = CertificateAuthority()
            self._certificate = authority.issue()
            environment = {"SSL_CERT_FILE": str(authority.ca_file), "AWS_EC2_METADATA_DISABLED": "true"}
            environment |= dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), "testing")
            self.redis = self.enter_context(Redis())
            deployed = self.enter_context(
                DeployedOperator(self.plane, {"replicas": 1}, environment=environment)
            )
            (self.operator,) = deployed.replicas
            self.cgroup = limited(self.operator)
            self.victim = Cluster(self.plane, self.plane.create_namespace())
            self.victim.apply(sound(self.redis))
            self.victim.probed()
        except BaseException:
            self.close()
            raise
        return self

    def suffer(self, attack: Attack) -> Seen:
        """Carry out ``attack`` beside the victim, and clean up."""
        with ExitStack() as stack:
            address = ""
            if attack.script:
                server = RawServer(attack.script, self._certificate if attack.tls else None)
                address = stack.enter_context(server).address
            return self._suffer(
                attack, attack.spec(address) if callable(attack.spec) else attack.spec, address
            )

    def _suffer(self, attack: Attack, spec: Tree, address: str) -> Seen:
        namespace = self.plane.create_namespace()
        tenant = Cluster(self.plane, namespace)
        _forget_peak(self.operator)
        logged = len(self.operator.log_lines())
        try:
            database = {"database_url": f"postgresql://u:{PLANTED}@{address}/llm"}
            own = {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": "database"},
                "stringData": database,
            }
            for manifest in (own, *attack.objects()):
                self.plane.api("POST", _collection(namespace, manifest), manifest)
            self.plane.api("POST", tenant.path, manifest_of({"timeout": "4s", **spec}))
            waits: list[float] = []
            reasons: list[str] = []
            waits.append(self._pass())
            eventually(lambda: is_current(tenant.get()), bool, PATIENCE)
            waits += [self._pass() for _ in range(_PASSES)]
            status = tenant.get()["status"]
            told = json.dumps([status, tenant.events()])
        finally:
            self.plane.delete_namespace(namespace)
        for check in status.get("checks", ()):
            reasons += [finding["reason"] for finding in check.get("findings", ())] or [check["reason"]]
        lines = self.operator.log_lines()[logged:]
        return Seen(
            name=attack.name,
            reasons=sorted(set(reasons)),
            slowest=max(waits),
            peak=_peak(self.operator),
            leaks=[
                place for place, text in (("status", told), ("log", json.dumps(lines))) if PLANTED in text
            ],
            crashes=[line["message"][-700:] for line in lines if line["level"] in ("error", "critical")],
        )

    def _pass(self) -> float:
        """Ask for a probe run of the victim, and wait until it is over, and healthy; how long that took."""
        self._number += 1
        asked = str(self._number)
        began = time.monotonic()
        self.victim.patch({"metadata": {"annotations": {PROBE_NOW: asked}}})
        eventually(self._handled, lambda handled: handled == (asked, "Healthy"), PATIENCE)
        return time.monotonic() - began

    def _handled(self) -> tuple[str, str]:
        if not self.operator.running:
            raise RuntimeError(f"the operator is gone: {self.operator.log_tail(5)}")
        status = self.victim.get()["status"]
        return status.get("lastHandledProbeNow", ""), status["health"]


def sound(redis: Redis) -> Tree:
    """The spec of a healthy installation of which one check runs, on a real server."""
    url = f"redis://127.0.0.1:{redis.port}/15"
    values = {
        "redis": {"enableTLS": False},
        "config": {"values": {"infra": {"cloud_provider": "aws"}, "launch": {"cache_redis_aws_url": url}}},
    }
    return {"values": values, "interval": "1h", "timeout": "10s", **only("RedisReachable")}


def limited(operator: PodOperator) -> Path | None:
    """Put the process under the limit of its container; where its memory is counted, None without that right."""
    own = next(
        (
            line.rpartition(":")[2]
            for line in Path("/proc/self/cgroup").read_text().splitlines()
            if ":memory:" in line
        ),
        None,
    )
    if own is None or os.geteuid() != 0:
        return None
    group = Path(f"/sys/fs/cgroup/memory{own}/mehc-testbed-{operator.pid}")
    try:
        group.mkdir()
        (group / "memory.limit_in_bytes").write_text(str(LIMIT))
        (group / "cgroup.procs").write_text(str(operator.pid))
    except OSError:
        return None
    return group


def _forget_peak(operator: PodOperator) -> None:
    Path(f"/proc/{operator.pid}/clear_refs").write_text("5")


def _peak(operator: PodOperator) -> int:
    for line in Path(f"/proc/{operator.pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("no VmHWM")


def _collection(namespace: str, manifest: Mapping[str, Any]) -> str:
    kinds = {"Secret": "secrets", "ConfigMap": "configmaps"}
    return f"/api/v1/namespaces/{namespace}/{kinds[manifest['kind']]}"
