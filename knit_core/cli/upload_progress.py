"""Progress of uploads on a terminal: bytes, speed and time left of each file."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

if TYPE_CHECKING:
    from rich.console import Console

_SMALLEST_SHOWN = 1 << 20  # bytes; smaller files are uploaded too fast to show progress


class UploadBar:
    """A callback for `Knit.upload_progress` that shows large uploads, on a terminal only."""

    def __init__(self, console: Console) -> None:
        columns = (TextColumn("  {task.description}"), BarColumn(bar_width=30), DownloadColumn(), TransferSpeedColumn())
        self._progress = Progress(
            *columns, TimeRemainingColumn(), console=console, transient=True, disable=not console.is_terminal
        )
        self._tasks: dict[str, object] = {}
        self._lock = threading.Lock()  # files are uploaded in parallel

    def __enter__(self) -> UploadBar:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def __call__(self, name: str, sent: int, total: int) -> None:
        if total < _SMALLEST_SHOWN:
            return
        with self._lock:
            if name not in self._tasks:
                self._tasks[name] = self._progress.add_task(f"upload {name}", total=total)
            self._progress.update(self._tasks[name], completed=sent)  # type: ignore[arg-type]
