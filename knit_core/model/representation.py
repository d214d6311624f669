"""Representations of objects: one line of bounded length for a terminal, a table for a notebook. Pure."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import Enum
from typing import Any, Protocol, TypeVar

from knit_core.model.units import counted

T = TypeVar("T")
LONGEST = 300  # characters of a repr
_PART, _ITEMS, _DEPTH = 80, 5, 3
_READ = 2000  # characters of a text that are considered
_IN_ADDRESSES = re.compile(r"(?<=://)[^/@\s]+(?=@)|(?<=/t/)[^/\s]+")


def shown(cls: type[T]) -> type[T]:
    """Class decorator, above `@dataclass`: a repr of one line, without fields that have their default; long values are cut."""
    cls.__repr__ = _dataclass_repr  # type: ignore[method-assign]
    return cls


def _dataclass_repr(self: Any) -> str:
    return one_line(type(self).__name__, _non_default_fields(self))


def one_line(name: str, parts: Iterable[tuple[str, Any]]) -> str:
    """`Name(part=value, …)`, on one line of at most `LONGEST` characters.

    Args:
        name: of the class.
        parts: attribute and value; with an empty attribute only the value is shown.
    """
    words = [f"{attribute}={brief(value)}" if attribute else brief(value) for attribute, value in parts]
    text = f"{name}({', '.join(words)})"
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 2]}…)"


def brief(value: Any, depth: int = 0) -> str:
    """A value on one line: long texts are cut; of many items only the number is shown."""
    if isinstance(value, Enum):
        return str(value)
    if isinstance(value, str):
        return cut(repr(masked(value[:_READ])[: _PART + 1]))
    if isinstance(value, bytes):
        return f"<{len(value)} bytes>"
    if isinstance(value, Mapping):
        if len(value) > _ITEMS or depth >= _DEPTH:
            return f"<{len(value)} entries>"
        return cut("{" + ", ".join(f"{brief(k, depth + 1)}: {brief(v, depth + 1)}" for k, v in value.items()) + "}")
    if isinstance(value, (list, tuple, set, frozenset)) and type(value).__repr__ in _PLAIN:
        if len(value) > _ITEMS or depth >= _DEPTH:
            return f"<{len(value)} items>"
        return cut("[" + ", ".join(brief(each, depth + 1) for each in value) + "]")
    return cut(masked(" ".join(repr(value).split())))


def masked(text: str) -> str:
    """A text without the secrets in addresses: `https://user:password@host`, `https://host/t/token/…`."""
    return _IN_ADDRESSES.sub("***", text)


_PLAIN = {each.__repr__ for each in (list, tuple, set, frozenset)}


def cut(text: str, most: int = _PART) -> str:
    """A text, cut to at most `most` characters."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _non_default_fields(instance: Any) -> Iterator[tuple[str, Any]]:
    for field in dataclasses.fields(instance):
        if not field.repr:
            continue
        value = getattr(instance, field.name)
        default = field.default
        if default is dataclasses.MISSING and field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        if default is dataclasses.MISSING or (value is not default and value != default):
            yield field.name, value


def html_facts(title: str, facts: Mapping[str, Any]) -> str:
    """A table of names and values for a notebook. Texts are escaped; empty values are left out."""
    rows = "".join(
        f"<tr><th style='text-align:left'>{_escaped(name)}</th><td style='text-align:left'>{_escaped(value)}</td></tr>"
        for name, value in facts.items()
        if value not in (None, "", (), [], {})
    )
    return f"<div><strong>{_escaped(title)}</strong><table>{rows}</table></div>"


def html_rows(title: str, rows: Sequence[Mapping[str, Any]], most: int = 100) -> str:
    """A table with one line for each of the first `most` rows. Texts are escaped."""
    names = list(dict.fromkeys(name for row in rows[:most] for name in row))
    head = "".join(f"<th>{_escaped(name)}</th>" for name in names)
    body = "".join(
        "<tr>" + "".join(f"<td>{_escaped(row.get(name))}</td>" for name in names) + "</tr>" for row in rows[:most]
    )
    more = f"<div>and {len(rows) - most} more</div>" if len(rows) > most else ""
    return f"<div><strong>{_escaped(title)}</strong><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}</div>"


def _escaped(value: Any) -> str:
    import html  # only loaded for notebooks

    text = "" if value is None else str(value) if isinstance(value, (str, int, float)) else brief(value)
    return html.escape(cut(masked(text[:_READ]), 1000))


class Row(Protocol):
    """A value that can be a row of a table."""

    def _row(self) -> Mapping[str, Any]: ...


R = TypeVar("R", bound=Row)


class Rows(list[R]):
    """A list with a repr of one line, and a table in notebooks."""

    def __repr__(self) -> str:
        first = [("", each) for each in self[:2]]
        return one_line(f"{len(self)} items: ", first) if len(self) > 2 else one_line("", first)

    def _repr_html_(self) -> str:
        kind = type(self[0]).__name__.lower() if self else "row"
        return html_rows(counted(len(self), kind), [each._row() for each in self])
