"""The tags by which applications of a deployment are found: all of it, those of a task, those of a task instance. Pure.

With `[knit] deployment = <name>` every application gets the tags `airflow-<name>` and `airflow-<name>-<digest of its task
instance>`: set with the submission itself, so there is none without them. The name keeps deployments that share a cluster
and a user apart.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from typing import Any

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
    pattern = task_tag_pattern(deployment)
    return next((tag for tag in tags if pattern.fullmatch(tag)), None)


def task_tag_pattern(deployment: str) -> re.Pattern[str]:
    """What the tag of a task instance looks like."""
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
