"""`knit scale`: changes the number of instances of a service."""

from __future__ import annotations

import re

import click

from knit_core.cli.shared import application, client, console
from knit_core.model.units import counted


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("app", metavar="APPLICATION")
@click.argument("words", nargs=-1, required=True, metavar="[SERVICE] NUMBER")
@click.pass_context
def command(ctx: click.Context, app: str, words: tuple[str, ...]) -> int:
    """Set the number of instances of SERVICE (optional with a single service); +2 and -2 are relative.

    \b
    knit scale 42 8
    knit scale 42 worker +2
    """
    if len(words) > 2 or not re.fullmatch(r"[+-]?\d+", words[-1]):
        raise click.UsageError(f"the arguments are a service and a number (8, +2, -2), not {' '.join(words)!r}")
    number = int(words[-1])
    with client(ctx) as knit:
        handle = application(knit, app)
        services = handle.services()
        service = words[0] if len(words) == 2 else next(iter(services)) if len(services) == 1 else ""
        if service not in services:
            raise click.UsageError(f"name one of its services: {', '.join(services)}")
        relative = words[-1][0] in "+-"
        now = handle.scale(by=number, service=service) if relative else handle.scale(number, service)
        console().print(f"✓ {service} has {counted(now, 'instance')}", style="green")
    return 0
