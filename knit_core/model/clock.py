"""The clock for waits, time-outs and leases: Python's `time` module, or a simulated one in tests."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """A clock, as the module `time` implements it."""

    def monotonic(self) -> float:
        """Seconds since an arbitrary time; never decreases. For deadlines and pauses."""

    def time(self) -> float:
        """Seconds since 1970 (UTC), comparable with other machines. For leases and signatures."""

    def sleep(self, seconds: float, /) -> None:
        """Pause this thread.

        Args:
            seconds: how long; 0 or more.
        """


class Signal(Protocol):
    """A signal that wakes a thread: a `threading.Event`, or a `threading.Condition` with its lock held."""

    def wait(self, timeout: float | None = None) -> bool:
        """Pause until it is set or notified, for at most `timeout` seconds."""


def pause(signal: Signal, seconds: float, clock: Clock = time) -> None:
    """Pause until the signal is set or notified, for at most `seconds`.

    Args:
        signal: ends the pause early.
        seconds: how long; 0 or more.
        clock: the clock; a simulated one has a method `wait(signal, seconds)`.
    """
    getattr(clock, "wait", _wait)(signal, seconds)


def _wait(signal: Signal, seconds: float) -> None:
    signal.wait(seconds)
