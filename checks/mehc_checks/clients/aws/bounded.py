"""The HTTP session of AWS's clients, which reads no more than a bounded answer, for no longer than a bounded time.

botocore reads whatever comes: an endpoint of the values' own choice would fill the memory, or hold a thread for hours.
"""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

MOST_BYTES: Final = 1024 * 1024
"""Of one answer; a page of a thousand keys has some hundred thousand."""
_CHUNK: Final = 16384
_REDIRECTS: Final = frozenset({301, 302, 307, 308})
_REGION: Final = "x-amz-bucket-region"
"""A header of S3's own redirects."""


_HERE: Final = threading.local()


class Exchange:
    """One call of a thread, of which ``abort`` closes the sockets: botocore's own timeouts are of each byte."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._connections: list[Any] = []
        self._aborted = False

    @contextmanager
    def carried_out(self) -> Iterator[None]:
        """In the block, connections that this thread uses are those of the call."""
        _HERE.exchange = self
        try:
            yield
        finally:
            _HERE.exchange = None
            with self._lock:  # others may use them from now on
                self._connections.clear()

    def use(self, connection: Any) -> None:
        """Note a connection. Raises OSError where the call is given up."""
        with self._lock:
            if self._aborted:
                raise OSError("given up")
            self._connections.append(connection)

    def abort(self) -> None:
        """End the call, if it is not over, wherever its thread is. May be called from another one."""
        with self._lock:
            self._aborted = True
            for connection in self._connections:
                if connection.sock is not None:
                    with suppress(OSError):  # it is closed; beneath TLS, whose state is the thread's
                        socket.socket.shutdown(connection.sock, socket.SHUT_RDWR)


def _followed(pool: type[Any]) -> type[Any]:
    """``pool``, whose connections are known to the Exchange that uses them."""

    class Connection(pool.ConnectionCls):  # type: ignore[misc,name-defined]
        def connect(self) -> None:
            _use(self)
            super().connect()

        def request(self, *words: Any, **more: Any) -> Any:
            _use(self)
            return super().request(*words, **more)

    return type(pool.__name__, (pool,), {"ConnectionCls": Connection})


def _use(connection: Any) -> None:
    exchange: Exchange | None = getattr(_HERE, "exchange", None)
    if exchange:
        exchange.use(connection)


class BoundedSession:
    """Stands in for ``session``, botocore's own. ``seconds`` is the time for the body of an answer."""

    def __init__(self, session: Any, *, seconds: float) -> None:
        self._session = session
        pools = session._pool_classes_by_scheme
        pools.update({scheme: _followed(pool) for scheme, pool in pools.items()})
        self._seconds = seconds

    def send(self, request: Any) -> Any:
        """The answer, its body read. Raises what botocore's session raises."""
        from botocore.exceptions import HTTPClientError

        request.stream_output = True  # the body is read below
        answer = self._session.send(request)
        try:
            answer._content = self._read(answer.raw)
            _require_no_loop(answer)
        except Exception as error:  # of urllib3, http.client, ssl and socket; botocore catches as much
            raise HTTPClientError(error=error) from None
        return answer

    def close(self) -> None:
        self._session.close()

    def _read(self, raw: Any) -> bytes:
        deadline = time.monotonic() + self._seconds
        body = bytearray()
        while data := raw.read1(_CHUNK, decode_content=False):
            body += data
            if len(body) > MOST_BYTES or time.monotonic() > deadline:
                raw.close()
                raise ValueError("the answer does not end")
        raw.release_conn()
        return bytes(body)


def _require_no_loop(answer: Any) -> None:
    """Raises ValueError for a redirect that is not S3's: botocore asks where the bucket is by a request that is
    redirected, too, and so on until Python's stack ends.
    """
    if answer.status_code in _REDIRECTS and _REGION not in answer.headers:
        raise ValueError("it redirects and names no region")
