"""The machines behind asset watchers, by properties; and the way from a list to a stored event, without Airflow."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from knit_airflow.triggers._asset_events import LATE, EndedApplications, HeadroomEdge
from knit_airflow.triggers._queue_poll import queue_poll
from knit_airflow.triggers._shared_poll import shared_poll
from knit_airflow.triggers._shared_poll_state import SharedPollState, Target
from knit_airflow.triggers.asset_watchers import KnitApplicationEnded, KnitQueueHasRoom, _Memory
from knit_core.model.queues import QueueHeadroom, headroom_in, headroom_of
from knit_core.model.report import ApplicationReport
from tests.airflow.fake_knit import FakeKnit
from tests.airflow.test_shared_poll_state import World, answer, report

APPS = st.dictionaries(
    st.integers(1, 8),
    st.tuples(st.integers(0, 200), st.integers(1, 300), st.sampled_from([0, 0, 20, 90]), st.just("SUCCEEDED")),
    min_size=1,
)
#: What happens before a look, by its number.
STEPS = st.dictionaries(st.integers(0, 39), st.sampled_from(["stored", "die"]), min_size=8)


@settings(max_examples=60, deadline=None)
@given(APPS, STEPS)
def test_every_end_is_told_and_twice_only_when_it_says_so(plan: dict[int, Any], steps: dict[int, str]) -> None:
    """A triggerer that dies at any step: the next one has what was written down, and maybe not what came after."""
    world, memory, told = World(plan), None, []
    machine, poll_state, waiting = EndedApplications(lambda _: True), SharedPollState(), list[dict[str, Any]]()
    poll_state.listen("me", 5)
    at_first = None
    for now in range(0, 700, 5):
        step = steps.get(now // 5 % 40, "look")
        if step == "stored" and waiting:
            machine.stored(waiting)
            memory, waiting = machine.state(), []
        elif step == "die":
            machine, poll_state, waiting = EndedApplications(lambda _: True, memory), SharedPollState(), []
            poll_state.listen("me", 5)
        query = poll_state.query(now)
        rows = answer(query, world.at(now, set()))
        poll_state.on_list(query, rows, now)
        assert poll_state.listeners(query) == ["me"], "the first list leaves nothing out"
        at_first = {each.id for each in rows if each.ended} if at_first is None else at_first
        events = machine.on_list(rows)
        memory = machine.state()  # before the events leave
        waiting += events
        told += [(each["application_id"], each["again"]) for each in events]
    assert {each for each, _ in told} == {f"application_1_{number:04d}" for number in plan} - at_first
    assert max(Counter(each for each, again in told if not again).values(), default=1) == 1


def test_a_listener_is_told_what_nobody_else_waits_for() -> None:
    poll_state = SharedPollState()
    poll_state.listen("me", 5)
    rows = [report(1, 10, 20, type="spark"), report(2, 10)]
    query = poll_state.query(100)
    assert query.whole and not query.types
    poll_state.on_list(query, rows, 100)
    assert poll_state.listeners(query) == ["me"]
    short = poll_state.query(105)
    assert not short.whole and not short.types
    poll_state.on_list(short, [], 105)
    late = poll_state.query(165)
    assert not late.whole and late.finished_since == max(0, 20_000 - LATE), "no whole list for listeners alone"
    poll_state.listen("new", 1)
    assert poll_state.query(166).whole and poll_state.pause(166, 166) == 1
    poll_state.on_list(late, [], 166)
    assert poll_state.listeners(late) == ["me"], "a newcomer waits for a whole list"
    poll_state.leave("me")
    poll_state.leave("new")
    assert len(poll_state) == 0


def test_memory_stays_small() -> None:
    machine = EndedApplications(lambda _: True)
    machine.on_list([report(1, 0)])
    for number in range(2, 3000):
        machine.stored(machine.on_list([report(number, number, number + 1)]))
    assert len(machine.state()["told"]) <= LATE / 1000 + 1


def room(memory: int, vcores: int = 9, running: bool = True) -> QueueHeadroom:
    return QueueHeadroom("root.q", memory, vcores, running)


def test_room_is_told_at_the_edge_only() -> None:
    edge, told = HeadroomEdge(1000, 2, margin=0.1, settle=10, pause=100), []

    def look(now: float, seen: QueueHeadroom | None) -> int:
        events = edge.on_headroom(seen, now)
        edge.stored(events)
        told.extend(events)
        return len(events)

    assert look(0, room(5000)) == 0, "nobody has seen it full"
    assert [look(1, room(950)), look(2, room(1000))] == [0, 0], "a margin has to be missing"
    assert [look(3, room(500)), look(4, room(1000))] == [0, 0], "it has to last"
    assert [look(10, room(950)), look(14, room(1000)), look(20, room(1000))] == [0, 0, 0], "without a break"
    assert [look(24, room(1000)), look(40, room(1000))] == [1, 0]
    assert [look(50, room(0)), look(60, room(1000)), look(80, room(1000))] == [0, 0, 0], "the pause"
    assert [look(125, room(1000))] == [1]
    assert [look(300, room(5000, vcores=1)), look(310, room(5000)), look(320, room(5000))] == [0, 0, 1], "cores count"
    assert [look(500, room(5000, running=False)), look(501, None), look(600, room(5000)), look(610, room(5000))] == [
        0,
        0,
        0,
        1,
    ]
    assert not any(each["again"] for each in told)


def test_an_edge_outlives_the_triggerer() -> None:
    edge = HeadroomEdge(1000, 0, pause=0)
    edge.on_headroom(room(0), 1)
    after = HeadroomEdge(1000, 0, pause=0)
    after.remember(edge.state())
    assert [each["again"] for each in after.on_headroom(room(2000), 2)] == [False]
    again = HeadroomEdge(1000, 0, pause=0)
    again.remember(after.state())  # written before the event left
    (event,) = again.on_headroom(room(2000), 3)
    assert event["again"]
    again.stored([event])
    last = HeadroomEdge(1000, 0, pause=0)
    last.remember(again.state())
    assert last.on_headroom(room(2000), 4) == []


def test_room_of_capacity_and_fair_schedulers() -> None:
    def size(memory: int, cores: int) -> dict[str, int]:
        return {"memory": memory, "vCores": cores}

    pending = {"resourceUsagesByPartition": [{"partitionName": "", "pending": size(256, 1)}]}
    leaf = {"type": "capacitySchedulerLeafQueueInfo", "maxEffectiveCapacity": size(8192, 8), "state": "RUNNING"}
    whole = {"queueCapacitiesByPartition": [{"partitionName": "", "effectiveMaxResource": size(10240, 10)}]}
    capacity = {
        "type": "capacityScheduler",
        "queueName": "root",
        "capacities": whole,
        "queues": {
            "queue": [
                {**leaf, "queueName": "a", "queuePath": "root.a", "resourcesUsed": size(1024, 1), "resources": pending},
                {**leaf, "queueName": "b", "queuePath": "root.b", "resourcesUsed": size(7168, 7), "state": "STOPPED"},
            ]
        },
    }
    assert headroom_of(capacity) == [
        QueueHeadroom("root", 2048, 2),
        QueueHeadroom("root.a", 2048 - 256, 1),
        QueueHeadroom("root.b", 1024, 1, running=False),
    ]
    fair = {
        "rootQueue": {
            "queueName": "root",
            "maxResources": size(99999, 99),
            "clusterResources": size(4096, 4),
            "usedResources": size(1024, 1),
            "childQueues": {
                "queue": {"queueName": "root.x", "maxResources": size(2048, 2), "usedResources": size(512, 1)}
            },
        }
    }
    found = headroom_of(fair)
    assert found == [QueueHeadroom("root", 3072, 3), QueueHeadroom("root.x", 1536, 1)]
    assert headroom_in(found, "x") == headroom_in(found, "root.x") == found[1] and headroom_in(found, "y") is None
    assert headroom_of({"type": "fifoScheduler"}) == []


class Store:
    """An asset's state store, as the triggerer gives it."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.writes: list[Any] = []

    async def aget(self, key: str, default: Any = None) -> Any:
        return self.values.get(key, default)

    async def aset(self, key: str, value: Any) -> None:
        self.values[key] = value
        self.writes.append(value)


def test_the_memory_is_written_before_and_after_and_only_then(knit: FakeKnit, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through Airflow's own manager of shared streams, whose word it is that an event is stored."""
    from airflow.triggers.shared_stream import SharedStreamManager

    store = Store()
    monkeypatch.setattr("knit_airflow.triggers.asset_watchers.state_stores", lambda trigger: [store])

    async def main() -> None:
        manager = SharedStreamManager()
        trigger = KnitApplicationEnded(tag="t", poll_interval=0.01)
        key = trigger.shared_stream_key()
        stream = manager.subscribe(trigger_id=1, trigger=trigger, key=key)
        events = trigger.filter_shared_stream(stream)
        following = asyncio.create_task(anext(events))
        await _until(lambda: store.writes)
        app = knit.submit("x", key="k")
        knit.apps[app.id].facts.update(tags=("t",), started_at=1000, finished_at=2000)
        app.end("SUCCEEDED")
        event = await asyncio.wait_for(following, 20)
        assert event.payload["application_id"] == app.id and event.payload["connection"] == "knit_default"
        assert [list(each["firing"]) for each in store.writes] == [[], [app.id]], "written before it left"
        seq = manager.bind_pending_event(trigger_id=1, key=key)
        following = asyncio.create_task(anext(events))
        await asyncio.sleep(0.1)
        assert len(store.writes) == 2, "Airflow has not stored it"
        manager.confirm_persisted([seq])
        await _until(lambda: len(store.writes) == 3)
        assert store.writes[-1]["told"] == {app.id: 2000} and not store.writes[-1]["firing"]
        following.cancel()
        await manager.unsubscribe(1, key)
        poll = shared_poll("knit_default")
        await _until(lambda: not poll.waiting and poll._task is not None and poll._task.done())

    asyncio.run(main())


async def _until(condition: Any) -> None:
    for _ in range(2000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("not in time")


def test_fifty_watchers_ask_once_an_interval(knit: FakeKnit) -> None:
    asked = list[int]()
    knit.resourcemanager.queue_headroom = lambda: asked.append(1) or [room(1)]

    async def main() -> None:
        async def watch(trigger: Any) -> None:
            async for _ in trigger.run():
                raise AssertionError("nothing ends, nothing has room")

        names = [KnitApplicationEnded(name=f"n{number}", poll_interval=0.2) for number in range(25)]
        queues = [KnitQueueHasRoom("q", memory=100 + number, poll_interval=0.2) for number in range(25)]
        tasks = [asyncio.create_task(watch(each)) for each in (*names, *queues)]
        await _until(lambda: shared_poll("knit_default").requests >= 4 and len(asked) >= 4)
        assert shared_poll("knit_default").waiting == 25
        for task in tasks:
            task.cancel()
        gone = await asyncio.gather(*tasks, return_exceptions=True)
        assert {type(each) for each in gone} == {asyncio.CancelledError}
        polls = shared_poll("knit_default"), queue_poll("knit_default")
        await _until(lambda: all(each._task is not None and each._task.done() for each in polls))
        # 50 watchers, some seconds on a slow machine: as many requests as one alone would have made
        assert polls[0].requests < 40 and polls[1].requests < 40 and len(asked) == polls[1].requests

    asyncio.run(main())


def test_a_cluster_that_is_away_ends_no_watch(knit: FakeKnit, monkeypatch: pytest.MonkeyPatch) -> None:
    def queue_headroom() -> list[QueueHeadroom]:
        looks.append(1)
        if len(looks) in (2, 3):
            raise OSError("refused")
        return [room(0 if len(looks) == 1 else 500)]

    looks = list[int]()
    knit.resourcemanager.queue_headroom = queue_headroom
    trigger = KnitQueueHasRoom("q", memory=100, poll_interval=0.01)

    async def main() -> Any:
        return await asyncio.wait_for(anext(_events(trigger)), 20)

    assert asyncio.run(main()).payload["memory"] == 500 and len(looks) == 4


def _events(trigger: Any) -> AsyncIterator[Any]:
    events: AsyncIterator[Any] = trigger.run()
    return events


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: KnitApplicationEnded(),
        lambda: KnitApplicationEnded(tag="a", name="b"),
        lambda: KnitApplicationEnded(tag="a", outcomes=["GOOD"]),
        lambda: KnitApplicationEnded(launched_by={"dag_id": "d", "task_id": "t"}),
        lambda: KnitQueueHasRoom("q"),
        lambda: KnitQueueHasRoom("q", memory="1 GiB", containers=0),
        lambda: KnitQueueHasRoom("q", memory="1 GiB", margin=1.0),
    ],
)
def test_nonsense_is_refused_when_the_dag_is_parsed(wrong: Any) -> None:
    with pytest.raises(ValueError, match=r"exactly one|outcomes|deployment|margin"):
        wrong()


def test_triggers_come_back_and_keep_their_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__KNIT__DEPLOYMENT", "prod")
    monkeypatch.setattr("knit_airflow.triggers.asset_watchers.state_stores", lambda trigger: [])
    made = [
        KnitApplicationEnded(launched_by={"dag_id": "d", "task_id": "t"}, outcomes=("FAILED", "SUCCEEDED")),
        KnitQueueHasRoom("q", memory="2 GiB", containers=3),
    ]
    monkeypatch.delenv("AIRFLOW__KNIT__DEPLOYMENT")  # the triggerer need not have it
    for trigger in made:
        _, arguments = trigger.serialize()
        assert type(trigger)(**arguments).serialize() == trigger.serialize()
        same, other = (
            type(trigger)(**{**arguments, "poll_interval": 1.0}),
            type(trigger)(**{**arguments, "knit_conn_id": "x"}),
        )
        assert _Memory(same)._key == _Memory(trigger)._key != _Memory(other)._key
    assert made[1].memory == 2048 and Target(tag=made[0].tag).fits(_tagged(str(made[0].tag)))


def _tagged(tag: str) -> ApplicationReport:
    return report(1, 0, 1, tags=(tag,))
