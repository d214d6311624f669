"""Mapped: one application per item, with names that can be read in the grid and in YARN."""

from __future__ import annotations

# [START mapped]
from airflow.sdk import dag, task

from knit_airflow import KnitOperator


@dag(schedule=None, tags=["knit"])
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
