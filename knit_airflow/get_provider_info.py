"""What Airflow's provider manager learns about this provider, without importing anything of Airflow."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Any

from knit_airflow._airflow_version import problem, warn_once


def get_provider_info() -> dict[str, Any]:
    """Entry point `apache_airflow_provider`: connection type and form, operators, sensors, hooks, triggers, links."""
    try:
        versions = [version("knit-yarn")]
    except PackageNotFoundError:
        versions = []

    about = {
        "package-name": "knit-yarn",
        "name": "Knit",
        "description": "Distributed Python programs on Hadoop YARN.",
        "versions": versions,
    }
    if problem():  # an older Airflow would import what is named here
        warn_once()
        return about

    def modules(*names: str) -> list[dict[str, Any]]:
        return [{"integration-name": "Knit", "python-modules": list(names)}]

    return {
        **about,
        "integrations": [{"integration-name": "Knit", "tags": ["hadoop", "yarn"]}],
        "operators": modules(
            "knit_airflow.operators.knit", "knit_airflow.operators.environment", "knit_airflow.operators.dask"
        ),
        "sensors": modules("knit_airflow.sensors.knit"),
        "hooks": modules("knit_airflow.hooks.knit", "knit_airflow.hooks.dask"),
        "triggers": modules(
            "knit_airflow.triggers.application",
            "knit_airflow.triggers.sensor",
            "knit_airflow.triggers.dask",
            "knit_airflow.triggers.asset_watchers",
        ),
        "connection-types": [_connection_type()],
        "config": {
            "knit": {
                "description": "Settings of the Knit provider.",
                "options": {
                    "deployment": {
                        "description": "The name of this Airflow among all that use the same cluster: its applications "
                        "are tagged with it, by which `knit airflow reap` finds those without a task, and watchers "
                        "those of a task. Empty: neither.",
                        "version_added": None,
                        "type": "string",
                        "example": "prod",
                        "default": "",
                    },
                    "log_limit": {
                        "description": "How much of its containers' logs a task's log takes: MiB, or a text such as "
                        "500 kB. Of more the beginning and the end are shown, and where the rest is. 0: nothing. "
                        "Operators have a parameter of the same name.",
                        "version_added": None,
                        "type": "string",
                        "example": "10 MiB",
                        "default": "2 MiB",
                    },
                    "live_logs_tasks": {
                        "description": "Of so many deferred tasks at a time a triggerer follows the container logs; those of "
                        "others are written when they resume. 0: of none.",
                        "version_added": None,
                        "type": "integer",
                        "example": "200",
                        "default": "50",
                    },
                    "page": {
                        "description": "Whether Airflow's navigation has Knit's page, and every task instance a tab of it.",
                        "version_added": None,
                        "type": "boolean",
                        "example": None,
                        "default": "True",
                    },
                    "page_connections": {
                        "description": "The connections whose applications the page shows, separated by commas.",
                        "version_added": None,
                        "type": "string",
                        "example": "knit_default,knit_science",
                        "default": "knit_default",
                    },
                },
            }
        },
        "task-decorators": [{"name": "knit", "class-name": "knit_airflow.decorators.knit.knit_task"}],
        "extra-links": [
            *(f"knit_airflow.links.knit.{name}" for name in ("KnitApplicationLink", "KnitOwnPageLink", "KnitLogsLink")),
            "knit_airflow.links.dask.KnitDaskDashboardLink",
        ],
    }


def _connection_type() -> dict[str, Any]:
    def text(label: str, description: str, **schema: Any) -> dict[str, Any]:
        return {"label": label, "description": description, "schema": {"type": ["string", "null"], **schema}}

    return {
        "connection-type": "knit",
        "hook-name": "Knit (Hadoop YARN)",
        "hook-class-name": "knit_airflow.hooks.knit.KnitHook",
        "ui-field-behaviour": {
            "hidden-fields": ["schema"],
            "relabeling": {"host": "ResourceManager", "port": "ResourceManager port", "login": "User"},
            "placeholders": {
                "host": "http://rm.example.org:8088 (empty: found from HADOOP_CONF_DIR and the like)",
                "port": "8088",
                "login": "who applications run as (simple authentication), or the gateway's user",
                "password": "only for a gateway that asks for one",
            },
        },
        "conn-fields": {
            "namenode": text(
                "NameNode", "HTTP address of HDFS, http://nn.example.org:9870; empty: the cluster is asked"
            ),
            "staging": text("Staging folder", "HDFS folder for files and environments; empty: /user/<user>/.knit"),
            "queue": text("Queue", "YARN queue for tasks that name none; empty: default"),
            "auth": text(
                "Authentication", "simple, or basic for a gateway; empty: simple", enum=["simple", "basic", None]
            ),
            "gateway_path": text("Gateway path", "Path below a Knox gateway's address, such as /gateway/default"),
        },
    }
