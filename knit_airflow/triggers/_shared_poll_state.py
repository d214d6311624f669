"""Many waits on one cluster, answered by one list of applications: a state machine without I/O.

Waiters join with what they wait for; `query` says which list to ask the ResourceManager for next, `on_list` and `on_error`
take the answer in and say who is to be told what. Applications that a whole list does not have are named in
`Answers.missing`: the driver looks them up one by one and passes that to `on_status`. What an answer means to one waiter
is decided by its own `ApplicationWait`, as in every other wait.

Most queries ask only for what has ended since the last one, which is next to nothing however many wait. The whole list
is asked for when somebody has joined, waits for more than an end, or names no id, and once a minute, so that nothing
rests on the clock of a state store that is slow to write.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from knit_airflow.triggers._application_wait import ApplicationWait, Done, Status, status_of

if TYPE_CHECKING:
    from knit_core.model.report import ApplicationReport

#: Seconds between two whole lists when short ones would do.
WHOLE_EVERY = 60.0
#: Milliseconds by which a short list reaches back: an end is shown later than the time that it carries.
OVERLAP = 60_000
#: The same once a minute while somebody listens to ends: some are shown very late, and nobody waits for those.
LATE = 600_000
#: The longest pause between two polls while the ResourceManager does not answer, in seconds.
LONGEST_PAUSE = 30.0


@dataclass(frozen=True)
class Target:
    """Which application: by id, or the newest one of a name or with a tag."""

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
    """A list to ask the ResourceManager for.

    Attributes:
        whole: running applications, too; otherwise only those that have ended.
        started_since, finished_since: ms since the epoch, by the ResourceManager's clock; None: ever.
        types: application types; empty: all.
        late: a list of ended ones that reaches back far, in the place of a whole one.
    """

    whole: bool
    started_since: int | None = None
    finished_since: int | None = None
    types: tuple[str, ...] = ()
    late: bool = False


@dataclass
class Answers:
    """What an answer of the ResourceManager means.

    Attributes:
        done: waiters whose wait is over; they have left.
        news: what the others are to be told, where it is new.
        missing: ids to look up one by one.
    """

    done: dict[Hashable, tuple[str, Done]] = field(default_factory=dict)
    news: dict[Hashable, Status] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)


@dataclass
class _Waiter:
    target: Target
    waiting: ApplicationWait
    app_id: str | None
    listed: bool = False  # the last list that could have it had it
    last: Status | None = None
    kind: str = ""
    started_at: int | None = None

    @property
    def needs_whole(self) -> bool:
        return not self.listed or self.app_id is None or bool(self.waiting.goal)


class SharedPollState:
    """All waiters of one cluster. `now` is Unix time everywhere."""

    def __init__(self) -> None:
        self._waiters: dict[Hashable, _Waiter] = {}
        self._listeners: dict[Hashable, float] = {}
        self._new_listeners: set[Hashable] = set()
        self._whole_at: float | None = None
        self._clock = 0
        self._faults = 0

    def __len__(self) -> int:
        return len(self._waiters) + len(self._listeners)

    def join(self, token: Hashable, target: Target, waiting: ApplicationWait) -> None:
        """Somebody waits from now on."""
        self._waiters[token] = _Waiter(target, waiting, target.app_id)

    def listen(self, token: Hashable, poll: float) -> None:
        """Somebody wants to see every application that ends: all that are known once, then what is new."""
        self._listeners[token] = poll
        self._new_listeners.add(token)

    def leave(self, token: Hashable) -> None:
        """Somebody waits or listens no longer; nothing is said to him any more."""
        self._waiters.pop(token, None)
        self._listeners.pop(token, None)
        self._new_listeners.discard(token)

    def listeners(self, query: Query) -> list[Hashable]:
        """Who may take the answer to this query in: a newcomer only the first that leaves nothing out."""
        if query.whole and not query.types and query.started_since is None:
            self._new_listeners.clear()
        return [token for token in self._listeners if token not in self._new_listeners]

    def pause(self, polled: float, now: float) -> float:
        """Seconds until the next poll, or until somebody's deadline, whichever is first; infinity: neither.

        Parameters:
            polled: when the last poll began; infinity while one is under way.
        """
        if not len(self):
            return math.inf
        ends = [each.waiting.deadline for each in self._waiters.values() if each.waiting.deadline is not None]
        return max(0.0, min([polled + self._interval(), *ends]) - now)

    def poll_due(self, polled: float, now: float) -> bool:
        """Whether it is time to ask the ResourceManager, and not only for a deadline."""
        return len(self) > 0 and now >= polled + self._interval() - 0.001

    def _interval(self) -> float:
        """The shortest that anybody asked for; longer while the ResourceManager does not answer."""
        shortest = min([*(each.waiting.poll for each in self._waiters.values()), *self._listeners.values()])
        return max(shortest, min(LONGEST_PAUSE, shortest * 2**self._faults)) if self._faults else shortest

    def query(self, now: float) -> Query:
        """The next list to ask for."""
        waiters = self._waiters.values()
        kinds = {each.kind for each in waiters}
        types = () if "" in kinds or self._listeners else tuple(sorted(kinds))
        stale = self._whole_at is None or now - self._whole_at >= WHOLE_EVERY
        needed = not self._clock or self._new_listeners or any(each.needs_whole for each in waiters)
        if needed or (stale and waiters):
            begun = [each.started_at for each in waiters]
            known = [each for each in begun if each is not None]
            since = min(known) if known and len(known) == len(begun) and not self._listeners else None
            return Query(True, started_since=since, types=types)
        since = max(0, self._clock - (LATE if stale else OVERLAP))
        return Query(False, finished_since=since, types=types, late=stale)

    def on_list(self, query: Query, reports: Iterable[ApplicationReport], now: float) -> Answers:
        """Take a list in that was asked for by `query`; waiters that joined meanwhile are answered by the next one."""
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
        for token, waiter in list(self._waiters.items()):
            report = by_id.get(waiter.app_id or "")
            if report is not None:
                waiter.kind, waiter.started_at, waiter.listed = report.type, report.started_at, True
                self._tell(token, status_of(report), now, answers)
            elif waiter.app_id is None:
                self._tell(token, Status(f"No application with the {waiter.target} yet"), now, answers)
            elif query.whole:
                waiter.listed = False
                missing[waiter.app_id] = None
            elif waiter.listed and waiter.last is not None:  # not among those that have ended
                self._tell(token, waiter.last, now, answers)
        answers.missing = list(missing)
        return answers

    def on_status(self, app_id: str, status: Status, now: float) -> Answers:
        """Take in the status of one application that a whole list did not have."""
        answers = Answers()
        for token, waiter in list(self._waiters.items()):
            if waiter.app_id == app_id:
                self._tell(token, status, now, answers)
        return answers

    def on_error(self, status: Status, now: float) -> Answers:
        """The list could not be had: everybody is told, and each waiter has its own `retry_timeout`."""
        answers = Answers()
        self._faults = min(self._faults + 1, 16)
        for token, waiter in list(self._waiters.items()):
            waiter.listed = False
            self._tell(token, status, now, answers)
        return answers

    def expired(self, now: float) -> Answers:
        """Those whose deadline has passed, without asking anybody."""
        answers = Answers()
        for token, waiter in list(self._waiters.items()):
            if waiter.waiting.deadline is not None and now >= waiter.waiting.deadline:
                text = waiter.last.text if waiter.last is not None else "it could not be looked at"
                self._done(token, Done("timeout", text), answers)
        return answers

    def _resolve(self, rows: list[ApplicationReport]) -> None:
        """Give the waiters for a name or tag the newest application that fits."""
        for waiter in self._waiters.values():
            if waiter.app_id is None:
                found = [each for each in rows if waiter.target.fits(each)]
                waiter.app_id = max(found, key=lambda each: each.started_at or 0).id if found else None

    def _tell(self, token: Hashable, status: Status, now: float, answers: Answers) -> None:
        waiter = self._waiters[token]
        step = waiter.waiting.next(status, now)
        if isinstance(step, Done):
            self._done(token, step, answers)
            return
        if waiter.last is None or waiter.last.text != status.text:
            answers.news[token] = status
        waiter.last = status

    def _done(self, token: Hashable, done: Done, answers: Answers) -> None:
        waiter = self._waiters.pop(token)
        answers.done[token] = (waiter.app_id or "", done)
        answers.news.pop(token, None)
