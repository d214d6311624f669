"""Prints log lines: progress bars in place where one container writes to a terminal, else as a line now and then."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable

from knit_core.logs import LogLine
from knit_core.logs.lines import REMARK, drawn
from knit_core.logs.progress_bars import Bars
from knit_core.model.clock import Clock

_ERASE = "\r\x1b[K"
_MOVES = re.compile(r"\x1b\[\d*[A-HJK]")  # what moves the cursor: bars below one another do so


class LinePrinter:
    """Prints lines as they come.

    Args:
        write: writes a text at once.
        terminal: whether it is written to a terminal.
        clock: tells the time.
    """

    def __init__(self, write: Callable[[str], None], terminal: bool, clock: Clock = time) -> None:
        self._write, self._terminal = write, terminal
        self._bars = Bars(clock=clock)
        self._labels: dict[tuple[str, str], str] = {}
        self._containers: set[str] = set()
        self._open: dict[str, str] = {}  # by stream, lines that are being drawn
        self._below = ""  # the stream whose line is on the terminal's last line, not ended

    @property
    def busy(self) -> bool:
        """Whether a bar is being drawn, so that every line must come here."""
        return bool(self._below or self._labels)

    def saw(self, container: str, stream: str) -> None:
        """Something of this container is printed; bars of several are not drawn in place."""
        if stream == REMARK:  # the reader's own
            return
        self._containers.add(container)
        if len(self._containers) > 1 and self._terminal:
            self._terminal = False
            if self._below:
                self._write("\n")
            self._open, self._below = {}, ""

    def line(self, line: LogLine) -> None:
        """Print it, or what of it is to be shown."""
        self.saw(line.yarn or line.container, line.stream)
        if self._terminal:
            self._draw(line)
            return
        text = self._bars.text(line)
        if line.ended:
            self._labels.pop((line.yarn or line.container, line.stream), None)
        elif "\r" in line.text:
            self._labels[line.yarn or line.container, line.stream] = line.label
        if text is not None:
            self._write(f"{line.label} | {text}\n")

    def close(self) -> None:
        """Nothing more comes: print the last drawings of bars that were not ended."""
        if self._below:
            self._write("\n")
        for key, text in self._bars.rest():
            self._write(f"{self._labels.get(key, key[0])} | {text}\n")
        self._open, self._below, self._labels = {}, "", {}

    def _draw(self, line: LogLine) -> None:
        text = drawn(self._open.get(line.stream, "") + line.text)
        erase = _ERASE if self._below else ""
        if not line.ended and ("\r" in line.text or line.stream in self._open):
            self._open[line.stream], self._below = text, line.stream
            self._write(erase + _clipped(f"{line.label} | {text}"))
            return
        self._open.pop(line.stream, None)
        self._below = "" if self._below == line.stream else self._below
        below = _clipped(f"{line.label} | {self._open[self._below]}") if self._below else ""
        self._write(f"{erase}{line.label} | {text}\n{below}")


def _clipped(text: str) -> str:
    """As much as fits into one line of the terminal: what is longer could not be erased."""
    return _MOVES.sub("", text)[: max(1, shutil.get_terminal_size().columns - 1)]
