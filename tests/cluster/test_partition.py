"""An ApplicationMaster that is cut off from the ResourceManager while it still reaches HDFS and its containers."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from knit_core import Application, Knit, Outcome, State
from knit_core.local import LocalCluster
from tests.cluster_harness import client_of, eventually, own_cluster
from tests.fault_proxy import BlackHole, FaultProxy, paused

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.race, pytest.mark.timeout(300)]
SMALL = {"memory": 128, "vcores": 1}
EXPIRY = 20.0  # seconds without a heartbeat until the ResourceManager starts the next attempt
SETTINGS = {
    "yarn.am.liveness-monitor.expiry-interval-ms": str(int(EXPIRY * 1000)),
    "yarn.resourcemanager.am.max-attempts": "4",
}
WRITER = """
import knit_container as k, pathlib, time
path, rank = pathlib.Path({folder!r}), k.instance
written = (path / f"acknowledged-{{rank}}").open("a", buffering=1)
while not (path / "end").exists():
    key, number = k.kv.append("log/%d/" % rank, rank)
    written.write(key + "\\n")
    time.sleep(0.02)
k.barrier("end", timeout=200)
"""


@pytest.fixture(scope="module")
def own() -> Iterator[LocalCluster]:
    """A cluster whose ResourceManager misses an ApplicationMaster soon, and keeps its state."""
    with own_cluster("partition", SETTINGS) as cluster:
        yield cluster


@pytest.fixture
def knit(own: LocalCluster) -> Iterator[Knit]:
    with client_of(own) as client:
        yield client


@pytest.fixture
def forwarder(own: LocalCluster) -> Iterator[FaultProxy]:
    """Between the ResourceManager and the ApplicationMasters that start while it stands in the configuration."""
    site = own.conf_dir / "yarn-site.xml"
    before = site.read_text()
    name = "yarn.resourcemanager.scheduler.address"
    found = re.search(rf"<name>{name}</name><value>(.+?):([0-9]+)</value>", before)
    assert found
    with FaultProxy((found[1], int(found[2]))) as proxy:
        site.write_text(before.replace(found[0], found[0].replace(f":{found[2]}<", f":{proxy.address[1]}<")))
        try:
            yield proxy
        finally:
            site.write_text(before)


def master_of(app: Application, attempt: int) -> str:
    """The container of one attempt's ApplicationMaster."""
    return f"container_{app.id.removeprefix('application_')}_{attempt:02}_000001"


def masters(app: Application, attempt: int) -> list[psutil.Process]:
    """Its processes."""
    container = master_of(app, attempt)
    found = []
    for process in psutil.process_iter(["cmdline", "cwd"]):
        line = process.info["cmdline"] or []
        if "knit.am.Main" in line and line[0].endswith("java") and container in (process.info["cwd"] or ""):
            found.append(process)
    return found


def acknowledged(folder: Path, instances: int) -> set[str]:
    return {key for rank in range(instances) for key in (folder / f"acknowledged-{rank}").read_text().splitlines()}


def writes(folder: Path, instances: int, more: int = 10) -> None:
    """Wait until so many more writes are acknowledged."""
    before = len(acknowledged(folder, instances))
    eventually(lambda: len(acknowledged(folder, instances)) > before + more, 30, "they write")


def test_no_acknowledged_write_is_lost_in_a_partition(
    knit: Knit, own: LocalCluster, forwarder: FaultProxy, tmp_path: Path
) -> None:
    """The first attempt hears nothing, its NodeManager cannot end it, and containers go on writing through it."""
    tmp_path.chmod(0o777)
    wish = {"command": ["python3", "-c", WRITER.format(folder=str(tmp_path))], "instances": 4, **SMALL}
    app = knit.submit({"services": {"main": wish}, "attempts": 4})
    app.wait_for_containers(4)
    eventually(lambda: len(list(tmp_path.glob("acknowledged-*"))) == 4, 30, "they have begun")
    writes(tmp_path, 4)
    before = {c.id: c.yarn for c in app.containers()}
    (first,) = masters(app, 1)
    site = own.conf_dir / "yarn-site.xml"
    node = "nodemanager-2" if app.report().master.startswith("127.0.0.2") else "nodemanager"
    (pid,) = [daemon.pid for daemon in own.status().daemons if daemon.name == node and daemon.pid]
    site.write_text(site.read_text().replace(f":{forwarder.address[1]}<", f":{forwarder.target[1]}<"))  # for the next
    with paused(pid), forwarder.failing(BlackHole()):
        writes(tmp_path, 4, more=50)  # through the first one
        eventually(lambda: app.report().attempt == 2 and app.report().state is State.RUNNING, 90, "the next attempt")
        eventually(lambda: not first.is_running(), 60, "the first one has ended by itself")
        writes(tmp_path, 4, more=50)  # through the next one
        assert not acknowledged(tmp_path, 4) - set(app.kv.keys("log/"))
    assert {c.id: c.yarn for c in app.containers()} == before
    gone = {event.detail.split()[0] for event in app.events() if event.kind in {"container-released", "container-lost"}}
    assert gone <= {master_of(app, 1)}  # which its NodeManager could not end
    (tmp_path / "end").touch()
    assert app.wait(timeout=120).outcome is Outcome.SUCCEEDED


def test_a_resourcemanager_that_is_away_for_long_costs_nothing(knit: Knit, own: LocalCluster, tmp_path: Path) -> None:
    """For longer than it would wait itself: the store goes on, and so do all containers."""
    tmp_path.chmod(0o777)
    wish = {"command": ["python3", "-c", WRITER.format(folder=str(tmp_path))], "instances": 2, **SMALL}
    app = knit.submit({"services": {"main": wish}, "attempts": 2})
    app.wait_for_containers(2)
    eventually(lambda: len(list(tmp_path.glob("acknowledged-*"))) == 2, 30, "they have begun")
    before = [(c.id, c.yarn) for c in app.containers()]
    (first,) = masters(app, 1)
    own.kill("resourcemanager")
    begin = time.monotonic()
    try:
        while time.monotonic() < begin + 2 * EXPIRY:
            writes(tmp_path, 2)
            time.sleep(1)
    finally:
        own.restart(only=["resourcemanager"])
    eventually(lambda: app.report().state is State.RUNNING, 60, "the ResourceManager knows it again")
    assert first.is_running()
    assert [(c.id, c.yarn) for c in app.containers()] == before
    assert not acknowledged(tmp_path, 2) - set(app.kv.keys("log/"))
    (tmp_path / "end").touch()
    assert app.wait(timeout=120).outcome is Outcome.SUCCEEDED


def test_an_attempt_that_is_not_let_in_any_more_ends(knit: Knit, own: LocalCluster, forwarder: FaultProxy) -> None:
    """The only one: YARN gave it up while neither it nor its NodeManager could hear so, and does not know its token any more."""
    app = knit.submit("sleep 300", attempts=1, **SMALL)
    app.wait_for_containers(1)
    (first,) = masters(app, 1)
    node = "nodemanager-2" if app.report().master.startswith("127.0.0.2") else "nodemanager"
    (pid,) = [daemon.pid for daemon in own.status().daemons if daemon.name == node and daemon.pid]
    (log,) = own.state_dir.glob(f"nodes/*/logs/*/{master_of(app, 1)}/stderr")
    with paused(pid):
        with forwarder.failing(BlackHole()):
            eventually(lambda: app.report().state is State.FAILED, 90, "YARN gives it up")
        eventually(lambda: not first.is_running(), 150, "it has ended by itself")
        last = log.read_text().splitlines()
    (ends,) = [line for line in last if "this attempt of the ApplicationMaster ends" in line]
    assert "the ResourceManager has refused 60 times in a row" in ends
    assert "InvalidToken" in ends
