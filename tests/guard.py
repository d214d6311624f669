"""Ends what a killed test run leaves: its clusters, its Airflows and whatever they started.

A run that ends by itself takes down all that it has started. One that is killed cannot (Ctrl-C kills pytest-xdist's
processes without their fixtures' ends, too). So each test process has a guard: a process in a session of its own that
waits until its parent is gone, then kills what that had started: what it saw below its parent, what carries the run's
mark in its environment (Hadoop's daemons have an environment of their own), and what those have started.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterable

import psutil

MARK = "TESTS_OF_KNIT"  # not KNIT_…: those are settings of the library
POLL = 1.0  # seconds


def start() -> subprocess.Popen[bytes]:
    """Mark this process and all that it starts from now on, and start its guard. Kill the guard when all is taken down."""
    os.environ[MARK] = uuid.uuid4().hex
    return subprocess.Popen(
        [sys.executable, __file__, str(os.getpid()), os.environ[MARK]],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={name: value for name, value in os.environ.items() if name != MARK},
        start_new_session=True,
    )


def marked(mark: str) -> list[psutil.Process]:
    """Processes that carry this mark, and their descendants (containers have an environment of their own)."""
    found: dict[int, psutil.Process] = {}
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == mark:
                found |= {each.pid: each for each in (process, *process.children(recursive=True))}
        except psutil.Error:
            continue
    return list(found.values())


def _below(processes: Iterable[psutil.Process]) -> set[psutil.Process]:
    """Those of them that live, and their descendants."""
    found = set()
    for process in processes:
        with contextlib.suppress(psutil.Error):
            if process.is_running():
                found |= {process, *process.children(recursive=True)}
    return found


def _guard(parent: int, mark: str) -> None:
    own, seen = psutil.Process(), set[psutil.Process]()
    while os.getppid() == parent:
        seen = {each for each in seen if each.is_running()}  # what a dead one had started is below the parent no more
        with contextlib.suppress(psutil.Error):
            seen.update(psutil.Process(parent).children(recursive=True))
        time.sleep(POLL)
    for _ in range(3):  # what is started just now is found in the next round
        for process in {*seen, *_below(seen), *marked(mark)} - {own}:
            with contextlib.suppress(psutil.Error):
                process.kill()
        time.sleep(POLL)


if __name__ == "__main__":
    _guard(int(sys.argv[1]), sys.argv[2])
