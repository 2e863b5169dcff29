"""HTTP servers that a test scripts, and a proxy that leads names to loopback."""

import base64
import contextlib
import select
import socket
import socketserver
import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from testbed.pki import Certificate
from testbed.ports import LOOPBACK, free_port


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """What a client sent."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes = b""

    @property
    def login(self) -> tuple[str, str] | None:
        """User and password of basic authentication."""
        scheme, _, value = self.headers.get("Authorization", "").partition(" ")
        if scheme != "Basic":
            return None
        user, _, password = base64.b64decode(value).decode().partition(":")
        return user, password


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


Script = Callable[[Request], Reply]


class ScriptedServer:
    """Answers every request as the script says, over TLS if there is a certificate; `requests` are kept.

    `client_ca`: clients must show a certificate of it. `place`: where it listens, on loopback.
    """

    def __init__(
        self,
        script: Script,
        *,
        certificate: Certificate | None = None,
        client_ca: Path | None = None,
        place: tuple[str, int] | None = None,
    ) -> None:
        self.requests: list[Request] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                request = Request(method=self.command, path=self.path, headers=dict(self.headers), body=body)
                outer.requests.append(request)
                reply = script(request)
                self.send_response(reply.status)
                for name, value in {"Content-Length": str(len(reply.body)), **reply.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(reply.body)

            do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _answer  # noqa: N815

            def log_message(self, *_: Any) -> None:
                """Quiet."""

        host, port = place or (LOOPBACK, free_port())
        self._server = _HttpServer((host, port), Handler)
        self.address = f"{host}:{port}"
        self.url = f"{'https' if certificate else 'http'}://{self.address}"
        if certificate:
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            tls.load_cert_chain(certificate.certificate_file, certificate.key_file)
            if client_ca:
                tls.maximum_version = ssl.TLSVersion.TLSv1_2  # 1.3 asks only after the handshake
                tls.verify_mode = ssl.CERT_REQUIRED
                tls.load_verify_locations(client_ca)
            self._server.tls = tls
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _HttpServer(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    tls: ssl.SSLContext | None = None

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Shake hands in the connection's own thread: a slow client holds up nobody."""
        request.settimeout(10)
        if self.tls is None:
            super().finish_request(request, client_address)
        else:
            with self.tls.wrap_socket(request, server_side=True) as secure:
                super().finish_request(secure, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up, or distrusts the certificate, is the point of the exercise."""


class Proxy:
    """An HTTP proxy that leads names to loopback: `routes` maps "host:port" to "host:port", all else is refused (502).

    CONNECT and plain requests, one a connection.
    """

    def __init__(self, routes: Mapping[str, str]) -> None:
        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                line = self.rfile.readline().decode()
                if not line:  # a client that hangs up without a word
                    return
                method, target, version = line.split()
                headers = list(iter(lambda: self.rfile.readline().strip(), b""))
                path = ""
                if method != "CONNECT":
                    url = urlsplit(target)
                    target, path = f"{url.hostname}:{url.port or 80}", url.path or "/"
                if target not in routes:
                    self.wfile.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
                    return
                host, _, port = routes[target].rpartition(":")
                with socket.create_connection((host, int(port)), timeout=5) as upstream:
                    if method == "CONNECT":
                        self.wfile.write(b"HTTP/1.1 200 Connected\r\n\r\n")
                    else:
                        first = f"{method} {path} {version}".encode()
                        upstream.sendall(b"\r\n".join([first, *headers, b"Connection: close", b"", b""]))
                    with contextlib.suppress(OSError):
                        _splice(self.connection, upstream)

        self._server = _ProxyServer((LOOPBACK, free_port()), Handler)
        self.url = f"http://{LOOPBACK}:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _ProxyServer(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False


def _splice(one: socket.socket, other: socket.socket) -> None:
    while True:
        readable, _, _ = select.select([one, other], [], [], 10)
        if not readable:
            return
        for source in readable:
            data = source.recv(65536)
            if not data:
                return
            (other if source is one else one).sendall(data)
