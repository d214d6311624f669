"""What people do to tasks and runs: clear, mark, delete, make again, edit retries; in both modes, on real processes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from knit_core import ApplicationReport, Knit, State
from tests.airflow.bench import SOON, Scenario, wanted
from tools.airflow_client import wait_for
from tools.airflow_processes import AirflowProcesses

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(600)]

#: All are started before the first test, so that their launches overlap.
SCENARIOS = {
    "running": ("blocking_once", 0),
    "failed-blocking": ("blocking_once", 3),
    "failed-deferred": ("deferred_once", 3),
    "succeeded": ("deferred_once", 0),
    "success-blocking": ("blocking_once", 0),
    "success-deferred": ("deferred_once", 0),
    "delete-blocking": ("blocking_once", 0),
    "delete-deferred": ("deferred_once", 0),
    "edited": ("edited", 0),
}


@pytest.fixture(scope="module")
def started(
    airflow: AirflowProcesses, alice: Knit, flags: Path, request: pytest.FixtureRequest
) -> Iterator[dict[str, Scenario]]:
    """Those that this run's tests want, by their parameter `key`."""
    airflow.client.wait_parsed("edited")
    chosen = wanted(request)
    scenarios = {
        key: Scenario(airflow, alice, flags, dag, code) for key, (dag, code) in SCENARIOS.items() if key in chosen
    }
    for scenario in scenarios.values():
        scenario.start()
    yield scenarios
    for scenario in scenarios.values():
        scenario.clean()


def ids(scenario: Scenario) -> list[str]:
    return [each.id for each in scenario.applications()]


@pytest.mark.parametrize("key", ["running"])
def test_cleared_while_it_runs(started: dict[str, Scenario], key: str) -> None:
    """The application of a blocking task that is cleared ends; the next try launches its own."""
    scenario = started[key]
    first = scenario.wait_running()
    scenario.wait("running")
    scenario.clear()
    scenario.wait_outcome(first.id, "KILLED")
    second = scenario.wait_running(2)
    scenario.let_go()
    scenario.wait("success", tries=2)
    assert ids(scenario) == [first.id, second.id]
    assert scenario.xcom("application_id") == second.id


@pytest.mark.slow
@pytest.mark.parametrize("key", ["failed-blocking", "failed-deferred"])
def test_cleared_when_it_has_failed(started: dict[str, Scenario], key: str) -> None:
    scenario = started[key]
    first = scenario.wait_running()
    scenario.let_go()
    scenario.wait("failed")
    scenario.wait_workers(1 if key == "failed-blocking" else 2)
    scenario.clear()
    scenario.wait("failed", tries=2)
    assert [str(each.outcome) for each in scenario.applications()] == ["FAILED", "FAILED"]
    assert ids(scenario)[0] == first.id


@pytest.mark.slow
@pytest.mark.parametrize("key", ["succeeded"])
def test_cleared_when_it_has_succeeded_deferred(started: dict[str, Scenario], key: str) -> None:
    """(Blocking: tests/airflow/test_faults.py.)"""
    scenario = started[key]
    first = scenario.wait_running()
    scenario.let_go()
    scenario.wait("success")
    scenario.wait_workers(2)
    scenario.clear()
    scenario.wait("success", tries=2)
    assert ids(scenario)[0] == first.id and len(ids(scenario)) == 2
    assert scenario.xcom("application_id") == ids(scenario)[1]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("key", "state"),
    [("success-blocking", "running"), ("success-deferred", "deferred")],
)
def test_marked_success_ends_the_application(started: dict[str, Scenario], key: str, state: str) -> None:
    scenario = started[key]
    app = scenario.wait_running()
    scenario.wait(state)
    scenario.mark("success")
    scenario.wait_outcome(app.id, "KILLED")
    scenario.wait("success")
    assert ids(scenario) == [app.id]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("key", "state"),
    [("delete-blocking", "running"), ("delete-deferred", "deferred")],
)
def test_run_deleted_and_made_again_under_its_id(started: dict[str, Scenario], key: str, state: str) -> None:
    """Deleted while the application runs: that ends. Deleted after success: the same id gets no old result."""
    scenario = started[key]
    first = scenario.wait_running()
    scenario.wait(state)
    with pytest.raises(RuntimeError, match="409"):
        scenario.delete_run()  # Airflow deletes no running run: it is ended first
    scenario.client.mark_run(scenario.dag_id, scenario.run_id, "failed")
    scenario.delete_run()
    if state == "running":
        scenario.wait_workers(1)
    scenario.start(run_id=scenario.run_id)
    scenario.wait_outcome(first.id, "KILLED")
    second = scenario.wait_running(2)
    scenario.let_go()
    scenario.wait("success")
    assert scenario.xcom("application_id") == second.id
    wait_for("the run's end", lambda: scenario.client.run_state(scenario.dag_id, scenario.run_id) == "success", SOON)
    scenario.wait_workers(2 if state == "running" else 3)
    scenario.delete_run()
    scenario.start(run_id=scenario.run_id)
    scenario.wait("success")
    assert ids(scenario)[:2] == [first.id, second.id] and len(ids(scenario)) == 3
    assert scenario.xcom("application_id") == ids(scenario)[2]
    assert [str(each.outcome) for each in scenario.applications()] == ["KILLED", "SUCCEEDED", "SUCCEEDED"]


@pytest.mark.parametrize("key", ["edited"])
def test_retries_edited_before_a_clear(started: dict[str, Scenario], airflow: AirflowProcesses, key: str) -> None:
    """From 3 to 2: Airflow's max_tries (tries so far, and retries) stays 3, and it is a clear all the same."""
    scenario = started[key]
    scenario.wait_running()
    scenario.let_go()
    ended = scenario.wait("success")
    assert ended["max_tries"] == 3
    retries = 3 - ended["try_number"]
    (airflow.dags / "scenarios" / "edited_retries").write_text(str(retries))
    (airflow.dags / "scenarios" / "faults.py").touch()  # Airflow looks at it again
    path = f"/dags/{scenario.dag_id}/tasks/run"
    wait_for("the edited DAG", lambda: scenario.client.call("GET", path)["retries"] == retries, SOON)
    scenario.wait_workers(ended["try_number"])
    scenario.clear(newest=True)
    assert scenario.wait("success", tries=ended["try_number"] + 1)["max_tries"] == 3
    assert len(ids(scenario)) == 2
    assert scenario.xcom("application_id") == ids(scenario)[1]


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["blocking", "deferred"])
def test_neighbours_of_a_cleared_mapped_task_go_on(
    airflow: AirflowProcesses, alice: Knit, flags: Path, mode: str
) -> None:
    whole = Scenario(airflow, alice, flags, f"mapped_{mode}").start()
    each = [
        Scenario(airflow, alice, flags, whole.dag_id, task_id=f"run/{index}", name=f"{whole.name}-{index}")
        for index in range(3)
    ]
    first: list[ApplicationReport] = []
    for scenario in each:
        scenario.run_id = whole.run_id
        first.append(scenario.wait_running())
        scenario.wait("running" if mode == "blocking" else "deferred")
    each[1].clear()
    each[1].wait_outcome(first[1].id, "KILLED")
    again = each[1].wait_running(2)
    for index in (0, 2):
        assert each[index].applications()[0].state is State.RUNNING
    whole.let_go()
    tries = [scenario.wait("success")["try_number"] for scenario in each]
    assert tries == [1, 2, 1]
    assert [ids(scenario) for scenario in each] == [[first[0].id], [first[1].id, again.id], [first[2].id]]
