"""Run a command in a container that is already running: the API server's exec, over a WebSocket."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlencode

import aiohttp
from kubernetes.aio import client

from mehc_checks.clients.kubernetes.paths import object_path
from mehc_checks.clients.kubernetes.reasons import KubernetesReasons as K
from mehc_checks.core.deadline import within
from mehc_checks.core.errors import CannotEvaluate, Forbidden

_STDIN, STDOUT, STDERR, _STATUS = range(4)
"""Channels: the first byte of each message. Source: k8s.io/apimachinery/pkg/util/remotecommand."""
_PROTOCOLS: Final = ("v5.channel.k8s.io", "v4.channel.k8s.io")
_CHUNK: Final = 16 * 1024
"""Bytes of standard input in one message."""
_HANDSHAKE: Final = 30.0
"""Seconds."""


@dataclass(slots=True)
class Execution:
    """A command that runs. ``code`` is its exit status and ``error`` what kept it from running, once it has ended.

    ``code`` is None where the connection ended before the command did.
    """

    _socket: aiohttp.ClientWebSocketResponse
    _silence: float
    code: int | None = None
    error: str = ""

    async def output(self) -> AsyncIterator[tuple[int, bytes]]:
        """What it writes, as (STDOUT or STDERR, bytes), until it ends or the connection does.

        Raises TimeoutError after ``silence`` seconds without a byte.
        """
        while True:
            message = await self._socket.receive(timeout=self._silence)
            if message.type not in (aiohttp.WSMsgType.BINARY, aiohttp.WSMsgType.TEXT):
                return
            data: bytes = message.data.encode() if isinstance(message.data, str) else message.data
            if data[:1] == bytes([_STATUS]):
                self._ended(json.loads(data[1:] or b"{}"))
            elif len(data) > 1:  # each channel is opened by an empty message
                yield data[0], data[1:]

    def _ended(self, status: dict[str, Any]) -> None:
        if status.get("status") == "Success":
            self.code = 0
            return
        causes = (status.get("details") or {}).get("causes") or ()
        code = next((each["message"] for each in causes if each.get("reason") == "ExitCode"), "")
        if code:
            self.code = int(code)
        else:
            self.error = str(status.get("message", "")) or "no reason was given"


@asynccontextmanager
async def execute(
    api: client.ApiClient,
    namespace: str,
    pod: str,
    *,
    container: str,
    command: Sequence[str],
    stdin: bytes = b"",
    silence: float,
) -> AsyncIterator[Execution]:
    """Start ``command`` in the container and send it ``stdin``; leaving ends the connection, and not the command.

    RBAC: a WebSocket begins with a GET, so ``get`` of pods/exec, and from Kubernetes 1.35 ``create``, too.
    Raises Forbidden, or CannotEvaluate where the API server cannot start it.
    """
    path = f"{object_path('pods', namespace, pod)}/exec"
    words = [("command", word) for word in command]
    query = [("container", container), ("stdout", "true"), ("stderr", "true"), *words]
    _, url, headers, *_ = await api.param_serialize(
        "GET", path, header_params={}, auth_settings=["BearerToken"]
    )
    url = f"{url}?{urlencode([*query, *([('stdin', 'true')] if stdin else [])])}"
    configuration = api.configuration
    more: dict[str, Any] = {}
    if configuration.tls_server_name:
        more["server_hostname"] = configuration.tls_server_name
    if configuration.proxy:
        more["proxy"] = configuration.proxy
    if configuration.proxy_headers:
        more["proxy_headers"] = configuration.proxy_headers
    session = api.rest_client.pool_manager or api.rest_client._create_pool_manager()
    api.rest_client.pool_manager = session  # closed with the client
    try:
        async with within(_HANDSHAKE):
            socket = await session.ws_connect(
                url.replace("http", "ws", 1), headers=headers, protocols=_PROTOCOLS, max_msg_size=0, **more
            )
    except aiohttp.WSServerHandshakeError as error:
        if error.status == HTTPStatus.FORBIDDEN:
            raise Forbidden("get and create", "pods/exec", namespace=namespace, name=pod) from None
        raise CannotEvaluate(K.ERROR, detail=f"{error.status} to GET {path}") from None
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise CannotEvaluate(K.UNREACHABLE, detail=type(error).__name__) from None
    async with socket:
        sending = asyncio.create_task(_send(socket, stdin))  # while we read: it may end without reading all
        try:
            yield Execution(socket, silence)
        finally:
            sending.cancel()


async def _send(socket: aiohttp.ClientWebSocketResponse, data: bytes) -> None:
    for start in range(0, len(data), _CHUNK):
        if socket.closed:
            return
        with suppress(OSError, aiohttp.ClientError):  # what is read says why
            await socket.send_bytes(bytes([_STDIN]) + data[start : start + _CHUNK])
        await asyncio.sleep(0)
