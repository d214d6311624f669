"""Two Airflows with one HDFS user and the same DAG, run and task ids; an Airflow whose database is away for a minute."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from knit_core import Knit, State
from tests.airflow.bench import SOON, Scenario
from tests.airflow.test_process_faults import locked
from tests.airflow_harness import SCENARIOS, connection
from tools.airflow_client import wait_for
from tools.airflow_processes import PARTS, AirflowProcesses

if TYPE_CHECKING:
    from knit_core.local import LocalCluster

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(600)]


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # those of Airflow's own server, which runs in this process
@pytest.mark.parametrize("mode", ["blocking", "deferred"])
def test_the_result_of_another_deployments_task_is_not_ours(
    airflow: AirflowProcesses, alice: Knit, flags: Path, dag_test: Callable[..., Any], mode: str
) -> None:
    """The same DAG, run and task in this process, with its own database, and then in the real Airflow."""
    ours = Scenario(airflow, alice, flags, f"{mode}_once")
    ours.let_go()
    theirs = dag_test(_dag(ours.dag_id), {"command": f"echo {ours.name}", "name": ours.name})
    assert theirs.state == "success"
    first = ours.applications()
    assert [str(each.outcome) for each in first] == ["SUCCEEDED"]
    ours.start(run_id=theirs.run_id)
    ours.wait("success")
    both = ours.applications()
    assert len(both) == 2 and both[0].id == first[0].id
    assert ours.xcom("application_id") == both[1].id


def _dag(dag_id: str) -> Any:
    """A DAG of the file that the real Airflow has, too."""
    from airflow.dag_processing.dagbag import DagBag

    return DagBag(SCENARIOS / "scenarios.py").dags[dag_id]


@pytest.fixture(scope="module")
def second(cluster: LocalCluster) -> Iterator[AirflowProcesses]:
    """Another Airflow, with Airflow's own patience: 5 s for a lock, 300 s for a heartbeat."""
    with tempfile.TemporaryDirectory(prefix="knit-second-airflow-") as folder:
        dags, home = Path(folder) / "dags", Path(folder) / "home"
        shutil.copytree(SCENARIOS, dags, ignore=shutil.ignore_patterns("__pycache__"))
        variables = {
            "AIRFLOW_CONN_KNIT_DEFAULT": connection(cluster),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db?timeout=5",
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "300",
            "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "5",
        }
        bed = AirflowProcesses(home, dags, quick=True, variables=variables)
        try:
            bed.start()
            yield bed
        finally:
            bed.stop()


def healthy_again(airflow: AirflowProcesses) -> bool:
    """Starts what is dead."""
    for part in PARTS:
        if not airflow.lives(part):
            airflow.start_part(part)
    health = airflow.client.health()
    wanted = ("metadatabase", "scheduler", "triggerer", "dag_processor")
    return all((health.get(key) or {}).get("status") == "healthy" for key in wanted)


@pytest.mark.slow
@pytest.mark.timeout(800)
def test_two_deployments_at_once(airflow: AirflowProcesses, second: AirflowProcesses, alice: Knit, flags: Path) -> None:
    """What is done to the one's task happens to its own application only."""
    for mode, state in (("blocking", "running"), ("deferred", "deferred")):
        ours = Scenario(airflow, alice, flags, f"{mode}_once").start(run_id="the-same")
        first = ours.wait_running()
        theirs = Scenario(second, alice, flags, ours.dag_id, name=ours.name).start(run_id="the-same")
        other = theirs.wait_running(2)
        for scenario, app in ((ours, first), (theirs, other)):
            scenario.wait(state)
            assert scenario.xcom("application_id") == app.id
        ours.mark("failed")
        ours.wait_outcome(first.id, "KILLED")
        assert theirs.applications()[1].state is State.RUNNING
        theirs.let_go()
        theirs.wait("success")
        assert [str(each.outcome) for each in theirs.applications()] == ["KILLED", "SUCCEEDED"]


@pytest.mark.slow
@pytest.mark.timeout(800)
def test_the_database_is_away_for_a_minute(second: AirflowProcesses, alice: Knit, flags: Path) -> None:
    """Whatever dies of it is started again, as a service manager does; tasks go on, in this try or the next."""
    scenarios = [Scenario(second, alice, flags, f"patient_{mode}").start() for mode in ("blocking", "deferred")]
    apps = [scenario.wait_running().id for scenario in scenarios]
    for scenario, state in zip(scenarios, ("running", "deferred"), strict=True):
        scenario.wait(state)
    with locked(second.database):
        time.sleep(30)
        for scenario in scenarios:
            scenario.let_go()  # they end while nobody can take it down
        time.sleep(35)
    wait_for("Airflow to serve again", lambda: healthy_again(second), 2 * SOON, poll=2)
    for scenario, app_id in zip(scenarios, apps, strict=True):
        scenario.wait("success")
        assert [(each.id, str(each.outcome)) for each in scenario.applications()] == [(app_id, "SUCCEEDED")]
        assert scenario.xcom("application_id") == app_id
