"""Secrets in attributes: no repr, no `vars` and no pretty printer shows them. Standard library only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Hidden(Generic[T]):
    """Holds a secret; `reveal()` gives it. What shows attributes (repr, rich, debuggers) sees a function."""

    __slots__ = ("reveal",)

    def __init__(self, secret: T) -> None:
        self.reveal: Callable[[], T] = lambda: secret

    def __repr__(self) -> str:
        return "***"
