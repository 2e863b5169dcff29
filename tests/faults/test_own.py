"""What the operator itself runs short of is never a fault of an installation, and it ends when it is asked to."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import psutil
import pytest

from faults.crowd import Crowd
from faults.servers import redis_spec, store_spec
from testbed import ports
from testbed.controlplane import ControlPlane
from testbed.healthchecks import Cluster, manifest
from testbed.kwok import Kwok
from testbed.operatorprocess import Operator
from testbed.rawserver import RawServer, drip
from testbed.waiting import eventually

COUNT = 30
"""Resources; `make bench` has the figures of 500."""
LONG = 300.0


@pytest.fixture(scope="module")
def crowd() -> Iterator[Crowd]:
    with ControlPlane() as plane, Kwok(plane) as kwok:
        kwok.add_node("node-1")
        with Crowd(plane) as servers:
            yield servers


@pytest.fixture
def operator(crowd: Crowd) -> Iterator[Operator]:
    with crowd.operated() as running:
        yield running


@pytest.fixture
def tenant(crowd: Crowd) -> Iterator[Cluster]:
    namespace = crowd.plane.create_namespace()
    yield Cluster(crowd.plane, namespace)
    crowd.plane.delete_namespace(namespace)


def connected(operator: Operator, port: int) -> int:
    """How many connections to that port the operator has."""
    connections = psutil.Process(operator.pid).net_connections("tcp")
    return sum(each.status == "ESTABLISHED" and each.raddr.port == port for each in connections if each.raddr)


def limited_to(operator: Operator, files: int) -> Callable[[], None]:
    """From then on the operator may have so many files open more than now."""

    def limit() -> None:
        process = psutil.Process(operator.pid)
        most = process.num_fds() + files
        process.rlimit(psutil.RLIMIT_NOFILE, (most, most))

    return limit


def test_one_cpu_makes_no_verdict_wrong(crowd: Crowd, operator: Operator) -> None:
    assert crowd.gather(operator, COUNT).wrong == {}


def test_too_few_open_files_fail_no_installation(crowd: Crowd, operator: Operator) -> None:
    counted = crowd.gather(operator, COUNT, before=limited_to(operator, 6), timeout="3s")
    own = ("Error OperatorOverloaded", "Error KubernetesApiUnreachable")
    assert not {verdict for verdict in counted.wrong if not verdict.partition(": ")[2].startswith(own)}


def test_it_ends_though_servers_hold_its_threads(crowd: Crowd, operator: Operator, tenant: Cluster) -> None:
    with RawServer(drip(b"X-A: b\r\n", 0.5)) as server:
        port = int(server.address.rpartition(":")[2])
        for number in range(20):
            spec = {**store_spec(server.address), "timeout": "4m"}
            crowd.plane.api("POST", tenant.path, manifest(spec, f"r{number}"))
        eventually(lambda: connected(operator, port), lambda held: held >= 8, LONG)
        process = psutil.Process(operator.pid)
        process.terminate()
        assert process.wait(timeout=LONG) in (0, None)


def test_a_thread_that_a_server_holds_is_freed_at_the_deadline(
    crowd: Crowd, operator: Operator, tenant: Cluster
) -> None:
    with RawServer(drip(b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 90, 0.1)) as server:
        port = int(server.address.rpartition(":")[2])
        crowd.plane.api("POST", tenant.path, manifest({**store_spec(server.address), "timeout": "3s"}))
        eventually(lambda: connected(operator, port), bool, LONG)
        tenant.probed()
        eventually(lambda: connected(operator, port), lambda held: not held, LONG)


def test_dead_servers_of_one_tenant_delay_nobody_else(
    crowd: Crowd, operator: Operator, tenant: Cluster
) -> None:
    with ExitStack() as stack:
        host, port = stack.enter_context(ports.black_hole())
        for number in range(100):
            spec = {**redis_spec(f"{host}:{port}"), "timeout": "4m"}
            crowd.plane.api("POST", tenant.path, manifest(spec, f"r{number:03}"))
        counted = crowd.gather(operator, 2)
        assert counted.wrong == {}
        assert operator.get("/healthz")[0] == 200
