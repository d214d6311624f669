"""The trigger of Dask clusters."""

from __future__ import annotations

from collections.abc import AsyncIterator

from knit_airflow.triggers._application_wait import ApplicationWait, Goal
from knit_airflow.triggers._shared_poll import shared_poll
from knit_airflow.triggers._shared_poll_state import Target
from knit_airflow.triggers.application import KnitApplicationTrigger
from knit_airflow.version_compat import TriggerEvent

#: Something of the program runs: the scheduler's container, the first one.
SCHEDULER_STARTED = Goal(containers=1)


class KnitDaskTrigger(KnitApplicationTrigger):
    """Fires when the cluster's application has begun (or ended)."""

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, then fire once."""
        waiting = ApplicationWait(poll=self.poll_interval, deadline=self.deadline, goal=SCHEDULER_STARTED)
        _, done = await shared_poll(self.knit_conn_id).wait(Target(self.application_id), waiting, self._say)
        yield TriggerEvent(done.to_event(self.application_id))
