"""Asset watchers under real Airflow on a real cluster: DAGs that start when applications end and when a queue has room."""

from __future__ import annotations

import json
import signal
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from knit_core import Application, Knit
from knit_core.local import LocalCluster
from tests.observability_harness import Observers, ask, pause
from tools.airflow_client import wait_for
from tools.airflow_processes import AirflowProcesses

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(600)]
DAGS = ("watched_ends", "watched_launches", "watched_room")
#: Seconds for a thing that takes a few of them on a quiet machine.
SOON = 240


def events(airflow: AirflowProcesses, asset: str) -> list[dict[str, Any]]:
    """The payloads of an asset's events. (Airflow's API answers 500 while a run that they started is queued.)"""
    return _payloads(airflow, "JOIN asset ON asset.id = asset_id WHERE asset.name = ?", asset)


def told(airflow: AirflowProcesses, dag: str) -> list[dict[str, Any]]:
    """The payloads that started runs of a DAG, of all its runs."""
    joined = "JOIN dagrun_asset_event ON event_id = asset_event.id JOIN dag_run ON dag_run.id = dag_run_id"
    return _payloads(airflow, f"{joined} WHERE dag_run.dag_id = ?", dag)


def _payloads(airflow: AirflowProcesses, joined: str, value: str) -> list[dict[str, Any]]:
    rows = ask(airflow, f"SELECT asset_event.extra FROM asset_event {joined} ORDER BY asset_event.id", value)
    return [json.loads(extra)["payload"] for (extra,) in rows]


def memories(airflow: AirflowProcesses, kind: str) -> list[str]:
    """The memories of the watchers of a kind, of those that have looked at the cluster at least once."""
    rows = ask(airflow, "SELECT value FROM asset_state_store WHERE key LIKE ?", f"knit:{kind}:%")
    return [value for (value,) in rows]


def looked(airflow: AirflowProcesses, *assets: str) -> bool:
    """Whether the watchers of these assets have looked at the cluster at least once."""
    look = "SELECT count(*) FROM asset_state_store JOIN asset ON asset.id = asset_id WHERE name = ?"
    return all(ask(airflow, look, asset)[0][0] for asset in assets)


def memory(airflow: AirflowProcesses, app_id: str) -> str:
    """The memory that an application is in."""
    return next((each for each in memories(airflow, "KnitApplicationEnded") if app_id in each), "")


@pytest.fixture(scope="module")
def knit(cluster: LocalCluster) -> Knit:
    return Knit(cluster.resourcemanager_url, user="alice")


@pytest.fixture(scope="module", autouse=True)
def full(airflow: AirflowProcesses, knit: Knit) -> Iterator[Application]:
    """The watchers watch, and this application fills their queue."""
    for dag in (*DAGS, "blocking_once"):
        airflow.client.wait_parsed(dag)
    for dag in DAGS:
        pause(airflow, dag, False)
    app = knit.submit("sleep 900", memory=3000, instances=2, queue="science", name="fills-the-queue")
    wait_for("two watchers have looked", lambda: looked(airflow, "watched_ends", "watched_launches"), SOON)
    wait_for("the queue is seen full", lambda: '"full": true' in "".join(memories(airflow, "KnitQueueHasRoom")), SOON)
    yield app
    app.kill("the tests are over")
    for dag in DAGS:
        pause(airflow, dag)


@pytest.mark.slow
def test_each_end_is_told_once_whatever_happens_to_the_triggerer(airflow: AirflowProcesses, knit: Knit) -> None:
    def run(name: str, command: str, tags: tuple[str, ...] = ("watched-bed",)) -> str:
        return knit.submit(command, memory=64, name=name, tags=tags).id

    def known(dag: str = "watched_ends") -> set[str]:
        return {each["application_id"] for each in told(airflow, dag)}

    task = airflow.client.trigger("blocking_once", {"command": "true", "name": "watched-launch"})
    first, other = run("first", "true"), run("other", "true", ())
    wait_for("the first end starts a run", lambda: first in known(), SOON)
    wait_for("a task's application starts a run", lambda: known("watched_launches"), SOON)
    assert known("watched_launches") == {airflow.client.xcom("blocking_once", task, "run", "application_id")}
    wait_for("it is remembered", lambda: '"firing": {}' in memory(airflow, first), SOON)

    airflow.signal_part("triggerer", signal.SIGKILL)
    airflow.age("triggerer")
    second = run("second", "exit 3")
    knit.attach(second).wait(timeout=SOON, check=False)
    airflow.start_part("triggerer")
    wait_for("the later end is told", lambda: second in known(), SOON)
    assert Counter(each["application_id"] for each in events(airflow, "watched_ends")) == Counter([first, second])
    seen = {each["application_id"]: each for each in told(airflow, "watched_ends")}
    assert set(seen) == {first, second} and other not in seen
    assert [(seen[each]["outcome"], seen[each]["again"]) for each in seen] == [("SUCCEEDED", False), ("FAILED", False)]
    assert seen[second]["name"] == "second" and seen[second]["connection"] == "knit_default"


@pytest.mark.slow
def test_room_is_told_when_a_full_queue_gets_it(
    airflow: AirflowProcesses, full: Application, observers: Observers
) -> None:
    assert events(airflow, "watched_room") == []
    full.kill("enough")
    wait_for("room starts a run", lambda: told(airflow, "watched_room"), SOON)
    (event,) = events(airflow, "watched_room")
    assert event["queue"] == "root.science" and event["memory"] >= 13 * 1024
    assert observers.metric("knit.poll.requests", connection="knit_default", list="queues")
    assert observers.metric("knit.watcher.events", watcher="KnitQueueHasRoom") == [1]
