"""The wait for one application: the status after a request, the goal of the wait, and the decision after each status.

Operators and sensors, blocking or deferred, all use it: `wait_blocking` in a worker, a sensor's `poke`, and `_shared_poll_state`
for all deferred tasks of a connection. So a time-out, a network fault or a forgotten application means the same everywhere.

Deadline, faults and pauses are the core's (`knit_core.monitoring.wait_state`). Airflow's part is here: goals before the end,
and results as values, because a trigger sends them to the resumed task as an event.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from knit_core.monitoring.wait_state import Sleep, WaitState

if TYPE_CHECKING:
    from knit_core import Application
    from knit_core.model.report import ApplicationReport

#: Seconds for which a cluster may be unreachable before a wait gives up; the application is left running then.
RETRY_TIMEOUT = 600.0
#: So many answers "unknown application" in a row mean that the ResourceManager has forgotten it.
FORGOTTEN_AFTER = 3


@dataclass(frozen=True)
class Status:
    """What one request shows of an application.

    Attributes:
        text: one line for the log: the state, or the error.
        outcome: how it ended; None while it runs, or when the request failed.
        seen: False when the request failed.
        known: False when the ResourceManager has no record of the application.
        refused: the request failed, and would fail again.
        state: YARN's state; empty when the request failed.
        containers: the program's running containers (without the ApplicationMaster's own).
        progress: 0.0 to 1.0.
    """

    text: str
    outcome: str | None = None
    seen: bool = True
    known: bool = True
    refused: bool = False
    state: str = ""
    containers: int = 0
    progress: float = 0.0


#: YARN's states in the order in which an application passes them; the last three are ends.
ORDER = ("NEW", "NEW_SAVING", "SUBMITTED", "ACCEPTED", "RUNNING", "FINISHED", "FAILED", "KILLED")


@dataclass(frozen=True)
class Goal:
    """What is waited for besides the end; the end always counts. At most one attribute is set.

    Attributes:
        state: this state of YARN, or a later one.
        containers: at least so many of the program's containers running at once.
        progress: at least this progress, 0.0 to 1.0.
    """

    state: str | None = None
    containers: int | None = None
    progress: float | None = None

    def __post_init__(self) -> None:
        if sum(each is not None for each in (self.state, self.containers, self.progress)) > 1:
            raise ValueError("Wait for one of state, containers and progress, not for several at once")
        if self.state is not None and self.state not in ORDER[:5]:
            raise ValueError(f"state is one of {', '.join(ORDER[:5])} (an end always counts), not {self.state!r}")
        if self.containers is not None and self.containers < 1:
            raise ValueError(f"containers is at least 1, not {self.containers}")
        if self.progress is not None and not 0 <= self.progress <= 1:
            raise ValueError(f"progress is a number from 0.0 to 1.0, not {self.progress}")

    def __bool__(self) -> bool:
        return any(each is not None for each in (self.state, self.containers, self.progress))

    def reached(self, status: Status) -> bool:
        """Whether a running application with this status has reached the goal."""
        if not self or not status.state:
            return False
        if self.state is not None:
            return ORDER.index(status.state) >= ORDER.index(self.state)
        if self.containers is not None:
            return status.containers >= self.containers
        return status.progress >= (self.progress or 0.0)


@dataclass(frozen=True)
class Done:
    """The wait is over.

    Attributes:
        kind: `ended` (see outcome), `reached` (the goal; it runs on), `timeout` (the deadline passed, it runs on),
            `unreachable` (the cluster, for `retry_timeout` seconds; it may run on) or `refused` (the cluster refuses the
            request).
        text: the last status.
        outcome: SUCCEEDED, FAILED, KILLED or LOST, with `ended`.
    """

    kind: str
    text: str
    outcome: str | None = None

    def good(self, outcomes: Collection[str] = ("SUCCEEDED",)) -> bool:
        """Whether the wait was successful: the goal was reached, or the outcome is one of `outcomes`."""
        return self.kind == "reached" or (self.kind == "ended" and self.outcome in outcomes)

    def to_event(self, application: str) -> dict[str, Any]:
        """The payload of a trigger's event. Airflow's database keeps it: its keys stay as they are."""
        return {"kind": self.kind, "text": self.text, "outcome": self.outcome, "application": application}

    @classmethod
    def from_event(cls, event: dict[str, Any]) -> Done:
        """From the payload, in the resumed task."""
        return cls(kind=str(event["kind"]), text=str(event.get("text", "")), outcome=event.get("outcome"))


@dataclass
class ApplicationWait(WaitState):
    """The state of one wait for an application.

    Attributes:
        deadline: Unix time at which the wait ends with `timeout`; None: no end.
        retry_timeout: seconds of faults in a row after which the wait ends with `unreachable`.
        goal: what suffices before the end.
    """

    retry_timeout: float = RETRY_TIMEOUT
    forgotten_after: int = FORGOTTEN_AFTER
    pace: float = math.inf
    goal: Goal = field(default_factory=Goal)

    def next(self, status: Status, now: float) -> Sleep | Done:
        """The decision after one request; `now` is Unix time."""
        if status.refused:
            return Done("refused", status.text)
        if status.outcome is not None:
            return Done("ended", status.text, status.outcome)
        if self.goal.reached(status):
            return Done("reached", status.text)
        if not status.known:
            step = self.on_unknown(now)
        elif status.seen:
            step = self.on_known(now)
        else:
            step = self.on_fault(now)
        if isinstance(step, Sleep):
            return step
        if step.forgotten:
            return Done("ended", status.text, "LOST")
        return Done("timeout" if step.timeout else "unreachable", status.text)


def read_status(application: Application) -> Status:
    """Ask the cluster once. Blocks for as long as Knit's client retries the call.

    When the ResourceManager has forgotten the application, its `result.json` on HDFS is read.
    """
    from knit_core.errors import ApplicationNotFound, KnitError

    try:
        try:
            return status_of(application.report())
        except ApplicationNotFound as unknown:
            left = application.final_result(None)
            if not left.complete:
                return Status(str(unknown), known=False)
            return Status(f"{left.outcome}: {left.diagnostics}".rstrip(": "), outcome=str(left.outcome))
    except KnitError as fault:
        return Status(str(fault), seen=False, refused=not fault.transient)


def status_of(report: ApplicationReport) -> Status:
    """The status that a report of the ResourceManager shows."""
    text = f"{report.state}, {report.progress:.0%}" if report.outcome is None else f"{report.outcome}"
    if report.diagnostics:
        text = f"{text}: {report.diagnostics}"
    return Status(
        text,
        outcome=None if report.outcome is None else report.outcome.value,
        state=str(report.state),
        containers=max(0, report.containers - 1),
        progress=report.progress,
    )


def wait_blocking(
    application: Application,
    wait: ApplicationWait,
    *,
    on_status: Callable[[Status], None] | None = None,
    stopped: Callable[[], bool] | None = None,
) -> Done | None:
    """Wait in this thread; None when `stopped()` returned True before the wait was over.

    Parameters:
        on_status: called with every status.
        stopped: called several times a second: a signal handler can neither end a sleep nor raise out of one.
    """
    while True:
        status = read_status(application)
        if on_status is not None:
            on_status(status)
        step = wait.next(status, time.time())
        if isinstance(step, Done):
            return step
        until = time.monotonic() + step.seconds
        while True:
            if stopped is not None and stopped():
                return None
            left = until - time.monotonic()
            if left <= 0:
                break
            time.sleep(min(0.2, left))


class StatusLog:
    """Logs the statuses of a wait, each text once in a row.

    Parameters:
        log: the logger.
        name: stands before each text.
    """

    def __init__(self, log: Any, name: str) -> None:
        self._log, self._name, self._last = log, name, ""

    def __call__(self, status: Status) -> None:
        if status.text != self._last:
            self._last = status.text
            self._log.info("%s: %s", self._name, status.text)
