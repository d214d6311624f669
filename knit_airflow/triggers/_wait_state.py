"""The wait for one application, as a state machine without I/O: a status goes in, what to do next comes out.

Operators and sensors, blocking or deferred, all use it: `wait_blocking` feeds it in a worker, a sensor's `poke`
by hand, and `_shared_poll` feeds those of all deferred tasks from one poll. So a time-out, a passing network fault or a
forgotten application means the same everywhere.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from knit_core import Application
    from knit_core.model.report import ApplicationReport

#: Seconds for which a cluster may be out of reach before a wait gives up; the application is left alone then.
FAULT_TIMEOUT = 600.0
#: So many answers "not known" in a row mean that the ResourceManager has forgotten the application.
FORGOTTEN_AFTER = 3


@dataclass(frozen=True)
class Status:
    """What one request says of an application.

    Attributes:
        text: one line for people: the state, or what went wrong.
        outcome: how it ended; None while it runs, or when nothing could be seen.
        seen: False when the request failed in a way that may pass.
        known: False when the cluster says that it knows no such application.
        refused: the request failed in a way that does not pass.
        state: YARN's state; empty when nothing could be seen.
        containers: the program's containers that run (without the ApplicationMaster's own).
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
    """What is waited for, beside the end, which always counts.

    Attributes:
        state: this state of YARN, or a later one.
        containers: at least so many of the program's containers running at once.
        progress: at least so much, 0.0 to 1.0.
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
        """Whether this status of a running application shows it."""
        if not self or not status.state:
            return False
        if self.state is not None:
            return ORDER.index(status.state) >= ORDER.index(self.state)
        if self.containers is not None:
            return status.containers >= self.containers
        return status.progress >= (self.progress or 0.0)


@dataclass(frozen=True)
class Sleep:
    """Look again after so many seconds."""

    seconds: float


@dataclass(frozen=True)
class Done:
    """Nothing more to wait for.

    Attributes:
        kind: `ended` (see outcome), `reached` (the goal; it runs on), `timeout` (the deadline passed, it runs on),
            `unreachable` (`fault_timeout` is over, it may run on) or `refused` (the cluster refuses the request).
        text: the last thing seen.
        outcome: SUCCEEDED, FAILED, KILLED or LOST, with `ended`.
    """

    kind: str
    text: str
    outcome: str | None = None

    def good(self, outcomes: Collection[str] = ("SUCCEEDED",)) -> bool:
        """Whether the wait was successful: the goal was reached, or an end is among `outcomes`."""
        return self.kind == "reached" or (self.kind == "ended" and self.outcome in outcomes)

    def to_event(self, application: str) -> dict[str, Any]:
        """The payload of a trigger's event: terminal facts only."""
        return {"kind": self.kind, "text": self.text, "outcome": self.outcome, "application": application}

    @classmethod
    def from_event(cls, event: dict[str, Any]) -> Done:
        """Back from the payload, in the resumed task."""
        return cls(kind=str(event["kind"]), text=str(event.get("text", "")), outcome=event.get("outcome"))


@dataclass
class WaitState:
    """The state of one wait.

    Parameters:
        poll: seconds between two polls; one tenth of jitter is added so that many tasks do not ask together.
        deadline: Unix time at which waiting ends with `timeout`, or None.
        fault_timeout: seconds of faults in a row before it ends with `unreachable`.
        goal: what suffices before the end.
    """

    poll: float
    deadline: float | None = None
    fault_timeout: float = FAULT_TIMEOUT
    goal: Goal = field(default_factory=Goal)
    _fault_since: float | None = field(default=None, init=False)
    _unknown: int = field(default=0, init=False)

    def next(self, status: Status, now: float) -> Sleep | Done:
        """Take one status in; `now` is Unix time."""
        if status.refused:
            return Done("refused", status.text)
        if status.outcome is not None:
            return Done("ended", status.text, status.outcome)
        if self.goal.reached(status):
            return Done("reached", status.text)
        self._unknown = self._unknown + 1 if not status.known else 0
        if self._unknown >= FORGOTTEN_AFTER:
            return Done("ended", status.text, "LOST")
        if status.seen:
            self._fault_since = None
        elif self._fault_since is None:
            self._fault_since = now
        if self.deadline is not None and now >= self.deadline:
            return Done("timeout", status.text)
        if self._fault_since is not None and now - self._fault_since >= self.fault_timeout:
            return Done("unreachable", status.text)
        return Sleep(self._pause(now))

    def _pause(self, now: float) -> float:
        pause = self.poll * random.uniform(0.95, 1.05)
        return pause if self.deadline is None else max(0.0, min(pause, self.deadline - now))


def read_status(application: Application) -> Status:
    """Ask the cluster once. Blocks for as long as Knit retries the call by itself.

    An application that the ResourceManager has forgotten is looked up in the result that it left on HDFS.
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
    """The status that a report of the ResourceManager tells."""
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
    waiting: WaitState,
    *,
    each: Callable[[Status], None] | None = None,
    stopped: Callable[[], bool] | None = None,
) -> Done | None:
    """Wait in this thread; returns None as soon as `stopped()` says so.

    Parameters:
        each: called with every status (container logs are passed on there).
        stopped: asked several times a second, as a signal handler can neither end a sleep nor raise out of one.
    """
    while True:
        seen = read_status(application)
        if each is not None:
            each(seen)
        step = waiting.next(seen, time.time())
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
