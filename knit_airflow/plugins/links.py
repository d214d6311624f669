"""Airflow plugin: the links of every try, read by the api-server from the tasks' state stores."""

from __future__ import annotations

import json
from typing import Any

from airflow.plugins_manager import AirflowPlugin

from knit_airflow.links.knit import PAGES_KEY, KnitApplicationLink, KnitLogsLink, KnitOwnPageLink, PageLink


class _StoredLink(PageLink):
    """Reads the address from the database; Airflow prefers a plugin's link to the operator's link of the same name."""

    @property
    def operators(self) -> list[type]:  # type: ignore[override]
        """The operators with this link. Airflow reads this property when it loads a DAG."""
        from knit_airflow.decorators.knit import KnitDecoratedOperator
        from knit_airflow.operators.knit import KnitOperator
        from knit_airflow.sensors.knit import KnitSensor

        return [KnitOperator, KnitDecoratedOperator, KnitSensor]

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """The address of this try."""
        pages, newest = _stored_pages(ti_key)
        found = pages.get(str(ti_key.try_number))
        if isinstance(found, dict):
            return str(found.get(self.kind, ""))
        # Without a record there may be XComs; they are of the newest try.
        return _xcom(ti_key, self.xcom_key) if ti_key.try_number >= newest else ""


class _Application(_StoredLink, KnitApplicationLink):
    """See KnitApplicationLink."""

    xcom_key = KnitApplicationLink().xcom_key


class _OwnPage(_StoredLink, KnitOwnPageLink):
    """See KnitOwnPageLink."""

    xcom_key = KnitOwnPageLink().xcom_key


class _Logs(_StoredLink, KnitLogsLink):
    """See KnitLogsLink."""

    xcom_key = KnitLogsLink().xcom_key


class KnitLinks(AirflowPlugin):
    """Named by the entry point `airflow.plugins`."""

    name = "knit_links"
    operator_extra_links = (_Application(), _OwnPage(), _Logs())  # type: ignore[assignment]


def _stored_pages(key: Any) -> tuple[dict[str, Any], int]:
    """The addresses of each try of a task instance, and the number of its newest try."""
    from airflow.models.task_state_store import TaskStateStoreModel as Store
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session
    from sqlalchemy import select

    place = {"dag_id": key.dag_id, "run_id": key.run_id, "task_id": key.task_id, "map_index": key.map_index}
    with create_session() as session:
        text = session.scalar(select(Store.value).filter_by(**place, key=PAGES_KEY))
        newest = session.scalar(select(TaskInstance.try_number).filter_by(**place))
    try:
        found = json.loads(text) if text else {}
    except ValueError:
        found = {}
    return (found if isinstance(found, dict) else {}), int(newest or 0)


def _xcom(key: Any, xcom_key: str) -> str:
    from airflow.serialization.definitions.operatorlink import XComOperatorLink

    return str(XComOperatorLink(name="", xcom_key=xcom_key).get_link(None, ti_key=key) or "")  # type: ignore[arg-type]
