"""Whether an application goes on when its task's process ends before it.

Airflow sends the same SIGTERM for very different reasons. A person has marked or cleared the task, or ended or deleted
its DAG run: the application ends with it. Or the worker is drained, the api-server did not answer its heartbeats, a
scheduler that came back gave the task to another worker: nobody wants the application gone, and the next try attaches
to it. Only what Airflow knows of the task tells them apart.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

#: Seconds in which Airflow has to answer where nobody else would end the application: SIGKILL follows SIGTERM after five.
PATIENCE = 3.0
#: … and where the next try takes it up. Without an api-server the supervisor tries for long to pass the question on, and
#: sends no SIGKILL meanwhile.
LONG_PATIENCE = 60.0
#: States that a task is in after a person, or the end of its DAG run, has stopped it.
STOPPED = frozenset({"success", "failed", "skipped", "upstream_failed", "removed", "restarting"})


@dataclass(frozen=True)
class Standing:
    """What Airflow's database says about the task of a process that was told to stop.

    Attributes:
        state: the task instance's state; None: it waits to be scheduled.
        same_run: the task instance is there, and its DAG run is the one that the process was started for.
        mine: no newer try has taken its place.
    """

    state: str | None = None
    same_run: bool = True
    mine: bool = True


def goes_on(standing: Standing | None, retry_follows: bool) -> bool:
    """Whether the application is left to the task's next try. Pure.

    Parameters:
        standing: None: Airflow could not be asked, so nobody can have marked or cleared anything just now.
        retry_follows: Airflow starts another try when this one fails.
    """
    if standing is None:
        return retry_follows
    if not standing.same_run or standing.state in STOPPED:
        return False
    if not standing.mine or standing.state != "running":
        return True  # the next try is there already, or on its way
    return retry_follows


def is_left(context: Any) -> bool:
    """The same, Airflow being asked about the task of this context. Blocks."""
    from knit_airflow import compat

    if context is None:
        return False
    answers: list[Standing | None] = []

    def ask() -> None:
        try:
            answers.append(compat.standing(context))
        except Exception:  # the api-server, or the supervisor, is out of reach
            answers.append(None)

    retry_follows = compat.will_retry(context["ti"])
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(LONG_PATIENCE if retry_follows else PATIENCE)
    return goes_on(answers[0] if answers else None, retry_follows)
