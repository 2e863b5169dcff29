"""Watch mehc as users run it: its own image, installed by its chart on a real node, and pods in real trouble.

Run it by `make demo NODE=real`, as root. `make demo NODE=real KEEP=1` leaves everything running until Ctrl-C.
"""

import argparse
import sys
import time
from contextlib import ExitStack
from pathlib import Path

if __name__ == "__main__":  # run as a file: `testbed` and `demo` are packages of the folder above
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from demo.demo import say, stay, title
from testbed import baseimage, operatorimage
from testbed.controlplane import ControlPlane
from testbed.healthchecks import Cluster, with_redis
from testbed.installation import Tree, aws_values
from testbed.node import Node, impossible
from testbed.node.archives import BUSYBOX_IMAGE, busybox
from testbed.operatoronnode import PATIENCE, deploy
from testbed.realstates import TOO_MUCH, State, runs
from testbed.redis import Redis
from testbed.waiting import eventually
from testbed.ward import Ward

NAME = "mehc"
STATES = {
    "crashes": State(cause="ContainerCrashing", main=runs("echo 'no CUDA device' >&2; exit 1")),
    "memory": State(
        cause="OutOfMemory", main=runs(f"sleep 1; exec {TOO_MUCH}", resources={"limits": {"memory": "48Mi"}})
    ),
    "no-secret": State(
        cause="ContainerConfigMissing",
        main={"env": [{"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "hub", "key": "token"}}}]},
    ),
    "no-registry": State(cause="HostUnresolvable", main={"image": "registry.invalid/vllm:0.6.3"}),
}
"""Endpoints, and the cause that mehc names."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--keep", action="store_true", help="leave everything running until Ctrl-C")
    keep = parser.parse_args().keep
    if why := impossible() or baseimage.impossible():
        print(f"demo: {why}", file=sys.stderr)
        return 1
    clock = time.monotonic()
    with ExitStack() as stack:
        demo = RealDemo(stack)
        demo.install()
        demo.judge()
        demo.explain()
        demo.break_and_fix()
        demo.fail_over()
        title(f"Done in {time.monotonic() - clock:.0f} s")
        if keep:
            stay(demo.plane, {}, "kubectl logs -n mehc deployment/mehc")
    return 0


class RealDemo:
    """The components, and the steps of the demo."""

    def __init__(self, stack: ExitStack) -> None:
        title("Start the components")
        clock = time.monotonic()
        self._start = stack.enter_context
        self._image = self._start(operatorimage.served())
        say(
            f"the operator's image, built from the Dockerfile, is in a registry ({time.monotonic() - clock:.0f} s)"
        )
        clock = time.monotonic()
        self.plane = self._start(
            ControlPlane(apiserver_flags={"kubelet-preferred-address-types": "InternalIP"})
        )
        self._node = self._start(Node(self.plane, gpus=2))
        self._node.load(busybox(BUSYBOX_IMAGE))
        self._redis = self._start(Redis())
        say(
            f"a control plane, a node with kubelet and containerd, and Redis run ({time.monotonic() - clock:.1f} s)"
        )
        self.show("get", "nodes", "-o", "wide")

    def install(self) -> None:
        """The operator by its chart, in a namespace that admits restricted pods only."""
        title("Install the operator by its chart")
        clock = time.monotonic()
        probes = {"trustedNamespaces": ["*"]}  # the resource's values alone name its Redis
        self._operator = self._start(deploy(self._node, self._image, NAME, probes=probes))
        self._operator.settled()
        say(f"2 replicas are ready, and one leads ({time.monotonic() - clock:.1f} s)")
        self.show("get", "deployments,pods,lease", "-n", NAME)

    def judge(self) -> None:
        """An installation whose Redis is behind a Service, reached by its name."""
        title("Create a ModelEngineHealthCheck")
        clock = time.monotonic()
        namespace = "acme"
        self.plane.api("POST", "/api/v1/namespaces", {"metadata": {"name": namespace}})
        self._node.service(namespace, "redis", 6379, self._redis.port)
        self._cluster = Cluster(self.plane, namespace)
        values = aws_values(cache_redis_aws_url=f"redis://redis.{namespace}.svc.cluster.local:6379/15")
        self._cluster.apply(with_redis(self._redis, values=values) | {"interval": "10s", "timeout": "9s"})
        self._wait_for("True")
        say(f"judged after {time.monotonic() - clock:.1f} s")
        self.show("get", "mehc", "-A")

    def explain(self) -> None:
        """Endpoints that the kubelet cannot start, in its own words."""
        title("Explain endpoints that do not start")
        ward = self._start(Ward(self._node))
        for name, state in STATES.items():
            ward.make(name, state)
        for name, state in STATES.items():
            ward.until(name, state.cause)
        self.show("get", "pods", "-n", ward.namespace)
        print(f"\n$ mehc explain -n {ward.namespace} --grace-period 1s", flush=True)
        print(ward.mehc("explain", "--grace-period", "1s"), flush=True)

    def break_and_fix(self) -> None:
        """Redis stops and starts again."""
        title("Stop its Redis, and start it again")
        clock = time.monotonic()
        self._redis.stop()
        self._wait_for("False")
        say(f"RedisReachable is False after {time.monotonic() - clock:.1f} s")
        self.show("get", "mehc", "-A", "-o", "wide")
        clock = time.monotonic()
        self._redis.start()
        self._wait_for("True")
        say(f"RedisReachable is True after {time.monotonic() - clock:.1f} s")

    def fail_over(self) -> None:
        """The leader's process is killed on its node."""
        title("Kill the operator's leader")
        clock, holder = time.monotonic(), self._operator.holder()
        self._operator.process(self._operator.leader()).kill()
        eventually(self._operator.holder, lambda now: now not in ("", holder), PATIENCE)
        say(f"{self._operator.leader()} leads after {time.monotonic() - clock:.1f} s")
        self.show("get", "pods,lease", "-n", NAME)

    def _wait_for(self, status: str) -> Tree:
        return eventually(
            lambda: self._cluster.condition("RedisReachable"),
            lambda condition: condition.get("status") == status,
            PATIENCE,
        )

    def show(self, *words: str) -> None:
        print(f"\n$ kubectl {' '.join(words)}", flush=True)
        print(self.plane.kubectl(*words), flush=True)


if __name__ == "__main__":
    sys.exit(main())
