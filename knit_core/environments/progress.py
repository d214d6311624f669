"""What a build tells while it runs: small events that a terminal, a log or a test renders as it likes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from knit_core.model.representation import shown


class Stage(str, Enum):
    """Where a build is. A cached environment passes through DONE only."""

    WAIT = "wait"  # another process builds the same environment
    SOLVE = "solve"
    DOWNLOAD = "download"
    LINK = "link"
    PACK = "pack"
    DONE = "done"


@shown
@dataclass(frozen=True)
class Progress:
    """One event; `str(event)` is a line for people.

    Attributes:
        stage: where the build is.
        message: what happens, in a few words.
        done: how much of `total` (packages; bytes while downloading) is finished; None when it is not counted.
        total: how much there is.
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
    """The callback of those who do not listen."""
