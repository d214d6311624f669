"""What Airflow hands to a try of a task, as plain objects."""

from __future__ import annotations

from datetime import datetime, timezone
from types import SimpleNamespace
from typing import Any

import pytest


class Store(dict[str, Any]):
    """A task's state store."""

    def set(self, key: str, value: Any, *, retention: Any = None) -> None:
        self[key] = value


class Task:
    """One task instance over all its tries; `context()` is what Airflow hands to a try."""

    def __init__(self, retries: int = 0) -> None:
        self.store, self.xcoms = Store(), dict[str, Any]()
        now = datetime.now(timezone.utc)
        self.ti = SimpleNamespace(max_tries=retries, try_number=1, xcom_push=self._push, start_date=now)
        self.ti.dag_id, self.ti.run_id, self.ti.task_id, self.ti.map_index = "d", "r", "t", -1
        self.run = SimpleNamespace(clear_number=0)

    def _push(self, key: str, value: Any) -> None:
        self.xcoms[key] = value

    def context(self) -> dict[str, Any]:
        return {"ti": self.ti, "dag_run": self.run, "task_state_store": self.store}

    def retry(self) -> dict[str, Any]:
        self.ti.try_number += 1
        return self.context()

    def clear(self, retries: int = 0) -> dict[str, Any]:
        self.ti.max_tries = self.ti.try_number + retries
        self.run.clear_number += 1
        return self.retry()


def deferral(run: Any) -> Any:
    from airflow.sdk.exceptions import TaskDeferred

    with pytest.raises(TaskDeferred) as deferred:
        run()
    return deferred.value
