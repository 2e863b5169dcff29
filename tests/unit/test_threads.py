"""Threads for libraries that block."""

import asyncio
import subprocess
import sys
import threading

import pytest

from mehc_checks.core.deadline import OwnReasons
from mehc_checks.core.errors import CannotEvaluate
from mehc_checks.core.threads import Threads

LONG = 60.0
HANGS = """
import asyncio, time
from mehc_checks.core.threads import Threads

async def main():
    threads = Threads("hanging", 40)
    calls = [threads.run(time.sleep, 3600, seconds=0.2) for _ in range(20)]
    await asyncio.gather(*calls, return_exceptions=True)

asyncio.run(main())
print("ended")
"""


async def test_the_result_and_the_error_of_a_call() -> None:
    threads = Threads("tested", 2)
    assert await threads.run(int, "7", seconds=LONG) == 7
    with pytest.raises(ValueError, match="invalid literal"):
        await threads.run(int, "x", seconds=LONG)


async def test_as_many_calls_at_once_as_there_are_threads() -> None:
    threads = Threads("tested", 3)
    together = threading.Barrier(3)
    await asyncio.gather(*(threads.run(together.wait, LONG, seconds=LONG) for _ in range(3)))


async def test_a_call_that_waits_for_a_thread_is_not_late() -> None:
    threads = Threads("tested", 1)
    open_ = threading.Event()
    first = asyncio.create_task(threads.run(open_.wait, LONG, seconds=LONG))
    second = asyncio.create_task(threads.run(int, "7", seconds=LONG))
    await asyncio.sleep(0.05)
    assert not second.done()
    open_.set()
    assert (await first, await second) == (True, 7)


async def test_no_free_thread_has_a_reason_of_its_own() -> None:
    threads = Threads("tested", 1)
    open_ = threading.Event()
    first = asyncio.create_task(threads.run(open_.wait, LONG, seconds=LONG))
    await asyncio.sleep(0.05)
    with pytest.raises(CannotEvaluate, match="all 1 threads for tested are busy") as caught:
        await threads.run(int, "7", seconds=0.1)
    assert caught.value.reason is OwnReasons.OVERLOADED
    open_.set()
    await first


async def test_a_call_that_hangs_gives_its_place_back() -> None:
    threads = Threads("tested", 1)
    open_ = threading.Event()
    for _ in range(2):
        with pytest.raises(
            (TimeoutError, CannotEvaluate)
        ):  # the latter where the thread itself took longer to start
            await threads.run(open_.wait, LONG, seconds=0.2)
        assert await threads.run(int, "7", seconds=LONG) == 7
    open_.set()


async def test_one_key_does_not_have_all_threads() -> None:
    threads = Threads("tested", 4)
    open_ = threading.Event()
    dead = [asyncio.create_task(threads.run(open_.wait, LONG, seconds=LONG, key="dead")) for _ in range(20)]
    await asyncio.sleep(0.05)
    assert await threads.run(int, "7", seconds=LONG, key="sound") == 7
    open_.set()
    await asyncio.gather(*dead)


def test_a_process_ends_whatever_its_threads_do() -> None:
    done = subprocess.run(
        [sys.executable, "-c", HANGS], capture_output=True, text=True, timeout=LONG * 2, check=True
    )
    assert done.stdout == "ended\n"
