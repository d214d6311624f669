"""Answer many waits on one cluster with one list of applications: the state machine of `_shared_poll`. Pure.

Waits join with their target. `query` returns the list to request next from the ResourceManager; `on_list` and `on_error` take
the answer and return its consequences for each wait. `Answers.missing` names applications that a complete list lacks: the
driver looks them up one by one and passes each status to `on_status`. Whether a wait is over is decided by its own
`ApplicationWait`, as in every other wait.

Most queries request only the applications that have ended since the last query: the answer is short however many waits there
are. The complete list is requested when a wait has joined, has a goal before the end, or names no id; and once a minute, in
case the ResourceManager shows an end so late that the short lists have missed it.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from knit_airflow.triggers._application_wait import ApplicationWait, Done, Status, status_of

if TYPE_CHECKING:
    from knit_core.model.report import ApplicationReport

#: Seconds between two complete lists when short lists suffice.
WHOLE_EVERY = 60.0
#: Milliseconds by which a short list reaches back: the ResourceManager lists an end later than the end's own time.
OVERLAP = 60_000
#: The same once a minute for listeners: some ends are listed very late, and no wait looks them up.
LATE = 600_000
#: The longest interval between two polls while the ResourceManager does not answer, in seconds.
LONGEST_PAUSE = 30.0


@dataclass(frozen=True)
class Target:
    """Which application: by id, or the newest one with this name or tag."""

    app_id: str | None = None
    name: str | None = None
    tag: str | None = None

    def __post_init__(self) -> None:
        if sum(bool(each) for each in (self.app_id, self.name, self.tag)) != 1:
            raise ValueError("Name exactly one of an application's id, name and tag")

    def __str__(self) -> str:
        return self.app_id or (f"name {self.name!r}" if self.name else f"tag {self.tag!r}")

    def fits(self, report: ApplicationReport) -> bool:
        """Whether a report may be of this application."""
        if self.app_id:
            return report.id == self.app_id
        return report.name == self.name if self.name else str(self.tag).lower() in report.tags


@dataclass(frozen=True)
class Query:
    """A list to request from the ResourceManager.

    Attributes:
        whole: includes applications that have not ended.
        started_since, finished_since: ms since the epoch, by the ResourceManager's clock; None: no limit.
        types: application types; empty: all.
        late: reaches back by LATE; for listeners, instead of a complete list.
    """

    whole: bool
    started_since: int | None = None
    finished_since: int | None = None
    types: tuple[str, ...] = ()
    late: bool = False


@dataclass
class Answers:
    """The consequences of an answer of the ResourceManager for the waits.

    Attributes:
        done: waits that are over, with application id and result; they have left.
        news: new statuses of other waits.
        missing: ids to look up one by one.
    """

    done: dict[Hashable, tuple[str, Done]] = field(default_factory=dict)
    news: dict[Hashable, Status] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)


@dataclass
class _Entry:
    target: Target
    wait: ApplicationWait
    app_id: str | None
    listed: bool = False  # the last list that could contain it did
    last: Status | None = None
    kind: str = ""
    started_at: int | None = None

    @property
    def needs_whole(self) -> bool:
        return not self.listed or self.app_id is None or bool(self.wait.goal)


class SharedPollState:
    """All waits and listeners of one cluster. `now` is Unix time everywhere."""

    def __init__(self) -> None:
        self._waits: dict[Hashable, _Entry] = {}
        self._listeners: dict[Hashable, float] = {}
        self._new_listeners: set[Hashable] = set()
        self._whole_at: float | None = None
        self._clock = 0
        self._faults = 0

    def __len__(self) -> int:
        return len(self._waits) + len(self._listeners)

    def join(self, token: Hashable, target: Target, wait: ApplicationWait) -> None:
        """Add a wait."""
        self._waits[token] = _Entry(target, wait, target.app_id)

    def listen(self, token: Hashable, poll: float) -> None:
        """Add a listener: it gets one complete list, then every list."""
        self._listeners[token] = poll
        self._new_listeners.add(token)

    def leave(self, token: Hashable) -> None:
        """Remove a wait or listener."""
        self._waits.pop(token, None)
        self._listeners.pop(token, None)
        self._new_listeners.discard(token)

    def listeners(self, query: Query) -> list[Hashable]:
        """The listeners that get the answer to this query; a new listener's first list is a complete one."""
        if query.whole and not query.types and query.started_since is None:
            self._new_listeners.clear()
        return [token for token in self._listeners if token not in self._new_listeners]

    def pause(self, polled: float, now: float) -> float:
        """Seconds until the next poll or the next deadline, whichever is first; infinity: there is neither.

        Parameters:
            polled: Unix time at which the last poll began; infinity while one is under way.
        """
        if not len(self):
            return math.inf
        ends = [each.wait.deadline for each in self._waits.values() if each.wait.deadline is not None]
        return max(0.0, min([polled + self._interval(), *ends]) - now)

    def poll_due(self, polled: float, now: float) -> bool:
        """Whether the next poll is due; otherwise `pause` ended for a deadline."""
        return len(self) > 0 and now >= polled + self._interval() - 0.001

    def _interval(self) -> float:
        return interval(
            min([*(each.wait.poll for each in self._waits.values()), *self._listeners.values()]), self._faults
        )

    def query(self, now: float) -> Query:
        """The next list to request."""
        waits = self._waits.values()
        kinds = {each.kind for each in waits}
        types = () if "" in kinds or self._listeners else tuple(sorted(kinds))
        stale = self._whole_at is None or now - self._whole_at >= WHOLE_EVERY
        needed = not self._clock or self._new_listeners or any(each.needs_whole for each in waits)
        if needed or (stale and waits):
            started = [each.started_at for each in waits]
            known = [each for each in started if each is not None]
            since = min(known) if known and len(known) == len(started) and not self._listeners else None
            return Query(True, started_since=since, types=types)
        since = max(0, self._clock - (LATE if stale else OVERLAP))
        return Query(False, finished_since=since, types=types, late=stale)

    def on_list(self, query: Query, reports: Iterable[ApplicationReport], now: float) -> Answers:
        """Take the answer to `query`; waits that have joined since are answered by the next list."""
        answers = Answers()
        rows = list(reports)
        by_id = {each.id: each for each in rows}
        self._faults = 0
        self._clock = max([self._clock, *(max(each.finished_at or 0, each.started_at or 0) for each in rows)])
        if query.whole:
            self._whole_at = now
            self._resolve(rows)
        elif query.late:
            self._whole_at = now
        missing: dict[str, None] = {}
        for token, entry in list(self._waits.items()):
            report = by_id.get(entry.app_id or "")
            if report is not None:
                entry.kind, entry.started_at, entry.listed = report.type, report.started_at, True
                self._update(token, status_of(report), now, answers)
            elif entry.app_id is None:
                self._update(token, Status(f"No application with the {entry.target} yet"), now, answers)
            elif query.whole:
                entry.listed = False
                missing[entry.app_id] = None
            elif entry.listed and entry.last is not None:  # it has not ended
                self._update(token, entry.last, now, answers)
        answers.missing = list(missing)
        return answers

    def on_status(self, app_id: str, status: Status, now: float) -> Answers:
        """Take the status of one application that a complete list lacked."""
        answers = Answers()
        for token, entry in list(self._waits.items()):
            if entry.app_id == app_id:
                self._update(token, status, now, answers)
        return answers

    def on_error(self, status: Status, now: float) -> Answers:
        """The request for the list failed; each wait tolerates that for its own `retry_timeout`."""
        answers = Answers()
        self._faults = min(self._faults + 1, 16)
        for token, entry in list(self._waits.items()):
            entry.listed = False
            self._update(token, status, now, answers)
        return answers

    def expired(self, now: float) -> Answers:
        """End the waits whose deadline has passed; sends no request."""
        answers = Answers()
        for token, entry in list(self._waits.items()):
            if entry.wait.deadline is not None and now >= entry.wait.deadline:
                text = entry.last.text if entry.last is not None else "no request for its state succeeded"
                self._end(token, Done("timeout", text), answers)
        return answers

    def _resolve(self, rows: list[ApplicationReport]) -> None:
        """Find the newest application for each wait that names none by id."""
        for entry in self._waits.values():
            if entry.app_id is None:
                found = [each for each in rows if entry.target.fits(each)]
                entry.app_id = max(found, key=lambda each: each.started_at or 0).id if found else None

    def _update(self, token: Hashable, status: Status, now: float, answers: Answers) -> None:
        entry = self._waits[token]
        step = entry.wait.next(status, now)
        if isinstance(step, Done):
            self._end(token, step, answers)
            return
        if entry.last is None or entry.last.text != status.text:
            answers.news[token] = status
        entry.last = status

    def _end(self, token: Hashable, done: Done, answers: Answers) -> None:
        entry = self._waits.pop(token)
        answers.done[token] = (entry.app_id or "", done)
        answers.news.pop(token, None)


def interval(shortest: float, faults: int) -> float:
    """Seconds between two requests.

    Parameters:
        shortest: the shortest interval that a wait or listener asks for.
        faults: requests in a row that have failed; each doubles the interval, up to LONGEST_PAUSE.
    """
    return max(shortest, min(LONGEST_PAUSE, shortest * 2**faults)) if faults else shortest
