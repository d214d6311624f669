"""`knit env`: build environments, lock them, and see which are in the cache of this machine."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from knit_core.cli.environments.cache import prune, push
from knit_core.cli.environments.display import Shown, date, facts, fails_in_words, megabytes, plain, plan_text
from knit_core.cli.environments.named import find
from knit_core.environments import Environment, EnvironmentBuilder, EnvironmentInput
from knit_core.environments.platforms import PLATFORMS
from knit_core.environments.solve.request import SOLVERS

Decorator = Callable[[Callable[..., None]], Callable[..., None]]

_cache_dir = click.option(
    "--cache-dir", type=click.Path(path_type=Path, file_okay=False), help="Default: ~/.cache/knit/environments."
)
_as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_WANTED = (
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
        "--platform", type=click.Choice(PLATFORMS), help="Default: Linux on this machine's kind of processor."
    ),
    click.option("--solver", type=click.Choice(SOLVERS), default="rattler", show_default=True),
)


def _wanted(command: Callable[..., None]) -> Callable[..., None]:
    """The arguments that say what is in an environment."""
    for decorator in reversed(_WANTED):
        command = decorator(command)
    return command


@click.group()
def env() -> None:
    """Python environments for containers: built once, packed once, kept on this machine."""


@env.command()
@click.argument("name")
@_wanted
@click.option("--prefix", help="Pack this installed conda environment instead: its folder or name.")
@click.option("--venv", is_flag=False, flag_value="current", help="Ship a virtual environment; the running one.")
@click.option("--archive", help="A ready archive, local or hdfs://…")
@click.option("--path", help="A folder that is there on every node.")
@click.option("--complete", is_flag=True, help="Headers, type stubs, tests and manuals travel, too.")
@click.option("--refresh", is_flag=True, help="Solve again, though the same was asked for before.")
@click.option("--dry-run", is_flag=True, help="Say what would be built, and build nothing.")
@_cache_dir
@_as_json
@fails_in_words
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
    """Build the environment NAME from conda PACKAGES, or from what an option says, unless it is in the cache.

    \b
    knit env create science python=3.11 numpy "pandas>=2" -c conda-forge --pip dask
    knit env create light --pip requests --pip pandas
    knit env create mine --file environment.yml
    knit env create here --venv
    knit env create mine --prefix $CONDA_PREFIX
    """
    ready = {"prefix": prefix, "archive": archive, "path": path}
    if any(ready.values()) and (packages or channels or pip or file or venv or refresh or dry_run):
        raise click.UsageError(
            "--prefix, --archive and --path are environments already: give no packages, channels, --pip, --file, "
            "--venv, --refresh or --dry-run."
        )
    builder = EnvironmentBuilder(cache_dir, solver=solver, complete=complete)
    wanted = EnvironmentInput(packages, channels, pip, file, venv, python, platform)
    with Shown() as shown:
        if dry_run:
            plan = builder.plan(wanted, progress=shown)
        else:
            said: dict[str, Any] = {**vars(wanted), **ready}
            environment = builder.create(name, **said, progress=shown, refresh=refresh)
    if dry_run:
        click.echo(json.dumps(plan.to_dict(), indent=2) if as_json else plan_text(name, plan))
    else:
        _print_made(environment, shown.built, as_json)


@env.command()
@click.argument("prefix", required=False)
@click.option("-n", "--name", default="", help="A label; default: the folder's name.")
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Copy the archive to this file.")
@_cache_dir
@_as_json
@fails_in_words
def pack(prefix: str | None, name: str, output: Path | None, cache_dir: Path | None, as_json: bool) -> None:
    """Pack what is installed on this machine: a conda environment (folder or name) or a virtual environment's folder.

    Without PREFIX: what is installed for the Python that runs this command.
    """
    builder = EnvironmentBuilder(cache_dir)
    folder = Path(prefix or sys.prefix).expanduser()
    conda = (folder / "conda-meta").is_dir() or not (folder / "bin" / "python").exists()
    with Shown() as shown:
        if conda:
            environment = builder.pack_prefix(prefix or folder, name=name, progress=shown)
        else:
            name = name or folder.resolve().name.lstrip(".") or "venv"
            environment = builder.create(name, venv=folder if prefix else True, progress=shown)
    if output is not None:
        shutil.copyfile(environment.archive, output)
    _print_made(environment, shown.built, as_json)


@env.command()
@click.argument("name")
@_wanted
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Default: standard output.")
@click.option("--check", is_flag=True, help="Write nothing; exit code 1 when OUTPUT does not answer the request.")
@_cache_dir
@fails_in_words
def lock(name: str, output: Path | None, check: bool, solver: str, cache_dir: Path | None, **wanted: Any) -> None:
    """Write down exactly what NAME would have: `knit env create NAME --file OUTPUT` gives the same bytes anywhere.

    The file is conda-lock's YAML; without conda packages it is a pylock.toml.

    \b
    knit env lock science --file environment.yml -o conda-lock.yml
    knit env lock science --file environment.yml -o conda-lock.yml --check
    """
    builder = EnvironmentBuilder(cache_dir, solver=solver)
    if check:
        if output is None:
            raise click.UsageError("--check looks at the file that -o names.")
        builder.check_lock(output, EnvironmentInput(**wanted))
        click.echo(f"{output} answers the request.")
        return
    with Shown() as shown:
        text = builder.lock(EnvironmentInput(**wanted), progress=shown)
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
@fails_in_words
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
@click.option("--lock", "as_lock", is_flag=True, help="Print the lock that the environment carries.")
@_cache_dir
@_as_json
@fails_in_words
def show(name: str, largest: int | None, as_lock: bool, cache_dir: Path | None, as_json: bool) -> None:
    """Show one environment and its packages, with what each has of the archive. NAME may be the beginning of a key."""
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
        console.print(plain(f"  {package.name:{width}}  {package.version}  {package.build}{size}"))


def _print_made(environment: Environment, built: bool, as_json: bool) -> None:
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
