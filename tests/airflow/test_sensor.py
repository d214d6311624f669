"""The sensor, with a cluster in memory: which application, what suffices, which end is red, in every mode."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from knit_airflow import KnitSensor
from knit_airflow.triggers._application_wait import Done
from knit_airflow.triggers.sensor import KnitSensorTrigger
from knit_airflow.version_compat import AirflowException, AirflowFailException, AirflowSensorTimeout, TaskSuccessEvent
from knit_core.errors import ConnectionFailed
from tests.airflow.fake_knit import FakeApplication, FakeKnit
from tests.airflow.fake_task import Task, deferral

ID = "application_1_0009"


@pytest.fixture
def app(knit: FakeKnit) -> FakeApplication:
    app = knit.apps[ID] = FakeApplication(ID, value=7)
    app.facts.update(name="export-2026", tags=("nightly",))
    return app


def sensor(**arguments: Any) -> KnitSensor:
    return KnitSensor(**{"task_id": "s", "poke_interval": 0.01, **arguments})


class Modes:
    """Runs a sensor to its end in one mode; every mode must say the same."""

    def __init__(self, mode: str) -> None:
        self.mode = mode

    def __call__(self, task: Task | None = None, **arguments: Any) -> Any:
        context = (task or Task()).context()
        if self.mode == "poke":
            return sensor(deferrable=False, **arguments).execute(context)
        made = sensor(deferrable=True, **arguments)
        if self.mode == "deferred":
            from airflow.sdk.exceptions import TaskDeferred

            try:
                return made.execute(context)
            except TaskDeferred as deferred:
                trigger: Any = deferred.trigger
        else:
            assert made.start_from_trigger and made.start_trigger_args is not None
            trigger = KnitSensorTrigger(**json.loads(json.dumps(made.start_trigger_args.trigger_kwargs)))
        trigger.task_instance = context["ti"]
        pushed: list[Any] = []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("knit_airflow.triggers.sensor.push_xcom", lambda ti, value: pushed.append(value))
            event = asyncio.run(asyncio.wait_for(_first(trigger), 20))
        if isinstance(event, TaskSuccessEvent):
            assert self.mode == "trigger", "only what began there ends there"
            assert len(pushed) == 1, "the triggerer's supervisor takes them one by one"
            return pushed[0]
        return sensor(deferrable=True, **arguments).execute_complete(context, json.loads(json.dumps(event.payload)))


async def _first(trigger: KnitSensorTrigger) -> Any:
    async for event in trigger.run():
        return event


@pytest.fixture(params=["poke", "deferred", "trigger"])
def run(request: pytest.FixtureRequest) -> Modes:
    return Modes(request.param)


@pytest.mark.parametrize(
    "which", [{"application_id": ID}, {"name": "export-2026"}, {"tag": "nightly"}], ids=["id", "name", "tag"]
)
def test_success_in_every_mode_and_by_every_name(
    run: Modes, knit: FakeKnit, app: FakeApplication, which: dict[str, str]
) -> None:
    app.ends_after, app.outcome = 4, "SUCCEEDED"
    seen = run(**which)
    assert (seen["application_id"], seen["outcome"], seen["value"], seen["finished_at"]) == (ID, "SUCCEEDED", 7, 2)
    assert app.kills == []


@pytest.mark.parametrize("outcome", ["FAILED", "KILLED"])
def test_red_without_retries_unless_told_otherwise(run: Modes, app: FakeApplication, outcome: str) -> None:
    app.end(outcome, "exited with 3")
    with pytest.raises(AirflowFailException, match=r"exited with 3|killed"):
        run(Task(retries=3), application_id=ID)
    assert run(application_id=ID, outcomes=("SUCCEEDED", outcome))["outcome"] == outcome
    app.end("SUCCEEDED")
    with pytest.raises(AirflowFailException, match="SUCCEEDED"):
        run(application_id=ID, outcomes=(outcome,))


def test_another_tasks_launch_is_waited_for_before_it_has_begun(
    run: Modes, app: FakeApplication, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, Any]] = []

    def launched_id(**place: Any) -> str | None:
        asked.append(place)
        if len(asked) == 1 and run.mode == "trigger":
            raise OSError("Airflow's API is away")
        return ID if len(asked) > 2 else None

    monkeypatch.setattr("knit_airflow.sensors.knit.launched_id", launched_id)
    monkeypatch.setattr("knit_airflow.triggers.sensor.launched_id", launched_id)
    app.end("SUCCEEDED")
    assert run(launched_by={"task_id": "export", "dag_id": "other"})["application_id"] == ID
    assert asked[0] == {"dag_id": "other", "run_id": "r", "task_id": "export", "map_index": -1}
    assert len(asked) == 3


@pytest.mark.parametrize(
    ("goal", "facts"),
    [({"state": "RUNNING"}, {}), ({"containers": 3}, {"containers": 4}), ({"progress": 0.5}, {"progress": 0.5})],
    ids=["state", "containers", "progress"],
)
def test_something_before_the_end_suffices(
    run: Modes, app: FakeApplication, goal: dict[str, Any], facts: dict[str, Any]
) -> None:
    app.facts.update(facts)
    seen = run(application_id=ID, **goal)
    assert (seen["application_id"], seen["outcome"]) == (ID, None)
    assert not app.ended.is_set()
    app.end("FAILED", "exited with 3")
    with pytest.raises(AirflowFailException, match="exited with 3"):
        run(application_id=ID, progress=1.0)


def test_not_enough_containers_is_not_enough(run: Modes, app: FakeApplication) -> None:
    app.facts["containers"] = 3  # one of them is the ApplicationMaster's
    app.ends_after, app.outcome = 5, "SUCCEEDED"
    assert run(application_id=ID, containers=3)["outcome"] == "SUCCEEDED"


def test_timeout_leaves_the_application(app: FakeApplication) -> None:
    task = Task()
    made = sensor(application_id=ID, deferrable=True, timeout=1)
    trigger = deferral(lambda: made.execute(task.context())).trigger
    assert trigger.deadline is not None and not trigger.end_here
    with pytest.raises(AirflowSensorTimeout):
        made.execute_complete(task.context(), Done("timeout", "RUNNING").to_event(ID))
    assert made.start_trigger_args.timeout.total_seconds() == 1
    assert app.kills == []


def test_faults_are_waited_out(run: Modes, app: FakeApplication) -> None:
    app.fails = [ConnectionFailed("gone"), ConnectionFailed("gone"), ConnectionFailed("gone")]
    app.ends_after, app.outcome = 2, "SUCCEEDED"
    assert run(application_id=ID)["value"] == 7


def test_an_application_that_yarn_forgot_is_found_in_its_result(run: Modes, knit: FakeKnit) -> None:
    class Forgotten(FakeApplication):
        def report(self) -> Any:
            from knit_core.errors import ApplicationNotFound

            raise ApplicationNotFound("404", status=404)

    app = knit.apps[ID] = Forgotten(ID, value=8)
    app.end("SUCCEEDED")
    app.left_result = True
    assert run(application_id=ID)["value"] == 8


def test_a_template_without_an_application_may_be_retried(run: Modes, knit: FakeKnit) -> None:
    with pytest.raises(AirflowException, match="launched_by") as failure:
        run(application_id="None")
    assert not isinstance(failure.value, AirflowFailException)


@pytest.mark.parametrize(
    "wrong",
    [{}, {"name": "a", "tag": "b"}, {"name": "a", "state": "GONE"}, {"name": "a", "outcomes": ("GOOD",)}],
)
def test_nonsense_is_refused_when_the_dag_is_parsed(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"exactly one|state|outcomes"):
        sensor(**wrong)


def test_what_cannot_begin_in_a_trigger_begins_on_a_worker(knit: FakeKnit) -> None:
    from airflow.sdk import DAG

    with DAG("d", schedule=None):
        other = sensor(task_id="other", application_id=ID)
        assert not sensor(application_id=other.output, deferrable=True).start_from_trigger
    pulled = "{{ ti.xcom_pull(task_ids='export', key='application_id') }}"
    assert not sensor(application_id=pulled, deferrable=True).start_from_trigger, "a triggerer would hang"
    assert not sensor(launched_by={"task_id": pulled}, deferrable=True).start_from_trigger
    assert sensor(name="x-{{ ds }}", deferrable=True).start_from_trigger
    assert not sensor(application_id=ID, deferrable=True, start_from_trigger=False).start_from_trigger
    assert not sensor(application_id=ID, deferrable=False).start_from_trigger


def test_a_result_that_the_triggerer_cannot_leave_is_left_by_a_worker(
    app: FakeApplication, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(ti: Any, value: Any) -> None:
        raise OSError("Airflow's API is away")

    monkeypatch.setattr("knit_airflow.triggers.sensor.push_xcom", broken)
    app.end("SUCCEEDED")
    made = sensor(application_id=ID, deferrable=True)
    trigger = KnitSensorTrigger(**made.start_trigger_args.trigger_kwargs)
    trigger.task_instance = Task().ti
    event = asyncio.run(asyncio.wait_for(_first(trigger), 20))
    assert not isinstance(event, TaskSuccessEvent)
    assert made.execute_complete(Task().context(), event.payload)["value"] == 7
