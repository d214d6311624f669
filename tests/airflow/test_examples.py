"""The example DAGs under real Airflow on a real cluster: started together, then each looked at."""

from __future__ import annotations

from typing import Any

import pytest

from tests.observability_harness import ask, pause
from tools.airflow_client import wait_for
from tools.airflow_processes import AirflowProcesses

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(300)]
DAY = "2026-03-01T00:00:00Z"


#: Examples by their tests' names, with what their runs are given. Two are one test's.
RUNS: dict[str, dict[str, Any]] = {
    "quickstart": {},
    "retries": {},
    "deferrable": {},
    "files_and_templating": {"logical_date": DAY},
    "functions": {},
    "specification": {"logical_date": DAY},
    "waiting": {},
    "mapped": {},
    "after_export": {"run_id": "the-same"},
    "export": {"run_id": "the-same"},
}


@pytest.fixture(scope="module")
def runs(airflow: AirflowProcesses, request: pytest.FixtureRequest) -> dict[str, str]:
    """Those that this run's tests want, started together."""
    for dag in ("knit_quickstart", "knit_after_export", "knit_waiting", "knit_after_nightly_load"):
        airflow.client.wait_parsed(dag)
    names = {item.name for item in request.session.items if item.path == request.path}
    others = {
        "test_waiting_without_a_worker": ["waiting"],
        "test_sensor_on_another_dags_application": ["after_export", "export"],
    }
    chosen = [each for name in names for each in others.get(name, [name.removeprefix("test_")])]
    if "watchers" in chosen:
        pause(airflow, "knit_after_nightly_load", False)
    return {
        f"knit_{each}": airflow.client.trigger(f"knit_{each}", **given)
        for each, given in RUNS.items()
        if each in chosen
    }


def finished(airflow: AirflowProcesses, runs: dict[str, str], dag: str) -> None:
    state = wait_for(
        f"{dag} ended", lambda: _end(airflow, dag, runs[dag]), 150, seen=lambda: _tasks(airflow, dag, runs[dag])
    )
    assert state == "success", _tasks(airflow, dag, runs[dag])


def _end(airflow: AirflowProcesses, dag: str, run: str) -> str | None:
    state = airflow.client.run_state(dag, run)
    return state if state in ("success", "failed") else None


def _tasks(airflow: AirflowProcesses, dag: str, run: str) -> str:
    """States of the run's tasks, with the logs of those that failed."""
    text = ""
    for task in airflow.client.call("GET", f"/dags/{dag}/dagRuns/{run}/taskInstances")["task_instances"]:
        text += f"\n{task['task_id']}: {task['state']}, try {task['try_number']}"
        if task["state"] not in ("success", None):
            text += "\n" + airflow.client.log(dag, run, task["task_id"], max(1, task["try_number"]))
    return text


def written(airflow: AirflowProcesses, dag: str, run: str, task: str) -> str:
    """The task's log of all its tries: a busy Airflow may need two for one that was deferred for a moment only."""
    path = f"/dags/{dag}/dagRuns/{run}/taskInstances/{task}"
    tries = airflow.client.call("GET", path)["try_number"]
    return "\n".join(airflow.client.log(dag, run, task, number) for number in range(1, tries + 1))


def test_quickstart(airflow: AirflowProcesses, runs: dict[str, str]) -> None:
    finished(airflow, runs, "knit_quickstart")
    run, client = runs["knit_quickstart"], airflow.client
    even, odd = sum(n * n for n in range(0, 1000, 2)), sum(n * n for n in range(1, 1000, 2))
    assert client.xcom("knit_quickstart", run, "squares") == [even, odd]
    assert client.xcom("knit_quickstart", run, "total") == even + odd
    assert client.xcom("knit_quickstart", run, "finished")["outcome"] == "SUCCEEDED"
    log = client.log("knit_quickstart", run, "squares", 1)
    assert "rank 0 of 2: 500 numbers" in log and "rank 1 of 2: 500 numbers" in log


def test_deferrable(airflow: AirflowProcesses, runs: dict[str, str]) -> None:
    finished(airflow, runs, "knit_deferrable")
    assert written(airflow, "knit_deferrable", runs["knit_deferrable"], "train").count("epoch 3") == 2


@pytest.mark.slow
def test_files_and_templating(airflow: AirflowProcesses, runs: dict[str, str]) -> None:
    finished(airflow, runs, "knit_files_and_templating")
    log = airflow.client.log("knit_files_and_templating", runs["knit_files_and_templating"], "count", 1)
    assert "2026-03-01: 2 lines with knit" in log


@pytest.mark.slow
def test_retries(airflow: AirflowProcesses, runs: dict[str, str]) -> None:
    finished(airflow, runs, "knit_retries")
    assert airflow.client.task("knit_retries", runs["knit_retries"], "flaky")["try_number"] == 2


def test_sensor_on_another_dags_application(airflow: AirflowProcesses, runs: dict[str, str]) -> None:
    finished(airflow, runs, "knit_after_export")
    finished(airflow, runs, "knit_export")
    sensed = airflow.client.xcom("knit_after_export", "the-same", "exported")
    assert sensed["application_id"] == airflow.client.xcom("knit_export", "the-same", "export", "application_id")


def test_functions(airflow: AirflowProcesses, runs: dict[str, str]) -> None:
    finished(airflow, runs, "knit_functions")
    run, client = runs["knit_functions"], airflow.client
    counts = client.xcom("knit_functions", run, "count")
    assert len(counts) == 2 and sum(counts) == 168
    assert "rank 1 has 500 numbers" in written(airflow, "knit_functions", run, "count")
    rows = client.call("GET", f"/dags/knit_functions/dagRuns/{run}/taskInstances?task_id=describe")["task_instances"]
    assert [row["state"] for row in rows] == ["success", "success"]


@pytest.mark.slow
def test_specification(airflow: AirflowProcesses, runs: dict[str, str]) -> None:
    finished(airflow, runs, "knit_specification")
    run, client = runs["knit_specification"], airflow.client
    assert client.xcom("knit_specification", run, "train") == {"fetch": None, "train": [0, 1]}
    assert client.xcom("knit_specification", run, "train", "exit_codes") == {"fetch_0": 0, "train_0": 0, "train_1": 0}
    assert client.task("knit_specification", run, "upload")["state"] == "skipped"


@pytest.mark.slow
def test_waiting_without_a_worker(airflow: AirflowProcesses, runs: dict[str, str]) -> None:
    finished(airflow, runs, "knit_waiting")
    run, client = runs["knit_waiting"], airflow.client
    up, over = client.xcom("knit_waiting", run, "up"), client.xcom("knit_waiting", run, "over")
    assert up["outcome"] is None and over["outcome"] == "SUCCEEDED"
    assert (
        up["application_id"] == over["application_id"] == client.xcom("knit_waiting", run, "service", "application_id")
    )
    for sensor in ("up", "over"):
        assert not client.task("knit_waiting", run, sensor)["pid"], "no worker ever ran it"


@pytest.mark.slow
def test_mapped(airflow: AirflowProcesses, runs: dict[str, str]) -> None:
    finished(airflow, runs, "knit_mapped")
    rows = airflow.client.call("GET", f"/dags/knit_mapped/dagRuns/{runs['knit_mapped']}/taskInstances?task_id=load")
    assert {row["rendered_map_index"] for row in rows["task_instances"]} == {"load-oslo", "load-rome"}


def test_watchers(airflow: AirflowProcesses, runs: dict[str, str]) -> None:
    client, after = airflow.client, "knit_after_nightly_load"
    look = "SELECT count(*) FROM asset_state_store JOIN asset ON asset.id = asset_id WHERE name = 'nightly_load_ended'"
    wait_for("the watcher has looked", lambda: ask(airflow, look)[0][0], 90)
    # SQLite may be locked for long while sensors of other examples end in the triggerer
    start, body = "/dags/knit_nightly_load/dagRuns", {"logical_date": None, "conf": {}}
    run = wait_for("it runs", lambda: client.call("POST", start, json=body, ok=(200, 500)).get("dag_run_id"), 120, 1)
    client.wait_task("knit_nightly_load", run, "load", "success", 90)
    started = wait_for("its end started a run", lambda: client.call("GET", f"/dags/{after}/dagRuns")["dag_runs"], 60)
    client.wait_task(after, started[0]["dag_run_id"], "use", "success", 60)
    app_id = client.xcom("knit_nightly_load", run, "load", "application_id")
    assert client.xcom(after, started[0]["dag_run_id"], "use") == [app_id]
    pause(airflow, after)
