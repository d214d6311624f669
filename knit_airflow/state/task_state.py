"""The state of a task in Airflow's database. A plain value."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TaskState:
    """The state in Airflow's database of the task for which this process was started.

    Attributes:
        state: the task instance's state; None: it waits to be scheduled.
        same_run: the task instance exists, and its DAG run is the one that the process was started for.
        newest: the process runs the newest try.
    """

    state: str | None = None
    same_run: bool = True
    newest: bool = True
