"""DAGs of the log tests: the program comes with each run's conf, a secret from a Variable."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG

from knit_airflow import KnitOperator

for mode in ("blocking", "deferred"):
    with DAG(f"logs_{mode}", schedule=None):
        KnitOperator(
            task_id="run",
            command="{{ dag_run.conf['command'] }}",
            name="{{ dag_run.conf['name'] }}",
            memory=64,
            variables={"SECRET": "{{ var.value.live_logs_password }}"},
            poll_interval=1,
            deferrable=mode == "deferred",
            retries=1,
            retry_delay=timedelta(seconds=1),
        )
