"""Many changes, few actions."""

import asyncio
from collections.abc import Callable, Set
from typing import Generic, TypeVar

T = TypeVar("T")


class Throttle:
    """Call it as often as things change: ``action`` follows ``soon`` seconds later, once for all changes till then.

    The second action is at least ``first`` seconds after the first one, for what a change brings about at once; each
    further one twice as long after the one before, and at most ``apart`` seconds, however busy the cluster is. Of one
    event loop.
    """

    def __init__(
        self, action: Callable[[], None], *, soon: float = 0.2, first: float = 0.5, apart: float = 5.0
    ) -> None:
        self._action = action
        self._soon = soon
        self._first = min(first, apart)
        self._apart = apart
        self._timer: asyncio.TimerHandle | None = None
        self._pause = 0.0
        self._acted = float("-inf")
        """When it acted last, in the loop's time."""

    def __call__(self) -> None:
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(max(loop.time() + self._soon, self._acted + self._pause), self._act)

    def cancel(self) -> None:
        """Forget a change that no action has followed yet."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _act(self) -> None:
        self._timer = None
        before, self._acted = self._acted, asyncio.get_running_loop().time()
        is_busy = self._acted - before <= 2 * self._apart
        self._pause = min(self._pause * 2, self._apart) if is_busy else self._first
        self._action()


class Changes(Generic[T]):
    """Call it with what has changed: all of it is told at once, as a Throttle acts."""

    def __init__(self, tell: Callable[[Set[T]], None], *, apart: float = 5.0) -> None:
        self._tell = tell
        self._changed: set[T] = set()
        self._throttle = Throttle(self._told, apart=apart)

    def __call__(self, changed: T) -> None:
        self._changed.add(changed)
        self._throttle()

    def cancel(self) -> None:
        """Forget what nobody was told."""
        self._changed.clear()
        self._throttle.cancel()

    def _told(self) -> None:
        changed, self._changed = self._changed, set()
        self._tell(changed)
