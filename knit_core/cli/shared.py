"""What all commands share: the client from the global options, errors as one red line, exit codes, near matches for
typing errors.
"""

from __future__ import annotations

import difflib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from knit_core.errors import ApplicationEnded, KnitError, WaitTimeout

if TYPE_CHECKING:
    from rich.console import Console

    from knit_core import Application, Knit

FAILED, USAGE, ENDED_BADLY, TIMED_OUT, INTERRUPTED = 1, 2, 3, 4, 130


class NearestGroup(click.Group):
    """A group that names the nearest command when one is mistyped."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            names = self.list_commands(ctx)
            near = difflib.get_close_matches(args[0], names, 1)
            meant = f" Did you mean {near[0]!r}?" if near else f" There are: {', '.join(names)}."
            raise click.UsageError(f"No such command {args[0]!r}.{meant}", ctx)
        return super().resolve_command(ctx, args)


def console(stderr: bool = False) -> Console:
    """Terminal output: colours only where there is a terminal, nothing wrapped or highlighted."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False, soft_wrap=True, markup=False)


def client(ctx: click.Context) -> Knit:
    """The client that the global options describe."""
    from knit_core import Knit

    options = ctx.find_root().obj or {}
    return Knit(options.get("address"), user=options.get("user"))


def application(knit: Knit, text: str) -> Application:
    """An application by its id, or by the last digits of one that `knit list` shows (`42` for `…_0042`).

    Raises:
        KnitError: nothing fits, or more than one.
    """
    if not text.isdigit():
        return knit.attach(text)
    from knit_core.states import State

    found = [r.id for r in knit.list(states=list(State), types=None) if int(r.id.rpartition("_")[2]) == int(text)]
    if len(found) == 1:
        return knit.attach(found[0])
    raise KnitError(f"{len(found) or 'No'} applications here end with {text}: {', '.join(found) or 'see knit list'}")


def show_errors(command: click.Command, **extra: Any) -> int:
    """Run a command; faults become one message and an exit code.

    Returns:
        0; 1 after an error; 2 for wrong usage; 3 when the application did not succeed; 4 after a time-out; 130 after Ctrl-C.
    """
    try:
        code = command.main(standalone_mode=False, prog_name="knit", **extra)
        return code if isinstance(code, int) else 0
    except click.UsageError as error:
        error.show()
        return USAGE
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.exceptions.Exit as error:
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        console(stderr=True).print("✗ interrupted", style="red")
        return INTERRUPTED
    except KnitError as error:
        console(stderr=True).print(f"✗ {error}", style="red")
        kinds = ((ApplicationEnded, ENDED_BADLY), (WaitTimeout, TIMED_OUT))
        return next((code for kind, code in kinds if isinstance(error, kind)), FAILED)
    except BrokenPipeError:
        _forget_output()
        return 0


def _forget_output() -> None:
    """Nobody reads any more: what is left in buffers would be an error once more when the interpreter ends."""
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())
