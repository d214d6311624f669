"""Reads serialised Java values (java.io.ObjectOutputStream): the subset that occurs in an index of aggregated logs.

Objects become `JavaObject`; strings and names of enum constants become `str`. No class is loaded and no code is executed.
Each value takes at least one byte of the data, so the size of the data bounds the size of the result. Pure.

Grammar: "Java Object Serialization Specification", section 6.4. Arrays, proxies and Externalizable classes do not occur
and are refused.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Any

_NULL, _REFERENCE, _CLASS, _OBJECT, _STRING, _BLOCK, _END = 0x70, 0x71, 0x72, 0x73, 0x74, 0x77, 0x78
_LONG_BLOCK, _LONG_STRING, _ENUM = 0x7A, 0x7C, 0x7E
_FIRST_HANDLE = 0x7E0000
_WRITES_MORE, _SERIALIZABLE = 1, 2
_DEEPEST = 40  # nesting of values; an index has 8
_MOST = 1 << 22  # values; a million logs have three million
_SIZES = {"B": "b", "C": "H", "D": "d", "F": "f", "I": "i", "J": "q", "S": "h", "Z": "?"}


@dataclass
class JavaObject:
    """One object.

    Attributes:
        kind: name of its class.
        fields: by name, those of its superclasses included.
        extra: other values that the class wrote (the elements of a list or a map), without raw data.
    """

    kind: str
    fields: dict[str, Any] = field(default_factory=dict)
    extra: list[Any] = field(default_factory=list)


@dataclass
class _Class:
    name: str
    more: bool = False
    numbers: struct.Struct = field(default_factory=lambda: struct.Struct(">"))
    number_names: tuple[str, ...] = ()
    values: tuple[str, ...] = ()
    parent: _Class | None = None


def parse(data: bytes) -> Any:
    """The first value in `data`.

    Raises:
        ValueError: it is not a serialised value, is truncated, or contains an unsupported type.
    """
    if data[:4] != b"\xac\xed\x00\x05":
        raise ValueError("not a serialised Java value")
    try:
        return _Parser(data).value(0)
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise ValueError(f"a serialised Java value is damaged: {error}") from None


class _Parser:
    def __init__(self, data: bytes) -> None:
        self.data, self.at, self.count = data, 4, 0
        self.handles: list[Any] = []

    def take(self, layout: struct.Struct) -> tuple[Any, ...]:
        found = layout.unpack_from(self.data, self.at)
        self.at += layout.size
        return found

    def number(self, layout: struct.Struct) -> int:
        return int(self.take(layout)[0])

    def text(self, length: int) -> str:
        if not 0 <= length <= len(self.data) - self.at:
            raise ValueError("a text is longer than the data")
        found = self.data[self.at : self.at + length].decode("utf-8", "replace")
        self.at += length
        return found

    def name(self) -> str:
        return self.text(self.number(_SHORT))

    def value(self, depth: int) -> Any:
        """The next value; `_STOP` for an end mark, `_RAW` for raw data."""
        self.count += 1
        if depth > _DEEPEST or self.count > _MOST:
            raise ValueError("values are nested too deeply, or too many")
        tag = self.data[self.at]
        self.at += 1
        if tag == _OBJECT:
            return self.object(depth)
        if tag == _REFERENCE:
            return self.handles[self.handle()]
        if tag in (_STRING, _LONG_STRING):
            found = self.text(self.number(_SHORT if tag == _STRING else _LONG))
            self.handles.append(found)
            return found
        if tag in (_BLOCK, _LONG_BLOCK):
            length = self.number(_BYTE if tag == _BLOCK else _INT)
            self.at += length
            return _RAW
        if tag == _ENUM:
            self.description(depth + 1)
            place = self.place()
            self.handles[place] = str(self.value(depth + 1))
            return self.handles[place]
        if tag in (_NULL, _END):
            return None if tag == _NULL else _STOP
        raise ValueError(f"a serialised Java value contains an unexpected type (0x{tag:02x})")

    def object(self, depth: int) -> JavaObject:
        kind = self.description(depth + 1)
        if kind is None:
            raise ValueError("an object has no class")
        found = JavaObject(kind.name)
        self.handles.append(found)
        lineage = [kind]
        while lineage[-1].parent is not None:
            lineage.append(lineage[-1].parent)
            if len(lineage) > _DEEPEST:
                raise ValueError("a class has too many ancestors")
        for each in reversed(lineage):
            found.fields.update(zip(each.number_names, self.take(each.numbers), strict=True))
            for name in each.values:
                found.fields[name] = self.value(depth + 1)
            if each.more:
                found.extra.extend(self.rest(depth))
        return found

    def rest(self, depth: int) -> list[Any]:
        """Values up to the end mark."""
        found = []
        while (value := self.value(depth + 1)) is not _STOP:
            if value is not _RAW:
                found.append(value)
        return found

    def description(self, depth: int) -> _Class | None:
        """The next class description."""
        if depth > _DEEPEST:
            raise ValueError("classes are nested too deeply")
        tag = self.data[self.at]
        self.at += 1
        if tag == _NULL:
            return None
        if tag == _REFERENCE:
            found = self.handles[self.handle()]
            if not isinstance(found, _Class):
                raise ValueError("a class description was expected")
            return found
        if tag != _CLASS:
            raise ValueError(f"a class description was expected, not 0x{tag:02x}")
        made = _Class(self.name())
        self.at += 8  # its version
        self.handles.append(made)
        flags = self.number(_BYTE)
        if not flags & _SERIALIZABLE:
            raise ValueError(f"objects of {made.name[:100]} have an unsupported format")
        made.more = bool(flags & _WRITES_MORE)
        numbers: list[tuple[str, str]] = []
        values = []
        for _ in range(self.number(_SHORT)):
            letter, name = chr(self.number(_BYTE)), self.name()
            if letter in _SIZES:
                numbers.append((name, _SIZES[letter]))
            elif letter == "L":
                self.value(depth + 1)  # the field's type
                values.append(name)
            else:
                raise ValueError(f"a field has an unexpected type ({letter!r})")
        made.numbers = struct.Struct(">" + "".join(size for _, size in numbers))
        made.number_names, made.values = tuple(name for name, _ in numbers), tuple(values)
        self.rest(depth)
        made.parent = self.description(depth + 1)
        return made

    def place(self) -> int:
        self.handles.append(None)
        return len(self.handles) - 1

    def handle(self) -> int:
        found = self.number(_INT) - _FIRST_HANDLE
        if not 0 <= found < len(self.handles):
            raise ValueError("a reference has no target")
        return found


_BYTE, _SHORT, _INT, _LONG = (struct.Struct(f">{letter}") for letter in "BHIQ")
_STOP, _RAW = object(), object()
