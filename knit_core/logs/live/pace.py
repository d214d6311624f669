"""Schedules the polls of containers' logs and the retries of nodes. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Pace:
    """The schedule of one container's polls: soon after new lines, then at growing intervals.

    Attributes:
        soonest: minimum seconds between two polls.
        latest: maximum seconds between two polls.
        due: time of the next poll, by a monotonic clock.
    """

    soonest: float
    latest: float
    due: float = 0.0
    _pause: float = field(default=0.0, init=False, repr=False)

    def polled(self, came: bool, now: float) -> None:
        """Record a poll.

        Args:
            came: whether it returned new bytes.
            now: the current time.
        """
        self._pause = self.soonest if came else min(self.latest, 1.5 * max(self._pause, self.soonest))
        self.due = now + self._pause


@dataclass
class Backoff:
    """The schedule of retries of one node: the pause doubles with each failure.

    Attributes:
        longest: maximum seconds between two tries.
        not_before: earliest time of the next try, by a monotonic clock.
        pause: seconds of the current pause; 0 after an answer.
    """

    longest: float
    not_before: float = 0.0
    pause: float = 0.0

    def failed(self, now: float, least: float) -> None:
        """Record a failure.

        Args:
            now: the current time.
            least: minimum seconds of the pause.
        """
        self.pause = min(self.longest, max(2 * self.pause, least))
        self.not_before = now + self.pause

    def answered(self) -> None:
        """Record an answer."""
        self.pause = 0.0


__all__ = ["Backoff", "Pace"]
