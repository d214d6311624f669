"""Progress bars as lines: programs draw them over and over with carriage returns, readers want one now and then. Pure."""

from __future__ import annotations

import time
from dataclasses import dataclass

from knit_core.logs.lines import LONGEST, LogLine, drawn
from knit_core.model.clock import Clock

EVERY = 10.0  # seconds between two lines of one bar where it cannot be drawn in place


@dataclass
class _Bar:
    """A line that is being drawn: how it looks, how it was when it was shown last, and when that was."""

    text: str = ""
    shown: str | None = None
    at: float = 0.0


class Bars:
    """Decides which of the drawings of progress bars are shown; all other lines are.

    Args:
        every: seconds between two lines of one bar. Its last drawing is shown in any case.
        clock: tells the time.
    """

    def __init__(self, every: float = EVERY, clock: Clock = time) -> None:
        self._every, self._clock = every, clock
        self._open: dict[tuple[str, str], _Bar] = {}

    def text(self, line: LogLine) -> str | None:
        """What is to be shown of a line; None: nothing now.

        Args:
            line: the next one of its log, as `Application.logs` hands it out.
        """
        key = (line.yarn or line.container, line.stream)
        bar = self._open.get(key)
        if bar is None:
            if line.ended or "\r" not in line.text:
                return line.shown
            bar = self._open[key] = _Bar()
        bar.text = drawn(bar.text + line.text)
        if line.ended or len(bar.text) > LONGEST:
            del self._open[key]
        elif bar.shown is not None and self._clock.monotonic() - bar.at < self._every:
            return None
        if bar.text == bar.shown:
            return None
        bar.shown, bar.at = bar.text, self._clock.monotonic()
        return bar.text

    def rest(self) -> list[tuple[tuple[str, str], str]]:
        """((container, stream), text) of the bars whose last drawing was not shown, when nothing more comes."""
        bars, self._open = self._open, {}
        return [(key, bar.text) for key, bar in bars.items() if bar.text != bar.shown]


__all__ = ["EVERY", "Bars"]
