"""Decides whether an application keeps running when the process of its task ends first.

Airflow sends the same SIGTERM for different reasons. A user has marked or cleared the task, or ended or deleted its DAG run:
the application is killed. Or the worker is drained, the api-server did not answer its heartbeats, a restarted scheduler gave
the task to another worker: the application keeps running, and the next try attaches to it. Only the task's state in Airflow's
database distinguishes the two.
"""

from __future__ import annotations

import threading
from typing import Any

from knit_airflow import version_compat
from knit_airflow.state.task_state import TaskState

#: Seconds for Airflow's answer when no retry follows: SIGKILL follows SIGTERM after five.
ANSWER_TIMEOUT = 3.0
#: The same when a retry follows. Without an api-server the supervisor retries the question for long, and sends no SIGKILL
#: meanwhile.
RETRY_ANSWER_TIMEOUT = 60.0
#: States of a task that a user, or the end of its DAG run, has stopped.
STOPPED = frozenset({"success", "failed", "skipped", "upstream_failed", "removed", "restarting"})


def keeps_running(state: TaskState | None, retry_follows: bool) -> bool:
    """Whether the application is left to the task's next try. Pure.

    Parameters:
        state: None: Airflow did not answer, so that no user can have marked or cleared the task just now.
        retry_follows: Airflow starts another try when this one fails.
    """
    if state is None:
        return retry_follows
    if not state.same_run or state.state in STOPPED:
        return False
    if not state.newest or state.state != "running":
        return True  # the next try has started or is scheduled
    return retry_follows


def ask_keeps_running(context: Any) -> bool:
    """`keeps_running` for the task of this context; asks Airflow for its state. Blocks."""
    if context is None:
        return False
    answers: list[TaskState | None] = []

    def ask() -> None:
        try:
            answers.append(version_compat.read_task_state(context))
        except Exception:  # the api-server or the supervisor is unreachable
            answers.append(None)

    retry_follows = version_compat.will_retry(context["ti"])
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(RETRY_ANSWER_TIMEOUT if retry_follows else ANSWER_TIMEOUT)
    return keeps_running(answers[0] if answers else None, retry_follows)
