"""Finds the task instance of an application. The application's tag is a digest, which is compared with candidates' digests.

Candidates are the task instances that have pushed an application id (an XCom of every task of Knit) since the start of the
oldest unknown application, and all unfinished ones. Both queries use an index of Airflow's database. Results are kept as long
as the cluster lists the application.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

from knit_airflow.page.list_view import TaskKey
from knit_airflow.tags import tag_in, tag_of

#: Seconds until a tag without a task instance is looked up again: at first, and at most; doubled each time.
AGAIN, LATEST_AGAIN = 5.0, 600.0
#: Maximum difference between the clocks of cluster and database.
SKEW = timedelta(hours=1)


class TaskLookup:
    """The task instances of a deployment's applications.

    Parameters:
        deployment: its name.
    """

    def __init__(self, deployment: str) -> None:
        self.deployment = deployment
        self._known: dict[str, TaskKey] = {}
        self._missed: dict[str, tuple[float, float]] = {}
        self._lock = threading.Lock()

    def tag(self, report: Any) -> str | None:
        """The tag of an application's task instance; None: the application is not of this deployment."""
        return tag_in(self.deployment, report.tags)

    def tag_of(self, task: TaskKey) -> str:
        """The tag of a task instance's applications."""
        return tag_of(self.deployment, task.dag_id, task.run_id, task.task_id, task.map_index)

    def of(self, reports: Iterable[Any]) -> dict[str, TaskKey | None]:
        """Task instances by application id, for the applications of this deployment; None: deleted. Blocks.

        Parameters:
            reports: all listed applications; kept results of others are discarded.
        """
        tags = {report.id: (tag, report.started_at or 0) for report in reports if (tag := self.tag(report))}
        with self._lock:
            now, present = time.monotonic(), {tag for tag, _ in tags.values()}
            self._known = {tag: task for tag, task in self._known.items() if tag in present}
            self._missed = {tag: when for tag, when in self._missed.items() if tag in present}
            unknown = {
                tag: started
                for tag, started in tags.values()
                if tag not in self._known and now >= self._missed.get(tag, (0.0, 0.0))[0]
            }
            if unknown:
                self._find(unknown, now)
            return {app_id: self._known.get(tag) for app_id, (tag, _) in tags.items()}

    def _find(self, unknown: Mapping[str, int], now: float) -> None:
        since = datetime.fromtimestamp(min(unknown.values()) / 1000, timezone.utc) - SKEW
        found = {self.tag_of(task): task for task in candidates(since)}
        for tag in unknown:
            if tag in found:
                self._known[tag] = found[tag]
                self._missed.pop(tag, None)
            else:
                pause = min(LATEST_AGAIN, 2 * self._missed.get(tag, (0.0, AGAIN / 2))[1])
                self._missed[tag] = (now + pause, pause)


def candidates(since: datetime) -> Collection[TaskKey]:
    """Task instances that may have launched an application since then, from Airflow's database."""
    from airflow.models.taskinstance import TaskInstance
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session
    from airflow.utils.state import State
    from sqlalchemy import or_, select

    from knit_airflow.operators.base import ID_KEY

    names = ("dag_id", "run_id", "task_id", "map_index")
    over = [str(getattr(state, "value", state)) for state in State.finished]
    launched = select(*(getattr(XComModel, name) for name in names)).where(
        XComModel.key == ID_KEY, XComModel.timestamp >= since
    )
    unfinished = select(*(getattr(TaskInstance, name) for name in names)).where(
        or_(TaskInstance.state.is_(None), TaskInstance.state.not_in(over))
    )
    with create_session() as session:
        return {TaskKey(*row) for query in (launched, unfinished) for row in session.execute(query)}
