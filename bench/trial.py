"""One launch by one peer, measured from outside.

A peer's script gets one JSON argument: `resourcemanager` (address), `command`, `instances`, `memory` (MiB), `archive`
(path or null), `seed` (keyword arguments of knit 0.2.4). It prints one line of JSON, {submitting, submitted: seconds of
the epoch, id}, waits for a line on its input, ends its application and exits.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import probes

HERE = Path(__file__).resolve().parent
INSTANCES = 2
MEMORY = 256  # MiB per container
SETTLED = 1.0  # seconds from the last container's start to the reading of memory


@dataclass(frozen=True)
class Peer:
    """A peer: its name, its script, the Python that runs it, and what differs in its environment."""

    name: str
    script: str
    python: Path
    env: dict[str, str]


@dataclass(frozen=True)
class Bed:
    """The cluster as a trial needs it."""

    resourcemanager: str
    datanode: str
    seed: dict[str, Any]
    work: Path


class Failed(Exception):
    """A peer did not do it; the text says what it said."""


def cold(peer: Peer, bed: Bed) -> dict[str, float]:
    """Process start to two containers, and memory. Seconds and MiB."""
    marks = _fresh(bed.work / "marks")
    script = bed.work / "mark.sh"
    script.write_text(
        f'date +%s.%N > "{marks}/.$CONTAINER_ID"\nmv "{marks}/.$CONTAINER_ID" "{marks}/$CONTAINER_ID"\nexec sleep 600\n'
    )
    with Launch(peer, bed, f"sh {script}", INSTANCES, None) as launch:
        told = launch.told()
        last = max(launch.marks(marks, INSTANCES))
        time.sleep(SETTLED)
        master = probes.master_pid(told["id"])
        if launch.watch.seen is None or master is None:
            raise Failed("its ApplicationMaster was not seen")
        processor = probes.registered(master)
        return {
            **({} if processor is None else {"master_cpu": processor}),
            "script_to_containers": last - launch.begun,
            "script_to_submit": told["submitting"] - launch.begun,
            "submit_to_master": launch.watch.seen - told["submitting"],
            "master_to_containers": last - launch.watch.seen,
            "client_mib": probes.resident_tree(launch.process.pid),
            "master_mib": probes.resident(master),
        }


def with_environment(peer: Peer, bed: Bed, archive: Path, python: str) -> dict[str, float]:
    """Submit to the first Python line inside an environment, and the bytes that HDFS received meanwhile."""
    marks = _fresh(bed.work / "marks")
    script = bed.work / "mark.py"
    script.write_text(
        "import time\nnow = time.time()\nimport os, pathlib, sys\n"
        f"folder = pathlib.Path({str(marks)!r})\n"
        "name = os.environ['CONTAINER_ID']\n(folder / ('.' + name)).write_text(f'{now} {sys.prefix}')\n"
        "(folder / ('.' + name)).rename(folder / name)\ntime.sleep(600)\n"
    )
    before = probes.received(bed.datanode)
    with Launch(peer, bed, f"{python} {script}", 1, archive) as launch:
        told = launch.told()
        first = max(launch.marks(marks, 1))
        return {
            "submit_to_python": first - told["submitting"],
            "uploaded_bytes": probes.received(bed.datanode) - before,
        }


class Launch:
    """A peer's script while it runs; leaving the block ends the application and waits until the cluster is empty."""

    def __init__(self, peer: Peer, bed: Bed, command: str, instances: int, archive: Path | None) -> None:
        self._bed = bed
        self._log: IO[bytes] = (bed.work / f"{peer.script}.log").open("wb+")
        self._deadline = time.monotonic() + 180
        job = {
            "resourcemanager": bed.resourcemanager,
            "command": command,
            "instances": instances,
            "memory": MEMORY,
            "archive": str(archive) if archive else None,
            "seed": bed.seed,
        }
        argv = [str(peer.python), str(HERE / "peers" / peer.script), json.dumps(job)]
        self.watch = probes.RunningWatch(bed.resourcemanager)
        self.begun = time.time()
        self.process = subprocess.Popen(
            argv, env={**os.environ, **peer.env}, cwd=bed.work, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=self._log, start_new_session=True,
        )  # fmt: skip

    def __enter__(self) -> Launch:
        return self

    def told(self) -> dict[str, Any]:
        """What the script says once it has submitted."""
        out = self.process.stdout
        assert out is not None
        while time.monotonic() < self._deadline:
            if select.select([out], [], [], 1.0)[0]:
                line = out.readline()
                if not line:
                    raise Failed(f"its script ended: {self._last_words()}")
                if line.startswith(b'{"submitting"'):
                    told: dict[str, Any] = json.loads(line)
                    return told
        raise Failed(f"no submission within 180 s: {self._last_words()}")

    def marks(self, folder: Path, count: int) -> list[float]:
        """What the containers wrote, once there are enough of them."""
        while time.monotonic() < self._deadline:
            found = [path for path in folder.iterdir() if not path.name.startswith(".")]
            if len(found) >= count:
                return [float(path.read_text().split()[0]) for path in found]
            if not probes.living(self._bed.resourcemanager):
                raise Failed(f"its application ended without having run the command: {self._last_words()}")
            time.sleep(0.05)
        raise Failed(f"containers did not run within 180 s: {self._last_words()}")

    def __exit__(self, *_exc: object) -> None:
        self.watch.end()
        try:
            self.process.communicate(b"\n", timeout=30)
        except (subprocess.TimeoutExpired, BrokenPipeError):
            os.killpg(self.process.pid, 9)
            self.process.wait()
        self._log.close()
        rm = self._bed.resourcemanager
        for app_id in probes.living(rm):
            probes.kill(rm, app_id)
        _until(lambda: not probes.living(rm) and not probes.allocated(rm), "the cluster is not empty after a trial")

    def _last_words(self) -> str:
        self._log.flush()
        lines = Path(self._log.name).read_text(errors="replace").strip().splitlines()
        return lines[-1][:300] if lines else "(it said nothing)"


def _fresh(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


def _until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(what)
        time.sleep(0.1)
