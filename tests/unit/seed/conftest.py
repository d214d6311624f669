"""A cluster over HTTP for scripts of knit 0.2.4; nothing of this machine's configuration is seen."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dask
import pytest
from distributed import Status

from knit import Knit, notices
from knit_core.dask_yarn import launching
from knit_core.dask_yarn.sizing import in_thread
from tests.fake_cluster import FakeCluster

XML = '<?xml version="1.0"?>\n<configuration>\n{}\n</configuration>\n'
PROPERTY = "<property><name>{}</name><value>{}</value></property>"


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No configuration but that of the test; each warning is given again."""
    notices.forget()
    for name in list(os.environ):
        if name.startswith(("HADOOP", "KNIT_", "YARN_", "XDG_")):
            monkeypatch.delenv(name)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("HADOOP_USER_NAME", "alice")
    monkeypatch.setattr("knit_core.local.running_cluster", lambda: None)


@pytest.fixture
def cluster() -> Iterator[FakeCluster]:
    """One whose applications run at once."""
    made = FakeCluster()
    made.report = {"state": "RUNNING", "runningContainers": 2, "allocatedMB": 1152}
    yield made
    made.close()


@pytest.fixture
def configure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Writes Hadoop's files and names their folder."""

    def write(core: dict[str, str], yarn: dict[str, str]) -> Path:
        folder = tmp_path / "conf"
        folder.mkdir(exist_ok=True)
        for name, properties in (("core", core), ("yarn", yarn)):
            rows = "\n".join(PROPERTY.format(*pair) for pair in properties.items())
            (folder / f"{name}-site.xml").write_text(XML.format(rows))
        monkeypatch.setenv("HADOOP_CONF_DIR", str(folder))
        return folder

    return write


@pytest.fixture
def configured(configure: Callable[..., Path], cluster: FakeCluster) -> Path:
    """The cluster, as the machine's configuration names it."""
    place = cluster.address.partition("://")[2]
    core = {"fs.defaultFS": "hdfs://nn:8020", "dfs.namenode.http-address": place}
    return configure(core, {"yarn.resourcemanager.webapp.address": place, "dfs.replication": "2"})


@pytest.fixture
def k(configured: Path) -> Iterator[Knit]:
    """Knit of the cluster; what it started is ended before the cluster is."""
    made = Knit()
    yield made
    made.kill()
    made.client.close()


@pytest.fixture
def launched(configured: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Dask clusters on the cluster; their scheduler is not waited for."""
    from knit_core.dask_yarn import DaskYARNCluster

    async def start(self: Any) -> None:
        if self.app is None:
            self.app = await in_thread(launching.launch, self._client, self._layout, self.security, self._fields)
            self.status = Status.running

    monkeypatch.setattr(DaskYARNCluster, "_start", start)
    with dask.config.set({"distributed.client.security-loader": None}):
        yield


def script_of(cluster: FakeCluster, service: str = "main") -> str:
    """The script of the containers of the newest application."""
    (found,) = [content for path, content in cluster.files.items() if path.endswith(f"/knit-{service}.sh")][-1:]
    assert found is not None
    return found.decode()


def submitted(cluster: FakeCluster) -> dict[str, Any]:
    """The newest application's submission."""
    return dict(list(cluster.apps.values())[-1])
