"""`knit doctor`: checks each layer from the configuration to a function's result, and prints a remedy for the first failure."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import click

from knit_core.cli.interruption import signals_interrupt
from knit_core.cli.shared import FAILED, client, console, show_line
from knit_core.errors import KnitError
from knit_core.model.connection_layers import CONFIGURATION, LayerCheck, failed, not_checked

if TYPE_CHECKING:
    from rich.console import Console

_WIDTH = 32  # columns of a layer's name
_MARKS = {True: ("✓", "green"), False: ("✗", "red"), None: ("–", "dim")}


@click.command()
@click.option(
    "--launch/--no-launch", default=True, help="Also run a container, read its log, and call a function in another one."
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0.1),
    default=10.0,
    show_default=True,
    help="Seconds for each layer; those that launch something have at least 120.",
)
@click.option("--json", "as_json", is_flag=True, help="As one JSON document, at the end.")
@click.pass_context
def command(ctx: click.Context, launch: bool, timeout: float, as_json: bool) -> int:
    """Check each layer from the configuration to a function in a container; stop at the first that fails.

    The layers: configuration; DNS, TCP, TLS, HTTP, who answers and authentication, first of the ResourceManager and then of
    HDFS; user, HDFS, tokens, queue, nodes; an application of one container, its logs, a function's result.
    """
    out, found = console(), list[LayerCheck]()
    with signals_interrupt(), _progress(out, not as_json) as on_start:
        for check in _checks(ctx, launch, timeout, on_start):
            found.append(check)
            if not as_json:
                _print(out, check)
    wrong = next((check for check in found if check.ok is False), None)
    if as_json:
        click.echo(json.dumps({"ok": wrong is None, "layers": [check.to_dict() for check in found]}, indent=2))
    if wrong is None:
        return 0
    show_line(f"✗ {wrong.error}: {wrong.label} failed; docs/troubleshooting.md tells what each layer means")
    return FAILED


def _checks(ctx: click.Context, launch: bool, timeout: float, on_start: Callable[[str], None]) -> Iterator[LayerCheck]:
    try:
        knit = client(ctx)
    except KnitError as error:
        first = failed(CONFIGURATION, error)
        yield first
        yield from not_checked([first])
        return
    with knit:
        yield from knit.diagnose_connection(launch=launch, timeout=timeout, on_start=on_start)


@contextlib.contextmanager
def _progress(out: Console, wanted: bool) -> Iterator[Callable[[str], None]]:
    """A function that shows the layer that is being checked, on a terminal only."""
    if not wanted or not sys.stdout.isatty():
        yield lambda _label: None
        return
    with out.status("") as status:
        yield lambda label: status.update(f"{label} …")


def _print(out: Console, check: LayerCheck) -> None:
    mark, style = _MARKS[check.ok]
    span = f"   {check.seconds:.2f} s" if check.ok is not None else ""
    out.print(f"{mark} {check.label:{_WIDTH}}{check.text}{span}", style=style)
    for line in check.details:
        out.print(f"    {line}", style="dim")
    if check.remedy:
        out.print(f"  → {check.remedy}", style="yellow" if check.ok else "bold")
