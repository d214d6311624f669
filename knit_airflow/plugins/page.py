"""Airflow plugin: Knit's page in the navigation, and on a tab of every task instance.

Every component of Airflow loads plugins, but only the api-server serves the page: its modules are imported with the first
request.
"""

from __future__ import annotations

import asyncio
import threading
from functools import cached_property
from typing import Any

from airflow.configuration import conf
from airflow.plugins_manager import AirflowPlugin

#: Path of the page below Airflow's own address.
PREFIX = "knit"


class KnitPlugin(AirflowPlugin):
    """Knit's page; disabled by `[knit] page = False`."""

    name = "knit"

    @cached_property
    def fastapi_apps(self) -> list[Any]:  # type: ignore[override]
        """The application that the api-server mounts."""
        if not enabled():
            return []
        return [{"app": LazyApp(), "url_prefix": f"/{PREFIX}", "name": "Knit"}]

    @cached_property
    def external_views(self) -> list[Any]:  # type: ignore[override]
        """The links to it on Airflow's own pages."""
        if not enabled():
            return []
        task = "dag_id={DAG_ID}&run_id={RUN_ID}&task_id={TASK_ID}&map_index={MAP_INDEX}"
        return [
            {
                "name": "Knit",
                "href": f"{PREFIX}/",
                "destination": "nav",
                "url_route": "knit",
                "nav_top_level": True,
                "icon": f"{PREFIX}/static/icon.svg",
                "icon_dark_mode": f"{PREFIX}/static/icon-dark.svg",
            },
            {
                "name": "Knit",
                "href": f"{PREFIX}/task?{task}",
                "destination": "task_instance",
                "icon": f"{PREFIX}/static/icon.svg",
                "icon_dark_mode": f"{PREFIX}/static/icon-dark.svg",
                "url_route": "knit-application",
            },
        ]


def enabled() -> bool:
    """`[knit] page`."""
    return bool(conf.getboolean("knit", "page", fallback=True))


class LazyApp:
    """An ASGI application that is created with the first request."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._app: Any = None

    def app(self) -> Any:
        """The application itself."""
        with self._lock:
            if self._app is None:
                self._app = self._create()
            return self._app

    def _create(self) -> Any:
        from knit_airflow.page.app import create_app

        names = str(conf.get("knit", "page_connections", fallback="") or "knit_default")
        return create_app(
            str(conf.get("knit", "deployment", fallback="") or ""),
            [each.strip() for each in names.split(",") if each.strip()],
            str(conf.get("api", "base_url", fallback="") or ""),
        )

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Handle one request; the first one imports modules, which must not block the event loop."""
        app = self._app if self._app is not None else await asyncio.to_thread(self.app)
        await app(scope, receive, send)
