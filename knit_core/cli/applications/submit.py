"""`knit submit`: launches a specification file, and follows the application to its end."""

from __future__ import annotations

import click

from knit_core.cli.applications.launch_and_follow import launch, launch_options
from knit_core.cli.spec_options import read_spec, show_lost, spec_options


@click.command()
@click.argument("file", metavar="SPEC")
@spec_options
@click.option("--name", default=None, help="Replaces the name in the file.")
@click.option("--queue", default=None, help="Replaces the queue in the file.")
@launch_options
@click.pass_context
def command(
    ctx: click.Context,
    file: str,
    parameters: tuple[str, ...],
    changes: tuple[str, ...],
    name: str | None,
    queue: str | None,
    key: str | None,
    detach: bool,
    keep: bool,
    dry_run: bool,
) -> int:
    """Launch the application in the file SPEC (YAML or JSON), show its output, and exit with its success or failure.
    Ctrl-C ends the application. A description for another launcher is converted as by `knit convert`.

    \b
    knit submit train.yaml --param day=2026-11-23 --set services.train.instances=8
    """
    spec = read_spec(file, parameters, changes, converted=show_lost, name=name, queue=queue)
    return launch(ctx, spec, key=key, detach=detach, keep=keep, dry_run=dry_run)
