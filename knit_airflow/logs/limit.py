"""How much of an application's logs a task's log takes: of each container's log its beginning and its end. Pure.

Half of the limit is for what is written while the application runs, in the order in which it comes, and no log gets
more of it than its share; the rest is for the ends, when it is known how much there is. A line costs its text and
a little more, as it does in Airflow's files and page.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

#: What a line costs beside its text, in bytes: its time, level and label.
LINE = 200
#: What each log gets in any case, at the beginning and at the end, in bytes.
LEAST = 4096


def cost_of(text: str) -> int:
    """What a line costs (characters count as bytes: it need not be exact, and is asked for each line)."""
    return len(text) + LINE


class Budget:
    """What is still free of a limit.

    Parameters:
        limit: bytes of all logs; a few KiB for each log come on top where there are very many. 0: nothing is written.
        spent: by log, what was spent on it by an earlier part of the same task.

    Attributes:
        spent: by log, up to now.
    """

    def __init__(self, limit: int, spent: Mapping[str, int] | None = None) -> None:
        self.limit, self.spent = limit, dict(spent or {})
        self._total = sum(self.spent.values())
        self._known = len(self.spent)

    def expect(self, logs: int) -> None:
        """So many logs are there: each gets its share."""
        self._known = max(self._known, logs)

    def begin(self, log: str, cost: int) -> bool:
        """Whether a log's next line is still written while the application runs; it is paid for then."""
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
        """What may be spent on the rest of each log: all of the small ones, and equal parts of the others.

        Parameters:
            rests: by log, what all that is left of it costs, as far as one can tell.
        """
        if not self.limit:
            return dict.fromkeys(rests, 0)
        free, given, count = max(0, self.limit - self._total), {}, len(rests)
        for log, size in sorted(rests.items(), key=lambda each: each[1]):
            given[log] = min(size, max(LEAST, free // count))
            free, count = max(0, free - given[log]), count - 1
        return given


class Tail:
    """The last of some lines, as many as cost no more than `most` together (one in any case).

    Attributes:
        lines: they.
        cut: whether lines before them were dropped.
    """

    def __init__(self, most: int) -> None:
        self._most, self._total = most, 0
        self.lines: deque[str] = deque()
        self.cut = False

    def add(self, line: str) -> None:
        """The next line; a very long one is cut."""
        line = line if len(line) <= self._most else f"{line[: self._most]} …"
        self.lines.append(line)
        self._total += cost_of(line)
        while self._total > self._most and len(self.lines) > 1:
            self._total -= cost_of(self.lines.popleft())
            self.cut = True
