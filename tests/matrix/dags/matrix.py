"""The DAG of the matrix's Airflow job: one deferred launch."""

from __future__ import annotations

from airflow.sdk import DAG

from knit_airflow import KnitOperator

with DAG("matrix", schedule=None):
    KnitOperator(
        task_id="run", command="sleep 5; echo hello from Airflow", memory=256, deferrable=True, poll_interval=1
    )
