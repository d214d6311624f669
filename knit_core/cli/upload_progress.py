"""Uploads on a terminal: bytes, speed and time left of all files together."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

if TYPE_CHECKING:
    from rich.console import Console

_WORTH_A_LINE = 1 << 20  # bytes; what is smaller is there before anybody reads


class UploadBar:
    """A callback for `Knit.upload_progress`; a line while something large is sent, on a terminal only."""

    def __init__(self, console: Console) -> None:
        columns = (TextColumn("  {task.description}"), BarColumn(bar_width=30), DownloadColumn(), TransferSpeedColumn())
        self._progress = Progress(
            *columns, TimeRemainingColumn(), console=console, transient=True, disable=not console.is_terminal
        )
        self._tasks: dict[str, object] = {}
        self._lock = threading.Lock()  # files are sent side by side

    def __enter__(self) -> UploadBar:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def __call__(self, name: str, sent: int, total: int) -> None:
        if total < _WORTH_A_LINE:
            return
        with self._lock:
            if name not in self._tasks:
                self._tasks[name] = self._progress.add_task(f"upload {name}", total=total)
            self._progress.update(self._tasks[name], completed=sent)  # type: ignore[arg-type]
