"""A build that is killed or interrupted while uv runs: uv ends, nothing incomplete is used, the next call succeeds."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from knit_core.environments import EnvironmentBuilder
from tests.wheel_harness import served

DEADLINE = 60.0  # seconds

BUILD = """
import sys
from knit_core.environments import EnvironmentBuilder
EnvironmentBuilder(sys.argv[1]).create("bed", pip=["bed-beta"])
"""


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pip-interrupted")


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_ended_while_uv_downloads(how: signal.Signals, cache: Path, wheels: Path, index: Path, tmp_path: Path) -> None:
    with served(wheels, hangs=True) as (url, asked):
        environment = {**os.environ, "UV_DEFAULT_INDEX": url}
        del environment["UV_NO_INDEX"], environment["UV_FIND_LINKS"]
        environment["UV_CACHE_DIR"] = str(tmp_path)  # Knit uses its own folder, not the caller's
        process = subprocess.Popen(
            [sys.executable, "-c", BUILD, str(cache)], env=environment, stderr=subprocess.PIPE, text=True
        )
        try:
            assert asked.wait(DEADLINE)
            below = psutil.Process(process.pid).children(recursive=True)
            assert [child for child in below if child.name() == "uv"]
            process.send_signal(how)
            _, errors = process.communicate(timeout=DEADLINE)
            assert psutil.wait_procs(below, timeout=DEADLINE)[1] == []
        finally:
            process.kill()
            process.communicate()
    assert [*tmp_path.iterdir()] == []
    if how is signal.SIGINT:
        assert errors.rstrip().endswith("KeyboardInterrupt")
        assert [*(cache / "work").iterdir()] == []
    assert EnvironmentBuilder(cache).list() == []
    made = EnvironmentBuilder(cache / "good").create("bed", pip=["bed-beta"])
    again = EnvironmentBuilder(cache).create("bed", pip=["bed-beta"])
    assert again.sha256 == made.sha256
    assert [*(cache / "work").iterdir()] == []
    (cache / "names" / "bed.json").unlink()
    for request in (cache / "requests").iterdir():
        request.unlink()
