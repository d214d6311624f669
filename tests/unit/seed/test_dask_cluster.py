"""`DaskYARNCluster` of knit 0.2.4: launched by `start`, with the old parameters and attributes."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import dask
import pytest
from distributed import Security

from knit import Knit, KnitException, SettingIgnored
from knit.dask_yarn import DaskYARNCluster, security_for
from knit_core.dask_yarn import DaskYARNCluster as Cluster
from knit_core.dask_yarn.launching import Scheduler
from tests.fake_cluster import FakeCluster
from tests.unit.seed.conftest import script_of, submitted

MASTER = "container_1_0001_01_000001"


pytestmark = pytest.mark.usefixtures("launched")


@pytest.fixture
def env(tmp_path: Path) -> str:
    (tmp_path / "dev.tar.gz").write_bytes(b"")
    import tarfile

    with tarfile.open(tmp_path / "dev.tar.gz", "w:gz"):
        pass
    return str(tmp_path / "dev.tar.gz")


def spec(cluster: FakeCluster) -> dict[str, Any]:
    """The newest application's specification."""
    (found,) = [body for path, body in cluster.files.items() if path.endswith("knit-app.json")][-1:]
    assert found is not None
    return dict(json.loads(found))


def test_a_with_block_launches_nothing(env: str, cluster: FakeCluster) -> None:
    with DaskYARNCluster(env=env) as made:
        assert (made.app, made.app_id, made.application_master_container, made.workers) == (None, None, None, [])
        assert made.env == env
        assert made.knit.runtime_status() == "NONE"
    assert cluster.apps == {}
    made.stop()
    made.close()


def test_start_in_a_with_block(env: str, cluster: FakeCluster) -> None:
    with DaskYARNCluster(env=env) as made:
        assert made.start(2) == made.app_id == made.knit.app_id == "application_1_0001"
        assert made.knit.status()["state"] == "RUNNING"
        cluster.report |= {"amContainerLogs": f"http://n:8042/node/containerlogs/{MASTER}/alice"}
        assert made.application_master_container == MASTER
        with pytest.raises(ValueError, match="started before"):
            made.start(2)
    assert made.knit.runtime_status() == "KILLED"


def test_the_parameters_of_start(env: str, cluster: FakeCluster, tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("x")
    made = DaskYARNCluster(env=env, lang="C")
    made.start(
        8, cpu=2, memory=512, queue="default", files=[str(tmp_path / "data.csv")], envvars={"MINE": "yes"}, app_name="d"
    )
    assert (submitted(cluster)["application-name"], submitted(cluster)["queue"]) == ("d", "default")
    worker = spec(cluster)["services"]["worker"]
    assert (worker["instances"], worker["resource"]["memory"] if "resource" in worker else 512) == (8, 512)
    script = script_of(cluster, "worker")
    assert "export MINE=yes" in script and "export LANG=C\n" in script
    assert any(path.endswith("/data.csv") for path in cluster.files)
    made.close()


def test_wrong_parameters_of_start(env: str, cluster: FakeCluster) -> None:
    made = DaskYARNCluster(env=env)
    with pytest.raises(TypeError, match="nonsense"):
        made.start(1, nonsense=1)  # type: ignore[call-arg]
    with pytest.raises(KnitException, match="files is a list"):
        made.start(1, files="x")
    with pytest.raises(TypeError, match="are lists"):
        DaskYARNCluster(packages="numpy")
    with pytest.raises(KnitException, match="more than this cluster's maximum"):
        made.start(1, memory=10**7)
    assert cluster.apps == {}
    made.close()


def test_an_environment_is_built_at_the_start(env: str, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    from knit_core.environments import EnvironmentBuilder
    from knit_core.model.environment import Environment

    asked: list[Any] = []

    def create(self: Any, name: str, packages: Any, channels: Any, **more: Any) -> Environment:
        asked.append((packages, channels))
        return Environment.from_archive(env, name=name)

    monkeypatch.setattr(EnvironmentBuilder, "create", create)
    made = DaskYARNCluster(packages=["numpy"], channels=["c"])
    assert (made.env, asked) == (None, [])
    assert (made.packages, made.channels, made.conda_pars) == (["python", "dask", "distributed", "numpy"], ["c"], None)
    made.start()
    assert asked == [(["python", "dask", "distributed", "numpy"], ["c"])]
    assert made.env == env
    made.close()


def test_a_client_before_start(env: str, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """`Client(cluster)` launches it without workers; then `start` asks for the first ones."""
    scaled: list[int] = []
    monkeypatch.setattr(Cluster, "scale", lambda self, n, group=None: scaled.append(n))
    made = DaskYARNCluster(env=env)
    made.sync(made._start)
    with pytest.raises(KnitException, match="another size"):
        made.start(2, memory=4096)
    assert made.start(2) == made.app_id
    assert scaled == [2]
    with pytest.raises(ValueError, match="started before"):
        made.start(2)
    made.close()


def test_what_is_different_is_told_once(env: str) -> None:
    with pytest.warns(SettingIgnored, match="ip has no effect: the scheduler runs in a container"):
        made = DaskYARNCluster(env=env, ip="10.0.0.1")
    with pytest.warns(DeprecationWarning, match="local_cluster is the way of knit 0.2.4; use the cluster itself"):
        assert made.local_cluster is made
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert made.local_cluster.scheduler_address == made.scheduler_address
    made.close()


def test_settings_go_to_knit(env: str, cluster: FakeCluster) -> None:
    hdfs = object()
    made = DaskYARNCluster(env=env, replication_factor=1, hdfs=hdfs, idle_timeout=5)
    assert isinstance(made.knit, Knit)
    assert made.knit.hdfs is hdfs
    assert made.knit.client.config.get("replication") == "1"
    assert made._layout.idle_timeout == 5
    made.close()


def test_a_client_of_an_address(env: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def connect(self: Any, scheduler: Any) -> None:
        pass

    monkeypatch.setattr(Cluster, "_connect", connect)
    made = DaskYARNCluster(env=env)
    made.sync(made._connect, Scheduler("tls://node:1"))
    assert dask.config.get("distributed.client.security-loader") == "knit.dask_yarn.security_for"
    assert security_for({"address": "tls://node:1"}) is made.security
    assert isinstance(made.security, Security)
    assert security_for({"address": "tcp://node:2"}) is None
    with pytest.raises(
        KnitException, match=r"tls://node:2 uses TLS.*Client\(cluster\).*from_application.*security=False"
    ):
        security_for({"address": "tls://node:2"})
    with dask.config.set({"distributed.comm.tls.ca-file": "/ca.pem"}):
        assert security_for({"address": "tls://node:2"}) is None
    made.close()


def test_attaching_gives_the_new_class(monkeypatch: pytest.MonkeyPatch, cluster: FakeCluster) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(Cluster, "from_application", classmethod(lambda cls, app_id, **more: seen.append((cls, more))))
    k = Knit()
    DaskYARNCluster.from_application("application_1_0001", knit=k, quiet=True)
    assert seen == [(Cluster, {"knit": k.client, "quiet": True})]
