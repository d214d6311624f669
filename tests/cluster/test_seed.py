"""Scripts written for knit 0.2.4 run as they are: its page from first to last, its contract call by call."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from knit import YARNAPI, CondaCreator, CondaException, Knit, KnitException, YARNException, zip_path
from knit_core.local import LocalCluster
from tests.cluster_harness import eventually

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(240)]

# The code of the page with which knit 0.2.4 introduced itself, block by block.
PAGE = [
    "from knit import Knit\nk = Knit(autodetect=True) # autodetect IP/Ports for YARN/HADOOP\n",
    """env = k.create_env('my-environment',
                   packages=['python=3.5', 'scikit-learn','pandas'],
                   channels=['conda-forge'])  # specify anaconda.org channels
""",
    """cmd = 'python -c "import sys; print(sys.version_info);"'
app_id = k.start(cmd, num_containers=2, env=env)  # start application
""",
    """from knit.dask_yarn import DaskYARNCluster
env = k.create_env('my-environment',
                   packages=['python=3.6', 'scikit-learn', 'pandas', 'dask'],
                   channels=['conda-forge'])  # specify anaconda.org channels

cluster = DaskYARNCluster(env=env)
cluster.start(nworkers=10, memory=4096, cpus=2)

from dask.distributed import Client
client = Client(cluster)  # Connect local Dask client to cluster
""",
]


def test_the_seeds_page_from_first_to_last(
    clean_cluster: LocalCluster, dask_channel: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it stands there, but for package versions and the channel, and for a cluster of 16 GiB (it asks for 40)."""
    monkeypatch.setenv("HADOOP_CONF_DIR", str(clean_cluster.status().conf_dir))
    monkeypatch.setenv("HADOOP_USER_NAME", "alice")
    names: dict[str, Any] = {}
    for block in PAGE:
        for old, new in (
            ("'python=3.5', 'scikit-learn','pandas'", "'python', 'numpy', 'cloudpickle'"),
            ("'python=3.6', 'scikit-learn', 'pandas', 'dask'", "'python', 'numpy', 'dask', 'distributed'"),
            ("'conda-forge'", repr(dask_channel)),
            ("nworkers=10, memory=4096, cpus=2", "nworkers=2, memory=512, cpus=2"),
        ):
            block = block.replace(old, new)
        exec(compile(block, "the seed's page", "exec"), names)
    k, cluster, client = names["k"], names["cluster"], names["client"]
    try:
        assert k.wait_for_completion(60)
        assert str(k.outcome) == "SUCCEEDED"
        texts = [found["stdout"] for found in k.logs().values()]
        assert sum("sys.version_info(major=3" in text for text in texts) == 2
        client.wait_for_workers(2, timeout=60)
        assert sum(client.gather(client.map(lambda x: x + 1, range(10)))) == 55
        assert set(client.nthreads().values()) == {2}
        cluster.remove_worker(cluster.workers[0])
        eventually(lambda: len(client.nthreads()) == 1, 30, "one worker less")
        with pytest.raises(KnitException, match="another size need a separate group"):
            cluster.add_workers(1, memory=1024)
        with pytest.raises(KnitException, match="no worker"):
            cluster.remove_worker("container_1_2_3_4")
    finally:
        client.close()
        cluster.close()
    assert k.yarn_api.status(cluster.app.id)["finalStatus"] == "SUCCEEDED"


@pytest.fixture
def k(clean_cluster: LocalCluster) -> Iterator[Knit]:
    rm = clean_cluster.resourcemanager_url.partition("://")[2]
    host, _, port = rm.partition(":")
    yield Knit(pars={"rm": "beaten by the keyword", "rm_port": int(port), "user": "alice"}, rm=host)


def test_the_contract_on_a_running_application(k: Knit) -> None:
    app_id = k.start("echo $LANG $MINE; echo oops >&2; sleep 300", 2, envvars={"MINE": "yes"}, app_name="seed")
    eventually(lambda: k.runtime_status() == "RUNNING", 60, "it runs")
    eventually(
        lambda: list(k.get_container_statuses().values()) == ["RUNNING"] * 3, 60, "the master and two containers"
    )
    rows = k.get_containers()
    master, *containers = [row["id"] for row in rows]
    assert len(containers) == 2
    assert all(row["id"].startswith("container_") and row["containerLogsLink"] and row["nodeId"] for row in rows)
    assert {(row["user"], row["totalVCoresNeeded"]) for row in rows} == {("alice", 1)}
    assert k.wait_for_completion(1) is False
    api = k.yarn_api
    assert api.state(app_id) == k.status()["state"] == api.status(app_id)["state"] == "RUNNING"
    assert app_id in api.apps
    assert api.apps_info(app_id)["name"] == "seed"
    assert [row["id"] for row in api.app_attempts(app_id)] == [1]
    assert api.app_containers(app_id) == api.app_containers(info=k.status()) == rows
    assert api.container_status(containers[0]) == "RUNNING"
    assert api.cluster_info()["state"] == "STARTED"
    assert api.cluster_metrics()["activeNodes"] == 2
    assert len(api.nodes()) == 2
    assert {queue["queueName"] for queue in api.scheduler()["schedulerInfo"]["queues"]["queue"]} == {
        "default",
        "science",
    }
    assert any(row["state"] == "RUNNING" for row in api.app_stats()["statItem"])
    with pytest.raises(KnitException, match=r"no container|unknown|refused"):
        k.remove_containers("container_1_0001_01_000099")
    k.remove_containers(containers[0])
    eventually(lambda: list(k.get_container_statuses()) == [master, containers[1]], 30, "one is gone")
    with pytest.raises(KnitException, match="another size"):
        k.add_containers(1, 1, 512)
    with pytest.raises(KnitException):
        k.remove_containers(master)
    k.add_containers(1)
    eventually(lambda: len(k.get_containers()) == 3, 30, "another one")
    with pytest.raises(ValueError, match="Already started"):
        k.start("true")
    logs = k.logs()
    assert logs[containers[1]]["stdout"] == "C.UTF-8 yes\n"
    assert logs[containers[1]]["stderr"] == "oops\n"
    assert set(k.get_container_statuses()) <= set(logs)
    assert logs[master]["name"] == "master"
    k.print_logs()
    assert k.status()["runningContainers"] == 3
    assert k.kill() is True
    assert k.runtime_status() == api.state(app_id) == "KILLED"
    assert k.wait_for_completion(30) is True
    assert k.kill() is False
    assert api.kill(app_id) is False
    with pytest.raises(YARNException, match="application_1_0001"):
        api.status("application_1_0001")


def test_requests_that_cannot_be_fulfilled(k: Knit) -> None:
    for wrong in ({"memory": 10**6}, {"virtual_cores": 10**4}, {"num_containers": 10**5}, {"queue": "nowhere"}):
        with pytest.raises(KnitException, match=r"(?i)nothing was uploaded"):
            k.start("true", **wrong)
    assert k.runtime_status() == "NONE"


def test_files_and_a_failure_is_an_end_whose_outcome_can_be_known(k: Knit, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "hello").write_text(f"there {tmp_path}\n")
    packed = zip_path(str(folder))
    assert k.check_needs_upload(packed)
    k.start("cat data.zip/data/hello; exit 3", files=[packed])
    assert k.wait_for_completion(60) is True
    assert str(k.outcome) == "FAILED"
    assert not k.check_needs_upload(packed)
    assert [found["stdout"] for found in k.logs().values() if found["name"] == "main_0"] == [f"there {tmp_path}\n"]


def test_kill_all_ends_what_is_knits_and_ones_own(k: Knit, clean_cluster: LocalCluster) -> None:
    app_id = k.start("sleep 300")
    host, _, port = clean_cluster.resourcemanager_url.partition("://")[2].partition(":")
    api = YARNAPI(host, port, username="bob")
    assert api.kill_all()
    assert k.yarn_api.state(app_id) != "KILLED"
    with pytest.raises(YARNException, match="nonsense"):
        api.kill("nonsense")
    k.yarn_api.kill(app_id)
    assert k.yarn_api.state(app_id) == "KILLED"


def test_conda_creator(channel: str, tmp_path: Path) -> None:
    creator = CondaCreator(conda_envs=str(tmp_path / "envs"), channels=[channel])
    assert creator.find_env("one") is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        packed = creator.create_env("one", packages=["python", "numpy", "cloudpickle"])
    assert packed == str(tmp_path / "envs" / "one.zip") == creator.create_env("one")
    assert creator.find_env("one") == str(tmp_path / "envs" / "one")
    assert (tmp_path / "envs" / "one" / "bin" / "python").exists()
    assert creator.list_envs() == ["one"]
    with pytest.raises(CondaException, match="no-such-package"):
        creator.create_env("two", packages=["no-such-package"])
