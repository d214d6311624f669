"""Specification: several services in one application, from a YAML file with parameters; and an exit code that skips a task."""

from __future__ import annotations

# [START specification]
from airflow.sdk import dag

from knit_airflow import KnitOperator


@dag(schedule="@daily", catchup=False, tags=["knit"])
def knit_specification():
    train = KnitOperator(
        task_id="train",
        spec="programs/train.yaml",  # relative to this file
        parameters={"day": "{{ ds }}", "workers": 2},
    )

    upload = KnitOperator(
        task_id="upload",
        command="echo nothing to upload; exit 99",
        memory="128 MiB",
        skip_on_exit_code=99,
    )

    train >> upload


knit_specification()
# [END specification]
