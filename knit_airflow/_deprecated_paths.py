"""The import paths that public names had before release 1.0; they work for one minor release, with a DeprecationWarning.

Airflow's database keeps class paths of triggers: a triggerer must also find a class by its old path. A package with the name
of an old module returns the names itself (`hand_out`); other old modules are created when they are imported (`OldModules`).
The new module is imported when a name is first used.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

#: Old module → (name, new module).
MOVED: dict[str, dict[str, str]] = {
    "knit_airflow.applications": {"ApplicationOperator": "operators.base", "ID_KEY": "operators.base"},
    "knit_airflow.dask": {
        "KnitDaskCloseOperator": "operators.dask",
        "KnitDaskClusterOperator": "operators.dask",
        "KnitDaskDashboardLink": "links.dask",
        "KnitDaskOperator": "operators.dask",
        "KnitDaskTrigger": "triggers.dask",
        "attach": "hooks.dask",
        "client": "hooks.dask",
        "knit_dask_cluster": "operators.dask",
    },
    "knit_airflow.dask_client": {"attach": "hooks.dask", "client": "hooks.dask"},
    "knit_airflow.decorators": {"KnitDecoratedOperator": "decorators.knit", "knit_task": "decorators.knit"},
    "knit_airflow.failures": {
        "ApplicationWasKilled": "exceptions",
        "ClusterFailed": "exceptions",
        "Kind": "exceptions",
        "KnitFailed": "exceptions",
        "KnitRefused": "exceptions",
        "ProgramFailed": "exceptions",
        "airflow_error": "exceptions",
    },
    "knit_airflow.hooks": {"KnitHook": "hooks.knit"},
    "knit_airflow.link_plugin": {"KnitLinks": "plugins.links"},
    "knit_airflow.links": {
        "KnitApplicationLink": "links.knit",
        "KnitLogsLink": "links.knit",
        "KnitOwnPageLink": "links.knit",
    },
    "knit_airflow.operators": {"KnitEnvironmentOperator": "operators.environment", "KnitOperator": "operators.knit"},
    "knit_airflow.plugin": {"KnitPlugin": "plugins.page"},
    "knit_airflow.provider": {"get_provider_info": "get_provider_info"},
    "knit_airflow.retries": {"KnitRetryPolicy": "retry_policy"},
    "knit_airflow.sensors": {"KnitSensor": "sensors.knit"},
    "knit_airflow.triggers": {"KnitApplicationTrigger": "triggers.application", "KnitSensorTrigger": "triggers.sensor"},
    "knit_airflow.watchers": {
        "KnitApplicationEnded": "triggers.asset_watchers",
        "KnitQueueHasRoom": "triggers.asset_watchers",
    },
}


def hand_out(module: str) -> Callable[[str], Any]:
    """The `__getattr__` of an old module: each name from its new module, with a warning."""
    names = MOVED[module]

    def find(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        from knit_core.model.deprecation import warn_deprecated

        new = f"knit_airflow.{names[name]}"
        warn_deprecated(f"{module}.{name}", f"{new}.{name}")
        return getattr(import_module(new), name)

    return find


class OldModules:
    """Import hook that creates old modules without a file; Python calls it when it has found no file."""

    @classmethod
    def find_spec(cls, name: str, path: Sequence[str] | None = None, target: Any = None) -> ModuleSpec | None:
        """See `importlib.abc.MetaPathFinder`."""
        return ModuleSpec(name, cls) if name in MOVED else None  # type: ignore[arg-type]

    @staticmethod
    def create_module(spec: ModuleSpec) -> None:
        """See `importlib.abc.Loader`: an ordinary module."""

    @staticmethod
    def exec_module(module: ModuleType) -> None:
        """See `importlib.abc.Loader`."""
        module.__doc__ = "Moved: see `knit_airflow._deprecated_paths`."
        module.__dict__.update(__getattr__=hand_out(module.__name__), __all__=sorted(MOVED[module.__name__]))


def install() -> None:
    """Add `OldModules` to Python's import hooks."""
    if OldModules not in sys.meta_path:
        sys.meta_path.append(OldModules)
