"""A test run that is killed leaves no processes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests import guard
from tests.cluster_harness import eventually

_RUN = """
import subprocess, sys, time
from tests import guard
watcher = guard.start()
script = "import subprocess, sys, time; subprocess.Popen(['sleep', '4242'], env={}, start_new_session=True); time.sleep(4242)"
marked = subprocess.Popen([sys.executable, "-c", script], start_new_session=True)  # an Airflow, and a task of its own
bare = subprocess.Popen(["sleep", "4242"], env={}, start_new_session=True)  # one of Hadoop's daemons
print(watcher.pid, bare.pid, marked.pid, flush=True)
time.sleep(4242)
"""


@pytest.mark.long
def test_what_a_killed_run_has_started_is_killed() -> None:
    root = Path(__file__).resolve().parents[2]
    run = subprocess.Popen(
        [sys.executable, "-c", _RUN], stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(root)}
    )
    try:
        assert run.stdout is not None
        watcher, *started = [psutil.Process(int(pid)) for pid in run.stdout.readline().split()]
        below = eventually(lambda: started[1].children(), 30, "the marked one has started its own")
        time.sleep(3 * guard.POLL)  # the guard has looked
        assert all(each.is_running() for each in (watcher, *started, *below))
    finally:
        run.kill()
        run.communicate()
    _, alive = psutil.wait_procs([watcher, *started, *below], timeout=60)
    assert alive == []
