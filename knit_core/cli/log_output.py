"""Prints log lines. On a terminal, progress bars of a single container are redrawn in place; else as occasional lines."""

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
_MOVES = re.compile(r"\x1b\[\d*[A-HJK]")  # codes that move the cursor, used by several bars at once


class LinePrinter:
    """Prints log lines.

    Args:
        write: writes a text.
        terminal: whether the output is a terminal.
        clock: the clock.
    """

    def __init__(self, write: Callable[[str], None], terminal: bool, clock: Clock = time) -> None:
        self._write, self._terminal = write, terminal
        self._bars = Bars(clock=clock)
        self._labels: dict[tuple[str, str], str] = {}
        self._containers: set[str] = set()
        self._open: dict[str, str] = {}  # by stream, unfinished lines of progress bars
        self._last_line = ""  # the stream of the unfinished line that is the last one on the terminal

    @property
    def busy(self) -> bool:
        """Whether a bar is unfinished, so that all lines must be printed by `line`."""
        return bool(self._last_line or self._labels)

    def note_container(self, container: str, stream: str) -> None:
        """Record the container of a line. With several containers, bars are not redrawn in place."""
        if stream == REMARK:  # a remark of the reader
            return
        self._containers.add(container)
        if len(self._containers) > 1 and self._terminal:
            self._terminal = False
            if self._last_line:
                self._write("\n")
            self._open, self._last_line = {}, ""

    def line(self, line: LogLine) -> None:
        """Print a line; of a progress bar only some states."""
        self.note_container(line.yarn or line.container, line.stream)
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
        """Print the last state of unfinished bars, at the end of the logs."""
        if self._last_line:
            self._write("\n")
        for key, text in self._bars.rest():
            self._write(f"{self._labels.get(key, key[0])} | {text}\n")
        self._open, self._last_line, self._labels = {}, "", {}

    def _draw(self, line: LogLine) -> None:
        text = drawn(self._open.get(line.stream, "") + line.text)
        erase = _ERASE if self._last_line else ""
        if not line.ended and ("\r" in line.text or line.stream in self._open):
            self._open[line.stream], self._last_line = text, line.stream
            self._write(erase + _clipped(f"{line.label} | {text}"))
            return
        self._open.pop(line.stream, None)
        self._last_line = "" if self._last_line == line.stream else self._last_line
        unfinished = _clipped(f"{line.label} | {self._open[self._last_line]}") if self._last_line else ""
        self._write(f"{erase}{line.label} | {text}\n{unfinished}")


def _clipped(text: str) -> str:
    """The text, cut to one line of the terminal: a longer one could not be erased."""
    return _MOVES.sub("", text)[: max(1, shutil.get_terminal_size().columns - 1)]
