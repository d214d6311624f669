"""The Airflow plugins of the entry points: Knit's page, and the links of every try.

With an Airflow that is too old, both are plugins without content, and one log line names the version that is needed.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from knit_airflow._airflow_version import problem, warn_once

_MODULES = {"KnitLinks": "links", "KnitPlugin": "page"}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if not problem():
        return getattr(import_module(f"knit_airflow.plugins.{_MODULES[name]}"), name)
    warn_once()
    from airflow.plugins_manager import AirflowPlugin

    return type(name, (AirflowPlugin,), {"name": f"knit_{_MODULES[name]}", "__doc__": problem()})
