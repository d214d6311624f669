"""What an application spent its time with, from the facts; and that telling it never harms a task."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from knit_airflow import KnitOperator
from knit_airflow.observability.metrics import METRICS, leaf, polled, quietly
from knit_airflow.observability.phases import MOST_CONTAINERS, Phase, phases_of
from knit_airflow.version_compat import AirflowException, AirflowSkipException
from knit_core.model.result import Container, Result
from knit_core.model.states import ContainerState, Outcome
from tests.airflow.fake_knit import FakeKnit
from tests.airflow.fake_task import Task, deferral
from tests.airflow.test_shared_poll_state import report


def container(number: int, started: int | None, finished: int | None = None) -> Container:
    return Container(
        f"main_{number}", "main", number, 1, ContainerState.SUCCEEDED, started_at=started, finished_at=finished
    )


def result(*containers: Container, given: int | None = None, **more: Any) -> Result:
    timeline = () if given is None else ({"seq": 1, "at": given, "event": "container-allocated"},)
    return Result("application_1_0001", Outcome.SUCCEEDED, containers=containers, timeline=timeline, **more)


def test_waiting_starting_running() -> None:
    found = phases_of(result(container(0, 8000, 19000), given=7000, started_at=4000), report(1, 1, 20))
    assert found == [
        Phase("wait", 1000, 7000, (("ApplicationMaster started", 4000),)),
        Phase("start", 7000, 8000),
        Phase("run", 8000, 20000, (("main_0 started", 8000), ("main_0 SUCCEEDED", 19000))),
    ]
    assert [each.seconds for each in found] == [6, 1, 12]


def test_what_was_not_reached_is_left_out() -> None:
    assert phases_of(None, report(1, 1, 20)) == [Phase("wait", 1000, 20000)]
    assert phases_of(result(given=7000), report(1, 1, 20)) == [Phase("wait", 1000, 7000), Phase("start", 7000, 20000)]
    assert phases_of(None, None) == phases_of(None, report(1, 1)) == []
    forgotten = phases_of(result(container(0, 8000), given=7000, started_at=4000, finished_at=9000), None)
    assert [(each.name, each.began, each.ended) for each in forgotten] == [
        ("wait", 4000, 7000),
        ("start", 7000, 8000),
        ("run", 8000, 9000),
    ]


def test_clocks_that_differ_give_no_negative_time() -> None:
    found = phases_of(result(container(0, 2000, 99000), given=3000, started_at=500), report(1, 5, 4))
    assert [(each.began, each.ended) for each in found] == [(5000, 5000)] * 3
    assert all(each.began <= at <= each.ended for each in found for _, at in each.moments)


def test_a_thousand_containers_are_not_told_one_by_one() -> None:
    many = [container(number, 8000, 9000) for number in range(1000)]
    assert len(phases_of(result(*many, given=7000), report(1, 1, 20))[-1].moments) == 2 * MOST_CONTAINERS


class Recorder:
    """A metrics client that writes down."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, Any]] = []

    def _note(self, name: str, *_value: Any, tags: Any = None) -> None:
        self.seen.append((name, tags))

    incr = timing = gauge = _note


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    found = Recorder()
    monkeypatch.setattr("knit_airflow.observability.metrics.task_stats", lambda: found)
    monkeypatch.setattr("knit_airflow.observability.metrics.triggerer_stats", lambda: found)
    return found


@pytest.mark.parametrize("mode", ["blocking", "deferred"])
def test_a_kill_is_counted_in_both_modes(knit: FakeKnit, recorder: Recorder, mode: str) -> None:
    operator = KnitOperator(task_id="t", command="x", name="n", deferrable=mode == "deferred", queue="root.science")
    if mode == "deferred":
        trigger: Any = deferral(lambda: operator.execute(Task().context())).trigger
        trigger.task_instance = Task().ti
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("knit_airflow.triggers.application.task_state", lambda ti: "failed")
            asyncio.run(trigger.on_kill())
    else:
        knit.on_submit = lambda app: operator.on_kill()
        with pytest.raises(AirflowException, match="killed"):
            operator.execute(Task().context())
    assert knit.apps["application_1_0001"].kills
    assert [name for name, _ in recorder.seen if name == "knit.killed"] == ["knit.killed"]
    assert {name for name, _ in recorder.seen} <= set(METRICS)


def test_what_is_skipped_has_not_failed(knit: FakeKnit, recorder: Recorder) -> None:
    knit.on_submit = lambda app: app.end("FAILED", "exited with 3")
    for skipped, error in ((3, AirflowSkipException), (4, AirflowException)):
        with pytest.raises(error):
            KnitOperator(task_id="t", command="x", name="n", skip_on_exit_code=skipped).execute(Task().context())
    assert [tags for name, tags in recorder.seen if name == "knit.failed"] == [{"kind": "program"}]
    ended = [tags for name, tags in recorder.seen if name == "knit.ended"]
    assert ended == [{"queue": "default", "outcome": "FAILED"}] * 2


@pytest.mark.parametrize("mode", ["blocking", "deferred"])
def test_what_observes_a_task_cannot_fail_it(knit: FakeKnit, monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    def broken(*_arguments: Any, **_options: Any) -> Any:
        asked.append(1)
        raise RuntimeError("the metrics server is on fire")

    asked, times = list[int](), {"started_at": 1000, "finished_at": 9000}
    monkeypatch.setattr("knit_airflow.observability.metrics.task_stats", broken)
    monkeypatch.setattr("knit_airflow.observability.metrics.triggerer_stats", broken)
    monkeypatch.setattr("opentelemetry.trace.get_tracer", broken)
    task = Task()

    def operator() -> KnitOperator:
        return KnitOperator(task_id="t", command="x", name="n", poll_interval=0.01, deferrable=mode == "deferred")

    if mode == "deferred":
        trigger = deferral(lambda: operator().execute(task.context())).trigger
        knit.apps["application_1_0001"].facts.update(times)
        knit.apps["application_1_0001"].end("SUCCEEDED")

        async def event() -> Any:
            return await asyncio.wait_for(anext(trigger.run()), 20)

        assert operator().execute_complete(task.context(), asyncio.run(event()).payload) == {"n": 1}
    else:
        knit.on_submit = lambda app: (app.facts.update(times), app.end("SUCCEEDED"))
        assert operator().execute(task.context()) == {"n": 1}
    assert len(asked) >= 4


def test_a_poll_that_fails_fails_as_before() -> None:
    def refused(_: int) -> None:
        raise OSError("refused")

    with pytest.raises(OSError, match="refused"):
        polled("c", 1, "queues", refused, 1)
    assert polled("c", 1, "queues", str, 1) == "1"
    quietly(lambda: 1 / 0)()
    assert (leaf("root.teams.science"), leaf("science"), leaf("")) == ("science", "science", "default")
    assert all(kind in ("counter", "timer", "gauge") for kind, _, _ in METRICS.values())
