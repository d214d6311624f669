"""`@task.knit`: runs a Python function of a DAG in containers on YARN; its value is the task's XCom."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from knit_airflow.decorators._pickle import arguments_of, call, plain, remote
from knit_airflow.operators._inputs import environment, files_from, folder_of
from knit_airflow.operators._names import environment_name
from knit_airflow.operators.base import APPLICATION_FIELDS, ApplicationOperator
from knit_airflow.version_compat import DecoratedOperator, TaskDecorator, task_decorator_factory

if TYPE_CHECKING:
    from knit_core import Knit


class KnitDecoratedOperator(DecoratedOperator, ApplicationOperator):
    """Runs a Python function in containers on YARN; use it as `@task.knit`.

    The function, its arguments and the DAG's own modules that they need are pickled; containers need neither Airflow nor the
    DAG files, but the same minor version of Python. One launch of the task is one application: retries, clears and kills as in
    KnitOperator. The function's output appears in the task's log, and so does the traceback of an exception, which fails the
    task.

    Parameters:
        python_callable, op_args, op_kwargs: the function and its arguments (XComs of other tasks among them).
        num_containers: so many containers call the function, each with the same arguments; `knit_container.instance` is the
            rank, and the result is the list of values in the order of ranks. None: one container; the result is its value.
            Templated.
        env: output of KnitEnvironmentOperator, an `Environment`, or an archive's path or URL. Templated.
        packages: instead of `env`: conda packages of an environment to build; Airflow's own minor version of Python is added.
            Templated.
        channels: for `packages`; by default conda-forge. Templated.
        memory, vcores, gpus, yarn_resources: of each container; 1 GiB, 1 and none by default. Templated.
        files: as in KnitOperator. Templated.
        variables: environment variables. They are not secret. Templated.
        queue: YARN queue; by default the connection's. Templated. (Airflow's own queue is `executor_queue`.)
        name, tags, priority, lifetime: of the YARN application. Templated.
        others: of ApplicationOperator: `knit_conn_id`, `deferrable`, `poll_interval`, `skip_on_exit_code` …

    Raises (in the task):
        KnitRefused: before the launch: an object that cannot be pickled, an environment with another minor version of Python, a
            context variable that exists only in Airflow.
        ProgramFailed: the function raised an exception (exit code 70), or its process died more than three times.
        ApplicationWasKilled, ClusterFailed: as in KnitOperator.
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
        *APPLICATION_FIELDS,
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
        """The function's job file, and the options of the launch."""
        from knit_core.functions import FunctionJob, prepare

        function = remote(self.python_callable)
        args, kwargs = arguments_of(self.python_callable, self.op_args, self.op_kwargs, context)
        folder = Path(self._scratch.enter_context(tempfile.TemporaryDirectory(prefix="knit-job-")))
        # The arguments are bound, so that a traceback in the container shows only the function's own lines.
        job = FunctionJob(call(function, args, kwargs), [()] * self._count, each=True)
        options = {
            "env": self._environment(knit),
            "memory": self.memory,
            "vcores": self.vcores,
            "gpus": self.gpus,
            "resources": self.yarn_resources,
            "files": files_from(folder_of(self), self.files),
            "variables": dict(self.variables or {}),
            **self._application_options(context),
        }
        return {"spec": prepare(job, self._count, folder, options)}

    def value(self, context: Any, result: Any) -> Any:
        """The function's value, or the values in the order of ranks."""
        from knit_core.functions import collect

        assert self._application is not None
        values = [plain(each) for each in collect(self._application, self._count)]
        return values[0] if self.num_containers is None else values

    def cause(self, ended: Any) -> BaseException:
        """The function's exception; its cause is the traceback from the container."""
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
        kwargs: of the operator; without `multiple_outputs`, a mapping becomes several XComs only if the annotation is `dict`.
    """
    return task_decorator_factory(
        python_callable=python_callable, decorated_operator_class=KnitDecoratedOperator, **kwargs
    )
