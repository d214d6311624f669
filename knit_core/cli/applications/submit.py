"""`knit submit`: a specification in a file, launched and followed to its end."""

from __future__ import annotations

import click

from knit_core.cli.applications.follow import launch, launching
from knit_core.cli.applications.spec_options import filling, read_spec


@click.command()
@click.argument("file", metavar="SPEC")
@filling
@click.option("--name", default=None, help="Instead of the file's.")
@click.option("--queue", default=None, help="Instead of the file's.")
@launching
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
    """Launch the application in the file SPEC (YAML or JSON), show its output, and end with its success or failure.
    Ctrl-C ends the application.

    \b
    knit submit train.yaml --param day=2026-11-23 --set services.train.instances=8
    """
    spec = read_spec(file, parameters, changes, name=name, queue=queue)
    return launch(ctx, spec, key=key, detach=detach, keep=keep, dry_run=dry_run)
