"""Names of applications and environments, made from Airflow's ids, which may be longer and have more characters. Pure."""

from __future__ import annotations

import hashlib
import re

#: Longest name of an application and of an environment, in characters.
APPLICATION, ENVIRONMENT = 250, 128
_DIGITS = 10


def application_name(dag_id: str, task_id: str) -> str:
    """The name of a task's application: `dag.task`; a name that is too long is always shortened to the same text."""
    return _shortened(f"{dag_id}.{task_id}", APPLICATION)


def environment_name(task_id: str) -> str:
    """The name of a task's environment: the task's id, without the characters that environments must not have."""
    plain = re.sub(r"[^A-Za-z0-9._+-]", "-", task_id).lstrip("._+-")
    if plain == task_id:
        return _shortened(plain, ENVIRONMENT)
    return f"{plain[: ENVIRONMENT - _DIGITS - 1] or 'task'}-{_digest(task_id)}"


def _shortened(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - _DIGITS - 1]}-{_digest(text)}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]


__all__ = ["application_name", "environment_name"]
