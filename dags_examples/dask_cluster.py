"""Dask: tasks that share a cluster on YARN, which is closed also after a failure, and a script with its own cluster.

Workers of Airflow that run such tasks need `pip install 'knit-yarn[airflow,dask]'`. Needs the connection `knit_default`
(docs/airflow.md). Packages come from conda-forge, or from the channel that the variable KNIT_EXAMPLE_CHANNEL names.
"""

from __future__ import annotations

import os

# [START dask_cluster]
from airflow.sdk import dag, task

from knit_airflow import KnitEnvironmentOperator
from knit_airflow.hooks.dask import client
from knit_airflow.operators.dask import KnitDaskOperator, knit_dask_cluster

CHANNEL = os.environ.get("KNIT_EXAMPLE_CHANNEL", "conda-forge")


@dag(schedule=None, tags=["knit"])
def knit_dask():
    # Python, dask and distributed in the versions of Airflow's workers, for example "distributed=2026.8.0".
    env = KnitEnvironmentOperator(task_id="env", packages=["python", "dask", "distributed"], channels=[CHANNEL])

    @task
    def squares(cluster: dict) -> int:
        with client(cluster) as dask:
            return sum(dask.gather(dask.map(lambda n: n * n, range(100))))

    @task
    def check(cluster: dict, total: int) -> bool:
        with client(cluster) as dask:
            return dask.submit(lambda: sum(n * n for n in range(100))).result() == total

    with knit_dask_cluster(n_workers=2, memory="512 MiB", env=env.output) as cluster:
        check(cluster, squares(cluster))

    # The client also runs in the application: Airflow's workers need no Dask.
    KnitDaskOperator(
        task_id="script",
        script="programs/dask_squares.py",
        arguments=["100"],
        n_workers=1,
        memory="512 MiB",
        env=env.output,
        deferrable=True,
    )


knit_dask()
# [END dask_cluster]
