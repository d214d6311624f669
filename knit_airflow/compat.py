"""Every import from Airflow whose place may differ between versions, in one module (written against 3.3)."""

from __future__ import annotations

import socket
from typing import Any

from airflow.sdk import NEVER_EXPIRE, BaseHook, BaseOperator, BaseOperatorLink, BaseSensorOperator, PokeReturnValue
from airflow.sdk.bases.decorator import DecoratedOperator, TaskDecorator, task_decorator_factory
from airflow.sdk.configuration import conf
from airflow.sdk.definitions.context import KNOWN_CONTEXT_KEYS
from airflow.sdk.definitions.retry_policy import RetryDecision, RetryPolicy
from airflow.sdk.exceptions import (
    AirflowException,
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    AirflowTaskTimeout,
    TaskDeferralError,
)
from airflow.sdk.execution_time.lazy_sequence import LazyXComSequence
from airflow.sdk.execution_time.xcom import XCom
from airflow.triggers.base import BaseTrigger, StartTriggerArgs, TaskSuccessEvent, TriggerEvent

from knit_airflow.launches import STORE_KEY
from knit_airflow.stopping import Standing

__all__ = [
    "KNOWN_CONTEXT_KEYS",
    "NEVER_EXPIRE",
    "AirflowException",
    "AirflowFailException",
    "AirflowSensorTimeout",
    "AirflowSkipException",
    "AirflowTaskTimeout",
    "BaseHook",
    "BaseOperator",
    "BaseOperatorLink",
    "BaseSensorOperator",
    "BaseTrigger",
    "DecoratedOperator",
    "LazyXComSequence",
    "PokeReturnValue",
    "RetryDecision",
    "RetryPolicy",
    "StartTriggerArgs",
    "TaskDecorator",
    "TaskDeferralError",
    "TaskSuccessEvent",
    "TriggerEvent",
    "XCom",
    "default_deferrable",
    "deployment",
    "launched_id",
    "push_xcoms",
    "standing",
    "supervisor_gone",
    "task_decorator_factory",
    "task_state",
    "will_retry",
]


def default_deferrable() -> bool:
    """`[operators] default_deferrable`: whether operators defer when the DAG does not say."""
    return bool(conf.getboolean("operators", "default_deferrable", fallback=False))


def will_retry(ti: Any) -> bool:
    """Whether Airflow starts another try by itself when this one fails (its own rule; clears raise `max_tries`)."""
    return bool(ti.max_tries) and ti.try_number <= ti.max_tries


def task_state(ti: Any) -> str | None:
    """The state of a task instance in Airflow's database now; None when it has none (cleared) or is gone. Blocks."""
    return next(iter(_states(ti)), None)


def standing(context: Any) -> Standing:
    """What Airflow's database says about the task that this process was started for. Blocks.

    Raises:
        Exception: Airflow cannot be asked now.
    """
    from airflow.sdk.execution_time import task_runner
    from airflow.sdk.execution_time.comms import GetDagRun

    ti = context["ti"]
    states = _states(ti)
    if not states:
        return Standing(same_run=False)
    run: Any = task_runner.SUPERVISOR_COMMS.send(GetDagRun(dag_id=ti.dag_id, run_id=ti.run_id))
    # A run that was deleted and made again has the id of the other, and began later.
    same = run.start_date == context["dag_run"].start_date
    # Asked by the try's own number: the store does not answer to one whose place another has taken.
    return Standing(states[0], same_run=same, mine=context["task_state_store"].get(STORE_KEY) is not None)


def _states(ti: Any) -> list[str | None]:
    """The task instance's state, as the only one; empty: it is not there."""
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    mapped = ti.map_index is not None and ti.map_index >= 0
    states = RuntimeTaskInstance.get_task_states(
        dag_id=ti.dag_id, task_ids=[ti.task_id], run_ids=[ti.run_id], map_index=ti.map_index if mapped else None
    )
    key = f"{ti.task_id}_{ti.map_index}" if mapped else ti.task_id
    found = states.get(ti.run_id, {})
    if key not in found:
        return []
    return [None if found[key] is None else str(getattr(found[key], "value", found[key]))]


def supervisor_gone() -> bool:
    """Whether the process that looks after this one, a task's, was killed: Airflow lets the task's process live on."""
    from airflow.sdk.execution_time import task_runner

    line = getattr(getattr(task_runner, "SUPERVISOR_COMMS", None), "socket", None)
    if line is None:  # in one process with it, as in dag.test()
        return False
    try:
        return line.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def launched_id(*, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> str | None:
    """The application id that another task has left (its XCom `application_id`); None: not yet. Blocks."""
    found = XCom.get_one(key="application_id", dag_id=dag_id, task_id=task_id, run_id=run_id, map_index=map_index)
    return None if found in (None, "") else str(found)


def push_xcoms(ti: Any, values: dict[str, Any]) -> None:
    """Leave XComs of a task from its trigger. Blocks.

    `TaskSuccessEvent(xcoms=…)` would be simpler, but Airflow 3.3.2 stores those as JSON within JSON: a mapping comes back as text.
    """
    index = -1 if ti.map_index is None else ti.map_index
    for key, value in values.items():
        XCom.set(key=key, value=value, dag_id=ti.dag_id, task_id=ti.task_id, run_id=ti.run_id, map_index=index)


def deployment() -> str:
    """`[knit] deployment`: the name of this Airflow among those that share a cluster; empty: it has none."""
    return str(conf.get("knit", "deployment", fallback="") or "")
