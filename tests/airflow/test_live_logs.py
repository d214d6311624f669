"""Container logs and links of tasks that run: real Airflow processes, real YARN."""

from __future__ import annotations

import os
import re
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from knit_airflow.logs.worker import NOTE
from knit_core import Knit
from tests.airflow.bench import SOON, Scenario, wanted
from tools.airflow_client import wait_for
from tools.airflow_processes import AirflowProcesses

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(300)]

SECRET = "swordfish-4711"
FLOOD = 200_000
#: Says a line, and another one each time that somebody wants it; at last it ends.
STEPS = (
    "echo one of $KNIT_APP_ID; echo password $SECRET >&2; until [ -e {flag}.two ]; do sleep 0.2; done; "
    "echo two; until [ -e {flag} ]; do sleep 0.2; done; printf three; exit {code}"
)
FLOODING = "seq -f 'flood %.0f' 1 {count}; until [ -e {flag} ]; do sleep 0.2; done; echo the end"

#: Those that this run wants are started before its first test, so that their launches overlap.
SCENARIOS = {
    "deferred": ("logs_deferred", 0, STEPS),
    "flood": ("logs_deferred", 0, FLOODING),
    "retry": ("logs_deferred", 3, STEPS),
    "blocking": ("logs_blocking", 0, STEPS),
    "kill": ("logs_deferred", 0, STEPS),
}


@pytest.fixture(scope="module")
def knit(alice: Knit) -> Knit:
    return alice


@pytest.fixture(scope="module")
def started(
    airflow: AirflowProcesses, knit: Knit, flags: Path, request: pytest.FixtureRequest
) -> Iterator[dict[str, Scenario]]:
    airflow.client.wait_parsed("logs_deferred")
    chosen = wanted(request)
    chosen |= {"deferred"} if "flood" in chosen else set()
    scenarios = {
        key: Scenario(airflow, knit, flags, dag, code) for key, (dag, code, _) in SCENARIOS.items() if key in chosen
    }
    for key, each in scenarios.items():
        each.start(command=SCENARIOS[key][2].format(flag=each.flag, code=each.exit_code, count=FLOOD))
    if "retry" in scenarios:
        second(scenarios["retry"])
        scenarios["retry"].let_go()
    yield scenarios
    for each in scenarios.values():
        each.clean()


def second(scenario: Scenario) -> None:
    """Let the program say its second line."""
    scenario.flag.with_name(f"{scenario.flag.name}.two").touch()


def lines(scenario: Scenario, attempt: int = 1) -> Counter[str]:
    """What containers have said in a try's log, and how often."""
    said = re.findall(r"^\d+(?:#\d+)? \S+ \| (.*)$", scenario.log(attempt), re.MULTILINE)
    return Counter(re.sub(r"application_\S+", "it", line) for line in said)


def wait_line(scenario: Scenario, line: str, attempt: int = 1) -> None:
    """Wait until the task's log has a line."""
    wait_for(f"the line {line!r}", lambda: lines(scenario, attempt)[line], SOON, 0.5, lambda: scenario.log(attempt))


def links(scenario: Scenario, attempt: int) -> dict[str, str | None]:
    """The buttons of one try."""
    path = f"/dags/{scenario.dag_id}/dagRuns/{quote(scenario.run_id)}/taskInstances/run/links"
    found: dict[str, str | None] = scenario.client.call("GET", path, params={"try_number": attempt})["extra_links"]
    return found


EACH_ONCE = Counter({"one of it": 1, "password ***": 1, "two": 1, "three": 1})


@pytest.mark.parametrize("key", ["deferred"])
def test_a_deferred_task_shows_lines_while_it_is_deferred_and_each_once(started: dict[str, Scenario], key: str) -> None:
    scenario = started[key]
    app = scenario.wait_running()
    wait_line(scenario, "one of it")
    wait_line(scenario, "password ***")
    assert SECRET not in scenario.log()
    found = links(scenario, 1)
    assert found["YARN application"] == app.page
    assert app.id in str(found["Application page"])
    assert app.id in str(found["Container logs"])
    second(scenario)
    wait_line(scenario, "two")
    assert scenario.client.task(scenario.dag_id, scenario.run_id, "run")["state"] == "deferred"
    scenario.let_go()
    scenario.wait("success")
    assert lines(scenario) == EACH_ONCE
    assert SECRET not in scenario.log()


@pytest.mark.slow
@pytest.mark.parametrize("key", ["flood"])
def test_a_flood_is_bounded_while_other_tasks_go_on(started: dict[str, Scenario], key: str) -> None:
    scenario = started[key]
    scenario.wait_running()
    wait_line(scenario, "flood 1")
    beside = started["deferred"]
    second(beside)
    beside.let_go()
    assert beside.wait("success"), "it was waited for and resumed beside the flood"
    wait_for("the flood followed no more", lambda: "followed here" in scenario.log(), SOON)
    before = sum(lines(scenario).values())
    assert before < 5_000
    scenario.let_go()
    scenario.wait("success")
    log = scenario.log()
    said = lines(scenario)
    assert {said["flood 1"], said[f"flood {FLOOD}"], said["the end"]} == {1}
    assert max(said.values()) == 1, said.most_common(3)
    assert before < sum(said.values()) < FLOOD // 10
    assert "left out here" in log and "::group::" in log and "knit logs application_" in log
    numbers = [int(line.split()[1]) for line in said if line.startswith("flood ")]
    hole = sum(b - a > 1 for a, b in zip(sorted(numbers), sorted(numbers)[1:], strict=False))
    assert hole == 1, "a beginning and an end, each without a hole"


@pytest.mark.slow
@pytest.mark.parametrize("key", ["retry"])
def test_links_and_lines_of_each_try_stay(started: dict[str, Scenario], key: str) -> None:
    scenario = started[key]
    scenario.wait("failed", tries=2)
    apps = [each.id for each in scenario.applications()]
    assert len(apps) == 2
    for attempt, app in enumerate(apps, 1):
        found = links(scenario, attempt)
        assert str(found["YARN application"]).endswith(f"/cluster/app/{app}"), found
        assert app in str(found["Application page"]) and app in str(found["Container logs"])
        assert lines(scenario, attempt) == EACH_ONCE
        assert f"one of {app}" in scenario.log(attempt)
    scenario.clear()
    third = wait_for("a third application", lambda: (scenario.applications()[2:] or [None])[0], SOON)
    wait_for("its link", lambda: third.id in str(links(scenario, 3)["YARN application"]), SOON)
    assert [str(links(scenario, attempt)["YARN application"])[-len(third.id) :] for attempt in (1, 2)] == apps


@pytest.mark.parametrize("key", ["blocking"])
def test_a_retry_that_attaches_goes_on_where_the_log_of_the_first_try_ends(
    started: dict[str, Scenario], key: str
) -> None:
    scenario = started[key]
    app = scenario.wait_running()
    wait_line(scenario, "one of it")
    wait_line(scenario, "password ***")
    wait_noted(scenario, app.id, 2)
    os.kill(scenario.task_process(), signal.SIGKILL)
    second(scenario)
    scenario.wait("running", tries=2)
    wait_line(scenario, "two", 2)
    scenario.let_go()
    scenario.wait("success", tries=2)
    assert lines(scenario, 1) + lines(scenario, 2) == EACH_ONCE
    assert lines(scenario, 2) == Counter({"two": 1, "three": 1})
    assert "earlier try" in scenario.log(2)


@pytest.mark.slow
@pytest.mark.parametrize("key", ["kill"])
def test_a_killed_triggerer_repeats_nothing_that_was_noted(
    started: dict[str, Scenario], airflow: AirflowProcesses, key: str
) -> None:
    scenario = started[key]
    app = scenario.wait_running()
    wait_line(scenario, "one of it")
    wait_noted(scenario, app.id, 2)
    airflow.signal_part("triggerer", signal.SIGKILL)
    airflow.age("triggerer")
    second(scenario)
    airflow.start_part("triggerer")
    wait_line(scenario, "two")
    assert scenario.client.task(scenario.dag_id, scenario.run_id, "run")["state"] == "deferred"
    scenario.let_go()
    scenario.wait("success")
    assert lines(scenario) == EACH_ONCE
    assert "of an earlier triggerer" in scenario.log()


def wait_noted(scenario: Scenario, app_id: str, logs: int) -> None:
    """Wait until it lies beside the application how far so many logs are."""
    app = scenario.knit.attach(app_id)
    wait_for("a note", lambda: len((app.read_note(NOTE) or {}).get("offsets", {})) >= logs, SOON)
