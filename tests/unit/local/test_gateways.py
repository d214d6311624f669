"""HttpFS of the embedded cluster: files, command, ports, what does not go together, variables for a shell. No JVM."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from knit_core.cli.cluster.local import local
from knit_core.local import LocalCluster, LocalClusterError, NotRunning, Step, bringup, daemons, jars, ports, rest
from knit_core.local.class_archive import options
from knit_core.local.configuration_files import Setup
from knit_core.local.daemon_status import url_of
from knit_core.local.gateways import httpfs
from knit_core.local.java import Java
from knit_core.local.plan import Asked, plan, ports_of
from knit_core.local.records import Record
from tests.unit.local.test_configuration_files import properties

JAVA = Java(Path("/jdk"), "17.0.9", "JAVA_HOME")


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the folders of jars that `plan` asks for. It gets them, and a Java, at once."""
    names: list[str] = []

    def obtain(root: Path, bundle: jars.Bundle, report: object) -> jars.Jars:
        names.append(root.name)
        return jars.Jars(root / "lib", 1, 1)

    monkeypatch.setattr(jars, "obtain", obtain)
    monkeypatch.setattr("knit_core.local.plan.find_java", lambda oldest: JAVA)
    return names


def planned(state: Path, living: tuple[str, ...] = (), **asked: object) -> Record:
    steps: list[Step] = []
    return plan(state, living, Asked(**asked), steps.append)  # type: ignore[arg-type]


def a_setup(state: Path, **changes: object) -> Setup:
    found = Setup(state, state / "jars", {}, "me", httpfs=True, gateway_jars={"httpfs": state / "gateway"})
    found = replace(found, **changes)
    chosen = ports.choose(1, {}, ha=found.ha, gateways=daemons.gateways_of(found), free=lambda _address, _port: True)
    return replace(found, ports=chosen)


def test_httpfs_is_a_daemon_with_jars_and_a_port_of_its_own(tmp_path: Path, fetched: list[str]) -> None:
    record = planned(tmp_path, httpfs=True)
    assert fetched == ["hadoop-3.4.2", "hadoop-httpfs-3.4.2"]
    assert daemons.names_of(record.setup)[-1] == "httpfs"
    assert ports_of("httpfs") == ["httpfs"]
    assert {port for name in daemons.names_of(record.setup) for port in ports_of(name)} == {*record.setup.ports} - {
        "kdc"
    }
    record.write()
    assert Record.read(tmp_path) == record
    assert "httpfs" not in daemons.names_of(planned(tmp_path / "other").setup)


def test_a_running_cluster_gets_httpfs_and_keeps_it(tmp_path: Path, fetched: list[str]) -> None:
    planned(tmp_path).write()
    added = planned(tmp_path, ("namenode",), httpfs=True)
    assert added.setup.httpfs
    assert "httpfs" in added.setup.ports
    assert fetched.count("hadoop-3.4.2") == 1
    added.write()
    assert planned(tmp_path, ("namenode", "httpfs")).setup == added.setup
    with pytest.raises(LocalClusterError, match=r"runs with other settings .*HttpFS True"):
        planned(tmp_path, ("namenode", "httpfs"), httpfs=False)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"hadoop": "3.5.0"}, r"no HttpFS of Hadoop 3\.5\.0 on Maven Central .*hadoop 3\.4\.2"),
        ({"kerberos": True}, "HttpFS gives tokens of its own only"),
    ],
)
def test_what_httpfs_does_not_go_with(
    tmp_path: Path, fetched: list[str], asked: dict[str, object], message: str
) -> None:
    with pytest.raises(LocalClusterError, match=message):
        planned(tmp_path, httpfs=True, **asked)
    assert fetched == []  # refused before the download


def test_the_files_and_the_command_of_httpfs(tmp_path: Path) -> None:
    setup = a_setup(tmp_path)
    setup.state.mkdir(exist_ok=True)
    bringup.prepare_httpfs(setup)
    conf = tmp_path / "httpfs" / "conf"
    site = properties((conf / "httpfs-site.xml").read_text())
    assert (site["httpfs.http.hostname"], site["httpfs.http.port"]) == ("127.0.0.1", str(ports.GATEWAYS["httpfs"]))
    assert site["httpfs.hadoop.config.dir"] == str(tmp_path / "conf")
    assert site["httpfs.ssl.enabled"] == "false"
    secret = httpfs.secret_file(setup)
    assert (len(secret.read_text()), secret.stat().st_mode & 0o777) == (64, 0o600)
    before = secret.read_text()
    bringup.prepare_httpfs(setup)
    assert secret.read_text() == before
    (tmp_path / "gateway").mkdir()
    (tmp_path / "gateway" / "a.jar").touch()
    command = daemons.command("httpfs", setup, JAVA, {})
    assert command.argv[-1] == httpfs.MAIN  # no Hadoop properties after it
    assert f"-Dhttpfs.config.dir={conf}" in command.argv
    assert {f"{daemons.MARK}{tmp_path}", f"{daemons.PROCESS_MARK}httpfs"} <= set(
        command.argv
    )  # for the sweep after a kill
    assert command.env["CLASSPATH"] == f"{conf}:{tmp_path}/gateway/a.jar:{tmp_path}/conf"
    assert command.env["HADOOP_USER_NAME"] == "me"
    (tmp_path / "run" / "classes").mkdir(parents=True)
    assert options("httpfs", setup, JAVA) == []  # the archive of classes is that of the other daemons' jars
    assert url_of(setup, "httpfs") == "http://127.0.0.1:14000"


def test_httpfs_with_tls_speaks_https(tmp_path: Path) -> None:
    setup = a_setup(tmp_path, tls=True)
    assert properties(httpfs.files(setup)["httpfs-site.xml"])["httpfs.ssl.enabled"] == "true"
    assert url_of(setup, "httpfs") == "https://localhost:14000"


def test_httpfs_waits_for_the_namenode_before_it_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    setup, asked = a_setup(tmp_path), []
    answers: dict[str, object] = {}
    listening = False

    def get(_setup: Setup, port_name: str, path: str, timeout: float = 5.0) -> object:
        asked.append(port_name)
        return answers.get(port_name)

    monkeypatch.setattr(rest, "get", get)
    monkeypatch.setattr(daemons, "listens", lambda _port: listening)
    assert daemons.unready("httpfs", setup) == "does not listen"
    listening = True
    assert daemons.unready("httpfs", setup) == "waits for the NameNode"
    assert "httpfs" not in asked
    answers["namenode-http"] = {"beans": [{"Safemode": ""}]}
    assert daemons.unready("httpfs", setup) == "does not answer HTTP requests"
    answers["httpfs"] = {"FileStatus": {}}
    assert daemons.unready("httpfs", setup) is None


def test_the_variables_name_httpfs_and_the_filesystem(tmp_path: Path) -> None:
    Record(a_setup(tmp_path), JAVA).write()
    done = CliRunner().invoke(local, ["env", "--json", "--state", str(tmp_path)])
    assert json.loads(done.output) == {
        "HADOOP_CONF_DIR": str(tmp_path / "conf"),
        "KNIT_NAMENODE": "http://127.0.0.1:14000",
        "KNIT_FILESYSTEM": "hdfs://127.0.0.1:9820",
    }
    assert LocalCluster(tmp_path).httpfs_url == "http://127.0.0.1:14000"
    Record(a_setup(tmp_path, ha=True), JAVA).write()
    assert LocalCluster(tmp_path).environment["KNIT_FILESYSTEM"] == "hdfs://knit"
    Record(a_setup(tmp_path, httpfs=False), JAVA).write()
    assert list(LocalCluster(tmp_path).environment) == ["HADOOP_CONF_DIR"]
    with pytest.raises(NotRunning, match="knit local up --httpfs"):
        _ = LocalCluster(tmp_path).httpfs_url


def test_homes_are_made_for_users_who_come_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    monkeypatch.setattr(rest, "get", lambda _setup, _port, path: {} if "/bob?" in path else {"FileStatus": {}})
    monkeypatch.setattr(rest, "webhdfs", lambda _setup, operation, path, **_: made.append(f"{operation} {path}"))
    bringup.make_folders(Record(a_setup(tmp_path, users=("alice", "bob")), JAVA))
    assert made == ["MKDIRS /user/bob", "SETOWNER /user/bob"]
