"""Sensor: a DAG waits for the application that another DAG has launched in its run of the same date."""

from __future__ import annotations

# [START sensor]
from airflow.sdk import dag, task

from knit_airflow import KnitOperator, KnitSensor


@dag(schedule=None, tags=["knit"])
def knit_export():
    KnitOperator(task_id="export", command="echo exporting; sleep 5", memory="128 MiB")


@dag(schedule=None, tags=["knit"])
def knit_after_export():
    exported = KnitSensor(
        task_id="exported",
        # Runs of DAGs with the same schedule have the same ids: this waits for the export's run of the same date.
        launched_by={"dag_id": "knit_export", "task_id": "export"},
        deferrable=True,  # no worker slot while it waits
        poke_interval=2,
        timeout=3600,  # seconds
    )

    @task
    def use(export: dict) -> str:
        print(f"{export['application_id']} ended as {export['outcome']}")
        return export["outcome"]

    use(exported.output)


knit_export()
knit_after_export()
# [END sensor]
