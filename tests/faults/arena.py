"""One operator under its container's memory limit, a healthy victim, and a tenant who may write in one namespace."""

import contextlib
import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

from testbed.apiproxy import ApiProxy
from testbed.controlplane import ControlPlane
from testbed.deployedoperator import DeployedOperator, PodOperator
from testbed.healthchecks import PROBE_NOW, Cluster, is_current
from testbed.healthchecks import manifest as manifest_of
from testbed.httpserver import Reply, ScriptedServer
from testbed.installation import Tree, only
from testbed.pki import CertificateAuthority
from testbed.ports import LOOPBACK
from testbed.process import Ensemble
from testbed.projected import ProjectedAccount
from testbed.rawserver import RawServer, Script
from testbed.redis import Redis
from testbed.waiting import eventually

LIMIT: Final = 384 * 1024**2
"""Bytes of memory that the chart allows a container of the operator."""
LARGEST: Final = 1024**2
"""Bytes of a resource but its spec; etcd takes half as many more."""
PLANTED: Final = "planted-Pa55word-9f3c"
"""A secret that a tenant, or a server, tries to get into what the operator writes."""
PATIENCE: Final = 240.0
"""Seconds until the arena gives up to wait; what is measured is never compared with it."""
NAMESPACE: Final = "NAMESPACE-OF-THE-TENANT"
"""In a spec: the tenant's own."""
WHOLE: Final = {"health", "summary", "conditions", "checks", "observedGeneration", "lastProbeTime"}
"""Fields of a status that is not half of one."""
ELSEWHERE: Final = "127.0.0.2"
"""An address that stands for a server of the operator's own pod: unlike the others' it is not allowed."""
_PASSES: Final = 2
_AT_ONCE: Final = 8
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
    restart: bool = False
    """Whether the operator is started again when the objects are there: it reads them all at once then."""
    act: "Callable[[Arena, Cluster], None] | None" = None
    """What befalls the cluster or the operator, the tenant's resource being there; for that, errors may be logged."""
    says: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """What an attack did. ``slowest`` is the victim's longest wait for a probe run, in seconds; ``peak`` is bytes."""

    name: str
    reasons: Sequence[str]
    slowest: float
    peak: int
    size: int
    """Bytes of the tenant's resource but its spec, managed fields included."""
    passes: int
    """Probe runs of the victim; none was missed."""
    false: Sequence[str]
    """Verdicts on the victim that find fault with it, and statuses that are half of one."""
    unwell: Sequence[str]
    """What the liveness probe said but "ok"."""
    leaks: Sequence[str]
    crashes: Sequence[str]


class Arena(Ensemble):
    """An operator under its container's limit, and a healthy victim."""

    proxy: ApiProxy
    account: ProjectedAccount
    """Both of an operator that is ``behind`` a proxy."""

    def __init__(self, plane: ControlPlane) -> None:
        """``plane`` needs a node on which pods run."""
        super().__init__()
        self.plane = plane
        self._number = 0
        self._false: list[str] = []
        self._unwell: list[str] = []

    def _start(self) -> None:
        self.callback(sys.setrecursionlimit, sys.getrecursionlimit())
        sys.setrecursionlimit(_DEEPEST)
        authority = CertificateAuthority()
        self.certificate = authority.issue()
        self.aws = self.enter_context(ScriptedServer(lambda _: Reply(403)))
        environment = {"SSL_CERT_FILE": str(authority.ca_file), "AWS_EC2_METADATA_DISABLED": "true"}
        environment |= dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), "testing")
        environment |= {"AWS_ENDPOINT_URL": self.aws.url, "AWS_REGION": "us-east-1"}
        self.redis = self.enter_context(Redis())
        probes = {"allowedAddresses": [LOOPBACK], "trustedNamespaces": ["test-*"]}
        values = {"replicas": 1, "probes": probes}
        deployed = self.enter_context(DeployedOperator(self.plane, values, environment=environment))
        (self.operator,) = deployed.replicas
        self.cgroup = limited(self.operator)
        self.victim = Cluster(self.plane, self.plane.create_namespace())
        self.victim.apply(sound(self.redis))
        self.victim.probed()

    def suffer(self, attack: Attack) -> Seen:
        """Carry out ``attack`` beside the victim, and clean up."""
        with ExitStack() as stack:
            address = ""
            if attack.script:
                server = RawServer(attack.script, self.certificate if attack.tls else None)
                address = stack.enter_context(server).address
            return self._suffer(
                attack, attack.spec(address) if callable(attack.spec) else attack.spec, address
            )

    def told(self, spec: Tree, objects: Sequence[Tree] = (), *, trusted: bool = False) -> Tree:
        """The status of a resource with ``spec``, beside ``objects``; ``trusted``: an administrator vouches for it."""
        namespace = self.plane.create_namespace("test" if trusted else "tenant")
        tenant = Cluster(self.plane, namespace)
        try:
            for manifest in objects:
                self.plane.api("POST", _collection(namespace, manifest), manifest)
            self.plane.api("POST", tenant.path, manifest_of(spec))
            eventually(lambda: is_current(tenant.get()), bool, PATIENCE)
            status: Tree = tenant.get()["status"]
            return status
        finally:
            self.plane.delete_namespace(namespace)

    def _suffer(self, attack: Attack, spec: Tree, address: str) -> Seen:
        namespace = self.plane.create_namespace()
        tenant = Cluster(self.plane, namespace)
        if not self.operator.running:  # it did not survive the attack before, which is told
            self.revive()
        _forget_peak(self.operator)
        logged = len(self.operator.log_lines())
        self._false, self._unwell = [], []
        spec = _placed(spec, namespace)
        cluster_wide: list[str] = []
        try:
            manifests = (database_at(address), *attack.objects())
            cluster_wide += [
                _collection(namespace, m, m["metadata"]["name"]) for m in manifests if _is_wide(m)
            ]
            with ThreadPoolExecutor(_AT_ONCE) as pool:
                list(pool.map(lambda manifest: self._create(namespace, manifest), manifests))
            self.plane.api("POST", tenant.path, manifest_of({"timeout": "4s", **spec}))
            if attack.restart:
                self.restart()
            waits: list[float] = []
            reasons: list[str] = []
            waits.append(self.run())
            if attack.act:
                attack.act(self, tenant)
            eventually(lambda: is_current(tenant.get()), bool, PATIENCE)
            waits += [self.run() for _ in range(_PASSES)]
            resource = tenant.get()
            status = resource["status"]
            told = json.dumps([status, tenant.events()])
        finally:
            self.plane.delete_namespace(namespace)
            for path in cluster_wide:
                self.plane.api("DELETE", path)
        for check in status.get("checks", ()):
            reasons += [finding["reason"] for finding in check.get("findings", ())] or [check["reason"]]
        lines = self.operator.log_lines()[logged:]
        return Seen(
            name=attack.name,
            reasons=sorted(set(reasons)),
            slowest=max(waits),
            peak=_peak(self.operator),
            size=len(json.dumps({**resource, "spec": None})),
            passes=len(waits),
            false=sorted(set(self._false)),
            unwell=sorted(set(self._unwell)),
            leaks=[
                place for place, text in (("status", told), ("log", json.dumps(lines))) if PLANTED in text
            ],
            crashes=[line["message"][-700:] for line in lines if _is_crash(line, attack)],
        )

    def _create(self, namespace: str, manifest: Tree) -> None:
        self.plane.api("POST", _collection(namespace, manifest), _placed(manifest, namespace))

    def ask(self) -> str:
        """Ask for a probe run of the victim; the number that it will show as handled."""
        self._number += 1
        self.victim.patch({"metadata": {"annotations": {PROBE_NOW: str(self._number)}}})
        return str(self._number)

    def run(self) -> float:
        """Ask for a probe run of the victim, and wait until it is over, and healthy; how long that took."""
        began = time.monotonic()
        asked = self.ask()
        eventually(self._handled, lambda handled: handled == (asked, "Healthy"), PATIENCE)
        return time.monotonic() - began

    def _handled(self) -> tuple[str, str]:
        if not self.operator.running:
            raise RuntimeError(f"the operator is gone: {self.operator.log_tail(5)}")
        with contextlib.suppress(TimeoutError):  # a busy machine's
            live, said = self.operator.get("/healthz")
            if live != HTTPStatus.OK:
                self._unwell.append(said)
        status = self.victim.get().get("status", {})
        if status.get("health") in (
            "Failing",
            "Degraded",
        ):  # a busy machine's operator may be Unknown for a while
            self._false.append(f"{status['health']}: {status.get('summary')}")
        if status and not {*status} >= WHOLE:
            self._false.append(f"half a status: {sorted(status)}")
        return status.get("lastHandledProbeNow", ""), status.get("health", "")

    def restart(self) -> None:
        """Start the operator again, under the same limit."""
        self.operator.stop()
        self.revive()

    def revive(self) -> None:
        """Start an operator that has ended."""
        self.operator.spawn()
        self.cgroup = limited(self.operator)
        self.operator.wait_ready(PATIENCE)


def database_at(address: str) -> Tree:
    """The Secret that ``database_spec`` names."""
    url = f"postgresql://u:{PLANTED}@{address}/llm"
    metadata = {"name": "database"}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": {"database_url": url}}


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


def _is_crash(line: Mapping[str, Any], attack: Attack) -> bool:
    if attack.act:
        return line["level"] == "critical" or "Traceback" in json.dumps(line)
    return line["level"] in ("error", "critical")


def _placed(tree: Tree, namespace: str) -> Tree:
    placed: Tree = json.loads(json.dumps(tree).replace(NAMESPACE, namespace))
    return placed


def _is_wide(manifest: Mapping[str, Any]) -> bool:
    return manifest["kind"] == "Node"


def _collection(namespace: str, manifest: Mapping[str, Any], name: str = "") -> str:
    version = manifest["apiVersion"]
    root = f"/apis/{version}" if "/" in version else f"/api/{version}"
    place = "" if _is_wide(manifest) else f"/namespaces/{namespace}"
    return f"{root}{place}/{manifest['kind'].lower()}s" + (f"/{name}" if name else "")
