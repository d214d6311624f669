"""Warnings of this package: each is given once in a process, at the caller's line."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

_HERE = str(Path(__file__).parent)
_given: set[str] = set()


class SettingIgnored(UserWarning):
    """A setting of knit 0.2.4 that has no effect any more."""


def warn_ignored(name: str, reason: str) -> None:
    """Warn, once for the name, that a setting has no effect."""
    _warn(name, f"{name} has no effect: {reason}", SettingIgnored)


def warn_old(name: str, new: str) -> None:
    """Warn, once for the name, that there is a better way now. The name stays.

    Args:
        name: as users write it.
        new: what to use instead.
    """
    _warn(name, f"{name} is the way of knit 0.2.4; use {new}", DeprecationWarning)


def forget() -> None:
    """Give all warnings again. For tests."""
    _given.clear()


def _warn(name: str, text: str, category: type[Warning]) -> None:
    if name in _given:
        return
    _given.add(name)
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_HERE):
        level, frame = level + 1, frame.f_back
    warnings.warn(text, category, stacklevel=level)
