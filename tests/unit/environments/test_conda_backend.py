"""A conda program as the solver: a stand-in with conda's command line, see conda_stand_in.py."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from knit_core.environments import Environment, EnvironmentBuilder, SolveError
from tests.unit.environments.conftest import PACKAGES

DEADLINE = 60.0  # seconds


@pytest.fixture
def conda(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A `conda` on the PATH."""
    program = tmp_path / "bin" / "conda"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} {Path(__file__).parent / "conda_stand_in.py"} "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("RATTLER_CACHE_DIR", str(tmp_path / "rattler"))
    return program


def test_same_packages_give_the_same_archive(
    conda: Path, built: Environment, difficult_channel: str, tmp_path: Path
) -> None:
    """conda writes the path of its prefix to text files and binaries; the archive does not contain it."""
    builder = EnvironmentBuilder(tmp_path / "cache", solver="conda")
    environment = builder.create("bed", PACKAGES, [difficult_channel])
    assert (environment.key, environment.sha256) == (built.key, built.sha256)


def test_pip_packages_and_variables_on_top(
    conda: Path, difficult_channel: str, index: Path, cache: Path, tmp_path: Path
) -> None:
    """The archive is the same as with py-rattler, although the installed files have another path."""
    said = {"pip": ["bed-beta"], "variables": {"BED_MODE": "fast"}}
    packages = ["python", "bed-binary"]
    one = EnvironmentBuilder(tmp_path / "cache", solver="conda").create("x", packages, [difficult_channel], **said)  # type: ignore[arg-type]
    other = EnvironmentBuilder(cache).create("x", packages, [difficult_channel], **said)  # type: ignore[arg-type]
    assert one.sha256 == other.sha256


def test_its_reason_is_in_the_error(conda: Path, difficult_channel: str, tmp_path: Path) -> None:
    with pytest.raises(SolveError, match="no-such-package"):
        EnvironmentBuilder(tmp_path / "cache", solver="conda").create("x", ["no-such-package"], [difficult_channel])


def test_interrupt_ends_it(conda: Path, difficult_channel: str, tmp_path: Path) -> None:
    code = (
        "import sys; from knit_core.environments import EnvironmentBuilder\n"
        "EnvironmentBuilder(sys.argv[1], solver='conda').create('x', ['hang'], [sys.argv[2]])"
    )
    pid_file = tmp_path / "pid"
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "cache"), difficult_channel],
        env={**os.environ, "STAND_IN_PID": str(pid_file)},
        stderr=subprocess.DEVNULL,
    )
    try:
        give_up = time.monotonic() + DEADLINE
        while not (pid_file.exists() and pid_file.read_text().endswith("\n")):
            assert time.monotonic() < give_up
            assert process.poll() is None
            time.sleep(0.02)
        hanging = psutil.Process(int(pid_file.read_text()))
        process.send_signal(signal.SIGINT)
        process.wait(timeout=DEADLINE)
        assert psutil.wait_procs([hanging], timeout=DEADLINE)[1] == []
    finally:
        process.kill()
        process.wait()
