"""Finds applications that run although their task instance is over, by the tags of the application.

The ResourceManager lists a deployment's applications by its tag (`tags`). An application without an unfinished task instance of
the same tag is an orphan; for example, its DAG run was deleted while the cluster was unreachable.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any

from knit_airflow.tags import tag_of, task_tag_pattern

if TYPE_CHECKING:
    from knit_core.model.report import ApplicationReport


def orphans(
    reports: Iterable[ApplicationReport], unfinished: Collection[str], deployment: str, now: float, age: float
) -> list[ApplicationReport]:
    """The applications of a deployment that belong to no unfinished task instance.

    Parameters:
        reports: applications that run or wait; listed before `unfinished` was read, so that none is newer.
        unfinished: the tags of all unfinished task instances.
        deployment: its name.
        now: Unix time.
        age: minimum age of an orphan in seconds: a task may be about to end a younger one itself.
    """
    pattern = task_tag_pattern(deployment)
    return [
        report
        for report in reports
        if not report.ended
        and (tags := [tag for tag in report.tags if pattern.fullmatch(tag)])
        and not set(tags) & set(unfinished)
        and report.started_at is not None
        and now - report.started_at / 1000 >= age
    ]


def unfinished_tags(deployment: str) -> set[str]:
    """The tags of all unfinished task instances, from Airflow's database (its address has to be configured)."""
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session
    from airflow.utils.state import State
    from sqlalchemy import or_, select

    columns = (TaskInstance.dag_id, TaskInstance.run_id, TaskInstance.task_id, TaskInstance.map_index)
    over = [str(getattr(state, "value", state)) for state in State.finished]
    unfinished = select(*columns).where(or_(TaskInstance.state.is_(None), TaskInstance.state.not_in(over)))
    with create_session() as session:
        return {tag_of(deployment, *row) for row in session.execute(unfinished)}


def find(knit: Any, deployment: str, age: float) -> list[ApplicationReport]:
    """The present orphans of a deployment on one cluster."""
    reports = list(knit.list())  # first: applications launched after this are not in the list
    return orphans(reports, unfinished_tags(deployment), deployment, time.time(), age)
