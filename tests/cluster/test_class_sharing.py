"""An ApplicationMaster's archive of classes on real nodes: made, used, and simply absent when anything about it is not right."""

from __future__ import annotations

import os
import re
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from knit_core import Application, Knit
from knit_core.local import LocalCluster
from tests.cluster_harness import client_of, eventually, own_cluster

SMALL: dict[str, Any] = {"memory": "128 MiB", "name": "archive"}
ENOUGH = 120.0  # seconds
TURNS = 3
MADE = 6  # launches after which both nodes' third is among them


class Run:
    """An application that ends when it is told, on a cluster whose containers' logs stay for a while."""

    def __init__(self, cluster: LocalCluster, knit: Knit, folder: Path, **more: Any) -> None:
        self.cluster, self.go = cluster, folder / "go"
        self.go.unlink(missing_ok=True)
        folder.chmod(0o755)
        command = f"while [ ! -e {self.go} ]; do sleep 0.1; done"
        self.app: Application = knit.submit(command, **SMALL, **more)

    def master(self, attempt: int = 1) -> psutil.Process:
        """The ApplicationMaster's process, once it has registered."""
        found = eventually(lambda: self._process(attempt), ENOUGH, "the ApplicationMaster's process")
        eventually(lambda: "knit: registered" in self.text("stderr", attempt), ENOUGH, "registering")
        assert isinstance(found, psutil.Process)
        return found

    def _process(self, attempt: int) -> psutil.Process | None:
        for process in psutil.process_iter(["cmdline", "cwd"]):
            line = process.info["cmdline"] or []
            place = process.info["cwd"] or ""
            if "knit.am.Main" in line and line[0].endswith("java") and self._container(attempt) in place:
                return process
        return None

    def _container(self, attempt: int) -> str:
        return f"container_{self.app.id.removeprefix('application_')}_{attempt:02}_000001"

    def text(self, name: str, attempt: int = 1) -> str:
        """What the ApplicationMaster has written."""
        for file in self.cluster.state_dir.glob(f"nodes/*/logs/{self.app.id}/{self._container(attempt)}/{name}"):
            return file.read_text()
        return ""

    def processor(self) -> int:
        """Milliseconds of processor time until it registered."""
        found = re.search(r"registered at \d+ ms, (\d+) ms of processor", self.text("stderr"))
        assert found, self.text("stderr")
        return int(found[1])

    def end(self, attempt: int = 1) -> None:
        """Have it succeed, and wait until its ApplicationMaster's process is gone, too."""
        self.go.touch()
        result = self.app.wait(timeout=ENOUGH)
        assert (result.outcome.value, self.app.report().attempt) == ("SUCCEEDED", attempt)
        eventually(lambda: self._process(attempt) is None, ENOUGH, "the process's end")
        assert self.text("stdout", attempt) == ""
        assert "log4j" not in self.text("stderr", attempt)  # its configuration was found


def mapped(process: psutil.Process) -> bool:
    """Whether it has an archive of ours."""
    return any(".jsa" in map.path and "/knit/" in map.path for map in process.memory_maps())


def test_launches_come_to_use_an_archive(clean_cluster: LocalCluster, tmp_path: Path) -> None:
    """Whatever the cluster has seen before; each node's ApplicationMasters make their own."""
    with Knit(clean_cluster.resourcemanager_url, user="alice") as knit:
        for _ in range(MADE):
            run = Run(clean_cluster, knit, tmp_path)
            process = run.master()
            used = mapped(process)
            if used:
                assert "VMOptionsFile" in " ".join(process.cmdline())
            run.go.touch()
            run.app.wait(timeout=ENOUGH)
            psutil.wait_procs([process], timeout=ENOUGH)
            if used:
                return
    pytest.fail(f"no archive was used in {MADE} launches")


@pytest.fixture(scope="module")
def own() -> Iterator[LocalCluster]:
    """One node whose containers' logs stay."""
    with own_cluster("archive", {"yarn.nodemanager.delete.debug-delay-sec": "3600"}, nodes=1) as cluster:
        yield cluster


@pytest.fixture
def knit(own: LocalCluster) -> Iterator[Knit]:
    with client_of(own) as client:
        yield client


@pytest.fixture
def launch(own: LocalCluster, knit: Knit, tmp_path: Path) -> Callable[..., Run]:
    return lambda **more: Run(own, knit, tmp_path, **more)


@pytest.fixture
def folder(own: LocalCluster) -> Path:
    (local,) = own.state_dir.glob("nodes/*/local")
    return local / "usercache/alice/knit"


def only(folder: Path, kind: str) -> Path:
    (found,) = folder.glob(f"*.{kind}")
    return found


def ready(launch: Callable[..., Run], folder: Path) -> None:
    """Have an archive that can be used."""
    for _ in range(4):
        if list(folder.glob("*.jsa")):
            return
        run = launch()
        run.master()
        run.end()
    pytest.fail("no archive was made")


@pytest.mark.slow
def test_from_the_third_launch_on_they_register_with_less_processor_time(
    own: LocalCluster, knit: Knit, folder: Path, tmp_path: Path
) -> None:
    """The ResourceManager's addresses are only in the node's configuration folder, which each of them finds."""

    def registered(maps: bool) -> int:
        run = Run(own, knit, tmp_path)
        assert mapped(run.master()) is maps
        run.end()
        return run.processor()

    without = [registered(maps=False)]
    assert "RecordDynamicDumpInfo" in only(folder, "options").read_text()
    assert not list(folder.glob("*.jsa"))
    registered(maps=False)
    assert only(folder, "jsa").stat().st_mode & 0o7777 == 0o600
    assert folder.stat().st_mode & 0o7777 == 0o700
    used = [registered(maps=True) for _ in range(TURNS)]
    assert {file.suffix for file in folder.iterdir()} == {".jsa", ".options"}
    folder.rename(folder.with_name("away"))
    while len(without) < TURNS:
        without.append(registered(maps=False))
        shutil.rmtree(folder)
    folder.with_name("away").rename(folder)
    assert min(used) < 0.8 * min(without), (used, without)  # other processes of the machine make both larger


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    for place in range(len(content) // 3, len(content), 100_003):
        content[place] ^= 0xFF
    path.write_bytes(content)


DAMAGE: dict[str, Callable[[Path], object]] = {
    "truncated": lambda path: os.truncate(path, path.stat().st_size // 2),
    "flipped bits": _flip,
    "garbage": lambda path: path.write_bytes(os.urandom(path.stat().st_size)),
    "another header": lambda path: path.write_bytes(bytes(8192) + path.read_bytes()[8192:]),
}


@pytest.mark.slow
@pytest.mark.parametrize("how", DAMAGE)
def test_a_damaged_archive_is_not_used_and_is_made_anew(launch: Callable[..., Run], folder: Path, how: str) -> None:
    ready(launch, folder)
    DAMAGE[how](only(folder, "jsa"))
    run = launch()
    assert not mapped(run.master())
    run.end()
    assert not list(folder.glob("*.jsa"))
    assert "RecordDynamicDumpInfo" in only(folder, "options").read_text()
    ready(launch, folder)
    run = launch()
    assert mapped(run.master())
    run.end()


@pytest.mark.slow
def test_one_killed_while_it_writes_leaves_nothing_that_is_used(launch: Callable[..., Run], folder: Path) -> None:
    ready(launch, folder)
    only(folder, "jsa").unlink()
    launch_once(launch)  # finds that it is missing
    run = launch()
    process = run.master()
    run.go.touch()
    eventually(lambda: list(folder.glob("*.tmp*")), ENOUGH, "the archive's beginning", poll=0.005)
    process.send_signal(signal.SIGKILL)
    assert run.app.wait(timeout=ENOUGH).outcome.value == "SUCCEEDED"
    assert not list(folder.glob("*.jsa"))
    run = launch()
    assert not mapped(run.master())
    run.end()
    options = only(folder, "options")
    os.utime(options, (1, 1))
    ready(launch, folder)


def launch_once(launch: Callable[..., Run]) -> None:
    run = launch()
    run.master()
    run.end()


@pytest.mark.slow
def test_a_folder_that_others_may_write_is_left_alone(launch: Callable[..., Run], folder: Path) -> None:
    ready(launch, folder)
    before = {file: file.stat().st_mtime_ns for file in folder.iterdir()}
    folder.chmod(0o777)
    try:
        run = launch()
        assert not mapped(run.master())
        run.end()
        assert {file: file.stat().st_mtime_ns for file in folder.iterdir()} == before
    finally:
        folder.chmod(0o700)


@pytest.mark.slow
def test_switched_off_nothing_is_looked_at(own: LocalCluster, folder: Path, tmp_path: Path) -> None:
    with Knit(own.resourcemanager_url, user="bob", options={"class_sharing": False}) as knit:
        run = Run(own, knit, tmp_path)
        assert "knit.archive" not in " ".join(run.master().cmdline())
        run.end()
    assert not (folder.parent.parent / "bob/knit").exists()


@pytest.mark.slow
def test_a_second_attempt_does_without_and_an_archive_of_a_good_first_one_stays(
    launch: Callable[..., Run], folder: Path
) -> None:
    ready(launch, folder)
    run = launch()
    process = run.master()
    assert mapped(process)
    eventually(lambda: run.app.report().state.value == "RUNNING" and run.app.containers(), ENOUGH, "its container")
    process.send_signal(signal.SIGKILL)
    assert not mapped(run.master(attempt=2))
    assert list(folder.glob("*.jsa"))
    run.end(attempt=2)


@pytest.mark.slow
def test_an_archive_that_the_first_attempt_did_not_survive_is_removed(launch: Callable[..., Run], folder: Path) -> None:
    ready(launch, folder)
    options = only(folder, "options")
    options.write_text(options.read_text() + "-Xmx1k\n")  # such a JVM does not start
    run = launch()
    assert not mapped(run.master(attempt=2))
    assert not list(folder.glob("*.jsa"))
    run.end(attempt=2)
    ready(launch, folder)


@pytest.mark.slow
def test_a_full_disk_costs_the_archive_only(own: LocalCluster, launch: Callable[..., Run], folder: Path) -> None:
    """As good as full: the file cannot be made where it is to be."""
    ready(launch, folder)
    only(folder, "jsa").unlink()
    launch_once(launch)
    run = launch()
    run.master()
    folder.rename(folder.with_name("away"))
    folder.touch()
    try:
        run.end()
        assert "no archive of classes, which has no effect but time" in run.text("stderr") or "archive" not in run.text(
            "stderr"
        )
    finally:
        folder.unlink()
        folder.with_name("away").rename(folder)
