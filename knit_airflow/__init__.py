"""Knit's Airflow provider: distributed programs on YARN as scheduled, observable, exactly-once tasks.

    from knit_airflow import KnitEnvironmentOperator, KnitHook, KnitOperator, KnitRetryPolicy, KnitSensor
    from knit_airflow import KnitApplicationEnded, KnitQueueHasRoom

And `@task.knit`, which Airflow finds by itself (`knit_airflow.decorators`).

The names are loaded on first use, so that a DAG file pays only for what it names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from knit_airflow.hooks import KnitHook
    from knit_airflow.operators import KnitEnvironmentOperator, KnitOperator
    from knit_airflow.retries import KnitRetryPolicy
    from knit_airflow.sensors import KnitSensor
    from knit_airflow.watchers import KnitApplicationEnded, KnitQueueHasRoom

__all__ = [
    "KnitApplicationEnded",
    "KnitEnvironmentOperator",
    "KnitHook",
    "KnitOperator",
    "KnitQueueHasRoom",
    "KnitRetryPolicy",
    "KnitSensor",
]

_HOMES = {
    "KnitHook": "knit_airflow.hooks",
    "KnitOperator": "knit_airflow.operators",
    "KnitEnvironmentOperator": "knit_airflow.operators",
    "KnitRetryPolicy": "knit_airflow.retries",
    "KnitSensor": "knit_airflow.sensors",
    "KnitApplicationEnded": "knit_airflow.watchers",
    "KnitQueueHasRoom": "knit_airflow.watchers",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
