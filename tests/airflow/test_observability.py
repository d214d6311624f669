"""Metrics and spans of a task's application, as a real Airflow sends them: the same in both modes."""

from __future__ import annotations

import pytest

from tests.airflow.bench import wanted
from tests.observability_harness import Observers
from tools.airflow_client import wait_for
from tools.airflow_processes import AirflowProcesses

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(600)]
PHASES = ("wait", "start", "run")
SOON = 180


@pytest.fixture(scope="module")
def runs(airflow: AirflowProcesses, request: pytest.FixtureRequest) -> dict[str, tuple[str, str]]:
    """DAG and run of a success in each mode that this run wants, and of a failure, side by side."""

    def start(dag: str, command: str, queue: str = "") -> tuple[str, str]:
        airflow.client.wait_parsed(dag)
        return dag, airflow.client.trigger(dag, {"command": command, "name": f"observed-{dag}", "queue": queue})

    modes = sorted({"blocking", "deferred"} & wanted(request, "mode"))
    return {
        **{mode: start(f"{mode}_once", "sleep 2", "science") for mode in modes},
        "failure": start("blocking_once", "exit 3"),
    }


@pytest.mark.parametrize("mode", [pytest.param("blocking", marks=pytest.mark.slow), "deferred"])
def test_a_tasks_application_in_metrics_and_spans(
    airflow: AirflowProcesses, observers: Observers, runs: dict[str, tuple[str, str]], mode: str
) -> None:
    airflow.client.wait_task(*runs[mode], "run", "success", SOON)
    app_id = airflow.client.xcom(*runs[mode], "run", "application_id")

    spans = wait_for(
        "all spans",
        lambda: found if len(found := observers.of(app_id)) == 4 else None,
        SOON,
        seen=lambda: observers.of(app_id),
    )
    assert set(spans) == {"knit.submit", *(f"knit.{phase}" for phase in PHASES)}
    assert spans["knit.run"].ended - spans["knit.run"].began >= 2e9
    assert spans["knit.wait"].began <= spans["knit.start"].began <= spans["knit.run"].began
    assert spans["knit.wait"].events == ["ApplicationMaster started"]
    assert spans["knit.run"].events == ["main_0 started", "main_0 SUCCEEDED"]
    assert spans["knit.run"].attributes["knit.queue"] == "root.science" and not spans["knit.run"].failed
    # one trace, and one parent: the task instance's, in whichever process the span was made
    assert len({(each.trace, each.parent) for each in spans.values()}) == 1
    own = wait_for(
        "the task's own span", lambda: [e for e in observers.spans if e.id == spans["knit.run"].parent], SOON
    )
    assert own[0].name == "task_run.run" and own[0].attributes["airflow.dag_run.run_id"] == runs[mode][1]

    length = (spans["knit.run"].ended - spans["knit.run"].began) / 1e6
    tags = {"queue": "science", "outcome": "SUCCEEDED"}
    wait_for(
        "its run time",
        lambda: any(abs(each - length) < 1 for each in observers.metric("knit.run.duration", **tags)),
        30,
    )
    for name in ("wait.duration", "start.duration", "memory_mib_seconds", "vcore_seconds", "ended"):
        assert observers.metric(f"knit.{name}", **tags), name
    assert observers.metric("knit.submitted", queue="science") and observers.metric("knit.submit.duration")
    if mode == "deferred":
        assert observers.metric("knit.poll.requests", connection="knit_default", list="applications")
        assert observers.metric("knit.poll.applications", connection="knit_default", list="applications")


def test_a_failure_is_counted_and_marked(
    airflow: AirflowProcesses, observers: Observers, runs: dict[str, tuple[str, str]]
) -> None:
    airflow.client.wait_task(*runs["failure"], "run", "failed", SOON)
    app_id = airflow.client.xcom(*runs["failure"], "run", "application_id")
    wait_for("its last span", lambda: "knit.run" in observers.of(app_id), SOON)
    last = observers.of(app_id)["knit.run"]
    assert last.failed and last.attributes["knit.exit_code"] == 3
    wait_for("its failure counted", lambda: observers.metric("knit.failed", kind="program"), SOON)
