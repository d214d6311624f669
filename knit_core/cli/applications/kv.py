"""`knit kv`: an application's key-value store. Values are JSON; a value that is not valid JSON is a text."""

from __future__ import annotations

import json
from typing import Any

import click

from knit_core.cli.shared import FAILED, TIMED_OUT, NearestGroup, application, client
from knit_core.errors import KnitError, MasterUnreachable
from knit_core.model.units import seconds


@click.group(cls=NearestGroup)
def command() -> None:
    """Read and change an application's key-value store."""


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


@command.command("list")
@click.argument("app", metavar="APPLICATION")
@click.argument("prefix", default="")
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
@click.pass_context
def list_(ctx: click.Context, app: str, prefix: str, as_json: bool) -> int:
    """Show the keys that begin with PREFIX, and their values."""
    with client(ctx) as knit:
        found = application(knit, app).kv.prefix(prefix)
    if as_json:
        click.echo(json.dumps(found, indent=2))
    else:
        for key, value in found.items():
            click.echo(f"{key}\t{_shown(value)}")
    return 0


@command.command()
@click.argument("app", metavar="APPLICATION")
@click.argument("key")
@click.option("--wait", type=float, metavar="SECONDS", help="Wait until the key exists.")
@click.pass_context
def get(ctx: click.Context, app: str, key: str, wait: float | None) -> int:
    """Show a key's value. Exit code 1 when the key does not exist, 4 when it does not exist in time."""
    with client(ctx) as knit:
        store = application(knit, app).kv
        try:
            click.echo(_shown(store[key] if wait is None else store.wait(key, timeout=wait)))
        except KeyError:
            click.echo(f"there is no key {key!r}", err=True)
            return FAILED
        except TimeoutError as late:
            click.echo(str(late), err=True)
            return TIMED_OUT
    return 0


@command.command()
@click.argument("app", metavar="APPLICATION")
@click.argument("prefix", default="")
@click.option("--after", type=click.IntRange(0), metavar="REVISION", help="Only changes after this revision.")
@click.option("--timeout", metavar="TIME", help='End after this time ("30 s"); by default with the application.')
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
@click.pass_context
def watch(ctx: click.Context, app: str, prefix: str, after: int | None, timeout: str | None, as_json: bool) -> int:
    """Show the keys that begin with PREFIX, then their changes as they happen."""
    with client(ctx) as knit:
        handle = application(knit, app)
        running = not handle.report().ended
        try:
            span = None if timeout is None else seconds(timeout)
            for change in handle.kv.watch(prefix, after=after, timeout=span):
                if as_json:
                    click.echo(json.dumps(change._asdict()))
                else:
                    click.echo(f"{change.key}\t{'(deleted)' if change.deleted else _shown(change.value)}")
        except MasterUnreachable:
            if not (running and handle.report().ended):
                raise
    return 0


@command.command()
@click.argument("app", metavar="APPLICATION")
@click.argument("key")
@click.argument("value")
@click.option(
    "--expect", type=int, metavar="REVISION", help="Only if the key has this revision; 0: only if it does not exist."
)
@click.pass_context
def put(ctx: click.Context, app: str, key: str, value: str, expect: int | None) -> int:
    """Set a key, and print its new revision."""
    from knit_container import Conflict

    try:
        parsed = json.loads(value)
    except ValueError:
        parsed = value
    with client(ctx) as knit:
        try:
            click.echo(application(knit, app).kv.put(key, parsed, expect=expect))
        except Conflict as conflict:
            raise KnitError(str(conflict)) from None
    return 0


@command.command()
@click.argument("app", metavar="APPLICATION")
@click.argument("key")
@click.pass_context
def delete(ctx: click.Context, app: str, key: str) -> int:
    """Delete a key. Exit code 1 when it did not exist."""
    with client(ctx) as knit:
        return 0 if application(knit, app).kv.delete(key) else FAILED
