"""Ends an application together with its task: kills it, or leaves it to the next try.

A killed application's launch is marked as superseded, so that no later try attaches to it. Airflow's SIGTERM interrupts the main
thread at any point; `_kill_policy` decides what it means for the application.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from knit_airflow.observability import metrics
from knit_airflow.operators._kill_policy import ask_keeps_running
from knit_airflow.version_compat import AirflowException, AirflowFailException

if TYPE_CHECKING:
    from knit_airflow.logs.handover import TaskLogs
    from knit_airflow.state.launch_key import Launch
    from knit_core import Application, Knit

#: Seconds for the ApplicationMaster to end by itself: Airflow sends SIGKILL to the task's process 5 s after SIGTERM.
SIGTERM_GRACE = 2.5
GRACE = 10.0


class Stopped(BaseException):
    """Raised after SIGTERM or the loss of the supervisor; a BaseException, so that no `except Exception` on the way catches it."""


class OnKillMixin:
    """The part of ApplicationOperator that ends its application."""

    log: Any
    _knit: Knit | None
    _launch: Launch | None
    _application: Application | None
    _logs: TaskLogs | None
    _context: Any
    _killed = False
    _keeps_running = False
    _kill_tried = False
    _killer: threading.Thread | None = None

    def on_kill(self) -> None:
        """Called in a signal handler, after which `execute` continues: starts the kill and makes `execute` raise.

        The kill runs in a thread. It cannot be waited for here, as it may need locks that this thread holds; and it cannot
        wait for `execute`, which may be blocked in a slow call until SIGKILL.
        """
        if self._killed or self._killer is not None:
            return
        killer = threading.Thread(target=self._stop)
        killer.start()
        self._killer = killer
        self._killed = True  # last: from here on `execute` may raise, and joins the killer

    def _stop(self) -> None:
        """Decide whether the application keeps running; kill it if not."""
        began = time.monotonic()
        self._keeps_running = ask_keeps_running(self._context)
        if not self._keeps_running:
            late = time.monotonic() - began > SIGTERM_GRACE / 2
            self._end("The Airflow task was killed", 0 if late else SIGTERM_GRACE)

    def _stopped(self) -> AirflowException:
        """Wait for the kill, or do it here when there was no SIGTERM; returns the exception to raise."""
        if self._killer is not None:
            self._killer.join()
        else:
            self._stop()
        if self._keeps_running:
            return AirflowException(f"The task's process was stopped; {self._named()} is left to the next try")
        if not self._kill_tried:  # the submission was under way when the killer looked for the application
            self._end("The Airflow task was killed", SIGTERM_GRACE)
        return AirflowException(f"The task was killed, and with it {self._named()}")

    def _end(self, reason: str, grace: float) -> None:
        """End this task's application, also one whose id is not known here. Blocks until it has ended or that has failed."""
        from knit_core.errors import KnitError

        marking: threading.Thread | None = None
        try:
            if self._knit is not None and self._launch is not None:
                if self._application is None:
                    self._application = self._knit.launched(self._launch.key)
                # In parallel with the kill, which may take longer than Airflow waits before SIGKILL: the next try must not
                # attach to an application that is being killed.
                marking = threading.Thread(target=self._supersede, args=(self._knit, self._launch.key))
                marking.start()
            if self._application is not None:
                self._kill(reason, grace)
        except KnitError as error:
            self.log.error("Could not find out whether %s still runs: %s", self._named(), error)
        finally:
            if marking is not None:
                marking.join()

    def _supersede(self, knit: Knit, key: str) -> None:
        from knit_core.errors import KnitError

        try:
            knit.supersede(key)
        except KnitError as error:
            self.log.warning("The launch of %s could not be marked as superseded: %s", self._named(), error)

    def _kill(self, reason: str, grace: float) -> None:
        from knit_core.errors import KnitError

        assert self._application is not None
        self._kill_tried = True
        try:
            self._application.kill(reason=reason, grace=grace)
            self.log.info("%s was ended: %s", self._application.id, reason)
            metrics.killed()
        except KnitError as error:
            self.log.error("%s could not be ended and may run on: %s", self._application.id, error)

    def _fail_try(self, failure: Exception | None) -> None:
        """The try fails while its application may run: leave it to the next try, or end it when no try follows."""
        if isinstance(failure, AirflowFailException) or not ask_keeps_running(self._context):
            self._end("The Airflow task failed and no retry follows", GRACE)
        elif self._logs is not None:
            self._logs.store_position()

    def _named(self) -> str:
        return self._application.id if self._application is not None else "its launch"
