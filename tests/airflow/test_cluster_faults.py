"""The ResourceManager dies, comes back, or hangs, while tasks wait in both modes: a cluster of its own, recovery on."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from knit_core import Knit
from knit_core.local import LocalCluster
from tests.airflow.bench import Scenario
from tools.airflow_processes import AirflowProcesses

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(600)]
CONNECTION = "knit_recovering"


@pytest.fixture(scope="module")
def own(airflow: AirflowProcesses) -> Iterator[LocalCluster]:
    """A cluster whose ResourceManager keeps its state; Airflow has a connection to it."""
    with tempfile.TemporaryDirectory(prefix="knit-away-") as folder:
        cluster = LocalCluster(Path(folder) / "state")
        try:
            cluster.up(recovery=True)
            cluster.add_user("alice")
            address = cluster.resourcemanager_url
            airflow.client.add_connection(CONNECTION, conn_type="knit", host=address, login="alice")
            yield cluster
        finally:
            cluster.down(delete=True)


@pytest.fixture(scope="module")
def there(own: LocalCluster) -> Iterator[Knit]:
    with Knit(own.resourcemanager_url, user="alice") as client:
        yield client


def waiting(airflow: AirflowProcesses, knit: Knit, flags: Path) -> list[tuple[Scenario, str]]:
    """A blocking and a deferred task without retries, and the id of each one's application, which runs."""
    airflow.client.wait_parsed("elsewhere_deferred")
    states = {"blocking": "running", "deferred": "deferred"}
    scenarios = [Scenario(airflow, knit, flags, f"elsewhere_{mode}").start(conn=CONNECTION) for mode in states]
    ids = [scenario.wait_running().id for scenario in scenarios]
    for scenario, state in zip(scenarios, states.values(), strict=True):
        scenario.wait(state)
    return list(zip(scenarios, ids, strict=True))


def check_undisturbed(tasks: list[tuple[Scenario, str]]) -> None:
    for scenario, app_id in tasks:
        assert scenario.wait("success")["try_number"] == 1
        assert [(each.id, str(each.outcome)) for each in scenario.applications()] == [(app_id, "SUCCEEDED")]
        assert scenario.xcom("application_id") == app_id


@pytest.mark.slow
def test_the_resourcemanager_is_killed_and_started_again(
    own: LocalCluster, there: Knit, airflow: AirflowProcesses, flags: Path
) -> None:
    """No task fails, not even one try of it, and the application is the same."""
    tasks = waiting(airflow, there, flags)
    own.kill("resourcemanager")
    time.sleep(8)  # the outage itself
    own.up(recovery=True)
    for scenario, app_id in tasks:
        assert scenario.wait_running().id == app_id
        assert scenario.client.task(scenario.dag_id, scenario.run_id, "run")["try_number"] == 1
        scenario.let_go()
    check_undisturbed(tasks)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_resourcemanager_hangs_for_minutes(
    own: LocalCluster, there: Knit, airflow: AirflowProcesses, flags: Path
) -> None:
    """Connections are accepted and nothing answers; the programs end meanwhile."""
    tasks = waiting(airflow, there, flags)
    late = Scenario(airflow, there, flags, "dying_blocking")  # an ordinary one with a retry: it dies at no point
    pid = next(daemon.pid for daemon in own.status().daemons if daemon.name == "resourcemanager")
    assert pid
    os.kill(pid, signal.SIGSTOP)
    try:
        late.start(conn=CONNECTION, die_at="")
        time.sleep(60)
        for scenario, _ in tasks:
            scenario.let_go()
        time.sleep(90)
    finally:
        os.kill(pid, signal.SIGCONT)
    check_undisturbed(tasks)
    # A launch gives up sooner than a wait; its two tries are used up, and nothing of it is on the cluster.
    late.wait("failed")
    assert late.applications() == []
    late.clear()
    late.let_go()
    late.wait("success", tries=3)
    assert len(late.applications()) == 1
