"""ApplicationOperator: a task that is one YARN application. Launches it, waits in both modes, writes logs, returns the result.

Subclasses define what to run. The decisions are pure and in other modules: attach or launch (`state.launch_key`), when the
wait is over (`triggers._application_wait`), which exception Airflow gets (`exceptions`).
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Collection
from typing import TYPE_CHECKING, Any, ClassVar

from knit_airflow.exceptions import airflow_error, kind_of
from knit_airflow.hooks.knit import KnitHook
from knit_airflow.links.knit import LINKS, show_pages, update_pages
from knit_airflow.logs.handover import TaskLogs
from knit_airflow.observability import metrics, telemetry
from knit_airflow.openlineage import lineage
from knit_airflow.operators._names import application_name
from knit_airflow.operators._on_kill import GRACE, OnKillMixin, Stopped
from knit_airflow.state.launch_key import STORE_KEY, Decision, Launch, decide
from knit_airflow.tags import launch_tags
from knit_airflow.triggers._application_wait import ApplicationWait, Done, Goal, Status, read_status, wait_blocking
from knit_airflow.triggers._token_pushes import WorkerTokenPushes
from knit_airflow.triggers.application import KnitApplicationTrigger
from knit_airflow.version_compat import (
    NEVER_EXPIRE,
    AirflowSkipException,
    AirflowTaskTimeout,
    BaseOperator,
    BaseOperatorLink,
    TaskDeferralError,
    default_deferrable,
    deployment,
    supervisor_gone,
)
from knit_airflow.xcoms import skips, xcoms_of

if TYPE_CHECKING:
    from knit_core import Application, Knit
    from knit_core.model.report import ApplicationReport

#: XCom that holds the application's id from the moment it is known.
ID_KEY = "application_id"
#: Seconds to wait until the result of an ended application is readable.
RESULT_WAIT = 60.0
#: Template fields of all operators that submit an application; the last ones of each.
APPLICATION_FIELDS = ("yarn_queue", "name", "tags", "priority", "lifetime", "knit_conn_id")


class ApplicationOperator(OnKillMixin, BaseOperator):
    """Base of operators whose task is one application; subclasses define what is submitted.

    Parameters:
        knit_conn_id: the connection.
        deferrable: wait in the triggerer; by default `[operators] default_deferrable`.
        poll_interval: seconds between two polls.
        skip_on_exit_code: exit codes of a failed application that skip the task instead of failing it.
        log_limit: the largest part of the task's log for container logs: MiB, or a text such as "500 kB"; 0: none. Of longer
            logs the beginning and the end are shown. By default `[knit] log_limit`.
        executor_queue: the queue of Airflow's executor, `queue` in other operators.
    """

    operator_extra_links: Collection[BaseOperatorLink] = LINKS
    #: What the task waits for before its application's end; empty: the end itself.
    goal: ClassVar[Goal] = Goal()
    trigger_class: ClassVar[type[KnitApplicationTrigger]] = KnitApplicationTrigger

    # Options of the YARN application, set by subclasses. `BaseOperator.queue` is the executor's: YARN's has another name, or
    # Celery would wait for a worker of the YARN queue.
    yarn_queue: str | None
    name: str | None
    tags: Collection[str]
    priority: Any
    lifetime: float | str | None

    def __init__(
        self,
        *,
        knit_conn_id: str = KnitHook.default_conn_name,
        deferrable: bool | None = None,
        poll_interval: float = 3.0,
        skip_on_exit_code: int | Collection[int] | None = None,
        log_limit: int | str | None = None,
        executor_queue: str | None = None,
        **kwargs: Any,
    ) -> None:
        if log_limit is not None:
            from knit_core.model.units import size

            size(log_limit)  # raises ValueError while the DAG is parsed
        if executor_queue is not None:
            kwargs["queue"] = executor_queue
        super().__init__(**kwargs)
        self.knit_conn_id = knit_conn_id
        self.deferrable = default_deferrable() if deferrable is None else deferrable
        self.poll_interval = poll_interval
        self.skip_on_exit_code = skip_on_exit_code
        self.log_limit = log_limit
        self.application_pages: dict[str, str] = {}
        self._knit: Knit | None = None
        self._launch: Launch | None = None
        self._application: Application | None = None
        self._logs: TaskLogs | None = None
        self._pushes: WorkerTokenPushes | None = None
        self._context: Any = None
        self._last_status = ""
        self._report: ApplicationReport | None = None
        self._scratch = contextlib.ExitStack()

    def submission(self, context: Any, knit: Knit) -> dict[str, Any]:
        """The arguments for `Knit.submit`, the first by the name `spec`; without launch key and progress callback.

        Context managers entered into `self._scratch` are closed after the submission.
        """
        raise NotImplementedError

    def value(self, context: Any, result: Any) -> Any:
        """The task's XCom, from the application's result."""
        return result.value

    def tags_of(self, context: Any, own: Collection[str]) -> tuple[str, ...] | None:
        """The application's tags: `own`, and with `[knit] deployment` the tags of deployment, task and task instance."""
        return (*own, *launch_tags(deployment(), context["ti"])) or None

    def _application_options(self, context: Any) -> dict[str, Any]:
        """Options of the YARN application for `Knit.submit`; None for what the task does not set."""
        return {
            "name": self.name or application_name(self.dag_id, self.task_id),
            "queue": self.yarn_queue or None,
            "tags": self.tags_of(context, self.tags),
            "priority": None if self.priority is None else int(self.priority),
            "lifetime": self.lifetime,
        }

    def cause(self, ended: Any) -> BaseException:
        """The exception that caused an application's failure, for the traceback in the log."""
        cause: BaseException = ended
        return cause

    # ------------------------------------------------------------------ what Airflow calls

    def execute(self, context: Any) -> Any:
        """Launch or attach; then wait here, or defer."""
        return self._run_part(context, lambda: self._begin(context))

    def execute_complete(self, context: Any, event: dict[str, Any]) -> Any:
        """After the deferral, in a new process: the state is read from the event and the cluster."""
        return self._run_part(context, lambda: self._resume(context, event))

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Any) -> Any:
        """As in BaseOperator; when the trigger has failed, the application is killed or left to the next try."""
        try:
            return super().resume_execution(next_method, next_kwargs, context)
        except TaskDeferralError:
            self._context = context
            self._connect(context)
            self._fail_try(None)
            raise

    # ------------------------------------------------------------------ OpenLineage, where its provider is installed

    def get_openlineage_facets_on_start(self) -> Any:
        """Inputs and outputs, before the task runs."""
        return lineage.facets(self)

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:
        """Inputs and outputs, and the application."""
        return lineage.facets(self, self._application, self._report)

    def get_openlineage_facets_on_failure(self, task_instance: Any) -> Any:
        """Inputs and outputs, and the application if there was one."""
        return self.get_openlineage_facets_on_complete(task_instance)

    # ------------------------------------------------------------------ launching

    def _run_part(self, context: Any, run: Any) -> Any:
        """Run one part of the task; when it fails, the application is killed or left to the next try."""
        from knit_core.errors import ApplicationEnded, KnitError

        self._context = context
        try:
            return run()
        except Stopped:
            raise self._stopped() from None
        except (AirflowTaskTimeout, KeyboardInterrupt) as interrupt:
            self._killed = True
            why = "it was interrupted" if isinstance(interrupt, KeyboardInterrupt) else "its execution_timeout passed"
            self.log.error("Ending %s: %s", self._named(), why)
            self._end(f"The Airflow task was ended: {why}", GRACE)
            raise
        except ApplicationEnded as ended:
            self._report_end(context, ended.result)
            if skips(ended.exit_code, self.skip_on_exit_code):
                raise AirflowSkipException(str(ended)) from ended
            metrics.failed(kind_of(ended).value)
            raise airflow_error(ended) from self.cause(ended)
        except KnitError as error:
            if self._killed:
                raise self._stopped() from error
            failure = airflow_error(error)
            metrics.failed(kind_of(error).value)
            self._fail_try(failure)
            raise failure from error
        except Exception as error:
            self._fail_try(error)
            raise
        finally:
            if self._killer is not None:
                self._killer.join()

    def _begin(self, context: Any) -> Any:
        knit, launch = self._connect(context)
        with self._scratch:
            given = self.submission(context, knit)
            self._check_killed()
            with telemetry.submitting(context["ti"], knit, given) as attributes:
                application = knit.submit(given.pop("spec"), **given, key=launch.key, progress=self._progress)
                attributes["knit.application_id"] = application.id
        self._set_application(context, application)
        self._check_killed()
        if not self.deferrable:
            return self._wait(context, application)
        first = ApplicationWait(self.poll_interval, goal=self.goal).next(read_status(application), time.time())
        if isinstance(first, Done):
            return self._conclude(context, application, first)
        self._wait_in_triggerer(context, application)

    def _wait_in_triggerer(self, context: Any, application: Application) -> None:
        # Airflow's own time-out of a deferral calls neither on_kill nor this operator, so the trigger keeps the deadline. It
        # counts from the try's start, which a resume does not change.
        limit = self.execution_timeout
        deadline = None if limit is None else (context["ti"].start_date + limit).timestamp()
        self.defer(
            trigger=self.trigger_class(
                knit_conn_id=self.knit_conn_id,
                application_id=application.id,
                poll_interval=self.poll_interval,
                deadline=deadline,
                owner=True,
                logs=self._logs.for_trigger() if self._logs is not None else None,
            ),
            method_name="execute_complete",
        )

    def _resume(self, context: Any, event: dict[str, Any]) -> Any:
        knit, launch = self._connect(context)
        mine = knit.launched(launch.key)
        if mine is not None and mine.id != event["application"]:
            # SQLite reuses the ids of deleted triggers: after a clear, the last event of the former trigger can reach the task
            # that is deferred now.
            self.log.info("Ignoring an event of %s, the application before the clear", event["application"])
            self._set_application(context, mine)
            if self._logs is not None:
                self._logs.begin_anew()
            self._wait_in_triggerer(context, mine)
        application = knit.attach(event["application"])
        self._set_application(context, application)
        if self._logs is not None:
            self._logs.resume(event.get("logs"))
        return self._conclude(context, application, Done.from_event(event))

    def _connect(self, context: Any) -> tuple[Knit, Launch]:
        """The client and this task's launch; the application of a launch before a clear is ended first."""
        if self._knit is not None and self._launch is not None:
            return self._knit, self._launch
        self._knit = KnitHook(self.knit_conn_id).get_conn()
        store = context["task_state_store"]
        decision: Decision = decide(
            Launch.from_json(store.get(STORE_KEY)),
            max_tries=context["ti"].max_tries,
            clears=getattr(context["dag_run"], "clear_number", None) or 0,
        )
        if decision.superseded is not None:
            self.log.info("The task was cleared: its earlier launch no longer counts")
            self._end_superseded(self._knit, decision.superseded)
        self._launch = decision.launch
        # Stored before anything is submitted: after a crash from here on, the next try asks for the same launch.
        store.set(STORE_KEY, self._launch.to_json(), retention=NEVER_EXPIRE)
        return self._knit, self._launch

    def _end_superseded(self, knit: Knit, key: str) -> None:
        earlier = knit.launched(key)
        knit.supersede(key)
        if earlier is not None and not earlier.report().ended:
            self.log.info("Ending %s, the application of the launch before the clear", earlier.id)
            earlier.kill(reason="The Airflow task was cleared", grace=GRACE)

    def _set_application(self, context: Any, application: Application) -> None:
        """Show the application in Airflow; from here on it ends with the task."""
        self._application = application
        context["ti"].xcom_push(key=ID_KEY, value=application.id)
        self.application_pages = show_pages(context, application, self.log)
        page = self.application_pages.get("logs", "")
        self._logs = TaskLogs(application, context["ti"], self.log, self.log_limit, page)

    # ------------------------------------------------------------------ waiting

    def _wait(self, context: Any, application: Application) -> Any:
        self._pushes = WorkerTokenPushes(application, self.log)
        # Without its supervisor the result of this process is lost, and Airflow starts the next try in another one.
        done = wait_blocking(
            application,
            ApplicationWait(self.poll_interval, goal=self.goal),
            on_status=self._on_status,
            stopped=lambda: self._killed or supervisor_gone(),
        )
        if done is None:
            raise Stopped
        return self._conclude(context, application, done)

    def _on_status(self, status: Status) -> None:
        if status.outcome is None and status.text != self._last_status:
            self._last_status = status.text
            self.log.info("%s", status.text)
        if status.outcome is None and self._pushes is not None:
            self._pushes.tick()
        if self._logs is not None and status.outcome is None:
            self._logs.write_new()

    def _conclude(self, context: Any, application: Application, done: Done) -> Any:
        """After the wait: return the result, or raise the exception for its failure."""
        from knit_core.errors import ConnectionFailed, RequestRefused

        if self._logs is not None and done.kind == "ended":
            self._logs.finish()
        elif self._logs is not None and done.kind == "timeout":
            self._logs.write_new()
        if done.kind == "timeout":
            raise AirflowTaskTimeout(f"{application.id} has not ended within the task's execution_timeout; {done.text}")
        if done.kind == "unreachable":
            raise ConnectionFailed(f"The cluster could not be reached for too long: {done.text}")
        if done.kind == "refused":
            raise RequestRefused(done.text)
        result = application.wait(timeout=RESULT_WAIT)
        self.log.info("%s %s", application.id, result.outcome)
        self._report_end(context, result)
        value = self.value(context, result)
        if self._launch is not None:
            context["task_state_store"].set(STORE_KEY, self._launch.done().to_json(), retention=NEVER_EXPIRE)
        return value

    def _report_end(self, context: Any, result: Any) -> None:
        """Push XComs, metrics and spans of the ended application."""
        from knit_core.errors import KnitError

        if self._application is None:
            return
        with contextlib.suppress(KnitError):  # forgotten or unreachable: XComs and metrics have less
            self._report = self._application.report()
            self.application_pages = update_pages(context, self._application, self._report, self.application_pages)
        telemetry.ended(context["ti"], result, self._report)
        if self.do_xcom_push:
            for key, value in xcoms_of(result, self._report).items():
                context["ti"].xcom_push(key=key, value=value)

    def _progress(self, line: object) -> None:
        self._check_killed()
        self.log.info("%s", line)

    def _check_killed(self) -> None:
        if self._killed:
            raise Stopped
