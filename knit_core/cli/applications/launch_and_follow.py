"""Shared by `knit run`, `knit submit` and `knit dask run`: launch, show the output, exit with the application's success or
failure.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import click

from knit_core.cli import interruption as stopping
from knit_core.cli.log_output import LinePrinter
from knit_core.cli.shared import ENDED_BADLY, client, console, show_error, verbosity_options
from knit_core.cli.upload_progress import UploadBar
from knit_core.errors import ApplicationEnded, EndedResult, KnitError
from knit_core.model.states import ContainerState, Outcome
from knit_core.model.units import counted, show_seconds
from knit_core.spec import ApplicationSpec

if TYPE_CHECKING:
    from rich.console import Console

    from knit_core import Application, Knit

F = TypeVar("F", bound=Callable[..., Any])
_INTERRUPTIONS = (KeyboardInterrupt, BrokenPipeError)


@dataclass(frozen=True)
class LaunchOptions:
    """The options of a command that launches.

    Attributes:
        key: launch key.
        detach: print the id and do not follow.
        keep: do not end the application when the command is interrupted.
        dry_run: only show the plan.
    """

    key: str | None = None
    detach: bool = False
    keep: bool = False
    dry_run: bool = False


def launch_options(command: F) -> F:
    """The options of a command that launches: `key`, `detach`, `keep`, `dry_run`."""
    for option in (
        click.option("--dry-run", is_flag=True, help="Print the plan as JSON; change nothing."),
        click.option("--keep", is_flag=True, help="Do not end the application on Ctrl-C, a signal or a closed output."),
        click.option("--detach", is_flag=True, help="Print the application id and leave it running."),
        click.option("--key", default=None, help="Launch key: a key is launched only once."),
        *verbosity_options(),
    ):
        command = option(command)
    return command


def variables_of(texts: Iterable[str]) -> dict[str, str]:
    """The variables of `-e`: NAME=VALUE, or NAME alone for the local value.

    Raises:
        UsageError: the name is empty, or the variable is not set locally.
    """
    found = {}
    for text in texts:
        name, given, value = text.partition("=")
        if not name:
            raise click.UsageError(f"-e requires NAME=VALUE or NAME, not {text!r}")
        if not given and name not in os.environ:
            raise click.UsageError(f"-e {name}: the variable is not set; give it a value: -e {name}=VALUE")
        found[name] = value if given else os.environ[name]
    return found


def launch(
    ctx: click.Context, spec: ApplicationSpec, *, key: str | None, detach: bool, dry_run: bool, keep: bool = False
) -> int:
    """Launch and follow to the end; returns the exit code (docs/exit-codes.md).

    Ctrl-C, SIGTERM, SIGHUP and a closed output end the application, unless `keep` is set.
    """
    out, options = console(stderr=True, progress=True), LaunchOptions(key, detach, keep, dry_run)
    if not spec.instances and not detach and not dry_run:
        raise click.UsageError(
            "no service has an instance, so no container would run and the application would not end: set at least one "
            "instance, or launch with --detach and scale it"
        )
    with client(ctx) as knit, stopping.signals_interrupt():
        if dry_run:
            click.echo(json.dumps(knit.plan(spec).describe(), indent=2))
            return 0
        begun = knit.clock.monotonic()
        try:
            app = _submit(knit, spec, options, out)
        except _INTERRUPTIONS as stop:
            return _interrupted_launch(knit, options, stop)
        if detach:
            click.echo(app.id)
            return 0
        try:
            out.print(f"✓ application  {app.id}   {app.report().page}", style="green")
            printer = LinePrinter(lambda text: click.echo(text, nl=False), sys.stdout.isatty())
            try:
                for line in app.logs(follow=True):
                    printer.line(line)
            finally:
                printer.close()
            result = app.wait()
            span = show_seconds(knit.clock.monotonic() - begun)
            containers = counted(len({c.id for c in result.containers}), "container")
            out.print(f"✓ succeeded    {containers}, {span}      logs: knit logs {app.id}", style="green")
        except _INTERRUPTIONS as stop:
            return _end_or_keep(app, options, stop)
        except ApplicationEnded as error:
            show_error(error)
            return program_code(error.result) or ENDED_BADLY
    return 0


def program_code(result: EndedResult | None) -> int | None:
    """The exit code of the program that decided how the application ended; None when none did, or several differ.

    None, too, when YARN killed the program, for example for its memory.
    """
    if result is None or result.outcome is not Outcome.FAILED:
        return None
    last = {row.id: row for row in sorted(result.containers, key=lambda row: row.attempt)}
    codes = {row.exit_code for row in last.values() if row.state is ContainerState.FAILED}
    only = codes.pop() if len(codes) == 1 else None
    return only if only is not None and 0 < only < 256 else None


def _submit(knit: Knit, spec: ApplicationSpec, options: LaunchOptions, out: Console) -> Application:
    source = knit.config.settings["resourcemanager"]
    out.print(f"✓ cluster      {source}   ({source.source})", style="green")
    with UploadBar(out) as knit.upload_progress:
        return knit.submit(spec, key=options.key, progress=lambda text: out.print(f"  {text}", style="dim"))


def _interrupted_launch(knit: Knit, options: LaunchOptions, stop: BaseException) -> int:
    """End the application of an interrupted launch. Without a key the launch itself has ended it: its id is not known."""
    app = None
    if options.key is not None and not options.keep:
        try:
            app = knit.launched(options.key)
        except (KnitError, KeyboardInterrupt):
            _print(
                f"an application may be running: knit run --key {options.key!r} with the same command attaches to it"
            )
    if app is not None:
        return _end_or_keep(app, options, stop)
    _print("✗ interrupted", "red")
    return stopping.exit_code(stop)


def _end_or_keep(app: Application, options: LaunchOptions, stop: BaseException) -> int:
    """End the application, or print that it continues. A second interruption does not wait for the end."""
    if options.keep:
        _print(f"\n{app.id} continues: knit logs -f {app.id}, knit kill {app.id}")
        return stopping.exit_code(stop)
    try:
        _print(f"\nending {app.id} …")
        app.kill(stopping.reason(stop))
    except KeyboardInterrupt:
        stopping.die_of_signals()
        _print(f"not waiting for the end of {app.id}")
        _kill_now(app, stopping.reason(stop))
    except KnitError as error:
        _print(f"✗ {app.id} could not be ended, and may continue: {error}", "red")
    return stopping.exit_code(stop)


def _kill_now(app: Application, reason: str) -> None:
    try:
        app.cluster.resourcemanager.kill(app.id, reason)
    except KnitError as error:
        _print(f"✗ {app.id} could not be ended, and may continue: {error}", "red")


def _print(text: str, style: str = "yellow") -> None:
    """Print a line; ignore a closed output."""
    try:
        console(stderr=True).print(text, style=style)
    except BrokenPipeError:
        stopping.forget_closed_outputs()
