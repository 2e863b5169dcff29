"""Ports of a node that lead to servers on our own loopback: opened in the node's network, dialled from ours."""

import contextlib
import ctypes
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from testbed.ports import LOOPBACK

_CLONE_NEWNET = 0x40000000
_IP_FREEBIND = 15
_PATIENCE = 60.0
"""Seconds until the address is there."""
_libc = ctypes.CDLL(None, use_errno=True)


class Portals:
    """Those of the node whose process 1 has the number ``pid`` here."""

    def __init__(self, pid: int) -> None:
        self._network = Path(f"/proc/{pid}/ns/net")
        self._open: dict[tuple[str, int], socket.socket] = {}

    def open(self, address: str, port: int, to: int) -> None:
        """Connections to ``address``:``port`` on the node lead to port ``to`` here. A second call changes nothing."""
        if (address, port) in self._open:
            return
        with ThreadPoolExecutor(1) as inside:  # a thread may be in another network than its process
            listener = inside.submit(self._listen, address, port).result()
        self._open[address, port] = listener
        threading.Thread(target=_forward, args=(listener, to), daemon=True).start()

    def close(self) -> None:
        for listener in self._open.values():
            listener.close()
        self._open.clear()

    def _listen(self, address: str, port: int) -> socket.socket:
        enter(self._network)
        deadline = time.monotonic() + _PATIENCE
        while True:
            listener = socket.socket()
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)
            try:
                listener.bind((address, port))
                listener.listen(128)
            except OSError:
                listener.close()
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
            else:
                return listener


def enter(network: Path) -> None:
    """Have the calling thread in ``network`` (/proc/PID/ns/net) from now on. Raises OSError."""
    with network.open() as file:
        if _libc.setns(file.fileno(), _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")


def _forward(listener: socket.socket, port: int) -> None:
    while True:
        try:
            client, _ = listener.accept()
        except OSError:  # closed
            return
        threading.Thread(target=_join, args=(client, port), daemon=True).start()


def _join(client: socket.socket, port: int) -> None:
    try:
        server = socket.create_connection((LOOPBACK, port), timeout=60)
    except OSError:
        # Nothing listens there: a reset is what comes nearest to a refusal.
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.close()
        return
    server.settimeout(None)
    back = threading.Thread(target=_copy, args=(server, client), daemon=True)
    back.start()
    _copy(client, server)
    back.join()
    client.close()
    server.close()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


def network_of(pid: int) -> int:
    """Which network namespace a process is in; 0 where there is no such process."""
    try:
        return Path(f"/proc/{pid}/ns/net").stat().st_ino
    except OSError:
        return 0
