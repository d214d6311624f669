"""The trigger of deferred operators.

All triggers of a triggerer with the same connection share one poll (`_shared_poll`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any

from knit_airflow.hooks.knit import KnitHook
from knit_airflow.logs.triggerer import LogFollower
from knit_airflow.observability import metrics
from knit_airflow.triggers._application_wait import ApplicationWait, StatusLog
from knit_airflow.triggers._shared_poll import shared_poll
from knit_airflow.triggers._shared_poll_state import Target
from knit_airflow.triggers._token_pushes import token_pushes
from knit_airflow.version_compat import BaseTrigger, TriggerEvent, launched_id, task_state

if TYPE_CHECKING:
    from knit_core import Application

#: Seconds for the ApplicationMaster to end by itself; well within `[triggerer] on_kill_timeout` (30 s).
GRACE = 10.0
#: Kills under way: an event loop holds only weak references to its tasks.
_kills: set[asyncio.Task[None]] = set()


class KnitApplicationTrigger(BaseTrigger):
    """Fires one event when the application has ended or the wait is over for another reason.

    Parameters:
        knit_conn_id: the connection; its secrets never become part of the trigger.
        application_id: the application.
        poll_interval: seconds between two polls.
        deadline: Unix time after which it fires `timeout`; None: never. It is absolute, so that a restart does not prolong it.
        owner: whether the application ends with the task.
        logs: arguments of `logs.triggerer.LogFollower`; None: container logs are not followed.
    """

    def __init__(
        self,
        knit_conn_id: str,
        application_id: str,
        poll_interval: float = 5.0,
        deadline: float | None = None,
        owner: bool = False,
        logs: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.knit_conn_id = knit_conn_id
        self.application_id = application_id
        self.poll_interval = poll_interval
        self.deadline = deadline
        self.owner = owner
        self.logs = logs
        self._application: Application | None = None

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class path and arguments, from which another triggerer makes the same trigger."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "knit_conn_id": self.knit_conn_id,
                "application_id": self.application_id,
                "poll_interval": self.poll_interval,
                "deadline": self.deadline,
                "owner": self.owner,
                "logs": self.logs,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, then fire once."""
        wait = ApplicationWait(poll=self.poll_interval, deadline=self.deadline)
        follower = None
        if self.logs:
            follower = LogFollower(self.knit_conn_id, self.application_id, self.logs, self.log, self.task_instance)
        try:
            with token_pushes(self.knit_conn_id).waiting(self.application_id, self.log):
                _, done = await shared_poll(self.knit_conn_id).wait(
                    Target(self.application_id), wait, self._status_log()
                )
            logs = {"logs": await follower.stop()} if follower is not None else {}
        finally:
            if follower is not None:
                follower.cancel()
        yield TriggerEvent({**done.to_event(self.application_id), **logs})

    async def on_kill(self) -> None:
        """End the application of a task that a person marked, cleared or removed while it was deferred.

        Airflow also calls this when it moves the trigger to another triggerer. The task is still deferred then, and its
        application is left running. After a clear, and when the DAG run was deleted and created again, another try may be
        deferred already; it has stored the id of its own application.

        Airflow waits for `[triggerer] on_kill_timeout` (30 s). A busy triggerer may not even get an answer from Airflow's API
        in that time: the kill continues after it.
        """
        if not self.owner:
            return
        kill = asyncio.get_running_loop().create_task(self._kill())
        _kills.add(kill)
        kill.add_done_callback(_kills.discard)
        await asyncio.shield(kill)

    async def _kill(self) -> None:
        state = await asyncio.to_thread(task_state, self.task_instance)
        if state == "deferred" and await asyncio.to_thread(self._is_application_of_task):
            self.log.info("Application %s is left running: its task is still deferred", self.application_id)
            return
        application = await self._attach()
        self.log.info("Ending application %s: its task is %s", self.application_id, state or "cleared")
        await asyncio.to_thread(application.kill, reason=f"The Airflow task is {state or 'cleared'}", grace=GRACE)
        metrics.killed(deferred=True)

    def _is_application_of_task(self) -> bool:
        """Whether the deferred task has launched the application of this trigger."""
        ti: Any = self.task_instance
        index = -1 if ti.map_index is None else ti.map_index
        found = launched_id(dag_id=ti.dag_id, run_id=ti.run_id, task_id=ti.task_id, map_index=index)
        return found in (None, self.application_id)

    def _status_log(self) -> StatusLog:
        return StatusLog(self.log, self.application_id)

    async def _attach(self) -> Application:
        if self._application is None:
            knit = await KnitHook(self.knit_conn_id).aget_conn()
            self._application = await asyncio.to_thread(knit.attach, self.application_id)
        return self._application
