"""`knit why`: shows why an application waits or ended."""

from __future__ import annotations

import dataclasses
import json

import click

from knit_core.cli.shared import application, client, console


@click.command()
@click.argument("app", metavar="APPLICATION")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.pass_context
def command(ctx: click.Context, app: str, as_json: bool) -> int:
    """Show why an application (by its id, its last digits, or its name) waits or ended, and the remedy."""
    with client(ctx) as knit:
        why = application(knit, app).why()
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(why), indent=2))
    else:
        console().print(str(why))
    return 0
