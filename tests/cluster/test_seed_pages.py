"""What knit 0.2.4's documentation and tests show, where it needs real containers. See also tests/unit/seed."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from distributed import Client

from knit import Knit, KnitException, YARNException, zip_path
from knit.dask_yarn import DaskYARNCluster
from knit_core.local import LocalCluster
from tests.cluster_harness import eventually, living_applications
from tests.fake_cluster import FakeCluster

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(240)]


@pytest.fixture(autouse=True)
def configured(clean_cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch) -> LocalCluster:
    """The cluster is the one that the machine's configuration names."""
    monkeypatch.setenv("HADOOP_CONF_DIR", str(clean_cluster.status().conf_dir))
    monkeypatch.setenv("HADOOP_USER_NAME", "alice")
    return clean_cluster


@pytest.fixture
def k(configured: LocalCluster) -> Iterator[Knit]:
    made = Knit(replication_factor=1)
    yield made
    made.kill()


def output(k: Knit) -> str:
    """All that the containers wrote, after the end."""
    assert k.wait_for_completion(90)
    return "".join(row["stdout"] + row["stderr"] for row in k.logs().values() if row["name"] != "master")


def test_a_command(k: Knit) -> None:
    app_id = k.start("env", envvars={"other": "blah"})
    assert k.runtime_status() in {"RUNNING", "FINISHED"}
    text = output(k)
    assert "other=blah" in text and "LANG=C.UTF-8" in text and "LC_ALL=C.UTF-8" in text
    assert k.status()["finalStatus"] == str(k.outcome) == "SUCCEEDED"
    assert k.status()["id"] == app_id
    assert k.get_containers() == []
    assert {row["name"] for row in k.logs().values()} == {"master", "main_0"}


def test_the_language(k: Knit) -> None:
    with pytest.warns(DeprecationWarning, match="LANG"):
        k.start("env", envvars={"KNIT_LANG": "en_US.utf-8"})
    assert "LANG=en_US.utf-8" in output(k)


def test_containers_without_output_are_named(k: Knit) -> None:
    k.start("sleep 300", num_containers=2)
    eventually(lambda: k.status()["runningContainers"] == 3, 60, "all containers")
    names = sorted(row["name"] for row in k.logs().values())
    assert names == ["main_0", "main_1", "master"]
    assert k.kill()
    assert k.runtime_status() == "KILLED"
    assert {row["name"] for row in k.logs().values()} >= {"main_0", "main_1"}


def test_files_of_three_kinds(k: Knit, tmp_path: Path) -> None:
    for name in ("creds.txt", "data.csv"):
        (tmp_path / name).write_text(f"this is {name}\n")
    k.client.hdfs.delete("/tmp/mytestfile")
    k.client.hdfs.write("/tmp/mytestfile", b"on hdfs\n")
    files = [str(tmp_path / "creds.txt"), str(tmp_path / "data.csv"), "hdfs://tmp/mytestfile"]
    k.start("cat creds.txt data.csv mytestfile", files=files)
    assert output(k) == "this is creds.txt\nthis is data.csv\non hdfs\n"


def test_a_folder_with_links(k: Knit, tmp_path: Path) -> None:
    folder = tmp_path / "prefix"
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "tool1").write_text("#!/bin/sh\necho it runs\n")
    (folder / "bin" / "tool1").chmod(0o755)
    (folder / "bin" / "tool").symlink_to("tool1")
    (folder / "sbin").symlink_to("bin")
    k.start("prefix.zip/prefix/bin/tool && prefix.zip/prefix/sbin/tool", files=[zip_path(str(folder))])
    assert output(k) == "it runs\nit runs\n"


@pytest.mark.slow
def test_environments_in_all_shapes(channel: str, tmp_path: Path) -> None:
    packages = ["python", "numpy", "cloudpickle"]
    env = Knit.create_env("dev", packages, channels=[channel], conda_pars={"conda_envs": str(tmp_path / "envs")})
    assert env == Knit.create_env("dev", conda_pars={"conda_envs": str(tmp_path / "envs")})
    copy = tmp_path / "copy" / "dev.zip"
    copy.parent.mkdir()
    shutil.copy(env, copy)
    show = "-c 'import numpy, sys; print(sys.prefix)'"
    ways: list[tuple[str, dict[str, Any]]] = [
        (f"dev.zip/dev/bin/python {show}", {"files": [str(copy)]}),  # as 0.2.4 used it
        (f"python {show}", {"env": env}),  # the archive that it was made of
        (f"$PYTHON_BIN {show}", {"env": str(copy)}),  # a ZIP file with all in one folder, which YARN unpacks
        (f"$CONDA_PREFIX/bin/python {show}", {"env": str(tmp_path / "envs" / "dev")}),  # a prefix
    ]
    for command, given in ways:
        k = Knit()
        k.start(command, memory=256, **given)
        text = output(k)
        assert text.strip().startswith("/") and "Traceback" not in text, (command, text)


def test_what_was_started_ends_with_the_process(configured: LocalCluster) -> None:
    script = "import knit\nprint(knit.Knit().start('sleep 300'))\nk = knit.Knit()\nprint(k.start('sleep 300'))\n"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
    assert len(ran.stdout.split()) == 2
    eventually(lambda: living_applications(configured) == [], 30, "both have ended")


def test_another_port_and_another_hdfs(configured: LocalCluster) -> None:
    k = Knit(rm_port=1)
    k.client.retry_timeout = 2
    with pytest.raises(YARNException, match=r":1\b.*proxy"):
        k.start("true")
    host = str(Knit().conf["nn"])
    Knit(nn=host).check_needs_upload(__file__)
    with pytest.raises(KnitException, match="is not the port of the cluster's HDFS"):
        Knit(nn_port=1).start("true")
    with contextlib.closing(FakeCluster()) as other:
        port = int(other.address.rpartition(":")[2])
        with pytest.raises(KnitException, match="belongs to another cluster"):
            Knit(nn="localhost" if host != "localhost" else "127.0.0.1", nn_http_port=port).start("true")
        assert list(other.files) == ["/"]


def test_answers_about_the_cluster(k: Knit) -> None:
    api = k.yarn_api
    assert isinstance(api.apps, list) and isinstance(api.apps_info(), list) and api.nodes() and api.scheduler()
    assert {"allocatedMB", "availableMB", "activeNodes"} <= set(api.cluster_metrics())
    assert {"single_node", "on_rm", "rm_logs"} <= set(api.system_logs())
    assert api.system_logs()["on_rm"] is True
    for call in (api.app_attempts, api.state, api.status, api.logs):
        with pytest.raises(YARNException):
            call("noapp")
    k.start("date")
    keys = {
        "allocatedMB", "allocatedVCores", "amContainerLogs", "amHostHttpAddress", "applicationType", "clusterId", "diagnostics",
        "elapsedTime", "finalStatus", "finishedTime", "id", "memorySeconds", "name", "numAMContainerPreempted",
        "numNonAMContainerPreempted", "preemptedResourceMB", "preemptedResourceVCores", "progress", "queue", "runningContainers",
        "startedTime", "state", "trackingUI", "user", "vcoreSeconds",
    }  # fmt: skip
    assert keys <= set(k.status())


@pytest.mark.slow
def test_dask(dask_channel: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pars = {"conda_envs": str(tmp_path / "envs")}
    env = Knit.create_env("dask", ["python", "dask", "distributed"], channels=[dask_channel], conda_pars=pars)
    (tmp_path / "data.csv").write_text("1,2\n")
    with DaskYARNCluster(env=env) as cluster:
        assert (cluster.app_id, cluster.workers) == (None, [])
        app_id = cluster.start(
            2, cpu=1, memory=512, app_name="seed", files=[str(tmp_path / "data.csv")], envvars={"MINE": "yes"}
        )
        assert (cluster.app_id, cluster.knit.app_id, cluster.env) == (app_id, app_id, env)
        assert cluster.knit.status()["name"] == "seed"
        with Client(cluster) as client:
            client.wait_for_workers(2, timeout=90)
            assert client.submit(lambda x: x + 1, 10).result(timeout=60) == 11
            assert client.submit(lambda: __import__("os").environ["MINE"]).result(timeout=60) == "yes"
            client.get_versions()
            with Client(cluster.scheduler_address) as other:  # finds the cluster's certificates
                assert other.submit(sum, [1, 2]).result(timeout=60) == 3
            assert len(cluster.workers) == 2
            assert cluster.application_master_container not in cluster.workers
            cluster.add_workers(n_workers=1, cpus=1, memory=512)
            client.wait_for_workers(3, timeout=60)
            assert cluster.knit.status()["runningContainers"] == 5  # the master, the scheduler, three workers
            cluster.remove_worker(cluster.workers[1])
            eventually(lambda: len(client.scheduler_info(n_workers=-1)["workers"]) == 2, 30, "one worker less")
        cluster.knit.print_logs()
        assert "distributed" in capsys.readouterr().out
    assert cluster.knit.status()["state"] in {"FINISHED", "KILLED"}


@pytest.mark.slow
def test_a_client_before_the_start(dask_channel: str, tmp_path: Path) -> None:
    pars = {"conda_envs": str(tmp_path)}
    with DaskYARNCluster(packages=["numpy"], channels=[dask_channel], conda_pars=pars) as cluster:
        with Client(cluster) as client:
            assert cluster.start(1) == cluster.app_id
            client.wait_for_workers(1, timeout=90)
