"""Two thousand containers one after another: the ApplicationMaster keeps nothing of those that there were."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass

import psutil
import pytest

from knit_core import Application, Knit, Outcome
from knit_core.local import LocalCluster
from tests.cluster_harness import eventually
from tests.fields_harness import master_process

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(3600)]
FIRST, LAST = 500, 2000  # restarts between which nothing may grow
INSTANCES = 6  # of each of two services, side by side
EVENTS = 11_000  # that are kept; docs/protocol.md
MIB = 1 << 20


@dataclass(frozen=True)
class Usage:
    """What an application takes.

    Attributes:
        heap: bytes of objects that are in use, after a full garbage collection.
        threads, descriptors: of the ApplicationMaster's process.
        journals: the application's journals on HDFS.
        journal: bytes that they have together.
    """

    heap: int
    threads: int
    descriptors: int
    journals: int
    journal: int


def usage(app: Application, master: psutil.Process) -> Usage:
    jcmd = shutil.which("jcmd")
    assert jcmd is not None
    asked = [jcmd, str(master.pid), "GC.class_histogram"]  # collects first
    table = subprocess.run(asked, capture_output=True, text=True, timeout=120, check=True).stdout
    total = re.search(r"^Total +[0-9]+ +([0-9]+)", table, re.M)
    assert total is not None, table
    hdfs = app.cluster.hdfs
    files = [hdfs.read(status.path) for status in hdfs.list(app.folder) if status.name.startswith("journal-")]
    journals = [content for content in files if content is not None]  # one may just have taken another's place
    return Usage(int(total[1]), master.num_threads(), master.num_fds(), len(journals), sum(map(len, journals)))


def restarts(app: Application) -> int:
    return sum(app.services()[name].restarts for name in ("ends", "fails"))


def fill_the_event_log(app: Application) -> None:
    """By instances that wait for something that never comes: what is kept of events has its full size from then on."""
    for _ in range(EVENTS // 500):
        app.scale(500, service="waits")
        app.scale(0, service="waits")
    assert app.details()["events"] > EVENTS


def test_two_thousand_restarts_leave_nothing_behind(clean_cluster: LocalCluster) -> None:
    """Half of them after a success, half after a failure, whose last lines on stderr are read."""
    again = {"first_delay": 0.05, "longest_delay": 0.05, "limit": 1_000_000}
    size = {"memory": 64, "vcores": 1, "instances": INSTANCES}
    services = {
        "ends": {"command": "true", "restart": {**again, "policy": "always"}, **size},
        "fails": {"command": "echo in vain >&2; exit 3", "restart": {**again, "policy": "on-failure"}, **size},
        "stays": {"command": "sleep 3600", "memory": 64, "readiness": {"report": True, "deadline": 3600}},
        "waits": {"command": "true", "memory": 64, "instances": 0, "depends_on": {"stays": "ready"}},
    }
    with Knit(clean_cluster.resourcemanager_url, user="alice") as knit:
        app = knit.submit({"services": services, "completion": [], "attempts": 2, "node_failures": 0})
        try:
            app.wait_for_containers(1)
            fill_the_event_log(app)
            eventually(lambda: restarts(app) >= FIRST, 1200, f"{FIRST} restarts", poll=1)
            master = master_process(app, 1)
            before = usage(app, master)
            eventually(lambda: restarts(app) >= LAST, 2400, f"{LAST} restarts", poll=1)
            after = usage(app, master)
            print(before, after)
            assert app.report().attempt == 1
            # A thousand ended containers are kept, of which the first measurement saw the half.
            assert after.heap < before.heap + MIB, (before, after)
            assert after.threads <= before.threads + 64, (before, after)  # of those for calls to nodes some come late
            assert after.descriptors <= before.descriptors + 20, (before, after)
            # A journal is begun anew when it is 8 MiB long, or eight times as long as the state that it is about.
            assert 1 <= after.journals <= 2, (before, after)
            assert 1000 < after.journal < 32 * MIB, (before, after)
        finally:
            app.kill("the test is over")
        assert app.wait(timeout=60, check=False).outcome is Outcome.KILLED
