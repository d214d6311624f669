"""Follows a cluster's application in a thread: reports a new scheduler, and the application's end."""

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
    """A daemon thread that makes one long call to the ApplicationMaster at a time.

    Args:
        app: the application.
        revision: of the known scheduler.
        on_new_scheduler: called from the thread with a restarted scheduler.
        on_end: called from the thread once, with the result.
    """

    def __init__(
        self,
        app: Application,
        revision: int,
        on_new_scheduler: Callable[[Scheduler], None],
        on_end: Callable[[Result], None],
    ) -> None:
        self._app, self._revision, self._on_new_scheduler, self._on_end = app, revision, on_new_scheduler, on_end
        self._stop = threading.Event()
        threading.Thread(target=self._run, name=f"follow {app.id}", daemon=True).start()

    def stop(self) -> None:
        """Make no more calls. Does not wait for the thread."""
        self._stop.set()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                for change in self._app.kv.watch(SCHEDULER_KEY, after=self._revision, timeout=20):
                    self._revision = change.revision
                    if change.key == SCHEDULER_KEY and not change.deleted and not self._stop.is_set():
                        self._on_new_scheduler(Scheduler.parse(change.value, change.revision))
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
            self._on_end(result)
        return result is not None
