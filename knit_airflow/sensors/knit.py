"""KnitSensor: waits for an application that another task or program launched; fails when the application fails."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from knit_airflow.exceptions import airflow_error
from knit_airflow.hooks.knit import KnitHook
from knit_airflow.links.knit import LINKS, show_pages
from knit_airflow.triggers._application_wait import ApplicationWait, Done, Goal, Status, read_status, status_of
from knit_airflow.triggers._shared_poll_state import Target
from knit_airflow.triggers.sensor import KnitSensorTrigger, place_of, sensor_xcom
from knit_airflow.version_compat import (
    AirflowException,
    AirflowFailException,
    AirflowSensorTimeout,
    BaseSensorOperator,
    PokeReturnValue,
    StartTriggerArgs,
    default_deferrable,
    launched_id,
)

if TYPE_CHECKING:
    from knit_core import Application, Knit

OUTCOMES = ("SUCCEEDED", "FAILED", "KILLED", "LOST")


class KnitSensor(BaseSensorOperator):
    """Waits for an application's end, or for a condition before that; fails at once when the application ends without success.

    Its XCom is a mapping: `application_id`, `outcome` (None when it still runs), `value`, `seen` (the last status),
    `started_at` and `finished_at` (ms since the epoch). It never ends the application.

    Parameters:
        application_id: the application, usually a template that reads another task's XCom. Templated.
        name, tag: instead, the newest application with this name or tag; the sensor waits until there is one. An application
            that ended long ago counts, so the name should have the date or the run. Templated.
        launched_by: instead, the application of another task, which may not have started yet: its task_id in this run, or a
            mapping with `task_id` and any of `dag_id`, `run_id`, `map_index`. Templated.
        state: suffices before the end: this state of YARN or a later one, such as "RUNNING".
        containers: suffices before the end: so many running containers of the program.
        progress: suffices before the end: this progress, 0.0 to 1.0, as the program reports it.
        outcomes: outcomes that are a success: of "SUCCEEDED" (the default), "FAILED", "KILLED", "LOST". Any other outcome fails
            the sensor without retries, also when it waits for a condition before the end.
        knit_conn_id: the connection. Templated.
        deferrable: wait in the triggerer; by default `[operators] default_deferrable`.
        start_from_trigger: also start in the triggerer, so that only a failing sensor needs a worker slot. By default as
            `deferrable`. Airflow serializes the whole DAG with each such trigger: switch it off in DAGs of hundreds of tasks.
            Mapped sensors, and templates that pull XComs, start on a worker.
        poke_interval: seconds between two polls; all sensors of one triggerer share one request.
        timeout: seconds (or a timedelta) after which the sensor fails; the application keeps running.

    The sensor tolerates an unreachable cluster for ten minutes of faults in a row.

    Raises:
        ValueError: not exactly one of application_id, name, tag, launched_by; several of state, containers, progress; an unknown
            state or outcome.
    """

    template_fields = ("application_id", "name", "tag", "launched_by", "knit_conn_id")
    operator_extra_links = LINKS
    ui_color = "#e8f0d8"

    def __init__(
        self,
        *,
        application_id: str | None = None,
        name: str | None = None,
        tag: str | None = None,
        launched_by: str | Mapping[str, str] | None = None,
        state: str | None = None,
        containers: int | None = None,
        progress: float | None = None,
        outcomes: Sequence[str] = ("SUCCEEDED",),
        knit_conn_id: str = KnitHook.default_conn_name,
        deferrable: bool | None = None,
        start_from_trigger: bool | None = None,
        poke_interval: Any = 10.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(poke_interval=poke_interval, **kwargs)
        if sum(each is not None for each in (application_id, name, tag, launched_by)) != 1:
            raise ValueError(f"{self.task_id}: give exactly one of application_id, name, tag and launched_by")
        unknown = sorted({*outcomes} - {*OUTCOMES})
        if unknown or not outcomes:
            raise ValueError(f"{self.task_id}: outcomes are of {', '.join(OUTCOMES)}, not {unknown or 'none'}")
        self.application_id = application_id
        self.name = name
        self.tag = tag
        self.launched_by = launched_by
        self.goal = Goal(state, containers, progress)
        self.outcomes = tuple(outcomes)
        self.knit_conn_id = knit_conn_id
        self.deferrable = default_deferrable() if deferrable is None else deferrable
        from_trigger = self.deferrable if start_from_trigger is None else start_from_trigger
        names = (application_id, name, tag, launched_by)
        self.start_from_trigger = from_trigger and all(map(_triggerer_renders, names))
        if self.start_from_trigger:
            self.start_trigger_args = StartTriggerArgs(
                trigger_cls=f"{KnitSensorTrigger.__module__}.{KnitSensorTrigger.__qualname__}",
                trigger_kwargs=self._trigger(deadline=None, end_here=True).serialize()[1],
                next_method="execute_complete",
                # Airflow keeps this time-out: it spans restarts, and fails a sensor with the right exception.
                timeout=timedelta(seconds=self.timeout),
            )
        self.application_pages: dict[str, str] = {}
        self._application: Application | None = None
        self._wait = ApplicationWait(poll=self.poke_interval, goal=self.goal)

    def execute(self, context: Any) -> Any:
        """Poll once; then poke, or defer."""
        if not self.deferrable:
            return super().execute(context)
        done = self._check(context)
        if done is not None:
            return self._conclude(done)
        self.defer(trigger=self._trigger(time.time() + self.timeout), method_name="execute_complete")

    def poke(self, context: Any) -> PokeReturnValue | bool:
        """Poll once."""
        done = self._check(context)
        return False if done is None else PokeReturnValue(is_done=True, xcom_value=self._conclude(done))

    def execute_complete(self, context: Any, event: dict[str, Any]) -> dict[str, Any]:
        """After the deferral: the result comes from the event and the cluster."""
        from knit_core.errors import KnitError

        done = Done.from_event(event)
        try:
            self._attach(context, event.get("application"))
        except KnitError as error:
            if done.kind in ("ended", "reached"):
                raise airflow_error(error) from error
        return self._conclude(done)

    def _trigger(self, deadline: float | None, end_here: bool = False) -> KnitSensorTrigger:
        by = {"task_id": self.launched_by} if isinstance(self.launched_by, str) else self.launched_by
        return KnitSensorTrigger(
            knit_conn_id=self.knit_conn_id,
            application_id=self.application_id,
            name=self.name,
            tag=self.tag,
            launched_by=by,
            state=self.goal.state,
            containers=self.goal.containers,
            progress=self.goal.progress,
            outcomes=self.outcomes,
            poll_interval=self.poke_interval,
            deadline=deadline,
            end_here=end_here,
        )

    def _check(self, context: Any) -> Done | None:
        from knit_core.errors import KnitError

        try:
            status = self._read_status(context, KnitHook(self.knit_conn_id).get_conn())
        except KnitError as error:
            status = Status(str(error), seen=False, refused=not error.transient)
        self.log.info("%s: %s", self._label(), status.text)
        step = self._wait.next(status, time.time())
        return step if isinstance(step, Done) else None

    def _read_status(self, context: Any, knit: Knit) -> Status:
        from knit_core.model.states import State

        if self.launched_by is not None and self._application is None:
            place = place_of(self.launched_by, context["ti"])
            found = launched_id(**place)
            if found is None:
                return Status(f"Task {place['task_id']} of {place['dag_id']} has not launched an application yet")
            self._attach(context, found)
        if self.name or self.tag:
            target = Target(name=self.name, tag=self.tag)
            reports = knit.list(name=self.name, tags=[self.tag] if self.tag else None, states=list(State), types=None)
            fitting = [each for each in reports if target.fits(each)]
            if not fitting:
                return Status(f"No application with the {target} yet")
            newest = max(fitting, key=lambda each: each.started_at or 0)
            self._attach(context, newest.id)
            return status_of(newest)
        return read_status(self._attach(context, self.application_id))

    def _attach(self, context: Any, app_id: str | None) -> Application:
        if self._application is not None and app_id in (None, self._application.id):
            return self._application
        if app_id in (None, "", "None"):
            raise AirflowException(
                f"{self._label()}: there is no application to wait for. When application_id is a template, the other task "
                "has not launched one yet: use launched_by, which waits for the launch, or give the sensor retries."
            )
        self._application = KnitHook(self.knit_conn_id).get_conn().attach(str(app_id))
        self.application_pages = show_pages(context, self._application, self.log)
        return self._application

    def _conclude(self, done: Done) -> dict[str, Any]:
        from knit_core.errors import ApplicationEnded, KnitError

        if done.kind == "timeout":
            raise AirflowSensorTimeout(f"{self._label()}: not within {self.timeout:.0f} s; {done.text}")
        if done.kind == "refused":
            raise AirflowFailException(done.text)
        if done.kind == "unreachable" or self._application is None:
            raise AirflowException(f"The cluster could not be reached for too long: {done.text}")
        try:
            if not done.good(self.outcomes):
                self._application.wait(timeout=60.0)
                # It succeeded, but `outcomes` has other ends.
                raise AirflowFailException(
                    f"{self._application.id} ended as {done.outcome}; expected: {', '.join(self.outcomes)}"
                )
            return sensor_xcom(self._application, done)
        except ApplicationEnded as ended:
            # The outcome of an ended application is final: another try of the sensor would find the same.
            raise AirflowFailException(str(ended)) from ended
        except KnitError as error:
            raise airflow_error(error) from error

    def _label(self) -> str:
        if self._application is not None:
            return self._application.id
        return str(self.application_id or self.name or self.tag or self.launched_by)


def _triggerer_renders(value: Any) -> bool:
    """Whether a triggerer can render this argument: it has no output of other tasks.

    An XComArg needs a worker. So does a template that pulls XComs: the supervisor of Airflow 3.3's triggerer does not answer
    such a request, and the trigger waits for the answer without end.
    """
    if isinstance(value, Mapping):
        return all(map(_triggerer_renders, value.values()))
    return value is None or isinstance(value, int) or (isinstance(value, str) and "xcom" not in value)
