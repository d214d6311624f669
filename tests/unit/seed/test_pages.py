"""The blocks of knit 0.2.4's documentation, page by page, as far as a cluster over HTTP can answer them.

What needs containers, or a Dask scheduler, is in tests/cluster/test_seed_pages.py. The calls, names and arguments are those of the
pages; commands and packages are shorter.
"""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from knit import Knit, SettingIgnored
from knit_core.environments import EnvironmentBuilder
from knit_core.model.environment import Environment
from tests.fake_cluster import FakeCluster
from tests.unit.seed.conftest import script_of, submitted

ENV = "env = k.create_env('test', packages=['python=3.5'])\n"

#: Blocks that a Knit `k` of the cluster runs: page and what it is about, code.
PLAIN = {
    "README: a command": "import knit\nk = knit.Knit()\nk.start('env')\nk.logs()\n",
    "quickstart: start": "from knit import Knit\nk = Knit(autodetect=True)\ncmd = 'date'\nk.start(cmd)\n",
    "quickstart: status": "k.start('date')\nassert k.status()['state'] in STATES\n"
    "k.yarn_api.cluster_metrics()\nk.yarn_api.nodes()\n",
    "quickstart: logs": "k.start('date')\nk.logs()\n",
    "quickstart: kill": "k.start('date')\nassert k.kill()\n",
    "quickstart: an application in Python": ENV + "k.start('python -c 1', num_containers=2, env=env)\n",
    "quickstart: a server": ENV + "k = Knit()\nk.start('python -m http.server', num_containers=2, env=env)\n",
    "usage: the nodes' Python": "import knit\nk = knit.Knit()\nappId = k.start(\"python -c 'import sys'\")\n",
    "usage: a zipped environment": "appId = k.start('$PYTHON_BIN $CONDA_PREFIX/bin/dask-worker 8786', env=FOLDER + '/dev.zip')\n",
    "usage: build one": "env_zip = k.create_env(env_name='dev', packages=['python=3', 'distributed'])\n"
    "assert env_zip.endswith('dev.zip')\n",
    "usage: files": "k.start('cat creds.txt data.csv', files=['creds.txt', 'data.csv'])\n",
    "usage: connections": "assert k.yarn_api.apps == []\nk.add_containers\nk.remove_containers\n",
    "configuration: a client of HDFS": "hdfs = object()\nk = Knit(hdfs=hdfs)\nassert k.hdfs is hdfs\n",
    "configuration: overrides": "assert Knit(rm='myhost').conf['rm'] == 'myhost'\n",
    "configuration: a dictionary": "Knit(pars={'yarn.resourcemanager.webapp.address': 'myhost:8188'})\n",
    "configuration: nothing from files": "assert Knit(autodetect=False, rm='myhost').conf['rm'] == 'myhost'\n",
    "troubleshooting: logs": "k.start('date')\nk.print_logs()\n",
    "troubleshooting: the cluster": "y = k.yarn_api\nid = k.start('date')\ny.apps, y.apps_info(id), y.app_attempts(id)\n"
    "y.app_containers(id), y.cluster_info(), y.cluster_metrics(), y.nodes()\n",
    "troubleshooting: logs of the daemons": "assert {'single_node', 'on_rm'} <= set(k.yarn_api.system_logs())\n",
    "troubleshooting: a gateway": "import knit\n"
    "k = knit.Knit(rm='proxy.server.org', rm_port=9999, gateway_path='/default/resourcemanager')\n"
    "assert k.yarn_api.url == 'http://proxy.server.org:9999/default/resourcemanager/ws/v1/'\n",
    "troubleshooting: a password": "import knit\nk = knit.Knit(password='mypass', user='alternate_user')\n"
    "assert k.yarn_api.auth == ('alternate_user', 'mypass')\n",
    "troubleshooting: the language": "k = Knit(lang='C')\nk.start('locale')\n",
    "troubleshooting: checks": "k.start('date', checks=True)\n",
    "troubleshooting: the configuration": "assert k.conf['rm'] and k.conf['rm_port'] and k.conf['user']\n",
    "examples: IPython Parallel": "env = k.create_env(env_name='ipyparallel', packages=['numpy', 'ipyparallel', 'python=3'])\n"
    "cmd = '$PYTHON_BIN $CONDA_PREFIX/bin/ipengine --file=creds.txt'\n"
    "app_id = k.start(cmd, env=env, files=['creds.txt'], num_containers=3)\n",
    "help(Knit)": "k = Knit()\napp_id = k.start('sleep 100', num_containers=5, memory=1024)\n",
    "help(Knit.create_env)": "pkg_path = k.create_env(env_name='dev', packages=['distributed', 'dask', 'pandas'])\n",
}

#: Blocks with Dask, which end with a `cluster`. `dask_yarn` is another project's name now.
DASK = {
    "README: Dask": "cluster = dask_yarn.DaskYARNCluster()\ncluster.start(nworkers=4, memory=1024, cpus=2)\n",
    "quickstart: Dask": "cluster = dask_yarn.DaskYARNCluster(packages=['python=3.6', 'dask'], channels=['conda-forge'])\n"
    "cluster.start(nworkers=10, memory=4096, cpus=2)\n",
    "usage: Dask": "cluster = dask_yarn.DaskYARNCluster(env=FOLDER + '/dev.zip')\ncluster.start(8, cpu=2, memory=2048)\n",
    "usage: a with block": "with dask_yarn.DaskYARNCluster(env=FOLDER + '/dev.zip') as cluster:\n    cluster.start(2)\n",
    "usage: connections": "cluster = dask_yarn.DaskYARNCluster(replication_factor=1, channels=['c'])\ncluster.start()\n"
    "assert cluster.knit.status()['state'] == 'RUNNING'\ncluster.knit.yarn_api.nodes()\ncluster.scheduler_address\n",
    "configuration: a client of HDFS": "hdfs = object()\ncluster = dask_yarn.DaskYARNCluster(hdfs=hdfs)\n"
    "assert cluster.knit.hdfs is hdfs\n",
    "troubleshooting: logs": "cluster = dask_yarn.DaskYARNCluster()\ncluster.start()\ncluster.knit.print_logs()\n",
}


@pytest.fixture
def names(k: Knit, cluster: FakeCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """What the blocks see: `k`, files, a zipped environment of the old layout, and a builder that builds nothing."""
    cluster.nodes, cluster.memory = 20, 65536
    room = {"availMemoryMB": 65536, "availableVirtualCores": 64, "state": "RUNNING", "rack": "/default-rack"}
    cluster.node_rows = [{"id": f"n{number}:1", "nodeHostName": f"n{number}", **room} for number in range(20)]
    for name in ("creds.txt", "data.csv"):
        (tmp_path / name).write_text("x")
    with zipfile.ZipFile(tmp_path / "dev.zip", "w") as packed:
        packed.writestr("dev/bin/python", "x")

    def create(self: Any, name: str, *_given: Any, **_more: Any) -> Environment:
        with tarfile.open(tmp_path / "built.tar.gz", "w:gz") as tar:
            tar.add(tmp_path / "creds.txt", "bin/python")
        return Environment.from_archive(tmp_path / "built.tar.gz", name=name)

    monkeypatch.setattr(EnvironmentBuilder, "create", create)
    monkeypatch.setattr("knit_core.Application.containers", lambda self: [])
    monkeypatch.setattr("knit_core.Application.logs", lambda self, containers=None, timeout=0: [])
    monkeypatch.chdir(tmp_path)
    states = {"NEW", "NEW_SAVING", "SUBMITTED", "ACCEPTED", "RUNNING", "FINISHED", "FAILED", "KILLED"}
    found = {"k": k, "Knit": Knit, "STATES": states, "FOLDER": str(tmp_path)}
    yield found
    for each in (found["k"], found.get("cluster")):
        if each is not None and each is not k:
            (each.kill if isinstance(each, Knit) and each.app else getattr(each, "close", int))()


@pytest.mark.parametrize("block", PLAIN)
def test_a_block(block: str, names: dict[str, Any]) -> None:
    exec(compile(PLAIN[block], block, "exec"), names)


@pytest.mark.parametrize("block", DASK)
def test_a_block_with_dask(block: str, names: dict[str, Any], launched: None, cluster: FakeCluster) -> None:
    from knit import dask_yarn

    names["dask_yarn"] = dask_yarn
    exec(compile(DASK[block], block, "exec"), names)


def test_what_the_blocks_submit(names: dict[str, Any], cluster: FakeCluster) -> None:
    exec(PLAIN["examples: IPython Parallel"], names)
    script = script_of(cluster)
    assert "$PYTHON_BIN $CONDA_PREFIX/bin/ipengine --file=creds.txt" in script
    assert 'export PYTHON_BIN="$CONDA_PREFIX/bin/python"' in script
    assert submitted(cluster)["application-name"] == "knit"


def test_the_schedulers_address(names: dict[str, Any], launched: None) -> None:
    """troubleshooting: `ip=` of the scheduler."""
    from knit import dask_yarn

    with pytest.warns(SettingIgnored, match="ip has no effect"):
        names["cluster"] = dask_yarn.DaskYARNCluster(ip="10.0.0.1")
