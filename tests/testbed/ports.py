"""Free loopback ports, and network faults staged on them."""

import contextlib
import random
import socket
import socketserver
import threading
from collections.abc import Iterator
from typing import Any

LOOPBACK = "127.0.0.1"

# Below Linux's default range for outgoing connections (32768-60999), so that no client's own port takes one between
# our choice and the server's bind.
_RANGE = range(20000, 32000)

_given: set[int] = set()
_lock = threading.Lock()

Address = tuple[str, int]


def free_port() -> int:
    """A loopback port that nothing listens on and that this process never gave before."""
    with _lock:
        while True:
            port = random.choice(_RANGE)  # noqa: S311
            if port in _given:
                continue
            _given.add(port)
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the servers do
                try:
                    probe.bind((LOOPBACK, port))
                except OSError:
                    continue
            return port


def free_host(port: int) -> str:
    """An address of loopback, not 127.0.0.1, at which nothing listens on ``port``: others may serve there too."""
    while True:
        host = f"127.{random.randint(1, 254)}.{random.randint(0, 255)}.{random.randint(1, 254)}"  # noqa: S311
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                continue
        return host


def is_listening(port: int, host: str = LOOPBACK) -> bool:
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False


@contextlib.contextmanager
def refused_port() -> Iterator[Address]:
    """Connections are refused; the port stays reserved meanwhile (bound, never listening)."""
    with socket.socket() as holder:
        holder.bind((LOOPBACK, free_port()))
        yield holder.getsockname()


@contextlib.contextmanager
def black_hole() -> Iterator[Address]:
    """Connecting hangs: the listener's accept queue is full, so the kernel drops every further SYN."""
    with contextlib.ExitStack() as held:
        listener = held.enter_context(socket.socket())
        listener.bind((LOOPBACK, free_port()))
        listener.listen(0)
        address = listener.getsockname()
        for _ in range(16):
            client = held.enter_context(socket.socket())
            client.settimeout(0.1)
            try:
                client.connect(address)
            except TimeoutError:
                break
        else:
            raise RuntimeError("the accept queue did not fill")
        yield address


@contextlib.contextmanager
def silent_server() -> Iterator[Address]:
    """Connecting works at once, and then no byte is ever answered."""
    with socket.socket() as listener:
        listener.bind((LOOPBACK, free_port()))
        listener.listen(1024)  # the kernel completes the handshakes; nobody accepts
        yield listener.getsockname()


@contextlib.contextmanager
def garbage_server(answer: bytes) -> Iterator[Address]:
    """Every connection gets `answer` and is closed."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            connection: socket.socket = self.request
            connection.settimeout(1)
            with contextlib.suppress(OSError):
                connection.sendall(answer)
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(4096):  # closing on unread bytes would reset, and could lose the answer
                    pass

    with _Server((LOOPBACK, free_port()), Handler) as server:
        thread = threading.Thread(
            target=server.serve_forever, args=(0.02,), name="garbage-server", daemon=True
        )
        thread.start()
        try:
            yield (LOOPBACK, server.server_address[1])
        finally:
            server.shutdown()
            thread.join()


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is the point of the exercise."""
