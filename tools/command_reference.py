"""Writes docs/commands.md from the commands' own help: `python tools/command_reference.py`. A test fails when it is behind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from knit_core.cli import knit

PAGE = Path(__file__).resolve().parent.parent / "docs" / "commands.md"
INTRODUCTION = """# Commands

Made from what `--help` says by `tools/command_reference.py`. APPLICATION is an application's id, its last digits
(`42` for `…_0042`), or its name: of several with one name it is the one that runs, with none running the newest.
Codes with which commands end: [exit codes](exit-codes.md).

`knit [OPTIONS] COMMAND …`

"""


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")


def page() -> str:
    """The whole page as Markdown."""
    parts = [INTRODUCTION, *_options(knit), "\n"]
    for path, command in commands():
        if isinstance(command, click.Group):
            continue
        words = " ".join(["knit", *path, "[OPTIONS]", *command.collect_usage_pieces(click.Context(command))[1:]])
        parts.append(f"## `knit {' '.join(path)}`\n\n```text\n{words}\n```\n\n{_text(command)}\n\n")
        parts += _options(command)
        parts.append("\n")
    return "".join(parts).rstrip() + "\n"


def commands(group: click.Group = knit, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """All commands with the words that lead to them."""
    context = click.Context(group)
    for name in group.list_commands(context):
        found = group.get_command(context, name)
        if found is None or found.hidden:
            continue
        yield (*path, name), found
        if isinstance(found, click.Group):
            yield from commands(found, (*path, name))


def options(command: click.Command) -> Iterator[click.Option]:
    """Its own options."""
    return (each for each in command.params if isinstance(each, click.Option) and not each.hidden)


def _options(command: click.Command) -> Iterator[str]:
    rows = list(options(command))
    if not rows:
        return
    yield "| option | |\n|-|-|\n"
    for each in rows:
        record = each.get_help_record(click.Context(command))
        if record is not None:
            names, help_text = record
            yield f"| `{_cell(names)}` | {_cell(help_text)} |\n"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _text(command: click.Command) -> str:
    paragraphs = (command.help or "").split("\n\n")
    shown = []
    for each in paragraphs:
        if each.strip().startswith("\b"):
            lines = [line.strip() for line in each.replace("\b", "").strip().splitlines()]
            shown.append("```text\n" + "\n".join(lines) + "\n```")
        else:
            shown.append(" ".join(each.split()))
    return "\n\n".join(shown)


if __name__ == "__main__":
    main()
