"""Retries: a failed program is launched again; after a worker's death the next try attaches to the running application."""

from __future__ import annotations

from datetime import timedelta

# [START retries]
from airflow.sdk import dag

from knit_airflow import KnitOperator, KnitRetryPolicy


@dag(schedule=None, tags=["knit"])
def knit_retries():
    KnitOperator(
        task_id="flaky",
        # fails only in the first try: templates are rendered for every try
        command="echo try {{ ti.try_number }} >&2; test {{ ti.try_number }} -gt 1",
        memory="128 MiB",
        retries=2,
        retry_delay=timedelta(seconds=1),
        # cluster faults and failures of the program are tried again, except after exit code 2
        retry_policy=KnitRetryPolicy(fail_on=[2]),
    )


knit_retries()
# [END retries]
