"""The triggers: for deferred operators (`KnitApplicationTrigger`) and for sensors (`KnitSensorTrigger`).

All of a triggerer's triggers with the same connection wait together, by one poll (`polling`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any

from knit_airflow import metrics
from knit_airflow.compat import BaseTrigger, TaskSuccessEvent, TriggerEvent, launched_id, push_xcom, task_state
from knit_airflow.crowd import Target
from knit_airflow.following import Following
from knit_airflow.hooks import KnitHook
from knit_airflow.polling import shared_poll
from knit_airflow.waiting import Done, Goal, Look, Waiting

if TYPE_CHECKING:
    from knit_core import Application

#: Seconds that the ApplicationMaster gets to end by itself; well within `[triggerer] on_kill_timeout` (30 s).
GRACE = 10.0
#: Seconds for the result of an application that has ended to become readable.
RESULT_WAIT = 60.0
#: Ends under way; an event loop holds no task by itself.
_endings: set[asyncio.Task[None]] = set()


class KnitApplicationTrigger(BaseTrigger):
    """Fires one event when the application has ended, or can no longer be waited for.

    Parameters:
        knit_conn_id: the connection; its secrets never become part of the trigger.
        application_id: what to wait for.
        poll_interval: seconds between two looks.
        deadline: Unix time after which it fires `timeout`; None: never. It is absolute, so a restart prolongs nothing.
        owner: whether the application belongs to the task and ends with it.
        logs: how its container logs are followed meanwhile (see `following.Following`); None: they are not.
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
        self._said = ""

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Path and arguments; another triggerer makes the same trigger of them."""
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
        waiting = Waiting(poll=self.poll_interval, deadline=self.deadline)
        following = None
        if self.logs:
            following = Following(self.knit_conn_id, self.application_id, self.logs, self.log, self.task_instance)
        try:
            _, done = await shared_poll(self.knit_conn_id).wait(Target(self.application_id), waiting, self._say)
            logs = {"logs": await following.stop()} if following is not None else {}
        finally:
            if following is not None:
                following.cancel()
        yield TriggerEvent({**done.to_event(self.application_id), **logs})

    async def on_kill(self) -> None:
        """End the application of a task that a person marked, cleared or removed while it was deferred.

        Airflow also calls this when it gives the trigger to another triggerer. The task is still deferred then, and its
        application stays. After a clear, and when its DAG run was deleted and made again, another try may be deferred
        already: that has left the id of an application of its own.

        Airflow waits for `[triggerer] on_kill_timeout` (30 s), in which a busy triggerer may not even get an answer from
        Airflow itself: the end goes on after that.
        """
        if not self.owner:
            return
        ending = asyncio.get_running_loop().create_task(self._end())
        _endings.add(ending)
        ending.add_done_callback(_endings.discard)
        await asyncio.shield(ending)

    async def _end(self) -> None:
        state = await asyncio.to_thread(task_state, self.task_instance)
        if state == "deferred" and await asyncio.to_thread(self._is_its_application):
            self.log.info("Application %s is left alone: its task is still deferred", self.application_id)
            return
        application = await self._attach()
        self.log.info("Ending application %s: its task is %s", self.application_id, state or "cleared")
        await asyncio.to_thread(application.kill, reason=f"The Airflow task is {state or 'cleared'}", grace=GRACE)
        metrics.killed(deferred=True)

    def _is_its_application(self) -> bool:
        """Whether the deferred task is the one that this trigger waits for."""
        ti = self.task_instance
        index = -1 if ti.map_index is None else ti.map_index
        found = launched_id(dag_id=ti.dag_id, run_id=ti.run_id, task_id=ti.task_id, map_index=index)
        return found in (None, self.application_id)

    async def _attach(self) -> Application:
        if self._application is None:
            knit = await KnitHook(self.knit_conn_id).aget_conn()
            self._application = await asyncio.to_thread(knit.attach, self.application_id)
        return self._application

    def _say(self, look: Look) -> None:
        if look.text != self._said:
            self._said = look.text
            self.log.info("%s: %s", self.application_id, look.text)


class KnitSensorTrigger(BaseTrigger):
    """Waits for what a KnitSensor waits for; with `end_here`, success ends the task without a worker.

    Parameters:
        knit_conn_id: the connection.
        application_id, name, tag, launched_by: which application; exactly one.
        state, containers, progress: what suffices before its end.
        outcomes: ends that are a success.
        poll_interval: seconds between two looks.
        deadline: Unix time after which it fires `timeout`; None: Airflow's own time-out ends it.
        end_here: success is told to Airflow here; everything else still goes to the sensor, which says why it is red.
    """

    def __init__(
        self,
        knit_conn_id: str,
        application_id: str | None = None,
        name: str | None = None,
        tag: str | None = None,
        launched_by: Mapping[str, str] | None = None,
        state: str | None = None,
        containers: int | None = None,
        progress: float | None = None,
        outcomes: tuple[str, ...] | list[str] = ("SUCCEEDED",),
        poll_interval: float = 10.0,
        deadline: float | None = None,
        end_here: bool = False,
    ) -> None:
        super().__init__()
        self.knit_conn_id = knit_conn_id
        self.application_id = application_id
        self.name = name
        self.tag = tag
        self.launched_by = launched_by
        self.state = state
        self.containers = containers
        self.progress = progress
        self.outcomes = list(outcomes)
        self.poll_interval = poll_interval
        self.deadline = deadline
        self.end_here = end_here
        self._said = ""

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Path and arguments; another triggerer makes the same trigger of them."""
        target = ("application_id", "name", "tag", "launched_by")
        goal = ("state", "containers", "progress", "outcomes")
        names = ("knit_conn_id", *target, *goal, "poll_interval", "deadline", "end_here")
        return f"{type(self).__module__}.{type(self).__qualname__}", {name: getattr(self, name) for name in names}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, then fire once."""
        waiting = Waiting(self.poll_interval, self.deadline, goal=Goal(self.state, self.containers, self.progress))
        app_id, done = "", None
        if self.launched_by is not None:
            app_id, done = await self._await_launch()
        elif self.application_id in ("", "None"):  # a template's way of saying that there is none yet
            done = Done("unreachable", "there is no application")
        if done is None:
            target = Target(app_id or self.application_id, self.name, self.tag)
            app_id, done = await shared_poll(self.knit_conn_id).wait(target, waiting, self._say)
        if self.end_here and done.good(self.outcomes) and await self._tell(app_id, done):
            yield TaskSuccessEvent()
            return
        yield TriggerEvent(done.to_event(app_id))

    async def _await_launch(self) -> tuple[str, Done | None]:
        """The id that the other task has left, as soon as it has."""
        place = place_of(self.launched_by, self.task_instance)
        while True:
            text = f"Task {place['task_id']} of {place['dag_id']} has not launched an application"
            try:
                app_id = await asyncio.to_thread(launched_id, **place)
            except Exception as error:  # Airflow itself is out of reach: no reason to end the wait
                app_id, text = None, f"{text}; {type(error).__name__}: {error}"
            if app_id:
                return app_id, None
            if self.deadline is not None and time.time() >= self.deadline:
                return "", Done("timeout", text)
            self._say(Look(f"{text} yet"))
            await asyncio.sleep(self.poll_interval)

    async def _tell(self, app_id: str, done: Done) -> bool:
        """Leave the sensor's XCom; False when that cannot be done now (a worker tries again then)."""
        try:
            knit = await KnitHook(self.knit_conn_id).aget_conn()
            application = knit.attach(app_id)
            found = await asyncio.to_thread(facts, application, done)
            # One only: the triggerer's supervisor takes them one by one, from all its triggers.
            await asyncio.to_thread(push_xcom, self.task_instance, found)
        except Exception as error:
            self.log.warning("%s: a worker has to tell its result: %s: %s", app_id, type(error).__name__, error)
            return False
        return True

    def _say(self, look: Look) -> None:
        if look.text != self._said:
            self._said = look.text
            self.log.info("%s: %s", self.application_id or self.name or self.tag or "application", look.text)


def place_of(launched_by: Any, ti: Any) -> dict[str, Any]:
    """Where the other task's XCom lies: of this run unless `launched_by` names another `dag_id` or `run_id`."""
    given = dict(launched_by) if isinstance(launched_by, Mapping) else {"task_id": launched_by}
    own = {"dag_id": ti.dag_id, "run_id": ti.run_id, "map_index": -1}
    return {**own, **given}


def facts(application: Application, done: Done) -> dict[str, Any]:
    """A sensor's XCom. Blocks.

    Raises:
        KnitError: the result cannot be read now.
    """
    found = {"application_id": application.id, "outcome": done.outcome, "value": None, "seen": done.text}
    if done.kind == "ended":
        result = application.wait(timeout=RESULT_WAIT, check=False)
        found.update(outcome=str(result.outcome), value=result.value)
        found.update(started_at=result.started_at, finished_at=result.finished_at)
    return found
