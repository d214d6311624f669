"""What commands that read specification files share: `--param`, `--set`, and the reading."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import click

from knit_core.spec import ApplicationSpec, documents

F = TypeVar("F", bound=Callable[..., Any])


def filling(command: F) -> F:
    """The options `--param` and `--set`, as `parameters` and `changes`."""
    for option in (
        click.option(
            "--set",
            "changes",
            multiple=True,
            metavar="PLACE=VALUE",
            help="Another value at a place of the file (services.train.instances=4); repeatable.",
        ),
        click.option(
            "-p",
            "--param",
            "parameters",
            multiple=True,
            metavar="NAME=VALUE",
            help="A parameter's value; repeatable.",
        ),
    ):
        command = option(command)
    return command


def read_spec(file: str, parameters: Iterable[str], changes: Iterable[str], **fields: Any) -> ApplicationSpec:
    """The specification in `file`.

    Args:
        file: its path.
        parameters: NAME=VALUE each.
        changes: PLACE=VALUE each.
        fields: of the application, where not None.

    Raises:
        SpecError: with everything that is wrong.
        UsageError: an option is not of its form.
    """
    wrong = [text for text in parameters if not text.partition("=")[1]]
    if wrong:
        raise click.UsageError(f"--param wants NAME=VALUE, not {wrong[0]!r}")
    wrong = [text for text in changes if not text.partition("=")[1]]
    if wrong:
        raise click.UsageError(f"--set wants PLACE=VALUE, not {wrong[0]!r}")
    given = dict(text.split("=", 1) for text in parameters)
    overrides = dict(map(documents.override, changes)) | {
        name: value for name, value in fields.items() if value is not None
    }
    return documents.load(file, given, overrides=overrides)
