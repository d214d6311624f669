"""Parses a YAML or JSON text into a tree of nodes with line numbers, with limits on depth and size.

Unquoted words are interpreted as in YAML 1.2 (and JSON): `true`, `false`, `null`, numbers; `yes`, `no`, dates and `1:30` are
texts. Tags are refused. Aliases (`*name`) and merge keys (`<<`) are supported, with limits on the expanded size.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import yaml

from knit_core.spec.problems import Location, shorten

MOST_BYTES = 10 << 20  # of a file
MOST_VALUES = 500_000  # of a file with expanded aliases
MOST_TEXT = 4 * MOST_BYTES  # characters, with expanded aliases
DEEPEST = 50
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_WHOLE = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_NUMBER = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_WORDS = {**dict.fromkeys(("", "~", "null", "Null", "NULL"))} | {
    word: value for value in (True, False) for text in [str(value)] for word in (text, text.lower(), text.upper())
}
_NOT_IN_YAML = re.compile("[\t\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
_JSON_ESCAPE = re.compile(r"\\(?:u([dD][89a-fA-F])[0-9a-fA-F]{2}|.)")


class Unreadable(Exception):
    """The text cannot be parsed; `line` is 0 if the problem has no line."""

    def __init__(self, message: str, line: int = 0) -> None:
        self.line = line
        super().__init__(message)


@dataclass(slots=True)
class Node:
    """One value. `text` is a scalar as written; a `quoted` scalar is always a text."""

    kind: Literal["scalar", "list", "mapping"]
    line: int
    text: str = ""
    quoted: bool = False
    items: list[Node] | None = None
    pairs: list[Pair] | None = None
    values: int = 1  # number of values, including this one, with expanded aliases
    size: int = 0  # characters, with expanded aliases
    height: int = 1  # levels from this node down, with expanded aliases

    def scalar(self) -> Any:
        """The scalar's value."""
        return self.text if self.quoted else resolve(self.text)

    def add(self, child: Node, pair: Pair | None = None) -> None:
        """Append a complete child."""
        if pair is not None and self.pairs is not None:
            self.pairs.append(pair)
        elif self.items is not None:
            self.items.append(child)
        self.values += child.values
        self.size += child.size + (len(pair.key) if pair else 0)
        self.height = max(self.height, child.height + 1)


@dataclass(slots=True)
class Pair:
    """A key of a mapping with its value; `merge` for YAML's `<<`."""

    key: str
    line: int
    value: Node
    merge: bool = False


def resolve(text: str) -> Any:
    """The value of an unquoted word."""
    if text in _WORDS:
        return _WORDS[text]
    try:
        if _WHOLE.fullmatch(text):
            return int(text, 0) if text[:2] in {"0o", "0x"} else int(text)
        if _NUMBER.fullmatch(text):
            return float(text)
    except ValueError:  # more digits than Python converts
        pass
    return {".inf": float("inf"), "-.inf": float("-inf"), ".nan": float("nan")}.get(text.lower(), text)


def read_yaml(text: str) -> Node:
    """The single document in `text`.

    Raises:
        Unreadable: not YAML, empty, several documents, tags, too deep, too large.
    """
    try:
        return _Composer().compose(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise Unreadable(
            f"not YAML: {error.problem or error.context}"
            + (f" (column {mark.column + 1})" if mark else "")
            + (": YAML is indented with spaces" if mark and _tab_at(text, mark.line, mark.column) else ""),
            mark.line + 1 if mark else 0,
        ) from None
    except yaml.reader.ReaderError as error:
        position = error.position if isinstance(error.position, int) else 0
        raise Unreadable(
            f'not YAML: {error.reason} (write them as escapes in double quotes, such as "\\x1b")',
            text.count("\n", 0, position) + 1,
        ) from None


def _tab_at(text: str, line: int, column: int) -> bool:
    return text.split("\n")[line][column : column + 1] == "\t" if text.count("\n") >= line else False


def read_json(text: str) -> Node:
    """The value in `text`, parsed as JSON; line numbers are from the YAML parser, which accepts JSON's syntax.

    Raises:
        Unreadable: not JSON, empty, too deep, too large.
    """
    if not text.strip():
        raise Unreadable("the file is empty")
    try:
        value = json.loads(
            text, object_pairs_hook=_Pairs, parse_int=_Raw, parse_float=_Raw, parse_constant=_not_a_number
        )
    except json.JSONDecodeError as error:
        raise Unreadable(f"not JSON: {error.msg} (column {error.colno})", error.lineno) from None
    except RecursionError:
        raise Unreadable(f"nested deeper than {DEEPEST} levels") from None
    try:
        lines: Node | None = read_yaml(_NOT_IN_YAML.sub(" ", _JSON_ESCAPE.sub(_without_surrogates, text)))
    except Unreadable as error:
        if "not YAML" not in str(error):
            raise
        lines = None  # YAML refuses keys of more than 1024 characters: no line numbers
    return _json_node(value, lines)


class _Raw(str):
    """A number as written."""


class _Pairs(list[tuple[str, Any]]):
    """An object's keys and values, in order."""


def _not_a_number(word: str) -> Any:
    raise Unreadable(f"not JSON: {word} is not a JSON number")


def _without_surrogates(found: re.Match[str]) -> str:
    """Replace surrogates in escapes, which YAML refuses."""
    return " " * 6 if found[1] else found[0]


def _json_node(value: Any, lines: Node | None, depth: int = 0) -> Node:
    """The nodes of a JSON value, with line numbers from the same text parsed as YAML."""
    if depth > DEEPEST:
        raise Unreadable(f"nested deeper than {DEEPEST} levels")
    line = lines.line if lines else 0
    if isinstance(value, _Pairs):
        node = Node("mapping", line, pairs=[])
        found = lines.pairs if lines and lines.pairs and len(lines.pairs) == len(value) else None
        for index, (key, each) in enumerate(value):
            child = _json_node(each, found[index].value if found else None, depth + 1)
            node.add(child, Pair(key, found[index].line if found else line, child))
    elif isinstance(value, list):
        node = Node("list", line, items=[])
        rows = lines.items if lines and lines.items and len(lines.items) == len(value) else None
        for index, each in enumerate(value):
            node.add(_json_node(each, rows[index] if rows else None, depth + 1))
    elif isinstance(value, _Raw) or not isinstance(value, str):
        word = str(value) if isinstance(value, _Raw) else json.dumps(value)
        node = Node("scalar", line, word, size=len(word))
    else:
        node = Node("scalar", line, value, quoted=True, size=len(value))
    if node.values > MOST_VALUES:
        raise Unreadable(f"more than {MOST_VALUES} values")
    return node


class _Composer:
    """Builds nodes from the YAML parser's events, without recursion."""

    def __init__(self) -> None:
        self.open: list[tuple[Node, str | None, Pair | None]] = []  # node, its anchor, the pair without a value yet
        self.anchors: dict[str, Node] = {}
        self.root: Node | None = None
        self.count = 0

    def compose(self, text: str) -> Node:
        documents = 0
        for event in yaml.parse(text, Loader=_LOADER):
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise Unreadable("a second document begins here; a file must have one specification", _line(event))
            elif isinstance(event, yaml.NodeEvent):
                self._node(event)
            elif isinstance(event, yaml.CollectionEndEvent):
                self._close()
        if self.root is None or (self.root.kind == "scalar" and not self.root.text and not self.root.quoted):
            raise Unreadable("the file is empty")
        return self.root

    def _node(self, event: Any) -> None:
        line = _line(event)
        self.count += 1
        if self.count > MOST_VALUES:
            raise Unreadable(f"more than {MOST_VALUES} values", line)
        if isinstance(event, yaml.AliasEvent):
            self._put(self._named(event.anchor or "", line), line)
            return
        if event.tag is not None:
            raise Unreadable(f"the YAML tag {shorten(event.tag)} is not supported: write a plain value", line)
        if isinstance(event, yaml.ScalarEvent):
            node = Node("scalar", line, event.value, quoted=not event.implicit[0], size=len(event.value))
            if event.anchor:
                self.anchors[event.anchor] = node
            self._put(node, line)
            return
        if len(self.open) >= DEEPEST:
            raise Unreadable(f"nested deeper than {DEEPEST} levels", line)
        mapping = isinstance(event, yaml.MappingStartEvent)
        node = Node("mapping", line, pairs=[]) if mapping else Node("list", line, items=[])
        self.open.append((node, event.anchor, None))

    def _named(self, anchor: str, line: int) -> Node:
        if any(anchor == name for _node, name, _pair in self.open):
            raise Unreadable(f"*{anchor} is inside of the value that it refers to", line)
        if anchor not in self.anchors:
            raise Unreadable(f"*{anchor} is undefined: there is no &{anchor} before it", line)
        return self.anchors[anchor]

    def _close(self) -> None:
        node, anchor, _pair = self.open.pop()
        if anchor:
            self.anchors[anchor] = node
        self._put(node, node.line)

    def _put(self, node: Node, line: int) -> None:
        """Add a complete node to the innermost open node."""
        if not self.open:
            self.root = node
            return
        parent, anchor, pair = self.open[-1]
        if parent.kind == "list":
            parent.add(node)
        elif pair is None:
            if node.kind != "scalar":
                raise Unreadable("a key must be a plain word, not a list or a mapping", line)
            merge = node.text == "<<" and not node.quoted
            self.open[-1] = parent, anchor, Pair(node.text, line, node, merge)
        else:
            pair.value = node
            parent.add(node, pair)
            self.open[-1] = parent, anchor, None
        if parent.values > MOST_VALUES or parent.size > MOST_TEXT:
            raise Unreadable(
                f"with expanded aliases it has more than {MOST_VALUES} values or {MOST_TEXT >> 20} MB", line
            )
        if parent.height > DEEPEST:
            raise Unreadable(f"with expanded aliases it is nested deeper than {DEEPEST} levels", line)


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1


def merged(node: Node) -> Iterator[Pair]:
    """A mapping's own pairs, including duplicates, then the pairs of `<<` with other keys.

    Raises:
        Unreadable: the value of `<<` is not a mapping, or a list of mappings.
    """
    own = [pair for pair in node.pairs or () if not pair.merge]
    yield from own
    known = {pair.key for pair in own}
    for pair in node.pairs or ():
        if not pair.merge:
            continue
        sources = [pair.value] if pair.value.kind == "mapping" else pair.value.items or []
        if not sources or any(source.kind != "mapping" for source in sources):
            raise Unreadable("<< requires a mapping, or a list of mappings", pair.line)
        for source in sources:
            for inherited in merged(source):
                if inherited.key not in known:
                    known.add(inherited.key)
                    yield inherited


def plain(node: Node) -> Any:
    """The node as plain data; of duplicate keys the first counts."""
    if node.kind == "mapping":
        data: dict[str, Any] = {}
        for pair in merged(node):
            data.setdefault(pair.key, plain(pair.value))
        return data
    return [plain(item) for item in node.items or ()] if node.kind == "list" else node.scalar()


def line_of(node: Node, location: Location) -> int:
    """The line of `location`, or of the innermost node that contains it.

    Validators convert short forms. So a part of a location may be the text of a list's element (`depends_on: [db]`), or the
    index of a mapping's value.
    """
    line = node.line
    for part in location:
        if node.kind == "mapping":
            pairs = list(merged(node))
            named = [pair for pair in pairs if pair.key == part] or (
                pairs[part : part + 1] if isinstance(part, int) else []
            )
            if not named:
                return line
            node, line = named[-1].value, named[-1].line
        else:
            items = node.items or []
            rows = items[part : part + 1] if isinstance(part, int) else [i for i in items if i.text == part]
            if not rows:
                return line
            node, line = rows[0], rows[0].line
    return line
