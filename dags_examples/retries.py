"""Retries: a failed program is launched anew; after a worker's death the next try attaches to what runs already."""

from __future__ import annotations

from datetime import timedelta

# [START retries]
from airflow.sdk import dag

from knit_airflow import KnitOperator, KnitRetryPolicy


@dag(schedule=None, tags=["knit"])
def knit_retries():
    KnitOperator(
        task_id="flaky",
        # fails in the first try only: templates are rendered for every try
        command="echo try {{ ti.try_number }} >&2; test {{ ti.try_number }} -gt 1",
        memory="128 MiB",
        retries=2,
        retry_delay=timedelta(seconds=1),
        # the cluster's faults are tried again, and so is the program, but not after exit code 2
        retry_policy=KnitRetryPolicy(fail_on=[2]),
    )


knit_retries()
# [END retries]
