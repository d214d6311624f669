"""What happens when something dies or somebody intervenes: real Airflow processes, real YARN, nothing simulated."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from knit_airflow.tags import tag_of
from knit_core import Knit, State
from tests.airflow.bench import SOON, Scenario, wanted
from tools.airflow_client import wait_for
from tools.airflow_processes import AirflowProcesses

if TYPE_CHECKING:
    from knit_core.local import LocalCluster

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(600)]

#: Those that this run wants are started before its first test, so that their launches overlap.
SCENARIOS = {
    "triggerer-term": ("deferred", 0),
    "triggerer-kill": ("deferred", 0),
    "worker-kill": ("blocking", 0),
    "mark-blocking": ("blocking", 0),
    "mark-deferred": ("deferred", 0),
    "failing-blocking": ("blocking_once", 3),
    "failing-deferred": ("deferred_once", 3),
    "clear-success": ("blocking_once", 0),
    "clear-deferred": ("deferred_once", 0),
    "retry-blocking": ("blocking", 4),
    "retry-deferred": ("deferred", 4),
}


@pytest.fixture(scope="module")
def knit(alice: Knit) -> Knit:
    return alice


@pytest.fixture(scope="module")
def started(
    airflow: AirflowProcesses, knit: Knit, flags: Path, request: pytest.FixtureRequest
) -> Iterator[dict[str, Scenario]]:
    airflow.client.wait_parsed("sensors")
    chosen = wanted(request)
    scenarios = {
        key: Scenario(airflow, knit, flags, dag, code) for key, (dag, code) in SCENARIOS.items() if key in chosen
    }
    for scenario in scenarios.values():
        scenario.start()
    yield scenarios
    for scenario in scenarios.values():
        scenario.clean()


@pytest.mark.parametrize(
    ("key", "number"),
    [
        pytest.param("triggerer-term", signal.SIGTERM, marks=pytest.mark.slow),
        ("triggerer-kill", signal.SIGKILL),
    ],
)
def test_a_dead_triggerer_leaves_the_application_alone(
    started: dict[str, Scenario], airflow: AirflowProcesses, key: str, number: signal.Signals
) -> None:
    """Neither the task nor (when it was killed) a sensor that has begun in the triggerer notices that it was away."""
    scenario = started[key]
    app = scenario.wait_running()
    sensors = [Scenario(airflow, scenario.knit, scenario.folder, "sensors", task_id="deferred")]
    sensors = sensors if number is signal.SIGKILL else []
    for sensor in sensors:
        sensor.start(application=app.id).wait("deferred")
    scenario.wait("deferred")
    airflow.signal_part("triggerer", number)
    airflow.age("triggerer")
    assert scenario.wait_running().id == app.id
    airflow.start_part("triggerer")
    scenario.let_go()
    scenario.wait("success")
    assert [each.id for each in scenario.applications()] == [app.id]
    assert str(scenario.applications()[0].outcome) == "SUCCEEDED"
    assert scenario.xcom("application_id") == app.id
    assert "hello from main_0" in scenario.log()
    for sensor in sensors:
        assert not sensor.wait("success")["pid"], "no worker ever ran it"
        assert sensor.xcom()["application_id"] == app.id and sensor.xcom()["outcome"] == "SUCCEEDED"


@pytest.mark.parametrize("key", ["worker-kill"])
def test_retry_after_the_workers_death_attaches(started: dict[str, Scenario], key: str) -> None:
    scenario = started[key]
    app = scenario.wait_running()
    os.kill(scenario.task_process(), signal.SIGKILL)
    scenario.wait("running", tries=2)
    wait_for("the second try to attach", lambda: app.id in scenario.log(2), SOON)
    scenario.let_go()
    scenario.wait("success", tries=2)
    assert [each.id for each in scenario.applications()] == [app.id]
    assert "hello from main_0" in scenario.log(1) + scenario.log(2), (
        "a retry goes on behind what the first try has written"
    )


@pytest.mark.parametrize(
    ("key", "state"), [pytest.param("mark-blocking", "running", marks=pytest.mark.slow), ("mark-deferred", "deferred")]
)
def test_marked_failed_ends_the_application(started: dict[str, Scenario], key: str, state: str) -> None:
    scenario = started[key]
    app = scenario.wait_running()
    scenario.wait(state)
    wait_for(
        "the link while it runs",
        lambda: scenario.client.links(scenario.dag_id, scenario.run_id, "run").get("YARN application"),
        SOON,
    )
    assert scenario.client.links(scenario.dag_id, scenario.run_id, "run")["YARN application"] == app.page
    scenario.mark("failed")
    scenario.wait_outcome(app.id, "KILLED")
    scenario.wait("failed")
    assert len(scenario.applications()) == 1


@pytest.mark.parametrize("key", ["failing-blocking", pytest.param("failing-deferred", marks=pytest.mark.slow)])
def test_failure_names_exit_code_container_host_and_stderr(started: dict[str, Scenario], key: str) -> None:
    scenario = started[key]
    app = scenario.wait_running()
    scenario.let_go()
    scenario.wait("failed")
    log = scenario.log()
    container = scenario.knit.attach(app.id).containers()[0]
    for expected in (app.id, "main_0", container.yarn, container.host, "exited with 3", "| going"):
        assert expected in log, f"{expected!r} not in:\n{log}"


@pytest.mark.slow
@pytest.mark.parametrize("key", ["clear-success"])
def test_clear_after_success_launches_anew(started: dict[str, Scenario], key: str) -> None:
    scenario = started[key]
    first = scenario.wait_running()
    scenario.let_go()
    scenario.wait("success")
    scenario.wait_workers(1)
    scenario.clear()
    scenario.wait("success", tries=2)
    second = scenario.applications()[-1]
    assert [each.id for each in scenario.applications()] == [first.id, second.id]
    assert second.id != first.id
    assert scenario.xcom("application_id") == second.id


@pytest.mark.parametrize("key", ["clear-deferred"])
def test_clear_while_deferred_replaces_the_application(started: dict[str, Scenario], key: str) -> None:
    scenario = started[key]
    first = scenario.wait_running()
    scenario.wait("deferred")
    scenario.wait_workers(1)
    scenario.clear()
    scenario.wait_outcome(first.id, "KILLED")
    second = scenario.wait_running(2)
    scenario.let_go()
    scenario.wait("success", tries=2)
    assert [each.id for each in scenario.applications()] == [first.id, second.id]
    assert str(scenario.applications()[1].outcome) == "SUCCEEDED"


@pytest.mark.slow
def test_execution_timeout_ends_the_application(airflow: AirflowProcesses, knit: Knit, tmp_path: Path) -> None:
    """Started when nothing else is: in a crowd the time could be over before anything was launched."""
    modes = ("blocking", "deferred")
    scenarios = [Scenario(airflow, knit, tmp_path, f"{mode}_timeout").start() for mode in modes]
    for scenario, app in [(scenario, scenario.wait_running()) for scenario in scenarios]:
        scenario.wait("failed")
        scenario.wait_outcome(app.id, "KILLED")
        assert [each.id for each in scenario.applications()] == [app.id]
        assert "execution_timeout" in scenario.log()


@pytest.mark.slow
@pytest.mark.parametrize("key", ["retry-blocking", "retry-deferred"])
def test_retry_after_a_failed_application_launches_anew(started: dict[str, Scenario], key: str) -> None:
    scenario = started[key]
    scenario.let_go()
    scenario.wait("failed", tries=2)
    outcomes = [str(each.outcome) for each in scenario.applications()]
    assert outcomes == ["FAILED", "FAILED"]


def test_an_unknown_queue_fails_without_retries(airflow: AirflowProcesses, knit: Knit, tmp_path: Path) -> None:
    scenario = Scenario(airflow, knit, tmp_path, "blocking_once").start(queue="nope")
    scenario.wait("failed")
    assert "nope" in scenario.log() and "KnitRefused" in scenario.log()
    assert scenario.applications() == []


@pytest.mark.parametrize("mode", [pytest.param("poke", marks=pytest.mark.slow), "deferred"])
def test_sensor_is_red_at_once_on_a_failed_application(
    airflow: AirflowProcesses, knit: Knit, tmp_path: Path, mode: str
) -> None:
    app = knit.submit("sleep 3; exit 5", memory=64, name=f"sensed-{mode}")
    scenario = Scenario(airflow, knit, tmp_path, "sensors", task_id=mode).start(application=app.id)
    ended = scenario.wait("failed")
    assert ended["try_number"] == 1, "an application that has ended stays so: no retries"
    assert "exited with 5" in scenario.log()


def reaped(airflow: AirflowProcesses) -> set[str]:
    """Ids of what `knit airflow reap` ends."""
    command = [str(Path(sys.executable).parent / "knit"), "airflow", "reap", "--age", "0", "--json", "--end"]
    done = subprocess.run(command, env=airflow.environment, capture_output=True, text=True, check=False, timeout=180)
    assert done.returncode == 0, done.stderr
    return {each["id"] for each in json.loads(done.stdout)}


@pytest.mark.slow
def test_the_reaper_ends_what_belongs_to_no_task_and_nothing_else(
    airflow: AirflowProcesses, knit: Knit, flags: Path
) -> None:
    """Nothing but the reaper can end the application of a task whose process was killed and that has no retry."""
    scenario = Scenario(airflow, knit, flags, "deferred_once").start()
    lost = Scenario(airflow, knit, flags, "blocking_once").start()
    name = f"reaped-{uuid.uuid4().hex[:8]}"
    orphan = knit.submit("sleep 300", memory=64, name=name, tags=[tag_of("bed", "gone", "r", "t", -1)])
    others = knit.submit("sleep 300", memory=64, name=name, tags=[tag_of("other", "gone", "r", "t", -1)])
    app, left = scenario.wait_running(), lost.wait_running()
    assert tag_of("bed", scenario.dag_id, scenario.run_id, "run", -1) in app.tags
    lost.wait("running")
    os.kill(lost.task_process(), signal.SIGKILL)
    lost.wait("failed")
    assert lost.applications()[0].state is State.RUNNING

    found = reaped(airflow)
    assert {orphan.id, left.id} <= found and not {app.id, others.id} & found
    scenario.wait_outcome(orphan.id, "KILLED")
    scenario.wait_outcome(left.id, "KILLED")
    assert not others.report().ended
    others.kill(grace=0)
    scenario.let_go()
    scenario.wait("success")


@pytest.mark.slow
def test_the_reaper_ends_what_was_marked_while_no_triggerer_ran(
    airflow: AirflowProcesses, knit: Knit, flags: Path
) -> None:
    scenario = Scenario(airflow, knit, flags, "deferred_once").start()
    app = scenario.wait_running()
    scenario.wait("deferred")
    airflow.signal_part("triggerer", signal.SIGTERM)
    try:
        scenario.mark("failed")
        scenario.wait("failed")
    finally:
        airflow.start_part("triggerer")
    assert scenario.wait_running().id == app.id
    assert app.id in reaped(airflow)
    scenario.wait_outcome(app.id, "KILLED")


def test_connection_button(airflow: AirflowProcesses, cluster: LocalCluster) -> None:
    fields = {"connection_id": "x", "conn_type": "knit", "login": "alice"}
    worked, message = airflow.client.test_connection(**fields, host=cluster.resourcemanager_url)
    assert worked, message
    assert "ResourceManager" in message and "HDFS" in message and "alice" in message
    worked, message = airflow.client.test_connection(**fields, host="http://127.0.0.1:9")
    assert not worked
    assert "127.0.0.1:9" in message
