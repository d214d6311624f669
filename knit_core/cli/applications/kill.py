"""`knit kill`: end an application."""

from __future__ import annotations

import click

from knit_core.cli.shared import application, client, console


@click.command()
@click.argument("app", metavar="APPLICATION")
@click.option("--reason", default="", help="Text for its diagnostics.")
@click.option("--grace", default="10 s", show_default=True, help="Time for an orderly end.")
@click.pass_context
def command(ctx: click.Context, app: str, reason: str, grace: str) -> int:
    """End an application (by its id, its last digits, or its name)."""
    with client(ctx) as knit:
        handle = application(knit, app)
        if handle.kill(reason, grace):
            console().print(f"✓ ended {handle.id}", style="green")
        else:
            # kill() does not raise an error for an unknown application; why() does
            console().print(f"{handle.id} had ended already: {handle.why().text}")
    return 0
