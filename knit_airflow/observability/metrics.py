"""Knit's metrics, through Airflow's own (`[metrics]`: StatsD, Datadog or OpenTelemetry). Errors of metrics never fail a task.

A task's process and the triggerer have different metrics clients; see `version_compat`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import timedelta
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from knit_airflow.version_compat import task_stats, triggerer_stats

if TYPE_CHECKING:
    from knit_airflow.observability.phases import Phase
    from knit_core.model.report import ApplicationReport

#: Name -> (kind, tags, meaning), as in docs/airflow-observability.md.
METRICS = {
    "knit.submitted": ("counter", "queue", "applications that a task has submitted, or attached to"),
    "knit.ended": ("counter", "queue, outcome", "applications of tasks that have ended"),
    "knit.failed": ("counter", "kind", "failed tries, by cause"),
    "knit.killed": ("counter", "", "applications killed together with their task"),
    "knit.submit.duration": ("timer", "queue", "the submission: checks, uploads, YARN's answer"),
    "knit.wait.duration": ("timer", "queue, outcome", "from the submission until the first container was allocated"),
    "knit.start.duration": ("timer", "queue, outcome", "until the NodeManager began to start that container"),
    "knit.run.duration": ("timer", "queue, outcome", "until the application's end"),
    "knit.memory_mib_seconds": (
        "counter",
        "queue, outcome",
        "memory of ended applications, MiB times seconds",
    ),
    "knit.vcore_seconds": ("counter", "queue, outcome", "cores of ended applications, times seconds"),
    "knit.poll.requests": ("counter", "connection, list", "requests of the triggerer's shared polls"),
    "knit.poll.errors": ("counter", "connection, list", "failed requests of the shared polls"),
    "knit.poll.applications": ("gauge", "connection, list", "waits and watchers served by the last request"),
    "knit.poll.seconds": ("gauge", "connection, list", "duration of the last request"),
    "knit.watcher.events": ("counter", "watcher", "events that asset watchers have fired"),
}

P = ParamSpec("P")
T = TypeVar("T")
log = logging.getLogger(__name__)


def quietly(function: Callable[P, None]) -> Callable[P, None]:
    """The function with its errors only logged, at level DEBUG: observing a task must not fail it."""

    @wraps(function)
    def quiet(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            function(*args, **kwargs)
        except Exception as error:
            log.debug("%s: %s: %s", function.__name__, type(error).__name__, error)

    return quiet


def leaf(queue: str) -> str:
    """The last part of a queue's path, for tags: tasks may give the path or only the name."""
    return queue.rpartition(".")[2] or "default"


@quietly
def submitted(queue: str, seconds: float) -> None:
    """A task has submitted its application, or attached to it."""
    tags = {"queue": leaf(queue)}
    task_stats().incr("knit.submitted", tags=tags)
    task_stats().timing("knit.submit.duration", timedelta(seconds=seconds), tags=tags)


@quietly
def ended(queue: str, outcome: str, phases: list[Phase], report: ApplicationReport | None) -> None:
    """A task's application has ended."""
    stats, tags = task_stats(), {"queue": leaf(queue), "outcome": outcome}
    stats.incr("knit.ended", tags=tags)
    for phase in phases:
        stats.timing(f"knit.{phase.name}.duration", timedelta(seconds=phase.seconds), tags=tags)
    if report is not None:
        stats.incr("knit.memory_mib_seconds", report.memory_seconds, tags=tags)
        stats.incr("knit.vcore_seconds", report.vcore_seconds, tags=tags)


@quietly
def failed(kind: str) -> None:
    """A try failed."""
    task_stats().incr("knit.failed", tags={"kind": kind})


@quietly
def killed(deferred: bool = False) -> None:
    """An application was killed together with its task."""
    (triggerer_stats() if deferred else task_stats()).incr("knit.killed")


def polled(connection: str, waiting: int, kind: str, ask: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Send and measure one request of a shared poll. Blocks: the metrics client may also look up its host's name.

    Parameters:
        connection: id of the Airflow connection.
        waiting: number of waits and listeners.
        kind: of the list: "applications" or "queues".
        ask, args, kwargs: the request.
    """
    began, failed = time.monotonic(), True
    try:
        found = ask(*args, **kwargs)
        failed = False
        return found
    finally:
        _polled({"connection": connection, "list": kind}, waiting, time.monotonic() - began, failed)


@quietly
def _polled(tags: dict[str, Any], waiting: int, seconds: float, failed: bool) -> None:
    stats = triggerer_stats()
    stats.incr("knit.poll.requests", tags=tags)
    if failed:
        stats.incr("knit.poll.errors", tags=tags)
    stats.gauge("knit.poll.applications", waiting, tags=tags)
    stats.gauge("knit.poll.seconds", round(seconds, 4), tags=tags)


@quietly
def fired(watcher: str) -> None:
    """An asset watcher fired an event."""
    triggerer_stats().incr("knit.watcher.events", tags={"watcher": watcher})
