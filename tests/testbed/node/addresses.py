"""The networks of nodes, so that several test runs have theirs side by side."""

import json
import socket
import subprocess

from testbed.process import ComponentError


class Addresses:
    """The first networks that are free, held until ``release`` or until this process ends."""

    def __init__(self) -> None:
        """Raises ComponentError where 256 nodes run."""
        self._claim = socket.socket(socket.AF_UNIX)
        number = next((number for number in range(256) if self._is_ours(number)), None)
        if number is None:
            raise ComponentError("no network is free for another node")
        self.link = f"mehc-node{number}"
        """The host's end of the link to the node; the kernel takes it away some seconds after a killed run."""
        self.gateway = f"198.18.{number}.1"
        self.node = f"198.18.{number}.2"
        self.pods = f"198.19.{number}.0/24"

    def release(self) -> None:
        self._claim.close()

    def _is_ours(self, number: int) -> bool:
        try:
            self._claim.bind(f"\0mehc-testbed-node-{number}")  # the kernel's own names, per network namespace
        except OSError:
            return False
        if f"mehc-node{number}" not in _links():
            return True
        self._claim.close()
        self._claim = socket.socket(socket.AF_UNIX)
        return False


def ip(*words: str) -> str:
    """What the command printed. Raises ComponentError."""
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise ComponentError(f"ip {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout


def _links() -> set[str]:
    return {link["ifname"] for link in json.loads(ip("-json", "link", "show") or "[]")}
