"""Applications whose task instance is over, although they should have ended with it: found by a tag that they carry.

The ResourceManager lists a deployment's applications by its tag (`tags`). One that runs while no unfinished task instance
has its digest belongs to nobody any more (its DAG run was deleted, say, while the cluster was away).
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
        reports: applications that run or wait; listed before `living` was, so that none of them is younger than that.
        living: the tags of all unfinished task instances.
        deployment: its name.
        now: Unix time.
        age: seconds for which an application has to be there before it counts: a task may be about to end it itself.
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
    """The tags of all task instances that are not over, from Airflow's database (needs its address in the settings)."""
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
    """The orphans of a deployment on one cluster, now."""
    reports = list(knit.list())  # first: what is launched after this is not looked at
    return orphans(reports, unfinished_tags(deployment), deployment, time.time(), age)
