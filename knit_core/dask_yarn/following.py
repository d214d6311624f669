"""Follows a cluster's application in a thread: where its scheduler is now, and that it has ended."""

from __future__ import annotations

import threading
from collections.abc import Callable

from knit_core.application import Application
from knit_core.dask_yarn.launching import Scheduler
from knit_core.dask_yarn.services import SCHEDULER_KEY
from knit_core.errors import KnitError
from knit_core.model.clock import pause
from knit_core.model.result import Result

_PAUSE = 1.0  # seconds after a fault


class Follower:
    """A daemon thread with one long call to the ApplicationMaster at a time; it keeps no interpreter from ending.

    Args:
        app: the application.
        revision: of the scheduler that is known.
        moved: called from the thread with another scheduler (it was started again elsewhere).
        ended: called from the thread once, with the result.
    """

    def __init__(
        self, app: Application, revision: int, moved: Callable[[Scheduler], None], ended: Callable[[Result], None]
    ) -> None:
        self._app, self._revision, self._moved, self._ended = app, revision, moved, ended
        self._stop = threading.Event()
        threading.Thread(target=self._run, name=f"follow {app.id}", daemon=True).start()

    def stop(self) -> None:
        """Nothing is called any more; does not wait for the thread."""
        self._stop.set()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                for change in self._app.kv.watch(SCHEDULER_KEY, after=self._revision, timeout=20):
                    self._revision = change.revision
                    if change.key == SCHEDULER_KEY and not change.deleted and not self._stop.is_set():
                        self._moved(Scheduler.parse(change.value, change.revision))
            except KnitError:
                if self._has_ended():
                    return
                pause(self._stop, _PAUSE, self._app.cluster.clock)

    def _has_ended(self) -> bool:
        try:
            result = self._app.result()
        except KnitError:
            return False
        if result is not None and not self._stop.is_set():
            self._ended(result)
        return result is not None
