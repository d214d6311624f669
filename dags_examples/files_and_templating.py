"""Files and templates: a program next to the DAG file, its input under another name, dates and parameters."""

from __future__ import annotations

# [START files_and_templating]
from airflow.sdk import dag

from knit_airflow import KnitOperator


@dag(schedule="@daily", catchup=False, tags=["knit"], params={"word": "knit"})
def knit_files_and_templating():
    KnitOperator(
        task_id="count",
        name="count-{{ ds }}",
        command="bash count.sh {{ params.word }}",
        files=[
            "programs/count.sh",  # relative paths start from this file's folder
            {"source": "programs/words.txt", "name": "input.txt"},
        ],
        variables={"DAY": "{{ ds }}"},
        memory="128 MiB",
        tags=["example"],
    )


knit_files_and_templating()
# [END files_and_templating]
