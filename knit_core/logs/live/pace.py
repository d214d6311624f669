"""When a container's logs are polled next, and a node that did not answer is asked again. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Pace:
    """Polls of one container: soon after something came, then more and more rarely.

    Attributes:
        soonest: seconds between two polls at least.
        latest: seconds between two polls at most.
        due: when the next one is due, by a monotonic clock.
    """

    soonest: float
    latest: float
    due: float = 0.0
    _pause: float = field(default=0.0, init=False, repr=False)

    def polled(self, came: bool, now: float) -> None:
        """A poll is done.

        Args:
            came: whether it brought something.
            now: by the clock.
        """
        self._pause = self.soonest if came else min(self.latest, 1.5 * max(self._pause, self.soonest))
        self.due = now + self._pause


@dataclass
class Backoff:
    """Tries to reach one node: the pause doubles with each that fails.

    Attributes:
        longest: seconds between two tries at most.
        not_before: when the next one may be, by a monotonic clock.
        pause: seconds of the present pause; 0: the node answered last.
    """

    longest: float
    not_before: float = 0.0
    pause: float = 0.0

    def failed(self, now: float, least: float) -> None:
        """A try failed.

        Args:
            now: by the clock.
            least: seconds of the pause at least.
        """
        self.pause = min(self.longest, max(2 * self.pause, least))
        self.not_before = now + self.pause

    def answered(self) -> None:
        """The node answered."""
        self.pause = 0.0


__all__ = ["Backoff", "Pace"]
