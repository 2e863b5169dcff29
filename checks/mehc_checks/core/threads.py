"""Threads for libraries that block: bounded, fair, timed from when a call really begins, and never waited for at exit.

``concurrent.futures`` would time a call from when it is queued, and let no process end before its last thread has.
"""

import asyncio
import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar, cast

from mehc_checks.core.deadline import OwnReasons, queued, within
from mehc_checks.core.errors import CannotEvaluate

T = TypeVar("T")
_LOST: Final = 4
"""Threads that nobody waits for any more give their places back, up to so many times the number that works."""


@dataclass(slots=True, eq=False)
class Job:
    """A call: ``begun`` when a thread has it, ``done`` with its result. Await both shielded where several wait."""

    call: Callable[[], Any]
    loop: asyncio.AbstractEventLoop
    begun: asyncio.Future[None]
    done: asyncio.Future[Any]
    running: bool = False
    given_up: bool = False
    over: bool = False

    def tell(
        self, future: asyncio.Future[Any], result: Any = None, error: BaseException | None = None
    ) -> None:
        def told() -> None:
            if future.done() or self.given_up:
                return
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)

        with suppress(RuntimeError):  # the loop is closed
            self.loop.call_soon_threadsafe(told)


@dataclass(slots=True)
class Threads:
    """``most`` calls at once, of which those of one ``key`` are three quarters at most. Keys take turns."""

    name: str
    most: int
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _waiting: OrderedDict[str, deque[Job]] = field(default_factory=OrderedDict)
    _busy: dict[str, int] = field(default_factory=dict)
    _idle: int = 0
    _alive: int = 0

    async def run(self, call: Callable[..., T], *words: Any, seconds: float, key: str = "") -> T:
        """What ``call`` returns in a thread, within ``seconds`` of its beginning.

        Raises what it raises, TimeoutError, and CannotEvaluate (OVERLOADED) where no thread was free for as long.
        """
        job = self.start(lambda: call(*words), key=key)
        try:
            return cast("T", await self.result(job, seconds=seconds))
        finally:
            self._give_up(job, key)

    def start(self, call: Callable[[], Any], *, key: str = "") -> Job:
        """Have a thread carry out ``call``, whoever waits for it."""
        loop = asyncio.get_running_loop()
        job = Job(call, loop, loop.create_future(), loop.create_future())
        job.done.add_done_callback(_retrieve)
        self._put(job, key)
        return job

    async def result(self, job: Job, *, seconds: float) -> Any:
        """The result of what was started, as ``run`` has it; the job goes on whatever becomes of us."""
        with queued():
            try:
                async with asyncio.timeout(seconds):
                    await asyncio.shield(job.begun)
            except TimeoutError:
                detail = f"all {self.most} threads for {self.name} are busy"
                raise CannotEvaluate(OwnReasons.OVERLOADED, detail=detail) from None
        async with within(seconds):
            return await asyncio.shield(job.done)

    def _put(self, job: Job, key: str) -> None:
        with self._changed:
            self._waiting.setdefault(key, deque()).append(job)
            self._wake()

    def _wake(self) -> None:
        """Have somebody do what there is to do."""
        if self._idle:
            self._changed.notify()
        open_ = sum(min(len(jobs), self._room(key)) for key, jobs in self._waiting.items())
        if min(open_, self.most - self._running) > self._idle and self._alive < self.most * _LOST:
            self._start()

    def _room(self, key: str) -> int:
        """How many more calls of ``key`` may run."""
        return -(-self.most * 3 // 4) - self._busy.get(key, 0)

    @property
    def _running(self) -> int:
        return sum(self._busy.values())

    def _start(self) -> None:
        try:
            threading.Thread(target=self._work, name=self.name, daemon=True).start()
        except RuntimeError:  # the system has no more of them
            if not self._alive:
                raise CannotEvaluate(OwnReasons.OVERLOADED, detail="no thread can be started") from None
        else:
            self._alive += 1

    def _give_up(self, job: Job, key: str) -> None:
        with self._changed:
            if job.over:
                return
            job.given_up = True
            if job.running:
                self._leave(key)
            elif job in self._waiting.get(key, ()):
                self._waiting[key].remove(job)

    def _leave(self, key: str) -> None:
        self._busy[key] -= 1
        if not self._busy[key]:
            del self._busy[key]
        self._wake()

    def _next(self) -> tuple[str, Job] | None:
        if self._running >= self.most:
            return None
        for key in list(self._waiting):
            if not self._waiting[key]:
                del self._waiting[key]
            elif self._room(key) > 0:
                self._waiting.move_to_end(key)
                return key, self._waiting[key].popleft()
        return None

    def _work(self) -> None:
        while True:
            with self._changed:
                self._idle += 1
                while (found := self._next()) is None:
                    self._changed.wait()
                self._idle -= 1
                key, job = found
                job.running = True
                self._busy[key] = self._busy.get(key, 0) + 1
            job.tell(job.begun)
            result, error = None, None
            try:
                result = job.call()
            except BaseException as raised:
                error = raised
            with self._changed:
                job.over = True
                if not job.given_up:
                    self._leave(key)
            job.tell(job.done, result, error)
            del found, job, result, error


def _retrieve(done: asyncio.Future[Any]) -> None:
    """Mark the error as seen: nobody may be left to wait for it."""
    if not done.cancelled():
        done.exception()
