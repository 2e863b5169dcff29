"""From the death of a server to the condition, and from its return, at the default interval."""

import time
from collections.abc import Iterator

from bench.rows import Row
from testbed import dependencies
from testbed.controlplane import ControlPlane
from testbed.dependencies import AWS_KEYS, reasons
from testbed.healthchecks import Cluster, wait
from testbed.operatorprocess import Operator

_REFUSED = "ConnectionRefused"


def latency(control_plane: ControlPlane) -> Iterator[Row]:
    """Each server in turn: killed, and started again when that was reported."""
    with Operator(control_plane, environment=AWS_KEYS) as operator:
        for start in dependencies.ALL:
            cluster = Cluster(control_plane, control_plane.create_namespace())
            with start(cluster) as dependency:
                name = dependency.check.lower()
                cluster.apply(dependency.spec(), name)
                cluster.probed(name)
                wait(lambda: operator.connections_to(dependency.server.port) == 1)
                clock = time.monotonic()
                dependency.server.kill()
                wait(lambda: _REFUSED in reasons(cluster, dependency))  # noqa: B023
                what = start.__name__
                yield Row(
                    what=f"{what} killed → condition", measured=time.monotonic() - clock, unit="s", budget=3
                )
                dependency.server.start()
                clock = time.monotonic()
                wait(lambda: _REFUSED not in reasons(cluster, dependency))  # noqa: B023
                yield Row(what=f"{what} back → condition", measured=time.monotonic() - clock, unit="s")
                cluster.kubectl("delete", "mehc", name)
