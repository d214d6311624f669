"""DAGs that watchers start: when an application with a tag ends, when a queue has room."""

from __future__ import annotations

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, Asset, AssetWatcher

from knit_airflow import KnitApplicationEnded, KnitQueueHasRoom

ended = Asset(
    "watched_ends",
    watchers=[
        AssetWatcher(
            name="ended",
            trigger=KnitApplicationEnded(tag="Watched-Bed", outcomes=["SUCCEEDED", "FAILED"], poll_interval=1),
        )
    ],
)
launched = Asset(
    "watched_launches",
    watchers=[
        AssetWatcher(
            name="launched",
            trigger=KnitApplicationEnded(launched_by={"dag_id": "blocking_once", "task_id": "run"}, poll_interval=1),
        )
    ],
)
room = Asset(
    "watched_room",
    watchers=[
        AssetWatcher(
            name="room",
            trigger=KnitQueueHasRoom("science", memory="13 GiB", pause=1, poll_interval=1),
        )
    ],
)

# Paused until their test: a DAG that is paused has no watchers, and nobody else's triggerer should serve them.
for asset in (ended, launched, room):
    with DAG(asset.name, schedule=[asset], is_paused_upon_creation=True):
        EmptyOperator(task_id="started")
