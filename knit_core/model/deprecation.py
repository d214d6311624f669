"""Warnings for deprecated names: see docs/stability.md."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import TypeVar

F = TypeVar("F", bound=Callable[..., object])


def warn_deprecated(old: str, new: str, stacklevel: int = 3) -> None:
    """Warn (DeprecationWarning) that `old` will be removed in the next minor release.

    Args:
        old: the deprecated name, as users write it.
        new: what to use instead.
        stacklevel: frames up to the user's line.
    """
    warnings.warn(
        f"{old} is deprecated and will be removed in the next minor release: use {new}",
        DeprecationWarning,
        stacklevel=stacklevel,
    )


def deprecated(old: str, new: str) -> Callable[[F], F]:
    """Decorator of a deprecated function or method: it works as before and warns.

    Args:
        old: its name, as users write it.
        new: what to use instead.
    """

    def decorate(function: F) -> F:
        @functools.wraps(function)
        def warned(*arguments: object, **options: object) -> object:
            warn_deprecated(old, new)
            return function(*arguments, **options)

        return warned  # type: ignore[return-value]

    return decorate


__all__ = ["deprecated", "warn_deprecated"]
