"""Slots: bounded, in turns, and given back by what takes long."""

import asyncio
from collections.abc import Callable

from mehc_checks.core.limiter import Limiter

LONG = 60.0


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(LONG):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.005)


class Work:
    """Work that holds slots of ``limiter`` until it is let go."""

    def __init__(self, limiter: Limiter) -> None:
        self._limiter = limiter
        self._go: dict[str, asyncio.Event] = {}
        self.begun: list[str] = []
        self.tasks: list[asyncio.Task[None]] = []

    def begin(self, name: str, key: str = "") -> asyncio.Task[None]:
        self._go[name] = asyncio.Event()
        self.tasks.append(asyncio.create_task(self._work(name, key)))
        return self.tasks[-1]

    def end(self, *names: str) -> None:
        for name in names or self._go:
            self._go[name].set()

    async def over(self) -> None:
        self.end()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def _work(self, name: str, key: str) -> None:
        async with self._limiter.slot(key):
            self.begun.append(name)
            await self._go[name].wait()


async def test_no_more_than_so_many_and_keys_take_turns() -> None:
    work = Work(Limiter(1, patience=LONG))
    for name, key in (("a1", "a"), ("a2", "a"), ("a3", "a"), ("b1", "b")):
        work.begin(name, key)
    await until(lambda: work.begun == ["a1"])
    work.end("a1")
    await until(lambda: work.begun == ["a1", "a2"])
    work.end("a2")
    await until(lambda: work.begun == ["a1", "a2", "b1"])
    work.end()
    await until(lambda: work.begun == ["a1", "a2", "b1", "a3"])
    await work.over()


async def test_one_key_does_not_have_all_slots() -> None:
    work = Work(Limiter(4, patience=LONG))
    for number in range(10):
        work.begin(f"a{number}", "a")
    work.begin("b", "b")
    await until(lambda: "b" in work.begun)
    assert work.begun == ["a0", "a1", "a2", "b"]
    await work.over()


async def test_what_takes_long_gives_its_slot_back_and_is_bounded_too() -> None:
    work = Work(Limiter(2, patience=0.02))
    for number in range(30):
        work.begin(f"dead{number}", f"of {number}")
    await until(lambda: len(work.begun) == 10)  # 8 slow ones, 2 quick ones
    await asyncio.sleep(0.2)
    assert len(work.begun) == 10
    work.end("dead0")
    await until(lambda: len(work.begun) == 11)
    await work.over()
    assert len(work.begun) == 30


async def test_a_sound_one_is_served_beside_hundreds_of_dead_ones() -> None:
    work = Work(Limiter(64, patience=0.05, paced=True))
    for number in range(250):
        work.begin(f"dead{number}", "tenant")
    work.begin("sound", "other")
    work.end("sound")
    await until(lambda: "sound" in work.begun)
    assert len(work.begun) < 64
    await work.over()


async def test_cancelled_work_loses_no_slot() -> None:
    limiter = Limiter(1, patience=LONG)
    work = Work(limiter)
    work.begin("first")
    waiting = work.begin("second")
    await until(lambda: work.begun == ["first"])
    waiting.cancel()
    work.begin("third")
    work.end()
    await until(lambda: work.begun == ["first", "third"])
    given = work.begin("fourth")
    await asyncio.sleep(0)
    given.cancel()  # its turn has come, and it does not know yet
    work.begin("fifth")
    await until(lambda: "fifth" in work.begun)
    await work.over()


async def test_a_paced_limiter_begins_little_at_once_and_everything_in_the_end() -> None:
    work = Work(Limiter(1000, patience=LONG, paced=True))
    for number in range(40):
        work.begin(str(number), str(number))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert len(work.begun) < 10
    await until(lambda: len(work.begun) == 40)
    await work.over()


async def test_who_is_cancelled_when_a_slot_becomes_free_is_cancelled_and_nothing_else() -> None:
    work = Work(Limiter(1, patience=LONG))
    first = work.begin("a1", "a")
    await until(lambda: work.begun == ["a1"])
    second, third = work.begin("a2", "a"), work.begin("b1", "b")
    await asyncio.sleep(0)
    first.cancel()  # gives its slot, and looks at who waits, before the other has noticed that it is cancelled
    second.cancel()
    await until(lambda: work.begun == ["a1", "b1"])
    await asyncio.gather(first, second, return_exceptions=True)
    assert first.cancelled()
    assert second.cancelled()
    work.end("b1")
    await third
