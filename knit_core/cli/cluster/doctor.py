"""`knit doctor`: checks each step from the configuration to a container, and prints a remedy for the first failure."""

from __future__ import annotations

import click

from knit_core.cli.interruption import signals_interrupt
from knit_core.cli.shared import client, console
from knit_core.errors import KnitError


@click.command()
@click.option("--launch/--no-launch", default=True, help="Also run one small container.")
@click.pass_context
def command(ctx: click.Context, launch: bool) -> int:
    """Check configuration, ResourceManager, HDFS and staging folder, and run one container."""
    out = console()
    with client(ctx) as knit:
        for name, value in knit.config.describe().items():
            out.print(f"✓ {name:16}{value['value']}   ({value['source']})", style="green")
        for line in knit.check():
            out.print(f"✓ {line}", style="green")
        knit.staging.prepare()
        out.print(f"✓ staging folder  {knit.config.staging}", style="green")
        if not launch:
            return 0
        with signals_interrupt():
            app = knit.submit("echo ok", memory=128, name="knit doctor")
            try:
                app.wait(timeout=120)
            except (KnitError, KeyboardInterrupt):
                app.kill("knit doctor")
                raise
        out.print(f"✓ a container ran: {app.id}", style="green")
    return 0
