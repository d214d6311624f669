"""Knit launches, watches and ends distributed programs on YARN clusters from Python, and ships them a Python
environment.

    from knit_core import Knit

    app = Knit().submit("python train.py", instances=4, memory="2 GiB", files=["train.py"])
    app.wait(timeout="1 h")

Names are loaded when they are first used: importing this package costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from knit_core import errors
    from knit_core.application import Application
    from knit_core.client import Knit
    from knit_core.environments import Environment
    from knit_core.errors import KnitError
    from knit_core.logs import LogCursor, LogLine
    from knit_core.model.report import Report
    from knit_core.model.result import Container, Result
    from knit_core.model.states import ContainerState, Outcome, State
    from knit_core.spec import ApplicationSpec, File, Service

__version__ = "1.0.0.dev0"

_HOME = {
    "Application": "application",
    "ApplicationSpec": "spec",
    "Container": "model.result",
    "ContainerState": "model.states",
    "Environment": "environments",
    "File": "spec",
    "Knit": "client",
    "KnitError": "errors",
    "LogCursor": "logs",
    "LogLine": "logs",
    "Outcome": "model.states",
    "Report": "model.report",
    "Result": "model.result",
    "Service": "spec",
    "State": "model.states",
}

__all__ = [
    "Application",
    "ApplicationSpec",
    "Container",
    "ContainerState",
    "Environment",
    "File",
    "Knit",
    "KnitError",
    "LogCursor",
    "LogLine",
    "Outcome",
    "Report",
    "Result",
    "Service",
    "State",
    "errors",
]


def __getattr__(name: str) -> Any:
    import importlib

    if name == "errors":
        return importlib.import_module("knit_core.errors")
    if name in _HOME:
        value = getattr(importlib.import_module(f"knit_core.{_HOME[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'knit_core' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
