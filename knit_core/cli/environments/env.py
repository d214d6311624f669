"""`knit env`: build environments, lock them, and show the cache of this machine."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from knit_core.cli.environments.cache import prune, push
from knit_core.cli.environments.display import ProgressLine, date, facts, megabytes, plan_text, print_errors
from knit_core.cli.environments.named import find
from knit_core.cli.environments.options import as_json as _as_json
from knit_core.cli.environments.options import cache_dir as _cache_dir
from knit_core.environments import Environment, EnvironmentBuilder, EnvironmentInput
from knit_core.environments.platforms import PLATFORMS
from knit_core.environments.solve.request import SOLVERS

Decorator = Callable[[Callable[..., None]], Callable[..., None]]

_INPUT_OPTIONS = (
    click.argument("packages", nargs=-1),
    click.option(
        "-c", "--channel", "channels", multiple=True, help="Name, URL or folder; repeatable. Default: conda-forge."
    ),
    click.option("--pip", "pip", multiple=True, metavar="REQUIREMENT", help="A pip package on top; repeatable."),
    click.option(
        "-f",
        "--file",
        type=click.Path(path_type=Path),
        help="environment.yml, requirements.txt, pyproject.toml or a lock file instead of packages.",
    ),
    click.option(
        "--python", default="", metavar="VERSION", help="Without conda packages: which Python of this machine."
    ),
    click.option(
        "--platform", type=click.Choice(PLATFORMS), help="Default: Linux on this machine's processor architecture."
    ),
    click.option("--solver", type=click.Choice(SOLVERS), default="rattler", show_default=True),
)


def _input_options(command: Callable[..., None]) -> Callable[..., None]:
    """Adds the arguments that describe an environment's packages."""
    for decorator in reversed(_INPUT_OPTIONS):
        command = decorator(command)
    return command


@click.group()
def env() -> None:
    """Python environments for containers: built and packed once, kept on this machine."""


@env.command()
@click.argument("name")
@_input_options
@click.option("--prefix", help="Pack this installed conda environment: its folder or name.")
@click.option(
    "--venv", is_flag=False, flag_value="current", help="Ship a virtual environment; without a value the running one."
)
@click.option("--archive", help="A ready archive, local or hdfs://…")
@click.option("--path", help="A folder that exists on every node.")
@click.option("--complete", is_flag=True, help="Pack headers, type stubs, tests and manuals, too.")
@click.option("--refresh", is_flag=True, help="Solve again although the same was built before.")
@click.option("--dry-run", is_flag=True, help="Show what would be built; build nothing.")
@_cache_dir
@_as_json
@print_errors
def create(
    name: str,
    packages: tuple[str, ...],
    channels: tuple[str, ...],
    pip: tuple[str, ...],
    file: Path | None,
    python: str,
    platform: str | None,
    solver: str,
    prefix: str | None,
    venv: str | None,
    archive: str | None,
    path: str | None,
    complete: bool,
    refresh: bool,
    dry_run: bool,
    cache_dir: Path | None,
    as_json: bool,
) -> None:
    """Build the environment NAME from conda PACKAGES or from an option, unless it is in the cache.

    \b
    knit env create science python=3.11 numpy "pandas>=2" -c conda-forge --pip dask
    knit env create light --pip requests --pip pandas
    knit env create mine --file environment.yml
    knit env create here --venv
    knit env create mine --prefix $CONDA_PREFIX
    """
    if any((prefix, archive, path)) and (packages or channels or pip or file or venv or refresh or dry_run):
        raise click.UsageError(
            "--prefix, --archive and --path are environments already: give no packages, channels, --pip, --file, "
            "--venv, --refresh or --dry-run."
        )
    builder = EnvironmentBuilder(cache_dir, solver=solver, complete=complete)
    given = EnvironmentInput(
        packages, channels, pip, file, venv, python, platform, prefix=prefix, archive=archive, path=path
    )
    with ProgressLine() as line:
        if dry_run:
            plan = builder.plan(given, progress=line)
        else:
            environment = builder.create(name, **vars(given), progress=line, refresh=refresh)
    if dry_run:
        click.echo(json.dumps(plan.to_dict(), indent=2) if as_json else plan_text(name, plan))
    else:
        _print_result(environment, line.built, as_json)


@env.command()
@click.argument("prefix", required=False)
@click.option("-n", "--name", default="", help="A label; default: the folder's name.")
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Copy the archive to this file.")
@_cache_dir
@_as_json
@print_errors
def pack(prefix: str | None, name: str, output: Path | None, cache_dir: Path | None, as_json: bool) -> None:
    """Pack an environment that is installed on this machine: conda (folder or name), or a virtual environment's folder.

    Without PREFIX: the environment of the Python that runs this command.
    """
    builder = EnvironmentBuilder(cache_dir)
    folder = Path(prefix or sys.prefix).expanduser()
    conda = (folder / "conda-meta").is_dir() or not (folder / "bin" / "python").exists()
    with ProgressLine() as line:
        if conda:
            environment = builder.pack_prefix(prefix or folder, name=name, progress=line)
        else:
            name = name or folder.resolve().name.lstrip(".") or "venv"
            environment = builder.create(name, venv=folder if prefix else True, progress=line)
    if output is not None:
        shutil.copyfile(environment.archive, output)
    _print_result(environment, line.built, as_json)


@env.command()
@click.argument("name")
@_input_options
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Default: standard output.")
@click.option("--check", is_flag=True, help="Write nothing; exit code 1 if OUTPUT does not answer the request.")
@_cache_dir
@print_errors
def lock(name: str, output: Path | None, check: bool, solver: str, cache_dir: Path | None, **given: Any) -> None:
    """Write the exact packages of NAME to a lock file: `knit env create NAME --file OUTPUT` gives the same bytes anywhere.

    The file is conda-lock's YAML; without conda packages it is a pylock.toml.

    \b
    knit env lock science --file environment.yml -o conda-lock.yml
    knit env lock science --file environment.yml -o conda-lock.yml --check
    """
    builder = EnvironmentBuilder(cache_dir, solver=solver)
    if check:
        if output is None:
            raise click.UsageError("--check needs a file: name it by -o.")
        builder.check_lock(output, EnvironmentInput(**given))
        click.echo(f"{output} answers the request.")
        return
    with ProgressLine() as line:
        text = builder.lock(EnvironmentInput(**given), progress=line)
    if output is None:
        click.echo(text, nl=False)
        return
    temporary = output.with_name(f".{output.name}.knit")
    temporary.write_text(text)
    temporary.replace(output)
    Console(highlight=False, soft_wrap=True, stderr=True).print(f"[green]✓[/green] {name} is locked in {output}")


@env.command("list")
@_cache_dir
@_as_json
@print_errors
def list_(cache_dir: Path | None, as_json: bool) -> None:
    """Show the environments in the cache."""
    environments = EnvironmentBuilder(cache_dir).list()
    if as_json:
        click.echo(json.dumps([environment.to_dict() for environment in environments], indent=2))
        return
    if not environments:
        click.echo("No environments yet: knit env create NAME PACKAGES…")
        return
    table = Table("name", "packages", "size", "python", "platform", "made", "key", box=None, pad_edge=False)
    for each in environments:
        size = f"{each.size / 1e6:.0f} MB"
        count = str(len(each.packages))
        table.add_row(each.name, count, size, each.python, each.platform, date(each), each.key[:12])
    Console(highlight=False).print(table)


@env.command()
@click.argument("name")
@click.option(
    "-n", "--largest", type=click.IntRange(1), metavar="N", help="Only the N largest packages, largest first."
)
@click.option("--lock", "as_lock", is_flag=True, help="Print the lock in the environment.")
@_cache_dir
@_as_json
@print_errors
def show(name: str, largest: int | None, as_lock: bool, cache_dir: Path | None, as_json: bool) -> None:
    """Show one environment and its packages, with their sizes in the archive. NAME may be the beginning of a key."""
    builder = EnvironmentBuilder(cache_dir)
    environment = find(builder, name)
    if as_lock:
        click.echo(builder.lock_inside(environment), nl=False)
        return
    if as_json:
        click.echo(environment.to_json(indent=2))
        return
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"[bold]{environment.name}[/bold]  {facts(environment)}, made {date(environment)}")
    for label, value in (("archive", environment.archive), ("key", environment.key), ("sha256", environment.sha256)):
        console.print(f"  {label:8} {value}")
    packages = environment.packages
    if largest:
        packages = tuple(sorted(packages, key=lambda package: -package.size)[:largest])
    width = max((len(package.name) for package in packages), default=0)
    for package in packages:
        size = f"  {megabytes(package.size)}" if package.size else ""
        console.print(escape(f"  {package.name:{width}}  {package.version}  {package.build}{size}"))


def _print_result(environment: Environment, built: bool, as_json: bool) -> None:
    if as_json:
        click.echo(environment.to_json(indent=2))
        return
    cached = f"in the cache since {date(environment)}" if environment.created else "nothing to build"
    how = "packed now" if built else cached
    Console(highlight=False, soft_wrap=True).print(
        f"[green]✓[/green] environment   {environment.name}  {facts(environment)}  ({how})\n  {environment.archive}"
    )


env.add_command(push)
env.add_command(prune)

if __name__ == "__main__":
    env()
