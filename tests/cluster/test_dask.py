"""A Dask cluster on real daemons: it computes, changes its size, is found from elsewhere, and ends."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import requests
from distributed import Client

from knit_core import Knit, Outcome
from knit_core.dask_yarn import DaskYARNCluster, WorkerGroup
from knit_core.environments import Environment
from knit_core.errors import ApplicationFailed, NotFound, SpecError
from knit_core.local import LocalCluster
from tests.cluster.test_docs import blocks
from tests.cluster_harness import eventually
from tests.dask_harness import SMALL, here

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(180)]


def settled(cluster: DaskYARNCluster, count: int) -> None:
    """Wait until so many workers are there, and no other container lives."""
    eventually(lambda: len(cluster.worker_names) == count, 60, f"{count} workers")
    cluster.sync(cluster.refresh)
    assert len(cluster.workers) == count
    assert cluster.observed == cluster.plan


def test_it_computes_over_tls(dask: DaskYARNCluster) -> None:
    assert dask.scheduler_address.startswith("tls://")
    with Client(dask) as client:
        client.wait_for_workers(2, timeout=60)
        assert client.submit(sum, [1, 2, 3]).result(timeout=60) == 6
        hosts = set(client.run(lambda: __import__("os").environ["KNIT_CONTAINER"]).values())
        assert hosts == {"worker_0", "worker_1"}
    with pytest.raises(OSError, match=r"TLS|tls|timed out|closed|connect"):
        Client(dask.scheduler_address.replace("tls://", "tcp://"), timeout="3 s")


def test_workers_are_what_was_asked_for(dask: DaskYARNCluster) -> None:
    with Client(dask) as client:
        client.wait_for_workers(2, timeout=60)
        rows = client.scheduler_info(n_workers=-1)["workers"].values()
    assert {row["memory_limit"] for row in rows} == {(384 - 64) * 2**20}
    assert {row["nthreads"] for row in rows} == {1}
    assert all("/usercache/alice/appcache/application_" in row["local_directory"] for row in rows)


def test_more_and_fewer_without_losing_or_computing_anything_again(dask: DaskYARNCluster, tmp_path: Path) -> None:
    tmp_path.chmod(0o777)

    def work(number: int, folder: str = str(tmp_path)) -> int:
        import pathlib
        import uuid

        (pathlib.Path(folder) / f"{number}-{uuid.uuid4()}").touch()
        return number * number

    dask.scale(3)
    dask.wait_for_workers(3, timeout=60)
    with Client(dask) as client:
        futures = client.map(work, range(30))
        assert sum(client.gather(futures)) == sum(n * n for n in range(30))
        holders = {worker for some in client.who_has(futures).values() for worker in some}
        assert len(holders) == 3
        dask.scale(1)
        settled(dask, 1)
        assert sum(client.gather(futures)) == sum(n * n for n in range(30))
    assert len(list(tmp_path.iterdir())) == 30
    dask.scale(2)
    settled(dask, 2)


def test_one_worker_is_given_back_by_its_name(dask: DaskYARNCluster) -> None:
    dask.scale(2)
    settled(dask, 2)
    keeps, goes = sorted(dask.plan)
    dask.remove_worker(goes)
    settled(dask, 1)
    assert dask.plan == {keeps}
    with pytest.raises(NotFound, match=f"no worker 'worker_99'; there are: {keeps}"):
        dask.remove_worker("worker_99")
    dask.add_workers(1)
    settled(dask, 2)


def test_what_is_shown(dask: DaskYARNCluster) -> None:
    assert dask.app is not None
    text = repr(dask)
    assert dask.app.id in text
    assert "threads=" in text
    assert dask.app.id in dask._repr_html_()
    logs = dask.get_logs()
    assert "Scheduler at" in logs["Scheduler"]
    assert "application_" in logs["Cluster"]
    assert dask.dashboard_link.endswith("/status")
    base = dask.dashboard_link.removesuffix("/status")
    session = requests.Session()
    session.trust_env = False
    assert "worker" in session.get(f"{base}/info/main/workers.html", timeout=20).text
    page = dask.proxied_dashboard_link.removesuffix("/knit")
    proxied = session.get(f"{page}/info/main/workers.html", params={"user.name": "bob"}, timeout=20)
    assert proxied.status_code == 200
    assert "worker_" in proxied.text


def test_another_process_attaches_and_leaves(dask: DaskYARNCluster, cluster: LocalCluster) -> None:
    assert dask.app is not None
    program = (
        "import sys\nfrom distributed import Client\nfrom knit_core.dask_yarn import DaskYARNCluster\n"
        "with DaskYARNCluster.from_application(sys.argv[1]) as c, Client(c) as client:\n"
        "    print(client.submit(sum, [4, 5]).result(), c.scheduler_address)\n"
        "with DaskYARNCluster.from_name('bed') as c:\n    print(c.name)\n"
    )
    environment = {**os.environ, "KNIT_RESOURCEMANAGER": cluster.resourcemanager_url, "KNIT_USER": "alice"}
    done = subprocess.run(
        [sys.executable, "-c", program, dask.app.id],
        capture_output=True,
        text=True,
        timeout=90,
        env=environment,
        check=False,
    )
    assert done.stdout.split() == ["9", dask.scheduler_address, dask.app.id], done.stderr
    assert not dask.app.report().ended
    with pytest.raises(NotFound, match=r"No Dask cluster with the name 'bde'.*there are: bed"):
        DaskYARNCluster.from_name("bde", knit=dask.knit)


def test_the_keys_are_nowhere_but_in_their_file(dask: DaskYARNCluster) -> None:
    assert dask.app is not None
    key = str(dask.security.tls_worker_key).splitlines()[3]
    assert len(key) > 40
    found = {
        "logs": "\n".join(line.text for line in dask.app.logs()),
        "store": json.dumps(dask.app.kv.prefix("")),
        "YARN": json.dumps(dask.app.report().to_dict()),
        "objects": repr([dask, dask.security, dask.app]),
    }
    for process in Path("/proc").glob("[0-9]*"):
        for name in ("environ", "cmdline"):
            try:
                found[f"{process}/{name}"] = (process / name).read_bytes().decode(errors="replace")
            except OSError:
                continue
    assert [place for place, text in found.items() if key in text] == []


@pytest.mark.slow
def test_adaptive_goes_up_asks_once_and_comes_down_to_nothing_and_back(dask: DaskYARNCluster) -> None:
    assert dask.app is not None
    before = [event.number for event in dask.app.events()][-1]
    dask.adapt(minimum=0, maximum=3, interval="200 ms", wait_count=2, target_duration="1 s")
    try:
        with Client(dask) as client:
            eventually(lambda: not dask.worker_names, 60, "nobody works")
            for _round in range(2):
                futures = client.map(lambda n: __import__("time").sleep(0.5) or n, range(20), pure=False)
                assert sum(client.gather(futures)) == sum(range(20))
                del futures
                eventually(lambda: not dask.worker_names and not dask.plan, 60, "back to nothing")
        scaled = [event.detail for event in dask.app.events(after=before) if event.kind == "scaled"]
        assert scaled
        events = [event for event in dask.app.events(after=before) if (event.container or "").startswith("worker_")]
        assert not [event for event in events if event.kind == "container-restart"]
        # What was pending is not asked for again. (How often Dask goes down and up within a round is its own affair.)
        pending: set[str] = set()
        for event in events:
            if event.kind == "container-requested":
                assert event.container not in pending
                pending.add(event.container)
                assert len(pending) <= 3, events
            elif event.kind in {"container-started", "container-ended"}:
                pending.discard(event.container)
    finally:
        dask._adaptive.stop()
    dask.scale(1)
    settled(dask, 1)


def test_without_dask_in_the_environment_it_says_so(knit: Knit, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    (bare / "bin").mkdir(parents=True)
    (bare / "bin" / "python").symlink_to(Path(sys.base_prefix) / "bin" / "python3")
    with pytest.raises(ApplicationFailed, match="the environment of this container has no Dask"):
        DaskYARNCluster(Environment.from_path(str(bare)), n_workers=1, knit=knit, **SMALL)


def test_what_the_cluster_cannot_give_is_refused_before_anything_runs(knit: Knit) -> None:
    from knit_core.errors import PreflightError

    with pytest.raises(PreflightError, match="64 GiB"):
        DaskYARNCluster(here(), n_workers=1, memory="64 GiB", knit=knit)
    with pytest.raises(SpecError, match="did you mean 'memory"):
        DaskYARNCluster(here(), n_workers=1, memry="64 GiB", knit=knit)


@pytest.mark.slow
def test_several_groups_and_a_scheduler_that_is_here(knit: Knit) -> None:
    groups = {
        "small": WorkerGroup(memory=384, nanny=False),
        "big": WorkerGroup(memory=512, vcores=2, processes=2, worker_resources={"BIG": 1}, variables={"COLOUR": "red"}),
    }
    waiting = DaskYARNCluster(here(), groups=groups, scheduler="local", knit=knit)
    with waiting as cluster:
        cluster.scale(1, group="big")
        with Client(cluster) as client:
            client.wait_for_workers(2, timeout=60)
            colour = client.submit(lambda: __import__("os").environ.get("COLOUR"), resources={"BIG": 1})
            assert colour.result(timeout=60) == "red"
            names = sorted(row["name"] for row in client.scheduler_info(n_workers=-1)["workers"].values())
            assert names == ["big_0-0", "big_0-1"]
        with pytest.raises(NotFound, match="no group 'bg'; there are: small, big"):
            cluster.scale(1, group="bg")
        with pytest.raises(ValueError, match="was started before"):
            cluster.start(1)
        app = cluster.app
    with pytest.raises(ValueError, match="is closed"):
        cluster.scale(2)
    assert app is not None
    assert app.wait(timeout=30).outcome is Outcome.SUCCEEDED


def test_asynchronous(dask: DaskYARNCluster) -> None:
    """Attached to the cluster that runs, with an event loop of its own."""

    async def run() -> int:
        assert dask.app is not None
        async with DaskYARNCluster.from_application(dask.app.id, knit=dask.knit, asynchronous=True) as cluster:
            assert cluster.scheduler_address == dask.scheduler_address
            await cluster.scale(2)
            async with Client(cluster, asynchronous=True) as client:
                await client.wait_for_workers(2, timeout=60)
                value: int = await client.submit(sum, [1, 1])
            cluster.scale(1)  # also without being awaited
            while len(cluster.worker_names) > 1:
                await asyncio.sleep(0.1)
            return value

    assert asyncio.run(run()) == 2
    assert dask.app is not None
    assert not dask.app.report().ended
    settled(dask, 1)


@pytest.mark.slow
def test_asynchronous_from_launch_to_end_on_ports_of_a_range(knit: Knit) -> None:
    async def run() -> str:
        ports = {"scheduler_ports": "28786:28796", "dashboard_ports": "28797:28807", "ports": "28808:28899"}
        async with DaskYARNCluster(here(), n_workers=1, knit=knit, asynchronous=True, **ports, **SMALL) as cluster:
            async with Client(cluster, asynchronous=True) as client:
                assert await client.submit(sum, [1, 1]) == 2
                assert 28786 <= int(cluster.scheduler_address.rpartition(":")[2]) <= 28796
                assert 28797 <= int(cluster.dashboard_link.removesuffix("/status").rpartition(":")[2]) <= 28807
                (worker,) = cluster.scheduler_info["workers"]
                assert 28808 <= int(worker.rpartition(":")[2]) <= 28899
            assert cluster.app is not None
            return cluster.app.id

    assert knit.attach(asyncio.run(run())).report().ended


def test_a_script_is_the_client_in_the_application(clean_cluster: LocalCluster, tmp_path: Path) -> None:
    (tmp_path / "work.py").write_text(
        "import sys, knit_container\nfrom distributed import Client\n"
        "with Client() as client:\n"
        "    assert client.scheduler.address.startswith('tls://')\n"
        "    total = sum(client.gather(client.map(lambda n: n * n, range(int(sys.argv[2])))))\n"
        "knit_container.result({'total': total, 'words': sys.argv[1:]})\n"
    )
    base = [sys.executable, "-m", "knit_core", "--cluster", clean_cluster.resourcemanager_url, "--user", "alice"]
    options = ["--workers", "1", "--memory", "384", "--scheduler-memory", "384", "--env", sys.prefix]
    done = subprocess.run(
        [*base, "dask", "run", *options, str(tmp_path / "work.py"), "--it's", "10"],
        capture_output=True, text=True, timeout=120, check=False, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    app_id = next(word for word in done.stderr.split() if word.startswith("application_"))
    with Knit(clean_cluster.resourcemanager_url, user="alice") as knit:
        result = knit.attach(app_id).result()
    assert result is not None
    assert result.values["script"] == {0: {"total": 285, "words": ["--it's", "10"]}}


@pytest.mark.slow
@pytest.mark.parametrize("part", ["quickstart", "whole page"])
def test_the_manuals_page(
    clean_cluster: LocalCluster, dask_channel: str, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    """As it stands there, but for the channel and Python's version."""
    monkeypatch.setenv("KNIT_RESOURCEMANAGER", clean_cluster.resourcemanager_url)
    monkeypatch.setenv("KNIT_USER", "alice")
    names: dict[str, object] = {"__name__": "manual"}
    page = blocks("docs/dask.md")
    for number, source in enumerate(page[:1] if part == "quickstart" else page, 1):
        source = source.replace("python=3.11", "python").replace("conda-forge", dask_channel)
        exec(compile(source, f"docs/dask.md, block {number}", "exec"), names)
