"""The clock that waits, time-outs and leases read. Python's `time` module is one; tests pass one that they turn."""

from __future__ import annotations

import time
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


class Signal(Protocol):
    """What a thread can be woken by: a `threading.Event`, or a `threading.Condition` that it holds."""

    def wait(self, timeout: float | None = None) -> bool:
        """Pause until it is set or notified, at most so many seconds."""


def pause(signal: Signal, seconds: float, clock: Clock = time) -> None:
    """Pause until the signal comes, at most so many seconds.

    Args:
        signal: what ends the pause early.
        seconds: how long; 0 or more.
        clock: by which. One that tests turn says by its method `wait(signal, seconds)` how it does so.
    """
    getattr(clock, "wait", _wait)(signal, seconds)


def _wait(signal: Signal, seconds: float) -> None:
    signal.wait(seconds)
