"""Typed access to the mappings of a YAML or JSON source, with lines. A value of a wrong type is a reason to refuse."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Literal

from knit_core.convert.draft import NO_EQUIVALENT, Draft, Mark, Source
from knit_core.errors import SpecError
from knit_core.spec.parser import Node, Pair, Unreadable, merged, read_json, read_yaml
from knit_core.spec.problems import shorten

_NAMES = {"mapping": "a mapping", "list": "a list", "scalar": "a single value"}
_WHOLE = re.compile(r"[-+]?[0-9]{1,18}")


def read(source: Source, form: Literal["json", "yaml"]) -> Node:
    """The source's mapping.

    Raises:
        SpecError: it is not JSON or YAML, or no mapping.
    """
    try:
        node = (read_json if form == "json" else read_yaml)(source.text)
        if node.kind != "mapping":
            raise Unreadable(f"should be a mapping of names to values, not {_NAMES[node.kind]}", node.line)
        check_merges(node)
    except Unreadable as error:
        raise SpecError([f"{Mark(source.name, error.line)}: {error}"]) from None
    return node


def check_merges(node: Node) -> None:
    """Raise what `<<` has wrong, so that later uses cannot fail."""
    if node.kind == "mapping":
        for pair in list(merged(node)):
            check_merges(pair.value)
    for item in node.items or ():
        check_merges(item)


class Fields:
    """A mapping of the source. What is not asked for is lost: `rest`.

    Args:
        draft: for problems and losses.
        node: the mapping; None is an empty one.
        file: the source's name.
        what: the place of the mapping in the source, such as `services.web`.
        line: of the mapping, if it is absent.
    """

    def __init__(self, draft: Draft, node: Node | None, file: str, what: str = "", line: int = 0) -> None:
        self.draft = draft
        self.file = file
        self.what = what
        self.line = node.line if node else line
        self.pairs: dict[str, Pair] = {}
        self.asked: set[str] = set()
        if node is None or _null(node):
            return
        if node.kind != "mapping":
            draft.refuse(Mark(file, node.line), f"{what or 'it'}: should be a mapping, not {_NAMES[node.kind]}")
            return
        for pair in merged(node):
            if pair.key in self.pairs:
                first = self.pairs[pair.key].line
                draft.refuse(Mark(file, pair.line), f"{self.path(pair.key)}: occurs twice (first in line {first})")
            else:
                self.pairs[pair.key] = pair

    def __contains__(self, key: str) -> bool:
        return key in self.pairs and not _null(self.pairs[key].value)

    def __iter__(self) -> Iterator[str]:
        return iter(self.pairs)

    def path(self, key: str = "") -> str:
        """The place of a key in the source, for messages."""
        return shorten(".".join(part for part in (self.what, key) if part), 200, quote=False)

    def mark(self, key: str = "") -> Mark:
        """Where a key is, or the mapping."""
        return Mark(self.file, self.pairs[key].line if key in self.pairs else self.line)

    def node(self, key: str) -> Node | None:
        """The value of a key; None if it is absent or null."""
        self.asked.add(key)
        return self.pairs[key].value if key in self else None

    def wrong(self, key: str, text: str) -> None:
        """Refuse the source for the value of a key."""
        self.draft.refuse(self.mark(key), f"{self.path(key)}: {text}")

    def lose(self, key: str, why: str = NO_EQUIVALENT) -> None:
        """Note that a key is lost. No effect if it is absent."""
        self.asked.add(key)
        if key in self:
            self.draft.lose(self.mark(key), self.path(key), why)

    def rest(self, why: str = NO_EQUIVALENT) -> None:
        """All keys that were not asked for are lost."""
        for key in self.pairs:
            if key not in self.asked:
                self.lose(key, why)

    def text(self, key: str, default: str = "") -> str:
        """A text as it is written; numbers and words are texts too."""
        node = self.node(key)
        if node is None:
            return default
        if node.kind != "scalar":
            self.wrong(key, f"should be a text, not {_NAMES[node.kind]}")
            return default
        return node.text

    def whole(self, key: str, default: int | None = None) -> int | None:
        """A whole number, also one in quotes."""
        node = self.node(key)
        if node is None:
            return default
        if node.kind != "scalar" or not _WHOLE.fullmatch(node.text.strip()):
            found = shorten(node.text, 40) if node.kind == "scalar" else _NAMES[node.kind]
            self.wrong(key, f"should be a whole number of at most 18 digits, not {found}")
            return default
        return int(node.text)

    def flag(self, key: str, default: bool = False) -> bool:
        """True or false; also in quotes."""
        node = self.node(key)
        if node is None:
            return default
        word = node.text.strip().lower() if node.kind == "scalar" else ""
        if word not in {"true", "false", "yes", "no"}:
            self.wrong(key, "should be true or false")
        return word in {"true", "yes"}

    def texts(self, key: str) -> list[str]:
        """A list of texts; a single text is a list of one."""
        node = self.node(key)
        if node is None:
            return []
        rows = [node] if node.kind == "scalar" else node.items if node.kind == "list" else None
        if rows is None or any(row.kind != "scalar" for row in rows):
            self.wrong(key, "should be a list of texts")
            return []
        return [row.text for row in rows]

    def words(self, key: str) -> dict[str, str]:
        """A mapping of texts to texts, each as it is written."""
        return self.fields(key).all_texts()

    def all_texts(self) -> dict[str, str]:
        """All of its values as texts."""
        return {key: self.text(key) for key in list(self.pairs)}

    def fields(self, key: str) -> Fields:
        """A mapping below this one; empty if it is absent."""
        return Fields(self.draft, self.node(key), self.file, self.path(key), self.mark(key).line)

    def rows(self, key: str) -> list[Fields]:
        """A list of mappings; empty if it is absent."""
        node = self.node(key)
        if node is None:
            return []
        if node.kind != "list":
            self.wrong(key, f"should be a list, not {_NAMES[node.kind]}")
            return []
        return [
            Fields(self.draft, item, self.file, f"{self.path(key)}[{index}]")
            for index, item in enumerate(node.items or ())
        ]


def data(node: Node) -> Any:
    """A node as plain data, texts and numbers as they are written."""
    if node.kind == "mapping":
        return {pair.key: data(pair.value) for pair in merged(node)}
    return [data(item) for item in node.items or ()] if node.kind == "list" else node.scalar()


def _null(node: Node) -> bool:
    return node.kind == "scalar" and not node.quoted and node.scalar() is None


__all__ = ["Fields", "data", "read"]
