"""Writes container logs into a task's log on a worker: lines while the application runs, and the rest after its end.

The position in each log (`LogPosition`) is also stored beside the application on HDFS, so that the trigger, the resumed task or
the next try continues after the last written line. Of a log that is too long, the middle is left out.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from knit_airflow.logs.limit import LINE, Budget, Tail, cost_of
from knit_airflow.logs.masking import Masker

if TYPE_CHECKING:
    from knit_core import Application
    from knit_core.logs import LogCursor, LogLine, LogWatch

#: Name of the note on HDFS with the position in the application's logs.
NOTE = "airflow-log"
#: Seconds between two notes of a blocking task.
NOTE_EVERY = 5.0
#: Seconds to wait for the aggregated logs of an ended application: for the beginnings, then for the ends.
AGGREGATION_TIMEOUT, SECOND_TIMEOUT = 60.0, 5.0


@dataclass
class LogPosition:
    """Up to which line an application's logs are in the task's log.

    Attributes:
        cursor: the offset in each log.
        spent: bytes spent on each log; see `limit`.
        by: random name of the last writer: a trigger uses only a position that it has written itself.
    """

    cursor: LogCursor
    spent: dict[str, int] = field(default_factory=dict)
    by: str = ""

    @classmethod
    def nothing(cls) -> LogPosition:
        """At the beginning."""
        from knit_core.logs import LogCursor

        return cls(LogCursor())

    def to_json(self) -> dict[str, Any]:
        """For the note and for a trigger's event."""
        return {"by": self.by, "offsets": self.cursor.dump(), "spent": dict(self.spent)}

    @classmethod
    def from_json(cls, found: Any) -> LogPosition:
        """From `to_json`; the beginning when the value is anything else."""
        from knit_core.logs import LogCursor

        if not isinstance(found, Mapping) or not isinstance(found.get("offsets"), Mapping):
            return cls.nothing()
        spent = {str(key): int(value) for key, value in dict(found.get("spent") or {}).items()}
        return cls(LogCursor.load(found["offsets"]), spent, str(found.get("by", "")))


def read_note(application: Application, by: str | None = None) -> LogPosition:
    """The position in the note; the beginning when there is no note, or (with `by`) another writer wrote it. Blocks.

    Raises:
        KnitError: HDFS does not answer.
    """
    position = LogPosition.from_json(application.read_note(NOTE))
    return position if by is None or position.by == by else LogPosition.nothing()


class LiveLines:
    """Decides which lines are written while the application runs, and keeps the position.

    Parameters:
        watch: the source of the lines.
        limit: see `limit`.
        position: where to continue; it is updated.
        rest: where the complete logs can be read, for messages.
    """

    def __init__(self, watch: LogWatch, limit: int, position: LogPosition, rest: str) -> None:
        from knit_core.logs import Bars

        self._watch, self._position, self._rest = watch, position, rest
        self._budget = Budget(limit, position.spent)
        self._open: dict[str, bool] = {}
        self._bars = Bars()

    @property
    def over(self) -> bool:
        """Whether the limit is reached for every log so far."""
        return bool(self._open) and not any(self._open.values())

    def lines(self, seconds: float) -> Iterator[str]:
        """The lines to write now; a line counts as written when it is yielded."""
        for line in self._watch.look(seconds):
            key = f"{line.yarn}/{line.stream}"
            text = self._bars.text(line)
            if text is None:  # a state of a progress bar: only the last one is written
                if line.ended:  # and it has been written
                    self._position.cursor.offsets[key] = self._watch.cursor.offsets[key]
                continue
            if self._budget.begin(key, cost_of(text)):
                self._open[key] = True
                self._position.cursor.offsets[key] = self._watch.cursor.offsets[key]
                self._position.spent[key] = self._budget.spent[key]
                yield f"{line.label} | {text}"
                continue
            self._watch.leave(line.yarn, line.stream)
            if self._open.get(key, True):
                self._open[key] = False
                yield (
                    f"{line.label} | [knit: its {line.stream} is longer than the task's log takes (log_limit); its end "
                    f"follows after the application's end. All of it: {self._rest}]"
                )


class LogWriter:
    """Writes one application's logs into the log of the task that runs in this process.

    Parameters:
        application: the task's application.
        log: the task's log.
        limit: maximum bytes of container logs in it; see `limit`.
        rest: where the complete logs can be read, for messages.
        position: the position of an earlier part of the task.
        by: the name of this writer.
        hide: masks secrets in a line.
    """

    def __init__(
        self,
        application: Application,
        log: Any,
        *,
        limit: int,
        rest: str,
        position: LogPosition | None = None,
        by: str = "",
        hide: Masker | None = None,
    ) -> None:
        self._application, self._log, self._limit, self._rest = application, log, limit, rest
        self._hide = Masker(application, ()) if hide is None else hide
        self._position = LogPosition.nothing() if position is None else position
        self._position.by = by
        self._live: LiveLines | None = None
        self._noted_at, self._changed = 0.0, False
        self._noting = threading.Lock()

    def write_new(self, seconds: float = 5.0) -> None:
        """Write the lines since the last call, up to the limit.

        Raises:
            KnitError: the logs could not be read.
        """
        if not self._limit:
            return
        if self._live is None:
            from knit_core.logs import LogCursor

            watch = self._application.watch_logs(LogCursor.load(self._position.cursor.dump()))
            self._live = LiveLines(watch, self._limit, self._position, self._rest)
        self._hide.renew()
        for line in self._live.lines(seconds):
            self._log.info("%s", self._hide(line))
            self._changed = True
        if self._changed and time.monotonic() - self._noted_at >= NOTE_EVERY and self._noting.acquire(blocking=False):
            self._noted_at, self._changed = time.monotonic(), False
            threading.Thread(target=self._note, args=(self._position.to_json(),), daemon=True).start()

    def note(self) -> None:
        """Store the position for the next try."""
        if self._limit:
            with self._noting:
                _write_note(self._application, self._position.to_json())

    def finish(self) -> None:
        """Write the rest of an application that has ended, container by container.

        Raises:
            KnitError: some logs could not be read; the others were written.
        """
        if self._limit:
            budget = Budget(self._limit, self._position.spent)
            rest = _EndedLogs(self._application, budget, self._position, self._rest)
            self._hide.renew()
            try:
                rest.read()
            finally:
                for line in rest.lines():
                    self._log.info("%s", self._hide(line))

    def _note(self, position: dict[str, Any]) -> None:
        try:
            _write_note(self._application, position)
        finally:
            self._noting.release()


def _write_note(application: Application, position: dict[str, Any]) -> None:
    from knit_core.errors import KnitError

    with contextlib.suppress(KnitError):  # the next try then writes some lines again
        application.write_note(NOTE, position)


@dataclass
class _Part:
    """The lines of one log that are written after the application's end."""

    line: LogLine
    head: list[str] = field(default_factory=list)
    rest: int = 0
    tail: Tail | None = None
    jumped: bool = False
    skip: bool = False  # the next line is incomplete

    @property
    def cut(self) -> bool:
        """Whether lines between head and tail are left out."""
        return self.jumped or (self.tail is not None and self.tail.cut)

    @property
    def left_out(self) -> int:
        """About how many bytes are left out."""
        kept = sum(len(each.encode()) + 1 for each in self.tail.lines) if self.tail is not None else 0
        return max(0, self.rest - kept)


class _EndedLogs:
    """The unwritten rest of all logs of an ended application."""

    def __init__(self, application: Application, budget: Budget, position: LogPosition, rest: str) -> None:
        self._application, self._budget, self._position, self._where = application, budget, position, rest
        self._parts: dict[str, _Part] = {}
        self._sizes: dict[str, int] = {}

    def read(self) -> None:
        """Read the lines to write.

        Raises:
            KnitError: some logs could not be read.
        """
        from knit_core.errors import KnitError

        error: KnitError | None = None
        with contextlib.suppress(KnitError):
            self._budget.expect(2 * len(self._application.containers(retry_timeout=0)))
        for read in (self._read_beginnings, self._read_ends):
            try:
                read()
            except KnitError as failure:
                error = error or failure
        self._position.cursor.offsets.update(self._sizes)
        if error is not None:
            raise error

    def _read_beginnings(self) -> None:
        """Read each log as far as the budget allows before all lengths are known: usually completely."""
        from knit_core.logs import LogCursor

        for file in self._application.log_files(timeout=AGGREGATION_TIMEOUT):
            key = f"{file.yarn}/{file.stream}"
            done = self._position.cursor.offsets
            cursor = LogCursor(dict(done))
            for line in file.lines(cursor):
                part = self._parts.setdefault(key, _Part(line))
                if not self._budget.begin(key, cost_of(line.shown)):
                    break
                part.head.append(line.shown)
                done[key] = cursor.offsets[key]
            if key in self._parts:
                self._sizes[key] = file.size
                self._parts[key].rest = max(0, file.size - done.get(key, 0))

    def _read_ends(self) -> None:
        """Read the rest of each log, or its end."""
        from knit_core.logs import LogCursor

        rests = {key: part.rest for key, part in self._parts.items() if part.rest}
        if not rests:
            return
        cursor = LogCursor({**self._position.cursor.offsets, **self._sizes})
        ratios = {key: self._ratio(key) for key in rests}
        costs = {key: int(rest * ratios[key]) for key, rest in rests.items()}
        for key, given in self._budget.ends(costs).items():
            part = self._parts[key]
            part.skip = part.jumped = given < costs[key]
            part.tail = Tail(given if part.jumped else 2 * given)
            cursor.offsets[key] = self._sizes[key] - (int(given / ratios[key]) if part.jumped else part.rest)
        for line in self._application.logs(cursor=cursor, timeout=SECOND_TIMEOUT):
            found = self._parts.get(f"{line.yarn}/{line.stream}")
            if found is None or found.tail is None:
                continue
            if found.skip:
                found.skip = False
            else:
                found.tail.add(line.shown)

    def _ratio(self, log: str) -> float:
        """The cost of a byte of a log, estimated from its written part."""
        done = self._position.cursor.offsets.get(log, 0)
        return min(float(LINE), max(1.0, self._budget.spent.get(log, 0) / done)) if done else 3.0

    def lines(self) -> Iterator[str]:
        """The lines to write, by container; in a foldable group each, when there are several or a log is cut."""
        by_container: dict[str, list[_Part]] = {}
        for _, part in sorted(self._parts.items(), key=lambda each: _place(each[1].line)):
            by_container.setdefault(part.line.yarn, []).append(part)
        for parts in by_container.values():
            group = len(by_container) > 1 or any(part.cut for part in parts)
            if group:
                yield f"::group::{parts[0].line.label}: {', '.join(part.line.stream for part in parts)}"
            for part in parts:
                yield from self._lines_of(part)
            if group:
                yield "::endgroup::"

    def _lines_of(self, part: _Part) -> Iterator[str]:
        from knit_core.model.units import show_bytes

        label = part.line.label
        yield from (f"{label} | {text}" for text in part.head)
        if part.cut:
            left = f"{show_bytes(part.left_out)} of its {part.line.stream} are left out here (log_limit)"
            yield f"{label} | [knit: {left}. All of it: {self._where}]"
        if part.tail is not None:
            yield from (f"{label} | {text}" for text in part.tail.lines)


def _place(line: LogLine) -> tuple[Any, ...]:
    """Containers by service, rank and attempt; stdout first."""
    service = line.container.rpartition("_")[0]
    return service, line.instance or 0, line.attempt, line.yarn, line.stream != "stdout", line.stream
