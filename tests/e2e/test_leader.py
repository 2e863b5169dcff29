"""Several operators, of which one acts: real processes and a real Lease."""

import asyncio
import random
import re
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager

import pytest

from mehc_checks.clients.kubernetes.api import KubernetesCluster
from mehc_checks.core.clock import now
from mehc_checks.engine.health import Health
from mehc_operator.connection import Access, connected
from mehc_operator.events import Event
from mehc_operator.leader import Election, Terms
from mehc_operator.main import as_resource
from mehc_operator.status import StatusReport
from mehc_operator.store import Store, Written
from testbed.controlplane import ControlPlane
from testbed.healthchecks import PROBE_NOW, Cluster, wait, with_redis
from testbed.identity import as_account
from testbed.installation import Tree
from testbed.operatorprocess import Operator, install_crd
from testbed.redis import Redis


@pytest.fixture
def cluster(control_plane: ControlPlane, namespace: str) -> Cluster:
    install_crd(control_plane)
    return Cluster(control_plane, namespace)


@pytest.fixture
def redis() -> Iterator[Redis]:
    with Redis() as server:
        yield server


def candidate(cluster: Cluster, name: str) -> Operator:
    """`mehc run` of that pod name, in the namespace of ``cluster`` alone."""
    words = ("--leader-elect", "--leader-elect-resource-namespace", cluster.namespace, "--status-page-port=0")
    return Operator(cluster.plane, *words, namespaces=[cluster.namespace], environment={"POD_NAME": name})


def holder(cluster: Cluster) -> str:
    """The pod name in the Lease."""
    path = f"/apis/coordination.k8s.io/v1/namespaces/{cluster.namespace}/leases/mehc"
    lease = cluster.plane.api("GET", path)
    return str(lease["spec"].get("holderIdentity", "")).partition("_")[0]


def status_page(operator: Operator) -> str:
    """What it shows of the fleet, without when that was written and how long ago probe runs were."""
    (port,) = [line["port"] for line in operator.log_lines() if line["message"].startswith("status page")]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=60) as answer:
        return re.sub(r"<footer.*?</footer>|[\dhms]+ ago", "", answer.read().decode(), flags=re.DOTALL)


def passes(operator: Operator) -> int:
    return sum("trigger" in line for line in operator.log_lines())


@contextmanager
def both(cluster: Cluster) -> Iterator[tuple[Operator, Operator]]:
    """The operators "one", which leads, and "two", which stands by."""
    with candidate(cluster, "one") as one:
        wait(lambda: holder(cluster) == "one")
        with candidate(cluster, "two") as two:
            yield one, two


def test_one_acts_and_the_other_is_ready_to(cluster: Cluster, redis: Redis) -> None:
    cluster.apply(with_redis(redis))
    with both(cluster) as (one, two):
        cluster.probed()
        assert one.get("/readyz") == (200, "watching 1 resource, leader\n")
        status, text = two.get("/readyz")
        assert status == 200
        assert text.startswith("watching 1 resource, standby (leader: one_")
        cluster.patch({"metadata": {"annotations": {PROBE_NOW: "1"}}})
        wait(lambda: passes(one) == 2)
        assert passes(two) == 0
        assert two.get("/healthz")[0] == 200
        assert "\nmehc_leader 1.0\n" in one.get("/metrics")[1]
        wait(lambda: "Healthy" in status_page(two) and status_page(one) == status_page(two))
        page = two.get("/metrics")[1]
        assert "\nmehc_leader 0.0\n" in page
        assert "mehc_health{" not in page


def test_a_leader_that_is_killed_is_replaced(cluster: Cluster, redis: Redis) -> None:
    cluster.apply(with_redis(redis))
    with both(cluster) as (one, two):
        cluster.probed()
        redis.stop()
        one.kill()
        wait(lambda: two.get("/readyz")[1] == "watching 1 resource, leader\n")
        assert holder(cluster) == "two"
        wait(lambda: cluster.condition("Ready")["status"] == "False")


def test_a_leader_that_stops_hands_over_and_nothing_moves(cluster: Cluster, redis: Redis) -> None:
    cluster.apply(with_redis(redis))
    with both(cluster) as (one, two):
        before = cluster.probed()["status"]
        wait(lambda: len(cluster.events()) == 1)
        one.stop()
        took = wait(lambda: passes(two) == 1)
        wait(lambda: two.connections_to(redis.port) == 1)  # it holds one from now on
        time.sleep(0.3)
        assert cluster.get()["status"] == before
        assert len(cluster.events()) == 1
        assert took < 10  # the seconds for which nobody takes the Lease of a leader that was killed


def settled(cluster: Cluster) -> Tree:
    """The resource, once nobody has written it for a while."""
    while True:
        before = cluster.get()
        time.sleep(3)
        if cluster.get()["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]:
            return before


def test_a_leader_that_was_suspended_writes_nothing_when_it_wakes(cluster: Cluster, redis: Redis) -> None:
    """Its pass goes on, and finds the connection broken, at a moment at which another has long been leading."""
    cluster.apply(with_redis(redis, timeout="3s", confirmations=1))
    with both(cluster) as (one, two):
        cluster.probed()
        redis.pause()
        cluster.patch({"metadata": {"annotations": {PROBE_NOW: "1"}}})
        time.sleep(0.5)  # the pass has begun, on a server that does not answer
        one.pause()
        redis.restart()
        wait(lambda: passes(two) == 1)
        wait(lambda: cluster.get()["status"]["health"] == "Healthy")
        before = settled(cluster)
        events = cluster.events()
        one.resume()
        wait(lambda: "standby (leader: two_" in one.get("/readyz")[1])
        wait(lambda: one.connections_to(redis.port) == 0)
        time.sleep(2)
        assert cluster.get()["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]
        assert cluster.events() == events


def test_an_api_server_that_is_away_ends_the_lead_and_not_the_process(redis: Redis) -> None:
    with ControlPlane() as plane:
        cluster = Cluster(plane, plane.create_namespace())
        with candidate(cluster, "one") as one:
            cluster.apply(with_redis(redis, interval="5s"))
            cluster.probed()
            pid = one.pid
            plane.apiserver.stop()
            redis.stop()
            wait(lambda: any("could not be renewed" in line["message"] for line in one.log_lines()))
            assert one.get("/healthz")[0] == 200
            assert one.get("/readyz")[0] == 503
            plane.apiserver.start()
            wait(lambda: cluster.condition("Ready")["status"] == "False")
            wait(lambda: one.get("/readyz") == (200, "watching 1 resource, leader\n"))
            assert one.pid == pid
            assert "Traceback" not in one.log_text()


def test_a_lease_that_somebody_deletes_is_made_again(cluster: Cluster, redis: Redis) -> None:
    cluster.apply(with_redis(redis))
    with candidate(cluster, "one") as one:
        cluster.probed()
        cluster.kubectl("delete", "lease", "mehc")
        wait(lambda: passes(one) == 2)
        assert holder(cluster) == "one"


async def test_what_is_to_be_written_after_the_lead_has_ended_is_not(
    api: KubernetesCluster, cluster: Cluster
) -> None:
    cluster.apply({"suspend": True})
    manifest = cluster.get()
    leads = True
    store = Store(api, instance="one", may_write=lambda: leads, clock=now)
    status = StatusReport(health=Health.FAILING)
    event = Event(type="Normal", reason="Said", message="while leading", series="Said")
    assert await store.write(as_resource(manifest), status) is Written.WRITTEN
    await store.announce(as_resource(manifest), [event])
    version = cluster.get()["metadata"]["resourceVersion"]
    assert version != manifest["metadata"]["resourceVersion"]
    leads = False
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await store.write(as_resource(manifest), StatusReport(health=Health.HEALTHY))
    await store.announce(as_resource(manifest), [event])
    assert cluster.get()["metadata"]["resourceVersion"] == version
    assert len(cluster.events()) == 1


async def test_without_permission_it_says_so(control_plane: ControlPlane, namespace: str) -> None:
    async with as_account(control_plane, namespace, []) as forbidden:
        election = Election(forbidden, namespace=namespace, name="mehc", identity="nobody")
        election.stand(lambda: None, nothing)
        await until(lambda: bool(election.trouble))
        assert election.trouble == f"not allowed to get leases.coordination.k8s.io mehc in {namespace}"
        assert not election.leads
        await election.retire()


async def nothing() -> None:
    pass


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.02)


@pytest.fixture
async def api(control_plane: ControlPlane) -> AsyncIterator[KubernetesCluster]:
    async with connected(Access(kubeconfig=str(control_plane.kubeconfig))) as client:
        yield KubernetesCluster(client)


async def test_never_two_lead(api: KubernetesCluster, namespace: str) -> None:
    """Candidates come and go, at times without a word, on one real Lease; and the lead is always taken up again."""
    terms = Terms(duration=1, deadline=0.7, renew=0.2, retry=0.15)
    dice = random.Random(1)  # noqa: S311
    candidates: dict[str, Election] = {}
    led: set[str] = set()

    def join(name: str) -> None:
        election = Election(api, namespace=namespace, name="mehc", identity=name, terms=terms)
        election.stand(lambda: led.add(name), nothing)
        candidates[name] = election

    for number in range(4):
        join(f"c{number}")
    number, end, begun = 4, time.monotonic() + 12, time.monotonic()
    idle = 0.0
    while (now := time.monotonic()) < end:
        leading = [name for name, election in candidates.items() if election.leads]
        assert len(leading) <= 1
        idle, begun = (0.0 if leading else idle + now - begun), now
        assert idle < 5  # of the 1 that a Lease is to be respected for, on a busy machine
        if leading and dice.random() < 0.02:
            election = candidates.pop(leading[0])
            if dice.random() < 0.5:
                election._until = 0.0  # killed: it releases nothing
            await election.retire()
            join(f"c{number}")
            number += 1
        await asyncio.sleep(0.01)
    await asyncio.gather(*(election.retire() for election in candidates.values()))
    assert len(led) > 3
