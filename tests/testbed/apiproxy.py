"""A proxy in front of the API server, such as load balancers and service meshes are: what it passes on is the API
server's, and it may answer in its place.
"""

import contextlib
import http.client
import socket
import ssl
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from testbed.controlplane import ControlPlane
from testbed.httpserver import Reply, Request
from testbed.ports import LOOPBACK, free_port

Answer = Callable[[Request], Reply | None]
"""What is answered in the API server's place; None passes the request on."""
_OF_ONE_HOP = frozenset({"connection", "keep-alive", "transfer-encoding"})
_CHUNK = 65536


def passes(_: Request) -> None:
    """Answers nothing."""


class ApiProxy:
    """Ends TLS, with a certificate of the control plane's authority; ``answer`` may be changed at any time."""

    def __init__(self, plane: ControlPlane) -> None:
        self.answer: Answer = passes
        self.answered = 0
        """Requests that did not reach the API server."""
        self.port = free_port()
        self._plane = plane
        self._upstream = ssl.create_default_context(cafile=str(plane.ca_file))
        own = plane.ca.issue("api-proxy")
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(own.certificate_file, own.key_file)
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _serve(self) -> None:
                outer._serve(self)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815

            def log_message(self, *_: Any) -> None:
                """Quiet."""

        self._server = _Server((LOOPBACK, self.port), Handler)
        self._server.tls = tls
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self.drop()

    def drop(self) -> None:
        """End all connections, those of watches too."""
        for connection in list(self._server.open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _serve(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        request = Request(method=handler.command, path=handler.path, headers=dict(handler.headers))
        if reply := self.answer(request):
            self.answered += 1
            _send(handler, reply)
            return
        upstream = http.client.HTTPSConnection(
            self._plane.host, self._plane.port, context=self._upstream, timeout=600
        )
        with contextlib.closing(upstream):
            try:
                upstream.request(handler.command, handler.path, body, dict(handler.headers))
                response = upstream.getresponse()
            except (OSError, http.client.HTTPException):
                _send(handler, Reply(502, b"<html>Bad Gateway</html>", {"Content-Type": "text/html"}))
                return
            _pass_on(handler, response)


def _pass_on(handler: BaseHTTPRequestHandler, response: http.client.HTTPResponse) -> None:
    handler.send_response_only(response.status)
    for name, value in response.getheaders():
        if name.lower() not in _OF_ONE_HOP:
            handler.send_header(name, value)
    chunked = response.getheader("Content-Length") is None
    if chunked:
        handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    handler.wfile.flush()
    while part := response.read1(_CHUNK):
        handler.wfile.write(b"%x\r\n%s\r\n" % (len(part), part) if chunked else part)
    if chunked:
        handler.wfile.write(b"0\r\n\r\n")


def _send(handler: BaseHTTPRequestHandler, reply: Reply) -> None:
    handler.send_response_only(reply.status)
    for name, value in {"Content-Length": str(len(reply.body)), **reply.headers}.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(reply.body)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    tls: ssl.SSLContext

    def __init__(self, *words: Any) -> None:
        self.open: set[socket.socket] = set()
        super().__init__(*words)

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Shake hands in the connection's own thread."""
        with self.tls.wrap_socket(request, server_side=True) as secure:
            self.open.add(secure)
            try:
                super().finish_request(secure, client_address)
            finally:
                self.open.discard(secure)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is the point of the exercise."""
