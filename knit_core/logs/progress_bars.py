"""Progress bars as lines: limits how often the states of a bar, separated by carriage returns, are shown. Pure."""

from __future__ import annotations

import time
from dataclasses import dataclass

from knit_core.logs.lines import LONGEST, LogLine, drawn
from knit_core.model.clock import Clock

EVERY = 10.0  # seconds between two lines of one bar, where it cannot be redrawn in place


@dataclass
class _Bar:
    """An unfinished line: its current text, the text that was shown last, and the time of that."""

    text: str = ""
    shown: str | None = None
    at: float = 0.0


class Bars:
    """Selects the states of progress bars to show; all other lines are shown.

    Args:
        every: seconds between two lines of one bar. Its last state is always shown.
        clock: the clock.
    """

    def __init__(self, every: float = EVERY, clock: Clock = time) -> None:
        self._every, self._clock = every, clock
        self._open: dict[tuple[str, str], _Bar] = {}

    def text(self, line: LogLine) -> str | None:
        """The text to show for a line; None for no text now.

        Args:
            line: the next line of its log, from `Application.logs`.
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
        """((container, stream), text) of the bars whose last state was not shown. For the end of the logs."""
        bars, self._open = self._open, {}
        return [(key, bar.text) for key, bar in bars.items() if bar.text != bar.shown]


__all__ = ["EVERY", "Bars"]
