"""What the operator itself runs short of is never a fault of an installation, and it ends when it is asked to."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from faults.crowd import Crowd
from faults.servers import redis_spec, store_spec
from testbed import ports
from testbed.controlplane import ControlPlane
from testbed.deployedoperator import can_have_hosts
from testbed.healthchecks import Cluster, is_current, manifest
from testbed.kwok import Kwok
from testbed.names import silent_dns
from testbed.operatorprocess import Operator
from testbed.rawserver import RawServer, drip
from testbed.waiting import eventually

COUNT = 20
"""Resources."""
LONG = 300.0
ENDLESS_HEADERS = drip(b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 90, 0.3)
"""A byte now and then: no timeout of a socket's own ever ends it."""


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


class Nameless(Operator):
    """An operator whose only DNS server never answers, and which leads by a Lease in ``namespace``."""

    def __init__(self, plane: ControlPlane, server: str, namespace: str) -> None:
        words = ("--leader-elect", "--leader-elect-resource-namespace", namespace)
        super().__init__(plane, *words, namespaces=[namespace])
        self._server = server

    def command(self) -> Sequence[str | Path]:
        own = self.directory / "resolv.conf"
        own.write_text(f"nameserver {self._server}\n")
        over = 'mount --bind "$0" /etc/resolv.conf && exec "$@"'
        return ["unshare", "--mount", "sh", "-c", over, own, *super().command()]


def test_one_cpu_makes_no_verdict_wrong(crowd: Crowd, operator: Operator) -> None:
    assert crowd.gather(operator, COUNT).wrong == {}


def test_too_few_open_files_fail_no_installation(crowd: Crowd, operator: Operator) -> None:
    counted = crowd.gather(operator, COUNT, before=limited_to(operator, 6), timeout="10s")
    assert counted.false == {}
    assert counted.own["OperatorOverloaded"]


def test_it_ends_though_servers_hold_its_threads(crowd: Crowd, operator: Operator, tenant: Cluster) -> None:
    with RawServer(ENDLESS_HEADERS) as server:
        port = int(server.address.rpartition(":")[2])
        for number in range(20):
            spec = {**store_spec(server.address), "timeout": "2m"}
            crowd.plane.api("POST", tenant.path, manifest(spec, f"r{number}"))
        eventually(lambda: connected(operator, port), lambda held: held >= 8, LONG)
        process = psutil.Process(operator.pid)
        process.terminate()
        assert process.wait(timeout=LONG) in (0, None)


def test_a_thread_that_a_server_holds_is_freed_at_the_deadline(
    crowd: Crowd, operator: Operator, tenant: Cluster
) -> None:
    with RawServer(ENDLESS_HEADERS) as server:
        port = int(server.address.rpartition(":")[2])
        spec = {**store_spec(server.address), "timeout": "3s"}
        # a wire to it, which takes no thread, is another matter
        spec["checks"]["ObjectStoreReachable"] = {"parameters": {"tripwire": False}}
        crowd.plane.api("POST", tenant.path, manifest(spec))
        eventually(lambda: connected(operator, port), bool, LONG)
        tenant.probed()
        eventually(lambda: connected(operator, port), lambda held: not held, LONG)


def test_dead_servers_of_one_tenant_delay_nobody_else(
    crowd: Crowd, operator: Operator, tenant: Cluster
) -> None:
    with ExitStack() as stack:
        host, port = stack.enter_context(ports.black_hole())
        for number in range(100):
            spec = {**redis_spec(f"{host}:{port}"), "timeout": "2m"}
            crowd.plane.api("POST", tenant.path, manifest(spec, f"r{number:03}"))
        counted = crowd.gather(operator, 2)
        assert counted.wrong == {}
        assert operator.get("/healthz")[0] == 200


@pytest.mark.skipif(not can_have_hosts(), reason="needs a mount namespace, and with it root")
def test_without_dns_the_operator_leads_and_shows_its_metrics(crowd: Crowd, tenant: Cluster) -> None:
    with silent_dns() as server, Nameless(crowd.plane, server, tenant.namespace) as operator:
        eventually(
            lambda: operator.get("/readyz")[1], lambda line: "leader" in line and "standby" not in line
        )
        for number in range(COUNT):
            spec = {**redis_spec(f"cache-{number}.example:6379"), "timeout": "4s", "interval": "10m"}
            crowd.plane.api("POST", tenant.path, manifest(spec, f"r{number}"))
        redis = redis_spec(crowd.values["config"]["values"]["launch"]["cache_redis_aws_url"].split("/")[2])
        crowd.plane.api("POST", tenant.path, manifest(redis, "sound"))

        def judged() -> list[str]:
            assert operator.get("/metrics")[0] == 200
            assert operator.get("/healthz")[0] == 200
            found = crowd.plane.api("GET", tenant.path)["items"]
            return [
                each["status"]["cause"]
                for each in found
                if is_current(each) and each["metadata"]["name"] != "sound"
            ]

        causes = eventually(judged, lambda found: len(found) == COUNT, LONG)
        assert set(causes) == {"RedisReachable/DNSTimeout"}
        assert tenant.probed("sound")["status"]["health"] == "Healthy"
        assert not [line for line in operator.log_lines() if "standing by" in line["message"]]
