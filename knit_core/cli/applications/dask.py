"""`knit dask run`: runs a script and its Dask cluster in one application."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from knit_core.cli.applications.launch_and_follow import launch, launch_options, variables_of
from knit_core.cli.environments import named as env_named
from knit_core.cli.shared import NearestGroup
from knit_core.spec import application_spec


@click.group(cls=NearestGroup)
def command() -> None:
    """Dask clusters on YARN."""


def _sizes(function: Any) -> Any:
    """The options for the containers."""
    for option in (
        click.option("--queue", default=None, help="Scheduler queue."),
        click.option("--name", default=None, help="Name in YARN; by default the script's."),
        click.option(
            "--security/--no-security",
            default=True,
            show_default=True,
            help="TLS between client, scheduler and workers.",
        ),
        click.option(
            "-e",
            "--variable",
            "variables",
            multiple=True,
            metavar="NAME[=VALUE]",
            help="Environment variable for all containers; NAME alone takes the local value.",
        ),
        click.option("-f", "--file", "files", multiple=True, help="A file for every container; archives are unpacked."),
        click.option("--env", help=env_named.HELP),
        click.option(
            "--scheduler-memory", default="1 GiB", show_default=True, help="Memory of the scheduler's container."
        ),
        click.option("--label", "node_label", default="", help="Workers only on nodes with this label."),
        click.option("--processes", default=1, show_default=True, help="Number of workers in each container."),
        click.option("--vcores", default=1, show_default=True, help="Cores of each worker's container."),
        click.option("--memory", default="2 GiB", show_default=True, help="Memory of each worker's container."),
        click.option(
            "-n", "--workers", "n_workers", default=1, show_default=True, help="Number of containers with workers."
        ),
    ):
        function = option(function)
    return function


@command.command(context_settings={"ignore_unknown_options": True})
@_sizes
@launch_options
@click.argument("script", type=click.Path(exists=True, dir_okay=False))
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def run(
    ctx: click.Context,
    /,
    script: str,
    arguments: tuple[str, ...],
    key: str | None,
    detach: bool,
    keep: bool,
    dry_run: bool,
    **options: Any,
) -> int:
    """Run SCRIPT and a Dask cluster in one application; `Client()` in SCRIPT connects to the cluster.

    The application ends with the script, and has its success or failure. Options go before SCRIPT; arguments after it are
    the script's.

    \b
    knit dask run --workers 10 --memory "4 GiB" --env science.tar.gz train.py --epochs 3
    """
    from knit_core.dask_yarn.services import specification
    from knit_core.dask_yarn.tls import key_file, security_of

    application = {"name": options.pop("name") or Path(script).name[:60], "queue": options.pop("queue")}
    secure = options.pop("security")
    layout = _layout(script=(Path(script).name, *arguments), files=(script, *options.pop("files")), **options)
    with key_file(security_of(secure)) as keys:
        spec = application_spec(specification(layout, keys, **application))
        return launch(ctx, spec, key=key, detach=detach, keep=keep, dry_run=dry_run)


def _layout(env: str | None, variables: tuple[str, ...], n_workers: int, **options: Any) -> Any:
    from knit_core.dask_yarn.services import layout_of

    return layout_of(
        n_workers,
        None,
        {**options, "env": env_named.named(env), "variables": variables_of(variables)},
    )
