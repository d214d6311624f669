"""Runs a real Airflow on this machine, each of its parts a process of its own, for the tests and the demo.

`airflow standalone` does not restart a dead part and cannot end one of them; fault tests need both. So the four parts
(api-server, scheduler with LocalExecutor, dag-processor, triggerer) are started one by one here: SQLite, loopback, free
ports, every part in a session of its own, so that whatever it forked can be found and ended by process id.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil

from tools.airflow_client import AirflowClient

PARTS = ("api-server", "scheduler", "dag-processor", "triggerer")

#: Seconds that a part waits for SQLite's lock; the api-server may wait for itself, so that more only stops everything for longer.
LOCK_TIMEOUT = 10
LONG_AGO = "2020-01-01 00:00:00.000000"

#: Faults are noticed soon, changed files are read at once (those that stayed the same not all the time, which takes a whole
#: core). What has to be long for a busy machine, where a living process may be silent for half a minute, is made short for
#: the dead by `AirflowProcesses.age`.
QUICK = {
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "90",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
    "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "1",
    "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "1",
    "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "60",
    "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "2",
    "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "600",
    "AIRFLOW__DAG_PROCESSOR__BUNDLE_REFRESH_CHECK_INTERVAL": "2",
    "AIRFLOW__CORE__MIN_SERIALIZED_DAG_UPDATE_INTERVAL": "0",
}


class AirflowDidNotStart(Exception):
    """A part ended by itself or was not healthy in time; the message holds the last lines of its log."""


def free_ports(count: int) -> list[int]:
    """That many TCP ports of 127.0.0.1 that nobody uses at the moment."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def session_processes(leader: int) -> Iterator[psutil.Process]:
    """Every living process of the session that `leader` began."""
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == leader and process.status() != psutil.STATUS_ZOMBIE:
                yield process
        except (psutil.Error, OSError):
            continue


class AirflowProcesses:
    """An Airflow installation under one folder.

    Parameters:
        home: AIRFLOW_HOME; made if missing. Logs of the parts are written to `home/parts/<part>.log`.
        dags: folder with the DAG files.
        variables: environment variables for all parts (`AIRFLOW_CONN_…`, `AIRFLOW_VAR_…`, `PYTHONPATH` …).
        quick: faults are noticed within seconds (for tests); False leaves Airflow's own times.
        parallelism: how many tasks run at once.
        python: the interpreter that has Airflow and knit-yarn installed.
    """

    def __init__(
        self,
        home: Path,
        dags: Path,
        *,
        variables: Mapping[str, str] | None = None,
        quick: bool = False,
        parallelism: int = 4,
        python: str = sys.executable,
    ) -> None:
        self.home, self.dags, self.python = home, dags, python
        self.database = home / "airflow.db"
        self.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.dags.mkdir(parents=True, exist_ok=True)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._sessions: set[int] = set()
        port, worker_logs, trigger_logs, *_ = free_ports(3)
        self.url = f"http://127.0.0.1:{port}"
        self.environment = {
            # Settings of another Airflow (of the calling process, say) must not leak into this one.
            **{name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW_")},
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__PARALLELISM": str(parallelism),
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            # Waits for a lock instead of failing after 5 s, which a busy machine needs now and then.
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{self.database}?timeout={LOCK_TIMEOUT}",
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": str(port),
            "AIRFLOW__API__BASE_URL": self.url,
            "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(worker_logs),
            "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(trigger_logs),
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
            "NO_PROXY": "127.0.0.1,localhost",
            **(QUICK if quick else {}),
            **(variables or {}),
        }
        self.client = AirflowClient(self.url)

    def start(self, deadline: float = 240) -> None:
        """Make the database, start all parts and wait until each says that it is healthy.

        Parameters:
            deadline: seconds for all of it.

        Raises:
            AirflowDidNotStart: with the end of the part's log.
        """
        until = time.monotonic() + deadline
        # Alone and first: it also writes airflow.cfg with this installation's random keys, which the parts share.
        self._run("db", "migrate", timeout=deadline)
        # Kept in the file: readers and the one writer no longer wait for each other.
        with contextlib.closing(sqlite3.connect(self.database)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
        for part in PARTS:
            self.start_part(part)
        self.wait_healthy(until - time.monotonic())

    def wait_healthy(self, deadline: float = 60, parts: tuple[str, ...] = PARTS) -> None:
        """Wait until the database, and every one of these parts, is healthy.

        Raises:
            AirflowDidNotStart: a part ended, or the deadline (seconds) passed.
        """
        until = time.monotonic() + deadline
        keys = {"scheduler": "scheduler", "dag-processor": "dag_processor", "triggerer": "triggerer"}
        wanted = {"metadatabase", *(keys[part] for part in parts if part in keys)}
        while True:
            health = self.client.health()
            if all((health.get(key) or {}).get("status") == "healthy" for key in wanted):
                return
            for part in parts:
                if part in self._processes and self._processes[part].poll() is not None:
                    raise AirflowDidNotStart(f"Airflow's {part} ended by itself:\n{self.tail(part)}")
            if time.monotonic() > until:
                logs = "\n".join(f"--- {part}\n{self.tail(part, 15)}" for part in parts)
                raise AirflowDidNotStart(f"Airflow was not healthy after {deadline:.0f} s: {health}\n{logs}")
            time.sleep(0.3)

    def start_part(self, part: str) -> int:
        """Start one part (one of PARTS) without waiting for it; returns its process id."""
        log = self.log_of(part)
        log.parent.mkdir(exist_ok=True)
        with log.open("ab") as output:
            process = subprocess.Popen(
                [self.python, "-m", "airflow", part],
                env=self.environment,
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._processes[part] = process
        self._sessions.add(process.pid)
        return process.pid

    def signal_part(
        self, part: str, number: signal.Signals = signal.SIGTERM, deadline: float = 30, *, alone: bool = False
    ) -> int:
        """Send a signal to a part and wait until it has ended; returns its process id.

        Parameters:
            number: SIGKILL goes to all processes of its session at once. Any other is sent again after half of the
                time: Airflow ends by an exception in its handler, which gets lost where exceptions are ignored.
            deadline: seconds.
            alone: not so: what it has forked lives on (a scheduler's workers; `end_session` ends them).

        Raises:
            TimeoutError: it still lives after `deadline` seconds.
        """
        process = self._processes[part]
        for _ in range(2):
            if number == signal.SIGKILL and not alone:
                self.end_session(process.pid)
            else:
                process.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(deadline / 2)
                del self._processes[part]
                return process.pid
        busy = sorted({_command(each) for each in session_processes(process.pid)})
        raise TimeoutError(
            f"Airflow's {part} did not end within {deadline:.0f} s of {number.name}; it still has {busy}"
        )

    def mend(self, deadline: float = 60) -> list[str]:
        """Start the parts again that have ended, and those that do not work any more; returns their names.

        Parameters:
            deadline: seconds that a part has to become healthy by itself, and again after its new start.

        Raises:
            AirflowDidNotStart: they still are not.
        """
        mended = [part for part in PARTS if not self.lives(part)]
        for part in mended:
            self.start_part(part)
        for part in PARTS:
            try:
                self.wait_healthy(deadline, (part,))
            except AirflowDidNotStart:
                self.signal_part(part, signal.SIGKILL)
                self.start_part(part)
                mended.append(part)
        if mended:
            self.wait_healthy(deadline)
        return mended

    def end_session(self, leader: int) -> None:
        """SIGKILL for all processes of the session that a part (its process id) began."""
        for each in session_processes(leader):
            _send(each, signal.SIGKILL)

    def age(self, part: str) -> None:
        """Let the last heartbeats of a part that is dead (`scheduler`, `triggerer`) be of long ago.

        As if that much time had passed: what it worked on is then taken over at once.
        """
        kind = {"scheduler": "SchedulerJob", "triggerer": "TriggererJob"}[part]
        self._sql("UPDATE job SET latest_heartbeat = ? WHERE job_type = ?", LONG_AGO, kind)

    def age_task(self, dag_id: str, run_id: str, task_id: str) -> None:
        """The same for a task whose worker is dead."""
        where = "dag_id = ? AND run_id = ? AND task_id = ? AND state = 'running'"
        self._sql(f"UPDATE task_instance SET last_heartbeat_at = ? WHERE {where}", LONG_AGO, dag_id, run_id, task_id)

    def _sql(self, statement: str, *values: str) -> None:
        with contextlib.closing(sqlite3.connect(self.database, timeout=LOCK_TIMEOUT)) as connection, connection:
            connection.execute(statement, values)

    def lives(self, part: str) -> bool:
        """Whether a part has been started and has not ended since."""
        return part in self._processes and self._processes[part].poll() is None

    def stop(self, grace: float = 10) -> None:
        """End every process that this object started, children included: SIGTERM, after `grace` seconds SIGKILL."""
        for part in ("scheduler", "triggerer", "dag-processor", "api-server"):
            process = self._processes.get(part)
            if process is not None and process.poll() is None:
                process.terminate()
        until = time.monotonic() + grace
        for process in self._processes.values():
            try:
                process.wait(max(0.1, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                continue
        left = [each for leader in self._sessions for each in session_processes(leader)]
        for each in left:
            _send(each, signal.SIGKILL)
        psutil.wait_procs(left, timeout=5)
        for process in self._processes.values():
            process.wait(5)
        self._processes.clear()

    def living(self) -> list[psutil.Process]:
        """All processes of this Airflow that are alive now, tasks included."""
        return [each for leader in self._sessions for each in session_processes(leader)]

    def memory(self) -> int:
        """Bytes of memory that its processes hold by themselves (unique set size)."""
        total = 0
        for each in self.living():
            try:
                total += each.memory_full_info().uss
            except psutil.Error:
                continue
        return total

    def log_of(self, part: str) -> Path:
        """The file that holds a part's output."""
        return self.home / "parts" / f"{part}.log"

    def tail(self, part: str, lines: int = 40) -> str:
        """The last lines of a part's output."""
        log = self.log_of(part)
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:]) if log.exists() else "(no output)"

    def _run(self, *arguments: str, timeout: float) -> str:
        done = subprocess.run(
            [self.python, "-m", "airflow", *arguments],
            env=self.environment,
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if done.returncode:
            output = "\n".join((done.stdout + done.stderr).splitlines()[-30:])
            raise AirflowDidNotStart(f"`airflow {' '.join(arguments)}` ended with {done.returncode}:\n{output}")
        return done.stdout


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())[:150]
    except psutil.Error:
        return "one that ended just now"


def _send(process: psutil.Process, number: signal.Signals) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(number)
