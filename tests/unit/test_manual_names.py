"""What the manual names is there, and what is there the manual names: commands, options, settings, functions."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

import knit_container
from knit_core import Application, Knit
from knit_core.cli import knit
from knit_core.config import SETTINGS
from knit_core.config.environment_variables import OTHER_VARIABLES
from knit_core.local.java import NEWEST, OLDEST
from knit_core.testing import FakeApplication
from tools.command_reference import PAGE, commands, options, page

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
COMMANDS = dict(commands())
_LINE = re.compile(r"^(?:\$ )?(knit [a-z].*)$")


def spans(text: str) -> list[str]:
    """What stands in backquotes, and lines of blocks that look like a terminal's."""
    blocks = re.findall(r"^```[^\n]*\n(.*?)^```", text, re.S | re.M)
    rest = re.sub(r"^```.*?^```", "", text, flags=re.S | re.M)
    lines = [found[1] for block in blocks for line in block.splitlines() if (found := _LINE.match(line.strip()))]
    return [*re.findall(r"`([^`\n]+)`", rest), *lines]


def command_of(words: list[str]) -> tuple[click.Command, str] | None:
    """The command that the words after `knit` call; None: they are not a call of one."""
    while words and words[0].startswith("-"):  # options of knit itself, each with its value
        words = words[2:] if words[0] in {"--cluster", "--user"} else words[1:]
    if not words or not re.fullmatch(r"[a-z][a-z|-]*", words[0]):
        return None
    group: click.Command = knit
    path: tuple[str, ...] = ()
    for word in words:
        if not isinstance(group, click.Group) or not re.fullmatch(r"[a-z][a-z|-]*", word):
            break
        for each in word.split("|"):  # kv get|put
            if (*path, each) not in COMMANDS:
                raise LookupError(f"knit {' '.join((*path, each))}")
        path = (*path, word.split("|")[0])
        group = COMMANDS[path]
    return group, " ".join(path)


@pytest.mark.parametrize("file", PAGES, ids=lambda path: path.name)
def test_commands_and_options_that_a_page_names_are_there(file: Path) -> None:
    wrong = []
    for span in spans(file.read_text(encoding="utf-8")):
        if not re.match(r"knit [a-z-]", span):
            continue
        words = span.split(" -- ")[0].split("#")[0].split()[1:]
        try:
            found = command_of(words)
        except LookupError as missing:
            wrong.append(f"{missing} is no command ({span})")
            continue
        if found is None:
            continue
        known = {name for each in (*options(found[0]), *options(knit)) for name in (*each.opts, *each.secondary_opts)}
        if found[1] == "dask run":
            words = words[: next((i for i, word in enumerate(words) if word.endswith(".py")), len(words))]
        for word in words:
            name = word.partition("=")[0].rstrip(",;…")
            if name.startswith("--") and len(name) > 2 and name not in known | {"--help"}:
                wrong.append(f"knit {found[1]} has no option {name} ({span})")
    assert wrong == []


def test_the_page_of_commands_is_as_they_are() -> None:
    """So every command and option is on a page."""
    assert PAGE.read_text(encoding="utf-8") == page(), "python tools/command_reference.py writes it anew"


def test_variables_that_a_page_names_are_there() -> None:
    known = {f"KNIT_{name.upper()}" for name in SETTINGS} | OTHER_VARIABLES
    for file in PAGES:
        # AIRFLOW__KNIT__… and AIRFLOW_CONN_KNIT_… are Airflow's
        for name in re.findall(r"(?<![A-Z_])KNIT_[A-Z_]+(?<!_)\b", file.read_text(encoding="utf-8")):
            assert name in known, f"{file.name}: {name}"
    rows = re.findall(r"^\| `([a-z_]+)` \|", (ROOT / "docs/configuration.md").read_text(encoding="utf-8"), re.M)
    assert set(rows) == set(SETTINGS)


@pytest.mark.parametrize("file", PAGES, ids=lambda path: path.name)
def test_functions_that_a_page_calls_are_there(file: Path) -> None:
    """`app.…` is an Application; `knit.…` is a client, or `knit_container` where that is imported as knit."""
    wrong = []
    text = file.read_text(encoding="utf-8")
    for owner, name in re.findall(r"(?<![\w./-])(app|knit|Knit|Application|knit_container)\.([a-z]\w*)\(", text):
        homes = {
            "app": [Application, FakeApplication],
            "Application": [Application],
            "Knit": [Knit],
            "knit_container": [knit_container],
            "knit": [Knit, knit_container],
        }[owner]
        if not any(hasattr(home, name) for home in homes):
            wrong.append(f"{owner}.{name}()")
    assert wrong == []


def test_all_pages_name_the_same_java() -> None:
    """One for the nodes (what the jar is compiled for), one to build it, one range for the embedded cluster."""
    span = f"{OLDEST} to {NEWEST}"
    assert f"a JDK ({span})" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"Java {span} is taken" in (ROOT / "docs/local.md").read_text(encoding="utf-8")
    release = re.findall(r"compiler.release>(\d+)<", (ROOT / "java/pom.xml").read_text(encoding="utf-8"))
    install = (ROOT / "docs/install.md").read_text(encoding="utf-8")
    assert [f"Java {each} or newer on the nodes" in install for each in release] == [True]
    assert f"runs with Java {span}" in install
    assert f"JDK of {OLDEST} or newer" in install
    assert f"JDK >= {OLDEST}" in (ROOT / "hatch_build.py").read_text(encoding="utf-8")
