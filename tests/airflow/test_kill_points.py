"""kill -9 of the task's process at every step of its life: the next try goes on where it stood, with one application."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from knit_core import Knit
from tests.airflow.bench import Scenario
from tools.airflow_processes import AirflowProcesses

pytestmark = [pytest.mark.airflow, pytest.mark.race, pytest.mark.timeout(600)]

#: Steps of the operator and of the launcher (tests/airflow/dags/faults.py); the latter are killed before.
LAUNCHING = ["key", "submission", "claim", "submit", "accepted", "settle", "xcom"]
POINTS = {"blocking": [*LAUNCHING, "waiting", "end"], "deferred": [*LAUNCHING, "deferring", "resuming", "end"]}
#: Up to a deferral both modes are the same code: one in each of them in `make test`. (A process that dies while it waits:
#: tests/airflow/test_faults.py; each step of the launcher, without Airflow: tests/cluster/test_exactly_once.py.)
QUICK = {"blocking": {"submit"}, "deferred": {"deferring"}}
#: These are reached only when the program has ended.
AFTER_THE_PROGRAM = {"resuming", "end"}
CASES = [
    pytest.param(mode, point, marks=[] if point in QUICK[mode] else pytest.mark.slow)
    for mode, points in POINTS.items()
    for point in points
]


@pytest.fixture(scope="module")
def dying(
    airflow: AirflowProcesses, alice: Knit, flags: object, request: pytest.FixtureRequest
) -> Iterator[dict[tuple[str, str], Scenario]]:
    """All cases that this run has, started together."""
    chosen = {
        (item.callspec.params["mode"], item.callspec.params["point"])
        for item in request.session.items
        if item.path == request.path and isinstance(item, pytest.Function) and "point" in item.fixturenames
    }
    airflow.client.wait_parsed("dying_deferred")
    found = {}
    for mode, point in sorted(chosen):
        scenario = Scenario(airflow, alice, flags, f"dying_{mode}")  # type: ignore[arg-type]
        found[mode, point] = scenario.start(die_at=point)
        if point in AFTER_THE_PROGRAM:
            scenario.let_go()
    yield found
    for scenario in found.values():
        scenario.clean()


@pytest.mark.parametrize(("mode", "point"), CASES)
def test_the_next_try_goes_on(dying: dict[tuple[str, str], Scenario], mode: str, point: str) -> None:
    scenario = dying[mode, point]
    scenario.wait("running", "deferred", "success", tries=2)
    app = scenario.wait_launched()
    scenario.let_go()
    scenario.wait("success", tries=2)
    assert [each.id for each in scenario.applications()] == [app.id]
    assert str(scenario.applications()[0].outcome) == "SUCCEEDED"
    assert scenario.xcom("application_id") == app.id
    assert scenario.xcom("exit_codes") == {"main_0": 0}
    assert scenario.client.task(scenario.dag_id, scenario.run_id, "run")["try_number"] == 2
