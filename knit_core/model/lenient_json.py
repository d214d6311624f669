"""Reads Hadoop's JSON, in which a list of one element has no brackets, an empty list is null or "", and numbers may be
strings. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def inside(found: Any, *keys: str) -> Any:
    """The value below `keys`; None when one of them is missing, null or empty."""
    for key in keys:
        found = found.get(key) if isinstance(found, Mapping) else None
    return found


def rows(found: Any, *keys: str) -> list[Mapping[str, Any]]:
    """The objects of a list below `keys`."""
    found = inside(found, *keys)
    return [row for row in (found if isinstance(found, list) else [found]) if isinstance(row, Mapping) and row]


def texts(found: Any, *keys: str) -> list[str]:
    """The strings of a list below `keys`."""
    found = inside(found, *keys)
    return [str(each) for each in (found if isinstance(found, list) else [found]) if each not in (None, "")]


def number(found: Any, default: int = 0) -> int:
    """A whole number from a number or a string; `default` for anything else."""
    try:
        return int(found)
    except (TypeError, ValueError):
        return default


__all__ = ["inside", "number", "rows", "texts"]
