"""How an application ends with its task: killed, left to the next try, or marked so that nobody attaches to it.

Airflow's SIGTERM comes on the main thread while anything may be going on; `_kill_policy` says what it means.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from knit_airflow.observability import metrics
from knit_airflow.operators._kill_policy import is_left
from knit_airflow.version_compat import AirflowException, AirflowFailException

if TYPE_CHECKING:
    from knit_airflow.logs.handover import TaskLogs
    from knit_airflow.state.launch_key import Launch
    from knit_core import Application, Knit

#: Airflow kills a task's process 5 s after SIGTERM: the ApplicationMaster gets less than that to end by itself.
SIGTERM_GRACE = 2.5
GRACE = 10.0


class Stopped(BaseException):
    """Raised when the process was told to stop; no `except Exception` on the way may swallow it."""


class OnKillMixin:
    """The part of ApplicationOperator that ends what it has launched."""

    log: Any
    _knit: Knit | None
    _launch: Launch | None
    _application: Application | None
    _logs: TaskLogs | None
    _context: Any
    _killed = False
    _goes_on = False
    _tried = False
    _killer: threading.Thread | None = None

    def on_kill(self) -> None:
        """Called in a signal handler that `execute` goes on after: begins the end and lets `execute` raise.

        Nothing is waited for here, on the thread whose locks the end may need; nor can the end wait for `execute`, which
        may be blocked in a slow call until SIGKILL comes.
        """
        if self._killed or self._killer is not None:
            return
        killer = threading.Thread(target=self._stop)
        killer.start()
        self._killer = killer
        self._killed = True  # last: from here on `execute` may raise, and waits for the killer

    def _stop(self) -> None:
        """What the end of this process means for its application; then that is done."""
        began = time.monotonic()
        self._goes_on = is_left(self._context)
        if not self._goes_on:
            late = time.monotonic() - began > SIGTERM_GRACE / 2
            self._end("The Airflow task was killed", 0 if late else SIGTERM_GRACE)

    def _stopped(self) -> AirflowException:
        """The end of a process that was told to stop; the exception for it."""
        if self._killer is not None:
            self._killer.join()
        else:
            self._stop()
        if self._goes_on:
            return AirflowException(f"The task's process was told to stop; {self._named()} is left to the next try")
        if not self._tried:  # what was on its way to YARN when the killer looked is there by now
            self._end("The Airflow task was killed", SIGTERM_GRACE)
        return AirflowException(f"The task was killed, and with it {self._named()}")

    def _end(self, reason: str, grace: float) -> None:
        """End this task's application, even one whose id we never saw; blocks until that is done or has failed."""
        from knit_core.errors import KnitError

        marking: threading.Thread | None = None
        try:
            if self._knit is not None and self._launch is not None:
                if self._application is None:
                    self._application = self._knit.launched(self._launch.key)
                # Beside the kill, which may take longer than Airflow waits before SIGKILL: the next try must not
                # attach to an application that is on its way out.
                marking = threading.Thread(target=self._supersede, args=(self._knit, self._launch.key))
                marking.start()
            if self._application is not None:
                self._kill(reason, grace)
        except KnitError as error:
            self.log.error("Whether %s still runs could not be found out: %s", self._named(), error)
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
        self._tried = True
        try:
            self._application.kill(reason=reason, grace=grace)
            self.log.info("%s was ended: %s", self._application.id, reason)
            metrics.killed()
        except KnitError as error:
            self.log.error("%s could not be ended and may run on: %s", self._application.id, error)

    def _leave(self, failure: Exception | None) -> None:
        """The try fails while its application may run: the next one will attach to it; without one, it ends too."""
        if isinstance(failure, AirflowFailException) or not is_left(self._context):
            self._end("The Airflow task failed and no retry follows", GRACE)
        elif self._logs is not None:
            self._logs.leave()

    def _named(self) -> str:
        return self._application.id if self._application is not None else "its launch"
