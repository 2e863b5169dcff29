"""Names of the world, led to servers of the testbed."""

import contextlib
import os
import socket
from collections.abc import Iterator, Mapping
from typing import Any
from unittest import mock


@contextlib.contextmanager
def leading(routes: Mapping[str, str]) -> Iterator[None]:
    """Within, this process finds "name:port" of ``routes`` at "address:port" of a server, as a resolver would have it.

    The resolver's answer is all that is replaced: connection, TLS and what is said are real, under the real name.
    """
    resolve = socket.getaddrinfo

    def led(host: Any, port: Any, *words: Any, **more: Any) -> Any:
        if f"{host}:{port}" in routes:
            host, _, port = routes[f"{host}:{port}"].rpartition(":")
        return resolve(host, port, *words, **more)

    with mock.patch.object(socket, "getaddrinfo", led):
        yield


@contextlib.contextmanager
def silent_dns() -> Iterator[str]:
    """The address of a DNS server that never answers. Needs root, for its port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        host = f"127.{os.getpid() >> 8 & 0xFF}.{os.getpid() & 0xFF}.53"
        server.bind((host, 53))
        yield host
