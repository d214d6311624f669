"""Several builders at the same time, and killed builders: one build, and no incomplete result."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from knit_core.environments import Environment, EnvironmentBuilder, Progress, Stage
from knit_core.environments.cache import Cache
from tests.unit.environments.conftest import PACKAGES

DEADLINE = 120.0  # seconds

Start = Callable[[Path, str], "subprocess.Popen[str]"]


@pytest.fixture
def start(difficult_channel: str) -> Iterator[Start]:
    """Starts a builder process that stops at a stage ("-": does not stop), with a cache folder."""
    started: list[subprocess.Popen[str]] = []

    def begin(cache: Path, stage: str) -> subprocess.Popen[str]:
        program = Path(__file__).parent / "interrupted.py"
        process = subprocess.Popen(
            [sys.executable, str(program), str(cache), difficult_channel, stage, *PACKAGES],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
            text=True,
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def children(process: subprocess.Popen[str]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def assert_gone(processes: list[psutil.Process]) -> None:
    _, alive = psutil.wait_procs(processes, timeout=DEADLINE)
    assert alive == []


def assert_good(cache: Path, channel: str, expected: Environment) -> None:
    """The next call gives the right bytes and removes the files of the killed build."""
    environment = EnvironmentBuilder(cache).create("bed", PACKAGES, [channel])
    assert environment.sha256 == expected.sha256
    assert list((cache / "work").iterdir()) == []


@pytest.mark.parametrize(
    "stage",
    ["solve", pytest.param("link", marks=pytest.mark.slow), "pack", pytest.param("done", marks=pytest.mark.slow)],
)
def test_killed_at_a_stage(
    stage: str, start: Start, built: Environment, difficult_channel: str, tmp_path: Path
) -> None:
    process = start(tmp_path, stage)
    assert process.stdout is not None
    assert process.stdout.readline().strip() == stage
    solver = children(process)
    assert bool(solver) == (stage != "done")
    process.kill()
    process.wait()
    assert_gone(solver)
    if stage != "done":
        assert EnvironmentBuilder(tmp_path).list() == []
    assert_good(tmp_path, difficult_channel, built)


@pytest.mark.race
@pytest.mark.slow
def test_killed_at_any_moment(start: Start, built: Environment, difficult_channel: str, tmp_path: Path) -> None:
    """With the same cache, a dozen builds are killed at times spread over a build."""
    moments = random.Random(7)
    for _ in range(12):
        process = start(tmp_path, "-")
        try:
            process.wait(timeout=moments.uniform(0.1, 2.0))
        except subprocess.TimeoutExpired:
            below = children(process)
            process.kill()
            process.wait()
            assert_gone(below)
    assert_good(tmp_path, difficult_channel, built)


@pytest.mark.parametrize("left", [("a",), ("a", "a.lock"), ("a.lock",)])
def test_killed_while_it_cleaned_up(left: tuple[str, ...], tmp_path: Path) -> None:
    """A folder and its lock file are removed one after the other; either may be left."""
    work = tmp_path / "work"
    work.mkdir()
    for name in left:
        (work / name).touch() if name.endswith(".lock") else (work / name).mkdir()
    cache = Cache(tmp_path)
    with cache.work_folder() as mine:
        with Cache(tmp_path).work_folder() as other:  # sweeps what is held as little as the first did
            assert mine.is_dir() and other.is_dir()
        assert sorted(path.name for path in work.iterdir()) == [mine.name, f"{mine.name}.lock"]
    assert list(work.iterdir()) == []


@pytest.mark.parametrize(
    "stage", [pytest.param("solve", marks=pytest.mark.slow), "link", pytest.param("pack", marks=pytest.mark.slow)]
)
def test_interrupted_by_the_user(
    stage: str, start: Start, built: Environment, difficult_channel: str, tmp_path: Path
) -> None:
    process = start(tmp_path, stage)
    assert process.stdout is not None
    assert process.stdout.readline().strip() == stage
    below = children(process)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=DEADLINE)
    assert errors.rstrip().endswith("KeyboardInterrupt"), errors
    assert_gone(below)
    assert list((tmp_path / "work").iterdir()) == []  # an interrupted build removes its folder
    assert_good(tmp_path, difficult_channel, built)


def test_dead_solver_is_an_error_not_a_hang(difficult_channel: str, tmp_path: Path) -> None:
    from knit_core.environments import EnvironmentFailed

    def kill_solver(event: Progress) -> None:
        if event.stage is Stage.SOLVE:
            for child in psutil.Process().children():
                child.kill()

    with pytest.raises(EnvironmentFailed, match="process ended"):
        EnvironmentBuilder(tmp_path).create("bed", PACKAGES, [difficult_channel], progress=kill_solver)
    assert list((tmp_path / "work").iterdir()) == []


@pytest.mark.race
def test_four_at_once_build_once(start: Start, built: Environment, tmp_path: Path) -> None:
    processes = [start(tmp_path, "-") for _ in range(4)]
    results = [process.communicate(timeout=DEADLINE) for process in processes]
    done = sorted(out.split()[::-1] for out, _ in results)
    assert done == [["cached", built.sha256]] * 3 + [["packed", built.sha256]], results
    environments = list((tmp_path / "environments").iterdir())
    assert len(environments) == 1
    assert list((tmp_path / "work").iterdir()) == []


def test_a_waiting_build_reports_it(start: Start, difficult_channel: str, built: Environment, tmp_path: Path) -> None:
    first = start(tmp_path, "link")
    assert first.stdout is not None
    first.stdout.readline()

    def let_go(event: Progress) -> None:
        events.append(event)
        if event.stage is Stage.WAIT:
            first.kill()

    events: list[Progress] = []
    begun = time.monotonic()
    environment = EnvironmentBuilder(tmp_path).create("bed", PACKAGES, [difficult_channel], progress=let_go)
    assert environment.sha256 == built.sha256
    assert (events[0].stage, str(first.pid) in events[0].message) == (Stage.WAIT, True)
    assert time.monotonic() - begun < DEADLINE
