"""Airflow's own processes die: worker, scheduler, api-server, dag-processor; and its database locks everybody out.

(The triggerer's death: tests/airflow/test_faults.py.)
"""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from knit_core import Knit, State
from tests.airflow.bench import SOON, Scenario, wanted
from tools.airflow_client import wait_for
from tools.airflow_processes import AirflowProcesses

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(600)]

#: `…_once` has no retries.
SCENARIOS = {
    "killed": "blocking",
    "killed-last": "blocking_once",
    "drained": "blocking",
    "drained-last": "blocking_once",
    "servers-blocking": "patient_blocking",
}


@pytest.fixture(scope="module")
def started(
    airflow: AirflowProcesses, alice: Knit, flags: Path, request: pytest.FixtureRequest
) -> Iterator[dict[str, Scenario]]:
    airflow.client.wait_parsed("patient_deferred")
    chosen = wanted(request)
    scenarios = {key: Scenario(airflow, alice, flags, dag) for key, dag in SCENARIOS.items() if key in chosen}
    for scenario in scenarios.values():
        scenario.start()
    yield scenarios
    for scenario in scenarios.values():
        scenario.clean()


@pytest.fixture(scope="module")
def struck(started: dict[str, Scenario], airflow: AirflowProcesses) -> dict[str, tuple[str, psutil.Process]]:
    """The supervisors of up to four tasks were sent a signal, all at once; the application and the process of each task."""
    found = {}
    for key in sorted({"killed", "killed-last", "drained", "drained-last"} & set(started)):
        app = started[key].wait_running()
        started[key].wait("running")
        wait_for(f"{key}: its id in Airflow", lambda key=key: started[key].xcom("application_id"), SOON)
        found[key] = app.id, psutil.Process(started[key].task_process())
    for key, (_, process) in found.items():
        os.kill(process.ppid(), signal.SIGKILL if key.startswith("killed") else signal.SIGTERM)
    for key in sorted({"killed", "killed-last"} & set(started)):
        airflow.age_task(started[key].dag_id, started[key].run_id, "run")
    return found


@pytest.mark.parametrize("key", [pytest.param("drained", marks=pytest.mark.slow), "killed"])
def test_a_dead_worker_leaves_the_application_to_the_next_try(
    started: dict[str, Scenario], struck: dict[str, tuple[str, psutil.Process]], key: str
) -> None:
    """SIGKILL leaves the task's process alive: it has to notice by itself that it is nobody's."""
    scenario, (app_id, process) = started[key], struck[key]
    wait_for("the end of the first try's process", lambda: gone(process), SOON)
    scenario.wait("running", tries=2)
    wait_for("the second try to attach", lambda: app_id in scenario.log(2), SOON)
    assert scenario.applications()[0].state is State.RUNNING
    scenario.let_go()
    scenario.wait("success", tries=2)
    assert [each.id for each in scenario.applications()] == [app_id]
    assert str(scenario.applications()[0].outcome) == "SUCCEEDED"


@pytest.mark.parametrize("key", [pytest.param("drained-last", marks=pytest.mark.slow), "killed-last"])
def test_a_dead_worker_whose_task_has_no_retry_ends_the_application(
    started: dict[str, Scenario], struck: dict[str, tuple[str, psutil.Process]], key: str
) -> None:
    scenario, (app_id, process) = started[key], struck[key]
    scenario.wait_outcome(app_id, "KILLED")
    wait_for("the end of the task's process", lambda: gone(process), SOON)
    scenario.wait("failed")
    assert [each.id for each in scenario.applications()] == [app_id]


@pytest.mark.slow
@pytest.mark.parametrize("key", ["servers-blocking"])
def test_api_server_and_dag_processor_killed_and_the_database_locked(
    started: dict[str, Scenario], airflow: AirflowProcesses, alice: Knit, flags: Path, key: str
) -> None:
    """Running tasks and deferred ones go on over it, in the same try or the next: with the same application."""
    scenarios = [started[key], Scenario(airflow, alice, flags, "patient_deferred").start()]
    apps = [scenario.wait_running().id for scenario in scenarios]
    scenarios[0].wait("running")
    scenarios[1].wait("deferred")
    for part in ("api-server", "dag-processor"):
        airflow.signal_part(part, signal.SIGKILL)
    for part in ("api-server", "dag-processor"):
        airflow.start_part(part)
    airflow.wait_healthy(90)
    with locked(airflow.database):
        for scenario in scenarios:
            scenario.let_go()
        time.sleep(6)  # the outage itself: shorter than Airflow's patience with SQLite, LOCK_TIMEOUT
    for scenario, app_id in zip(scenarios, apps, strict=True):
        scenario.wait("success")
        assert [(each.id, str(each.outcome)) for each in scenario.applications()] == [(app_id, "SUCCEEDED")]
        assert scenario.xcom("application_id") == app_id


@pytest.mark.slow
def test_a_stopped_scheduler_that_comes_back(airflow: AirflowProcesses, alice: Knit, flags: Path) -> None:
    """At SIGTERM Airflow waits for the tasks that its workers run. Deferred ones go on when there is a scheduler again."""
    blocking, deferred = (Scenario(airflow, alice, flags, f"{mode}_once").start() for mode in ("blocking", "deferred"))
    apps = [blocking.wait_running().id, deferred.wait_running().id]
    blocking.wait("running")
    deferred.wait("deferred")
    later = threading.Timer(3, lambda: (blocking.let_go(), deferred.let_go()))
    later.start()
    airflow.signal_part("scheduler", signal.SIGTERM, SOON)
    later.join()
    airflow.start_part("scheduler")
    for scenario, app_id in zip((blocking, deferred), apps, strict=True):
        scenario.wait("success")
        assert [(each.id, str(each.outcome)) for each in scenario.applications()] == [(app_id, "SUCCEEDED")]


@pytest.mark.slow
def test_a_killed_scheduler_that_comes_back(airflow: AirflowProcesses, alice: Knit, flags: Path) -> None:
    """It gives a running task to another worker although the first still works on it: that must leave it alone."""
    # Last in this file, and with tasks of its own: it does so to all that run.
    blocking, deferred = (Scenario(airflow, alice, flags, f"{mode}_once").start() for mode in ("blocking", "deferred"))
    apps = [blocking.wait_running().id, deferred.wait_running().id]
    blocking.wait("running")
    deferred.wait("deferred")
    wait_for("its id in Airflow", lambda: blocking.xcom("application_id"), SOON)
    first = psutil.Process(blocking.task_process())
    before = airflow.signal_part("scheduler", signal.SIGKILL, alone=True)
    assert not gone(first), "the workers outlive it"
    airflow.age("scheduler")
    airflow.start_part("scheduler")
    blocking.wait("running", tries=2)
    wait_for("the end of the first try's process", lambda: gone(first), SOON)
    wait_for("the second try to attach", lambda: apps[0] in blocking.log(2), SOON)
    assert blocking.applications()[0].state is State.RUNNING
    blocking.let_go()
    deferred.let_go()
    for scenario, app_id in zip((blocking, deferred), apps, strict=True):
        scenario.wait("success")
        assert [(each.id, str(each.outcome)) for each in scenario.applications()] == [(app_id, "SUCCEEDED")]
    airflow.end_session(before)


@contextlib.contextmanager
def locked(database: Path) -> Iterator[None]:
    """Nobody else can write to it meanwhile."""
    with contextlib.closing(sqlite3.connect(database, timeout=30, isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        try:
            yield
        finally:
            connection.execute("ROLLBACK")


def gone(process: psutil.Process) -> bool:
    """Whether it has ended, be it a zombie still."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
