"""`knit why`: why an application waits, or why it ended."""

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
    """Say why an application (by its id, its last digits, or its name) waits or ended, and what to do about it."""
    with client(ctx) as knit:
        why = application(knit, app).why()
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(why), indent=2))
    else:
        console().print(str(why))
    return 0
