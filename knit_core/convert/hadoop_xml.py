"""Reads Hadoop's XML configuration: names, values and lines. Documents with a DTD are refused, so no entity is expanded."""

from __future__ import annotations

from typing import NamedTuple
from xml.parsers import expat

from knit_core.convert.draft import Mark, Source
from knit_core.errors import SpecError

_DEEPEST = 10
_MOST = 10_000


class Property(NamedTuple):
    """A property, and where it is."""

    name: str
    value: str
    mark: Mark


class _Reader:
    def __init__(self, source: Source) -> None:
        self.source = source
        self.path: list[str] = []
        self.found: list[Property] = []
        self.parts: dict[str, str] = {}
        self.line = 0
        self.parser = expat.ParserCreate()
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self.start
        self.parser.EndElementHandler = self.end
        self.parser.CharacterDataHandler = self.characters
        self.parser.StartDoctypeDeclHandler = self.doctype

    def stop(self, text: str) -> None:
        raise SpecError([f"{Mark(self.source.name, self.parser.CurrentLineNumber)}: {text}"])

    def doctype(self, *_arguments: object) -> None:
        self.stop("a document type (<!DOCTYPE) is not supported: no entities are expanded")

    def start(self, tag: str, _attributes: object) -> None:
        if not self.path and tag != "configuration":
            self.stop(f"should be <configuration>, not <{tag[:60]}>")
        self.path.append(tag)
        if len(self.path) > _DEEPEST:
            self.stop(f"nested deeper than {_DEEPEST} levels")
        if tag == "property":
            self.parts, self.line = {}, self.parser.CurrentLineNumber
        if "include" in tag:
            self.stop("other files are not included: write their properties here")

    def characters(self, text: str) -> None:
        if len(self.path) == 3 and self.path[-1] in {"name", "value"}:
            self.parts[self.path[-1]] = self.parts.get(self.path[-1], "") + text

    def end(self, tag: str) -> None:
        self.path.pop()
        if tag != "property" or len(self.path) != 1:
            return
        name = self.parts.get("name", "").strip()
        if not name:
            self.stop("a property without a name")
        if len(self.found) >= _MOST:
            self.stop(f"more than {_MOST} properties")
        self.found.append(Property(name, self.parts.get("value", "").strip(), Mark(self.source.name, self.line)))


def read_properties(source: Source) -> list[Property]:
    """The properties, in the order of the file.

    Raises:
        SpecError: it is no such XML, or a property occurs twice with different values.
    """
    reader = _Reader(source)
    try:
        reader.parser.Parse(source.text.encode(), True)
    except expat.ExpatError as error:
        raise SpecError([f"{Mark(source.name, error.lineno)}: not XML: {expat.ErrorString(error.code)}"]) from None
    known: dict[str, Property] = {}
    for row in reader.found:
        first = known.setdefault(row.name, row)
        if first.value != row.value:
            raise SpecError([f"{row.mark}: {row.name[:200]}: twice, with another value in line {first.mark.line}"])
    return reader.found


__all__ = ["Property", "read_properties"]
