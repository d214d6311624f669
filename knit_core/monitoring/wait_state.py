"""Decides after each request for an application's state whether the wait continues, and when the next request is due. Pure.

The waits of Python callers (`monitoring.wait.Waiter`) and of Airflow's tasks and triggers
(`knit_airflow.triggers._application_wait`) extend it. They recognize the end and report the result; deadline, faults in a row
and pauses are decided here.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from knit_core.model.representation import shown

_GROWTH = 1.3  # of a pause to the next


@shown
@dataclass(frozen=True)
class Sleep:
    """Send the next request after so many seconds."""

    seconds: float


@shown
@dataclass(frozen=True)
class GiveUp:
    """Stop waiting; at least one of the reasons holds. The caller decides which one counts.

    Attributes:
        forgotten: the ResourceManager has no record of the application, `forgotten_after` answers in a row.
        timeout: the deadline has passed.
        unreachable: requests have failed for `retry_timeout` seconds.
    """

    forgotten: bool = False
    timeout: bool = False
    unreachable: bool = False


@shown
@dataclass
class WaitState:
    """The state of one wait. `now` and `deadline` are readings of one clock, the caller's.

    Attributes:
        poll: seconds between requests.
        deadline: clock reading at which the wait ends; None: no end.
        retry_timeout: seconds of transient faults in a row that are tolerated.
        forgotten_after: so many answers "unknown application" in a row mean that the ResourceManager has forgotten it.
        pace: seconds of the last pause; each pause is longer than the one before, up to `poll`. Infinity: `poll` at once.
        spread: part of a pause by which it is made longer or shorter at random, so that many waits do not coincide.
        jitter: random numbers from 0.0 to 1.0.
        faulty_since: clock reading of the first of the latest faults in a row; None: the last request succeeded.
    """

    poll: float = 1.0
    deadline: float | None = None
    retry_timeout: float = 300.0
    forgotten_after: int = 1
    pace: float = math.inf
    spread: float = 0.05
    jitter: Callable[[], float] = field(default=random.random, repr=False)
    faulty_since: float | None = None
    _unknown: int = field(default=0, init=False, repr=False)

    def on_known(self, now: float) -> Sleep | GiveUp:
        """The request succeeded, and what is waited for has not happened yet."""
        self.recovered()
        return self._next(now)

    def on_unknown(self, now: float) -> Sleep | GiveUp:
        """The request succeeded: the ResourceManager has no record of the application."""
        self.faulty_since = None
        self._unknown += 1
        if self._unknown >= self.forgotten_after:
            return GiveUp(forgotten=True)
        return self._next(now)

    def on_fault(self, now: float) -> Sleep | GiveUp:
        """The request failed, and the next one may succeed."""
        self._unknown = 0
        if self.faulty_since is None:
            self.faulty_since = now
        return self._next(now)

    def recovered(self) -> None:
        """A request succeeded: faults are counted from zero again."""
        self.faulty_since, self._unknown = None, 0

    def _next(self, now: float) -> Sleep | GiveUp:
        timeout = self.deadline is not None and now >= self.deadline
        unreachable = self.faulty_since is not None and now - self.faulty_since >= self.retry_timeout
        if timeout or unreachable:
            return GiveUp(timeout=timeout, unreachable=unreachable)
        self.pace = min(self.poll, _GROWTH * self.pace)
        pause = self.pace * (1 - self.spread + 2 * self.spread * self.jitter())
        return Sleep(pause if self.deadline is None else min(pause, self.deadline - now))
