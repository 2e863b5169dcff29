"""Servers that lie, stall and never end: each connection is a script's."""

import contextlib
import socket
import socketserver
import ssl
import struct
import threading
import time
from collections.abc import Callable
from typing import Self

from testbed.pki import Certificate
from testbed.ports import LOOPBACK, free_port

Script = Callable[[socket.socket], None]


class RawServer:
    """Each connection is the script's, in a thread of its own; it ends when the client does."""

    def __init__(self, script: Script, certificate: Certificate | None = None) -> None:
        """Over TLS with ``certificate``."""
        tls = None
        if certificate:
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            tls.load_cert_chain(certificate.certificate_file, certificate.key_file)

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
                    plain: socket.socket = self.request
                    script(stack.enter_context(tls.wrap_socket(plain, server_side=True)) if tls else plain)

        self._server = _Server((LOOPBACK, free_port()), Handler)
        self.address = f"{LOOPBACK}:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    request_queue_size = 64


def silence(connection: socket.socket) -> None:
    while connection.recv(65536):
        pass


def close(connection: socket.socket) -> None:
    connection.recv(65536)


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def endless(*beginning: bytes, block: bytes = b"x" * 65536) -> Script:
    """Answers anything with ``beginning``, then ``block`` for ever."""

    def script(connection: socket.socket) -> None:
        connection.recv(65536)
        for part in beginning:
            connection.sendall(part)
        while True:
            connection.sendall(block)

    return script


def drip(text: bytes, pause: float = 0.2) -> Script:
    """Says a byte now and then, over and over."""

    def script(connection: socket.socket) -> None:
        connection.recv(65536)
        while True:
            for byte in text:
                connection.sendall(bytes([byte]))
                time.sleep(pause)

    return script


def answers(reply: bytes) -> Script:
    """Says the same to whatever it is told."""

    def script(connection: socket.socket) -> None:
        while connection.recv(65536):
            connection.sendall(reply)

    return script


def http(status: str = "200 OK", body: bytes = b"{}", **headers: str) -> Script:
    lines = {"Content-Length": str(len(body)), "Content-Type": "application/json", **headers}
    head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in lines.items())
    return answers(f"HTTP/1.1 {status}\r\n{head}\r\n".encode() + body)


def postgres(*messages: tuple[bytes, bytes], block: bytes = b"") -> Script:
    """Refuses TLS, lets anybody in, then answers everything with ``messages`` and, for ever, ``block``."""

    def script(connection: socket.socket) -> None:
        first = connection.recv(65536)
        if first[4:8] == struct.pack("!i", 80877103):
            connection.sendall(b"N")
            connection.recv(65536)
        connection.sendall(message(b"R", struct.pack("!i", 0)) + message(b"Z", b"I"))
        while connection.recv(65536):
            for kind, body in messages:
                connection.sendall(message(kind, body))
            while block:
                connection.sendall(block)

    return script


def message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!i", len(body) + 4) + body
