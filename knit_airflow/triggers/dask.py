"""The trigger of Dask clusters."""

from __future__ import annotations

from collections.abc import AsyncIterator

from knit_airflow.triggers._application_wait import ApplicationWait, Goal
from knit_airflow.triggers._shared_poll import shared_poll
from knit_airflow.triggers._shared_poll_state import Target
from knit_airflow.triggers.application import KnitApplicationTrigger
from knit_airflow.version_compat import TriggerEvent

#: The first container of the program runs: the scheduler's.
SCHEDULER_STARTED = Goal(containers=1)


class KnitDaskTrigger(KnitApplicationTrigger):
    """Fires when the scheduler's container runs, or the application has ended."""

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, then fire once."""
        wait = ApplicationWait(poll=self.poll_interval, deadline=self.deadline, goal=SCHEDULER_STARTED)
        _, done = await shared_poll(self.knit_conn_id).wait(Target(self.application_id), wait, self._status_log())
        yield TriggerEvent(done.to_event(self.application_id))
