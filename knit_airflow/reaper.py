"""Applications whose task instance is over, although they should have ended with it: found by a tag that they carry.

With `[knit] deployment = <name>` every application gets the tags `airflow-<name>` and `airflow-<name>-<digest of its task
instance>`: set with the submission itself, so there is none without them. The ResourceManager lists by the first. An
application of this deployment that runs while no unfinished task instance has its digest belongs to nobody any more (its
DAG run was deleted, say, while the cluster was away). The name keeps deployments that share a cluster and a user apart.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from knit_core.model.report import Report

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")


def checked(deployment: str) -> str:
    """The name of a deployment.

    Raises:
        ValueError: it cannot be part of a tag.
    """
    if not _NAME.fullmatch(deployment):
        raise ValueError(f"[knit] deployment is 1 to 40 of a-z, 0-9 and '-' (not at its ends), not {deployment!r}")
    return deployment


def deployment_tag(deployment: str) -> str:
    """The tag that all applications of a deployment have."""
    return f"airflow-{checked(deployment)}"


def tag_in(deployment: str, tags: Iterable[str]) -> str | None:
    """The one of an application's tags that tells its task instance; None: it is not of this deployment."""
    pattern = _pattern(deployment)
    return next((tag for tag in tags if pattern.fullmatch(tag)), None)


def _pattern(deployment: str) -> re.Pattern[str]:
    return re.compile(rf"airflow-{re.escape(checked(deployment))}-[0-9a-f]{{32}}")


def tag_of(deployment: str, dag_id: str, run_id: str, task_id: str, map_index: int | None) -> str:
    """The tag of the applications of one task instance."""
    identity = json.dumps([dag_id, run_id, task_id, -1 if map_index is None else map_index])
    return f"airflow-{checked(deployment)}-{hashlib.sha256(identity.encode()).hexdigest()[:32]}"


def tag_of_task(deployment: str, dag_id: str, task_id: str) -> str:
    """The tag of the applications of one task in all its runs, by which others find them."""
    identity = json.dumps([dag_id, task_id])
    return f"knit-task-{checked(deployment)}-{hashlib.sha256(identity.encode()).hexdigest()[:32]}"


def launch_tags(deployment: str, ti: Any, owner: str | None = None) -> tuple[str, ...]:
    """The tags of an application that a task launches; none without the name of a deployment.

    Parameters:
        owner: another task of the run, which ends the application: it is an orphan when that is over.
    """
    if not deployment:
        return ()
    mine = tag_of(deployment, ti.dag_id, ti.run_id, owner or ti.task_id, ti.map_index)
    return deployment_tag(deployment), mine, tag_of_task(deployment, ti.dag_id, ti.task_id)


def orphans(
    reports: Iterable[Report], living: Collection[str], deployment: str, now: float, age: float
) -> list[Report]:
    """The applications of a deployment that belong to no unfinished task instance.

    Parameters:
        reports: applications that run or wait; listed before `living` was, so that none of them is younger than that.
        living: the tags of all unfinished task instances.
        deployment: its name.
        now: Unix time.
        age: seconds for which an application has to be there before it counts: a task may be about to end it itself.
    """
    pattern = _pattern(deployment)
    return [
        report
        for report in reports
        if not report.ended
        and (tags := [tag for tag in report.tags if pattern.fullmatch(tag)])
        and not set(tags) & set(living)
        and report.started_at is not None
        and now - report.started_at / 1000 >= age
    ]


def living_tags(deployment: str) -> set[str]:
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


def find(knit: Any, deployment: str, age: float) -> list[Report]:
    """The orphans of a deployment on one cluster, now."""
    reports = list(knit.list())  # first: what is launched after this is not looked at
    return orphans(reports, living_tags(deployment), deployment, time.time(), age)
