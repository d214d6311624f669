"""One task on the real Airflow and the real cluster, with what a test wants to know of it."""

from __future__ import annotations

import json
import re
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from knit_core import ApplicationReport, Knit, State
from tools.airflow_client import AirflowClient, wait_for
from tools.airflow_processes import AirflowProcesses

#: Seconds for one step of a scenario on a busy two-core machine.
SOON = 180.0


def wanted(request: pytest.FixtureRequest, parameter: str = "key") -> set[Any]:
    """The values that a parameter has in the tests of this file that this run has chosen."""
    return {
        item.callspec.params.get(parameter)
        for item in request.session.items
        if item.path == request.path and isinstance(item, pytest.Function) and hasattr(item, "callspec")
    }


@dataclass
class Scenario:
    """A run of one of the DAGs in tests/airflow/dags, its application being known by a name of its own.

    The program echoes its try, waits until `let_go` is called and ends with the exit code that was asked for.
    """

    airflow: AirflowProcesses
    knit: Knit
    folder: Path
    dag_id: str
    exit_code: int = 0
    task_id: str = "run"  # of a mapped task: its id, "/" and the map index
    name: str = field(default_factory=lambda: f"test-{uuid.uuid4().hex[:12]}")
    run_id: str = ""

    @property
    def client(self) -> AirflowClient:
        """The REST API."""
        return self.airflow.client

    @property
    def flag(self) -> Path:
        """The file that the program waits for; its node is this machine."""
        return self.folder / self.name

    def start(self, *, run_id: str | None = None, logical_date: str | None = None, **conf: Any) -> Scenario:
        """Trigger the run; `conf` is for the DAG."""
        command = (
            f"echo hello from $KNIT_CONTAINER; until [ -e {self.flag} ]; do sleep 0.2; done; "
            f"echo going >&2; exit {self.exit_code}"
        )
        given = {"command": command, "name": self.name, **conf}
        self.run_id = self.client.trigger(self.dag_id, given, run_id=run_id, logical_date=logical_date)
        return self

    def let_go(self) -> None:
        """The program may end; every later launch of it, too."""
        self.flag.touch()

    def wait(self, *states: str, tries: int = 0, deadline: float = SOON) -> dict[str, Any]:
        """Wait for a state of the task."""
        return self.client.wait_task(self.dag_id, self.run_id, self.task_id, states, deadline, tries)

    def wait_workers(self, ends: int) -> None:
        """Wait until Airflow has noticed that workers have ended this run's task so many times (a deferral is one).

        It tells tasks apart by run id and try: the late end of a worker fails the task that was cleared, or made anew,
        meanwhile (3.3.2).
        """
        pattern = re.compile(rf"executor event with state (?:success|failed) .*run_id='{re.escape(self.run_id)}'")
        log = self.airflow.log_of("scheduler")
        wait_for(f"{ends} ends of workers", lambda: len(pattern.findall(log.read_text(errors="replace"))) >= ends, SOON)

    def applications(self) -> list[ApplicationReport]:
        """All applications that this scenario ever launched, oldest first."""
        return list(self.knit.list(name=self.name, states=list(State)))

    def wait_running(self, count: int = 1) -> ApplicationReport:
        """Wait until its newest application, number `count`, runs; more than that is an error."""

        def running() -> ApplicationReport | None:
            found = self.applications()
            assert len(found) <= count, [each.id for each in found]
            return found[-1] if len(found) == count and found[-1].state is State.RUNNING else None

        return wait_for(f"{self.dag_id}: application {count} of {self.name} running", running, SOON)

    def wait_launched(self) -> ApplicationReport:
        """Wait until it has an application, in whatever state; more than one is an error."""

        def launched() -> ApplicationReport | None:
            found = self.applications()
            assert len(found) <= 1, [each.id for each in found]
            return found[0] if found else None

        return wait_for(f"{self.dag_id}: an application of {self.name}", launched, SOON)

    def clean(self) -> None:
        """End what it has left on the cluster."""
        for report in self.applications():
            if not report.ended:
                self.knit.attach(report.id).kill(reason="end of the tests", grace=0)

    def wait_outcome(self, app_id: str, outcome: str) -> None:
        """Wait until an application has ended, and check how."""
        report = wait_for(f"{app_id} ended", lambda: _ended(self.knit, app_id), SOON)
        assert str(report.outcome) == outcome, report

    def log(self, attempt: int = 1) -> str:
        """The task's log of one try."""
        return self.client.log(self.dag_id, self.run_id, self.task_id, attempt)

    def xcom(self, key: str = "return_value") -> Any:
        """The task's XCom."""
        return self.client.xcom(self.dag_id, self.run_id, self.task_id, key)

    def clear(self, *, newest: bool = False) -> None:
        """Clear the task; with `newest`, for the DAG as it is now, not as it was when the run began."""
        name, _, index = self.task_id.partition("/")
        self.client.clear(self.dag_id, self.run_id, (name, int(index)) if index else name, newest=newest)

    def delete_run(self) -> None:
        """Delete the run, as soon as it is one that Airflow lets go: not running."""
        self.client.delete_run(self.dag_id, self.run_id)

    def mark(self, state: str) -> None:
        """Mark the task."""
        self.client.mark(self.dag_id, self.run_id, self.task_id, state)

    def task_process(self) -> int:
        """Process id of the task's own process: not its supervisor, whose child it is."""
        pid = self.client.task(self.dag_id, self.run_id, self.task_id)["pid"]
        return int(json.loads(str(pid)))


def _ended(knit: Knit, app_id: str) -> ApplicationReport | None:
    report = knit.attach(app_id).report()
    return report if report.ended else None
