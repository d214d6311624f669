"""Waits for the end of an application: `Waiter` decides (pure), `drive` asks and sleeps.

`monitoring.wait_state` decides about deadline, tolerated faults and pauses. `Waiter` adds the interface for Python callers: the
last report at the end, exceptions when the wait fails. Its first pauses are short.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from knit_core.errors import ApplicationNotFound, KnitError, WaitTimeout
from knit_core.model.clock import Clock
from knit_core.model.report import ApplicationReport
from knit_core.model.representation import shown
from knit_core.model.units import show_seconds
from knit_core.monitoring.wait_state import GiveUp, Sleep, WaitState

#: Seconds of transient faults in a row that a wait tolerates, whatever is waited for.
RETRY_TIMEOUT = 300.0
_SOONEST = 0.1  # seconds of the first pauses
_SHORTEST = 0.001  # seconds; a pause always moves the clock


@shown
@dataclass(frozen=True)
class Done:
    """The application has ended; `report` is None when YARN has no record of it any more (its result.json may exist)."""

    report: ApplicationReport | None


@shown
@dataclass(kw_only=True)
class Waiter(WaitState):
    """The wait of a Python caller for one application.

    Attributes:
        app_id: for messages.
        started: clock reading at the start, for messages.
        last: the last report; None: there was none.
    """

    app_id: str
    started: float = 0.0
    last: ApplicationReport | None = None
    retry_timeout: float = RETRY_TIMEOUT
    pace: float = _SOONEST  # soon after the start things change quickly
    spread: float = 0.1

    def on_report(self, report: ApplicationReport, now: float) -> Sleep | Done:
        """A request succeeded.

        Raises:
            WaitTimeout: the deadline has passed.
        """
        self.last = report
        if report.ended:
            self.recovered()
            return Done(report)
        step = self.on_known(now)
        if isinstance(step, GiveUp):
            raise self._timeout(now)
        return _moving(step)

    def on_error(self, error: KnitError, now: float) -> Sleep | Done:
        """A request failed; transient faults are tolerated for `retry_timeout` seconds.

        Raises:
            KnitError: the error itself, when it is not transient or lasts too long.
            WaitTimeout: the deadline has passed.
        """
        forgotten = isinstance(error, ApplicationNotFound)
        if not (forgotten or error.transient):
            raise error
        step = self.on_unknown(now) if forgotten else self.on_fault(now)
        if isinstance(step, Sleep):
            return _moving(step)
        if step.forgotten:
            return Done(None)
        raise error if step.unreachable else self._timeout(now)

    def _timeout(self, now: float) -> WaitTimeout:
        return WaitTimeout(
            f"{self.app_id} had not ended after {show_seconds(now - self.started)}; last seen: {self._known()}. It goes on: "
            "attach to it to wait longer, or kill it."
        )

    def _known(self) -> str:
        if self.last is None:
            return "nothing (no request succeeded)"
        text = f"{self.last.state}, {self.last.progress:.0%}"
        return f"{text}, {self.last.diagnostics[:300]}" if self.last.diagnostics else text


def _moving(step: Sleep) -> Sleep:
    return step if step.seconds >= _SHORTEST else Sleep(_SHORTEST)


def drive(
    waiter: Waiter,
    ask: Callable[[], ApplicationReport],
    on_report: Callable[[ApplicationReport], None] | None = None,
    *,
    clock: Clock = time,
) -> ApplicationReport | None:
    """Wait in this thread; the final report, or None when YARN has no record of the application any more."""
    while True:
        try:
            report = ask()
        except KnitError as error:
            step = waiter.on_error(error, clock.monotonic())
        else:
            if on_report:
                on_report(report)
            step = waiter.on_report(report, clock.monotonic())
        if isinstance(step, Done):
            return step.report
        clock.sleep(step.seconds)
