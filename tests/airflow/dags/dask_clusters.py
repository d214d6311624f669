"""DAGs of the tests of Dask clusters: a setup, one task that works with the cluster, a teardown."""

from __future__ import annotations

import sys
from datetime import timedelta

from airflow.sdk import DAG, task

from knit_airflow.hooks.dask import client
from knit_airflow.operators.dask import knit_dask_cluster
from knit_core.environments import Environment


@task
def work(cluster: dict, flag: str, code: str) -> int:
    """Counts with the cluster, then waits for a file, and fails where it shall."""
    import time
    from pathlib import Path

    with client(cluster) as dask:
        total = int(dask.submit(sum, [1, 2, 3]).result(timeout=120))
        print(f"the total is {total}")
        while not Path(flag).exists():
            time.sleep(0.2)
    if code != "0":
        raise RuntimeError("as it shall")
    return total


for mode in ("blocking", "deferred"):
    with DAG(f"dask_{mode}", schedule=None):
        with knit_dask_cluster(
            n_workers=1,
            memory=384,
            env=Environment.from_path(sys.prefix),
            name="{{ dag_run.conf['name'] }}",
            files=["programs/hold.py"],
            variables={"HOLD": "{{ dag_run.conf['hold'] }}"},
            options={"scheduler_memory": 384, "nanny": False, "scheduler_preload": ["hold.py"]},
            deferrable=mode == "deferred",
            poll_interval=0.5,
            retries=1,
            retry_delay=timedelta(seconds=1),
        ) as cluster:
            work(cluster, "{{ dag_run.conf['flag'] }}", "{{ dag_run.conf['code'] }}")
