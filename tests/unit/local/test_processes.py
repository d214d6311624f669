"""Process records: who is alive, who may be ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from knit_core.local import processes
from knit_core.local.processes import ProcessInfo, ProcessRecord, containers_of, parse_stat

STUBBORN = (
    "import signal,time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('set', flush=True); time.sleep(600)"
)


def sleeper() -> subprocess.Popen[bytes]:
    return subprocess.Popen(["sleep", "600"])


def record_of(process: subprocess.Popen[bytes]) -> ProcessRecord:
    mark = processes.start_mark(process.pid)
    assert mark
    return ProcessRecord(process.pid, mark)


def test_a_process_is_recognised_until_it_ends(tmp_path: Path):
    process = sleeper()
    record = record_of(process)
    record.write(tmp_path / "pid.json")
    assert ProcessRecord.read(tmp_path / "pid.json") == record
    assert record.alive
    assert processes.end([record], grace=5) == []
    assert not record.alive
    assert processes.start_mark(process.pid) is None
    assert process.wait() == -signal.SIGTERM


def test_a_recycled_pid_is_never_signalled():
    stranger = sleeper()
    try:
        old = ProcessRecord(stranger.pid, "another boot:12345")
        assert not old.alive
        assert processes.end([old], grace=0) == []
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_zombie_has_ended():
    process = subprocess.Popen(["true"])
    deadline = time.monotonic() + 10
    while processes.start_mark(process.pid) is not None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert processes.start_mark(process.pid) is None
    process.wait()


def test_who_ignores_sigterm_is_killed_after_the_grace():
    process = subprocess.Popen([sys.executable, "-c", STUBBORN], stdout=subprocess.PIPE)
    assert process.stdout and process.stdout.readline() == b"set\n"
    record = record_of(process)
    assert processes.end([record], grace=0.2) == [record]
    assert not record.alive
    assert process.wait() == -signal.SIGKILL
    process.stdout.close()


def test_spawn_gives_a_session_of_its_own_and_appends_the_output(tmp_path: Path):
    log = tmp_path / "out"
    log.write_text("before\n")
    command = ["sh", "-c", "echo $A; umask; exec sleep 600"]
    record = processes.spawn(command, log, {"A": "b", "PATH": os.environ["PATH"]}, tmp_path)
    try:
        assert os.getsid(record.pid) == record.pid != os.getsid(0)
        deadline = time.monotonic() + 10
        while log.read_text().count("\n") < 3 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert log.read_text() == "before\nb\n0022\n"
    finally:
        processes.end([record], grace=5)
    assert not Path(f"/proc/{record.pid}").exists(), "a zombie stays"


@pytest.mark.parametrize("text", ["", "{}", '{"pid": "x", "started": 1}', "[1]", '{"pid": 1}'])
def test_an_unreadable_record_is_none(tmp_path: Path, text: str):
    path = tmp_path / "pid.json"
    path.write_text(text)
    assert ProcessRecord.read(path) is None
    assert ProcessRecord.read(tmp_path / "absent") is None


def test_parse_stat_of_a_name_with_spaces_and_brackets():
    rest = " ".join(["S", "7", "8", "9", "34816", *["0"] * 14, "4711", "0"])
    assert parse_stat(f"12 (a) b (c) {rest}") == ("S", 7, 9, 34816, "4711")


def seen(pid: int, session: int, **more: object) -> ProcessInfo:
    values: dict = {"terminal": 0, "cwd": "/", "command": (), "environ": (), **more}
    return ProcessInfo(pid=pid, session=session, **values)


def test_containers_are_told_from_strangers():
    all_of_them = [
        seen(1, 1, environ=("A=b", "LOCAL_DIRS=/s/nodes/1/local/usercache/x")),
        seen(2, 1),  # its child, with another environment
        seen(3, 3, cwd="/s/nodes/1/local/usercache/x/appcache"),  # went into a session of its own
        seen(4, 4, cwd="/s/nodes/1/local/usercache", terminal=34816),  # somebody's shell
        seen(5, 5, environ=("LOCAL_DIRS=/s/nodes/10/local/x",)),  # another node
        seen(6, 6, command=("less", "/s/nodes/1/local/file")),
    ]
    assert [process.pid for process in containers_of("/s/nodes/1/local", all_of_them)] == [1, 2, 3]


def test_sweep_ends_what_is_selected_and_only_that(tmp_path: Path):
    target, stranger = subprocess.Popen(["sleep", "600"], cwd=tmp_path), sleeper()
    try:
        count = processes.sweep(lambda all_: [p for p in all_ if p.cwd == str(tmp_path)], grace=5)
        assert count == 1
        assert target.wait(5) == -signal.SIGTERM
        assert stranger.poll() is None
    finally:
        for process in (target, stranger):
            process.kill()
            process.wait()


def test_ps_tells_the_same_where_there_is_no_proc(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(processes, "PROC", Path("/nonexistent"))
    process = sleeper()
    record = record_of(process)
    assert record.alive
    process.kill()
    process.wait()
    assert not record.alive
