"""The main path on real daemons: launch, watch, talk to, read the logs of, and end an application."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid
import zipfile
from pathlib import Path
from typing import Any

import pytest

from knit_core import ApplicationSpec, Environment, Knit, Outcome, Service, State
from knit_core.errors import (
    ApplicationFailed,
    ApplicationKilled,
    LogsUnavailable,
    NotFound,
    QueueRefused,
    RequestRefused,
    WaitTimeout,
)
from knit_core.local import LocalCluster
from knit_core.logs import LogCursor
from tests.cluster_harness import eventually

pytestmark = pytest.mark.cluster
SMALL = {"memory": 128, "vcores": 1}


def test_run_shows_the_output_and_what_ends_it_ends_the_application(knit: Knit) -> None:
    lines: list[str] = []
    result = knit.run("echo hello $KNIT_INSTANCE", instances=2, output=lambda line: lines.append(line.text), **SMALL)
    assert (result.outcome, sorted(lines)) == (Outcome.SUCCEEDED, ["hello 0", "hello 1"])
    with pytest.raises(ApplicationFailed) as failed:
        knit.run("exit 7", output=lines.append, **SMALL)
    assert failed.value.exit_code == 7
    for keep, outcome in ((False, Outcome.KILLED), (True, None)):
        name = f"run {uuid.uuid4().hex[:8]}"

        def interrupted(_line: object) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            knit.run("echo begun; sleep 600", name=name, output=interrupted, keep=keep, **SMALL)
        (report,) = knit.list(name=name, states=list(State))
        assert report.outcome is outcome
        knit.attach(report.id).kill(grace=0)


def test_a_cluster_is_queried_once_and_what_runs_is_not_built(knit: Knit, monkeypatch: pytest.MonkeyPatch) -> None:
    """A launch with an environment that is still to be built takes one application id; one with the key of an application
    that runs builds nothing and takes none."""
    ids, built = [], []
    new_application = knit.resourcemanager.new_application

    def counted() -> Any:
        ids.append(1)
        return new_application()

    def create_env(name: str, **_described: Any) -> Environment:
        built.append(name)
        return Environment.from_path("/usr", name=name)

    monkeypatch.setattr(knit.resourcemanager, "new_application", counted)
    monkeypatch.setattr(knit, "create_env", create_env)
    wanted: dict[str, Any] = {"env": {"packages": ["python"]}, "key": uuid.uuid4().hex, **SMALL}
    with pytest.raises(QueueRefused):
        knit.submit("sleep 60", queue="nowhere", **wanted)
    assert (len(ids), built) == (1, [])  # what is wrong is told before a build
    app = knit.submit("sleep 60", **wanted)
    assert (len(ids), built) == (2, ["main"])
    assert knit.submit("sleep 60", **wanted).id == app.id
    assert (len(ids), built) == (2, ["main"])
    app.kill(grace=0)


def test_two_containers_return_values_and_logs(knit: Knit, tmp_path: Path) -> None:
    """What the README promises, from the address of the ResourceManager alone."""
    program = tmp_path / "program.py"
    program.write_text(
        "import knit_container as me, os\n"
        "print('rank', me.instance, 'of', me.instances, os.environ['GREETING'], flush=True)\n"
        "me.progress(0.5, loss=0.25)\n"
        "me.result({'rank': me.instance, 'square': me.instance ** 2})\n"
    )
    hostile = 'it\'s "$HOME" `id` {{PWD}} <LOG_DIR>\n€'
    app = knit.submit(
        "python3 program.py",
        instances=2,
        files=[str(program)],
        variables={"GREETING": hostile},
        name="main path",
        **SMALL,
    )
    result = app.wait(timeout=90)
    assert result.outcome is Outcome.SUCCEEDED
    assert result.exit_code == 0
    assert result.value == [{"rank": 0, "square": 0}, {"rank": 1, "square": 1}]
    report = app.report()
    assert (report.state, report.user, report.name, report.queue) == (
        State.FINISHED,
        "alice",
        "main path",
        "root.default",
    )
    text = [line.text for line in app.logs() if line.instance == 1 and line.stream == "stdout"]
    assert "\n".join(text) == f"rank 1 of 2 {hostile}"


def test_the_second_launch_uploads_nothing(knit: Knit, tmp_path: Path) -> None:
    (tmp_path / "data.txt").write_text(f"some data {time.time()}")
    lines: list[str] = []
    spec = {"instances": 1, "files": [str(tmp_path / "data.txt")], **SMALL}
    knit.submit("cat data.txt", progress=lines.append, **spec).wait(timeout=60)
    assert any("upload" in line for line in lines)

    def cached() -> set[str]:
        root = f"{knit.config.staging}/cache"
        return {f"{f.path} {f.modified}" for d in knit.hdfs.list(root) for f in knit.hdfs.list(d.path)}

    before, again = cached(), []
    with Knit(knit.resourcemanager.address, user="alice") as another:
        another.submit("cat data.txt", progress=again.append, **spec).wait(timeout=60)
    assert again == []
    assert cached() == before


def test_archives_are_unpacked_and_hdfs_files_used_in_place(knit: Knit, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "stuff.zip", "w") as archive:
        archive.writestr("inner/a.txt", "from the archive")
    place = f"/user/alice/in place {time.time()}.txt"
    knit.hdfs.write(place, b"from HDFS")
    app = knit.submit(
        "cat stuff.zip/inner/a.txt; echo; cat there.txt",
        files={"stuff.zip": str(tmp_path / "stuff.zip"), "there.txt": f"hdfs://{place}"},
        **SMALL,
    )
    app.wait(timeout=60)
    assert [line.text for line in app.logs()] == ["from the archive", "from HDFS"]


def test_a_failing_command_says_where_and_why(knit: Knit) -> None:
    command = 'echo first >&2; echo "the last words of $KNIT_INSTANCE" >&2; [ $KNIT_INSTANCE = 0 ] && sleep 60; exit 7'
    app = knit.submit(command, instances=2, **SMALL)
    with pytest.raises(ApplicationFailed) as caught:
        app.wait(timeout=60)
    text = str(caught.value)
    assert caught.value.exit_code == 7
    assert caught.value.stderr[-1] == "the last words of 1"
    for part in (app.id, "main_1", "exited with 7", "container_", "the last words of 1", f"knit logs {app.id}"):
        assert part in text
    assert "exited with 7" in app.report().diagnostics
    assert "\n" not in app.report().diagnostics


def test_too_much_memory_is_named(knit: Knit) -> None:
    app = knit.submit("python3 -c 'x = bytearray(600 << 20); import time; time.sleep(60)'", **SMALL)
    with pytest.raises(ApplicationFailed, match=r"(?i)memory"):
        app.wait(timeout=60)


def test_scale_kill_and_shut_down(knit: Knit) -> None:
    app = knit.submit("sleep 300", instances=2, **SMALL)
    app.wait_for_containers(2)
    assert app.scale(4) == 4
    rows = app.wait_for_containers(4)
    assert sorted(row.id for row in rows) == ["main_0", "main_1", "main_2", "main_3"]
    app.kill_container("main_1")
    eventually(lambda: app.details()["services"]["main"]["instances"] == 3, 10, "one instance less")
    assert app.scale(1) == 1
    eventually(lambda: [r.id for r in app.containers() if not r.state.ended] == ["main_0"], 10, "only main_0")
    with pytest.raises(NotFound):
        app.kill_container("main_77")
    with pytest.raises(RequestRefused):
        app.kill_container("main_3")
    assert app.scale(0) == 0
    time.sleep(1.5)  # an application scaled to nothing must go on; there is nothing to wait for
    assert not app.report().ended
    app.shutdown("SUCCEEDED", "enough")
    assert app.wait(timeout=30).outcome is Outcome.SUCCEEDED


def test_kill_is_orderly_and_repeatable(knit: Knit) -> None:
    app = knit.submit("sleep 300", **SMALL)
    app.wait_for_containers(1)
    assert app.kill("no longer needed") is True
    assert app.kill() is False
    with pytest.raises(ApplicationKilled, match="no longer needed"):
        app.wait(timeout=10)
    result = app.result()
    assert result is not None
    assert result.complete


def test_killed_before_it_started(knit: Knit) -> None:
    """Too large for the room that is left, so it waits; the end comes from YARN and there is no result.json."""
    filler = [knit.submit("sleep 300", instances=1, memory="7 GiB") for _ in range(2)]
    waiting = knit.submit("sleep 300", memory="7 GiB")
    try:
        with pytest.raises(WaitTimeout, match="last seen"):
            waiting.wait(timeout=2)
        assert waiting.kill("", grace=0)
        with pytest.raises(ApplicationKilled):
            waiting.wait(timeout=20)
    finally:
        for app in (*filler, waiting):
            app.kill(grace=0)


def test_follow_hands_out_every_line_once(knit: Knit) -> None:
    command = (
        "for i in 1 2 3 4 5; do echo $KNIT_INSTANCE-$i; sleep 0.4; done; printf 'no newline'; printf '\\xff\\n' >&2"
    )
    app = knit.submit(command, instances=2, **SMALL)
    seen = [(line.instance, line.stream, line.text) for line in app.logs(follow=True)]
    expected = [(r, "stdout", f"{r}-{i}") for r in (0, 1) for i in range(1, 6)]
    expected += [(r, "stdout", "no newline") for r in (0, 1)] + [(r, "stderr", "�") for r in (0, 1)]
    assert sorted(seen) == sorted(expected)


@pytest.mark.slow
def test_a_cursor_goes_on_in_another_process(knit: Knit) -> None:
    app = knit.submit("echo one; sleep 3; echo two; echo three", **SMALL)
    app.wait_for_containers(1)
    cursor = LogCursor()
    eventually(lambda: [line.text for line in app.logs(cursor=cursor)] == ["one"], 10, "the first line, live")
    app.wait(timeout=30)
    rest = [line.text for line in app.logs(cursor=LogCursor.load(cursor.dump()))]
    assert rest == ["two", "three"]


def test_an_application_master_that_cannot_start_shows_its_log(clean_cluster: LocalCluster) -> None:
    with Knit(clean_cluster.resourcemanager_url, user="alice", options={"java": "/nowhere/java"}) as knit:
        app = knit.submit("true", attempts=1, **SMALL)
        with pytest.raises(ApplicationFailed):
            app.wait(timeout=60)
        assert any("/nowhere/java" in line.text for line in app.logs())


@pytest.mark.slow
def test_several_services_have_names(knit: Knit) -> None:
    spec = ApplicationSpec(
        name="two",
        services={
            "first": Service(command="echo a", memory=128),
            "second": Service(command="echo b", memory=128, instances=2),
        },
    )
    app = knit.submit(spec)
    app.wait(timeout=60)
    assert sorted((line.container, line.text) for line in app.logs()) == [
        ("first_0", "a"),
        ("second_0", "b"),
        ("second_1", "b"),
    ]


def test_others_can_not_talk_to_it(knit: Knit, clean_cluster: LocalCluster) -> None:
    """Another user computes another secret: the ApplicationMaster refuses, and so does YARN."""
    app = knit.submit("sleep 300", **SMALL)
    app.wait_for_containers(1)
    with Knit(clean_cluster.resourcemanager_url, user="bob") as bob:
        bob.submit("true", **SMALL).wait(timeout=60)  # so that bob has a key of his own
        with pytest.raises(Exception, match=r"(?i)signature|refused"):
            bob.attach(app.id).scale(5)
    assert app.details()["services"]["main"]["instances"] == 1
    app.kill()


def test_logs_say_when_a_node_is_lost(knit: Knit) -> None:
    """What is missing is named, never guessed."""
    app = knit.submit("echo here", **SMALL)
    app.wait(timeout=60)
    list(app.logs())
    for folder in _log_folders(app.id, knit):
        with Knit(knit.resourcemanager.address, user=_daemon_user()) as superuser:
            superuser.hdfs.delete(folder, recursive=True)
    with pytest.raises(LogsUnavailable, match="main_0"):
        list(app.logs(timeout=1))


def _log_folders(app_id: str, knit: Knit) -> list[str]:
    from knit_core.logs.aggregated.log_files import AggregatedLogs

    return AggregatedLogs(knit.hdfs, knit.config, app_id, "alice").folders()[:1]


def _daemon_user() -> str:
    import getpass

    return getpass.getuser()


def test_the_command_line(clean_cluster: LocalCluster, tmp_path: Path) -> None:
    base = [sys.executable, "-m", "knit_core", "--cluster", clean_cluster.resourcemanager_url, "--user", "alice"]

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*base, *words], capture_output=True, text=True, timeout=120, check=False, cwd=tmp_path,
                              env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})  # fmt: skip

    done = run("run", "-n", "2", "--memory", "128", "--", "sh", "-c", "echo hello from $KNIT_INSTANCE")
    assert done.returncode == 0, done.stderr
    assert sorted(line.partition(" | ")[2] for line in done.stdout.splitlines()) == ["hello from 0", "hello from 1"]
    failed = run("run", "--memory", "128", "--", "echo oh no >&2; exit 9")
    assert failed.returncode == 9
    assert "oh no" in failed.stderr
    assert failed.stderr.count("exited with 9") == 1
    assert "did you mean" in run("rnu").stderr.lower()
    assert run("logs", "application_1_0001").returncode == 1
    assert run("list", "--all", "--json").returncode == 0
