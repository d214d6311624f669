"""The page's routes, mounted by the api-server below `/knit`. Every route authenticates the user; actions are POSTs.

Calls to the cluster run in the page's own threads (`single_flight`), calls to Airflow's database in the thread pool of Airflow's
own routes.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from airflow.api_fastapi.core_api.security import get_user
from fastapi import Body, Depends, FastAPI, HTTPException, Query, Request
from fastapi import Path as InPath
from fastapi.responses import FileResponse, JSONResponse

from knit_airflow.page.cluster_cache import GRACE, ClusterCaches
from knit_airflow.page.container_log import checked_cursor
from knit_airflow.page.http_guards import SecurityHeaders, require_same_origin
from knit_airflow.page.list_view import MOST_ROWS, ROWS, STATES, ListQuery, TaskKey
from knit_airflow.page.service import PageService
from knit_airflow.page.single_flight import Busy, Late
from knit_airflow.page.task_lookup import TaskLookup

if TYPE_CHECKING:
    from knit_core import Knit

STATIC = Path(__file__).parent / "static"
_KINDS = {".js": "text/javascript", ".css": "text/css", ".html": "text/html", ".svg": "image/svg+xml"}
NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$"
NO_DEPLOYMENT = (
    "This Airflow has no name, so that its applications cannot be distinguished from those of others: set [knit] deployment "
    "(AIRFLOW__KNIT__DEPLOYMENT) for all its components. Applications launched after that are shown."
)

User = Annotated[Any, Depends(get_user)]
Name = Annotated[str, InPath(pattern=NAME)]
Instances = Annotated[int, Body(embed=True, ge=0, le=100_000, strict=True)]


def create_app(
    deployment: str, connections: list[str], base_url: str, connect: Callable[[str], Knit] | None = None
) -> FastAPI:
    """The application that Airflow mounts.

    Parameters:
        deployment: `[knit] deployment`; empty: the page shows only how to set it.
        connections: ids of the connections whose clusters are shown.
        base_url: Airflow's own address.
        connect: makes a client from a connection's id; by default with KnitHook.
    """
    # For all routes, so that none is public by mistake; schema pages would be public.
    app = FastAPI(title="Knit", dependencies=[Depends(get_user)], docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(SecurityHeaders)
    app.add_exception_handler(Busy, _unavailable)
    app.add_exception_handler(Late, _unavailable)
    _add_files(app)
    if not deployment:
        _add_refusal(app)
        return app
    page_service = PageService(ClusterCaches(connections, deployment, connect or _connect), TaskLookup(deployment))
    app.state.page_service = page_service
    _add_queries(app, page_service)
    _add_actions(app, page_service, base_url)
    return app


def _connect(knit_conn_id: str) -> Knit:
    from knit_airflow.hooks.knit import KnitHook

    return KnitHook(knit_conn_id).get_conn()


async def _unavailable(_request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": str(error)}, 503, headers={"Retry-After": "5"})


def _add_files(app: FastAPI) -> None:
    names = {path.name for path in STATIC.iterdir() if path.suffix in _KINDS}

    def file(name: str) -> FileResponse:
        path = STATIC / name
        return FileResponse(path, media_type=_KINDS[path.suffix], headers={"Cache-Control": "no-cache"})

    @app.get("/")
    def list_page() -> FileResponse:
        return file("list.html")

    @app.get("/application")
    @app.get("/task")
    def application() -> FileResponse:
        return file("application.html")

    @app.get("/static/{name}")
    def static(name: str) -> FileResponse:
        if name not in names:
            raise HTTPException(404, "No such file")
        return file(name)


def _add_refusal(app: FastAPI) -> None:
    @app.get("/api/{_:path}")
    def refusal(_: str) -> None:
        raise HTTPException(409, NO_DEPLOYMENT)


def _add_queries(app: FastAPI, page_service: PageService) -> None:
    @app.get("/api/applications")
    async def applications(
        user: User,
        dag: str = "",
        state: str = Query("", pattern=f"^({'|'.join(STATES)})?$"),
        queue: str = "",
        text: str = Query("", max_length=200),
        sort: str = Query("", max_length=20),
        page: int = Query(1, ge=1),
        size: int = Query(ROWS, ge=1, le=MOST_ROWS),
    ) -> dict[str, Any]:
        """The applications that the user may see."""
        return await page_service.list_page(user, ListQuery(dag, state, queue, text, sort, page, size))

    @app.get("/api/task")
    async def task(user: User, dag_id: str, run_id: str, task_id: str, map_index: str = "-1") -> dict[str, Any]:
        """The applications of one task instance."""
        # For a task that is not mapped, Airflow does not replace its placeholder.
        index = int(map_index) if map_index.isdecimal() else -1
        return await page_service.task(user, TaskKey(dag_id, run_id, task_id, index))

    @app.get("/api/applications/{app_id}")
    async def application(user: User, app_id: Name) -> dict[str, Any]:
        """One application."""
        return await page_service.application(user, app_id)

    @app.post("/api/applications/{app_id}/log")
    async def log(user: User, app_id: Name, given: Annotated[dict[str, Any], Body()]) -> dict[str, Any]:
        """The next lines of a container's log. A POST because of the cursor's size; it changes nothing."""
        try:
            container, cursor = str(given["container"]), checked_cursor(given.get("cursor"))
        except (KeyError, ValueError) as error:
            raise HTTPException(422, str(error)) from None
        return await page_service.log(user, app_id, container, cursor)


def _add_actions(app: FastAPI, page_service: PageService, base_url: str) -> None:
    def guard(request: Request) -> None:
        require_same_origin(request, base_url)

    guarded = [Depends(guard)]

    @app.post("/api/applications/{app_id}/kill", dependencies=guarded)
    async def kill(user: User, app_id: Name) -> dict[str, Any]:
        """End an application."""
        reason = f"Ended by {user.get_name()} on Airflow's Knit page"
        ended = await page_service.act(user, app_id, "knit_kill", "", lambda it: it.kill(reason=reason, grace=GRACE))
        return {"ended": bool(ended)}

    @app.post("/api/applications/{app_id}/containers/{container}/kill", dependencies=guarded)
    async def kill_container(user: User, app_id: Name, container: Name) -> dict[str, Any]:
        """End one container."""
        await page_service.act(user, app_id, "knit_kill_container", container, lambda it: it.kill_container(container))
        return {"ended": True}

    @app.post("/api/applications/{app_id}/services/{service}/scale", dependencies=guarded)
    async def scale(user: User, app_id: Name, service: Name, instances: Instances) -> dict[str, Any]:
        """Change how many instances a service has."""
        extra = f"{service} {instances}"
        return {
            "instances": await page_service.act(
                user, app_id, "knit_scale", extra, lambda it: it.scale(instances, service)
            )
        }
