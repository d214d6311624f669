"""The page's queries and actions: answers of the clusters, limited by the user's permissions in Airflow."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fastapi import HTTPException
from starlette.concurrency import run_in_threadpool

from knit_airflow.page import auth
from knit_airflow.page.cluster_cache import ApplicationList, ClusterCache, ClusterCaches, error_text
from knit_airflow.page.detail_view import with_report
from knit_airflow.page.list_view import ListQuery, TaskKey, page_of, row_of
from knit_airflow.page.single_flight import Busy, Late
from knit_airflow.page.task_lookup import TaskLookup
from knit_airflow.page.wait_reasons import reasons

if TYPE_CHECKING:
    from knit_core import ApplicationReport

_TASK = frozenset({"dag_id", "run_id", "task_id", "map_index", "task"})


class PageService:
    """The implementation of the routes.

    Every method takes the user. It raises HTTPException 403 when Airflow does not permit the request, and 404 for an application
    that does not belong to this deployment.
    """

    def __init__(self, clusters: ClusterCaches, tasks: TaskLookup) -> None:
        self.clusters, self.tasks = clusters, tasks

    async def list_page(self, user: Any, query: ListQuery) -> dict[str, Any]:
        """One page of the list."""
        dags = await run_in_threadpool(auth.visible_dags, user)
        if dags is None:
            raise HTTPException(403, "Forbidden")
        lists, tasks = await self._lists_and_tasks()
        known: dict[str, tuple[ClusterCache, ApplicationReport]] = {}
        rows: list[dict[str, Any]] = []
        for cluster, seen in lists:
            mine = [each for each in seen.reports if each.id in tasks]
            orphans = any(tasks[each.id] is None for each in mine) and await run_in_threadpool(
                auth.may_use, user, cluster.knit_conn_id
            )
            for report in mine:
                task = tasks[report.id]
                if orphans if task is None else task.dag_id in dags:
                    rows.append(row_of(report, task))
                    known[report.id] = (cluster, report)
        found = page_of(rows, query)
        await reasons(found["rows"], known)
        return {
            **found,
            "at": min((seen.at for _, seen in lists if seen.at is not None), default=None),
            "errors": [f"{cluster.knit_conn_id}: {seen.error}" for cluster, seen in lists if seen.error],
        }

    async def task(self, user: Any, task: TaskKey) -> dict[str, Any]:
        """The applications of one task instance, newest first."""
        if not await run_in_threadpool(auth.may, user, auth.SEE, task.dag_id):
            raise HTTPException(403, "Forbidden")
        tag = self.tasks.tag_of(task)
        lists = await self.clusters.applications()
        rows = [row_of(each, task) for _, seen in lists for each in seen.reports if tag in each.tags]
        rows.sort(key=lambda row: row["started_at"] or 0, reverse=True)
        return {"applications": rows, "errors": [seen.error for _, seen in lists if seen.error]}

    async def application(self, user: Any, app_id: str) -> dict[str, Any]:
        """One application with its services and containers, and the user's permissions."""
        cluster, report, task = await self._find(user, app_id, auth.SEE)
        try:
            view = await cluster.view(app_id)
        except (Busy, Late):
            raise
        except Exception as error:
            raise HTTPException(502, error_text(error)) from None
        return {
            **with_report(view, report),
            **{name: value for name, value in row_of(report, task).items() if name in _TASK},
            "may_act": await self._may(user, auth.ACT, task, cluster),
            "may_read_logs": await self._may(user, auth.READ_LOGS, task, cluster),
        }

    async def log(self, user: Any, app_id: str, container: str, cursor: dict[str, int] | None) -> dict[str, Any]:
        """The next lines of a container's log."""
        cluster, _, _ = await self._find(user, app_id, auth.READ_LOGS)
        try:
            part = await cluster.log(app_id, container, cursor)
        except (Busy, Late):
            raise
        except Exception as error:
            return {"lines": [], "cursor": cursor, "more": False, "note": error_text(error)}
        return {"lines": part.lines, "cursor": part.cursor, "more": part.more, "note": part.note}

    async def act(self, user: Any, app_id: str, event: str, extra: str, action: Callable[[Any], Any]) -> Any:
        """Write the action into Airflow's audit log, then run it."""
        cluster, _, task = await self._find(user, app_id, auth.ACT)
        await run_in_threadpool(auth.audit, user, event, task, f"{app_id} {extra}".strip())
        try:
            return await cluster.act(app_id, action)
        except (Busy, Late):
            raise
        except Exception as error:
            raise HTTPException(409, error_text(error)) from None

    async def _lists_and_tasks(self) -> tuple[list[tuple[ClusterCache, ApplicationList]], dict[str, TaskKey | None]]:
        lists = await self.clusters.applications()
        reports = [report for _, seen in lists for report in seen.reports]
        return lists, await run_in_threadpool(self.tasks.of, reports)

    async def _find(self, user: Any, app_id: str, what: str) -> tuple[ClusterCache, ApplicationReport, TaskKey | None]:
        found = await self.clusters.find(app_id)
        if found is None:
            raise HTTPException(404, f"{app_id} is not, or no longer, an application of this deployment")
        _, tasks = await self._lists_and_tasks()
        cluster, report = found
        if app_id not in tasks:  # it has the deployment's tag, but no task instance's tag
            raise HTTPException(404, f"{app_id} is not, or no longer, an application of this deployment")
        task = tasks[app_id]
        if not await self._may(user, what, task, cluster):
            raise HTTPException(403, "Forbidden" if what == auth.SEE else f"You have no permission to {what} here")
        return cluster, report, task

    async def _may(self, user: Any, what: str, task: TaskKey | None, cluster: ClusterCache) -> bool:
        return bool(await run_in_threadpool(auth.may_with, user, what, task, cluster.knit_conn_id))
