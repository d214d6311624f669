"""`knit airflow reap`: list and end applications without a task."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from typing import TYPE_CHECKING

import click

from knit_airflow.orphans import find
from knit_airflow.tags import checked

if TYPE_CHECKING:
    from knit_core.model.report import ApplicationReport


@click.command()
@click.option("--conn-id", default="knit_default", show_default=True, help="The connection of the cluster.")
@click.option("--deployment", help="Name of this Airflow; by default `[knit] deployment`.")
@click.option(
    "--age",
    type=click.FloatRange(min=0),
    default=600,
    show_default=True,
    help="Seconds; younger applications are not listed.",
)
@click.option("--end", is_flag=True, help="End them.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def reap(conn_id: str, deployment: str | None, age: float, end: bool, as_json: bool) -> int:
    """List applications of this Airflow whose task instance is over or gone; with --end, end them."""
    os.environ.setdefault("_AIRFLOW_PROCESS_CONTEXT", "server")  # also find the connections of the database
    with contextlib.redirect_stdout(sys.stderr):  # Airflow logs to stdout, which is for the command's output
        found = _reap(conn_id, deployment, age, end)
    if as_json:
        click.echo(json.dumps([{**report.to_dict(), "ended": end} for report in found], indent=2))
        return 0
    for report in found:
        click.echo(f"{report.id}  {report.name}  {report.user}  {report.queue}  {'ended' if end else 'no task'}")
    if not found:
        click.echo("No application of this Airflow is without its task.")
    return 0


def _reap(conn_id: str, deployment: str | None, age: float, end: bool) -> list[ApplicationReport]:
    try:
        from knit_airflow.hooks.knit import KnitHook
        from knit_airflow.version_compat import deployment as configured
    except ModuleNotFoundError as missing:
        raise click.UsageError(
            f"This command needs Airflow, which is not installed here ({missing}): run it where the scheduler runs."
        ) from None

    name = deployment or configured()
    if not name:
        raise click.UsageError(
            "This Airflow has no name, so that its applications cannot be distinguished from those of others: set [knit] "
            "deployment (AIRFLOW__KNIT__DEPLOYMENT) for all its components. Applications launched after that are found."
        )
    try:
        checked(name)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    with KnitHook(conn_id).get_conn() as knit:
        found = find(knit, name, age)
        if end:
            for report in found:
                knit.attach(report.id).kill(reason="Its Airflow task is over", grace=10)
    return found
