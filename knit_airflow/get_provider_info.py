"""The description of this provider for Airflow's provider manager. Does not import Airflow."""

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
    if problem():  # an older Airflow would import the modules named below
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
                        "description": "The name of this Airflow among all that use the same cluster. Its applications "
                        "are tagged with it: `knit airflow reap` finds those without a task by the tag, and watchers "
                        "those of a task. Empty: neither works.",
                        "version_added": None,
                        "type": "string",
                        "example": "prod",
                        "default": "",
                    },
                    "log_limit": {
                        "description": "The largest part of a task's log for container logs: MiB, or a text such as 500 kB. "
                        "Of longer logs the beginning and the end are shown, and where to read the rest. 0: none. "
                        "Operators have a parameter of the same name.",
                        "version_added": None,
                        "type": "string",
                        "example": "10 MiB",
                        "default": "2 MiB",
                    },
                    "live_logs_tasks": {
                        "description": "A triggerer follows the container logs of so many deferred tasks at a time; those of "
                        "others are written when the tasks resume. 0: of none.",
                        "version_added": None,
                        "type": "integer",
                        "example": "200",
                        "default": "50",
                    },
                    "page": {
                        "description": "Whether Knit's page is in Airflow's navigation and on a tab of every task instance.",
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
                "host": "http://rm.example.org:8088 (empty: found from HADOOP_CONF_DIR and similar)",
                "port": "8088",
                "login": "user of applications (simple authentication), or the gateway's user",
                "password": "for a gateway: the password, or the token",
            },
        },
        "conn-fields": {
            "namenode": text(
                "NameNode", "HTTP address of HDFS, http://nn.example.org:9870; empty: read from the cluster"
            ),
            "staging": text("Staging folder", "HDFS folder for files and environments; empty: /user/<user>/.knit"),
            "queue": text("Queue", "YARN queue of tasks without a queue; empty: default"),
            "auth": text(
                "Authentication",
                "simple, kerberos, or basic or token for a gateway; empty: simple or kerberos, as the cluster asks",
                enum=["simple", "kerberos", "basic", "token", None],
            ),
            "token_file": text(
                "Token file", "Gateway's token on workers and triggerers, read again when it changes; or use Password"
            ),
            "keytab": text("Keytab", "Kerberos keys on workers and triggerers; empty: the ticket cache (KRB5CCNAME)"),
            "principal": text("Principal", "Kerberos principal of the keytab or ticket cache, etl@EXAMPLE.ORG"),
            "gateway_path": text("Gateway path", "Path below a Knox gateway's address, such as /gateway/default"),
        },
    }
