"""Timeouts that count only the time in which this process could have gone on.

An answer that has arrived while the event loop was busy, or the process had no CPU, is not late: we are. So the loop's
own lag is measured while anything waits, and a timeout is put off by it. Where that has gone on for too long, the
fault is ours and says so (``OperatorOverloaded``): it is never one of the server that was asked.
"""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import TracebackType
from typing import Final, Self
from weakref import WeakKeyDictionary

from mehc_checks.core.errors import CannotEvaluate
from mehc_checks.core.outcome import SHARED_PAGE, Reason, ReasonSet, Status

_TICK: Final = 0.02
"""Seconds between two looks at the loop's punctuality."""
_MOST: Final = 8
"""A timeout is put off to at most so many times what was allowed, or by these seconds."""
_PUT_OFF = 10.0
_STRAINED: Final = 0.05
"""The part of the time from which on a loop that is late is strained."""
_WINDOW: Final = 30.0
"""Seconds."""


class OwnReasons(ReasonSet):
    """Of this process, which says nothing about any installation."""

    OVERLOADED = Reason(
        "OperatorOverloaded",
        Status.ERROR,
        "mehc itself ran short of CPU time, threads, memory or open files, which says nothing about the installation.",
        message="not evaluated: {detail}",
        remedy="Give the operator more CPU and memory (resources of the model-engine-health-check chart), or raise "
        "spec.interval.",
        defaults={"detail": "mehc had too little CPU time"},
        page=SHARED_PAGE,
    )


class Meter:
    """How late the event loop is. One for each loop, which it does not hold; it looks while somebody ``follows``."""

    def __init__(self) -> None:
        self._followers = 0
        self._next: asyncio.TimerHandle | None = None
        self._lost = 0.0
        self._recent = 0.0
        self._worst = self._before = 0.0
        """The greatest lag in this window, and in the one before."""
        self._since = time.monotonic()

    @property
    def lost(self) -> float:
        """Seconds by which the loop has been late, in sum, since anybody followed."""
        return self._lost + self.lag

    @property
    def lag(self) -> float:
        """Seconds by which the loop is late now."""
        return max(0.0, time.monotonic() - self._next.when()) if self._next else 0.0

    @property
    def recent(self) -> float:
        """``lag``, or that of the last look."""
        return max(self._recent, self.lag)

    def worst(self) -> float:
        """The greatest lag of the last half a minute, or minute, in seconds. May be called from another thread."""
        return max(self._worst, self._before)

    def follow(self) -> None:
        """Look from now on, until ``leave`` is called as often."""
        self._followers += 1
        if self._next is None:
            self._next = asyncio.get_running_loop().call_later(_TICK, self._look)

    def leave(self) -> None:
        self._followers -= 1
        if not self._followers and self._next is not None:
            self._lost += self.lag
            self._next.cancel()
            self._next, self._recent = None, 0.0

    def _look(self) -> None:
        late = self._recent = self.lag
        self._lost += late
        if time.monotonic() - self._since > _WINDOW:
            self._since, self._before, self._worst = time.monotonic(), self._worst, 0.0
        self._worst = max(self._worst, late)
        self._next = asyncio.get_running_loop().call_later(_TICK, self._look)


_METERS: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, Meter]] = WeakKeyDictionary()


def meter() -> Meter:
    """The meter of the running loop."""
    loop = asyncio.get_running_loop()
    if loop not in _METERS:
        _METERS[loop] = Meter()
    return _METERS[loop]


class Queues:
    """How long the tasks of a probe run have waited for something of ours: several at once count as one.

    The loop's lag meanwhile is no part of it: the meter has that already.
    """

    def __init__(self) -> None:
        self._waiting = 0
        self._since = 0.0
        self._sum = 0.0

    @property
    def seconds(self) -> float:
        """In sum."""
        return self._sum + (self._punctual() - self._since if self._waiting else 0.0)

    def enter(self) -> None:
        if not self._waiting:
            self._since = self._punctual()
        self._waiting += 1

    def leave(self) -> None:
        self._waiting -= 1
        if not self._waiting:
            self._sum += self._punctual() - self._since

    @staticmethod
    def _punctual() -> float:
        """The loop's time, which stands still while the loop is late."""
        return asyncio.get_running_loop().time() - meter().lost


_QUEUES: Final[ContextVar[Queues | None]] = ContextVar("queues", default=None)


@contextmanager
def own_queues() -> Iterator[None]:
    """In the block, and in the tasks that it begins, ``queued`` counts for those alone."""
    token = _QUEUES.set(Queues())
    try:
        yield
    finally:
        _QUEUES.reset(token)


@contextmanager
def queued() -> Iterator[None]:
    """In the block something of ours is waited for, which no timeout counts."""
    queues = _QUEUES.get()
    if queues:
        queues.enter()
    try:
        yield
    finally:
        if queues:
            queues.leave()


def _not_ours(queues: Queues | None) -> float:
    """Seconds that count for no server, in sum since any moment: our own lag and queues."""
    return meter().lost + (queues.seconds if queues else 0.0)


class Allowance:
    """``seconds`` from now on, less our own lag and queues, for a conversation of several steps."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._queues = _QUEUES.get()
        self._began, self._before = asyncio.get_running_loop().time(), _not_ours(self._queues)

    @property
    def spent(self) -> float:
        elapsed = asyncio.get_running_loop().time() - self._began
        return max(0.0, elapsed - (_not_ours(self._queues) - self._before))

    @property
    def left(self) -> float:
        return max(0.0, self.seconds - self.spent)


class within:  # noqa: N801 - reads as a statement
    """``asyncio.timeout``, of which our own lag is no part. Raises TimeoutError, or CannotEvaluate (OVERLOADED)."""

    def __init__(self, seconds: float) -> None:
        """Time that a task of this probe run has spent ``queued`` does not count either."""
        self._seconds = seconds
        self._queues = _QUEUES.get()
        self._timeout = asyncio.timeout(None)

    async def __aenter__(self) -> Self:
        await self._timeout.__aenter__()
        self._loop = asyncio.get_running_loop()
        self._meter = meter()
        self._meter.follow()
        self._began, self._before = self._loop.time(), _not_ours(self._queues)
        self._timer = self._loop.call_later(self._seconds, self._over)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        given = self._given()
        self._meter.leave()
        try:
            await self._timeout.__aexit__(kind, error, trace)
        except TimeoutError:
            if given >= self._most:
                raise CannotEvaluate(OwnReasons.OVERLOADED) from None
            raise

    def _given(self) -> float:
        """Seconds that are allowed by now."""
        return min(self._seconds + _not_ours(self._queues) - self._before, self._most)

    @property
    def _most(self) -> float:
        return max(self._seconds * _MOST, self._seconds + _PUT_OFF)

    def _over(self) -> None:
        until = self._began + self._given()
        if self._loop.time() < until:
            self._timer = self._loop.call_at(until, self._over)
        else:
            self._timeout.reschedule(self._loop.time())


class Strain:
    """Whether the loop has been late for a considerable part of the time since this was made. Somebody follows."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._began, self._before = self._loop.time(), meter().lost

    def __bool__(self) -> bool:
        return meter().lost - self._before > _STRAINED * (self._loop.time() - self._began)


async def calm() -> None:
    """Return when the loop is on time again, after some seconds at the latest."""
    for _ in range(100):
        if meter().recent < _TICK:
            return
        await asyncio.sleep(_TICK * 2)
