"""What a user gets to see and do: the clusters' answers, cut down to what Airflow allows him."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fastapi import HTTPException
from starlette.concurrency import run_in_threadpool

from knit_airflow.page import auth as access
from knit_airflow.page.cluster_cache import Cluster, Clusters, Seen, told
from knit_airflow.page.detail_view import with_report
from knit_airflow.page.list_view import Owner, Wanted, page_of, row_of
from knit_airflow.page.single_flight import Busy, Late
from knit_airflow.page.task_lookup import Owners
from knit_airflow.page.wait_reasons import reasons

if TYPE_CHECKING:
    from knit_core import Report

_OWNER = frozenset({"dag_id", "run_id", "task_id", "map_index", "task"})


class Desk:
    """What the routes share.

    Every method takes the user and raises HTTPException 403 for what Airflow does not allow him, and 404 for an
    application that is not one of this deployment.
    """

    def __init__(self, clusters: Clusters, owners: Owners) -> None:
        self.clusters, self.owners = clusters, owners

    async def board(self, user: Any, wanted: Wanted) -> dict[str, Any]:
        """One page of the list."""
        dags = await run_in_threadpool(access.visible_dags, user)
        if dags is None:
            raise HTTPException(403, "Forbidden")
        lists, owners = await self._everything()
        known: dict[str, tuple[Cluster, Report]] = {}
        rows: list[dict[str, Any]] = []
        for cluster, seen in lists:
            mine = [each for each in seen.reports if each.id in owners]
            orphans = any(owners[each.id] is None for each in mine) and await run_in_threadpool(
                access.may_use, user, cluster.knit_conn_id
            )
            for report in mine:
                owner = owners[report.id]
                if orphans if owner is None else owner.dag_id in dags:
                    rows.append(row_of(report, owner))
                    known[report.id] = (cluster, report)
        found = page_of(rows, wanted)
        await reasons(found["rows"], known)
        return {
            **found,
            "at": min((seen.at for _, seen in lists if seen.at is not None), default=None),
            "errors": [f"{cluster.knit_conn_id}: {seen.error}" for cluster, seen in lists if seen.error],
        }

    async def task(self, user: Any, owner: Owner) -> dict[str, Any]:
        """The applications of one task instance, newest first."""
        if not await run_in_threadpool(access.may, user, access.SEE, owner.dag_id):
            raise HTTPException(403, "Forbidden")
        tag = self.owners.tag_of(owner)
        lists = await self.clusters.applications()
        rows = [row_of(each, owner) for _, seen in lists for each in seen.reports if tag in each.tags]
        rows.sort(key=lambda row: row["started_at"] or 0, reverse=True)
        return {"applications": rows, "errors": [seen.error for _, seen in lists if seen.error]}

    async def application(self, user: Any, app_id: str) -> dict[str, Any]:
        """One application with its services and containers, and what the user may do with it."""
        cluster, report, owner = await self._one(user, app_id, access.SEE)
        try:
            view = await cluster.view(app_id)
        except (Busy, Late):
            raise
        except Exception as error:
            raise HTTPException(502, told(error)) from None
        return {
            **with_report(view, report),
            **{name: value for name, value in row_of(report, owner).items() if name in _OWNER},
            "may_act": await self._may(user, access.ACT, owner, cluster),
            "may_read_logs": await self._may(user, access.READ_LOGS, owner, cluster),
        }

    async def log(self, user: Any, app_id: str, container: str, cursor: dict[str, int] | None) -> dict[str, Any]:
        """The next lines of a container."""
        cluster, _, _ = await self._one(user, app_id, access.READ_LOGS)
        try:
            part = await cluster.log(app_id, container, cursor)
        except (Busy, Late):
            raise
        except Exception as error:
            return {"lines": [], "cursor": cursor, "more": False, "note": told(error)}
        return {"lines": part.lines, "cursor": part.cursor, "more": part.more, "note": part.note}

    async def act(self, user: Any, app_id: str, event: str, extra: str, action: Callable[[Any], Any]) -> Any:
        """Do something to an application, and leave it in Airflow's audit log."""
        cluster, _, owner = await self._one(user, app_id, access.ACT)
        await run_in_threadpool(access.audit, user, event, owner, f"{app_id} {extra}".strip())
        try:
            return await cluster.act(app_id, action)
        except (Busy, Late):
            raise
        except Exception as error:
            raise HTTPException(409, told(error)) from None

    async def _everything(self) -> tuple[list[tuple[Cluster, Seen]], dict[str, Owner | None]]:
        lists = await self.clusters.applications()
        reports = [report for _, seen in lists for report in seen.reports]
        return lists, await run_in_threadpool(self.owners.of, reports)

    async def _one(self, user: Any, app_id: str, what: str) -> tuple[Cluster, Report, Owner | None]:
        found = await self.clusters.find(app_id)
        if found is None:
            raise HTTPException(404, f"{app_id} is not among this deployment's applications (any more)")
        _, owners = await self._everything()
        cluster, report = found
        if app_id not in owners:  # it has the deployment's tag, but not Knit's
            raise HTTPException(404, f"{app_id} is not among this deployment's applications (any more)")
        owner = owners[app_id]
        if not await self._may(user, what, owner, cluster):
            raise HTTPException(403, "Forbidden" if what == access.SEE else f"You have no permission to {what} here")
        return cluster, report, owner

    async def _may(self, user: Any, what: str, owner: Owner | None, cluster: Cluster) -> bool:
        return bool(await run_in_threadpool(access.may_with, user, what, owner, cluster.knit_conn_id))
