"""A network of its own, with private addresses that lead to servers on our loopback, and an operator in it."""

import subprocess
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from testbed.controlplane import ControlPlane
from testbed.node.portals import Portals, enter, network_of
from testbed.operatorprocess import Operator
from testbed.ports import LOOPBACK
from testbed.process import Process

_HOSTS = Path("/etc/hosts")


def can_be_private() -> bool:
    """Whether this process may make a network namespace."""
    done = subprocess.run(["unshare", "--net", "--mount", "true"], capture_output=True, check=False)
    return done.returncode == 0


class PrivateNetwork(Process):
    """A network namespace whose loopback interface has ``addresses``; nothing else of this machine is in it."""

    def __init__(self, addresses: Sequence[str]) -> None:
        super().__init__("network")
        self._addresses = addresses
        self._portals: Portals | None = None

    def command(self) -> Sequence[str | Path]:
        steps = ["ip link set lo up", *(f"ip address add {each}/32 dev lo" for each in self._addresses)]
        return ["unshare", "--net", "sh", "-c", " && ".join([*steps, "touch ready", "exec sleep infinity"])]

    def ready(self) -> bool:
        return (self.directory / "ready").exists() and network_of(self.pid) != 0

    def lead(self, address: str, port: int, to: int) -> None:
        """Connections to ``address``:``port`` in there lead to port ``to`` of our loopback."""
        if self._portals is None:
            self._portals = Portals(self.pid)
        self._portals.open(address, port, to)

    def close(self) -> None:
        if self._portals is not None:
            self._portals.close()
        super().close()


class PrivateOperator(Operator):
    """The operator in a private network, where it reaches the API server and what the network leads to.

    ``hosts`` are names and addresses that its resolver has.
    """

    def __init__(
        self,
        plane: ControlPlane,
        network: PrivateNetwork,
        *words: str,
        environment: Mapping[str, str],
        hosts: Mapping[str, str],
    ) -> None:
        super().__init__(plane, *words, environment=environment, trusted=())
        network.lead(LOOPBACK, plane.port, plane.port)
        self._network = network
        self._hosts = hosts
        self._inside = ThreadPoolExecutor(
            1, initializer=enter, initargs=(Path(f"/proc/{network.pid}/ns/net"),)
        )

    def command(self) -> Sequence[str | Path]:
        own = self.directory / "hosts"
        own.write_text(
            _HOSTS.read_text() + "".join(f"{address} {name}\n" for name, address in self._hosts.items())
        )
        there = ["nsenter", f"--net=/proc/{self._network.pid}/ns/net", "unshare", "--mount"]
        return [*there, "sh", "-c", f'mount --bind "$0" {_HOSTS} && exec "$@"', own, *super().command()]

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> tuple[int, str]:
        return self._inside.submit(super().get, path, headers).result()
