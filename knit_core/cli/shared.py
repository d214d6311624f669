"""Shared by all commands: the client from the global options, applications by name, error messages, exit codes."""

from __future__ import annotations

import copy
import difflib
import logging
import traceback
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from knit_core.cli import interruption as stopping
from knit_core.errors import ApplicationEnded, ApplicationNotFound, KnitError, WaitTimeout

if TYPE_CHECKING:
    from rich.console import Console

    from knit_core import Application, ApplicationReport, Knit

FAILED, USAGE, ENDED_BADLY, TIMED_OUT, INTERRUPTED = 1, 2, 3, 4, 130


class NearestGroup(click.Group):
    """A group that suggests the most similar command for an unknown one."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            names = self.list_commands(ctx)
            near = difflib.get_close_matches(args[0], names, 1)
            hint = f" Did you mean {near[0]!r}?" if near else f" There are: {', '.join(names)}."
            raise click.UsageError(f"No such command {args[0]!r}.{hint}", ctx)
        return super().resolve_command(ctx, args)


class _Verbosity:
    """How much is printed besides results and errors, for the whole process."""

    quiet = verbose = False


def verbosity_options() -> list[Callable[[Any], Any]]:
    """The options `-q` and `-v`, allowed before and after a command's name."""

    def quiet(_ctx: click.Context, _parameter: click.Parameter, value: bool) -> None:
        _Verbosity.quiet = _Verbosity.quiet or value

    def verbose(_ctx: click.Context, _parameter: click.Parameter, value: bool) -> None:
        if value and not _Verbosity.verbose:
            _Verbosity.verbose = True
            logging.basicConfig(format="%(asctime)s %(name)s %(message)s", level=logging.WARNING)
            logging.getLogger("knit_core").setLevel(logging.DEBUG)

    shared: dict[str, Any] = {"is_flag": True, "expose_value": False}
    return [
        click.option(
            "-v", "--verbose", callback=verbose, help="Also show each request, and tracebacks of errors.", **shared
        ),
        click.option(
            "-q", "--quiet", callback=quiet, help="Show only the result, or the program's output, and errors.", **shared
        ),
    ]


def console(stderr: bool = False, *, progress: bool = False) -> Console:
    """Terminal output with colours only on a terminal, without wrapping or highlighting.

    Args:
        stderr: write to standard error.
        progress: whether `--quiet` suppresses the output.
    """
    from rich.console import Console

    class Plain(Console):
        def on_broken_pipe(self) -> None:
            """Raise the error to the caller; by default rich exits."""
            raise BrokenPipeError

    return Plain(stderr=stderr, highlight=False, soft_wrap=True, markup=False, quiet=progress and _Verbosity.quiet)


def client(ctx: click.Context) -> Knit:
    """The client for the global options."""
    from knit_core import Knit

    options = ctx.find_root().obj or {}
    return Knit(options.get("address"), user=options.get("user"))


def application(knit: Knit, text: str) -> Application:
    """An application by its id, by the last digits of its id (`42` for `…_0042`), or by its name.

    Of several with the same name: the one that runs or waits, else the newest; the user's own before those of others.

    Raises:
        KnitError: no application matches, or more than one.
    """
    if text.startswith("application_"):
        return knit.attach(text)
    from knit_core.model.states import State

    if text.isdigit():
        rows = knit.list(states=list(State), types=None)
        found = [row for row in rows if int(row.id.rpartition("_")[2]) == int(text)]
        if found:
            return knit.attach(_only(found, f"have ids that end in {text}").id)
    named = knit.list(states=list(State), name=text)
    named = [row for row in named if row.user == knit.config.user] or named
    if not named:
        what = "with that name or with an id that ends in it" if text.isdigit() else "with that name"
        raise ApplicationNotFound(f"There is no application {what}: {text!r}. knit list --all lists all.", status=404)
    running = [row for row in named if not row.ended]
    chosen = _only(running, f"have the name {text!r}") if running else named[-1]
    if len(named) > 1:
        note = f"{chosen.id}: {'the running one' if running else 'the newest'} of {len(named)} with the name {text!r}"
        console(stderr=True, progress=True).print(note, style="dim")
    return knit.attach(chosen.id)


def _only(found: Sequence[ApplicationReport], what: str) -> ApplicationReport:
    if len(found) == 1:
        return found[0]
    rows = "\n".join(f"  {row.id}  {row.name}  {row.user}  {row.outcome or row.state}" for row in found)
    raise KnitError(f"{len(found)} applications {what}; use the id of one:\n{rows}")


def show_errors(command: click.Command, **extra: Any) -> int:
    """Run a command; convert exceptions to one message and an exit code.

    Returns:
        See docs/exit-codes.md.
    """
    try:
        code = _reporting_closed_output(command).main(standalone_mode=False, prog_name="knit", **extra)
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
    except _OutputClosed:
        stopping.forget_closed_outputs()
        return stopping.CLOSED_PIPE
    finally:
        _Verbosity.quiet = _Verbosity.verbose = False


class _OutputClosed(Exception):
    """The output of the command was closed by its reader."""


def _reporting_closed_output(command: click.Command) -> click.Command:
    """The command, raising _OutputClosed for a closed output; click and rich would end the process with exit code 1."""

    def invoke(ctx: click.Context) -> Any:
        try:
            return command.invoke(ctx)
        except BrokenPipeError as error:
            raise _OutputClosed from error
        except SystemExit as error:
            if isinstance(error.__context__, BrokenPipeError):
                raise _OutputClosed from error
            raise

    copied = copy.copy(command)
    copied.invoke = invoke  # type: ignore[method-assign]
    return copied


def show_error(error: KnitError) -> None:
    """Print an error: its class, as in the documentation, and its message."""
    if _Verbosity.verbose:
        show_line("".join(traceback.format_exception(error)).rstrip())
    show_line(f"✗ {type(error).__name__}: {error}")


def show_line(text: str) -> None:
    """Print a line in red on standard error; ignore a closed output."""
    try:
        console(stderr=True).print(text, style="red")
    except BrokenPipeError:
        stopping.forget_closed_outputs()
