"""Applications of all kinds start, churn, fail and end on an embedded cluster while daemons are killed at random.

    python -m tests.faults.soak --minutes 30        (make soak, make soak MINUTES=120)

It prints its seed, each fault as it happens, and a table at the end. The exit code is 0 only when no result was lost or
doubled, nothing hung, and nothing grew or was left behind. `--seed` repeats the choice of applications and faults, not
the moments at which they meet.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import gc
import random
import re
import signal
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from knit_core import Application, Knit
from knit_core.errors import ApplicationEnded, KnitError
from knit_core.local import LocalCluster, LocalClusterError
from tests import guard
from tests.cluster_harness import kill_application, living_applications, rm_get
from tests.fault_proxy import paused
from tests.faults.evidence import about
from tests.faults.soak_applications import ATTEMPTS, DRAIN, KINDS, SMALL

SETTINGS = {
    "yarn.nm.liveness-monitor.expiry-interval-ms": "6000",
    "yarn.resourcemanager.nm.liveness-monitor.interval-ms": "500",
    "yarn.am.liveness-monitor.expiry-interval-ms": "20000",
    "yarn.resourcemanager.am.max-attempts": str(ATTEMPTS),
    "yarn.resourcemanager.max-completed-applications": "20000",  # the check at the end asks for old ones
}
WORKERS = 3  # applications side by side
DESCRIPTORS = 24  # growth allowed for connections that are kept open
MEMORY = 48 << 20  # bytes of growth allowed per 1,000 launches, on top of as many for what is loaded late

# what an ApplicationMaster writes before it renames it (ApplicationFolder, JournalFiles)
_OF_ATTEMPT = re.compile(
    r"/(?P<id>application_\d+_\d+)/\.(?:journal-|(?:master|result\.json)\.)(?P<attempt>\d+)(?:-\d+)?$"
)


@dataclass
class Tally:
    """What happened, and what is wrong."""

    applications: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    transient: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    measures: dict[str, str] = field(default_factory=dict)
    master_memory: int = 0

    def table(self) -> str:
        """For people."""
        rows = [("applications", str(self.applications.total())), *_rows(self.applications)]
        rows += [("faults", str(self.faults.total())), *_rows(self.faults)]
        rows += [("transient errors told", str(self.transient.total())), *_rows(self.transient)]
        rows += list(self.measures.items())
        rows += [("lost, doubled, hung or left", str(len(self.wrong)))]
        width = max(len(name) for name, _ in rows)
        return "\n".join(
            [f"{name:{width}}  {value}" for name, value in rows] + [f"WRONG: {text}" for text in self.wrong]
        )


def _rows(counter: Counter[str]) -> list[tuple[str, str]]:
    return [(f"  {name}", str(count)) for name, count in sorted(counter.items())]


class Soak:
    """One run.

    Args:
        minutes: of churn and faults, before everything is to end.
        seed: for the choices.
        say: gets a line per fault.
    """

    def __init__(self, minutes: float, seed: int, say: Callable[[str], None] = print) -> None:
        self.seconds, self.seed, self.say = minutes * 60, seed, say
        self.tally = Tally()
        self.evidence: Callable[[str], list[str]] = lambda problem: []
        self._over = threading.Event()
        self._lock = threading.Lock()

    def run(self) -> Tally:
        """Start the cluster, run, take it down; what happened."""
        self.say(f"soak: seed {self.seed}, {self.seconds / 60:g} minutes")
        with tempfile.TemporaryDirectory(prefix="knit-soak-") as name:
            self.cluster = LocalCluster(Path(name) / "state")
            try:
                self.cluster.up(nodes=2, recovery=True, settings=SETTINGS)
                self.cluster.add_user("alice")
                with Knit(self.cluster.resourcemanager_url, user="alice") as self.knit:
                    self.evidence = lambda problem: about(self.knit, self.cluster, problem)
                    self._churn()
                    self._leftovers()
            finally:
                self.cluster.down(delete=True)
        return self.tally

    # -- the run -----------------------------------------------------------

    def _churn(self) -> None:
        start = time.monotonic()
        for kind in KINDS:  # everything that is loaded and opened once is there before it is measured
            self._one(kind, random.Random(self.seed))
        before, begun = self._usage(), self.tally.applications.total()
        workers = [threading.Thread(target=self._work, args=(number,), daemon=True) for number in range(WORKERS)]
        chaos = threading.Thread(target=self._chaos, daemon=True)
        watch = threading.Thread(target=self._watch, daemon=True)
        for thread in (*workers, chaos, watch):
            thread.start()
        self._over.wait(max(self.seconds / 2, self.seconds - (time.monotonic() - start)))
        self._over.set()
        deadline = time.monotonic() + DRAIN
        chaos.join(DRAIN)
        for worker in workers:
            worker.join(max(0.0, deadline - time.monotonic()))
        hung = [thread.name for thread in (*workers, chaos) if thread.is_alive()]
        if hung:
            faulthandler.dump_traceback(sys.__stderr__, all_threads=True)
            self.tally.wrong.append(f"not ended {DRAIN:g} s after the last fault: {', '.join(hung)}")
        self._grown(before, self._usage(), self.tally.applications.total() - begun)

    def _work(self, number: int) -> None:
        rng = random.Random(f"{self.seed}/{number}")
        while not self._over.is_set():
            self._one(rng.choice(list(KINDS)), rng)

    def _one(self, kind: str, rng: random.Random) -> None:
        """One application from its start to its end; whatever is not as it must be is noted."""
        try:
            problem = KINDS[kind](self, rng)
        except ApplicationEnded as error:
            problem = f"{type(error).__name__}: {error}"
        except Exception as error:
            problem = f"{error!r}"
        with self._lock:
            self.tally.applications[kind] += 1
            if problem:
                self.tally.wrong.append(f"{kind}: {problem}")
                self.say(f"soak: WRONG: {kind}: {problem}")
        for line in self.evidence(problem or ""):
            self.say(line)

    def again(self, action: Callable[[], Any], seconds: float = DRAIN) -> Any:
        """The action's value; after a transient error it is done again, as a user would."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                return action()
            except KnitError as error:
                if not error.transient or isinstance(error, ApplicationEnded) or time.monotonic() > deadline:
                    raise
                with self._lock:
                    self.tally.transient[type(error).__name__] += 1
                time.sleep(0.5)

    def submit(self, command: Any, **options: Any) -> Application:
        """Launch with a key, until it is accepted."""
        key = uuid.uuid4().hex
        return self.again(lambda: self.knit.submit(command, key=key, attempts=ATTEMPTS, **{**SMALL, **options}))  # type: ignore[no-any-return]

    # -- faults ------------------------------------------------------------

    def _chaos(self) -> None:
        rng = random.Random(f"{self.seed}/faults")
        while not self._over.wait(rng.uniform(4, 12)):
            name = rng.choices(list(FAULTS), [weight for weight, _ in FAULTS.values()])[0]
            self.say(f"soak: {name}")
            try:
                self._restart_the_dead()
                if FAULTS[name][1](self, rng):
                    self.tally.faults[name] += 1
            except (LocalClusterError, OSError) as error:
                self.tally.wrong.append(f"fault {name}: the cluster did not come back: {error}")

    def _restart_the_dead(self) -> None:
        """A daemon that ended by itself counts as something wrong (what we ask of it may have been the cause)."""
        for daemon in self.cluster.status().daemons:
            if daemon.pid is None:
                self.say(f"soak: {daemon.name} has ended by itself")
                self.tally.wrong.append(f"{daemon.name} ended by itself: {_cause(self.cluster.logs(daemon.name, 400))}")
                self.cluster.restart(only=[daemon.name])

    def masters(self) -> list[psutil.Process]:
        """Processes of this cluster's ApplicationMasters."""
        found = []
        for process in psutil.process_iter(["cmdline", "cwd"]):
            line = process.info["cmdline"] or []
            if (
                "knit.am.Main" in line
                and line[0].endswith("java")
                and str(self.cluster.state_dir) in (process.info["cwd"] or "")
            ):
                found.append(process)
        return found

    # -- measures ----------------------------------------------------------

    def _watch(self) -> None:
        while not self._over.wait(2.0):
            for process in self.masters():
                with contextlib.suppress(psutil.Error):
                    self.tally.master_memory = max(self.tally.master_memory, process.memory_info().rss)

    def _usage(self) -> tuple[int, int]:
        """(resident bytes, open descriptors) of this process."""
        gc.collect()
        own = psutil.Process()
        return own.memory_info().rss, own.num_fds()

    def _grown(self, before: tuple[int, int], after: tuple[int, int], launches: int) -> None:
        memory, descriptors = after[0] - before[0], after[1] - before[1]

        def per(growth: float) -> str:  # a few launches say nothing about a thousand
            return f"{growth:+.0f} in {launches} launches" + (
                f", {growth * 1000 / launches:+.0f} per 1,000" if launches >= 100 else ""
            )

        self.tally.measures |= {
            "client memory": f"{before[0] >> 20} MiB, then {after[0] >> 20} MiB ({per(memory / (1 << 20))})",
            "client descriptors": f"{before[1]}, then {after[1]} ({per(descriptors)})",
            "largest ApplicationMaster": f"{self.tally.master_memory >> 20} MiB resident",
        }
        if memory > MEMORY + MEMORY * launches / 1000:
            self.tally.wrong.append(f"the client's memory grew by {memory >> 20} MiB in {launches} launches")
        if descriptors > DESCRIPTORS:
            self.tally.wrong.append(f"{descriptors} descriptors more after {launches} launches")

    def _leftovers(self) -> None:
        living = self.again(lambda: living_applications(self.cluster))
        for app_id in living:
            self.tally.wrong.append(f"left running: {app_id}")
            kill_application(self.cluster, app_id)
        deadline = time.monotonic() + 30
        while self._programs() and time.monotonic() < deadline:
            time.sleep(0.5)
        self.tally.wrong += [f"left running: {line}" for line in self._programs()]
        files = [path for path in self._files(f"/user/alice/{Path(self.knit.config.staging).name}")]
        temporary = [path for path in files if path.endswith(".tmp") or path.rpartition("/")[2].startswith(".")]
        killed = [path for path in temporary if self._of_killed_attempt(path)]
        self.tally.measures["files on HDFS"] = f"{len(files)}, temporary: {len(temporary)}"
        unexplained = [path for path in temporary if path not in killed]
        if len(unexplained) > self.tally.applications["two-callers"]:  # each may have left one
            self.tally.wrong.append(f"temporary files on HDFS: {', '.join(unexplained[:5])} …")

    def _of_killed_attempt(self, path: str) -> bool:
        """Whether an ApplicationMaster was writing this file when it was killed: it cannot have deleted it."""
        found = _OF_ATTEMPT.search(path)
        if found is None:
            return False
        state = rm_get(self.cluster, f"/apps/{found['id']}")["app"]["state"]
        attempts = rm_get(self.cluster, f"/apps/{found['id']}/appattempts")["appAttempts"]["appAttempt"]
        return state == "KILLED" or len(attempts) > int(found["attempt"])

    def _programs(self) -> list[str]:
        """Command lines of processes in containers of this cluster."""
        found = []
        for process in psutil.process_iter(["cmdline", "cwd"]):
            if f"{self.cluster.state_dir}/nodes/" in (process.info["cwd"] or ""):
                found.append(" ".join(process.info["cmdline"] or [])[:120])
        return found

    def _files(self, folder: str) -> Iterator[str]:
        for entry in self.knit.hdfs.list(folder):
            if entry.folder:
                yield from self._files(entry.path)
            else:
                yield entry.path


def _cause(lines: list[str]) -> str:
    """The first line of a log's end that names an exception."""
    return next(
        (line.strip() for line in lines if "Exception" in line and not line.startswith("\tat")), "no word of it"
    )


# -- faults: whether it took place ---------------------------------------------


def kill_a_master(soak: Soak, rng: random.Random) -> bool:
    found = soak.masters()
    if not found:
        return False
    with contextlib.suppress(psutil.Error):
        rng.choice(sorted(found, key=lambda process: process.pid)).send_signal(signal.SIGKILL)
    return True


def _killed_daemon(name: str) -> Callable[[Soak, random.Random], bool]:
    def fault(soak: Soak, rng: random.Random) -> bool:
        soak.cluster.kill(name)
        time.sleep(rng.uniform(0, 3))
        soak.cluster.restart(only=[name])
        return True

    return fault


def _stopped_daemon(name: str) -> Callable[[Soak, random.Random], bool]:
    def fault(soak: Soak, rng: random.Random) -> bool:
        pid = next(daemon.pid for daemon in soak.cluster.status().daemons if daemon.name == name)
        assert pid is not None
        with paused(pid):
            time.sleep(rng.uniform(1, 4))
        return True

    return fault


FAULTS: dict[str, tuple[int, Callable[[Soak, random.Random], bool]]] = {
    "ApplicationMaster killed": (4, kill_a_master),
    "ResourceManager killed": (2, _killed_daemon("resourcemanager")),
    "NameNode killed": (2, _killed_daemon("namenode")),
    "NodeManager killed": (1, _killed_daemon("nodemanager-2")),
    "ResourceManager stopped for a while": (1, _stopped_daemon("resourcemanager")),
    "NameNode stopped for a while": (1, _stopped_daemon("namenode")),
    "DataNode stopped for a while": (1, _stopped_daemon("datanode")),
    "NodeManager stopped for a while": (1, _stopped_daemon("nodemanager")),
}


def main() -> int:
    parser = argparse.ArgumentParser(description="A soak on an embedded cluster of its own.")
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    given = parser.parse_args()
    watcher = guard.start()  # a soak that is killed leaves no daemons
    tally = Soak(given.minutes, given.seed, lambda text: print(text, flush=True)).run()
    watcher.kill()
    print(tally.table(), flush=True)
    return 1 if tally.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
