"""Deferrable: a long program holds no worker slot while it runs."""

from __future__ import annotations

# [START deferrable]
from datetime import timedelta

from airflow.sdk import dag

from knit_airflow import KnitOperator


@dag(schedule=None, tags=["knit"], default_args={"retries": 2, "retry_delay": timedelta(seconds=30)})
def knit_deferrable():
    KnitOperator(
        task_id="train",
        command="for epoch in 1 2 3; do echo epoch $epoch; sleep 1; done",
        instances=2,
        memory="128 MiB",
        deferrable=True,
        execution_timeout=timedelta(hours=6),  # the application is killed when this is over
    )


knit_deferrable()
# [END deferrable]
