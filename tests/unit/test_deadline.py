"""Timeouts of which our own lag is no part."""

import asyncio
import time

import pytest

from mehc_checks.core import deadline
from mehc_checks.core.deadline import Allowance, OwnReasons, meter, own_queues, queued, within
from mehc_checks.core.errors import CannotEvaluate


async def several_steps() -> str:
    """What a server answers at once, in steps for each of which the loop must come round."""
    for _ in range(5):
        await asyncio.sleep(0.01)
    return "answer"


async def test_a_loop_that_lagged_makes_no_answer_late() -> None:
    async with within(1.0):
        time.sleep(1.5)  # noqa: ASYNC251 - the lag
        assert await several_steps() == "answer"


async def test_a_server_that_does_not_answer_is_late() -> None:
    with pytest.raises(TimeoutError):
        async with within(0.1):
            await asyncio.Event().wait()


async def test_lag_without_an_end_has_a_reason_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadline, "_PUT_OFF", 0.2)

    async def busy() -> None:
        async with within(0.05):
            while True:
                time.sleep(1.0)  # noqa: ASYNC251
                await asyncio.sleep(0)

    with pytest.raises(CannotEvaluate) as caught:
        await busy()
    assert caught.value.reason is OwnReasons.OVERLOADED


async def test_waiting_for_something_of_ours_does_not_count_for_the_same_run() -> None:
    async def wait() -> None:
        with queued():
            await asyncio.sleep(0.4)

    with own_queues():
        async with within(0.2):
            await asyncio.gather(wait(), wait())
        allowance = Allowance(10)
        await wait()
        assert allowance.spent < 0.3
    with own_queues(), pytest.raises(TimeoutError):
        async with within(0.2):
            await asyncio.sleep(60)


async def test_lag_while_something_of_ours_is_waited_for_counts_once() -> None:
    with own_queues():
        async with within(60):
            allowance = Allowance(60)
            await several_steps()
            before = allowance.spent
            with queued():
                time.sleep(0.3)  # noqa: ASYNC251
                await several_steps()
            assert allowance.spent >= before


async def test_no_time_is_late_and_not_overloaded() -> None:
    with pytest.raises(TimeoutError):
        async with within(0):
            await asyncio.sleep(60)


async def test_the_meter_tells_the_worst_lag() -> None:
    meter().follow()
    time.sleep(0.5)  # noqa: ASYNC251
    await several_steps()
    assert meter().worst() > 0.4
    meter().leave()
    assert meter().lag == 0
