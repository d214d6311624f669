"""Bad input: each says what, where and what to do, and leaves nothing behind: no file, no application."""

from __future__ import annotations

import socket
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from knit_core import ApplicationSpec, Knit
from knit_core.cli import knit as cli
from knit_core.cli.shared import show_errors
from knit_core.environments import Environment
from knit_core.errors import (
    ApplicationNotFound,
    BadApplicationId,
    ConfigError,
    ConnectionFailed,
    KnitError,
    MasterUnreachable,
    NoClusterFound,
    PreflightError,
    QueueRefused,
    SolveError,
    SpecError,
    UnexpectedReply,
)
from knit_core.local import LocalCluster
from tests.cluster_harness import rm_get

pytestmark = pytest.mark.cluster


@pytest.fixture
def untouched(knit: Knit, clean_cluster: LocalCluster) -> Iterator[Knit]:
    """The client, and a check that the test neither uploaded nor submitted anything."""

    def state() -> tuple[set[str], int]:
        root = knit.config.staging
        files = {f.path for d in knit.hdfs.list(f"{root}/cache") for f in knit.hdfs.list(d.path)}
        files |= {d.path for name in ("apps", "launches") for d in knit.hdfs.list(f"{root}/{name}")}
        return files, rm_get(clean_cluster, "/metrics")["clusterMetrics"]["appsSubmitted"]

    before = state()
    yield knit
    assert state() == before


@pytest.mark.parametrize(
    ("command", "options", "kind", "words"),
    [
        ("true", {"queue": "sciense"}, QueueRefused, ["'sciense'", "did you mean 'root.science'"]),
        ("true", {"queue": "root"}, QueueRefused, ["only contains other queues", "science"]),
        ("true", {"memory": "64 GiB"}, PreflightError, ["64 GiB", "8 GiB", "maximum-allocation-mb", "at most"]),
        ("true", {"vcores": 500}, PreflightError, ["500 vcores", "maximum-allocation-vcores"]),
        ("true", {"instances": 5000}, PreflightError, ["5000 containers", "2 nodes", "Reduce their number"]),
        ("true", {"resources": {"yarn.io/gpu": 1}}, PreflightError, ["no resource type 'yarn.io/gpu'"]),
        ("true", {"files": ["not/there.txt"]}, PreflightError, ["not/there.txt does not exist"]),
        ("true", {"files": ["/usr"]}, PreflightError, ["is a folder"]),
        ("true", {"files": ["hdfs://elsewhere:1/x"]}, PreflightError, ["not on the cluster's filesystem"]),
        ("true", {"files": "a,b"}, SpecError, ["list of paths", "a,b"]),
        ("", {}, SpecError, ["command is empty"]),
        ("   ", {}, SpecError, ["command is empty"]),
        ("true", {"memroy": 5}, SpecError, ["memroy", "did you mean 'memory'"]),
        ("true", {"memory": "lots"}, SpecError, ["lots", "2 GiB"]),
        ("true", {"memory": -1, "vcores": 0}, SpecError, ["memory", "vcores"]),
        ("true", {"env": "environment.yml"}, SpecError, ["environment.yml", "create_env"]),
        ("true", {"env": "/not/there.tar.gz"}, PreflightError, ["/not/there.tar.gz does not exist"]),
        # said before minutes go into a build
        ("true", {"env": {"packages": ["x"], "channels": ["http://127.0.0.1:9"]}, "queue": "typo"}, QueueRefused, ["typo"]),
        ("true", {"gpus": 1}, PreflightError, ["no resource type 'yarn.io/gpu'"]),
        ("true", {"node_label": "ssd"}, PreflightError, ["node_label 'ssd'", "yarn.node-labels.enabled is false"]),
        ("true", {"master_label": "ssd"}, PreflightError, ["master_label 'ssd'"]),
        ("true", {"opportunistic": True}, PreflightError, ["opportunistic-container-allocation.enabled is false"]),
        ("true", {"docker": "a/b"}, PreflightError, ["docker: the nodes do not run Docker containers"]),
        ("true", {"acls": {"view": "bob"}}, PreflightError, ["yarn.acl.enable is false"]),
        ("true", {"priority": 5}, PreflightError, ["priority 5", "yarn.cluster.max-application-priority"]),
        ("true", {"attempts": 3}, PreflightError, ["at most 2 times", "am.max-attempts"]),
        ("true", {"gang": "10 min"}, PreflightError, ["10 min", "container-allocation.expiry-interval-ms"]),
        ("true", {"logs": {"rolled_include": "x"}}, PreflightError, ["roll-monitoring-interval-seconds"]),
        ("true", {"nodes": "127.0.0.3"}, PreflightError, ["no node '127.0.0.3'", "did you mean '127.0.0.2'"]),
        ("true", {"racks": "/default-rak"}, PreflightError, ["no rack", "did you mean '/default-rack'"]),
        ("true", {"anti_affinity": True, "instances": 3}, PreflightError, ["3 instances", "has 2 running"]),
        ("true", {"tags": ["a" * 101]}, SpecError, ["1 to 100 printable ASCII"]),
        ("true", {"instances": -1}, SpecError, ["instances", "not -1"]),
        ("true", {"vcores": 2**31}, SpecError, ["vcores", "not 2147483648"]),
        ("true", {"files": {"a\nb": "x"}}, SpecError, ["one line"]),
        ("true", {"files": ["hdfs:///data/`id`"]}, SpecError, ["YARN cannot use in place"]),
        ("true", {"variables": {"A;B": "x"}}, SpecError, ["'A;B' is not a name of an environment variable"]),
    ],
)  # fmt: skip
def test_refused_before_anything_happens(
    untouched: Knit, command: str, options: dict[str, Any], kind: type[KnitError], words: list[str]
) -> None:
    with pytest.raises(kind) as caught:
        untouched.submit(command, **options)
    for word in words:
        assert word in str(caught.value)
    assert not caught.value.transient


def test_all_problems_at_once(untouched: Knit) -> None:
    with pytest.raises(PreflightError) as caught:
        untouched.submit("true", queue="nope", memory="64 GiB", files=["a.txt", "b.txt"])
    assert len(caught.value.problems) == 4


def _archive(path: Path, name: str, link: str = "") -> str:
    with tarfile.open(path, "w:gz") as archive:
        entry = tarfile.TarInfo(name)
        entry.type, entry.linkname = (tarfile.SYMTYPE, link) if link else (tarfile.REGTYPE, "")
        archive.addfile(entry)
    return str(path)


def test_archives_that_would_leave_their_folder(untouched: Knit, tmp_path: Path) -> None:
    """All of them, and an environment, are named together with what else is wrong."""
    (tmp_path / "torn.zip").write_bytes(b"PK\x03\x04 and so on")
    bad = [
        _archive(tmp_path / "up.tar.gz", "../evil"),
        _archive(tmp_path / "root.tgz", "/etc/evil"),
        _archive(tmp_path / "link.tar.gz", "link", "/etc"),
        str(tmp_path / "torn.zip"),
    ]
    with pytest.raises(PreflightError) as caught:
        untouched.submit("true", files=bad, env=_archive(tmp_path / "env.tar.gz", "bin/../../python"), memory="64 GiB")
    assert len(caught.value.problems) == 6
    for words in (
        "up.tar.gz: '../evil' is outside of the archive",
        "root.tgz: '/etc/evil' is an absolute path",
        "link.tar.gz: 'link' is a link to '/etc', outside of the archive",
        "torn.zip is damaged, or has another format than its suffix",
        "env.tar.gz: 'bin/../../python' is outside of the archive",
        "64 GiB per container",
    ):
        assert any(words in problem for problem in caught.value.problems), words


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "x.yaml: the file is empty"),
        ("name: \udcff", "x.yaml:1: not UTF-8"),
        ("services:\n  main: {command: x, memroy: 5}", "x.yaml:2: services.main.memroy: unknown key; did you mean 'memory'?"),
        ("services:\n  a: {command: x, depends_on: b}\n  b: {command: x, depends_on: a}", "x.yaml:2: services.a.depends_on.b"),
        ("services:\n  a: {command: x, depends_on: c}\n", "x.yaml:2: services.a.depends_on.c: a depends on 'c', which is no"),
        ("services:\n  a: {command: x}\n  a: {command: y}\n", "x.yaml:3: services.a: occurs twice"),
        ("services:\n  a: {command: x, instances: -99999999999999999999}\n", "x.yaml:2: services.a.instances"),
    ],
)  # fmt: skip
def test_a_bad_specification_file(untouched: Knit, tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(SpecError) as caught:
        untouched.submit(ApplicationSpec.load(path))
    assert says in str(caught.value)


def test_an_environment_for_another_platform(untouched: Knit, tmp_path: Path) -> None:
    archive = tmp_path / "other.tar.gz"
    archive.write_bytes(b"x")
    environment = Environment(name="mac", archive=archive, key="0" * 64, platform="osx-arm64")
    with pytest.raises(PreflightError, match="osx-arm64"):
        untouched.submit("true", env=environment)


def test_a_package_that_no_channel_has(untouched: Knit, channel: str) -> None:
    with pytest.raises(SolveError, match="no-such-package-at-all"):
        untouched.create_env("bad", ["python", "no-such-package-at-all"], [channel])


def test_no_cluster_found_names_every_place(tmp_path: Path) -> None:
    from knit_core.config import load_config

    with pytest.raises(NoClusterFound) as caught:
        load_config(environ={"HOME": str(tmp_path), "HADOOP_CONF_DIR": str(tmp_path)}, local=False)
    for place in ("KNIT_RESOURCEMANAGER", "config.yaml", "HADOOP_CONF_DIR", "/etc/hadoop/conf", "knit local up"):
        assert place in str(caught.value)


def test_a_resourcemanager_that_is_not_there() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    began = time.monotonic()
    with Knit(address, user="alice") as knit, pytest.raises(ConnectionFailed) as caught:
        knit.submit("true")
    assert time.monotonic() - began < 10
    assert address in str(caught.value)
    assert "connection refused" in str(caught.value)
    assert caught.value.transient


def test_not_a_resourcemanager(clean_cluster: LocalCluster) -> None:
    with Knit(clean_cluster.namenode_url, user="alice") as knit, pytest.raises(UnexpectedReply) as caught:
        knit.submit("true")
    assert "not a YARN ResourceManager" in str(caught.value)
    assert "8088" in str(caught.value)


def test_a_wrong_port_says_what_answers_there(clean_cluster: LocalCluster) -> None:
    nn = clean_cluster.namenode_url
    node = f"http://{rm_get(clean_cluster, '/nodes')['nodes']['node'][0]['nodeHTTPAddress']}"
    data = _port_of(clean_cluster, "dfs.datanode.http.address")
    with Knit(clean_cluster.resourcemanager_url, user="alice") as knit:
        rpc = f"http://{knit.config.filesystem.value.partition('://')[2]}"
    for address, what in [(rpc, "RPC port"), (nn, "a NameNode"), (node, "a NodeManager"), (data, "a DataNode")]:
        with Knit(address, user="alice") as knit:
            for call in (knit.resourcemanager.info, knit.list):
                with pytest.raises(KnitError, match=f" is .*{what}.*8088"):
                    call()


def _port_of(cluster: LocalCluster, name: str) -> str:
    from knit_core.config.hadoop_conf import read_folder

    conf = read_folder(Path(cluster.conf_dir), "test", {})
    assert conf is not None
    return f"http://{conf.get(name)}"


@pytest.mark.parametrize("text", ["", "application_1", "job_1_0001", "application_1_0001; rm -rf /", "../x", None])
def test_not_an_application_id(knit: Knit, text: Any) -> None:
    with pytest.raises(BadApplicationId, match="application_"):
        knit.attach(text)


def test_an_application_that_is_not_there(knit: Knit) -> None:
    app = knit.attach("application_1600000000000_0001")
    for call in (app.report, app.result, lambda: list(app.logs())):
        with pytest.raises(ApplicationNotFound, match="has no record of application_1600000000000_0001"):
            call()
    assert app.kill() is False


def test_ended_or_never_there(knit: Knit, cluster: LocalCluster, capsys: pytest.CaptureFixture[str]) -> None:
    """`knit kill` tells the two apart, and calls to an ApplicationMaster that has gone say that it has."""
    app = knit.submit("true", memory=64)
    app.wait()
    rm = ["--cluster", cluster.resourcemanager_url, "--user", knit.config.user]
    assert show_errors(cli, args=[*rm, "kill", app.id]) == 0
    assert f"{app.id} had ended already: Succeeded after" in capsys.readouterr().out
    assert show_errors(cli, args=[*rm, "kill", "application_1600000000000_0001"]) == 1
    assert "has no record of application_1600000000000_0001" in capsys.readouterr().err
    with pytest.raises(MasterUnreachable, match=r"the application has ended \(SUCCEEDED\)$"):
        knit.attach(app.id).kv["key"]


def test_a_jar_that_was_not_built(untouched: Knit, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from knit_core.hdfs_cache import staging

    monkeypatch.setattr(staging, "__file__", str(tmp_path / "staging.py"))
    with pytest.raises(ConfigError, match="was not built"):
        untouched.submit("true")


def test_an_unknown_setting() -> None:
    with pytest.raises(ConfigError, match="did you mean 'namenode'"):
        Knit("http://127.0.0.1:1", options={"namenod": "x"})
