"""The clock that waits, time-outs and leases read. Python's `time` module is one; tests pass one that they turn."""

from __future__ import annotations

from typing import Protocol


class Clock(Protocol):
    """What is needed of a clock; `time` (the module) has it all."""

    def monotonic(self) -> float:
        """Seconds from an arbitrary start, never set back: for deadlines and pauses."""

    def time(self) -> float:
        """Seconds since 1970 (UTC), as other machines count them: for leases and signatures."""

    def sleep(self, seconds: float, /) -> None:
        """Pause this thread.

        Args:
            seconds: how long; 0 or more.
        """
