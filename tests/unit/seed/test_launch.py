"""`Knit` and `YARNAPI` behave as those of knit 0.2.4."""

from __future__ import annotations

import gc
import logging
import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import knit
from knit import YARNAPI, Knit, KnitException, SettingIgnored, YARNException, core
from knit.system_logs import log_file, system_logs
from knit_core.errors import LogsUnavailable
from knit_core.logs import LogLine
from knit_core.model.result import Container
from knit_core.model.states import ContainerState
from tests.fake_cluster import FakeCluster
from tests.unit.seed.conftest import script_of

ATTEMPT = "1_0001_01"
ROWS = [
    {"containerId": f"container_{ATTEMPT}_000002", "allocatedMB": "512", "allocatedVCores": "1", "assignedNodeId": "n1:45454",
     "logUrl": "http://n1:8042/node/containerlogs/x", "containerState": "RUNNING", "containerExitStatus": 0,
     "nodeHttpAddress": "http://n1:8042"},
    {"containerId": f"container_{ATTEMPT}_000001", "allocatedMB": "256", "allocatedVCores": "1", "assignedNodeId": "n2:45454",
     "containerState": "RUNNING"},
]  # fmt: skip
AM_LOGS = f"http://n2:8042/node/containerlogs/container_{ATTEMPT}_000001/alice"


def test_the_state_is_yarns_object(k: Knit, cluster: FakeCluster) -> None:
    app_id = k.start("date")
    assert k.status() == k.yarn_api.status(app_id) == k.yarn_api.apps_info(app_id)
    assert {"runningContainers": 2, "allocatedMB": 1152, "finalStatus": "UNDEFINED"}.items() <= k.status().items()
    assert k.runtime_status() == k.yarn_api.state(app_id) == "RUNNING"
    assert k.yarn_api.apps == [app_id]


def test_killed_is_killed(k: Knit, cluster: FakeCluster) -> None:
    assert k.kill() is False
    app_id = k.start("sleep 1")
    # The ApplicationMaster unregisters as killed: YARN calls that FINISHED
    cluster.report = {"state": "FINISHED", "finalStatus": "KILLED"}
    assert k.runtime_status() == k.yarn_api.state(app_id) == "KILLED"
    cluster.report = {"state": "FINISHED", "finalStatus": "SUCCEEDED"}
    assert k.runtime_status() == "FINISHED"
    cluster.report = {"state": "RUNNING"}
    assert k.kill() is True
    assert k.runtime_status() == "KILLED"
    assert k.kill() is False
    cluster.apps.clear()
    assert k.runtime_status() == "NONE"


@pytest.mark.parametrize("wrapped", [True, False])
def test_containers_have_the_old_keys(wrapped: bool, k: Knit, cluster: FakeCluster) -> None:
    cluster.wrapped = wrapped
    app_id = k.start("date", 1, memory=512)
    cluster.containers = ROWS
    master, worker = k.get_containers()
    assert (master["id"], worker["id"]) == (f"container_{ATTEMPT}_000001", f"container_{ATTEMPT}_000002")
    assert worker == {
        "id": f"container_{ATTEMPT}_000002", "state": "RUNNING", "exitCode": -1000, "diagnostics": "", "user": "alice",
        "totalMemoryNeededMB": 512, "totalVCoresNeeded": 1, "nodeId": "n1:45454", "nodeHttpAddress": "http://n1:8042",
        "containerLogsLink": "http://n1:8042/node/containerlogs/x",
    }  # fmt: skip
    assert k.get_container_statuses() == {master["id"]: "RUNNING", worker["id"]: "RUNNING"}
    api = k.yarn_api
    assert api.app_containers(app_id) == api.app_containers(info=k.status()) == [master, worker]
    requested = replace(_container("main_0", worker["id"]), state=ContainerState.REQUESTED)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("knit_core.Application.containers", lambda self, retry_timeout=None: [requested])
        assert list(k.get_container_statuses().values()) == ["RUNNING", "REQUESTED"]
    cluster.containers = ROWS[:1]
    assert len(k.get_containers()) == 1
    cluster.containers = []
    assert k.get_containers() == []
    for wrong in ({}, {"app_id": app_id, "info": k.status()}):
        with pytest.raises(TypeError, match="id, or its info"):
            api.app_containers(**wrong)


def test_answers_of_the_api(k: Knit, cluster: FakeCluster) -> None:
    api = k.yarn_api
    assert api.apps_info() == [] == api.apps
    app_id = k.start("date")
    assert api.app_attempts(app_id) == [{"id": 1}]
    assert api.scheduler()["schedulerInfo"]["queues"]["queue"][0]["queueName"] == "default"
    assert api.cluster_metrics()["activeNodes"] == 1
    assert api.cluster_info()["id"] == 1
    assert (api.host_port, api.url) == (cluster.address[7:], f"{cluster.address}/ws/v1/")
    for call in (api.state, api.status, api.app_attempts, api.logs):
        with pytest.raises(YARNException):
            call("noapp")
    assert repr(k) == f"Knit<RM={api.host_port}>"


def test_the_api_alone(cluster: FakeCluster) -> None:
    host, _, port = cluster.address[7:].partition(":")
    api = YARNAPI(host, port, username="bob")
    assert (api.auth, api.timeout, api.rm, api.rm_port, api.username) == (None, None, host, port, "bob")
    api.timeout = 2
    assert api.timeout == 2
    api.auth = ("carol", "secret")
    assert (api.auth, api.timeout, api.username) == (("carol", "secret"), 2, "carol")
    assert "secret" not in repr(api._client.config)
    api.auth = None
    assert api.apps == []
    assert YARNAPI("h", 1, gateway_path="/g/").url == "http://h:1/g/ws/v1/"
    assert YARNAPI("h", 1, kerberos=True)._client.config.get("auth") == "kerberos"


def test_logs_name_every_container(k: Knit, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    k.start("date")
    cluster.report |= {"amContainerLogs": AM_LOGS}
    name = f"container_{ATTEMPT}_000002"
    lines = {
        None: [LogLine("main_0", 0, "n1", "stdout", text, 1, name) for text in ("one", "two")],
        "master": [LogLine("master", None, "n2", "stderr", "log", 1, f"container_{ATTEMPT}_000001")],
    }
    rows = [_container(f"main_{number}", f"container_{ATTEMPT}_00000{number + 2}") for number in range(2)]
    monkeypatch.setattr("knit_core.Application.containers", lambda self: rows)
    monkeypatch.setattr(
        "knit_core.Application.logs", lambda self, containers=None, timeout=0: lines[(containers or [None])[0]]
    )
    found = k.logs()
    assert found[name] == {"name": "main_0", "nodeId": "n1:1", "stdout": "one\ntwo\n", "stderr": ""}
    assert found[f"container_{ATTEMPT}_000003"]["stdout"] == ""
    assert found[f"container_{ATTEMPT}_000001"]["stderr"] == "log\n"
    assert len(found) == 3
    with pytest.warns(DeprecationWarning, match=r"logs\(shell=True\)"):
        assert k.logs(shell=True) == found
    lines[None] = []
    assert found.keys() == k.logs().keys()


def test_logs_that_are_missing(k: Knit, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(self: Any, containers: Any = None, timeout: float = 0) -> Any:
        raise LogsUnavailable("not there", reason="off")

    app_id = k.start("date")
    monkeypatch.setattr("knit_core.Application.containers", lambda self: [])
    monkeypatch.setattr("knit_core.Application.logs", missing)
    with pytest.raises(YARNException, match="not there"):
        k.yarn_api.logs(app_id, retries=1, delay=0)


def _container(name: str, yarn: str) -> Container:
    return Container(name, "main", 0, 1, ContainerState.RUNNING, yarn, node="n1:1")


def test_start_returns_when_the_application_runs(
    k: Knit, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(core, "_MASTER_TIMEOUT", 0.3)
    cluster.report = {"state": "ACCEPTED"}
    with pytest.raises(
        KnitException,
        match=r"(?s)application_1_0001 was accepted, but does not run after 0\.3 s.*still waits.*kill\(\)",
    ):
        k.start("date")
    assert k.app_id == "application_1_0001"
    k.kill()
    monkeypatch.setattr(core, "_MASTER_TIMEOUT", 30)
    failed = {"state": "FAILED", "finalStatus": "FAILED", "diagnostics": "AM Container exited with 1"}
    with monkeypatch.context() as patched:
        patched.setattr(
            core.Knit, "own", lambda self, app: (setattr(self, "app", app), setattr(cluster, "report", failed))
        )
        with pytest.raises(KnitException, match=r"(?s)application_1_0002 ended as FAILED before it ran.*exited with 1"):
            k.start("date")
    cluster.report = {"state": "FINISHED", "finalStatus": "FAILED"}  # the command failed, which `outcome` says
    assert k.start("false") == "application_1_0003"


def test_a_second_start_is_an_error_while_the_first_runs(k: Knit, cluster: FakeCluster) -> None:
    first = k.start("date")
    with pytest.raises(ValueError, match=f"Already started: {first} still runs") as caught:
        k.start("date")
    assert isinstance(caught.value, KnitException)
    assert list(cluster.apps) == [first]
    cluster.report = {"state": "FINISHED", "finalStatus": "SUCCEEDED"}
    assert k.start("date") != first


@pytest.mark.parametrize(
    ("size", "fits"), [((1, 512), True), ((None, None), True), ((1, 256), False), ((2, 512), False)]
)
def test_more_containers_of_another_size_are_refused(
    size: tuple[int | None, int | None], fits: bool, k: Knit, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    monkeypatch.setattr("knit_core.Application.scale", lambda self, *, by: asked.append(by))
    k.start("sleep 9", 2, memory=512)
    if fits:
        k.add_containers(3, *size)
    else:
        with pytest.raises(KnitException, match=r"1 cores and 512 MiB.*None was added"):
            k.add_containers(3, *size)
    assert asked == [3] * fits
    with pytest.raises(KnitException, match="at least 1"):
        k.add_containers(0)


def test_what_was_started_ends_with_its_object(configured: Path, cluster: FakeCluster) -> None:
    k = Knit()
    app_id = k.start("sleep 9")
    del k
    gc.collect()
    assert [change for change in cluster.changes if change[0] == "state"], app_id


def test_what_has_ended_is_not_ended_again(configured: Path, cluster: FakeCluster) -> None:
    for end in ("wait", "kill"):
        cluster.report, cluster.changes = {"state": "RUNNING"}, []
        k = Knit()
        k.start("sleep 9")
        if end == "wait":
            cluster.report = {"state": "FINISHED", "finalStatus": "SUCCEEDED"}
            assert k.wait_for_completion(5)
        else:
            assert k.kill()
        before = len(cluster.changes)
        del k
        gc.collect()
        assert len(cluster.changes) == before


def test_what_was_started_ends_with_the_process(configured: Path, cluster: FakeCluster) -> None:
    script = "import os, knit\nk = knit.Knit()\nprint(k.start('sleep 9'))\n"
    fork = "if os.fork() == 0:\n    raise SystemExit\nos.wait()\nprint(k.runtime_status())\n"
    ran = subprocess.run([sys.executable, "-c", script + fork], capture_output=True, text=True, timeout=60)
    assert ran.stdout == "application_1_0001\nRUNNING\n", ran.stderr
    assert [change for change in cluster.changes if change[0] == "state"]


def test_wrong_arguments(k: Knit, cluster: FakeCluster) -> None:
    with pytest.raises(ValueError, match="variables are texts, not 'A': 1"):
        k.start("env", envvars={"A": 1})  # type: ignore[dict-item]
    with pytest.raises(KnitException, match="files is a list"):
        k.start("env", files="a,b,c")  # type: ignore[arg-type]
    assert cluster.apps == {}


def test_the_language(k: Knit, cluster: FakeCluster) -> None:
    k.start("env", envvars={"other": "blah"})
    for line in ("export LANG=C.UTF-8", "export LC_ALL=C.UTF-8", "export other=blah"):
        assert line in script_of(cluster).splitlines()
    k.kill()
    with pytest.warns(DeprecationWarning, match=r"lang= of Knit"):
        k.start("locale", envvars={"KNIT_LANG": "en_US.utf-8"})
    assert "export LANG=en_US.utf-8" in script_of(cluster)
    k.kill()
    k.lang = "de_DE.UTF-8"
    k.start("printenv")
    assert "export LANG=de_DE.UTF-8" in script_of(cluster)


@pytest.mark.parametrize(
    ("path", "there"),
    [("hdfs://tmp/x.txt", "/tmp/x.txt"), ("hdfs:///tmp/x.txt", "/tmp/x.txt"), ("hdfs://nn:8020/tmp/x.txt", "/tmp/x.txt"),
     ("hdfs://nn/tmp/x.txt", "/tmp/x.txt")],
)  # fmt: skip
def test_paths_on_hdfs(path: str, there: str, k: Knit, cluster: FakeCluster) -> None:
    cluster.files |= {"/tmp": None, "/tmp/x.txt": b"x", "/tmp/env.zip": b"x"}
    k.start("cat x.txt", files=[path])
    assert "x.txt" in script_of(cluster)
    app = next(body for place, body in cluster.files.items() if place.endswith("knit-app.json"))
    assert f"hdfs://nn:8020{there}".encode() in app  # type: ignore[operator]
    with pytest.raises(KnitException, match="tmp"):
        k.kill()
        k.start("cat", files=["hdfs://tmp/not-there"])


def test_environments_on_hdfs(k: Knit, cluster: FakeCluster, tmp_path: Path) -> None:
    assert k.list_envs() == []
    (tmp_path / "x.zip").write_bytes(b"PK\x05\x06" + b"\0" * 18)
    assert k.check_needs_upload(str(tmp_path / "x.zip"))
    k.start("true", files=[str(tmp_path / "x.zip")])
    assert not k.check_needs_upload(str(tmp_path / "x.zip"))
    (row,) = [row for row in k.list_envs() if row["name"].endswith("/x.zip")]
    assert (row["size"], row["kind"]) == (22, "file")
    with pytest.warns(DeprecationWarning, match="upload_always"):
        assert Knit(upload_always=True).check_needs_upload(str(tmp_path / "x.zip"))


def test_the_packages_names() -> None:
    import knit_core

    assert knit.__version__ == knit_core.__version__
    assert knit.triple_slash("hdfs://hello/path") == "hdfs:///hello/path" == knit.triple_slash("hdfs:///hello/path")
    assert knit.shell_out(["echo", "x"]) == "x\n"
    level = logging.getLogger("knit").level
    knit.set_logging(logging.DEBUG)
    assert logging.getLogger("knit").level == logging.getLogger("knit_core").level == logging.DEBUG
    for name in ("knit", "knit_core"):
        logging.getLogger(name).setLevel(level)
    with pytest.warns(DeprecationWarning, match=r"knit\.dask_yarn\.DaskYARNCluster"):
        from knit import DaskYARNCluster
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert DaskYARNCluster is knit.DaskYARNCluster  # once for each name
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = knit.nonsense


@pytest.mark.parametrize(
    ("read", "says"),
    [
        (lambda: knit.read_int, "of knit 0.2.4 does not exist any more: it was an internal part"),
        (lambda: knit.env.miniconda_urls, "no conda is installed or run"),
        (lambda: Knit(rm="h").JAR_FILE_PATH, "there is no Java client"),
        (lambda: Knit(rm="h").nonsense, "has no attribute 'nonsense'"),
        (lambda: knit.CondaCreator().conda_bin, "no conda is installed"),
    ],
)
def test_names_that_are_gone_say_why(read: Callable[[], Any], says: str) -> None:
    with pytest.raises(AttributeError, match=says):
        read()


def test_programs_that_do_not_exist_are_not_named() -> None:
    with pytest.warns(SettingIgnored, match="conda_root has no effect: no conda"):
        knit.CondaCreator(conda_root="/opt/conda")


def test_log_files_of_the_daemons() -> None:
    words = ["java", "-Dyarn.log.dir=/var/log", "-Dyarn.log.file=rm.log", "org.apache.x.ResourceManager"]
    assert log_file(words) == "/var/log/rm.log"
    assert log_file(words[:2]) == ""
    found = system_logs("localhost", [{"nodeHostName": "localhost"}])
    assert (found["on_rm"], found["single_node"]) == (True, True)
    elsewhere = system_logs("host.invalid", [{"nodeHostName": "a"}, {"nodeHostName": "b"}])
    assert (elsewhere["on_rm"], elsewhere["single_node"]) == (False, False)
