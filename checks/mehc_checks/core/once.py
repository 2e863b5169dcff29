"""Work that several ask for and that is done once."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Any


class Once:
    """Remembers answers by key: the first who asks starts the work, the others wait for the same.

    One asker's cancellation does not disturb the others; ``close`` ends what is left. An error is an answer, too.
    """

    def __init__(self) -> None:
        self._tasks: dict[Hashable, asyncio.Task[Any]] = {}

    async def ask(self, key: Hashable, start: Callable[[], Awaitable[Any]]) -> Any:
        """The answer to ``key``; ``start`` is called if nobody has asked before."""
        task = self._tasks.get(key)
        if task is None:
            task = self._tasks[key] = asyncio.ensure_future(start())
            task.add_done_callback(_retrieve)
        return await asyncio.shield(task)

    async def close(self) -> None:
        """Cancel what still runs, wait until it has ended, and forget all answers."""
        tasks = [task for task in self._tasks.values() if not task.done()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._tasks.clear()


def _retrieve(task: asyncio.Task[Any]) -> None:
    """Mark the task's exception as seen: nobody may be left to wait for it."""
    if not task.cancelled():
        task.exception()
