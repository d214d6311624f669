"""Waiting: sensors without a worker slot wait for another task's application: until it runs, and until its end."""

from __future__ import annotations

# [START waiting]
from datetime import timedelta

from airflow.sdk import dag, task

from knit_airflow import KnitOperator, KnitSensor


@dag(schedule=None, tags=["knit"], default_args={"retries": 2, "retry_delay": timedelta(seconds=30)})
def knit_waiting():
    KnitOperator(
        task_id="service",
        name="service-{{ run_id }}",
        command="sleep 15",
        instances=2,
        memory="128 MiB",
        deferrable=True,
    )

    # Starts together with `service` and waits for its application: there is no dependency between the tasks.
    up = KnitSensor(task_id="up", launched_by="service", containers=2, deferrable=True, poke_interval=1)

    over = KnitSensor(task_id="over", name="service-{{ run_id }}", deferrable=True, poke_interval=1)

    @task
    def use(service: dict) -> str:
        return f"{service['application_id']}: {service['seen']}"

    use(up.output)
    up >> over


knit_waiting()
# [END waiting]
