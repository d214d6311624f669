"""One application in detail: from its ApplicationMaster while it runs, from its result after the end."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from knit_airflow.page.list_view import row_of

if TYPE_CHECKING:
    from knit_core import Application, ApplicationReport, Container
    from knit_core.model.service_status import ServiceStatus
    from knit_core.monitoring.diagnosis import Why

#: Maximum of containers shown; with more containers, these states come first.
MOST_CONTAINERS = 300
_FIRST = {"FAILED": 0, "STOPPING": 1, "RUNNING": 2, "STARTING": 3}


def view_of(application: Application, nodes_and_queues: Any | Callable[[], Any]) -> dict[str, Any]:
    """All values that an application's page shows. Blocks.

    Parameters:
        application: the application.
        nodes_and_queues: a `cluster_cache.NodesAndQueues`, or a function that returns one (called only when needed).

    Raises:
        knit_core.errors.KnitError: the request to the ResourceManager failed.
    """
    from knit_core.errors import KnitError
    from knit_core.model.states import State
    from knit_core.monitoring.diagnosis import Pending, why_ended, why_no_master, why_running

    report, now = application.report(), int(time.time() * 1000)
    services: dict[str, ServiceStatus] = {}
    containers: list[Container] = []
    problem = ""
    why: Why | None = None
    if report.ended:
        result = application.final_result(report)
        containers, why = list(result.containers), why_ended(result, report)
    elif report.state is State.RUNNING:
        try:
            services, containers = application.services(), application.containers()
            pending = [Pending.parse(row) for row in application.cluster.resourcemanager.pending(application.id)]
            nodes = _resolved(nodes_and_queues).nodes if any(each.count for each in pending) else ()
            why = why_running(report, services, containers, pending if nodes else (), nodes, now)
        except KnitError as error:  # for example, its ApplicationMaster restarts; the other values are known
            problem = str(error)
    else:
        nodes_and_queues = _resolved(nodes_and_queues)
        why = why_no_master(report, now, nodes_and_queues.nodes, nodes_and_queues.queues)
    return {
        **row_of(report, None),
        "why": str(why) if why is not None else problem,
        "problem": problem,
        "services": [_service(each) for each in services.values()],
        "rows": containers_of(containers),
        "found": len(containers),
        "master": report.master_logs != "",
        "scalable": report.state is State.RUNNING and bool(services),
    }


def containers_of(containers: list[Container]) -> list[dict[str, Any]]:
    """Rows of the containers, in the order of services and ranks; with too many, those that failed or run come first."""
    chosen = sorted(containers, key=lambda each: (each.service, each.instance, each.attempt))
    if len(chosen) > MOST_CONTAINERS:
        chosen = sorted(chosen, key=lambda each: _FIRST.get(str(each.state), 9))[:MOST_CONTAINERS]
    return [
        {
            "id": each.id,
            "service": each.service,
            "instance": each.instance,
            "attempt": each.attempt,
            "state": str(each.state).lower(),
            "ended": each.state.ended,
            "ready": each.ready,
            "yarn": each.yarn,
            "host": each.host,
            "exit_code": each.exit_code,
            "progress": each.progress,
            "metrics": {str(key): str(value)[:60] for key, value in list(each.metrics.items())[:8]},
            "started_at": each.started_at,
            "finished_at": each.finished_at,
            "diagnostics": " ".join(each.diagnostics.split())[:400],
        }
        for each in chosen
    ]


def with_report(view: dict[str, Any], report: ApplicationReport) -> dict[str, Any]:
    """A view with the values that only the list has: resources that are requested and not allocated yet."""
    if view["state"] != "running":
        return view
    return {
        **view,
        "pending": report.pending_containers,
        "memory_asked": view["memory"] + report.pending_memory,
        "vcores_asked": view["vcores"] + report.pending_vcores,
    }


def _service(status: ServiceStatus) -> dict[str, Any]:
    names = ("name", "state", "instances", "running", "ready", "pending", "succeeded", "failed", "restarts")
    return {name: getattr(status, name) for name in names}


def _resolved(nodes_and_queues: Any | Callable[[], Any]) -> Any:
    return nodes_and_queues() if callable(nodes_and_queues) else nodes_and_queues
