"""Every import from Airflow whose place may differ between versions, in one module (written against 3.3)."""

from __future__ import annotations

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
from airflow.sdk.observability import stats as _task_stats
from airflow.triggers.base import BaseEventTrigger, BaseTrigger, StartTriggerArgs, TaskSuccessEvent, TriggerEvent
from airflow.triggers.shared_stream import SharedStreamProducer

__all__ = [
    "KNOWN_CONTEXT_KEYS",
    "NEVER_EXPIRE",
    "AirflowException",
    "AirflowFailException",
    "AirflowSensorTimeout",
    "AirflowSkipException",
    "AirflowTaskTimeout",
    "BaseEventTrigger",
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
    "SharedStreamProducer",
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
    "state_stores",
    "task_decorator_factory",
    "task_state",
    "task_stats",
    "triggerer_stats",
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
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    mapped = ti.map_index is not None and ti.map_index >= 0
    states = RuntimeTaskInstance.get_task_states(
        dag_id=ti.dag_id, task_ids=[ti.task_id], run_ids=[ti.run_id], map_index=ti.map_index if mapped else None
    )
    state = states.get(ti.run_id, {}).get(f"{ti.task_id}_{ti.map_index}" if mapped else ti.task_id)
    return None if state is None else str(getattr(state, "value", state))


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


def task_stats() -> Any:
    """The metrics client of a task's process."""
    return _task_stats


def triggerer_stats() -> Any:
    """The metrics client of the triggerer: Airflow's core has one of its own."""
    from airflow.observability import stats

    return stats


def state_stores(trigger: Any) -> list[Any]:
    """The state stores of the assets that an event trigger watches for, each with `aget` and `aset`.

    Triggers with equal arguments are one to Airflow, so that there may be several.
    """
    stores = trigger.asset_state_store
    if stores is None:
        return []
    return [*stores._by_name.values(), *stores._by_uri.values()]
