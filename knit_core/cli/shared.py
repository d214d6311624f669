"""What all commands share: the client from the global options, errors as one red line, exit codes, near matches for
typing errors.
"""

from __future__ import annotations

import difflib
import logging
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from knit_core.cli import stopping
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


class _Loudness:
    """How much is said besides answers and errors, for the whole process."""

    quiet = verbose = False


def loudness() -> list[Callable[[Any], Any]]:
    """The options `-q` and `-v`, before and after a command's name alike."""

    def quiet(_ctx: click.Context, _parameter: click.Parameter, value: bool) -> None:
        _Loudness.quiet = _Loudness.quiet or value

    def verbose(_ctx: click.Context, _parameter: click.Parameter, value: bool) -> None:
        if value and not _Loudness.verbose:
            _Loudness.verbose = True
            logging.basicConfig(format="%(asctime)s %(name)s %(message)s", level=logging.WARNING)
            logging.getLogger("knit_core").setLevel(logging.DEBUG)

    shared: dict[str, Any] = {"is_flag": True, "expose_value": False}
    return [
        click.option(
            "-v", "--verbose", callback=verbose, help="Also show each request, and where errors arose.", **shared
        ),
        click.option(
            "-q", "--quiet", callback=quiet, help="Show only the answer, or the program's output, and errors.", **shared
        ),
    ]


def console(stderr: bool = False, *, chatter: bool = False) -> Console:
    """Terminal output: colours only where there is a terminal, nothing wrapped or highlighted.

    Args:
        stderr: there instead of to the standard output.
        chatter: what `--quiet` leaves out.
    """
    from rich.console import Console

    class Plain(Console):
        def on_broken_pipe(self) -> None:
            """Callers decide; rich's own way is to exit."""
            raise BrokenPipeError

    return Plain(stderr=stderr, highlight=False, soft_wrap=True, markup=False, quiet=chatter and _Loudness.quiet)


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
        See docs/exit-codes.md.
    """
    _Loudness.quiet = _Loudness.verbose = False
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
    except (click.Abort, KeyboardInterrupt) as error:
        show_line("✗ interrupted")
        return stopping.exit_code(error.__cause__ if isinstance(error, click.Abort) and error.__cause__ else error)
    except KnitError as error:
        show_error(error)
        kinds = ((ApplicationEnded, ENDED_BADLY), (WaitTimeout, TIMED_OUT))
        return next((code for kind, code in kinds if isinstance(error, kind)), FAILED)
    except BrokenPipeError:
        stopping.forget_closed_outputs()
        return stopping.CLOSED_PIPE
    except SystemExit as error:
        if not isinstance(error.__context__, BrokenPipeError):
            raise
        stopping.forget_closed_outputs()  # click's own answer to it is the exit code 1
        return stopping.CLOSED_PIPE


def show_error(error: KnitError) -> None:
    """An error as a command's last words: its class, by which the documentation names it, and its message."""
    if _Loudness.verbose:
        show_line("".join(traceback.format_exception(error)).rstrip())
    show_line(f"✗ {type(error).__name__}: {error}")


def show_line(text: str) -> None:
    """In red on standard error, if anybody still reads it."""
    try:
        console(stderr=True).print(text, style="red")
    except BrokenPipeError:
        stopping.forget_closed_outputs()
