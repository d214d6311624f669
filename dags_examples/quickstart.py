"""Quick start: build an environment, run a program in it on YARN, wait, and use the program's result.

Needs the connection `knit_default` (docs/airflow.md). Packages come from conda-forge, or from the channel that the
variable KNIT_EXAMPLE_CHANNEL of the workers' environment names.
"""

from __future__ import annotations

import os

# [START quickstart]
from airflow.sdk import dag, task

from knit_airflow import KnitEnvironmentOperator, KnitOperator, KnitSensor

CHANNEL = os.environ.get("KNIT_EXAMPLE_CHANNEL", "conda-forge")


@dag(schedule=None, tags=["knit"])
def knit_quickstart():
    env = KnitEnvironmentOperator(task_id="env", packages=["python", "numpy"], channels=[CHANNEL])

    squares = KnitOperator(
        task_id="squares",
        command="python squares.py 1000",
        files=["programs/squares.py"],
        env=env.output,
        instances=2,
        memory="512 MiB",
    )

    finished = KnitSensor(
        task_id="finished",
        application_id="{{ ti.xcom_pull(task_ids='squares', key='application_id') }}",
    )

    @task
    def total(sums: list[int]) -> int:
        print(f"{len(sums)} containers returned {sums}")
        return sum(sums)

    squares >> finished >> total(squares.output)


knit_quickstart()
# [END quickstart]
