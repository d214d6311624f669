"""Knit's Airflow provider: distributed programs on YARN as scheduled, observable, exactly-once tasks.

    from knit_airflow import KnitEnvironmentOperator, KnitHook, KnitOperator, KnitRetryPolicy, KnitSensor
    from knit_airflow import KnitApplicationEnded, KnitQueueHasRoom

And `@task.knit`, which Airflow finds by the entry point (`knit_airflow.decorators.knit`).

The names are loaded on first use: a DAG file imports only what it uses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from knit_airflow import _deprecated_paths

if TYPE_CHECKING:
    from knit_airflow.hooks.knit import KnitHook
    from knit_airflow.operators.environment import KnitEnvironmentOperator
    from knit_airflow.operators.knit import KnitOperator
    from knit_airflow.retry_policy import KnitRetryPolicy
    from knit_airflow.sensors.knit import KnitSensor
    from knit_airflow.triggers.asset_watchers import KnitApplicationEnded, KnitQueueHasRoom

__all__ = [
    "KnitApplicationEnded",
    "KnitEnvironmentOperator",
    "KnitHook",
    "KnitOperator",
    "KnitQueueHasRoom",
    "KnitRetryPolicy",
    "KnitSensor",
]

_MODULES = {
    "KnitHook": "knit_airflow.hooks.knit",
    "KnitOperator": "knit_airflow.operators.knit",
    "KnitEnvironmentOperator": "knit_airflow.operators.environment",
    "KnitRetryPolicy": "knit_airflow.retry_policy",
    "KnitSensor": "knit_airflow.sensors.knit",
    "KnitApplicationEnded": "knit_airflow.triggers.asset_watchers",
    "KnitQueueHasRoom": "knit_airflow.triggers.asset_watchers",
}

_deprecated_paths.install()


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    from knit_airflow._airflow_version import problem

    if problem():
        raise ImportError(problem())
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})
