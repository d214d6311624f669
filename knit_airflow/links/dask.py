"""The button that opens a Dask dashboard."""

from __future__ import annotations

from typing import Any

from knit_airflow.version_compat import BaseOperatorLink, XCom


class KnitDaskDashboardLink(BaseOperatorLink):
    """Opens the dashboard of the task's Dask cluster."""

    name = "Dask dashboard"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """The dashboard's address through the ResourceManager's proxy; empty while there is no cluster."""
        return str(getattr(operator, "dashboard", "") or XCom.get_value(ti_key=ti_key, key="dashboard") or "")
