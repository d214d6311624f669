"""Mapped: one application per item, with readable names in the grid and in YARN."""

from __future__ import annotations

# [START mapped]
from datetime import timedelta

from airflow.sdk import dag, task

from knit_airflow import KnitOperator


@dag(schedule=None, tags=["knit"], default_args={"retries": 2, "retry_delay": timedelta(seconds=30)})
def knit_mapped():
    @task
    def cities() -> list[dict]:
        return [{"name": f"load-{city}", "variables": {"CITY": city}} for city in ("oslo", "rome")]

    KnitOperator.partial(
        task_id="load",
        command='echo "loading $CITY"',
        memory="128 MiB",
        deferrable=True,
        map_index_template="{{ task.name }}",
    ).expand_kwargs(cities())


knit_mapped()
# [END mapped]
