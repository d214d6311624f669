"""Dask clusters on YARN for the tasks of a DAG: one that several tasks share, or one for a single script.

    with knit_dask_cluster(n_workers=10, memory="4 GiB", env=env.output) as cluster:
        train(cluster)                                  # a @task: with client(cluster) as c: …

`KnitDaskClusterOperator` (a setup) launches the cluster, `KnitDaskCloseOperator` (its teardown) ends it, whether the tasks
between them succeed or fail. They pass on only the application's id: the TLS keys stay in the staging folder, where `client`
reads them as the connection's user. `KnitDaskOperator` runs a script, as Dask's client, inside the application.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from knit_airflow.exceptions import airflow_error
from knit_airflow.hooks.dask import close, place_of
from knit_airflow.hooks.knit import KnitHook
from knit_airflow.links.dask import KnitDaskDashboardLink
from knit_airflow.links.knit import LINKS, KnitApplicationLink
from knit_airflow.operators._inputs import environment, files_from, folder_of
from knit_airflow.operators.base import APPLICATION_FIELDS, ID_KEY, ApplicationOperator
from knit_airflow.state.launch_key import STORE_KEY
from knit_airflow.tags import launch_tags
from knit_airflow.triggers._application_wait import Done
from knit_airflow.triggers.dask import SCHEDULER_STARTED, KnitDaskTrigger
from knit_airflow.version_compat import (
    NEVER_EXPIRE,
    AirflowException,
    BaseOperator,
    deployment,
)
from knit_airflow.xcoms import xcoms_of

if TYPE_CHECKING:
    from knit_core import Application, Knit

__all__ = [
    "KnitDaskCloseOperator",
    "KnitDaskClusterOperator",
    "KnitDaskOperator",
    "knit_dask_cluster",
]


class DaskApplicationOperator(ApplicationOperator):
    """Base of the operators that launch a Dask cluster: its size and options.

    Parameters:
        n_workers: containers with workers. Templated.
        memory, vcores, processes: resources of each container, and how many workers share them. Templated.
        groups: instead of these, several kinds of workers by name, each a mapping with the fields of
            `knit_core.dask_yarn.WorkerGroup`. Templated.
        env: as in KnitOperator; it has dask and distributed. Templated.
        files: for all containers, as in KnitOperator. Templated.
        variables: environment variables of all containers. Templated.
        options: other options: the fields of WorkerGroup and Layout (`worker_class`, `preload`, `scheduler_memory`,
            `idle_timeout` …). Templated.
        tls: encrypt and authenticate all connections of the cluster, with keys made for it.
        queue, name, tags, priority, lifetime, attempts: as in KnitOperator.
        kwargs: of ApplicationOperator (`deferrable`, `poll_interval`, `knit_conn_id` …).
    """

    template_fields: Collection[str] = (
        "n_workers",
        "memory",
        "vcores",
        "processes",
        "groups",
        "env",
        "files",
        "variables",
        "options",
        *APPLICATION_FIELDS,
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {
        "groups": "json",
        "variables": "json",
        "options": "json",
        "env": "json",
    }
    ui_color = "#f6dfc0"

    def __init__(
        self,
        *,
        n_workers: int | str | None = None,
        memory: int | str | None = None,
        vcores: int | str | None = None,
        processes: int | str | None = None,
        groups: Mapping[str, Mapping[str, Any]] | None = None,
        env: Any = None,
        files: Sequence[Any] = (),
        variables: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
        tls: bool = True,
        queue: str | None = None,
        name: str | None = None,
        tags: Sequence[str] = (),
        priority: int | None = None,
        lifetime: float | str | None = None,
        attempts: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.n_workers = n_workers
        self.memory = memory
        self.vcores = vcores
        self.processes = processes
        self.groups = groups
        self.env = env
        self.files = files
        self.variables = variables
        self.options = options
        self.tls = tls
        self.yarn_queue = queue
        self.name = name
        self.tags = tags
        self.priority = priority
        self.lifetime = lifetime
        self.attempts = attempts

    def submission(self, context: Any, knit: Knit) -> dict[str, Any]:
        """The cluster's application; its keys are in a local file only during the submission."""
        from knit_core.dask_yarn.launching import warn_before
        from knit_core.dask_yarn.services import group_of, layout_of, specification
        from knit_core.dask_yarn.tls import key_file, security_of

        groups = None if self.groups is None else {name: group_of(name, given) for name, given in self.groups.items()}
        layout = layout_of(None if self.n_workers is None else int(self.n_workers), groups, self._options(knit))
        warn_before(layout)
        keys = self._scratch.enter_context(key_file(security_of(self.tls)))
        options = {**self._application_options(context), "attempts": self.attempts}
        given = {name: value for name, value in options.items() if value is not None}
        return {"spec": specification(layout, keys, **given)}

    def _options(self, knit: Knit) -> dict[str, Any]:
        numbers = {"vcores": self.vcores, "processes": self.processes}
        given: dict[str, Any] = {name: int(value) for name, value in numbers.items() if value is not None}
        if self.memory is not None:
            given["memory"] = self.memory
        return {
            **given,
            "env": environment(self.env, knit, self.log),
            "variables": dict(self.variables or {}),
            "files": files_from(folder_of(self), self.files),
            **(self.options or {}),
        }


class KnitDaskClusterOperator(DaskApplicationOperator):
    """Launches a Dask cluster for the tasks after it: the setup of which KnitDaskCloseOperator is the teardown.

    Ends as soon as the scheduler answers; workers may still be starting. Its XCom is the argument of `client`:
    `{"application_id": …, "knit_conn_id": …}`, without secrets. More XComs: `dashboard`, and those that KnitOperator pushes at the
    start. Retries share one cluster; after a failed cluster, a new one is launched; after a clear, the earlier one is ended first.
    For `knit airflow reap` the cluster belongs to the teardown: it is an orphan when the teardown is over.

    Parameters:
        start_timeout: seconds (or "5 min") for the scheduler to answer, once its container runs.
        kwargs: of DaskApplicationOperator. `idle_timeout` in `options` is one hour by default: it ends the cluster when Airflow
            itself is lost.

    Raises (in the task):
        KnitRefused: the cluster refuses it, or this worker has no Dask; no retries.
        ProgramFailed, …: the application ended before the scheduler answered; as in KnitOperator.
    """

    operator_extra_links = (*LINKS, KnitDaskDashboardLink())
    goal = SCHEDULER_STARTED
    trigger_class = KnitDaskTrigger

    def __init__(self, *, start_timeout: float | str = 300.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.start_timeout = start_timeout
        self.dashboard = ""

    def submission(self, context: Any, knit: Knit) -> dict[str, Any]:
        """The cluster's application. When this launch has one that has ended, a new one is launched."""
        from knit_core.errors import ApplicationNotFound

        assert self._launch is not None
        earlier = knit.launched(self._launch.key)
        with contextlib.suppress(ApplicationNotFound):
            if earlier is not None and earlier.result() is not None:
                self.log.info("%s has ended: another cluster is launched", earlier.id)
                knit.supersede(self._launch.key)
        return super().submission(context, knit)

    def tags_of(self, context: Any, own: Collection[str]) -> tuple[str, ...] | None:
        """The application's tags, with the tag of the task instance that ends it."""
        closing = self._closing
        if closing is None:
            self.log.warning("No KnitDaskCloseOperator follows this task: only the idle time-out ends the cluster")
            return tuple(own) or None
        return (*own, *launch_tags(deployment(), context["ti"], closing)) or None

    def _options(self, knit: Knit) -> dict[str, Any]:
        return {"idle_timeout": "1 h", **super()._options(knit)}

    @property
    def _closing(self) -> str | None:
        """The teardown's id."""
        after = self.get_direct_relatives(upstream=False) if self.has_dag() else ()
        return next((task.task_id for task in after if isinstance(task, KnitDaskCloseOperator)), None)

    def _conclude(self, context: Any, application: Application, done: Done) -> Any:
        if done.kind != "reached":
            super()._conclude(context, application, done)
            raise AirflowException(f"{application.id} has ended before the tasks that need it began")
        from knit_core.dask_yarn.launching import wait_for_scheduler
        from knit_core.model.units import seconds

        assert self._launch is not None
        scheduler = wait_for_scheduler(application, seconds(self.start_timeout))
        self._check_killed()
        self.log.info("The Dask scheduler of %s is at %s", application.id, scheduler.address)
        self.dashboard = application.pages().get("dashboard", "")
        if self.dashboard:
            context["ti"].xcom_push(key="dashboard", value=self.dashboard)
            context["ti"].xcom_push(key=KnitDaskDashboardLink().xcom_key, value=self.dashboard)
        context["task_state_store"].set(STORE_KEY, self._launch.done().to_json(), retention=NEVER_EXPIRE)
        return {"application_id": application.id, "knit_conn_id": self.knit_conn_id}


class KnitDaskCloseOperator(BaseOperator):
    """Ends a Dask cluster that KnitDaskClusterOperator has launched; succeeds when the cluster has already ended.

    As a teardown it runs whether the tasks before it succeed or fail, also when the DAG run is marked failed. Its XCom is
    `{"application_id": …, "outcome": …}`; `resources_used` as in KnitOperator.

    Parameters:
        cluster: the setup's output, `open_dask.output`. Templated.
        knit_conn_id: the connection; by default the setup's. Templated.
        kwargs: of BaseOperator. `retries` is 2 by default, in case the ResourceManager is unreachable.

    Raises (in the task):
        ClusterFailed: the cluster is unreachable; `retries` count.
        KnitRefused: the application belongs to another user.
    """

    template_fields = ("cluster", "knit_conn_id")
    operator_extra_links = (KnitApplicationLink(),)
    ui_color = DaskApplicationOperator.ui_color

    def __init__(self, *, cluster: Any, knit_conn_id: str | None = None, **kwargs: Any) -> None:
        kwargs.setdefault("retries", 2)
        super().__init__(**kwargs)
        self.cluster = cluster
        self.knit_conn_id = knit_conn_id

    def execute(self, context: Any) -> dict[str, Any] | None:
        """End the cluster: by a shutdown, else by a kill."""
        from knit_core.errors import ApplicationNotFound, KnitError

        app_id, connection = place_of(self.cluster or self._launched(context))
        if not app_id:
            self.log.info("There is no Dask cluster to close: the setup has launched none")
            return None
        try:
            application = KnitHook(self.knit_conn_id or connection).get_conn().attach(app_id)
            result = close(application)
            report = application.report()
        except ApplicationNotFound:
            self.log.info("The ResourceManager has no record of %s any more: it ended long ago", app_id)
            return {"application_id": app_id, "outcome": None}
        except KnitError as error:
            raise airflow_error(error) from error
        self.log.info("%s has ended: %s %s", app_id, result.outcome, result.diagnostics)
        context["ti"].xcom_push(key="resources_used", value=xcoms_of(None, report)["resources_used"])
        return {"application_id": app_id, "outcome": str(result.outcome)}

    def _launched(self, context: Any) -> str | None:
        """The application id that the setup pushed before it returned."""
        before = self.get_direct_relatives(upstream=True) if self.has_dag() else ()
        ids = [task.task_id for task in before if isinstance(task, KnitDaskClusterOperator)]
        found = [context["ti"].xcom_pull(task_ids=each, key=ID_KEY) for each in ids]
        return next((each for each in found if each), None)


class KnitDaskOperator(DaskApplicationOperator):
    """Runs a Python script as Dask's client inside the application, with a cluster of its own, like `knit dask run`.

    `Client()` in the script finds the cluster. The application ends with the script, and has its outcome. Neither Dask nor
    network access to the cluster's containers is needed on this worker. The XCom is the value that the script returned
    (`knit_container.result`). Retries, clears, kills, logs: as in KnitOperator.

    Parameters:
        script: its path, relative to the DAG file's folder. Templated.
        arguments: its command-line arguments. Templated.
        kwargs: of DaskApplicationOperator.
    """

    template_fields = ("script", "arguments", *DaskApplicationOperator.template_fields)

    def __init__(self, *, script: str, arguments: Sequence[Any] = (), **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.script = script
        self.arguments = arguments

    def value(self, context: Any, result: Any) -> Any:
        """The value that the script returned."""
        return result.values.get("script", {}).get(0)

    def _options(self, knit: Knit) -> dict[str, Any]:
        given = super()._options(knit)
        file = {"source": self.script, "name": self.script.rpartition("/")[2]}
        return {
            **given,
            "files": [*files_from(folder_of(self), [file]), *given["files"]],
            "script": (file["name"], *map(str, self.arguments)),
        }


@contextlib.contextmanager
def knit_dask_cluster(
    task_id: str = "open_dask",
    *,
    close_task_id: str | None = None,
    knit_conn_id: str = KnitHook.default_conn_name,
    **kwargs: Any,
) -> Iterator[Any]:
    """A Dask cluster for the tasks of the block: sets `setup >> tasks >> teardown`.

        with knit_dask_cluster(n_workers=10, memory="4 GiB", env=env.output) as cluster:
            evaluate(train(cluster), cluster)

    Yields the setup's output, which the tasks take as an argument.

    Parameters:
        task_id: of the setup.
        close_task_id: of the teardown; by default `close_dask` for `open_dask`, else "close_" and the setup's.
        knit_conn_id: the connection.
        kwargs: of KnitDaskClusterOperator.
    """
    opened = KnitDaskClusterOperator(task_id=task_id, knit_conn_id=knit_conn_id, **kwargs).as_setup()
    name = close_task_id or f"close_{task_id.removeprefix('open_')}"
    with KnitDaskCloseOperator(task_id=name, cluster=opened.output).as_teardown(setups=opened):
        yield opened.output
