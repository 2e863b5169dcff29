"""What befalls the cluster, the operator, and what is probed, beside a resource whose probe run takes its time."""

import contextlib
import secrets
import time
from collections.abc import Callable
from functools import partial

from faults.arena import Arena, Attack
from faults.objects import config_map
from faults.servers import redis_spec
from testbed.controlplane import ApiError
from testbed.deployedoperator import can_have_hosts
from testbed.healthchecks import Cluster, manifest
from testbed.installation import Tree
from testbed.operatorprocess import Operator, install_crd
from testbed.rawserver import silence
from testbed.waiting import eventually

LONG = 8.0
"""Seconds that a server is away: longer than a probe's timeout, shorter than what any verdict waits for."""
FULL = (
    "mount --make-rprivate / && mount -o remount,bind,ro / && mount -t tmpfs -o size=64k none /var/tmp && "
    "{ dd if=/dev/zero of=/var/tmp/most 2>/var/tmp/dd; exec >/var/tmp/log 2>&1; export TMPDIR=/var/tmp HOME=/var/tmp; }"
)
"""All that can be written is full: the file of the log, too."""
READ_ONLY = "mount --make-rprivate / && mount -o remount,bind,ro / && mount -t tmpfs -o ro none /var/tmp"

DISKS = {
    "disk that cannot be written, /tmp too": READ_ONLY,
    "disk that is full, /tmp and the log's too": FULL,
}


def killed(arena: Arena, _: Cluster) -> None:
    arena.ask()
    arena.operator.kill()
    arena.revive()


def killed_while_writing(arena: Arena, _: Cluster) -> None:
    asked = arena.ask()
    eventually(lambda: arena.victim.get()["status"].get("lastHandledProbeNow"), asked.__eq__, 240)
    arena.operator.kill()
    arena.revive()


def restarted(arena: Arena, _: Cluster) -> None:
    arena.ask()
    arena.restart()


def mounted(mounts: str, arena: Arena, _: Cluster) -> None:
    arena.operator.mounts = mounts
    try:
        arena.restart()
    finally:
        arena.operator.mounts = ""


def api_killed(arena: Arena, _: Cluster) -> None:
    arena.ask()
    arena.plane.apiserver.kill()
    time.sleep(LONG)
    arena.plane.apiserver.start()


def hung(part: str, arena: Arena, _: Cluster) -> None:
    """The API server, or etcd behind it: connections are open and nothing answers."""
    arena.ask()
    process = getattr(arena.plane, part)
    process.pause()
    try:
        time.sleep(LONG)
        assert arena.operator.get("/healthz")[0] == 200
        assert arena.operator.get("/metrics")[0] == 200
    finally:
        process.resume()


def compacted(arena: Arena, _: Cluster) -> None:
    """The watches' version is gone when they come back: the API server answers 410, or lists again."""
    arena.plane.apiserver.pause()
    arena.plane.apiserver.kill()
    arena.plane.apiserver.start()
    for number in range(50):
        arena.plane.api(
            "POST",
            f"/api/v1/namespaces/{arena.victim.namespace}/configmaps",
            config_map(f"c{number}-{secrets.token_hex(4)}", {}),
        )
    arena.plane.apiserver.restart()


def crd_deleted(arena: Arena, tenant: Cluster) -> None:
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/modelenginehealthchecks.health.modelengine.io"
    victim, other = arena.victim.get(), tenant.get()
    arena.plane.api("DELETE", path)
    eventually(partial(_is_gone, arena, path), bool, 240)
    install_crd(arena.plane)
    for cluster, lost in ((arena.victim, victim), (tenant, other)):
        eventually(partial(_created, cluster, lost["spec"]), bool, 240)
    eventually(partial(_seen_or_dead, arena), bool, 240)
    if arena.operator.get("/healthz")[0] != 200:
        arena.restart()  # as a kubelet does


def _seen_or_dead(arena: Arena) -> bool:
    with contextlib.suppress(TimeoutError):  # a busy machine's
        arena.operator.get("/readyz")
        return arena.operator.get("/healthz")[0] != 200 or "status" in arena.victim.get()
    return False


def _is_gone(arena: Arena, path: str) -> bool:
    try:
        arena.plane.api("GET", path)
    except ApiError as error:
        return error.code == 404
    return False


def _created(cluster: Cluster, spec: Tree) -> bool:
    """The API server serves a CRD a moment after it says so."""
    try:
        cluster.plane.api("POST", cluster.path, manifest(spec))
    except ApiError as error:
        return error.code == 409
    return True


def namespace_deleted(arena: Arena, tenant: Cluster) -> None:
    other = Cluster(arena.plane, arena.plane.create_namespace())
    other.apply(tenant.get()["spec"])
    arena.ask()
    arena.plane.delete_namespace(other.namespace)


def resource_deleted(arena: Arena, tenant: Cluster) -> None:
    """In the middle of its probe run; another of its name follows."""
    spec = tenant.get()["spec"]
    for _ in range(3):
        arena.plane.api("DELETE", f"{tenant.path}/model-engine")
        eventually(partial(_created, tenant, spec), bool, 240)


def two_operators(arena: Arena, _: Cluster) -> None:
    """Of two releases, which know nothing of each other."""
    with Operator(arena.plane) as other:
        for _ in range(3):
            arena.run()
        assert other.get("/healthz")[0] == 200


def of(name: str, act: Callable[[Arena, Cluster], None], says: str = "ConnectionTimeout") -> Attack:
    return Attack(name=f"world: {name}", script=silence, spec=redis_spec, act=act, says=says)


EVENTS = [
    of("operator killed (SIGKILL) in the middle of probe runs", killed),
    of("operator killed when it has written a status", killed_while_writing),
    of("operator stopped and started in the middle of probe runs", restarted),
    *(of(name, partial(mounted, mounts)) for name, mounts in DISKS.items() if can_have_hosts()),
    of("API server away for 8 s", api_killed),
    of("API server hangs for 8 s", partial(hung, "apiserver")),
    of("etcd hangs for 8 s", partial(hung, "etcd")),
    of("API server has forgotten what the watches saw last", compacted),
    of("CRD deleted and created again", crd_deleted),
    of("namespace deleted in the middle of a probe run", namespace_deleted),
    of("resource deleted and created in the middle of its probe run", resource_deleted),
    of("operators of two releases", two_operators),
]
