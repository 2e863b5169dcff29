"""When passes begin and end, with a stand-in for the pass itself."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta

from mehc_operator.scheduler import Due, Resource, Scheduler, Trigger

HOUR = Due(delay=timedelta(hours=1))
RESOURCE = Resource(uid="u1", namespace="ns", name="a", generation=1, probe_now="", spec={}, status={})


@dataclass
class Recorder:
    """A pass that takes ``work`` seconds and is due again as ``due`` says."""

    due: Due | None = HOUR
    work: float = 0.0
    begun: list[tuple[str, int, Trigger]] = field(default_factory=list)
    ended: list[int] = field(default_factory=list)
    cancelled: int = 0
    running: int = 0
    most: int = 0

    async def __call__(self, resource: Resource, trigger: Trigger) -> Due | None:
        self.begun.append((resource.name, resource.generation, trigger))
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await asyncio.sleep(self.work)
        except asyncio.CancelledError:
            self.cancelled += 1
            await asyncio.sleep(0.02)  # a pass closes its connections
            raise
        finally:
            self.running -= 1
        self.ended.append(resource.generation)
        return self.due

    @property
    def triggers(self) -> list[Trigger]:
        return [trigger for _, _, trigger in self.begun]


def scheduler(recorder: Recorder) -> Scheduler:
    made = Scheduler(lambda _: recorder, scatter=lambda: 0.0)
    made.resume()
    return made


async def until(condition: Callable[[], bool], seconds: float = 2) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.005)


async def test_a_new_resource_is_probed_once_and_the_same_news_again_changes_nothing() -> None:
    recorder = Recorder()
    tested = scheduler(recorder)
    tested.observe(RESOURCE)
    await until(lambda: bool(recorder.ended))
    tested.observe(replace(RESOURCE, status={"health": "Healthy"}))
    await asyncio.sleep(0.05)
    assert recorder.triggers == [Trigger.SEEN]
    await tested.pause()


async def test_intervals_are_shortened_never_lengthened() -> None:
    loop = asyncio.get_running_loop()
    recorder = Recorder(due=Due(delay=timedelta(seconds=2)))
    tested = scheduler(recorder)
    began = loop.time()
    tested.observe(RESOURCE)
    await until(lambda: len(recorder.begun) == 2, seconds=10)
    assert 1.8 <= loop.time() - began < 2
    assert recorder.triggers[1] is Trigger.INTERVAL
    await tested.pause()


async def test_a_changed_spec_ends_the_running_pass_and_begins_another() -> None:
    recorder = Recorder(work=5)
    tested = scheduler(recorder)
    tested.observe(RESOURCE)
    await until(lambda: recorder.running == 1)
    recorder.work = 0
    tested.observe(replace(RESOURCE, generation=2))
    await until(lambda: recorder.ended == [2])
    assert (recorder.cancelled, recorder.most) == (1, 1)
    assert recorder.triggers == [Trigger.SEEN, Trigger.SPEC]
    await tested.pause()


async def test_probe_now_begins_a_pass_at_once_or_right_after_the_running_one() -> None:
    recorder = Recorder(work=0.05)
    tested = scheduler(recorder)
    tested.observe(RESOURCE)
    await until(lambda: recorder.running == 1)
    tested.observe(replace(RESOURCE, probe_now="1"))
    await until(lambda: len(recorder.ended) == 2)
    tested.observe(replace(RESOURCE, probe_now="2"))
    await until(lambda: len(recorder.ended) == 3)
    tested.observe(replace(RESOURCE, probe_now=""))
    await asyncio.sleep(0.05)
    assert recorder.triggers == [Trigger.SEEN, Trigger.PROBE_NOW, Trigger.PROBE_NOW]
    assert (recorder.cancelled, recorder.most) == (0, 1)
    await tested.pause()


async def test_a_suspended_resource_waits_for_a_change() -> None:
    recorder = Recorder(due=None)
    tested = scheduler(recorder)
    tested.observe(RESOURCE)
    await until(lambda: bool(recorder.ended))
    assert tested.overdue() == timedelta()
    tested.observe(replace(RESOURCE, generation=2))
    await until(lambda: recorder.ended == [1, 2])
    await tested.pause()


async def test_deletion_cancels_the_running_pass_for_good() -> None:
    recorder = Recorder(work=5)
    tested = scheduler(recorder)
    tested.observe(RESOURCE)
    await until(lambda: recorder.running == 1)
    tested.forget(RESOURCE.uid)
    await until(lambda: recorder.running == 0)
    tested.forget(RESOURCE.uid)
    await asyncio.sleep(0.05)
    assert (recorder.cancelled, recorder.ended, len(tested)) == (1, [], 0)


async def test_one_task_per_resource_however_fast_the_spec_changes() -> None:
    recorder = Recorder(work=0.01)
    tested = scheduler(recorder)
    for generation in range(1, 20):
        tested.observe(replace(RESOURCE, generation=generation))
        await asyncio.sleep(0.003)
    await until(lambda: 19 in recorder.ended)
    assert recorder.most == 1
    await tested.pause()


async def test_a_crashed_pass_does_not_end_the_resource() -> None:
    begun = 0

    async def crash(_: Resource, __: Trigger) -> Due | None:
        nonlocal begun
        begun += 1
        raise RuntimeError("a defect")

    tested = Scheduler(lambda _: crash)
    tested.resume()
    tested.observe(RESOURCE)
    await until(lambda: begun == 1)
    tested.observe(replace(RESOURCE, probe_now="1"))
    await until(lambda: begun == 2)
    await tested.pause()


async def test_a_confirmation_comes_exactly_when_asked() -> None:
    recorder = Recorder(due=Due(delay=timedelta(seconds=0.05), trigger=Trigger.CONFIRMATION, exact=True))
    tested = scheduler(recorder)
    tested.observe(RESOURCE)
    await until(lambda: len(recorder.begun) == 2)
    assert recorder.triggers[1] is Trigger.CONFIRMATION
    await tested.pause()


async def test_many_resources_run_side_by_side_and_all_end() -> None:
    recorder = Recorder(work=5)
    tested = scheduler(recorder)
    for index in range(200):
        tested.observe(replace(RESOURCE, uid=str(index), name=str(index)))
    await until(lambda: recorder.running == 200)
    await tested.pause()
    assert (recorder.running, recorder.cancelled) == (0, 200)


async def test_a_change_of_nodes_asks_every_resource_but_takes_nothing_from_probe_now() -> None:
    recorder = Recorder(work=0.02)
    tested = scheduler(recorder)
    tested.observe(RESOURCE)
    await until(lambda: recorder.running == 1)
    tested.observe(replace(RESOURCE, probe_now="now"))
    tested.observe_change(Trigger.NODES)
    await until(lambda: len(recorder.ended) == 2)
    tested.observe_change(Trigger.NODES)
    await until(lambda: len(recorder.ended) == 3)
    assert recorder.triggers == [Trigger.SEEN, Trigger.PROBE_NOW, Trigger.NODES]
    await tested.pause()


async def test_a_pause_ends_passes_and_takes_note_and_a_resume_begins_them_all() -> None:
    recorder = Recorder(work=0.05)
    made: list[Resource] = []

    def make(resource: Resource) -> Recorder:
        made.append(resource)
        return recorder

    tested = Scheduler(make)
    tested.observe(RESOURCE)
    tested.observe_change(Trigger.NODES)
    await asyncio.sleep(0.05)
    assert not recorder.begun  # another leads
    tested.resume()
    await until(lambda: bool(recorder.begun))
    await tested.pause()
    assert (recorder.cancelled, recorder.running) == (1, 0)
    tested.observe(replace(RESOURCE, status={"health": "Failing"}))
    assert made[-1].status == {"health": "Failing"}  # what the other one wrote is gone on from
    tested.observe(replace(RESOURCE, uid="u2", name="b"))
    tested.forget("u2")
    tested.resume()
    await until(lambda: recorder.ended == [1])
    assert recorder.begun == [("a", 1, Trigger.SEEN)] * 2
    assert tested.overdue() == timedelta(0)
    await tested.pause()
    assert len(tested) == 1
