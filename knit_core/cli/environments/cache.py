"""`knit env push` and `knit env prune`: upload environments before a launch, and prune both caches."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from knit_core.cli.environments.options import as_json as _as_json
from knit_core.cli.environments.options import cache_dir as _cache_dir
from knit_core.cli.shared import client, console
from knit_core.cli.upload_progress import UploadBar
from knit_core.errors import KnitError
from knit_core.hdfs_cache.leases import PUSHED
from knit_core.model.clock import Clock
from knit_core.model.units import mebibytes, seconds, show_bytes, show_seconds

if TYPE_CHECKING:
    from rich.console import Console

    from knit_core.hdfs_cache.pruning import Pruned


@click.command()
@click.argument("environment", metavar="NAME|ARCHIVE")
@_cache_dir
@_as_json
@click.pass_context
def push(ctx: click.Context, environment: str, cache_dir: Path | None, as_json: bool) -> int:
    """Upload an environment to HDFS before a launch: one of this machine's cache, by its name, or an archive."""
    from knit_core.environments import Environment, EnvironmentBuilder
    from knit_core.model.environment import ARCHIVE_SUFFIXES

    found = (
        Environment.from_archive(environment)
        if environment.lower().endswith(ARCHIVE_SUFFIXES)
        else EnvironmentBuilder(cache_dir).get(environment)
    )
    if found is None:
        raise KnitError(f"No environment {environment!r} in the cache of this machine. See knit env list.")
    out = console(stderr=True)
    with client(ctx) as knit:
        with UploadBar(out) as bar:
            pushed = knit.push_env(found, bar)
    if as_json:
        click.echo(json.dumps(asdict(pushed), indent=2))
        return 0
    how = f"{show_bytes(pushed.uploaded)} sent" if pushed.uploaded else "there already, nothing sent"
    out.print(f"✓ environment   {found.name}  {show_bytes(pushed.size)}  ({how})", style="green")
    click.echo(pushed.url)
    return 0


def _span(_ctx: click.Context, _option: click.Parameter, text: str | None) -> float | None:
    return _amount(text, seconds)


def _size(_ctx: click.Context, _option: click.Parameter, text: str | None) -> int | None:
    found = _amount(text, lambda given: mebibytes(given) if given.strip("0 ") else 0)
    return None if found is None else int(found) << 20


def _amount(text: str | None, parse: Callable[[str], float]) -> float | None:
    if text is None:
        return None
    try:
        return float(parse(text))
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@click.command()
@click.option(
    "--older-than", callback=_span, metavar="SPAN", help="Delete what was not used for this time; default: 30d."
)
@click.option(
    "--keep-size", callback=_size, metavar="SIZE", help="Delete the least recently used until this size is left."
)
@click.option("--dry-run", is_flag=True, help="Show what would be deleted; delete nothing.")
@click.option("--local/--no-local", "local", default=True, help="Prune the cache of this machine.")
@click.option("--hdfs/--no-hdfs", "remote", default=True, help="Prune the caches on HDFS.")
@_cache_dir
@_as_json
@click.pass_context
def prune(
    ctx: click.Context,
    older_than: float | None,
    keep_size: int | None,
    dry_run: bool,
    local: bool,
    remote: bool,
    cache_dir: Path | None,
    as_json: bool,
) -> int:
    """Delete what was not used for long, on this machine and on HDFS; never what a running application uses.

    \b
    knit env prune --dry-run
    knit env prune --older-than 14d --keep-size "20 GB"
    """
    done: dict[str, Pruned] = {}
    if local:
        from knit_core.environments.prune import prune_local

        done["this machine"] = prune_local(cache_dir, older_than=older_than, keep_size=keep_size, dry_run=dry_run)
    if remote:
        with client(ctx) as knit:
            done["HDFS"] = knit.prune_envs(older_than=older_than, keep_size=keep_size, dry_run=dry_run)
    if as_json:
        document = {
            place: {**asdict(pruned), "freed": pruned.freed, "dry_run": dry_run} for place, pruned in done.items()
        }
        click.echo(json.dumps(document, indent=2))
        return 0
    out = console()
    for place, pruned in done.items():
        _show(out, place, pruned, dry_run)
    return 0


def _show(out: Console, place: str, pruned: Pruned, dry_run: bool, clock: Clock = time) -> None:
    for item in pruned.gone:
        idle = show_seconds(max(0.0, clock.time() - item.used / 1000))
        out.print(f"  {item.path}  {item.name}  {show_bytes(item.size)}, not used for {idle}", style="dim")
    in_use = sum(bool({*item.holders} - {PUSHED}) for item in pruned.kept)
    verb = "would free" if dry_run else "freed"
    half = f", {pruned.swept} half uploads" if pruned.swept else ""
    out.print(
        f"✓ {place}: {verb} {show_bytes(pruned.freed)} ({len(pruned.gone)} entries{half}); "
        f"{len(pruned.kept)} stay, {in_use} of them in use",
        style="green",
    )
