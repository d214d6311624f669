"""`knit dask run`: a script whose Dask cluster, and itself, run in one application."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from knit_core.cli.applications.follow import launch, launching, variables_of
from knit_core.cli.environments import named as env_named
from knit_core.cli.shared import NearestGroup
from knit_core.spec import application_spec


@click.group(cls=NearestGroup)
def command() -> None:
    """Dask clusters on YARN."""


def _sizes(function: Any) -> Any:
    """What containers get, and where."""
    for option in (
        click.option("--queue", default=None, help="Scheduler queue."),
        click.option("--name", default=None, help="As YARN shows it."),
        click.option("--security/--no-security", default=True, show_default=True, help="TLS between all parts."),
        click.option(
            "-e",
            "--variable",
            "variables",
            multiple=True,
            metavar="NAME[=VALUE]",
            help="For all containers; NAME alone: as it is here.",
        ),
        click.option("-f", "--file", "files", multiple=True, help="A file for every container; archives are unpacked."),
        click.option("--env", help=env_named.HELP),
        click.option("--scheduler-memory", default="1 GiB", show_default=True, help="Of the scheduler's container."),
        click.option("--label", "node_label", default="", help="Workers only on nodes with this label."),
        click.option("--processes", default=1, show_default=True, help="Workers in each container."),
        click.option("--vcores", default=1, show_default=True, help="Of each worker's container."),
        click.option("--memory", default="2 GiB", show_default=True, help="Of each worker's container."),
        click.option("-n", "--workers", "n_workers", default=1, show_default=True, help="Containers with workers."),
    ):
        function = option(function)
    return function


@command.command(context_settings={"ignore_unknown_options": True})
@_sizes
@launching
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
    """Run SCRIPT as Dask's client in the application, with a cluster of its own; `Client()` there finds it.

    The application succeeds or fails as the script does, and ends with it. Options stand before SCRIPT, what follows
    belongs to the script.

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
