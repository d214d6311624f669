"""`knit airflow`: commands that need Airflow's database; to be run where the scheduler runs."""

from __future__ import annotations

import click

from knit_airflow.cli.reap import reap


@click.group()
def command() -> None:
    """Applications that Airflow's tasks have launched."""


command.add_command(reap)
