import asyncio

from mehc_operator.throttle import Throttle


async def test_a_burst_is_one_action_and_a_change_during_the_pause_is_not_lost() -> None:
    loop = asyncio.get_running_loop()
    acted: list[float] = []
    throttle = Throttle(lambda: acted.append(loop.time()), soon=0.01, apart=0.1)
    for _ in range(5):
        throttle()
    await asyncio.sleep(0.05)
    assert len(acted) == 1
    throttle()
    await asyncio.sleep(0.12)
    assert len(acted) == 2
    assert acted[1] - acted[0] >= 0.1


async def test_what_is_cancelled_does_not_act() -> None:
    acted: list[bool] = []
    throttle = Throttle(lambda: acted.append(True), soon=0.01)
    throttle()
    throttle.cancel()
    await asyncio.sleep(0.03)
    assert not acted
