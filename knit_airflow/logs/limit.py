"""Limits container logs in a task's log: of each log the beginning and the end are written. Pure.

Half of the limit is for lines written while the application runs, in the order of arrival; each log may use only its share of
it. The other half is for the ends, when the length of all logs is known. A line costs its text and LINE bytes more, about as
much as in Airflow's log files.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

#: Bytes that a line costs in addition to its text: its time, level and label.
LINE = 200
#: Minimum bytes of each log, at the beginning and at the end.
LEAST = 4096


def cost_of(text: str) -> int:
    """The cost of a line. Characters count as bytes: exact enough, and cheap for every line."""
    return len(text) + LINE


class Budget:
    """The part of a limit that is still free.

    Parameters:
        limit: bytes of all logs; with very many logs, LEAST of each is added. 0: no line is written.
        spent: bytes by log that an earlier part of the same task has written.

    Attributes:
        spent: bytes by log, up to now.
    """

    def __init__(self, limit: int, spent: Mapping[str, int] | None = None) -> None:
        self.limit, self.spent = limit, dict(spent or {})
        self._total = sum(self.spent.values())
        self._known = len(self.spent)

    def expect(self, logs: int) -> None:
        """Set the number of logs, among which the limit is shared."""
        self._known = max(self._known, logs)

    def begin(self, log: str, cost: int) -> bool:
        """Whether a log's next line is written while the application runs; if so, its cost is spent."""
        if not self.limit:
            return False
        spent = self.spent.setdefault(log, 0)
        self.expect(len(self.spent))
        half = self.limit // 2
        share = max(LEAST, half // self._known)
        if spent + cost > share or (self._total + cost > half and spent + cost > LEAST):
            return False
        self.spent[log] = spent + cost
        self._total += cost
        return True

    def ends(self, rests: Mapping[str, int]) -> dict[str, int]:
        """The cost allowed for the rest of each log: small rests completely, equal parts of the others.

        Parameters:
            rests: estimated cost of the rest, by log.
        """
        if not self.limit:
            return dict.fromkeys(rests, 0)
        free, given, count = max(0, self.limit - self._total), {}, len(rests)
        for log, size in sorted(rests.items(), key=lambda each: each[1]):
            given[log] = min(size, max(LEAST, free // count))
            free, count = max(0, free - given[log]), count - 1
        return given


class Tail:
    """Keeps the last lines whose total cost is at most `most`, and at least one.

    Attributes:
        lines: the last lines.
        cut: whether earlier lines were dropped.
    """

    def __init__(self, most: int) -> None:
        self._most, self._total = most, 0
        self.lines: deque[str] = deque()
        self.cut = False

    def add(self, line: str) -> None:
        """Add the next line; a line that costs more than `most` is cut."""
        line = line if len(line) <= self._most else f"{line[: self._most]} …"
        self.lines.append(line)
        self._total += cost_of(line)
        while self._total > self._most and len(self.lines) > 1:
            self._total -= cost_of(self.lines.popleft())
            self.cut = True
