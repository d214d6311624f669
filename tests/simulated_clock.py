"""A clock that tests turn: `sleep` returns at once and moves it, so a simulated year passes in a second."""

from __future__ import annotations

from collections.abc import Callable


class SimulatedClock:
    """Stands in for `time` where a `knit_core.model.clock.Clock` is wanted.

    Args:
        start: its first reading, seconds since 1970.
        limit: sleeps allowed; one more is an AssertionError, so that a loop without an end fails its test.

    Attributes:
        slept: the pauses so far, seconds, oldest first (the first 10,000).
        count: how many pauses there were.
        on_sleep: called with the new reading after every pause; lets a test change the world at a moment.
    """

    def __init__(self, start: float = 1_800_000_000.0, limit: int = 100_000_000) -> None:
        self.now, self.limit, self.count = start, limit, 0
        self.slept: list[float] = []
        self.on_sleep: Callable[[float], None] = lambda now: None

    def monotonic(self) -> float:
        """Its reading; seconds."""
        return self.now

    def time(self) -> float:
        """Its reading; seconds since 1970."""
        return self.now

    def wait(self, _signal: object, seconds: float) -> None:
        """As `sleep`: nobody signals meanwhile."""
        self.sleep(seconds)

    def sleep(self, seconds: float, /) -> None:
        """Move it on, without waiting."""
        if seconds < 0:
            raise ValueError("sleep length must be non-negative")  # as time.sleep does
        self.now += seconds
        self.count += 1
        if len(self.slept) < 10_000:
            self.slept.append(seconds)
        assert self.count <= self.limit, f"more than {self.limit} pauses: {self.slept[-5:]}"
        self.on_sleep(self.now)
