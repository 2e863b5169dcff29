"""What a TLS client can find out of a server that leaves its hello without an answer. Raises NetworkProblem."""

import asyncio
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

from mehc_checks.clients.network.connect import NetworkProblem, opened, places
from mehc_checks.clients.network.reasons import NetworkReasons as N
from mehc_checks.clients.redis.server import Server
from mehc_checks.core.errors import Problem

T = TypeVar("T")
_PATIENCE: Final = 1.0
"""Seconds that a TLS server has before it is asked without TLS beside; less where there is little time."""
_OF_TLS: Final = (b"TLS", b"SSL", b"ENCRYPT")
"""Words of errors, in capitals, by which a TLS port tells a client to begin TLS: "ERR Bad TLS header ..." (Dragonfly),
"ERR unencrypted connection is prohibited" (Redis Enterprise)."""


async def unless_plain(attempt: Coroutine[Any, Any, T], server: Server, *, timeout: float) -> T:
    """What ``attempt``, a TLS client's, comes to. Raises NetworkProblem (SERVER_NOT_TLS) where plain Redis is proven.

    Redis' plain port leaves TLS clients without an answer: it waits for the end of what looks like a command. So does
    a TLS server that is slow, which only an answer in plain text tells from it; until one comes, ``attempt`` goes on.
    Whoever calls limits the time; ``timeout`` is how much there is, in seconds.
    """
    trying = asyncio.ensure_future(attempt)
    asking = asyncio.create_task(_answers_plain(server, after=min(_PATIENCE, timeout / 4), timeout=timeout))
    try:
        await asyncio.wait((trying, asking), return_when=asyncio.FIRST_COMPLETED)
        if not trying.done() and asking.result():
            proof = ": it answered PING in plain text"
            raise NetworkProblem(N.SERVER_NOT_TLS, server.host, server.port, proof=proof)
        return await trying
    finally:
        trying.cancel()
        asking.cancel()
        await asyncio.gather(trying, asking, return_exceptions=True)


async def _answers_plain(server: Server, *, after: float, timeout: float) -> bool:
    """Whether PING without TLS, tried in ``after`` seconds, gets an answer of Redis', be it an error."""
    await asyncio.sleep(after)
    try:
        reader, writer = await opened(await places(server.host, server.port, timeout=timeout))
        try:
            writer.write(b"PING\r\n")
            answer = await reader.readline()
        finally:
            writer.close()
    except (OSError, ValueError, Problem):  # ValueError: a line without an end
        return False
    return answer[:1] in (b"+", b"-") and not any(word in answer.upper() for word in _OF_TLS)
