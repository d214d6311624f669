"""`knit events`: the events of an application."""

from __future__ import annotations

import dataclasses
import json
from datetime import datetime

import click

from knit_core.cli.shared import application, client


@click.command()
@click.argument("app", metavar="APPLICATION")
@click.option("-f", "--follow", is_flag=True, help="Follow new events until the application ends.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, one object per line.")
@click.pass_context
def command(ctx: click.Context, app: str, follow: bool, as_json: bool) -> int:
    """Show the events of an application (by its id, its last digits, or its name), oldest first."""
    with client(ctx) as knit:
        for event in application(knit, app).events(follow=follow):
            if as_json:
                click.echo(json.dumps(dataclasses.asdict(event)))
            else:
                at = datetime.fromtimestamp(event.at / 1000).strftime("%H:%M:%S")
                click.echo(f"{at}  {event.kind:22}{event.container:14}{event.detail}".rstrip())
    return 0
