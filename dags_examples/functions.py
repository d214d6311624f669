"""Functions: plain Python functions run in YARN's containers; arguments and results are passed like those of other tasks."""

from __future__ import annotations

# [START functions]
from datetime import timedelta

from airflow.sdk import dag, task


def is_prime(number: int) -> bool:
    return number > 1 and all(number % divisor for divisor in range(2, int(number**0.5) + 1))


@dag(
    schedule=None,
    tags=["knit"],
    default_args={"retries": 2, "retry_delay": timedelta(seconds=30)},
    params={"limit": 1000},
)
def knit_functions():
    @task.knit(num_containers=2, memory="256 MiB")
    def count(limit: str) -> list:
        import knit_container

        share = range(knit_container.instance, int(limit), knit_container.instances)
        print(f"rank {knit_container.instance} has {len(share)} numbers")
        return sum(map(is_prime, share))

    @task.knit(memory="256 MiB", deferrable=True)
    def describe(counts: list, word: str) -> str:
        return f"{sum(counts)} primes, {word}"

    counts = count("{{ params.limit }}")  # a list: one value for each container, in the order of ranks
    describe.override(task_id="describe").partial(counts=counts).expand(word=["counted", "found"])


knit_functions()
# [END functions]
