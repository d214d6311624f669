"""Starts, identifies and ends processes. A pid is used only with its start time, so that no other process is ended.

Information comes from /proc on Linux, from `ps` elsewhere.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from knit_core.model.clock import Clock

PROC = Path("/proc")
# Daemons that this process started and that have not ended, as far as it knows. They outlive it.
_children: set[int] = set()


@dataclass(frozen=True)
class ProcessRecord:
    """A process: its pid and its start time as a text that is unique over reboots."""

    pid: int
    started: str

    @property
    def alive(self) -> bool:
        return start_mark(self.pid) == self.started

    def write(self, path: Path) -> None:
        write_text(path, json.dumps(asdict(self)))

    @classmethod
    def read(cls, path: Path) -> ProcessRecord | None:
        """The record in a file; None when there is none or it cannot be read."""
        try:
            data = json.loads(path.read_text())
            return cls(int(data["pid"]), str(data["started"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None


def write_text(path: Path, text: str) -> None:
    """Replace a file atomically: readers see the old text or the new one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text)
    temporary.replace(path)


def write_private(path: Path, text: str) -> None:
    """Replace a file atomically by one that only this user may read."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    temporary.touch(mode=0o600, exist_ok=False)
    temporary.write_text(text)
    temporary.replace(path)


def parse_stat(text: str) -> tuple[str, int, int, int, str]:
    """State, parent, session, terminal and start time (in clock ticks) from the text of `/proc/<pid>/stat`."""
    fields = text[text.rindex(")") + 2 :].split()
    return fields[0], int(fields[1]), int(fields[3]), int(fields[4]), fields[19]


def start_mark(pid: int) -> str | None:
    """The start time of the running process `pid`; None when there is none (a zombie counts as ended)."""
    if not PROC.joinpath("self/stat").exists():
        return _start_mark_ps(pid)
    try:
        state, _, _, _, ticks = parse_stat((PROC / str(pid) / "stat").read_text())
    except (OSError, ValueError, IndexError):
        return None
    return None if state in "ZX" else f"{_boot_id()}:{ticks}"


def _boot_id() -> str:
    try:
        return (PROC / "sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _start_mark_ps(pid: int) -> str | None:
    done = subprocess.run(
        ["ps", "-o", "stat=,lstart=", "-p", str(pid)],
        capture_output=True, text=True, check=False, env={**os.environ, "LC_ALL": "C"},
    )  # fmt: skip
    state, _, started = done.stdout.strip().partition(" ")
    return started.strip() if started and not state.startswith("Z") else None


def spawn(command: list[str], log: Path, env: dict[str, str], cwd: Path) -> ProcessRecord:
    """Start a daemon in a session of its own, output appended to `log`.

    Not with `subprocess`: it warns when an object is deleted while its process runs, as daemons do.
    """
    shell = ["/bin/sh", "-c", 'umask 022 && cd "$0" && exec "$@"', str(cwd), *command]
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    pid = os.posix_spawn(
        shell[0], shell, env, setsid=True, setsigdef=[signal.SIGPIPE, signal.SIGXFSZ],
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), flags, 0o644),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
    )  # fmt: skip
    _children.add(pid)
    return ProcessRecord(pid, start_mark(pid) or "ended at once")


def exit_code(record: ProcessRecord, timeout: float, poll: float = 0.05, *, clock: Clock = time) -> int | None:
    """The exit code of a process that `spawn` started; None when it has not ended after `timeout` seconds."""
    deadline = clock.monotonic() + timeout
    while (code := reap(record.pid)) is None and clock.monotonic() < deadline:
        clock.sleep(poll)
    return code


def end(records: Iterable[ProcessRecord], grace: float, poll: float = 0.05) -> list[ProcessRecord]:
    """End processes by SIGTERM, after `grace` seconds by SIGKILL, and wait until they have ended.

    Returns those that were ended by SIGKILL.
    """
    living = [record for record in records if record.alive]
    for record in living:
        _signal(record, signal.SIGTERM)
    living = _wait_gone(living, grace, poll)
    for record in living:
        _signal(record, signal.SIGKILL)
    _wait_gone(living, 30.0, poll)
    return living


def _wait_gone(records: list[ProcessRecord], seconds: float, poll: float) -> list[ProcessRecord]:
    deadline = time.monotonic() + seconds
    while True:
        before, records = records, [record for record in records if record.alive]
        for record in before:  # after the look: what ends between the two is reaped in the next round
            reap(record.pid)
        if not records or time.monotonic() >= deadline:
            return records
        time.sleep(poll)


def reap(pid: int) -> int | None:
    """Collect an ended daemon that this process started, so that no zombie stays; its exit code, or None."""
    if pid not in _children:
        return None
    try:
        ended, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        ended, status = pid, 0
    if not ended:
        return None
    _children.discard(pid)
    return os.waitstatus_to_exitcode(status)


def _signal(record: ProcessRecord, number: int) -> None:
    if record.alive:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(record.pid, number)


@dataclass(frozen=True)
class ProcessInfo:
    """A process in `/proc`; fields that may not be read are empty."""

    pid: int
    session: int
    terminal: int
    cwd: str
    command: tuple[str, ...]
    environ: tuple[str, ...]


def processes() -> Iterator[ProcessInfo]:
    """All running processes except this one. None without /proc: the NodeManager's shutdown ends its containers there."""
    if not PROC.joinpath("self/stat").exists():
        return
    for entry in PROC.iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            state, _, session, terminal, _ = parse_stat((entry / "stat").read_text())
        except (OSError, ValueError, IndexError):
            continue
        if state not in "ZX":
            yield ProcessInfo(
                int(entry.name), session, terminal, _cwd(entry), _split(entry / "cmdline"), _split(entry / "environ")
            )


def _cwd(entry: Path) -> str:
    try:
        return str((entry / "cwd").readlink())
    except OSError:
        return ""


def _split(path: Path) -> tuple[str, ...]:
    try:
        return tuple(part.decode(errors="replace") for part in path.read_bytes().split(b"\0"))
    except OSError:
        return ()


def containers_of(local_dir: str, seen: list[ProcessInfo]) -> list[ProcessInfo]:
    """Processes of containers that ran under a NodeManager's local folder.

    YARN sets `LOCAL_DIRS` for every container. All processes of the same session belong to the container, and so do
    processes with a working directory below the folder and without a terminal (a shell of the user has one).
    """
    inside = local_dir.rstrip("/") + "/"
    marked = {
        process.session
        for process in seen
        if any(entry.startswith(f"LOCAL_DIRS={inside}") for entry in process.environ)
    }
    return [
        process
        for process in seen
        if process.session in marked or (process.cwd.startswith(inside) and process.terminal == 0)
    ]


def records(seen: Iterable[ProcessInfo]) -> list[ProcessRecord]:
    """Records of processes, without those that have ended."""
    marks = ((process.pid, start_mark(process.pid)) for process in seen)
    return [ProcessRecord(pid, mark) for pid, mark in marks if mark]


def sweep(select: Callable[[list[ProcessInfo]], list[ProcessInfo]], grace: float, rounds: int = 5) -> int:
    """End the processes that `select` returns, repeatedly until none is left, as they may fork.

    Returns the number of ended processes.
    """
    count = 0
    for _ in range(rounds):
        found = records(select(list(processes())))
        if not found:
            break
        count += len(found)
        end(found, grace)
    return count
