"""A server that dies is judged when it dies: by an idle connection to it, at the default interval of five minutes."""

import re
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from testbed import dependencies
from testbed.controlplane import ControlPlane
from testbed.dependencies import AWS_KEYS, Dependency, reasons, redis_values
from testbed.healthchecks import Cluster, wait
from testbed.operatorprocess import Operator
from testbed.pki import CertificateAuthority
from testbed.redis import Redis

LIMIT = 120
"""Seconds; what is measured, `make bench` says. The interval is longer."""
REFUSED = "ConnectionRefused"


@pytest.fixture(scope="module")
def operator(control_plane: ControlPlane, certificate_authority: CertificateAuthority) -> Iterator[Operator]:
    environment = {**AWS_KEYS, "SSL_CERT_FILE": str(certificate_authority.ca_file)}
    with Operator(control_plane, environment=environment) as running:
        yield running


def apply(cluster: Cluster, operator: Operator, dependency: Dependency, **spec: Any) -> str:
    """Have the dependency judged, and wait until a connection to it is held; the resource's name."""
    name = dependency.check.lower()
    cluster.apply(dependency.spec(**spec), name)
    cluster.probed(name)
    wait(lambda: operator.connections_to(dependency.server.port) == 1)
    return name


def test_a_server_that_is_killed_is_news_at_once_and_so_is_its_return(
    cluster: Cluster, operator: Operator
) -> None:
    with ExitStack() as stack:
        every = [stack.enter_context(start(cluster)) for start in dependencies.ALL]
        for each in every:
            apply(cluster, operator, each)
            assert REFUSED not in reasons(cluster, each)
        for each in every:
            each.server.kill()
        for each in every:
            wait(lambda: REFUSED in reasons(cluster, each), LIMIT)  # noqa: B023 - asked at once
        for each in every:
            each.server.start()
        for each in every:
            wait(lambda: REFUSED not in reasons(cluster, each), LIMIT)  # noqa: B023
            wait(lambda: operator.connections_to(each.server.port) == 1)  # noqa: B023


def test_a_server_that_was_never_there_is_judged_when_it_comes(cluster: Cluster) -> None:
    """As after a restart of the operator while a server is down, or when the server is installed last."""
    with ExitStack() as stack:
        every = [stack.enter_context(start(cluster)) for start in dependencies.ALL]
        for each in every:
            each.server.kill()
        for each in every:
            name = each.check.lower()
            cluster.apply(each.spec(), name)
            cluster.probed(name)
            wait(lambda: REFUSED in reasons(cluster, each), LIMIT)  # noqa: B023 - asked at once
        for each in every:
            each.server.start()
        for each in every:
            wait(lambda: REFUSED not in reasons(cluster, each), LIMIT)  # noqa: B023


def test_a_restart_is_looked_at_and_is_no_failure(
    cluster: Cluster, operator: Operator, certificate_authority: CertificateAuthority
) -> None:
    """Nor is another certificate, with which the server comes back: that is how one is renewed."""
    first = Redis(tls=True, ca=certificate_authority)
    with first:
        # A slow machine may need long for a restart: what is not confirmed is no failure.
        dependency = Dependency(check="RedisReachable", server=first, values=redis_values(first))
        name = apply(cluster, operator, dependency, confirmations=10)
        before = cluster.condition("RedisReachable", name)
        assert before["status"] == "True"
        lost = losses(operator, "redis")
    address = (first.host, first.port)
    with Redis(tls=True, ca=certificate_authority, address=address):
        wait(lambda: losses(operator, "redis") > lost)
        wait(lambda: operator.connections_to(first.port) == 1, LIMIT)
        wait(lambda: not failures(cluster, name))
        assert cluster.condition("RedisReachable", name) == before


def test_it_is_let_go_where_the_resource_does_not_want_it(cluster: Cluster, operator: Operator) -> None:
    with dependencies.redis(cluster) as dependency:
        name = apply(cluster, operator, dependency)
        cluster.patch({"spec": {"checks": {"RedisReachable": {"parameters": {"tripwire": False}}}}}, name)
        cluster.probed(name)
        wait(lambda: operator.connections_to(dependency.server.port) == 0, LIMIT)


def losses(operator: Operator, kind: str) -> float:
    _, page = operator.get("/metrics")
    return sum(
        float(line.rpartition(" ")[2])
        for line in page.splitlines()
        if re.match(rf'mehc_tripwires_lost_total{{.*kind="{kind}"', line)
    )


def failures(cluster: Cluster, name: str) -> int:
    checks = cluster.get(name)["status"]["checks"]
    return sum(each.get("failures", 0) for each in checks)
