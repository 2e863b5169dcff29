"""While a person waits at a terminal: which checks are still under way, and which server each of them asks."""

import asyncio
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, TextIO

from mehc_checks.core import awaited

_QUIET: Final = 1.0
"""Seconds for which nothing is shown: most checks are over by then."""
_BETWEEN: Final = 0.5
_CLEARED: Final = "\r\x1b[K"


@asynccontextmanager
async def progress(stream: TextIO) -> AsyncIterator[None]:
    """One line on ``stream``, kept up to date, and gone at the end; none where ``stream`` is no terminal."""
    if not stream.isatty():
        yield
        return
    with awaited.shown() as waiting:
        task = asyncio.create_task(_show(stream, waiting))
        try:
            yield
        finally:
            task.cancel()
            stream.write(_CLEARED)
            stream.flush()


async def _show(stream: TextIO, waiting: awaited.Awaited) -> None:
    began = time.monotonic()
    await asyncio.sleep(_QUIET)
    while True:
        line = ", ".join(
            f"{check} ({server})" if server else check for check, server in sorted(waiting.items())
        )
        if line:
            took = f"{time.monotonic() - began:.0f}s waiting for "
            width = shutil.get_terminal_size().columns - len(took) - 1
            stream.write(f"{_CLEARED}{took}{line[:width]}")
            stream.flush()
        await asyncio.sleep(_BETWEEN)
