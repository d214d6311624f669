"""All imports from Airflow whose module may differ between versions (written for 3.3)."""

from __future__ import annotations

import re
import socket
import warnings
from pathlib import Path
from typing import Any

from airflow.sdk import (  # type: ignore[attr-defined]  # its stub has no NEVER_EXPIRE
    NEVER_EXPIRE,
    BaseHook,
    BaseOperator,
    BaseOperatorLink,
    BaseSensorOperator,
    PokeReturnValue,
)
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

from knit_airflow.state.launch_key import STORE_KEY
from knit_airflow.state.task_state import TaskState

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
    "log_limit",
    "masked_values",
    "push_xcom",
    "read_task_state",
    "setting",
    "state_stores",
    "supervisor_gone",
    "task_decorator_factory",
    "task_state",
    "task_stats",
    "trigger_log_is_kept",
    "triggerer_before_is_read",
    "triggerer_stats",
    "until_logged",
    "will_retry",
]


def default_deferrable() -> bool:
    """`[operators] default_deferrable`: the default of `deferrable`."""
    return bool(conf.getboolean("operators", "default_deferrable", fallback=False))


def will_retry(ti: Any) -> bool:
    """Whether Airflow starts another try when this one fails (Airflow's own rule; clears raise `max_tries`)."""
    return bool(ti.max_tries) and ti.try_number <= ti.max_tries


def task_state(ti: Any) -> str | None:
    """The present state of a task instance in Airflow's database; None: it was cleared or deleted. Blocks."""
    return next(iter(_states(ti)), None)


def read_task_state(context: Any) -> TaskState:
    """The state in Airflow's database of the task for which this process was started. Blocks.

    Raises:
        Exception: Airflow does not answer.
    """
    from airflow.sdk.execution_time import task_runner
    from airflow.sdk.execution_time.comms import GetDagRun

    ti = context["ti"]
    states = _states(ti)
    if not states:
        return TaskState(same_run=False)
    run: Any = task_runner.SUPERVISOR_COMMS.send(GetDagRun(dag_id=ti.dag_id, run_id=ti.run_id))
    # A run that was deleted and created again has the same id and a later start.
    same = run.start_date == context["dag_run"].start_date
    # The store answers only the newest try: the request has this try's id.
    return TaskState(states[0], same_run=same, newest=context["task_state_store"].get(STORE_KEY) is not None)


def _states(ti: Any) -> list[str | None]:
    """The task instance's state as the only item; empty: the task instance does not exist."""
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
    """Whether this task's supervisor process was killed: Airflow does not end the task's process then."""
    from airflow.sdk.execution_time import task_runner

    connection = getattr(getattr(task_runner, "SUPERVISOR_COMMS", None), "socket", None)
    if connection is None:  # no supervisor process, as in dag.test()
        return False
    try:
        return bool(connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b"")
    except BlockingIOError:
        return False
    except OSError:
        return True


def launched_id(*, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> str | None:
    """The application id that another task has pushed (its XCom `application_id`); None: none yet. Blocks."""
    found = XCom.get_one(key="application_id", dag_id=dag_id, task_id=task_id, run_id=run_id, map_index=map_index)
    return None if found in (None, "") else str(found)


def push_xcom(ti: Any, value: Any) -> None:
    """Push a task's XCom from its trigger. Blocks.

    `TaskSuccessEvent(xcoms=…)` is not usable: Airflow 3.3.2 stores its XComs as JSON within JSON, and a mapping becomes a text.
    """
    index = -1 if ti.map_index is None else ti.map_index
    XCom.set(
        key=XCom.XCOM_RETURN_KEY,
        value=value,
        dag_id=ti.dag_id,
        task_id=ti.task_id,
        run_id=ti.run_id,
        map_index=index,
    )


def deployment() -> str:
    """`[knit] deployment`: the name of this Airflow among those that share a cluster; empty: not set."""
    return str(conf.get("knit", "deployment", fallback="") or "")


def setting(name: str, default: int) -> int:
    """`[knit] <name>`, a whole number."""
    return int(conf.getint("knit", name, fallback=default))


def log_limit() -> str:
    """`[knit] log_limit`: the largest part of a task's log for container logs, as text."""
    return str(conf.get("knit", "log_limit", fallback="") or "2 MiB")


def masked_values() -> set[str] | None:
    """The values that Airflow masks in this task's log, without the secrets of Airflow's own configuration; None: unknown.

    Every process of Airflow that knows the configuration's secrets masks them itself; they must not be passed on.
    """
    try:
        from airflow.sdk._shared.secrets_masker import _secrets_masker

        found = {re.sub(r"\\(.)", r"\1", pattern, flags=re.DOTALL) for pattern in _secrets_masker().patterns}
    except (ImportError, AttributeError, TypeError):
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some of the options have older names
        own = {conf.get(section, key, fallback=None) for section, key in conf.sensitive_config_values}
    return found - {str(each) for each in own if each}


async def until_logged(size: int) -> int:
    """Return when the lines that a trigger has logged so far are in the task's log.

    Airflow's supervisor reads log lines from a socket, 4 KiB at a time, and drops the rest when a trigger ends. Between two reads
    it answers requests: each answer shows that it has read once more.

    Parameters:
        size: bytes that were logged since the last call.

    Returns:
        0: no byte is unread.
    """
    from airflow.sdk.execution_time import task_runner
    from airflow.sdk.execution_time.comms import MaskSecret

    comms: Any = getattr(task_runner, "SUPERVISOR_COMMS", None)
    if not hasattr(comms, "asend"):
        return 0  # not in a triggerer: log lines are written at once
    for _ in range(3 + size // 4096):
        await comms.asend(MaskSecret(value="", name="nothing"))
    return 0


def trigger_log_is_kept(ti: Any) -> bool:
    """Whether the log of this try's trigger can be read after the try.

    Airflow reads it from remote logs, or from a folder that api-server, triggerer and worker share: then the file is visible
    here. When each machine keeps its own logs, it cannot be read after the deferral.
    """
    return conf.getboolean("logging", "remote_logging", fallback=False) or bool(_trigger_logs(ti))


def triggerer_before_is_read(ti: Any, since: float) -> bool:
    """Whether the log that an earlier triggerer wrote for this try can still be read.

    Remote logs have it only when that triggerer ended the wait itself; shared folders have it in any case.

    Parameters:
        since: Unix time after the start of this triggerer: an older file was written by another one.
    """
    if conf.getboolean("logging", "remote_logging", fallback=False):
        return False
    found = _trigger_logs(ti)
    return len(found) > 1 or any(each.stat().st_mtime < since for each in found)


def _trigger_logs(ti: Any) -> list[Path]:
    """The log files of this try's triggers that are visible on this machine."""
    from jinja2 import Template

    try:
        template = conf.get("logging", "log_filename_template")
        name = Template(template).render(ti=ti, try_number=ti.try_number)
        log = Path(conf.get("logging", "base_log_folder")) / name
        return list(log.parent.glob(f"{_escaped(log.name)}.trigger.*"))
    except Exception:  # the template needs variables that are not available here
        return []


def _escaped(name: str) -> str:
    from glob import escape

    return escape(name)


def task_stats() -> Any:
    """The metrics client of a task's process."""
    return _task_stats


def triggerer_stats() -> Any:
    """The metrics client of the triggerer, which is that of Airflow's core."""
    from airflow.observability import stats

    return stats


def state_stores(trigger: Any) -> list[Any]:
    """The state stores of the assets of an event trigger, each with `aget` and `aset`.

    There may be several: Airflow runs triggers with equal arguments as one.
    """
    stores = trigger.asset_state_store
    if stores is None:
        return []
    return [*stores._by_name.values(), *stores._by_uri.values()]
