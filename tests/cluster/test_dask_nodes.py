"""A node is lost and workers are preempted in the middle of a computation; on a cluster of its own."""

from __future__ import annotations

import signal
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from distributed import Client

from knit_core import Knit, Outcome
from knit_core.dask_yarn import DaskYARNCluster, WorkerGroup
from knit_core.local import LocalCluster
from tests.cluster.test_dask_faults import TASKS
from tests.cluster.test_recovery import SETTINGS
from tests.cluster_harness import eventually
from tests.dask_harness import here

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(300)]
#: What YARN calls the two nodes, and the daemons there.
DAEMONS = {"localhost": ("nodemanager", "1"), "127.0.0.2": ("nodemanager-2", "2")}


@pytest.fixture(scope="module")
def own() -> Iterator[LocalCluster]:
    """A cluster that finds lost nodes soon and preempts at once."""
    with tempfile.TemporaryDirectory(prefix="knit-dask-nodes-") as folder:
        cluster = LocalCluster(Path(folder) / "state")
        try:
            cluster.up(nodes=2, recovery=True, queues=("default", "science"), settings=SETTINGS)
            for name in ("alice", "bob"):
                cluster.add_user(name)
            yield cluster
        finally:
            cluster.down(delete=True)


def square(number: int) -> int:
    import time

    time.sleep(0.05)
    return number * number


def kill_all_in(folder: Path) -> None:
    """SIGKILL to every process that works below a folder: a node that is really lost takes its containers along."""
    for process in psutil.process_iter(["cwd"]):
        if str(folder) in (process.info["cwd"] or ""):
            process.send_signal(signal.SIGKILL)


def test_a_lost_node_under_a_thousand_tasks(own: LocalCluster) -> None:
    """Workers anywhere get others in their place, those that may run nowhere else wait for the node; nobody asks twice."""
    small = {"memory": 384, "nanny": False}
    groups = {
        "worker": WorkerGroup(2, **small),
        "first": WorkerGroup(0, nodes=["localhost"], **small),
        "second": WorkerGroup(0, nodes=["127.0.0.2"], **small),
    }
    with (
        Knit(own.resourcemanager_url, user="alice") as knit,
        DaskYARNCluster(here(), groups=groups, scheduler_memory=384, attempts=3, knit=knit) as dask,
        Client(dask) as client,
    ):
        app = dask.app
        assert app is not None
        stays = "127.0.0.2" if "127.0.0.2" in dask.scheduler_address else "localhost"
        (gone,) = set(DAEMONS) - {stays}
        pinned = "first" if gone == "localhost" else "second"
        daemon, number = DAEMONS[gone]
        dask.scale(2, group=pinned)
        client.wait_for_workers(4, timeout=120)
        hosts = {row.id: row.host for row in app.containers() if not row.state.ended}
        lost = {name for name, host in hosts.items() if host == gone}
        assert {f"{pinned}_0", f"{pinned}_1"} <= lost
        futures = client.map(square, range(TASKS))
        total = client.submit(sum, futures)
        eventually(lambda: sum(future.done() for future in futures) > 100, 120, "a tenth is done")
        own.kill(daemon)
        kill_all_in(own.state_dir / "nodes" / number)
        try:
            assert total.result(timeout=150) == sum(n * n for n in range(TASKS))
            eventually(lambda: len(dask.worker_names) == 2, 90, "both that may run anywhere work")
            dask.sync(dask.refresh)
            assert dask.containers_of("worker") == {"worker_0", "worker_1"}
            assert dask.containers_of(pinned) == {f"{pinned}_0", f"{pinned}_1"}  # wanted, though there is no place now
        finally:
            own.restart(only=[daemon])
        eventually(lambda: len(dask.worker_names) == 4, 120, "the node is back, and its workers with it")
        again = {row.id for row in app.containers() if row.attempt > 1 and row.service in groups}
        assert again == {name for name in lost if not name.startswith("scheduler")}
        assert client.submit(sum, futures).result(timeout=60) == sum(n * n for n in range(TASKS))


def test_preemption_under_a_thousand_tasks(own: LocalCluster) -> None:
    """bob's queue takes back what it is entitled to; the count that was asked for stays, and is there again at the end."""
    options = {"memory": 1800, "nanny": False, "scheduler_memory": 384, "queue": "science"}
    with (
        Knit(own.resourcemanager_url, user="alice") as knit,
        Knit(own.resourcemanager_url, user="bob") as bob,
        DaskYARNCluster(here(), n_workers=7, knit=knit, **options) as dask,
        Client(dask) as client,
    ):
        app = dask.app
        assert app is not None
        client.wait_for_workers(7, timeout=180)
        dask.adapt(minimum=7, maximum=7, interval="200 ms")
        futures = client.map(square, range(TASKS))
        total = client.submit(sum, futures)
        eventually(lambda: sum(future.done() for future in futures) > 100, 120, "a tenth is done")
        ended: list[Outcome] = []
        other = bob.submit("sleep 4", memory="2 GiB", instances=3, queue="default")
        waiting = threading.Thread(target=lambda: ended.append(other.wait(timeout=120).outcome))
        waiting.start()
        assert total.result(timeout=150) == sum(n * n for n in range(TASKS))
        waiting.join()
        assert ended == [Outcome.SUCCEEDED]
        eventually(lambda: len(dask.worker_names) == 7, 120, "seven workers again")
        rows = [row for row in app.containers() if row.service == "worker"]
        preempted = [row for row in rows if "preempted" in row.diagnostics]
        assert preempted and all(row.exit_code == -102 for row in preempted)
        assert {row.id for row in rows} == {f"worker_{rank}" for rank in range(7)}  # not one was asked for twice
        assert dask.plan == dask.observed == {row.id for row in rows}
        assert client.submit(sum, futures).result(timeout=60) == sum(n * n for n in range(TASKS))
