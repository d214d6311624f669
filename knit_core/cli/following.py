"""What `knit run` and `knit submit` share: launch, show the output, end with the application's success or failure."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any, TypeVar

import click

from knit_core.cli.printing import LinePrinter
from knit_core.cli.shared import INTERRUPTED, client, console
from knit_core.cli.upload import UploadBar
from knit_core.spec import ApplicationSpec
from knit_core.units import show_seconds

F = TypeVar("F", bound=Callable[..., Any])


def launching(command: F) -> F:
    """The options of a command that launches: `key`, `detach`, `dry_run`."""
    for option in (
        click.option("--dry-run", is_flag=True, help="Show what would be done, as JSON; change nothing."),
        click.option("--detach", is_flag=True, help="Print the application id and leave it running."),
        click.option("--key", default=None, help="Launch key: the same key never launches twice."),
    ):
        command = option(command)
    return command


def launch(ctx: click.Context, spec: ApplicationSpec, *, key: str | None, detach: bool, dry_run: bool) -> int:
    """Launch and follow to the end; the exit code. Ctrl-C ends the application."""
    out = console(stderr=True)
    with client(ctx) as knit:
        if dry_run:
            click.echo(json.dumps(knit.plan(spec).describe(), indent=2))
            return 0
        source = knit.config.settings["resourcemanager"]
        out.print(f"✓ cluster      {source}   ({source.source})", style="green")
        begun = time.monotonic()
        with UploadBar(out) as knit.upload_progress:
            app = knit.submit(spec, key=key, progress=lambda text: out.print(f"  {text}", style="dim"))
        out.print(f"✓ application  {app.id}   {app.report().page}", style="green")
        if detach:
            click.echo(app.id)
            return 0
        try:
            printer = LinePrinter(lambda text: click.echo(text, nl=False), sys.stdout.isatty())
            try:
                for line in app.logs(follow=True):
                    printer.line(line)
            finally:
                printer.close()
            result = app.wait()
        except KeyboardInterrupt:
            out.print(f"\nending {app.id} …", style="yellow")
            app.kill("interrupted at the terminal")
            return INTERRUPTED
        span = show_seconds(time.monotonic() - begun)
        count = len({c.id for c in result.containers})
        containers = "1 container" if count == 1 else f"{count} containers"
        out.print(f"✓ succeeded    {containers}, {span}      logs: knit logs {app.id}", style="green")
    return 0
