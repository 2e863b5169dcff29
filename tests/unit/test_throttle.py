import asyncio
from itertools import pairwise

from mehc_operator.throttle import Throttle


async def test_a_burst_is_one_action_and_a_change_during_the_pause_is_not_lost() -> None:
    loop = asyncio.get_running_loop()
    acted: list[float] = []
    throttle = Throttle(lambda: acted.append(loop.time()), soon=0.01, first=0.1, apart=0.4)
    for _ in range(5):
        throttle()
    await asyncio.sleep(0.05)
    assert len(acted) == 1
    throttle()
    await asyncio.sleep(0.12)
    assert len(acted) == 2
    assert acted[1] - acted[0] >= 0.1


async def test_where_all_changes_all_the_time_actions_become_rare_and_are_soon_again_after_a_rest() -> None:
    loop = asyncio.get_running_loop()
    acted: list[float] = []
    throttle = Throttle(lambda: acted.append(loop.time()), soon=0.0, first=0.1, apart=0.4)
    while len(acted) < 6:
        throttle()
        await asyncio.sleep(0.01)
    pauses = [later - earlier for earlier, later in pairwise(acted)]
    assert all(pause > least * 0.9 for pause, least in zip(pauses, (0.1, 0.2, 0.4, 0.4, 0.4), strict=True))
    await asyncio.sleep(0.9)
    while len(acted) < 8:
        throttle()
        await asyncio.sleep(0.01)
    assert acted[7] - acted[6] >= 0.1


async def test_what_is_cancelled_does_not_act() -> None:
    acted: list[bool] = []
    throttle = Throttle(lambda: acted.append(True), soon=0.01)
    throttle()
    throttle.cancel()
    await asyncio.sleep(0.03)
    assert not acted
