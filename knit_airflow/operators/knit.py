"""KnitOperator runs a program on YARN as an Airflow task."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from knit_airflow.exceptions import KnitRefused
from knit_airflow.operators._inputs import environment, files_from, folder_of
from knit_airflow.operators.base import APPLICATION_FIELDS, ApplicationOperator
from knit_airflow.xcoms import value_of

if TYPE_CHECKING:
    from knit_core import ApplicationSpec, Knit


class KnitOperator(ApplicationOperator):
    """Runs a command, or a specification of several services, in containers on YARN and waits for the end.

    One launch of the task is one application, also when workers, triggerers or replies are lost: a retry after a worker's
    death attaches to the running application; a retry after a failed application, and a clear, launch a new one. The
    containers' output appears in the task's log, labelled with rank and host. The value that the program returned
    (`knit_container.result`) becomes the task's XCom: with several instances a list in the order of ranks, with several services
    a mapping by service. More XComs: `application_id` and `tracking_url` (the application's own page) from the start,
    `exit_codes` and `resources_used` at the end. The application is killed together with the task, in both modes.

    Parameters:
        command: run by bash in each container: a text, or a list of words. Templated.
        spec: instead of a command: a specification as a mapping, or the path of its YAML or JSON file, relative to the
            DAG file's folder. A file whose name ends with `.j2` (`train.yaml.j2`) is rendered by Jinja first. Templated.
        parameters: values of the specification's parameters. Templated.
        instances, memory, vcores: number of containers, and resources of each (memory in MiB or as "2 GiB"); 1, 1 GiB and 1
            by default. With a command only. Templated.
        gpus, yarn_resources: GPUs and other resource types of YARN, `{"fpga": 1}`, of each container. With a command only.
            Templated.
        env: output of KnitEnvironmentOperator (`env=env_task.output`), an `Environment`, or an archive's path or `hdfs://` URL.
            With a specification: for its services without an environment. Templated.
        files: local paths, `hdfs://` URLs, or mappings with `source`, `name` and `type`; relative paths start from the
            DAG file's folder. They are placed in each container's working folder. With a command only. Templated.
        variables: environment variables of the program. They are not secret: YARN's logs show them. With a command only.
            Templated.
        queue: YARN queue; by default the connection's. Templated. (Airflow's own queue is `executor_queue`.)
        name: of the YARN application; by default the specification's, or "<dag>.<task>". Templated.
        tags, priority: of the YARN application. Templated.
        lifetime: seconds, or a text such as "2 h", after which YARN ends the application. Templated.
        attempts: how often YARN may start the ApplicationMaster.
        deferrable: wait in the triggerer, without a worker slot; by default `[operators] default_deferrable`.
        poll_interval: seconds between two polls.
        skip_on_exit_code: an exit code, or several, that skip the task instead of failing it.
        log_limit: the largest part of the task's log for container logs: MiB, or a text such as "500 kB"; by default
            `[knit] log_limit`. Of longer logs the beginning and the end are shown.
        knit_conn_id: the connection. Templated.
        executor_queue: the queue of Airflow's executor (such as Celery), `queue` in other operators.

    Raises (in the task, see `knit_airflow.exceptions`):
        KnitRefused: the cluster would refuse every try: no such queue, too large for the cluster, a missing file. No retries.
        ProgramFailed, ApplicationWasKilled, ClusterFailed: the application failed (exit code, container, host and last
            stderr lines in the message), was killed, was lost, or the cluster could not be reached. `retries` count.
        AirflowSkipException: it failed with an exit code of `skip_on_exit_code`.
    """

    template_fields = (
        "command",
        "spec",
        "parameters",
        "instances",
        "memory",
        "vcores",
        "gpus",
        "yarn_resources",
        "env",
        "files",
        "variables",
        *APPLICATION_FIELDS,
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {
        "command": "bash",
        "spec": "yaml",
        "parameters": "json",
        "variables": "json",
        "env": "json",
    }
    ui_color = "#cfe3e8"

    def __init__(
        self,
        *,
        command: str | Sequence[str] | None = None,
        spec: Mapping[str, Any] | str | None = None,
        parameters: Mapping[str, Any] | None = None,
        instances: int | str | None = None,
        memory: int | str | None = None,
        vcores: int | str | None = None,
        gpus: int | str | None = None,
        yarn_resources: Mapping[str, int] | None = None,
        env: Any = None,
        files: Sequence[Any] | Mapping[str, str] = (),
        variables: Mapping[str, Any] | None = None,
        queue: str | None = None,
        name: str | None = None,
        tags: Sequence[str] = (),
        priority: int | None = None,
        lifetime: float | str | None = None,
        attempts: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if (command is None) == (spec is None):
            raise ValueError(f"{self.task_id}: give either a command or a spec")
        with_command: dict[str, Any] = {
            "instances": instances,
            "memory": memory,
            "vcores": vcores,
            "gpus": gpus,
            "files": files if files != () else None,
            "yarn_resources": yarn_resources,
            "variables": variables,
        }
        wrong = [name for name, value in with_command.items() if value is not None]
        if spec is not None and wrong:
            raise ValueError(f"{self.task_id}: with a spec, set {', '.join(wrong)} in its services, not in the task")
        if spec is None and parameters is not None:
            raise ValueError(f"{self.task_id}: parameters need a spec")
        self.command = command
        self.spec = spec
        self.parameters = parameters
        self.instances = instances
        self.memory = memory
        self.vcores = vcores
        self.gpus = gpus
        self.yarn_resources = yarn_resources
        self.env = env
        self.files = files
        self.variables = variables
        self.yarn_queue = queue
        self.name = name
        self.tags = tags
        self.priority = priority
        self.lifetime = lifetime
        self.attempts = attempts

    def submission(self, context: Any, knit: Knit) -> dict[str, Any]:
        """The arguments for `Knit.submit`."""
        options = {**self._application_options(context), "attempts": self.attempts}
        given = environment(self.env, knit, self.log)
        if self.spec is not None:
            found = self._specification(context)
            _refuse_zero(found.instances)
            options["tags"] = self.tags_of(context, self.tags or found.tags)
            if "name" in found.model_fields_set:
                options["name"] = self.name or None
            return {"spec": _with_environment(found, given), **options}
        _refuse_zero(self.instances)
        return {
            "spec": self.command,
            "instances": self.instances,
            "memory": self.memory,
            "vcores": self.vcores,
            "gpus": self.gpus,
            "resources": self.yarn_resources,
            "env": given,
            "files": files_from(self.folder, self.files),
            "variables": dict(self.variables or {}),
            **options,
        }

    def value(self, context: Any, result: Any) -> Any:
        """The value that the program returned."""
        return value_of(result)

    @property
    def folder(self) -> Path:
        """The DAG file's folder."""
        return folder_of(self)

    def _specification(self, context: Any) -> ApplicationSpec:
        """The spec with its parameters; paths of files start from its own folder."""
        from knit_core.spec import documents

        spec = self.spec
        if isinstance(spec, str):
            path = self.folder / spec
            text = path.read_text("utf-8") if path.is_file() else None
            if text is None:
                raise KnitRefused(f"The specification {spec} does not exist (looked for {path})")
            if path.suffix == ".j2":
                text, path = self.render_template(text, context), path.with_suffix("")
            return documents.loads(text, self.parameters, kind=_kind(path), folder=path.parent, origin=spec)
        text, origin = json.dumps(spec, default=str), f"{self.task_id}.spec"
        return documents.loads(text, self.parameters, kind="json", folder=self.folder, origin=origin)


def _refuse_zero(instances: Any) -> None:
    """Refuse zero instances: the application would never end."""
    if str(instances).strip() == "0":
        raise KnitRefused("instances is 0: nothing would run, and the task would never end. Set it to at least 1.")


def _with_environment(spec: ApplicationSpec, env: Any) -> Any:
    """The spec, with this environment for its services that have none."""
    if env is None:
        return spec
    services = {
        name: service
        if service.environment is not None
        else {**service.model_dump(exclude_unset=True), "environment": env}
        for name, service in spec.services.items()
    }
    return {**spec.model_dump(exclude_unset=True), "services": services}


def _kind(path: Path) -> Literal["yaml", "json"]:
    return "json" if path.suffix.lower() == ".json" else "yaml"
