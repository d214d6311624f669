"""`knit run`: runs a command in containers, and follows it to its end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from knit_core.cli.applications.launch_and_follow import launch, launch_options, variables_of
from knit_core.cli.environments import named as env_named
from knit_core.spec import application_spec


@click.command(context_settings={"ignore_unknown_options": False})
@click.option("-n", "--instances", type=click.IntRange(1), default=1, show_default=True, help="Number of containers.")
@click.option("--memory", default="1 GiB", show_default=True, help="Memory of each container: MiB, or with a unit.")
@click.option("--vcores", default=1, show_default=True, help="Cores of each container.")
@click.option("--gpus", default=None, type=int, help="GPUs of each container.")
@click.option("--env", help=env_named.HELP)
@click.option("-f", "--file", "files", multiple=True, help="A file for every container; archives are unpacked.")
@click.option(
    "-e",
    "--variable",
    "variables",
    multiple=True,
    metavar="NAME[=VALUE]",
    help="An environment variable; NAME alone takes the local value.",
)
@click.option("--restart", default=None, help="When to restart a container: never, on-failure or always.")
@click.option("--label", "node_label", default=None, help="Only on nodes with this label.")
@click.option("--name", default=None, help="Name in YARN; by default the command's first word.")
@click.option("--queue", default=None, help="Scheduler queue.")
@click.option("--priority", default=None, type=int, help="Priority within the queue.")
@click.option("--tag", "tags", multiple=True, help="A tag for knit list and YARN's filters; repeatable.")
@click.option("--lifetime", default=None, help='End the application after this time: seconds, or "2 h".')
@click.option("--attempts", default=None, type=int, help="Maximum number of attempts of the ApplicationMaster.")
@launch_options
@click.argument("words", nargs=-1, required=True, metavar="-- COMMAND")
@click.pass_context
def command(
    ctx: click.Context,
    /,
    words: tuple[str, ...],
    variables: tuple[str, ...],
    name: str | None,
    env: str | None,
    key: str | None,
    detach: bool,
    keep: bool,
    dry_run: bool,
    **options: Any,
) -> int:
    """Run COMMAND in containers, show their output, and exit with its success or failure.

    One word is a shell command line ('echo $KNIT_INSTANCE'); several words are a program and its arguments. For several
    services, and for all settings, use a file: knit submit. Ctrl-C ends the application.
    """
    options = {option: list(value) if isinstance(value, tuple) else value for option, value in options.items()}
    spec = application_spec(
        words[0] if len(words) == 1 else list(words),
        variables=variables_of(variables),
        env=env_named.named(env),
        name=name or Path(words[0].split()[0] if words[0].strip() else "knit").name[:60],
        **options,
    )
    return launch(ctx, spec, key=key, detach=detach, keep=keep, dry_run=dry_run)
