"""The main jobs of a cell, each in a process of its own: `python -m tests.matrix.jobs JOB`.

The cluster and the user come from the environment alone, as `knit local env` prints it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable
from pathlib import Path

from knit_core import Knit, Outcome, State

SMALL = {"memory": 256, "vcores": 1}
_CLI = (sys.executable, "-m", "knit_core")
_OPTIONS = (
    "ca", "keytab", "principal", "auth", "password", "namenode", "filesystem", "gateway_path",
    "container_namenode",
)  # fmt: skip


def run() -> None:
    """The command line: a program's output, live or after the end."""
    command = [*_CLI, "run", "--memory", "256", "--", "for i in 1 2 3; do echo line $i; sleep 1; done"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    lines = [line for line in done.stdout.splitlines() if "line " in line]
    assert done.returncode == 0 and len(lines) == 3, done.stdout + done.stderr


def key() -> None:
    """Two callers with one key at once: one application."""
    name = uuid.uuid4().hex
    command = [*_CLI, "run", "--memory", "256", "--key", name, "--tag", f"matrix-{name}", "--", "sleep 2"]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for _ in range(2)]
    texts = [each.communicate(timeout=240)[0] for each in both]
    assert [each.returncode for each in both] == [0, 0], texts
    with Knit() as knit:
        found = [row.id for row in knit.list(states=list(State), tags=[f"matrix-{name}"])]
    assert len(found) == 1, found


def functions() -> None:
    """Values of functions come back."""
    with Knit() as knit:
        values = knit.map(lambda number: number * number, range(6), workers=2, timeout=240, **SMALL)
    assert values == [0, 1, 4, 9, 16, 25], values


def environment() -> None:
    """An environment is built, shipped and used."""
    sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))
    import make_channel

    with Knit() as knit:
        packed = knit.create_env("matrix", ["python", "numpy", "cloudpickle"], [make_channel.build_channel()])
        app = knit.submit("python -c 'import numpy; assert numpy.arange(4).sum() == 6'", env=packed, **SMALL)
        result = app.wait(timeout=240)
    assert result.outcome is Outcome.SUCCEEDED, result


def kill() -> None:
    """A running application is ended."""
    with Knit() as knit:
        app = knit.submit("sleep 600", **SMALL)
        app.wait_for_containers(1, timeout=120)
        app.kill("enough")
        assert app.wait(timeout=120, check=False).outcome is Outcome.KILLED


def dask() -> None:
    """A Dask cluster computes."""
    from knit_core.dask_yarn import DaskYARNCluster
    from knit_core.environments import Environment

    here = Environment.from_path(sys.prefix)
    options = {"memory": 384, "scheduler_memory": 384, "nanny": False}
    with Knit() as knit, DaskYARNCluster(here, n_workers=1, knit=knit, **options) as cluster:
        cluster.wait_for_workers(1, timeout=180)
        with cluster.get_client() as client:
            assert client.submit(lambda number: number + 1, 41).result(timeout=120) == 42


def airflow() -> None:
    """A deferred task of a DAG in a real Airflow, whose connection has all that the cluster needs."""
    from tools.airflow_processes import AirflowProcesses

    with tempfile.TemporaryDirectory(prefix="knit-matrix-") as folder:
        dags = Path(folder) / "dags"
        shutil.copytree(Path(__file__).parent / "dags", dags, ignore=shutil.ignore_patterns("__pycache__"))
        connection = _connection()
        bed = AirflowProcesses(
            Path(folder) / "home", dags, quick=True, variables={"AIRFLOW_CONN_KNIT_DEFAULT": connection}
        )
        try:
            bed.start(deadline=300)
            bed.client.wait_parsed("matrix")
            run_id = bed.client.trigger("matrix")
            bed.client.wait_task("matrix", run_id, "run", "deferred", 180)
            bed.client.wait_task("matrix", run_id, "run", "success", 240)
            assert bed.client.xcom("matrix", run_id, "run", "application_id")
        finally:
            bed.stop()


def _connection() -> str:
    """The variables of this process as an Airflow connection; they are taken out of the environment."""
    extra = {name: value for name in _OPTIONS if (value := os.environ.pop(f"KNIT_{name.upper()}", ""))}
    found = {"conn_type": "knit", "host": os.environ.pop("KNIT_RESOURCEMANAGER", ""), "extra": extra}
    user = os.environ.pop("KNIT_USER", "") or os.environ.pop("HADOOP_USER_NAME", "")
    if password := extra.pop("password", ""):
        found["password"] = password
    return json.dumps({**found, **({"login": user} if user else {})})


JOBS: dict[str, Callable[[], None]] = {
    "run": run,
    "key": key,
    "map": functions,
    "environment": environment,
    "kill": kill,
    "dask": dask,
    "airflow": airflow,
}
#: Jobs for which the client talks to containers or to Airflow itself: the firewall of a gateway's cells is off.
BEYOND_THE_GATEWAY = ("dask", "airflow")

if __name__ == "__main__":
    JOBS[sys.argv[1]]()
