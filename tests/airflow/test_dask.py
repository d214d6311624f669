"""A Dask cluster that the tasks of a DAG share, under real Airflow on real daemons: one cluster, closed in every case."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from knit_airflow.tags import tag_of
from knit_core import Knit
from tests.airflow.bench import SOON, Scenario
from tests.airflow.test_examples import finished
from tools.airflow_client import wait_for
from tools.airflow_processes import AirflowProcesses

if TYPE_CHECKING:
    from knit_core.local import LocalCluster

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def started(
    airflow: AirflowProcesses,
    cluster: LocalCluster,
    tmp_path_factory: pytest.TempPathFactory,
    request: pytest.FixtureRequest,
) -> Iterator[dict[str, Scenario]]:
    """The runs that this run's tests want, at once; the blocking one's scheduler is held back until its setup was killed."""
    blocking = any(item.name.startswith("test_a_setup_that_was_killed") for item in request.session.items)
    folder = tmp_path_factory.mktemp("flags")
    folder.chmod(0o755)
    airflow.client.wait_parsed("dask_deferred")
    with Knit(cluster.resourcemanager_url, user="alice") as knit:
        found = {}
        for mode, code in (("blocking", "0"), ("deferred", "1")) if blocking else (("deferred", "1"),):
            scenario = Scenario(airflow, knit, folder, f"dask_{mode}", task_id="open_dask")
            hold = folder / f"{scenario.name}.hold"
            if mode == "deferred":
                hold.touch()
            found[mode] = scenario.start(hold=str(hold), flag=str(scenario.flag), code=code)
        yield found
        for scenario in found.values():
            scenario.let_go()  # a task that waits for it would keep the scheduler from ending
            for report in scenario.applications():
                knit.attach(report.id).kill(reason="end of the tests", grace=0)


def of(scenario: Scenario, task_id: str, *states: str, tries: int = 0) -> dict[str, Any]:
    """Wait for a state of one of the run's tasks."""
    return scenario.client.wait_task(scenario.dag_id, scenario.run_id, task_id, states, SOON, tries)


def log(scenario: Scenario, task_id: str) -> str:
    return scenario.client.log(scenario.dag_id, scenario.run_id, task_id, 1)


def xcoms(scenario: Scenario) -> list[dict[str, Any]]:
    """All XComs of the run."""
    path = f"/dags/{scenario.dag_id}/dagRuns/{scenario.run_id}/taskInstances"
    entries = scenario.client.call("GET", f"{path}/~/xcomEntries")["xcom_entries"]
    return [
        {**each, "value": scenario.client.xcom(scenario.dag_id, scenario.run_id, each["task_id"], each["key"])}
        for each in entries
    ]


def closed(scenario: Scenario, app_id: str) -> None:
    """The teardown has run, the application ended well, there was no other, and the run is failed."""
    of(scenario, "close_dask", "success")
    assert [(each.id, str(each.outcome)) for each in scenario.applications()] == [(app_id, "SUCCEEDED")]
    assert scenario.client.xcom(scenario.dag_id, scenario.run_id, "close_dask") == {
        "application_id": app_id,
        "outcome": "SUCCEEDED",
    }
    wait_for("the run failed", lambda: scenario.client.run_state(scenario.dag_id, scenario.run_id) == "failed", SOON)


@pytest.mark.slow
def test_a_setup_that_was_killed_is_tried_again_and_finds_its_cluster(started: dict[str, Scenario]) -> None:
    scenario = started["blocking"]
    app = scenario.wait_running()
    scenario.wait("running")
    os.kill(scenario.task_process(), signal.SIGKILL)
    scenario.wait("running", tries=2)
    (scenario.folder / f"{scenario.name}.hold").touch()
    scenario.wait("success", tries=2)
    assert [each.id for each in scenario.applications()] == [app.id]
    assert scenario.xcom() == {"application_id": app.id, "knit_conn_id": "knit_default"}
    # counted by the reaper as long as the teardown is not over, although the setup is
    assert tag_of("bed", scenario.dag_id, scenario.run_id, "close_dask", -1) in app.tags


def test_it_is_closed_when_a_task_between_fails(started: dict[str, Scenario]) -> None:
    scenario = started["deferred"]
    app = scenario.wait_running()
    scenario.wait("success")
    wait_for("the sum", lambda: "the total is 6" in log(scenario, "work"), SOON)
    links = scenario.client.links(scenario.dag_id, scenario.run_id, "open_dask")
    assert set(links) == {"YARN application", "Application page", "Container logs", "Dask dashboard"}
    assert (links["YARN application"], links["Dask dashboard"]) == (app.page, scenario.xcom("dashboard"))
    scenario.let_go()
    of(scenario, "work", "failed")
    closed(scenario, app.id)
    scenario.client.clear(scenario.dag_id, scenario.run_id, "close_dask")
    of(scenario, "close_dask", "success", tries=2)  # once more does no harm


@pytest.mark.slow
def test_it_is_closed_when_the_run_is_marked_failed(started: dict[str, Scenario]) -> None:
    scenario = started["blocking"]
    app = scenario.wait_running()
    wait_for("the sum", lambda: "the total is 6" in log(scenario, "work"), SOON)
    scenario.client.call("PATCH", f"/dags/{scenario.dag_id}/dagRuns/{scenario.run_id}", json={"state": "failed"})
    closed(scenario, app.id)
    assert of(scenario, "work", "failed")


def test_no_secret_is_in_xcom_or_logs(started: dict[str, Scenario]) -> None:
    """Keys and certificates are PEM; whoever reads Airflow's database or logs finds none."""
    for scenario in started.values():
        found = xcoms(scenario)
        assert {each["key"] for each in found if each["task_id"] == "open_dask"} >= {"return_value", "dashboard"}
        logs = [log(scenario, name) for name in ("open_dask", "work", "close_dask")]
        assert "-----BEGIN" not in json.dumps([found, logs])


@pytest.mark.slow
def test_the_example(airflow: AirflowProcesses) -> None:
    """Two tasks share a cluster in an environment that was built, and it is closed; a script had one of its own."""
    airflow.client.wait_parsed("knit_dask")
    run, client = airflow.client.trigger("knit_dask"), airflow.client
    finished(airflow, {"knit_dask": run}, "knit_dask")
    assert client.xcom("knit_dask", run, "check") is True
    opened = client.xcom("knit_dask", run, "open_dask")["application_id"]
    assert client.xcom("knit_dask", run, "close_dask") == {"application_id": opened, "outcome": "SUCCEEDED"}
    assert client.xcom("knit_dask", run, "script") == sum(n * n for n in range(100))
