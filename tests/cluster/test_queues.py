"""What a queue takes back or refuses under a running application: preemption, a smaller maximum, a label that is no more."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.request import Request

import pytest

from knit_core import Application, Knit, Outcome
from knit_core.local import LocalCluster
from knit_core.local.plan import running_user
from knit_core.local.records import Record
from knit_core.model.service_status import Event
from tests.cluster_harness import client_of, eventually, own_cluster
from tests.fields_harness import NODE_2, ROOT, _direct, rm, until_runs

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(300)]
SMALL = {"memory": 128, "vcores": 1}
PREEMPTION = "yarn.resourcemanager.monitor.capacity.preemption"
WARNING = 20.0  # seconds between what YARN says and what it does
LABELS = f"{ROOT}.default.accessible-node-labels"
MAXIMUM = f"{ROOT}.science.maximum-allocation-mb"
#: Runs until the key `end` is there. Told to leave, it says so; the first one told stays, the others go.
LISTENER = """
import knit_container as k, sys, time
while not k.leaving():
    if "end" in k.kv:
        sys.exit(0)
    time.sleep(0.1)
if k.kv.append("told/", [f"{k.service}_{k.instance}", k.attempt])[1] == 0:
    while True:
        time.sleep(1)
sys.exit(143)
"""
WORKER = """
import knit_container as k, time
while "end" not in k.kv:
    time.sleep(0.1)
"""


def settings(folder: Path) -> dict[str, str]:
    return {
        "yarn.resourcemanager.scheduler.monitor.enable": "true",
        "yarn.resourcemanager.scheduler.monitor.policies": (
            "org.apache.hadoop.yarn.server.resourcemanager.monitor.capacity.ProportionalCapacityPreemptionPolicy"
        ),
        f"{PREEMPTION}.monitoring_interval": "500",
        f"{PREEMPTION}.max_wait_before_kill": str(int(WARNING * 1000)),
        f"{PREEMPTION}.total_preemption_per_round": "1.0",
        f"{PREEMPTION}.natural_termination_factor": "1.0",
        f"{PREEMPTION}.max_ignored_over_capacity": "0.0",
        "yarn.node-labels.enabled": "true",
        "yarn.node-labels.fs-store.root-dir": f"file://{folder}/node-labels",
        f"{ROOT}.accessible-node-labels.ssd.capacity": "100",
        f"{LABELS}.ssd.capacity": "100",
        LABELS: "ssd",
        f"{ROOT}.science.accessible-node-labels": " ",
        f"{ROOT}.tiny.accessible-node-labels": " ",
        f"{ROOT}.tiny.maximum-allocation-mb": "512",
        MAXIMUM: "4096",
    }


@pytest.fixture(scope="module")
def own() -> Iterator[LocalCluster]:
    """A cluster that preempts, and whose ResourceManager keeps its state; its queues are changed."""
    with own_cluster("queues", settings, ("default", "science", "tiny")) as cluster:
        yield cluster


@pytest.fixture
def knit(own: LocalCluster) -> Iterator[Knit]:
    with client_of(own) as client:
        yield client


def change(cluster: LocalCluster, name: str, now: str) -> None:
    """Another value for a property, for daemons that are started again."""
    record = Record.read(cluster.state_dir)
    assert record is not None
    replace(record, setup=replace(record.setup, settings={**record.setup.settings, name: now})).write()


def refresh(cluster: LocalCluster, name: str, now: str) -> None:
    """The same for a property of the queues, which the ResourceManager can read again, as an administrator has it do."""
    change(cluster, name, now)
    path = cluster.conf_dir / "capacity-scheduler.xml"
    text, count = re.subn(rf"(?<=<name>{re.escape(name)}</name><value>)[^<]*", now, path.read_text())
    assert count == 1
    path.write_text(text)
    yarn = cluster.conf_dir.parent / "bin" / "yarn"
    done = subprocess.run([yarn, "rmadmin", "-refreshQueues"], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


def put(cluster: LocalCluster, path: str, user: str, body: object) -> None:
    """PUT to the ResourceManager's REST API."""
    url = f"{cluster.resourcemanager_url}/ws/v1/cluster/{path}?user.name={user}"
    request = Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"}, method="PUT")
    _direct.open(request, timeout=20).close()


def events(app: Application, kind: str) -> list[Event]:
    return [event for event in app.events() if event.kind == kind]


def refused(app: Application, service: str, words: str) -> None:
    """Wait until YARN has refused a service's request; that is shown, and concerns nothing else."""
    found = eventually(lambda: events(app, "request-refused"), 60, "YARN refuses it")
    assert found[-1].detail.startswith(f"{service}: ")
    assert words in found[-1].detail
    why = str(app.why())
    assert "1 container cannot be had: YARN refuses its request" in why
    assert words in why
    # The others are still given, and their ends are still heard.
    before = app.services()["small"].running
    app.scale(by=1, service="small")
    until_runs(app, before + 1, "small")
    app.kill_container("small_0")
    eventually(lambda: app.services()["small"].running == before, 60, "the end of small_0 is heard")


def end(app: Application) -> None:
    """Let all programs end; nothing has failed."""
    app.kv["end"] = True
    result = app.wait(timeout=90)
    assert result.outcome is Outcome.SUCCEEDED
    assert not [c for c in result.containers if str(c.state) == "FAILED"]


def both(big: dict[str, object], queue: str) -> dict[str, object]:
    """A service whose request will be refused, and another one."""
    command = ["python3", "-c", WORKER]
    services = {"big": {"command": command, **SMALL, **big}, "small": {"command": command, "instances": 2, **SMALL}}
    return {"services": services, "queue": queue}


def test_who_is_preempted_is_told_before(knit: Knit, own: LocalCluster) -> None:
    """alice has all of the cluster, bob's queue takes its part back: programs leave in order or are ended, and come again."""
    wish = {"command": ["python3", "-c", LISTENER], "instances": 6, "memory": 2560, "stop_grace": "10 s"}
    greedy = knit.submit({"services": {"main": wish}, "queue": "science"})
    until_runs(greedy, 6)
    with Knit(own.resourcemanager_url, user="bob") as bob:
        together = "import knit_container as k; k.barrier('all', timeout=120)"
        other = bob.submit(["python3", "-c", together], memory=2560, instances=2, queue="default")
        warned = eventually(lambda: events(greedy, "container-preempting"), 60, "it is told")
        stays = eventually(lambda: list(greedy.kv.prefix("told/").values()), 30, "so are they")[0][0]
        assert {event.container for event in warned} >= {stays}
        # Told, and not ended yet: YARN waits for them.
        (row,) = [c for c in greedy.containers() if c.id == stays and c.attempt == 1]
        assert str(row.state) == "RUNNING"
        assert other.wait(timeout=120).outcome is Outcome.SUCCEEDED
    until_runs(greedy, 6)
    told = [tuple(entry) for entry in greedy.kv.prefix("told/").values()]
    first = {c.id: c for c in greedy.containers() if c.attempt == 1 and c.state.ended}
    assert set(first) == {name for name, attempt in told if attempt == 1}
    assert len(first) == 2
    for name, row in first.items():
        code, words = (-102, "was preempted") if name == stays else (143, "left before its preemption")
        assert (row.exit_code, str(row.state)) == (code, "KILLED")
        assert row.diagnostics == f"{words}; replaced"
        (beforehand,) = [e for e in events(greedy, "container-preempting") if e.container == name][:1]
        (after,) = [e for e in events(greedy, "container-lost") if e.container == name][:1]
        assert beforehand.number < after.number
        assert (name == stays) is (after.at - beforehand.at > 0.8 * WARNING * 1000)
    end(greedy)


def test_a_label_that_is_removed(knit: Knit, own: LocalCluster) -> None:
    """From the queue, and then from the cluster: no container can be had there any more; the others can."""
    url = own.resourcemanager_url
    rm(url, "add-node-labels", {"nodeLabelInfo": [{"name": "ssd", "exclusivity": True}]})
    node = next(row["id"] for row in rm(url, "nodes")["nodes"]["node"] if row["nodeHostName"] == NODE_2)
    labels = {"nodeToLabels": [{"nodeId": node, "labels": ["ssd"]}]}
    rm(url, "replace-node-to-labels", labels)
    app = knit.submit(both({"node_label": "ssd"}, "default"))
    (labelled,) = until_runs(app, 1, "big")
    assert labelled.host == NODE_2
    until_runs(app, 2, "small")
    refresh(own, LABELS, " ")
    app.scale(2, service="big")
    refused(app, "big", "ssd")
    rm(url, f"remove-node-labels?labels=ssd&user.name={running_user()}", {})
    refused(app, "big", "ssd")
    app.scale(1, service="big")  # withdraws it
    eventually(lambda: "cannot be had" not in str(app.why()), 30, "nothing is wanted any more")
    end(app)


def test_moved_by_an_administrator(knit: Knit, own: LocalCluster) -> None:
    """By the ResourceManager's REST API, to a queue that gives no such containers."""
    app = knit.submit(both({"memory": 1024}, "science"))
    until_runs(app, 1, "big")
    until_runs(app, 2, "small")
    put(own, f"apps/{app.id}/queue", running_user(), {"queue": "tiny"})
    eventually(lambda: app.report().queue.endswith("tiny"), 30, "it is moved")
    app.scale(2, service="big")
    refused(app, "big", "Invalid resource request")
    app.scale(1, service="big")
    eventually(lambda: "cannot be had" not in str(app.why()), 30, "nothing is wanted any more")
    end(app)


def test_a_maximum_that_is_lowered(knit: Knit, own: LocalCluster) -> None:
    """YARN allows that with a restart only: what was asked for before it is refused after it."""
    app = knit.submit(both({"memory": 3072}, "science"))
    until_runs(app, 1, "big")
    until_runs(app, 2, "small")
    app.scale(6, service="big")  # more than there is room for
    until_runs(app, 4, "big")
    change(own, MAXIMUM, "1024")
    own.restart(only=["resourcemanager"])
    try:
        app.scale(by=1, service="small")
        found = eventually(lambda: events(app, "request-refused"), 90, "YARN refuses what it was asked for before")
        assert found[0].detail.startswith("big: ")
        assert "2 containers cannot be had: YARN refuses its request" in str(app.why())
        until_runs(app, 3, "small")
        assert app.services()["big"].running == 4
        app.scale(4, service="big")
        eventually(lambda: "cannot be had" not in str(app.why()), 30, "nothing is wanted any more")
        end(app)
    finally:
        change(own, MAXIMUM, "4096")
        own.restart(only=["resourcemanager"])
