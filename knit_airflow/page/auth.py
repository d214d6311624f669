"""Permissions on the page, from Airflow's auth manager: the same ones as for Airflow's own pages.

An application has the permissions of its task instance: reading the DAG's task instances allows to see it, reading their logs
allows to read its containers' logs, changing them (such as marking one as failed) allows to end and scale it. When the task
instance was deleted, all this needs the permission to edit the connection, with whose rights the page acts.
"""

from __future__ import annotations

from typing import Any

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import ConnectionDetails, DagAccessEntity, DagDetails
from airflow.models import Connection
from airflow.models.dag import DagModel

from knit_airflow.page.list_view import TaskKey

SEE, READ_LOGS, ACT = "see", "read logs", "act"
_ASKED: dict[str, tuple[Any, DagAccessEntity]] = {
    SEE: ("GET", DagAccessEntity.TASK_INSTANCE),
    READ_LOGS: ("GET", DagAccessEntity.TASK_LOGS),
    ACT: ("PUT", DagAccessEntity.TASK_INSTANCE),
}


def visible_dags(user: Any) -> set[str] | None:
    """The DAGs whose applications the user may see; None: the user may not read task instances at all. Blocks."""
    manager = get_auth_manager()
    if not manager.is_authorized_dag(
        method="GET", access_entity=DagAccessEntity.TASK_INSTANCE, details=DagDetails(), user=user
    ):
        return None
    return set(manager.get_authorized_dag_ids(user=user, method="GET"))


def may(user: Any, what: str, dag_id: str) -> bool:
    """Whether the user may do this (SEE, READ_LOGS, ACT) with a DAG's applications. Blocks."""
    method, entity = _ASKED[what]
    details = DagDetails(id=dag_id, team_name=DagModel.get_team_name(dag_id))
    return get_auth_manager().is_authorized_dag(method=method, access_entity=entity, details=details, user=user)


def may_use(user: Any, knit_conn_id: str) -> bool:
    """Whether the user may edit the connection. Blocks."""
    details = ConnectionDetails(conn_id=knit_conn_id, team_name=Connection.get_team_name(knit_conn_id))
    return get_auth_manager().is_authorized_connection(method="PUT", details=details, user=user)


def may_with(user: Any, what: str, task: TaskKey | None, knit_conn_id: str) -> bool:
    """Whether the user may do this with an application. Blocks.

    Parameters:
        task: its task instance; None: deleted.
        knit_conn_id: the connection of its cluster.
    """
    return may_use(user, knit_conn_id) if task is None else may(user, what, task.dag_id)


def audit(user: Any, event: str, task: TaskKey | None, extra: str) -> None:
    """Write a line into Airflow's audit log. Blocks."""
    from airflow.models import Log
    from airflow.utils.session import create_session

    place: dict[str, Any] = (
        {}
        if task is None
        else {
            "dag_id": task.dag_id,
            "run_id": task.run_id,
            "task_id": task.task_id,
            "map_index": task.map_index,
        }
    )
    name = user.get_name()
    with create_session() as session:
        session.add(Log(event=event, owner=name, owner_display_name=name, extra=extra, **place))
