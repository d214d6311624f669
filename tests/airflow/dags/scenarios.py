"""DAGs of the fault tests: what runs, and under which name, comes with each run's conf."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG

from knit_airflow import KnitOperator, KnitSensor

RUN = {
    "command": "{{ dag_run.conf['command'] }}",
    "name": "{{ dag_run.conf['name'] }}",
    "memory": 64,
    "poll_interval": 1,
}

for mode in ("blocking", "deferred"):
    deferrable = mode == "deferred"
    with DAG(f"{mode}", schedule=None):
        KnitOperator(task_id="run", deferrable=deferrable, retries=1, retry_delay=timedelta(seconds=1), **RUN)
    with DAG(f"{mode}_once", schedule=None):
        KnitOperator(task_id="run", deferrable=deferrable, queue="{{ dag_run.conf.get('queue', '') }}", **RUN)
    with DAG(f"{mode}_timeout", schedule=None):
        KnitOperator(task_id="run", deferrable=deferrable, execution_timeout=timedelta(seconds=20), **RUN)

with DAG("sensors", schedule=None):
    for mode in ("poke", "deferred"):
        KnitSensor(
            task_id=mode,
            application_id="{{ dag_run.conf['application'] }}",
            deferrable=mode == "deferred",
            poke_interval=1,
            retries=2,
            retry_delay=timedelta(seconds=1),
        )
