"""KnitEnvironmentOperator builds and packs an environment as an Airflow task."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from knit_airflow.exceptions import airflow_error
from knit_airflow.hooks.knit import KnitHook
from knit_airflow.operators._inputs import folder_of, path_from
from knit_airflow.operators._names import environment_name
from knit_airflow.operators._on_kill import Stopped
from knit_airflow.version_compat import AirflowException, BaseOperator

if TYPE_CHECKING:
    from knit_core import Environment, Knit


class KnitEnvironmentOperator(BaseOperator):
    """Builds and packs an environment, or takes it from the cache; its XCom is for `KnitOperator(env=…)`.

    Give packages, pip or both; or one of file, prefix and venv.

    Parameters:
        packages: conda's package specifications: `["python=3.11", "numpy"]`. Templated.
        channels: names, URLs or folders, in order of priority; by default conda-forge. Templated.
        pip: requirements as pip takes them, on top of the packages or alone. Templated.
        file: environment.yml, requirements.txt, pyproject.toml or a lock file; relative to the DAG file's folder. Templated.
        prefix: a conda environment of the worker, by its folder or name. Templated.
        venv: True: the packages of the worker's Python; or the folder of a virtual environment.
        python: its version, when packages do not name it. Templated.
        variables: set in the environment. Templated.
        name: a label; by default the task's id. Templated.
        knit_conn_id: the connection. Templated.

    The archive is in the worker's cache. A worker without it builds it again from the same description, and logs a warning
    when the result differs.
    """

    template_fields = ("packages", "channels", "pip", "file", "prefix", "python", "variables", "name", "knit_conn_id")
    ui_color = "#d9e7cf"

    def __init__(
        self,
        *,
        packages: Sequence[str] = (),
        channels: Sequence[str] | None = None,
        pip: Sequence[str] = (),
        file: str | None = None,
        prefix: str | None = None,
        venv: str | bool | None = None,
        python: str = "",
        variables: Mapping[str, str] | None = None,
        name: str | None = None,
        knit_conn_id: str = KnitHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.packages = packages
        self.channels = channels
        self.pip = pip
        self.file = file
        self.prefix = prefix
        self.venv = venv
        self.python = python
        self.variables = variables
        self.name = name
        self.knit_conn_id = knit_conn_id
        self._stopped = False
        self._stage: object = None

    def execute(self, context: Any) -> dict[str, Any]:
        """Build; returns the description of the environment."""
        from knit_core.errors import KnitError

        try:
            built = self._build(KnitHook(self.knit_conn_id).get_conn())
        except KnitError as error:
            raise airflow_error(error) from error
        except Stopped:
            raise AirflowException("The task was killed while its environment was built") from None
        self.log.info("Environment %s: %s", built.name, built.archive)
        description = built.to_dict()
        if not any(_has_secrets(text) for text in (*(self.channels or ()), *self.pip)):
            description["request"] = self._request()
        return description

    def on_kill(self) -> None:
        """Stop the build at its next progress message."""
        self._stopped = True

    def _build(self, knit: Knit) -> Environment:
        return knit.create_env(self.name or environment_name(self.task_id), progress=self._progress, **self._request())

    def _request(self) -> dict[str, Any]:
        """The arguments of `Knit.create_env` that describe the contents."""
        optional = {
            "pip": list(self.pip),
            "file": path_from(folder_of(self), self.file) if self.file else None,
            "prefix": self.prefix,
            "venv": self.venv,
            "python": self.python,
            "variables": dict(self.variables or {}),
        }
        given = {name: value for name, value in optional.items() if value}
        return {"packages": list(self.packages), "channels": list(self.channels or ()), **given}

    def _progress(self, event: Any) -> None:
        """One line per step, without the counters for terminals."""
        if self._stopped:
            raise Stopped
        if event.stage != self._stage:
            self._stage = event.stage
            self.log.info("%s", event)


def _has_secrets(text: str) -> bool:
    """Whether a URL in the text has a user, a password or a token."""
    return re.search(r"://[^/\s]*@|/t/", text) is not None
