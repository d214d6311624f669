"""YARN tags of the applications of a deployment, of a task, and of a task instance. Pure.

With `[knit] deployment = <name>` every application gets the tags `airflow-<name>` and `airflow-<name>-<digest of its task
instance>`. They are part of the submission, so that no application lacks them. The name distinguishes deployments that share a
cluster and a user.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from typing import Any

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")


def checked(deployment: str) -> str:
    """The name of a deployment, validated.

    Raises:
        ValueError: the name cannot be part of a tag.
    """
    if not _NAME.fullmatch(deployment):
        raise ValueError(f"[knit] deployment is 1 to 40 of a-z, 0-9 and '-' (not at its ends), not {deployment!r}")
    return deployment


def deployment_tag(deployment: str) -> str:
    """The tag of all applications of a deployment."""
    return f"airflow-{checked(deployment)}"


def tag_in(deployment: str, tags: Iterable[str]) -> str | None:
    """The tag of an application's task instance; None: the application is not of this deployment."""
    pattern = task_tag_pattern(deployment)
    return next((tag for tag in tags if pattern.fullmatch(tag)), None)


def task_tag_pattern(deployment: str) -> re.Pattern[str]:
    """The pattern of task instances' tags."""
    return re.compile(rf"airflow-{re.escape(checked(deployment))}-[0-9a-f]{{32}}")


def tag_of(deployment: str, dag_id: str, run_id: str, task_id: str, map_index: int | None) -> str:
    """The tag of the applications of one task instance."""
    identity = json.dumps([dag_id, run_id, task_id, -1 if map_index is None else map_index])
    return f"airflow-{checked(deployment)}-{hashlib.sha256(identity.encode()).hexdigest()[:32]}"


def tag_of_task(deployment: str, dag_id: str, task_id: str) -> str:
    """The tag of the applications of one task in all its runs, for watchers."""
    identity = json.dumps([dag_id, task_id])
    return f"knit-task-{checked(deployment)}-{hashlib.sha256(identity.encode()).hexdigest()[:32]}"


def launch_tags(deployment: str, ti: Any, owner: str | None = None) -> tuple[str, ...]:
    """The tags of an application that a task launches; none without a deployment name.

    Parameters:
        owner: another task of the run, which ends the application: the application is an orphan when that task is over.
    """
    if not deployment:
        return ()
    mine = tag_of(deployment, ti.dag_id, ti.run_id, owner or ti.task_id, ti.map_index)
    return deployment_tag(deployment), mine, tag_of_task(deployment, ti.dag_id, ti.task_id)
