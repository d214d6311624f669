"""Keeps secrets in attributes out of repr, `vars` and pretty printers. Standard library only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Hidden(Generic[T]):
    """Holds a secret; `reveal()` returns it. Tools that show attributes (repr, rich, debuggers) show a function."""

    __slots__ = ("reveal",)

    def __init__(self, secret: T) -> None:
        self.reveal: Callable[[], T] = lambda: secret

    def __repr__(self) -> str:
        return "***"
