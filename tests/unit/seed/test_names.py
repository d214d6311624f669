"""Every public name and parameter of knit 0.2.4 is in the table of docs/migration.md, and the table is true."""

from __future__ import annotations

import importlib
import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from knit import YARNAPI, CondaCreator, Knit
from knit.dask_yarn import DaskYARNCluster
from knit.refusals import REFUSED

PAGE = Path(__file__).resolve().parents[3] / "docs" / "migration.md"
DATA = json.loads(Path(__file__).with_name("names_0_2_4.json").read_text(encoding="utf-8"))
NAMES: dict[str, list[list[str | None]] | None] = DATA["names"]
ALIASES: dict[str, str] = DATA["aliases"]
WORDS = {"same", "adapted", "refused"}


class Row(NamedTuple):
    """What the table says of one name, or of one of its parameters."""

    is_: str
    words: str
    signature: list[str]


def table(first: str) -> list[tuple[list[str], str, str]]:
    """The rows of the table with this first column: names, state, words."""
    text = PAGE.read_text(encoding="utf-8")
    body = text.split(f"| {first} | is | now |\n|-|-|-|\n")[1].split("\n\n")[0]
    rows = []
    for line in body.splitlines():
        items, state, words = (part.strip() for part in line.strip("|").split(" | ", 2))
        rows.append((re.findall(r"`([^`]+)`", items), state, words.rstrip("| ").strip()))
    return rows


def names() -> tuple[dict[str, Row], dict[tuple[str, str], Row]]:
    """Names, and parameters that have a row of their own."""
    found: dict[str, Row] = {}
    parts: dict[tuple[str, str], Row] = {}
    for items, state, words in table("0.2.4"):
        for item in items:
            name, _, inner = item.rstrip(")").partition("(")
            if inner.startswith("… "):
                key = name, inner[2:].rstrip("=")
                assert key not in parts, f"{item} is there twice"
                parts[key] = Row(state, words, [])
            else:
                assert name not in found, f"{item} is there twice"
                found[name] = Row(state, words, [each for each in inner.split(", ") if each])
    return found, parts


ROWS, PARTS = names()


def present(name: str) -> Any:
    """The present object of a name of 0.2.4."""
    where = name.replace("dask_yarn.core", "knit.dask_yarn", 1) if name.startswith("dask_yarn.core") else name
    parts = where.split(".")
    module = ".".join(parts[:2]) if len(parts) > 2 and parts[1].islower() else parts[0]
    found: Any = importlib.import_module(module)
    for part in where[len(module) + 1 :].split("."):
        found = getattr(found, part)
    return found


def test_nothing_is_unknown() -> None:
    known = {*NAMES, *ALIASES, *(name for name in DATA["modules"] if not _names_in(name))}
    assert set(ROWS) == known
    assert {row.is_ for row in (*ROWS.values(), *PARTS.values())} <= WORDS
    for name, parameters in NAMES.items():
        assert ROWS[name].signature == [each for each, _ in parameters or ()], name
    for name, parameter in PARTS:
        assert parameter in ROWS[name].signature, (name, parameter)


def _names_in(module: str) -> bool:
    return any(name.rpartition(".")[0] == module for name in (*NAMES, *ALIASES))


def test_what_is_different_has_words() -> None:
    assert [name for name, row in (*ROWS.items(), *PARTS.items()) if row.is_ != "same" and len(row.words) < 8] == []


def test_settings() -> None:
    rows = table("setting")
    assert sorted(name for items, _, _ in rows for name in items) == DATA["settings"]
    assert {state for _, state, _ in rows} <= WORDS
    assert [items for items, state, words in rows if state != "same" and len(words) < 8] == []


@pytest.fixture(scope="module")
def objects() -> Iterator[dict[str, Any]]:
    """An object of each class."""
    cluster = DaskYARNCluster(autodetect=False, rm="h", env="x")
    yield {
        "knit.core.Knit": Knit(autodetect=False, rm="h"),
        "knit.yarn_api.YARNAPI": YARNAPI("h", 1),
        "knit.env.CondaCreator": CondaCreator(),
        "dask_yarn.core.DaskYARNCluster": cluster,
    }
    cluster.close()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_what_is_the_same_or_adapted_is_there(objects: dict[str, Any]) -> None:
    missing = []
    for name in (name for name, row in ROWS.items() if row.is_ != "refused"):
        origin = ALIASES.get(name, name)
        owner, _, attribute = origin.rpartition(".")
        if owner in objects:
            missing += [name] * (attribute not in dir(objects[owner]))
        elif present(name) is not present(origin):
            missing.append(name)
    assert missing == []


def _compared() -> list[str]:
    return [name for name, parameters in NAMES.items() if parameters is not None and ROWS[name].is_ != "refused"]


@pytest.mark.parametrize("name", [name for name in _compared() if name != "knit.DaskYARNCluster"])
def test_parameters(name: str) -> None:
    """Names, order and defaults, but for parameters that have a row of their own."""
    if name.startswith("knit.exceptions."):
        return
    there = [each for each in inspect.signature(present(name)).parameters.values() if each.name != "self"]
    old = [(str(parameter), default) for parameter, default in NAMES[name] or ()]
    plain = [pair for pair in old if not pair[0].startswith("*")]
    assert [each.name for each in there[: len(plain)]] == [parameter for parameter, _ in plain]
    for each, (parameter, default) in zip(there, plain, strict=False):
        if (name, parameter) in PARTS:
            continue
        new = inspect.Parameter.empty if default is None else default
        assert (each.default if default is None else repr(each.default)) == new, parameter
    if any(parameter.startswith("**") for parameter, _ in old) and (name, "**kwargs") not in PARTS:
        assert there[-1].kind is inspect.Parameter.VAR_KEYWORD


@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if row.is_ == "refused"])
def test_what_is_refused_says_why(name: str, objects: dict[str, Any]) -> None:
    origin = ALIASES.get(name, name)
    owner, _, attribute = origin.rpartition(".")
    if (name.startswith("dask_yarn.") and not name.startswith("dask_yarn.core.")) or origin not in REFUSED:
        with pytest.raises((ImportError, AttributeError)):
            present(name)
        return
    assert ROWS[name].words == REFUSED[origin]
    with pytest.raises(AttributeError) as caught:
        getattr(objects[owner], attribute) if owner in objects else present(name)
    assert REFUSED[origin] in str(caught.value)


def test_no_refusal_is_left_over() -> None:
    assert {name for name in REFUSED if ROWS[name].is_ != "refused"} == set()
