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
    from knit_core.errors import KnitError
    from knit_core.hadoop.cluster import Cluster
    from knit_core.hdfs_cache.environments import Pushed
    from knit_core.hdfs_cache.pruning import Pruned
    from knit_core.launch.plan import LaunchPlan
    from knit_core.logs import LogCursor, LogFile, LogLine, LogWatch
    from knit_core.model.connection_layers import LayerCheck
    from knit_core.model.environment import Environment, PackageVersion
    from knit_core.model.report import ApplicationReport
    from knit_core.model.result import Container, Result
    from knit_core.model.service_status import Event, ServiceStatus
    from knit_core.model.states import ContainerState, Outcome, State
    from knit_core.model.token_status import TokenPush, TokenStatus
    from knit_core.monitoring.diagnosis import Why
    from knit_core.spec import ApplicationSpec, File, Service
    from knit_core.spec.options import CallOptions, SubmitOptions

__version__ = "1.0.0.dev0"

_HOME = {
    "Application": "application",
    "ApplicationSpec": "spec",
    "CallOptions": "spec.options",
    "Cluster": "hadoop.cluster",
    "Container": "model.result",
    "ContainerState": "model.states",
    "Environment": "model.environment",
    "Event": "model.service_status",
    "File": "spec",
    "Knit": "client",
    "KnitError": "errors",
    "LaunchPlan": "launch.plan",
    "LayerCheck": "model.connection_layers",
    "LogCursor": "logs",
    "LogFile": "logs",
    "LogLine": "logs",
    "LogWatch": "logs",
    "Outcome": "model.states",
    "PackageVersion": "model.environment",
    "Pruned": "hdfs_cache.pruning",
    "Pushed": "hdfs_cache.environments",
    "ApplicationReport": "model.report",
    "Result": "model.result",
    "Service": "spec",
    "ServiceStatus": "model.service_status",
    "TokenPush": "model.token_status",
    "TokenStatus": "model.token_status",
    "State": "model.states",
    "SubmitOptions": "spec.options",
    "Why": "monitoring.diagnosis",
}

__all__ = [
    "Application",
    "ApplicationReport",
    "ApplicationSpec",
    "CallOptions",
    "Cluster",
    "Container",
    "ContainerState",
    "Environment",
    "Event",
    "File",
    "Knit",
    "KnitError",
    "LaunchPlan",
    "LayerCheck",
    "LogCursor",
    "LogFile",
    "LogLine",
    "LogWatch",
    "Outcome",
    "PackageVersion",
    "Pruned",
    "Pushed",
    "Result",
    "Service",
    "ServiceStatus",
    "State",
    "SubmitOptions",
    "TokenPush",
    "TokenStatus",
    "Why",
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
