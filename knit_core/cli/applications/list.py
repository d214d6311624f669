"""`knit list`: a list of applications."""

from __future__ import annotations

import json

import click

from knit_core.cli.shared import client, console
from knit_core.model.states import State
from knit_core.model.units import show_memory


@click.command()
@click.option("--all", "everything", is_flag=True, help="Include ended applications.")
@click.option("--queue", help="Only applications in this queue.")
@click.option("--owner", help="Only applications of this user.")
@click.option("--tag", "tags", multiple=True, help="Only applications with one of these tags; repeatable.")
@click.option("--any-type", is_flag=True, help="Include applications that Knit did not launch.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.pass_context
def command(
    ctx: click.Context,
    everything: bool,
    queue: str | None,
    owner: str | None,
    tags: tuple[str, ...],
    any_type: bool,
    as_json: bool,
) -> int:
    """List applications that run or wait."""
    with client(ctx) as knit:
        types = None if any_type else ("KNIT",)
        rows = knit.list(
            states=list(State) if everything else None, queue=queue, user=owner, types=types, tags=tags or None
        )
    if as_json:
        click.echo(json.dumps([row.to_dict() for row in rows], indent=2))
        return 0
    out = console()
    if not rows:
        out.print("No applications" + ("" if everything else " run or wait (include ended ones: --all)"))
        return 0
    lines = [("id", "name", "user", "queue", "state", "progress", "containers", "memory")]
    for row in rows:
        used = show_memory(row.memory) if row.memory else ""
        state, count = str(row.outcome or row.state), str(row.containers or "")
        lines.append((row.id, row.name[:30], row.user, row.queue, state, f"{row.progress:.0%}", count, used))
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    for line in lines:
        out.print("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())
    return 0
