"""`knit tokens`: the delegation tokens of an application on a cluster with Kerberos. No secrets are shown."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

import click

from knit_core.application import Application
from knit_core.cli.shared import NearestGroup, application, client, console, show_error
from knit_core.errors import KnitError, RequestRefused, WaitTimeout
from knit_core.hadoop.token_schedule import TokenSchedule
from knit_core.model.token_status import TokenPush, TokenStatus
from knit_core.model.units import seconds

_POLL = 30.0  # seconds between two reports while the next push is not due


@click.group(cls=NearestGroup)
def command() -> None:
    """Show and renew the delegation tokens of an application, on a cluster with Kerberos."""


@command.command()
@click.argument("app", metavar="APPLICATION")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.pass_context
def show(ctx: click.Context, app: str, as_json: bool) -> int:
    """Show the kinds and the ends of an application's delegation tokens, without their secrets."""
    with client(ctx) as knit:
        found = application(knit, app).tokens()
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(token) for token in found], indent=2))
    else:
        _print(found)
    return 0


@command.command()
@click.argument("app", metavar="APPLICATION")
@click.option("--every", metavar="TIME", help='Push again after this time ("12 h"), until the application ends.')
@click.option("--force", is_flag=True, help="Push also when the present tokens are valid for longer than new ones.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, one object per push.")
@click.pass_context
def push(ctx: click.Context, app: str, every: str | None, force: bool, as_json: bool) -> int:
    """Give an application new delegation tokens, so that it may outlive those of its launch.

    They come from this machine's Kerberos ticket. YARN renews the tokens of the launch for seven days by default, and until the
    last day of these nothing is pushed. Pushed tokens end after a day: see "valid until".
    """
    pause = None if every is None else seconds(every)

    def report(done: TokenPush) -> None:
        if as_json:
            click.echo(json.dumps({**dataclasses.asdict(done), "valid_until": done.valid_until}))
            return
        out = console()
        _print(done.tokens)
        if not done.pushed:
            out.print("✓ nothing was pushed: these are valid for longer than new ones would be", style="green")
        elif done.in_use:
            out.print(f"✓ the application uses them, until {_time(done.valid_until)}", style="green")
        else:
            text = f"they are on HDFS; the application will find them within five minutes ({done.problem})"
            out.print(text, style="yellow")

    with client(ctx) as knit:
        handle = application(knit, app)
        if pause is None:
            report(handle.push_tokens(force=force))
        else:
            push_until_the_end(handle, pause, report, force)
    return 0


def push_until_the_end(
    handle: Application, pause: float, report: Callable[[TokenPush], Any], force: bool = False
) -> None:
    """Push tokens now and again, until the application ends.

    Args:
        handle: the application.
        pause: seconds between two pushes; less when half of the time until the end of a token is shorter.
        report: called after each.
        force: push also when the present tokens are valid for longer.
    """
    clock = handle.cluster.clock
    schedule = TokenSchedule(clock.time(), pause)
    while True:
        try:
            done = handle.push_tokens(force=force)
            report(done)
            again = schedule.pushed(done, clock.time())
        except RequestRefused:
            if handle.report().ended:
                return
            raise
        except KnitError as error:
            if not error.transient:
                raise
            show_error(error)
            again = schedule.failed(clock.time(), transient=True)
        try:
            handle.wait(again, poll=min(_POLL, again), check=False)
            return
        except WaitTimeout:
            continue


def _print(tokens: list[TokenStatus] | tuple[TokenStatus, ...]) -> None:
    out = console()
    for token in tokens:
        source = "pushed" if token.pushed else "launch"
        at_most = f" (at most {_time(token.ends)})" if token.ends and token.ends != token.valid_until else ""
        out.print(
            f"{token.kind:24}{token.service or '-':28}{source:8}issued {_time(token.issued)}  "
            f"valid until {_time(token.valid_until)}{at_most}"
        )


def _time(at: int | None) -> str:
    return "(not known)" if at is None else datetime.fromtimestamp(at / 1000).strftime("%Y-%m-%d %H:%M")
