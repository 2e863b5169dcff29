"""Slots for work that mostly waits for others: bounded, in turns, and soon free again where that takes long."""

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

from mehc_checks.core.deadline import Allowance, meter, queued

_SLOW: Final = 4
"""So many times the quick slots are there for work that takes long, which costs us next to nothing."""
_BURST: Final = 4
_PACE: Final = 0.05
"""Seconds in which a paced limiter gives no more than a burst of slots."""
_LAG: Final = 0.05
"""Seconds of the loop's lag from which on a paced limiter gives none while two are held."""


class Limiter:
    """``most`` pieces of work at once. Those of one key have three quarters of the slots at most; keys take turns.

    What has not ended after ``patience`` seconds gives its slot back for one of four times as many slow ones: servers
    that do not answer keep nobody from those that do. ``paced``: further work begins when the event loop has caught
    up with what there is. Of one event loop.
    """

    def __init__(self, most: int, *, patience: float = 2.0, paced: bool = False) -> None:
        self._quick = _Share(most)
        self._slow = _Share(most * _SLOW)
        self._patience = patience
        self._paced = paced
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()
        self._later: asyncio.TimerHandle | None = None
        self._given = 0
        self.last = 0.0
        """Loop time at which a slot was last given; 0 for never."""

    @asynccontextmanager
    async def slot(self, key: str = "") -> AsyncIterator[None]:
        """Wait for a slot, which no timeout counts, and hold it in the block."""
        meter().follow()
        try:
            await self._wait(key)
            held = _Held(self, key)
            try:
                yield
            finally:
                held.end()
        finally:
            meter().leave()

    async def _wait(self, key: str) -> None:
        turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, deque()).append(turn)
        self._give()
        try:
            if not turn.done():
                with queued():
                    await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                with suppress(KeyError, ValueError):  # it may have been looked at and left out before
                    self._waiting[key].remove(turn)
            else:
                self._quick.leave(key)
                self._give()
            raise

    def _give(self) -> None:
        """Give what slots there are to give now."""
        while self._later is None and (key := self._next()) is not None:
            if self._paced and not self._on_time():
                return
            turn = self._waiting[key].popleft()
            if turn.done():
                continue
            self._quick.enter(key)
            self.last = asyncio.get_running_loop().time()
            turn.set_result(None)

    def _next(self) -> str | None:
        for key in list(self._waiting):
            if not self._waiting[key]:
                del self._waiting[key]
            elif self._quick.has_room(key):
                self._waiting.move_to_end(key)
                return key
        return None

    def _on_time(self) -> bool:
        """Whether another slot may be given at once; if not, ``_give`` is called again later."""
        busy = meter().recent > _LAG and self._quick.held >= 2
        if not busy and self._given < _BURST:
            self._given += 1
            if self._given > 1:
                return True
            asyncio.get_running_loop().call_later(_PACE, self._begin_burst)
            return True
        self._later = asyncio.get_running_loop().call_later(_PACE, self._again)
        return False

    def _begin_burst(self) -> None:
        self._given = 0

    def _again(self) -> None:
        self._later, self._given = None, 0
        self._give()

    def _settle(self, key: str) -> bool:
        """Exchange a quick slot for a slow one, if there is one."""
        if not self._slow.has_room(key):
            return False
        self._quick.leave(key)
        self._slow.enter(key)
        self._give()
        return True

    def _end(self, key: str, *, quick: bool) -> None:
        (self._quick if quick else self._slow).leave(key)
        self._give()


class _Share:
    """Slots of one kind."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._keys: Counter[str] = Counter()
        self.held = 0

    def has_room(self, key: str) -> bool:
        return self.held < self._most and self._keys[key] < -(-self._most * 3 // 4)

    def enter(self, key: str) -> None:
        self._keys[key] += 1
        self.held += 1

    def leave(self, key: str) -> None:
        self.held -= 1
        self._keys[key] -= 1
        if not self._keys[key]:
            del self._keys[key]


class _Held:
    """A slot that is held, quick until it is not."""

    def __init__(self, limiter: Limiter, key: str) -> None:
        self._limiter = limiter
        self._key = key
        self._quick = True
        self._allowance = Allowance(limiter._patience)
        self._timer = asyncio.get_running_loop().call_later(limiter._patience, self._late)

    def end(self) -> None:
        self._timer.cancel()
        self._limiter._end(self._key, quick=self._quick)

    def _late(self) -> None:
        left = self._allowance.left  # it may be us who were late
        if left <= 0 and self._limiter._settle(self._key):
            self._quick = False
        else:
            self._timer = asyncio.get_running_loop().call_later(max(left, _PACE), self._late)
