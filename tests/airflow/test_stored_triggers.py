"""What an earlier version of the provider left in Airflow's database: triggers, events, memories of asset watchers.

The values are as they were stored then. They are not made by the code under test: a change of it must not change them.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from airflow._shared.module_loading import import_string

from knit_airflow.triggers import asset_watchers
from knit_airflow.triggers._application_wait import Done
from knit_airflow.triggers._asset_events import EndedApplications, HeadroomEdge
from knit_core.model.queues import QueueHeadroom
from tests.airflow.test_shared_poll_state import report

LOGS = {
    "by": "0123456789abcdef",
    "limit": 2097152,
    "rest": "knit logs application_1_0001",
    "sealed": "gAAA",
    "begun": {},
}
TRIGGERS: list[tuple[str, dict[str, Any]]] = [
    (
        "knit_airflow.triggers.application.KnitApplicationTrigger",
        {
            "knit_conn_id": "knit_default",
            "application_id": "application_1_0001",
            "poll_interval": 3.0,
            "deadline": 1800000000.5,
            "owner": True,
            "logs": LOGS,
        },
    ),
    (
        "knit_airflow.triggers.dask.KnitDaskTrigger",
        {
            "knit_conn_id": "knit_default",
            "application_id": "application_1_0001",
            "poll_interval": 3.0,
            "deadline": None,
            "owner": True,
            "logs": None,
        },
    ),
    (
        "knit_airflow.triggers.sensor.KnitSensorTrigger",
        {
            "knit_conn_id": "knit_default",
            "application_id": None,
            "name": None,
            "tag": None,
            "launched_by": {"dag_id": "export", "task_id": "load"},
            "state": None,
            "containers": 2,
            "progress": None,
            "outcomes": ["SUCCEEDED", "FAILED"],
            "poll_interval": 2,
            "deadline": None,
            "end_here": True,
        },
    ),
    (
        "knit_airflow.triggers.asset_watchers.KnitApplicationEnded",
        {
            "tag": "nightly-load",
            "name": None,
            "outcomes": ["FAILED", "SUCCEEDED"],
            "knit_conn_id": "knit_default",
            "poll_interval": 2,
        },
    ),
    (
        "knit_airflow.triggers.asset_watchers.KnitQueueHasRoom",
        {
            "queue": "science",
            "memory": 2048,
            "vcores": 0,
            "containers": 4,
            "margin": 0.1,
            "settle": 60,
            "pause": 600,
            "knit_conn_id": "knit_default",
            "poll_interval": 10.0,
        },
    ),
]
#: Under which keys watchers with these arguments keep their memory.
MEMORY_KEYS = {
    "KnitApplicationEnded": "knit:KnitApplicationEnded:8d3881e5540e9b51",
    "KnitQueueHasRoom": "knit:KnitQueueHasRoom:96c8de85bd821231",
}
EVENTS = [
    ({"kind": "ended", "text": "FAILED: main_0", "outcome": "FAILED"}, Done("ended", "FAILED: main_0", "FAILED")),
    ({"kind": "ended", "text": "not known", "outcome": "LOST"}, Done("ended", "not known", "LOST")),
    ({"kind": "reached", "text": "RUNNING, 0%", "outcome": None}, Done("reached", "RUNNING, 0%")),
    ({"kind": "timeout", "text": "RUNNING, 0%", "outcome": None}, Done("timeout", "RUNNING, 0%")),
    ({"kind": "unreachable", "text": "refused", "outcome": None}, Done("unreachable", "refused")),
    ({"kind": "refused", "text": "403", "outcome": None}, Done("refused", "403")),
]


@pytest.mark.parametrize(("path", "arguments"), TRIGGERS, ids=[path.rpartition(".")[2] for path, _ in TRIGGERS])
def test_a_stored_trigger_is_loaded_and_is_stored_as_before(path: str, arguments: dict[str, Any]) -> None:
    trigger = import_string(path)(**json.loads(json.dumps(arguments)))  # as the triggerer does
    assert trigger.serialize() == (path, arguments)


@pytest.mark.parametrize(("event", "done"), EVENTS, ids=[event["kind"] for event, _ in EVENTS])
def test_a_stored_event_is_read_and_is_stored_as_before(event: dict[str, Any], done: Done) -> None:
    stored = {**event, "application": "application_1_0001"}
    assert Done.from_event(stored) == done
    assert done.to_event("application_1_0001") == stored


@pytest.mark.parametrize("name", MEMORY_KEYS)
def test_watchers_find_their_memory(name: str) -> None:
    arguments = next(arguments for path, arguments in TRIGGERS if path.endswith(name))
    trigger = getattr(asset_watchers, name)(**arguments)
    trigger.asset_state_store = None
    assert asset_watchers._Memory(trigger)._key == MEMORY_KEYS[name]


def test_a_memory_of_ended_applications_is_continued() -> None:
    stored = {"since": 1000, "told": {"application_1_0001": 20_000}, "firing": {"application_1_0002": 30_000}}
    watched = EndedApplications(lambda _: True, stored)
    assert watched.state() == stored
    events = watched.on_list([report(1, 10, 20), report(2, 10, 30), report(3, 10, 40)])
    assert [(each["application_id"], each["again"]) for each in events] == [
        ("application_1_0002", True),
        ("application_1_0003", False),
    ]


def test_a_memory_of_a_queue_is_continued() -> None:
    stored = {"full": True, "told_at": 100.0, "firing": True}
    edge = HeadroomEdge(1024, 1)
    edge.remember(stored)
    assert edge.state() == stored
    (event,) = edge.on_headroom(QueueHeadroom("root.a", 4096, 4, True), 1000.0)
    assert event["again"]
