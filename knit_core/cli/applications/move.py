"""`knit move`: changes an application's queue and priority."""

from __future__ import annotations

import click

from knit_core.cli.shared import application, client, console


@click.command()
@click.argument("app", metavar="APPLICATION")
@click.option("--queue", help="Move it to this queue.")
@click.option("--priority", type=click.IntRange(min=0), help="Set its priority within the queue.")
@click.pass_context
def command(ctx: click.Context, app: str, queue: str | None, priority: int | None) -> int:
    """Change the queue or priority of an application (by its id, its last digits, or its name)."""
    if queue is None and priority is None:
        raise click.UsageError("use --queue or --priority")
    with client(ctx) as knit:
        handle = application(knit, app)
        if queue is not None:
            handle.move(queue)
        if priority is not None:
            handle.set_priority(priority)
        report = handle.report()
        rank = f" with priority {report.priority}" if report.priority > 0 else ""
        console().print(f"✓ {handle.id} is in queue {report.queue}{rank}", style="green")
    return 0
