"""Whether an application goes on when its task's process ends before it.

Airflow sends the same SIGTERM for very different reasons. A person has marked or cleared the task, or ended or deleted
its DAG run: the application ends with it. Or the worker is drained, the api-server did not answer its heartbeats, a
scheduler that came back gave the task to another worker: nobody wants the application gone, and the next try attaches
to it. Only what Airflow knows of the task tells them apart.
"""

from __future__ import annotations

import threading
from typing import Any

from knit_airflow import version_compat
from knit_airflow.state.task_state import TaskState

#: Seconds in which Airflow has to answer where nobody else would end the application: SIGKILL follows SIGTERM after five.
ANSWER_TIMEOUT = 3.0
#: … and where the next try takes it up. Without an api-server the supervisor tries for long to pass the question on, and
#: sends no SIGKILL meanwhile.
RETRY_ANSWER_TIMEOUT = 60.0
#: States that a task is in after a person, or the end of its DAG run, has stopped it.
STOPPED = frozenset({"success", "failed", "skipped", "upstream_failed", "removed", "restarting"})


def goes_on(state: TaskState | None, retry_follows: bool) -> bool:
    """Whether the application is left to the task's next try. Pure.

    Parameters:
        state: None: Airflow could not be asked, so nobody can have marked or cleared anything just now.
        retry_follows: Airflow starts another try when this one fails.
    """
    if state is None:
        return retry_follows
    if not state.same_run or state.state in STOPPED:
        return False
    if not state.mine or state.state != "running":
        return True  # the next try is there already, or on its way
    return retry_follows


def is_left(context: Any) -> bool:
    """The same, Airflow being asked about the task of this context. Blocks."""
    if context is None:
        return False
    answers: list[TaskState | None] = []

    def ask() -> None:
        try:
            answers.append(version_compat.read_task_state(context))
        except Exception:  # the api-server, or the supervisor, is out of reach
            answers.append(None)

    retry_follows = version_compat.will_retry(context["ti"])
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(RETRY_ANSWER_TIMEOUT if retry_follows else ANSWER_TIMEOUT)
    return goes_on(answers[0] if answers else None, retry_follows)
