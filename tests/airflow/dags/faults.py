"""More DAGs of the fault tests: tasks that kill themselves, mapped tasks, a task whose retries are edited."""

from __future__ import annotations

import os
import signal
from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import DAG

from knit_airflow import KnitOperator
from knit_core.launch.launcher import Launch

CONF = {
    "command": "{{ dag_run.conf['command'] }}",
    "memory": 64,
    "poll_interval": 1,
    "knit_conn_id": "{{ dag_run.conf.get('conn', 'knit_default') }}",
}
RUN = {**CONF, "name": "{{ dag_run.conf['name'] }}"}
AGAIN = {"retries": 1, "retry_delay": timedelta(seconds=1)}
EDITED = Path(__file__).with_name("edited_retries")


class Dying(KnitOperator):
    """Its first try kills its own process, as `kill -9` does, at the point that the run's conf names."""

    template_fields = (*KnitOperator.template_fields, "die_at")

    def __init__(self, *, die_at: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.die_at = die_at

    def _die(self, point: str) -> None:
        if point == self.die_at and self._context["ti"].try_number == 1:
            os.kill(os.getpid(), signal.SIGKILL)

    def _connect(self, context: Any) -> Any:
        self._die("key")
        return super()._connect(context)

    def submission(self, context: Any, knit: Any) -> dict[str, Any]:
        # The process is the task's own: what is patched here, nobody else sees.
        Launch.before = lambda launch, step: self._die(step)  # type: ignore[method-assign]
        self._die("submission")
        return super().submission(context, knit)

    def _set_application(self, context: Any, application: Any) -> None:
        self._die("xcom")
        super()._set_application(context, application)

    def _on_status(self, status: Any) -> None:
        self._die("waiting")
        super()._on_status(status)

    def _wait_in_triggerer(self, context: Any, application: Any) -> None:
        self._die("deferring")
        super()._wait_in_triggerer(context, application)

    def _resume(self, context: Any, event: dict[str, Any]) -> Any:
        self._die("resuming")
        return super()._resume(context, event)

    def _conclude(self, context: Any, application: Any, done: Any) -> Any:
        value = super()._conclude(context, application, done)
        self._die("end")
        return value


for mode in ("blocking", "deferred"):
    deferrable = mode == "deferred"
    with DAG(f"dying_{mode}", schedule=None):
        Dying(task_id="run", die_at="{{ dag_run.conf['die_at'] }}", deferrable=deferrable, **RUN, **AGAIN)
    with DAG(f"mapped_{mode}", schedule=None):
        KnitOperator.partial(task_id="run", deferrable=deferrable, **CONF).expand(
            name=[f"{{{{ dag_run.conf['name'] }}}}-{index}" for index in range(3)]
        )
    with DAG(f"patient_{mode}", schedule=None):
        # While no api-server is there a try ends before it has begun: more of them than that takes.
        KnitOperator(task_id="run", deferrable=deferrable, retries=20, retry_delay=timedelta(seconds=3), **RUN)
    with DAG(f"elsewhere_{mode}", schedule=None):
        KnitOperator(task_id="run", deferrable=deferrable, **RUN)

with DAG("edited", schedule=None):
    # As if a person had edited the file: the tests write the number.
    KnitOperator(task_id="run", retries=int(EDITED.read_text()) if EDITED.exists() else 3, **RUN)
