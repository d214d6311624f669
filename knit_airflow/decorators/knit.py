"""`@task.knit`: a Python function of a DAG runs in containers on YARN; its value is the task's XCom."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from knit_airflow.decorators._pickle import arguments_of, call, plain, remote
from knit_airflow.operators._inputs import environment, files_from, folder_of
from knit_airflow.operators._names import application_name, environment_name
from knit_airflow.operators.base import ApplicationOperator
from knit_airflow.version_compat import DecoratedOperator, TaskDecorator, task_decorator_factory

if TYPE_CHECKING:
    from knit_core import Knit


class KnitDecoratedOperator(DecoratedOperator, ApplicationOperator):
    """Runs a Python function in containers on YARN; use it as `@task.knit`.

    The function, its arguments and whatever of the DAG's own modules they need are pickled; containers need neither
    Airflow nor the DAG files. It has to be the same minor version of Python there. One launch of the task is one
    application, as with KnitOperator, with all that this means for retries, clears and kills. What the function prints
    appears in the task's log, and so does the traceback of an exception, which fails the task.

    Parameters:
        python_callable, op_args, op_kwargs: the function and its arguments (XComs of other tasks among them).
        num_containers: so many containers call the function, each with the same arguments; `knit_container.instance` is
            the rank, and the values come as a list in the order of ranks. None: one container and its value. Templated.
        env: what KnitEnvironmentOperator returned, an `Environment`, or an archive's path or URL. Templated.
        packages: instead of `env`: conda packages to build an environment of; Airflow's own minor version of Python is
            added. Templated.
        channels: for `packages`; by default conda-forge. Templated.
        memory, vcores, gpus, yarn_resources: what each container gets; 1 GiB, 1 and none by default. Templated.
        files: as for KnitOperator; they stand in the working folder. Templated.
        variables: environment variables. They are not secret. Templated.
        queue: YARN queue. Templated. (Airflow's own is `executor_queue`.)
        name, tags, priority, lifetime: of the YARN application. Templated.
        others: of ApplicationOperator: `knit_conn_id`, `deferrable`, `poll_interval`, `skip_on_exit_code` …

    Raises (in the task):
        KnitRefused: before anything is launched: what cannot be pickled, an environment with another minor version of
            Python, a context variable that only Airflow has.
        ProgramFailed: the function raised an exception (exit code 70), or its process died more than three times.
        ApplicationWasKilled, ClusterFailed: as for KnitOperator.
    """

    custom_operator_name = "@task.knit"
    template_fields = (
        *DecoratedOperator.template_fields,
        "num_containers",
        "env",
        "packages",
        "channels",
        "memory",
        "vcores",
        "gpus",
        "yarn_resources",
        "files",
        "variables",
        "yarn_queue",
        "name",
        "tags",
        "priority",
        "lifetime",
        "knit_conn_id",
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {
        **DecoratedOperator.template_fields_renderers,
        "variables": "json",
        "env": "json",
    }
    shallow_copy_attrs = ("python_callable",)
    ui_color = "#cfe3e8"

    def __init__(
        self,
        *,
        python_callable: Callable[..., Any],
        op_args: Collection[Any] | None = None,
        op_kwargs: Mapping[str, Any] | None = None,
        num_containers: int | str | None = None,
        env: Any = None,
        packages: Sequence[str] | None = None,
        channels: Sequence[str] | None = None,
        memory: int | str | None = None,
        vcores: int | str | None = None,
        gpus: int | str | None = None,
        yarn_resources: Mapping[str, int] | None = None,
        files: Sequence[Any] | Mapping[str, str] = (),
        variables: Mapping[str, Any] | None = None,
        queue: str | None = None,
        name: str | None = None,
        tags: Sequence[str] = (),
        priority: int | None = None,
        lifetime: float | str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(python_callable=python_callable, op_args=op_args, op_kwargs=op_kwargs, **kwargs)
        if env is not None and packages is not None:
            raise ValueError(f"{self.task_id}: give env or packages, not both")
        self.num_containers = num_containers
        self.env = env
        self.packages = packages
        self.channels = channels
        self.memory = memory
        self.vcores = vcores
        self.gpus = gpus
        self.yarn_resources = yarn_resources
        self.files = files
        self.variables = variables
        self.yarn_queue = queue
        self.name = name
        self.tags = tags
        self.priority = priority
        self.lifetime = lifetime

    def execute(self, context: Any) -> Any:
        """Launch or attach; then wait here, or defer."""
        return self._handle_output(ApplicationOperator.execute(self, context))

    def submission(self, context: Any, knit: Knit) -> dict[str, Any]:
        """The job of the function, and how to launch it."""
        from knit_core.functions import FunctionJob, prepare

        function = remote(self.python_callable)
        args, kwargs = arguments_of(self.python_callable, self.op_args, self.op_kwargs, context)
        folder = Path(self._scratch.enter_context(tempfile.TemporaryDirectory(prefix="knit-job-")))
        # Bound, so that a failure in the container shows the function's own lines and nothing of ours.
        job = FunctionJob(call(function, args, kwargs), [()] * self._count, each=True)
        options = {
            "env": self._environment(knit),
            "memory": self.memory,
            "vcores": self.vcores,
            "gpus": self.gpus,
            "resources": self.yarn_resources,
            "files": files_from(folder_of(self), self.files),
            "variables": dict(self.variables or {}),
            "queue": self.yarn_queue or None,
            "name": self.name or application_name(self.dag_id, self.task_id),
            "tags": self.tags_of(context, self.tags),
            "priority": None if self.priority is None else int(self.priority),
            "lifetime": self.lifetime,
        }
        return {"spec": prepare(job, self._count, folder, options)}

    def value(self, context: Any, result: Any) -> Any:
        """The function's value, or the values in the order of ranks."""
        from knit_core.functions import collect

        assert self._application is not None
        values = [plain(each) for each in collect(self._application, self._count)]
        return values[0] if self.num_containers is None else values

    def cause(self, ended: Any) -> BaseException:
        """The exception of the function, with the traceback from the container as its own cause."""
        from knit_core.functions import failure

        raised = None
        if self._application is not None and ended.exit_code is not None:
            raised = failure(self._application, range(self._count))
        return raised or super().cause(ended)

    @property
    def _count(self) -> int:
        return 1 if self.num_containers is None else int(self.num_containers)

    def _environment(self, knit: Knit) -> Any:
        if self.packages is None:
            return environment(self.env, knit, self.log)
        python = "python={}.{}".format(*sys.version_info[:2])
        named = any(
            each.replace("=", " ").replace("<", " ").replace(">", " ").split()[0] == "python" for each in self.packages
        )
        packages = [*self.packages] if named else [python, *self.packages]
        return knit.create_env(
            environment_name(self.task_id), packages, list(self.channels or ()), progress=self._progress
        )


def knit_task(python_callable: Callable[..., Any] | None = None, **kwargs: Any) -> TaskDecorator:
    """The decorator `@task.knit`; see KnitDecoratedOperator for its arguments.

    Parameters:
        python_callable: the function.
        kwargs: of the operator; without `multiple_outputs`, a mapping is unrolled only where its annotation says `dict`.
    """
    return task_decorator_factory(
        python_callable=python_callable, decorated_operator_class=KnitDecoratedOperator, **kwargs
    )
