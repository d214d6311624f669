"""Shared by commands that read specification files: the options `--param` and `--set`, and `read_spec`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from knit_core.cli.shared import console
from knit_core.spec import ApplicationSpec, documents

if TYPE_CHECKING:
    from knit_core.convert import Conversion

F = TypeVar("F", bound=Callable[..., Any])


def spec_options(command: F) -> F:
    """The options `--param` and `--set`, as `parameters` and `changes`."""
    for option in (
        click.option(
            "--set",
            "changes",
            multiple=True,
            metavar="PLACE=VALUE",
            help="Replace a value in the file (services.train.instances=4); repeatable.",
        ),
        click.option(
            "-p",
            "--param",
            "parameters",
            multiple=True,
            metavar="NAME=VALUE",
            help="Value of a parameter; repeatable.",
        ),
    ):
        command = option(command)
    return command


def read_spec(
    file: str,
    parameters: Iterable[str],
    changes: Iterable[str],
    *,
    converted: Callable[[Conversion], None] | None = None,
    **fields: Any,
) -> ApplicationSpec:
    """The specification in `file`.

    Args:
        file: its path. With `converted`, a file of another launcher is converted.
        parameters: NAME=VALUE each.
        changes: PLACE=VALUE each.
        converted: called with the conversion of a file of another launcher; None to read Knit's own specifications only.
        fields: fields of the application to replace, if not None.

    Raises:
        SpecError: the specification is not valid; the error has all problems.
        UsageError: an option has a wrong form.
    """
    wrong = [text for text in parameters if not text.partition("=")[1]]
    if wrong:
        raise click.UsageError(f"--param requires NAME=VALUE, not {wrong[0]!r}")
    wrong = [text for text in changes if not text.partition("=")[1]]
    if wrong:
        raise click.UsageError(f"--set requires PLACE=VALUE, not {wrong[0]!r}")
    given = dict(text.split("=", 1) for text in parameters)
    overrides = dict(map(documents.override, changes)) | {
        name: value for name, value in fields.items() if value is not None
    }
    if converted is None:
        return documents.load(file, given, overrides=overrides)
    from knit_core.convert import specification

    spec, conversion = specification(file, given, overrides=overrides)
    if conversion is not None:
        converted(conversion)
    return spec


def show_lost(conversion: Conversion) -> None:
    """Print what the specification does not have."""
    for loss in conversion.lost:
        console(stderr=True, progress=True).print(f"lost  {loss}", style="yellow")
