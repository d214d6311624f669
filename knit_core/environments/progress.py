"""The events of a running build, for a terminal, a log or a test."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from knit_core.model.representation import shown


class Stage(str, Enum):
    """The stages of a build. A cached environment has DONE only."""

    WAIT = "wait"  # another process builds the same environment
    SOLVE = "solve"
    DOWNLOAD = "download"
    LINK = "link"
    PACK = "pack"
    DONE = "done"


@shown
@dataclass(frozen=True)
class Progress:
    """One event; `str(event)` is a line of text.

    Attributes:
        stage: of the build.
        message: a short text.
        done: finished part of `total` (packages; bytes while downloading); None: not counted.
        total: packages or bytes in all.
    """

    stage: Stage
    message: str
    done: int | None = None
    total: int | None = None

    def __str__(self) -> str:
        counted = f" ({self.done}/{self.total})" if self.total and self.stage is not Stage.DOWNLOAD else ""
        return f"{self.stage.value}: {self.message}{counted}"


ProgressCallback = Callable[[Progress], None]


def silent(event: Progress) -> None:
    """The callback that ignores events."""
