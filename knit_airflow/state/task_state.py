"""What Airflow's database says about a task whose process was told to stop. A plain value."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TaskState:
    """What Airflow's database says about the task of a process that was told to stop.

    Attributes:
        state: the task instance's state; None: it waits to be scheduled.
        same_run: the task instance is there, and its DAG run is the one that the process was started for.
        mine: no newer try has taken its place.
    """

    state: str | None = None
    same_run: bool = True
    mine: bool = True
