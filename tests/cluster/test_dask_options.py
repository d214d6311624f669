"""Options of workers by their effect, several groups, and the dashboard from where the user is."""

from __future__ import annotations

import asyncio
import dataclasses
import http.client
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests
from distributed import Adaptive, Client
from tornado.websocket import websocket_connect

from knit_core import Knit
from knit_core.dask_yarn import DaskYARNCluster, WorkerGroup, launching
from knit_core.errors import NotFound
from tests.cluster_harness import eventually
from tests.dask_harness import here

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(180)]
#: Goes with the containers: a class of workers, and what they and the scheduler load first.
MODULE = """
import os
from distributed import Worker

class Marked(Worker):
    mark = "a class of its own"

def dask_setup(server):
    server.loaded_first = os.environ["COLOUR"]
"""


@pytest.fixture(scope="module")
def two(dask_knit: Knit, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaskYARNCluster]:
    """A group that stays as it is, and one that is empty."""
    module = tmp_path_factory.mktemp("files") / "own_workers.py"
    module.write_text(MODULE)
    groups = {
        "plain": WorkerGroup(1, memory=384, nanny=False),
        "big": WorkerGroup(
            0, memory=512, vcores=2, processes=2, threads=6, memory_limit=100 * 2**20, worker_resources={"BIG": 1},
            worker_class="own_workers.Marked", preload=["own_workers"], nodes=["127.0.0.2"], variables={"COLOUR": "red"},
        ),
    }  # fmt: skip
    options = {"scheduler_memory": 384, "scheduler_preload": ["own_workers.py"], "variables": {"COLOUR": "blue"}}
    with DaskYARNCluster(here(), groups=groups, files=[str(module)], knit=dask_knit, name="two", **options) as cluster:
        yield cluster


@pytest.mark.slow
def test_one_group_follows_the_work_and_the_other_stays(two: DaskYARNCluster) -> None:
    """From nothing, for tasks that no worker can run; its options have their effect; and back to nothing."""

    def look(dask_worker: object) -> list[object]:
        worker: object = dask_worker
        names = ("mark", "loaded_first", "local_directory")
        return [*(getattr(worker, name) for name in names), __import__("os").environ["NM_HOST"]]

    with Client(two) as client:
        assert client.run_on_scheduler(lambda dask_scheduler: dask_scheduler.loaded_first) == "blue"
        client.wait_for_workers(1, timeout=60)
        two.adapt(group="big", minimum=0, maximum=1, interval="200 ms", wait_count=2)
        try:
            future = client.submit(lambda: "done", resources={"BIG": 1}, pure=False)
            assert future.result(timeout=60) == "done"
            two.wait_for_workers(3, timeout=60)
            known = client.scheduler_info(n_workers=-1)["workers"]
            rows = {row["name"]: {**row, "id": address} for address, row in known.items()}
            assert sorted(rows) == ["big_0-0", "big_0-1", "plain_0"]
            assert [(rows[f"big_0-{n}"]["nthreads"], rows[f"big_0-{n}"]["memory_limit"]) for n in (0, 1)] == [
                (3, 100 * 2**20),
                (3, 100 * 2**20),
            ]
            bigs = [row["id"] for name, row in rows.items() if name != "plain_0"]
            for mark, loaded, folder, host in client.run(look, workers=bigs).values():
                assert (mark, loaded, host) == ("a class of its own", "red", "127.0.0.2")
                assert "/usercache/alice/appcache/" in folder
            del future
            eventually(lambda: two.worker_names == ["plain_0"], 60, "big is empty again, plain has what it had")
            assert two.containers_of("plain") == {"plain_0"}
        finally:
            two._adaptive.stop()


def handshake(address: str) -> int:
    """The status with which a request for a websocket is answered; 101: granted."""
    place = urlsplit(address)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=20)
    headers = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
    try:
        connection.request(
            "GET", f"{place.path}?{place.query}", headers={**headers, "Sec-WebSocket-Key": "a" * 22 + "=="}
        )
        return connection.getresponse().status
    finally:
        connection.close()


def test_groups_that_cannot_follow_are_refused(two: DaskYARNCluster) -> None:
    with pytest.raises(NotFound, match="no group 'bg'; there are: plain, big"):
        two.adapt(group="bg", maximum=3)
    with pytest.raises(ValueError, match="Adaptive does not support groups: derive it from KnitAdaptive"):
        two.adapt(Adaptive, group="big", maximum=3)


def test_the_dashboard_from_where_the_user_is(two: DaskYARNCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Plots need websockets: they pass on the node's own address; through the ResourceManager a page says what to do."""
    assert two.app is not None and two._scheduler is not None
    direct = two.dashboard_link
    base = direct.removesuffix("/status")
    node = base.removeprefix("http://")

    async def ping(address: str) -> str:
        socket = await websocket_connect(address.replace("http://", "ws://", 1), connect_timeout=20)
        try:
            await socket.write_message('{"name": "ping"}')
            while message := await socket.read_message():
                if "pong" in str(message):
                    return str(message)
            return "closed"
        finally:
            socket.close()

    assert "timestamp" in asyncio.run(ping(f"{base}/eventstream"))
    page = two.proxied_dashboard_link
    assert page.endswith("/pages/dashboard/knit")
    assert handshake(page.removesuffix("knit") + "eventstream?user.name=bob") != 101
    assert handshake(f"{base}/eventstream") == 101

    session = requests.Session()
    session.trust_env = False
    said = session.get(page, params={"user.name": "bob"}, timeout=20).text
    assert f"ssh -N -L 8787:{node.rpartition(':')[0]}:{node.rpartition(':')[2]} " in said and f'"{direct}"' in said
    works = page.removesuffix("knit") + "info/main/workers.html"
    assert 'href="info/main/workers.html"' in said
    assert session.get(works, params={"user.name": "bob"}, timeout=20).status_code == 200
    assert "ssh" not in session.get(f"{base}/knit", timeout=20).text  # who reads it there needs no tunnel

    hidden = dataclasses.replace(two._scheduler, dashboard="http://127.0.0.1:9/status")
    assert launching.dashboard_for(hidden, two.app) == page
    import dask

    with dask.config.set({"distributed.dashboard.link": "/user/{ALICE}/proxy/{port}/status"}):
        monkeypatch.setenv("ALICE", "alice")
        assert launching.dashboard_for(two._scheduler, two.app) == f"/user/alice/proxy/{node.rpartition(':')[2]}/status"


@pytest.mark.slow
def test_a_preload_that_fails_is_said(dask_knit: Knit, tmp_path: Path) -> None:
    """The workers fail for good, which whoever waits for them hears."""
    (tmp_path / "broken.py").write_text("raise RuntimeError('no licence here')\n")
    options = {"memory": 384, "scheduler_memory": 384, "nanny": False, "restarts": 0}
    with DaskYARNCluster(
        here(), n_workers=1, files=[str(tmp_path / "broken.py")], preload=["broken.py"], knit=dask_knit, **options
    ) as cluster:
        with pytest.raises(Exception, match=r"have finally failed.*worker_0 exited with 1"):
            cluster.wait_for_workers(1, timeout=60)
        assert cluster.app is not None
        assert "no licence here" in "\n".join(line.text for line in cluster.app.logs(services=["worker"]))
