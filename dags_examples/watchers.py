"""Watchers: a DAG starts when an application ends, another when a queue has headroom; without schedule or sensor."""

from __future__ import annotations

# [START watchers]
from airflow.sdk import Asset, AssetWatcher, dag, task

from knit_airflow import KnitApplicationEnded, KnitOperator, KnitQueueHasRoom

load_ended = Asset(
    "nightly_load_ended",
    watchers=[
        AssetWatcher(
            name="load_ended",
            # launched by this Airflow, another one, a script or spark-submit
            trigger=KnitApplicationEnded(tag="nightly-load", outcomes=["SUCCEEDED", "FAILED"], poll_interval=2),
        )
    ],
)
room = Asset(
    "science_has_room",
    watchers=[
        AssetWatcher(
            name="room",
            trigger=KnitQueueHasRoom("science", memory="2 GiB", containers=4, settle=60, pause=600),
        )
    ],
)


@dag(schedule=None, tags=["knit"])
def knit_nightly_load():
    KnitOperator(task_id="load", command="echo loading", memory="128 MiB", tags=["nightly-load"])


@dag(schedule=load_ended, is_paused_upon_creation=True, tags=["knit"])
def knit_after_nightly_load():
    @task
    def use(triggering_asset_events=None) -> list:
        ends = [event.extra["payload"] for event in triggering_asset_events[load_ended]]
        for end in ends:
            print(f"{end['application_id']} ended as {end['outcome']}")
        return [end["application_id"] for end in ends]

    use()


@dag(schedule=room, is_paused_upon_creation=True, max_active_runs=1, tags=["knit"])
def knit_fill_science():
    KnitOperator(task_id="backfill", command="echo one more day", instances=4, memory="2 GiB", queue="science")


knit_nightly_load()
knit_after_nightly_load()
knit_fill_science()
# [END watchers]
