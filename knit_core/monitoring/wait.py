"""Waiting for an application: one pure machine, and a driver for it.

The machine gets what was seen and says what to do: `Sleep(seconds)` or `Done(report)`. It holds the deadline, the
pace and how long faults are waited out; it does no I/O and reads no clock but the one it is given.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from knit_core.errors import ApplicationNotFound, KnitError, WaitTimeout
from knit_core.model.clock import Clock
from knit_core.model.report import ApplicationReport
from knit_core.model.representation import shown
from knit_core.model.units import show_seconds

#: Seconds of transient faults in a row that a wait forgives, whatever is waited for.
RETRY_TIMEOUT = 300.0
_SOONEST = 0.1  # seconds between the first looks
_SHORTEST = 0.001  # seconds; a pause always moves the clock


@shown
@dataclass(frozen=True)
class Sleep:
    """Look again after so many seconds."""

    seconds: float


@shown
@dataclass(frozen=True)
class Done:
    """It has ended; `report` is None when YARN no longer knows it (its result.json may)."""

    report: ApplicationReport | None


@shown
@dataclass
class Waiter:
    """Decides what follows each look at an application.

    Attributes:
        app_id: for messages.
        deadline: seconds of waiting allowed; None: no end.
        poll: seconds between looks once it runs for a while; the first looks come sooner.
        retry_timeout: seconds of transient faults in a row that are forgiven.
        started: clock reading at the start.
        pace: seconds of the pause before; it grows up to `poll`.
    """

    app_id: str
    deadline: float | None = None
    poll: float = 1.0
    retry_timeout: float = RETRY_TIMEOUT
    started: float = 0.0
    last: ApplicationReport | None = None
    faulty_since: float | None = None
    pace: float = _SOONEST
    jitter: Callable[[], float] = field(default=random.random, repr=False)

    def on_report(self, report: ApplicationReport, now: float) -> Sleep | Done:
        """A look succeeded.

        Raises:
            WaitTimeout: the deadline has passed.
        """
        self.last, self.faulty_since = report, None
        if report.ended:
            return Done(report)
        return self._pause(now)

    def on_error(self, error: KnitError, now: float) -> Sleep | Done:
        """A look failed; transient faults are forgiven for `retry_timeout`.

        Raises:
            KnitError: the error itself, when it is not transient or lasts too long.
            WaitTimeout: the deadline has passed.
        """
        if isinstance(error, ApplicationNotFound):
            return Done(None)
        if not error.transient:
            raise error
        self.faulty_since = now if self.faulty_since is None else self.faulty_since
        if now - self.faulty_since > self.retry_timeout:
            raise error
        return self._pause(now)

    def _pause(self, now: float) -> Sleep:
        waited = now - self.started
        if self.deadline is not None and waited >= self.deadline:
            raise WaitTimeout(
                f"{self.app_id} had not ended after {show_seconds(waited)}; last seen: {self._known()}. It goes on: "
                "attach to it to wait longer, or kill it."
            )
        # soon after the start things change quickly; later `poll`, spread by a fifth so that many do not come together
        self.pace = min(self.poll, 1.3 * self.pace)
        pause = self.pace * (0.9 + 0.2 * self.jitter())
        if self.deadline is not None:
            pause = min(pause, max(_SHORTEST, self.deadline - waited))
        return Sleep(pause)

    def _known(self) -> str:
        if self.last is None:
            return "nothing (it could not be asked)"
        text = f"{self.last.state}, {self.last.progress:.0%}"
        return f"{text}, {self.last.diagnostics[:300]}" if self.last.diagnostics else text


def drive(
    waiter: Waiter,
    look: Callable[[], ApplicationReport],
    on_report: Callable[[ApplicationReport], None] | None = None,
    *,
    clock: Clock = time,
) -> ApplicationReport | None:
    """Wait synchronously; the final report, or None when YARN has forgotten it."""
    waiter.started = clock.monotonic()
    while True:
        try:
            report = look()
        except KnitError as error:
            step = waiter.on_error(error, clock.monotonic())
        else:
            if on_report:
                on_report(report)
            step = waiter.on_report(report, clock.monotonic())
        if isinstance(step, Done):
            return step.report
        clock.sleep(step.seconds)
