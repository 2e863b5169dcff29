"""What is asked of the Kubernetes API."""

from typing import Any

import aiohttp


class Traffic:
    """Counts requests, and the bytes of their answers before compression."""

    def __init__(self) -> None:
        self.requests = self.bytes = 0

    def config(self) -> aiohttp.TraceConfig:
        trace = aiohttp.TraceConfig()

        async def began(*_: Any) -> None:
            self.requests += 1

        async def received(_: Any, __: Any, chunk: aiohttp.TraceResponseChunkReceivedParams) -> None:
            self.bytes += len(chunk.chunk)

        trace.on_request_start.append(began)
        trace.on_response_chunk_received.append(received)
        return trace
