"""`knit logs`: an application's logs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from knit_core.cli.log_output import LinePrinter
from knit_core.cli.shared import INTERRUPTED, application, client, console
from knit_core.logs import LogCursor, LogFile, LogReader, Selection, log_files
from knit_core.logs.lines import Block
from knit_core.model.units import counted, seconds


@click.command()
@click.argument("app", metavar="APPLICATION")
@click.option("-f", "--follow", is_flag=True, help="Follow until the application ends.")
@click.option("-s", "--service", "services", multiple=True, help="Only logs of this service; repeatable.")
@click.option(
    "-c",
    "--container",
    "containers",
    multiple=True,
    help="Only logs of this container: main_0, YARN's id, or master for the ApplicationMaster; repeatable.",
)
@click.option("--stream", "streams", multiple=True, metavar="stdout|stderr", help="Only this stream; repeatable.")
@click.option("-n", "--tail", type=click.IntRange(0), metavar="N", help="Only the last N lines of each stream.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Write each stream to its own file, byte for byte, instead of printing lines.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
@click.option("--raw", is_flag=True, help="Print lines without the container's label.")
@click.option("--timeout", default="60 s", show_default=True, help="How long to wait for incomplete logs.")
@click.pass_context
def command(
    ctx: click.Context,
    app: str,
    follow: bool,
    services: tuple[str, ...],
    containers: tuple[str, ...],
    streams: tuple[str, ...],
    tail: int | None,
    output: Path | None,
    as_json: bool,
    raw: bool,
    timeout: str,
) -> int:
    """Show the logs of an application (by its id, its last digits, or its name)."""
    if output is not None and (follow or raw or tail is not None):
        raise click.UsageError("--output writes whole logs: it cannot be used with --follow, --tail or --raw.")
    if raw and as_json:
        raise click.UsageError("use --raw or --json, not both.")
    selection = Selection.of(services, containers, streams, tail)
    try:
        with client(ctx) as knit:
            handle = application(knit, app)
            if output is not None:
                return _save(output, log_files(handle, selection, seconds(timeout)), as_json)
            reader = LogReader(handle, selection, timeout=seconds(timeout))
            printer = LinePrinter(_write, sys.stdout.isatty())
            try:
                for block in reader.blocks(follow):
                    if not (as_json or raw) and (printer.busy or b"\r" in block.data):
                        for line in block.lines(reader.cursor):
                            printer.line(line)
                        continue
                    printer.note_container(block.row.yarn, block.stream)
                    _write(_shown(block, reader.cursor, as_json, raw))
            finally:
                printer.close()
    except KeyboardInterrupt:  # the usual way to leave --follow
        return INTERRUPTED
    return 0


def _write(text: str) -> None:
    sys.stdout.buffer.write(text.encode("utf-8", "backslashreplace"))
    sys.stdout.buffer.flush()


def _shown(block: Block, cursor: LogCursor, as_json: bool, raw: bool) -> str:
    lines = list(block.lines(cursor))
    if as_json:
        return "".join(json.dumps(line._asdict(), ensure_ascii=False) + "\n" for line in lines)
    if raw:
        return "".join(line.text + "\n" * line.ended for line in lines)
    prefix = f"{lines[0].label} | " if lines else ""
    return "".join(f"{prefix}{line.text}\n" for line in lines)


def _save(folder: Path, files: Iterator[LogFile], as_json: bool) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    count = size = 0
    for file in files:
        path = file.save(folder)
        count, size = count + 1, size + file.size
        if as_json:
            facts = {name: getattr(file, name) for name in ("container", "attempt", "yarn", "node", "stream", "size")}
            click.echo(json.dumps({**facts, "path": str(path)}))
    if not as_json:
        console().print(f"✓ {folder}: {counted(count, 'file')}, {size / 1e6:.1f} MB", style="green")
    return 0
