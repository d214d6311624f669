"""Runs the Lua of kitten's files in a process of its own, and finds the lines of their fields."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from knit_core.convert.draft import Mark, Source
from knit_core.errors import SpecError

TIMEOUT = 10.0  # seconds
_SANDBOX = Path(__file__).with_name("lua_sandbox.py")
_PLACE = re.compile(r"^(?:\[string [^\]]*\]|[^:\n]*):([0-9]+): ?")
_TOKEN = re.compile(
    r"(?P<comment>--\[(?P<c>=*)\[.*?(?:\](?P=c)\]|\Z)|--[^\n]*)"
    r"|(?P<long>\[(?P<l>=*)\[.*?(?:\](?P=l)\]|\Z))"
    r"|(?P<text>\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*')"
    r"|(?P<name>[A-Za-z_][A-Za-z0-9_]*)"
    r"|(?P<line>\n)|(?P<sign>==|[{}=\[\],;])",
    re.DOTALL,
)


@dataclass(frozen=True)
class Table:
    """A Lua table: its values by number, in order, and by name."""

    rows: Sequence[Any]
    named: Mapping[str, Any]


def run(source: Source, timeout: float = TIMEOUT) -> list[tuple[list[str], Table]]:
    """The tables that the program gives to `yarn`, each with the names of its global variables.

    Args:
        source: the program.
        timeout: seconds.

    Raises:
        SpecError: lupa is not installed, the program is wrong, or it exceeds a limit.
    """
    found = importlib.util.find_spec("lupa")
    if found is None or not found.submodule_search_locations:
        raise SpecError([f"{source.name}: a file of kitten is a program in Lua: pip install 'knit-yarn[lua]'"])
    folder = str(Path(next(iter(found.submodule_search_locations))).parent)
    try:
        done = subprocess.run(
            [sys.executable, "-I", str(_SANDBOX), folder, "lua"],
            input=source.text.encode(), capture_output=True, timeout=timeout, check=False, env={},
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise SpecError(
            [f"{source.name}: the program exceeded a limit on time: it runs longer than {timeout:g} s"]
        ) from None
    try:
        result: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        if done.returncode > 0:
            last = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
            raise SpecError([f"{source.name}: the process that runs Lua failed: {last[:300]}"]) from None
        raise SpecError(
            [f"{source.name}: the program exceeded a limit on processor time or memory, and was ended"]
        ) from None
    if "error" in result:
        place = _PLACE.match(result["error"])
        mark = Mark(source.name, int(place[1]) if place else 0)
        raise SpecError([f"{mark}: {result['error'][place.end() if place else 0 :]}"])
    return [(names, _table(table)) for names, table in result["apps"]]


def _table(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    rows = [_table(each) for each in value["list"]]
    return Table(rows, {name: _table(each) for name, each in value["named"].items()})


class Lines:
    """The lines of the fields in table constructors, by path."""

    def __init__(self, text: str) -> None:
        self.found: list[tuple[tuple[str, ...], int]] = []
        self.by_key: dict[str, list[tuple[tuple[str, ...], int]]] = {}
        self.assigned: dict[str, int] = {}
        path: list[str] = []
        tokens = [token for token in self._tokens(text) if token[0] != "comment"]
        for index, (kind, word, line) in enumerate(tokens):
            if word == "{" and kind == "sign":
                path.append(self._key_before(tokens, index))
            elif word == "}" and kind == "sign" and path:
                path.pop()
            elif word == "=" and kind == "sign":
                key = self._key_before(tokens, index + 1)
                self.found.append(((*path, key), line))
                self.by_key.setdefault(key, []).append(self.found[-1])
                self.assigned.setdefault(key, line)

    @staticmethod
    def _tokens(text: str) -> list[tuple[str, str, int]]:
        line, rows = 1, []
        for found in _TOKEN.finditer(text):
            kind = found.lastgroup or ""
            kind = next(name for name in ("comment", "long", "text", "name", "line", "sign") if found[name] is not None)
            if kind != "line":
                rows.append((kind, found[0], line))
            line += found[0].count("\n")
        return rows

    @staticmethod
    def _key_before(tokens: Sequence[tuple[str, str, int]], index: int) -> str:
        """The key of `key = … {`, `["key"] = {`; empty in a list."""
        for at in range(index - 1, max(index - 8, -1), -1):
            kind, word, _line = tokens[at]
            if kind == "sign" and word in {"{", "}", ",", ";"}:
                return ""
            if kind == "sign" and word == "=" and at:
                before = tokens[at - 1]
                if before[1] == "]" and at > 1:
                    before = tokens[at - 2]
                return before[1].strip("\"'")
        return ""

    def line(self, *path: str) -> int:
        """The line of a field: of the longest match from its end; 0 for none."""
        for size in range(len(path), 0, -1):
            wanted = path[-size:]
            for place, line in self.by_key.get(path[-1], ()):
                if place[-size:] == wanted:
                    return line
        return 0


__all__ = ["Lines", "Table", "run"]
