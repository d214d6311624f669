"""The trigger of sensors."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any

from knit_airflow.hooks.knit import KnitHook
from knit_airflow.triggers._application_wait import ApplicationWait, Done, Goal, Status, StatusLog
from knit_airflow.triggers._shared_poll import shared_poll
from knit_airflow.triggers._shared_poll_state import Target
from knit_airflow.version_compat import BaseTrigger, TaskSuccessEvent, TriggerEvent, launched_id, push_xcom

if TYPE_CHECKING:
    from knit_core import Application

#: Seconds to wait until the result of an ended application is readable.
RESULT_WAIT = 60.0


class KnitSensorTrigger(BaseTrigger):
    """Waits for a KnitSensor; with `end_here`, success ends the task without a worker.

    Parameters:
        knit_conn_id: the connection.
        application_id, name, tag, launched_by: which application; exactly one.
        state, containers, progress: what suffices before its end.
        outcomes: ends that are a success.
        poll_interval: seconds between two polls.
        deadline: Unix time after which it fires `timeout`; None: Airflow's own time-out applies.
        end_here: the trigger ends the task on success; every other result resumes the sensor, which raises the error.
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

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class path and arguments, from which another triggerer makes the same trigger."""
        target = ("application_id", "name", "tag", "launched_by")
        goal = ("state", "containers", "progress", "outcomes")
        names = ("knit_conn_id", *target, *goal, "poll_interval", "deadline", "end_here")
        return f"{type(self).__module__}.{type(self).__qualname__}", {name: getattr(self, name) for name in names}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, then fire once."""
        on_status = StatusLog(self.log, self.application_id or self.name or self.tag or "application")
        wait = ApplicationWait(self.poll_interval, self.deadline, goal=Goal(self.state, self.containers, self.progress))
        app_id, done = "", None
        if self.launched_by is not None:
            app_id, done = await self._await_launch(on_status)
        elif self.application_id in ("", "None"):  # what a template renders when there is none yet
            done = Done("unreachable", "there is no application")
        if done is None:
            target = Target(app_id or self.application_id, self.name, self.tag)
            app_id, done = await shared_poll(self.knit_conn_id).wait(target, wait, on_status)
        if self.end_here and done.good(self.outcomes) and await self._push_result(app_id, done):
            yield TaskSuccessEvent()
            return
        yield TriggerEvent(done.to_event(app_id))

    async def _await_launch(self, on_status: StatusLog) -> tuple[str, Done | None]:
        """The id of the other task's application, as soon as it is launched."""
        place = place_of(self.launched_by, self.task_instance)
        while True:
            text = f"Task {place['task_id']} of {place['dag_id']} has not launched an application"
            try:
                app_id = await asyncio.to_thread(launched_id, **place)
            except Exception as error:  # Airflow itself is unreachable: the wait continues
                app_id, text = None, f"{text}; {type(error).__name__}: {error}"
            if app_id:
                return app_id, None
            if self.deadline is not None and time.time() >= self.deadline:
                return "", Done("timeout", text)
            on_status(Status(f"{text} yet"))
            await asyncio.sleep(self.poll_interval)

    async def _push_result(self, app_id: str, done: Done) -> bool:
        """Push the sensor's XCom; False when that fails (a worker tries again then)."""
        try:
            knit = await KnitHook(self.knit_conn_id).aget_conn()
            application = knit.attach(app_id)
            found = await asyncio.to_thread(sensor_xcom, application, done)
            # Only one: the triggerer's supervisor handles the XComs of all its triggers one by one.
            await asyncio.to_thread(push_xcom, self.task_instance, found)
        except Exception as error:
            self.log.warning("%s: its result is left to a worker: %s: %s", app_id, type(error).__name__, error)
            return False
        return True


def place_of(launched_by: Any, ti: Any) -> dict[str, Any]:
    """The task instance whose XCom has the id: of this run, unless `launched_by` names another `dag_id` or `run_id`."""
    given = dict(launched_by) if isinstance(launched_by, Mapping) else {"task_id": launched_by}
    own = {"dag_id": ti.dag_id, "run_id": ti.run_id, "map_index": -1}
    return {**own, **given}


def sensor_xcom(application: Application, done: Done) -> dict[str, Any]:
    """A sensor's XCom. Blocks.

    Raises:
        KnitError: the result could not be read.
    """
    found: dict[str, Any] = {
        "application_id": application.id,
        "outcome": done.outcome,
        "value": None,
        "seen": done.text,
    }
    if done.kind == "ended":
        result = application.wait(timeout=RESULT_WAIT, check=False)
        found.update(outcome=str(result.outcome), value=result.value)
        found.update(started_at=result.started_at, finished_at=result.finished_at)
    return found
