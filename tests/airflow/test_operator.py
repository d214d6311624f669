"""The operator's own decisions, with a cluster in memory: attach or launch, kill or leave, retry or fail at once."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest

from knit_airflow import KnitOperator
from knit_airflow.operators._kill_policy import ask_keeps_running, keeps_running
from knit_airflow.state.task_state import TaskState
from knit_airflow.triggers._application_wait import Done
from knit_airflow.version_compat import (
    AirflowException,
    AirflowFailException,
    AirflowTaskTimeout,
    TaskDeferralError,
)
from knit_core.errors import ConnectionFailed, PreflightError
from tests.airflow.fake_knit import FakeApplication, FakeKnit
from tests.airflow.fake_task import Task, deferral


def operator(**arguments: Any) -> KnitOperator:
    """A fresh instance, as every try has."""
    return KnitOperator(**{"task_id": "run", "command": "true", "name": "n", "poll_interval": 0.01, **arguments})


def test_success_returns_the_value_and_pushes_id_and_link(knit: FakeKnit) -> None:
    task = Task()
    knit.on_submit = lambda app: app.end("SUCCEEDED")
    assert operator().execute(task.context()) == {"n": 1}
    page = "http://rm/cluster/app/application_1_0001"
    assert task.xcoms == {
        "application_id": "application_1_0001",
        "_link_KnitApplicationLink": page,
        "_link_KnitOwnPageLink": "http://rm/proxy/application_1_0001/",
        "_link_KnitLogsLink": page,
        "tracking_url": "http://rm/proxy/application_1_0001/",
        "exit_codes": {"main_0": 0},
        "resources_used": {"memory_mib_seconds": 0, "vcore_seconds": 0},
    }


def test_the_addresses_of_each_try_are_kept_and_those_of_the_last_twenty(knit: FakeKnit) -> None:
    task = Task(retries=30)
    knit.on_submit = lambda app: app.end("FAILED", "no luck")
    for attempt in range(1, 24):
        with pytest.raises(AirflowException):
            operator().execute(task.context() if attempt == 1 else task.retry())
    kept = task.store["knit_pages"]
    assert list(kept) == [str(number) for number in range(4, 24)]
    assert all(kept[number]["page"].endswith(f"application_1_{int(number):04d}") for number in kept)


def test_retry_after_a_death_attaches_in_both_modes(knit: FakeKnit) -> None:
    task = Task(retries=1)
    knit.on_submit = lambda app: setattr(app, "fails", [SystemExit(9)])  # the process dies while it waits
    with pytest.raises(SystemExit):
        operator().execute(task.context())
    assert (
        deferral(lambda: operator(deferrable=True).execute(task.retry())).trigger.application_id == "application_1_0001"
    )
    assert len(knit.submitted) == 1


def test_retry_after_a_failed_application_launches_anew(knit: FakeKnit) -> None:
    task = Task(retries=1)
    knit.on_submit = lambda app: app.end("FAILED", "main_0 on node07 exited with 3")
    with pytest.raises(AirflowException, match="node07 exited with 3") as failure:
        operator().execute(task.context())
    assert not isinstance(failure.value, AirflowFailException)
    knit.on_submit = lambda app: app.end("SUCCEEDED")
    assert operator().execute(task.retry()) == {"n": 2}


def test_clear_after_success_launches_anew(knit: FakeKnit) -> None:
    task = Task()
    knit.on_submit = lambda app: app.end("SUCCEEDED")
    assert operator().execute(task.context()) == {"n": 1}
    assert operator().execute(task.clear()) == {"n": 2}
    assert knit.apps["application_1_0001"].kills == []


def test_clear_after_success_is_noticed_when_edited_retries_hide_it(knit: FakeKnit) -> None:
    task = Task(retries=2)
    knit.on_submit = lambda app: app.end("SUCCEEDED")
    assert operator().execute(task.context()) == {"n": 1}
    context = task.clear(retries=1)
    assert task.ti.max_tries == 2, "what it was before"
    assert operator().execute(context) == {"n": 2}


def test_clear_while_deferred_ends_the_old_application_itself(knit: FakeKnit) -> None:
    # Airflow starts the new try before the old trigger's on_kill, which then finds the task deferred and leaves it.
    task = Task()
    deferral(lambda: operator(deferrable=True).execute(task.context()))
    deferral(lambda: operator(deferrable=True).execute(task.clear()))
    assert knit.apps["application_1_0001"].kills == ["The Airflow task was cleared"]
    assert not knit.apps["application_1_0002"].kills


def test_refusal_fails_at_once_and_a_passing_fault_may_be_retried(knit: FakeKnit) -> None:
    knit.refuses = PreflightError(["no queue 'nope'"])
    with pytest.raises(AirflowFailException, match="no queue 'nope'"):
        operator().execute(Task(retries=3).context())
    knit.refuses = ConnectionFailed("http://rm:8088 refused the connection")
    with pytest.raises(AirflowException, match="refused the connection") as failure:
        operator().execute(Task(retries=3).context())
    assert not isinstance(failure.value, AirflowFailException)


@pytest.mark.parametrize(("retries", "killed"), [(1, False), (0, True)])
def test_a_lost_cluster_leaves_the_application_only_to_a_retry(
    knit: FakeKnit, monkeypatch: pytest.MonkeyPatch, retries: int, killed: bool
) -> None:
    monkeypatch.setattr("knit_airflow.operators.base.wait_blocking", lambda *a, **k: Done("unreachable", "gone"))
    with pytest.raises(AirflowException, match="gone"):
        operator().execute(Task(retries=retries).context())
    assert bool(knit.apps["application_1_0001"].kills) is killed


@pytest.mark.parametrize(
    ("state", "retries", "killed"), [(TaskState("failed"), 1, True), (TaskState("running", newest=False), 0, False)]
)
def test_a_try_that_fails_after_its_task_was_marked_or_given_to_another_worker(
    knit: FakeKnit, monkeypatch: pytest.MonkeyPatch, state: TaskState, retries: int, killed: bool
) -> None:
    monkeypatch.setattr("knit_airflow.operators.base.wait_blocking", lambda *a, **k: Done("unreachable", "gone"))
    monkeypatch.setattr("knit_airflow.version_compat.read_task_state", lambda context: state)
    with pytest.raises(AirflowException, match="gone"):
        operator().execute(Task(retries=retries).context())
    assert bool(knit.apps["application_1_0001"].kills) is killed


def killed_while_it_waits(knit: FakeKnit, task: Task, words: str) -> None:
    """A try of the task that is told to stop (twice) as soon as its application is there."""
    op = operator()
    launched = threading.Event()
    knit.on_submit = lambda app: launched.set()

    def kill() -> None:
        assert launched.wait(10)
        while op._application is None:
            pass
        op.on_kill()
        op.on_kill()

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(AirflowException, match=words):
        op.execute(task.context())
    killer.join()
    knit.on_submit = lambda app: app.end("SUCCEEDED")


def test_on_kill_of_a_marked_or_cleared_task_ends_the_application(
    knit: FakeKnit, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = Task(retries=1)
    monkeypatch.setattr("knit_airflow.version_compat.read_task_state", lambda context: TaskState("restarting"))
    killed_while_it_waits(knit, task, "The task was killed, and with it application_1_0001")
    assert knit.apps["application_1_0001"].kills == ["The Airflow task was killed"]
    assert knit.claims == {}, "superseded: the retry must not attach to an application on its way out"
    assert operator().execute(task.retry()) == {"n": 2}, "the retry launches anew"


def test_on_kill_that_nobody_wished_leaves_the_application_to_the_retry(knit: FakeKnit) -> None:
    """Airflow cannot be asked here, as when it is out of reach: nobody can have marked the task."""
    task = Task(retries=1)
    killed_while_it_waits(knit, task, "application_1_0001 is left to the next try")
    app = knit.apps["application_1_0001"]
    assert app.kills == []
    app.end("SUCCEEDED")
    assert operator().execute(task.retry()) == {"n": 1}, "the retry attaches"

    task, knit.claims = Task(retries=0), {}
    killed_while_it_waits(knit, task, "The task was killed")
    assert knit.apps["application_1_0002"].kills, "no retry follows"


@pytest.mark.parametrize("retries", [1, 0])
def test_an_answer_that_does_not_come_counts_as_none(monkeypatch: pytest.MonkeyPatch, retries: int) -> None:
    """While the api-server is away the supervisor passes nothing on, and every blocking task is told to stop."""
    monkeypatch.setattr("knit_airflow.operators._kill_policy.ANSWER_TIMEOUT", 0.05)
    monkeypatch.setattr("knit_airflow.operators._kill_policy.RETRY_ANSWER_TIMEOUT", 0.05)
    monkeypatch.setattr("knit_airflow.version_compat.read_task_state", lambda context: threading.Event().wait(1))
    assert ask_keeps_running(Task(retries=retries).context()) is bool(retries)


@pytest.mark.parametrize(
    ("state", "with_retry", "without"),
    [
        (None, True, False),
        (TaskState("running"), True, False),  # the worker is drained, or its heartbeats failed
        (TaskState("running", newest=False), True, True),  # a scheduler came back and gave the task to another worker
        (TaskState("scheduled"), True, True),
        (TaskState(None), True, True),
        (TaskState("deferred", newest=False), True, True),
        (TaskState("failed"), False, False),
        (TaskState("success"), False, False),
        (TaskState("restarting"), False, False),
        (TaskState("running", same_run=False), False, False),  # deleted and made again
        (TaskState("running", same_run=False, newest=False), False, False),
    ],
)
def test_who_is_told_to_stop_for_what(state: TaskState | None, with_retry: bool, without: bool) -> None:
    assert keeps_running(state, retry_follows=True) is with_retry
    assert keeps_running(state, retry_follows=False) is without


def test_on_kill_does_not_need_execute_to_go_on(knit: FakeKnit) -> None:
    op = operator()
    op._application = app = FakeApplication("application_1_0001")
    op.on_kill()
    assert app.ended.wait(10), "execute may be blocked in a slow call until SIGKILL comes"


def test_on_kill_during_the_submission_ends_what_was_submitted(knit: FakeKnit) -> None:
    op = operator()
    knit.on_submit = lambda app: op.on_kill()  # the id was never returned to the operator
    with pytest.raises(AirflowException, match="killed"):
        op.execute(Task().context())
    assert set(knit.apps["application_1_0001"].kills) == {"The Airflow task was killed"}


def test_execution_timeout_ends_the_application_in_both_modes(knit: FakeKnit, monkeypatch: pytest.MonkeyPatch) -> None:
    def alarm(*args: Any, **kwargs: Any) -> None:
        raise AirflowTaskTimeout("Timeout")

    monkeypatch.setattr("knit_airflow.operators.base.wait_blocking", alarm)
    with pytest.raises(AirflowTaskTimeout):
        operator().execute(Task().context())
    assert "execution_timeout" in knit.apps["application_1_0001"].kills[0]

    task, limit = Task(), timedelta(seconds=50)
    deferred = deferral(lambda: operator(deferrable=True, execution_timeout=limit).execute(task.context()))
    assert deferred.trigger.deadline is not None
    assert deferred.timeout is None, "Airflow's own time-out would end neither application nor task properly"
    event = Done("timeout", "RUNNING").to_event("application_1_0002")
    with pytest.raises(AirflowTaskTimeout):
        operator(deferrable=True, execution_timeout=limit).execute_complete(task.context(), event)
    assert "execution_timeout" in knit.apps["application_1_0002"].kills[0]


def test_resume_reads_the_result_in_a_fresh_process(knit: FakeKnit) -> None:
    task = Task()
    deferred = deferral(lambda: operator(deferrable=True).execute(task.context()))
    knit.apps["application_1_0001"].end("SUCCEEDED")
    event = Done("ended", "SUCCEEDED", "SUCCEEDED").to_event(deferred.trigger.application_id)
    assert operator(deferrable=True).execute_complete(task.context(), event) == {"n": 1}


def test_the_event_of_an_earlier_launch_is_passed_over(knit: FakeKnit) -> None:
    """SQLite gives a deleted trigger's number to the next one, and with it the event that was on its way."""
    task, limit = Task(), timedelta(hours=1)
    first = deferral(lambda: operator(deferrable=True, execution_timeout=limit).execute(task.context()))
    second = deferral(lambda: operator(deferrable=True, execution_timeout=limit).execute(task.clear()))
    late = Done("ended", "KILLED", "KILLED").to_event(first.trigger.application_id)
    again = deferral(lambda: operator(deferrable=True, execution_timeout=limit).execute_complete(task.context(), late))
    (path, arguments), (_, anew) = second.trigger.serialize(), again.trigger.serialize()
    assert again.trigger.serialize()[0] == path
    assert arguments.pop("logs")["by"] != anew.pop("logs")["by"], "its log file begins anew, and so do its lines"
    assert arguments == anew
    assert knit.apps[second.trigger.application_id].kills == []


@pytest.mark.parametrize(("retries", "killed"), [(1, False), (0, True)])
def test_a_broken_trigger_leaves_no_orphan(knit: FakeKnit, retries: int, killed: bool) -> None:
    task = Task(retries=retries)
    deferral(lambda: operator(deferrable=True).execute(task.context()))
    with pytest.raises(TaskDeferralError):
        operator(deferrable=True).resume_execution("__fail__", {"error": "Trigger failure"}, task.context())
    assert bool(knit.apps["application_1_0001"].kills) is killed


def test_an_application_that_has_ended_is_not_deferred_for(knit: FakeKnit) -> None:
    knit.on_submit = lambda app: app.end("SUCCEEDED")
    assert operator(deferrable=True).execute(Task().context()) == {"n": 1}


def test_resources_are_yarns(knit: FakeKnit) -> None:
    knit.on_submit = lambda app: app.end("SUCCEEDED")
    operator(gpus=2, yarn_resources={"fpga": 1}, memory="2 GiB").execute(Task().context())
    given = knit.submitted[0]
    assert (given["gpus"], given["resources"], given["memory"]) == (2, {"fpga": 1}, "2 GiB")


def test_the_yarn_queue_is_not_the_executors(knit: FakeKnit) -> None:
    op = operator(queue="science", executor_queue="celery_big")
    assert op.queue == "celery_big"
    knit.on_submit = lambda app: app.end("SUCCEEDED")
    op.execute(Task().context())
    assert knit.submitted[0]["queue"] == "science"
