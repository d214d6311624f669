"""The shared poll: many waiters, one list. The machine by properties, the driver with a cluster that only counts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from knit_airflow.triggers._application_wait import FORGOTTEN_AFTER, ApplicationWait, Done, Goal, Status, status_of
from knit_airflow.triggers._shared_poll import SharedPoll
from knit_airflow.triggers._shared_poll_state import WHOLE_EVERY, Query, SharedPollState, Target
from knit_core.errors import ApplicationNotFound, ConnectionFailed, NotAuthorized
from knit_core.model.report import ApplicationReport
from knit_core.model.states import Outcome, State

POLL = 5.0
FAULT = Status("connection refused", seen=False)


def report(
    number: int, started: int, finished: int | None = None, outcome: str = "SUCCEEDED", **more: Any
) -> ApplicationReport:
    """An application as a list has it; times in seconds."""
    return ApplicationReport(
        f"application_1_{number:04d}",
        more.pop("name", f"app-{number}"),
        "me",
        "default",
        State.RUNNING if finished is None else State.FINISHED,
        None if finished is None else Outcome(outcome),
        started_at=started * 1000,
        finished_at=None if finished is None else finished * 1000,
        type=more.pop("type", "knit"),
        **more,
    )


def answer(query: Query, reports: Iterable[ApplicationReport]) -> list[ApplicationReport]:
    """What a ResourceManager gives for a query."""
    return [
        each
        for each in reports
        if (query.whole or each.ended)
        and (query.started_since is None or (each.started_at or 0) >= query.started_since)
        and (query.finished_since is None or (each.finished_at or 0) >= query.finished_since)
        and (not query.types or each.type in query.types)
    ]


class World:
    """A cluster with a clock; applications start, end (shown late, as a slow state store does) and are forgotten."""

    def __init__(self, plan: dict[int, tuple[int, int, int, str]]) -> None:
        self.plan = plan  # number -> (start, run for, shown after, outcome)

    def at(self, now: float, forgotten: set[int]) -> list[ApplicationReport]:
        rows = []
        for number, (start, span, late, outcome) in self.plan.items():
            if number in forgotten or now < start:
                continue
            ended = now >= start + span + late
            rows.append(report(number, start, start + span if ended else None, outcome))
        return rows


APPS = st.dictionaries(
    st.integers(1, 8),
    st.tuples(
        st.integers(0, 200),
        st.integers(1, 300),
        st.sampled_from([0, 0, 20, 90]),
        st.sampled_from(["SUCCEEDED", "FAILED", "KILLED"]),
    ),
    min_size=1,
)


@settings(max_examples=150, deadline=None)
@given(
    APPS,
    st.lists(st.tuples(st.integers(1, 8), st.integers(0, 300), st.sampled_from([None, None, 400])), max_size=12),
    st.sets(st.integers(0, 140), max_size=40),
    st.sets(st.integers(1, 8), max_size=2),
    st.sets(st.integers(0, 11), max_size=3),
)
def test_everybody_is_told_once_and_the_truth(  # noqa: C901
    plan: dict[int, tuple[int, int, int, str]],
    joins: list[tuple[int, int, int | None]],
    broken: set[int],
    forgotten: set[int],
    leavers: set[int],
) -> None:
    world, poll_state = World(plan), SharedPollState()
    told: dict[Any, tuple[str, Done, float]] = {}

    def deliver(answers: Any, now: float) -> None:
        for token, (app, done) in answers.done.items():
            assert token not in told, "told twice"
            assert token not in gone, "told although it had left"
            told[token] = (app, done, now)
        assert not set(answers.news) & (set(told) | gone)

    gone: set[int] = set()
    for poll in range(141):  # 705 s by the clock: longer than anything lasts
        now = poll * POLL
        for token, (number, when, deadline) in enumerate(joins):
            if (poll - 1) * POLL < when <= now:
                poll_state.join(
                    token, Target(f"application_1_{number:04d}"), ApplicationWait(POLL, deadline, retry_timeout=10**6)
                )
            if token in leavers and when + 20 < now and token not in told and token not in gone:
                poll_state.leave(token)
                gone.add(token)
        deliver(poll_state.expired(now), now)
        if not len(poll_state):
            continue
        query = poll_state.query(now)
        if poll in broken:
            deliver(poll_state.on_error(FAULT, now), now)
            continue
        rows = world.at(now, forgotten)
        answers = poll_state.on_list(query, answer(query, rows), now)
        deliver(answers, now)
        by_id = {each.id: each for each in rows}
        for app_id in answers.missing:
            own = by_id.get(app_id)
            deliver(poll_state.on_status(app_id, status_of(own) if own else Status("404", known=False), now), now)
        assert query.whole or not answers.missing, "only a whole list shows that something is missing"
    for token, (number, when, deadline) in enumerate(joins):
        if token in gone:
            continue
        app_id, done, at = told[token]  # nobody waits for ever
        if done.kind == "timeout":
            assert deadline is not None and at >= deadline
            continue
        assert app_id == f"application_1_{number:04d}"
        start, span, late, outcome = plan.get(number, (10**6, 0, 0, ""))
        if done.outcome == "LOST":
            assert number in forgotten or when < start
            continue
        assert (done.kind, done.outcome) == ("ended", outcome)
        shown = max(start + span + late, when)
        assert at >= start + span + late, "told before it happened"
        # Two intervals; a minute more only for what a slow store shows so late that short lists reach past it.
        assert at - shown <= POLL * (2 + len(broken)) + (WHOLE_EVERY if late else 0.0)


def joined(*numbers: int, **waiting: Any) -> SharedPollState:
    poll_state = SharedPollState()
    for number in numbers:
        poll_state.join(number, Target(f"application_1_{number:04d}"), ApplicationWait(POLL, **waiting))
    return poll_state


def test_the_lists_become_short() -> None:
    poll_state = joined(1, 2)
    first = poll_state.query(1000)
    assert first == Query(True)
    poll_state.on_list(first, [report(1, 900), report(2, 950)], 1000)
    short = poll_state.query(1005)
    assert short == Query(False, finished_since=(950 - 60) * 1000, types=("knit",))
    assert poll_state.on_list(short, [report(2, 950, 1003)], 1005).done == {2: ("application_1_0002", _ended())}
    assert poll_state.query(1010).finished_since == (1003 - 60) * 1000
    assert poll_state.query(1000 + WHOLE_EVERY) == Query(True, started_since=900_000, types=("knit",))


def _ended() -> Done:
    return Done("ended", "SUCCEEDED", "SUCCEEDED")


def test_a_whole_list_reaches_back_to_the_oldest_and_follows_every_fault() -> None:
    poll_state = joined(1, 2)
    rows = [report(1, 900), report(2, 950)]
    poll_state.on_list(poll_state.query(1000), rows, 1000)
    assert poll_state.query(1000 + WHOLE_EVERY).started_since == 900_000
    assert not poll_state.query(1005).whole
    poll_state.on_error(FAULT, 1005)
    assert poll_state.query(1010).whole, "a ResourceManager that was away may have forgotten some"


def test_a_missing_application_is_looked_up_once_for_all_who_wait_for_it() -> None:
    poll_state = SharedPollState()
    for token in "abc":
        poll_state.join(token, Target("application_1_0001"), ApplicationWait(POLL))
    for _ in range(FORGOTTEN_AFTER):
        answers = poll_state.on_list(poll_state.query(0), [], 0)
        assert answers.missing == ["application_1_0001"] and not answers.done
        answers = poll_state.on_status("application_1_0001", Status("404", known=False), 0)
    assert {done.outcome for _, done in answers.done.values()} == {"LOST"}
    assert len(answers.done) == 3 and not len(poll_state)


def test_a_goal_is_seen_while_it_runs() -> None:
    poll_state = SharedPollState()
    poll_state.join("state", Target(name="x"), ApplicationWait(POLL, goal=Goal(state="RUNNING")))
    poll_state.join("four", Target(tag="Nightly"), ApplicationWait(POLL, goal=Goal(containers=4)))
    poll_state.join("half", Target("application_1_0001"), ApplicationWait(POLL, goal=Goal(progress=0.5)))
    row = report(1, 5, name="x", tags=("nightly",), containers=4, progress=0.4)
    older = report(0, 4, 6, name="x", outcome="FAILED")
    assert set(poll_state.on_list(poll_state.query(0), [older, row], 0).done) == {"state"}
    assert poll_state.query(1).whole, "an end is not enough for those who are left"
    row = report(1, 5, name="x", tags=("nightly",), containers=5, progress=0.5)
    assert set(poll_state.on_list(poll_state.query(1), [row], 1).done) == {"four", "half"}


@pytest.mark.parametrize(
    "wrong", [{"state": "GONE"}, {"containers": 0}, {"progress": 50}, {"state": "NEW", "progress": 1}]
)
def test_an_impossible_goal_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"state|containers|progress"):
        Goal(**wrong)


def test_faults_reach_every_waiter_with_its_own_time_limit_and_slow_the_poll_down() -> None:
    poll_state = joined(1, retry_timeout=10)
    poll_state.join(2, Target("application_1_0002"), ApplicationWait(POLL, retry_timeout=1000))
    assert poll_state.pause(0, 0) == POLL
    poll_state.on_error(FAULT, 0)
    assert poll_state.pause(0, 0) == 10
    assert poll_state.on_error(FAULT, 10).done == {1: ("application_1_0001", Done("unreachable", FAULT.text))}
    for _ in range(10):
        poll_state.on_error(FAULT, 11)
    assert poll_state.pause(0, 0) == 30
    poll_state.on_list(poll_state.query(12), [report(2, 1)], 12)
    assert poll_state.pause(0, 0) == POLL
    refused = poll_state.on_error(Status("403", seen=False, refused=True), 13)
    assert refused.done == {2: ("application_1_0002", Done("refused", "403"))}


# ---------------------------------------------------------------------- the driver


class Cluster:
    """Only what the poll asks for."""

    def __init__(self, rows: list[ApplicationReport]) -> None:
        self.rows, self.lists, self.looks = rows, 0, []
        self.breaks: list[Exception] = []
        self.left: dict[str, str] = {}
        self.slow = 0.0
        self.resourcemanager = self

    def apps(self, *, states: Any, types: Any, started_since: Any, finished_since: Any) -> list[ApplicationReport]:
        self.lists += 1
        time.sleep(self.slow)
        if self.breaks:
            raise self.breaks.pop(0)
        return answer(Query(State.RUNNING in states, started_since, finished_since, tuple(types or ())), self.rows)

    def attach(self, app_id: str) -> Any:
        def gone() -> ApplicationReport:
            self.looks.append(app_id)
            raise ApplicationNotFound("404", status=404)

        outcome = self.left.get(app_id)
        left = SimpleNamespace(complete=outcome is not None, outcome=outcome, diagnostics="")
        return SimpleNamespace(report=gone, final_result=lambda _report: left)


def shared(cluster: Cluster) -> SharedPoll:
    async def connect() -> Any:
        return cluster

    return SharedPoll(connect)


def test_a_thousand_share_one_request_and_one_look_for_what_is_missing() -> None:
    cluster = Cluster([report(number, 1) for number in range(1, 1000)])
    cluster.left = {"application_1_1000": "FAILED"}

    async def main() -> list[tuple[str, Done]]:
        poll = shared(cluster)
        waits = [
            asyncio.create_task(poll.wait(Target(f"application_1_{number:04d}"), ApplicationWait(0.2)))
            for number in range(1, 1001)
        ]
        assert (await waits[-1])[1] == Done("ended", "FAILED", "FAILED"), "from what it left on HDFS"
        began, lists = time.monotonic(), cluster.lists
        await asyncio.sleep(1)
        per_interval = (cluster.lists - lists) / ((time.monotonic() - began) / 0.2)
        assert 0.3 < per_interval <= 1.2
        cluster.rows = [report(number, 1, 2) for number in range(1, 1000)]
        return await asyncio.gather(*waits[:-1])

    told = asyncio.run(asyncio.wait_for(main(), 20))
    assert {done for _, done in told} == {_ended()}
    assert cluster.looks == ["application_1_1000"]


def test_faults_pass_and_a_bug_in_the_cluster_client_ends_nobody() -> None:
    cluster = Cluster([report(1, 1, 2)])
    cluster.breaks = [ConnectionFailed("gone"), RuntimeError("what?")]
    told = asyncio.run(asyncio.wait_for(shared(cluster).wait(Target("application_1_0001"), ApplicationWait(0.01)), 10))
    assert told == ("application_1_0001", _ended())
    assert cluster.lists == 3


def test_a_refusal_makes_it_connect_again_before_anybody_hears_of_it() -> None:
    cluster = Cluster([report(1, 1)])

    def say(status: Status) -> None:
        cluster.breaks, cluster.rows = [NotAuthorized("old password", status=403)], [report(1, 1, 2)]

    wait = shared(cluster).wait(Target("application_1_0001"), ApplicationWait(0.01), say)
    assert asyncio.run(asyncio.wait_for(wait, 10)) == ("application_1_0001", _ended())
    assert not cluster.breaks


def test_a_refusal_of_the_new_connection_too_is_told() -> None:
    cluster = Cluster([report(1, 1)])

    def say(status: Status) -> None:
        cluster.breaks = [NotAuthorized("403", status=403)] * 10**4

    wait = shared(cluster).wait(Target("application_1_0001"), ApplicationWait(0.01), say)
    assert asyncio.run(asyncio.wait_for(wait, 10))[1] == Done("refused", "403")
    assert cluster.lists == 3


def test_a_refusal_with_a_fresh_connection_is_final() -> None:
    cluster = Cluster([])
    cluster.breaks = [NotAuthorized("no", status=403)]
    _, done = asyncio.run(
        asyncio.wait_for(shared(cluster).wait(Target("application_1_0001"), ApplicationWait(0.01)), 10)
    )
    assert done == Done("refused", "no")


def test_a_deadline_is_kept_although_the_resourcemanager_hangs() -> None:
    cluster = Cluster([report(1, 1)])
    cluster.slow = 2.0

    async def main() -> float:
        began = time.monotonic()
        _, done = await shared(cluster).wait(
            Target("application_1_0001"), ApplicationWait(0.1, deadline=time.time() + 0.5)
        )
        assert done.kind == "timeout"
        return time.monotonic() - began

    assert asyncio.run(main()) < 1.5


def test_a_cancelled_trigger_leaves_and_the_last_one_ends_the_poll() -> None:
    cluster = Cluster([report(1, 1)])

    async def main() -> None:
        poll = shared(cluster)
        waits = [asyncio.create_task(poll.wait(Target("application_1_0001"), ApplicationWait(0.05))) for _ in range(3)]
        await asyncio.sleep(0.2)
        assert poll.waiting == 3
        for each in waits:
            each.cancel()
        await asyncio.gather(*waits, return_exceptions=True)
        assert poll.waiting == 0
        await asyncio.sleep(0.2)
        lists = cluster.lists
        await asyncio.sleep(0.3)
        assert cluster.lists == lists
        cluster.rows = [report(1, 1, 2)]
        assert (await poll.wait(Target("application_1_0001"), ApplicationWait(0.05)))[1] == _ended()

    asyncio.run(asyncio.wait_for(main(), 20))


def test_news_come_in_the_waiters_own_task() -> None:
    cluster = Cluster([report(1, 1, progress=0.5)])
    said: list[tuple[str, Any]] = []

    async def main() -> None:
        def say(status: Status) -> None:
            said.append((status.text, asyncio.current_task()))
            cluster.rows = [report(1, 1, 2)]

        me = asyncio.current_task()
        await shared(cluster).wait(Target("application_1_0001"), ApplicationWait(0.01), say)
        assert said == [("RUNNING, 50%", me)]

    asyncio.run(asyncio.wait_for(main(), 20))
