"""Deaths in the middle of a computation: of a worker, the ApplicationMaster, the scheduler, the client."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError
from pathlib import Path

import psutil
import pytest
from distributed import Client
from distributed.client import FutureCancelledError

from knit_core import Knit, Outcome, State
from knit_core.dask_yarn import DaskYARNCluster
from knit_core.errors import ApplicationFailed
from knit_core.local import LocalCluster
from tests.cluster_harness import eventually
from tests.dask_harness import SMALL, here

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(180)]
TASKS = 1000


@pytest.fixture(scope="module")
def dask(dask_knit: Knit) -> Iterator[DaskYARNCluster]:
    """A cluster for one fault after the other."""
    with DaskYARNCluster(here(), n_workers=2, knit=dask_knit, name="faults", **SMALL) as cluster:
        yield cluster


def kill(words: str, folder: str) -> None:
    """SIGKILL to the processes with these words on their command line and the folder in their working folder's path."""
    found = [
        process
        for process in psutil.process_iter(["cmdline", "cwd"])
        if words in " ".join(process.info["cmdline"] or []) and folder in (process.info["cwd"] or "")
    ]
    assert found, f"no process {words} in {folder}"
    for process in found:
        process.send_signal(signal.SIGKILL)


def slow_square(number: int) -> int:
    time.sleep(0.01)
    return number * number


@pytest.mark.race
def test_a_worker_and_then_the_applicationmaster_die_under_a_thousand_tasks(dask: DaskYARNCluster) -> None:
    app = dask.app
    assert app is not None
    with Client(dask) as client:
        client.wait_for_workers(2, timeout=60)
        futures = client.map(slow_square, range(TASKS))
        eventually(lambda: sum(future.done() for future in futures) > 100, 60, "a tenth is done")
        victim = next(row for row in app.containers() if row.id == "worker_1" and not row.state.ended)
        kill("dask_node.py worker", victim.yarn)
        kill("knit.am.Main", app.id)
        assert client.gather(client.submit(sum, futures)) == sum(n * n for n in range(TASKS))
        eventually(lambda: app.report().attempt == 2 and app.report().state is State.RUNNING, 60, "the next master")
        eventually(lambda: len(dask.worker_names) == 2, 60, "another worker in its place")
        assert "worker_1.2" in dask.worker_names
        dask.sync(dask.refresh)
        assert dask.plan == dask.observed == {"worker_0", "worker_1"}


def test_the_scheduler_dies(dask: DaskYARNCluster) -> None:
    """Its futures are lost, which is said at once; the handle and the workers go on with its successor."""
    app = dask.app
    assert app is not None
    first = dask.scheduler_address
    before = {row.yarn for row in app.containers() if row.service == "worker" and not row.state.ended}
    row = next(row for row in app.containers() if row.service == "scheduler" and not row.state.ended)
    client = Client(dask, timeout="5 s")
    try:
        future = client.submit(time.sleep, 300)
        kill("dask_node.py scheduler", row.yarn)
        with pytest.raises((CancelledError, FutureCancelledError), match="scheduler-connection-lost"):
            future.result(timeout=60)  # the program goes on for 300
    finally:
        client.close(timeout=5)
    eventually(lambda: dask.scheduler_address not in {first, "<Not Connected>"}, 60, "another scheduler")
    with Client(dask) as again:
        again.wait_for_workers(2, timeout=60)
        assert again.submit(sum, [1, 2]).result(timeout=30) == 3
    after = {row.yarn for row in app.containers() if row.service == "worker" and not row.state.ended}
    assert after == before  # the workers went over in their own containers
    assert "its state is lost" in dask.get_logs(scheduler=False, workers=False)["Cluster"]


@pytest.mark.slow
def test_the_client_is_gone_and_the_cluster_ends_itself(cluster: LocalCluster, dask_knit: Knit) -> None:
    """Not while the client is there, though idle; nor while it works for a client that has gone."""
    program = (
        "import time, sys\nfrom distributed import Client, fire_and_forget\n"
        "from knit_core.dask_yarn import DaskYARNCluster\nfrom tests.dask_harness import SMALL, here\n"
        "cluster = DaskYARNCluster(here(), n_workers=1, idle_timeout=1.5, name='left', **SMALL)\n"
        "client = Client(cluster)\nclient.wait_for_workers(1)\ntime.sleep(4)\n"
        "fire_and_forget(client.submit(time.sleep, 3, pure=False))\nprint(cluster.app.id, flush=True)\ntime.sleep(300)\n"
    )
    environment = {**os.environ, "KNIT_RESOURCEMANAGER": cluster.resourcemanager_url, "KNIT_USER": "alice"}
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=root, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        app = dask_knit.attach(process.stdout.readline().strip())
        assert app.report().state is State.RUNNING
        process.kill()
        killed = time.monotonic()
    result = app.wait(timeout=60)
    assert result.outcome is Outcome.SUCCEEDED
    assert "no client and no work for 1.5 s" in result.diagnostics
    assert time.monotonic() - killed > 3


def test_an_application_that_was_killed_is_known_to_its_handle(dask: DaskYARNCluster) -> None:
    assert dask.app is not None
    dask.app.kill("enough")
    eventually(lambda: str(dask.status) == "Status.closed", 60, "the handle knows")
    with pytest.raises(ApplicationFailed.__base__, match="was killed: enough"):  # type: ignore[arg-type]
        dask.scale(3)
