"""Names made of Airflow's ids, which may be longer and more colourful than what they name may be called. Pure."""

from __future__ import annotations

import hashlib
import re

#: Characters: of an application's name, of an environment's.
APPLICATION, ENVIRONMENT = 250, 128
_DIGITS = 10


def application_name(dag_id: str, task_id: str) -> str:
    """What the application of a task is called: `dag.task`, shortened to the same text each time where it is too long."""
    return _shortened(f"{dag_id}.{task_id}", APPLICATION)


def environment_name(task_id: str) -> str:
    """What the environment of a task is called: the task's id, as far as an environment may be called so."""
    plain = re.sub(r"[^A-Za-z0-9._+-]", "-", task_id).lstrip("._+-")
    if plain == task_id:
        return _shortened(plain, ENVIRONMENT)
    return f"{plain[: ENVIRONMENT - _DIGITS - 1] or 'task'}-{_digest(task_id)}"


def _shortened(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - _DIGITS - 1]}-{_digest(text)}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]


__all__ = ["application_name", "environment_name"]
