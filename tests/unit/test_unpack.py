"""The container's script with a packed environment, in a real bash with the real tar: once per node, never half."""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import tarfile
import time
from pathlib import Path

import pytest

from knit_core.launch.container_script import container_script
from knit_core.launch.environment_unpacking import PACKED_LINK
from knit_core.model.environment import NEEDS
from knit_core.spec import Service

COMMAND = 'echo "$(readlink -f environment) $(python)"'


def _archive(node: Path, needs: str = "", size: int = 10) -> Path:
    """An archive in a numbered folder, as YARN localises it."""
    source = node / "source"
    (source / "bin").mkdir(parents=True)
    (source / "bin" / "python").write_text("#!/bin/sh\necho python\n")
    (source / "bin" / "python").chmod(0o755)
    (source / "bulk").write_bytes(os.urandom(size))
    if needs:
        (source / "conda-meta").mkdir()
        (source / NEEDS).write_text(needs)
    folder = node / "filecache" / "17"
    folder.mkdir(parents=True)
    with tarfile.open(folder / "environment.tar.gz", "w:gz") as tar:
        for path in source.iterdir():
            tar.add(path, path.name)
    return folder / "environment.tar.gz"


def _container(
    node: Path, archive: Path, name: str = "container_1", before: str = "", **more: str
) -> subprocess.Popen[str]:
    folder = node / name
    folder.mkdir(exist_ok=True)
    (folder / PACKED_LINK).unlink(missing_ok=True)
    (folder / PACKED_LINK).symlink_to(archive)
    service = Service(command=COMMAND, environment={"archive": "mine.tar.gz", **more})
    (folder / "knit.sh").write_text(before + container_script(service))
    return subprocess.Popen(
        ["bash", "knit.sh"],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), "CONTAINER_ID": name},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def _ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, errors = process.communicate(timeout=30)
    return process.returncode, out, errors


def test_many_containers_of_a_node_unpack_once(tmp_path: Path) -> None:
    archive = _archive(tmp_path)
    log = tmp_path / "tars"
    count = f'tar() {{ echo $$ >> "{log}"; command tar "$@"; }}\n'
    running = [_container(tmp_path, archive, f"container_{n}", count) for n in range(6)]
    assert [_ended(process) for process in running] == [(0, f"{archive.parent}/knit-unpacked python\n", "")] * 6
    assert len(log.read_text().split()) == 1
    assert not list(archive.parent.glob("knit-unpacking*"))
    python = archive.parent / "knit-unpacked" / "bin" / "python"
    assert python.stat().st_mode & 0o777 == 0o555  # no container changes it for the others


def test_without_a_lock_program_one_result_wins(tmp_path: Path) -> None:
    archive = _archive(tmp_path)
    none = "flock() { return 127; }\n"
    running = [_container(tmp_path, archive, f"container_{n}", none) for n in range(4)]
    assert [_ended(process)[:2] for process in running] == [(0, f"{archive.parent}/knit-unpacked python\n")] * 4
    assert not list(archive.parent.glob("knit-unpacking*"))


def test_a_container_killed_while_it_unpacks_leaves_nothing_that_is_used(tmp_path: Path) -> None:
    archive = _archive(tmp_path)
    slow = 'tar() { command tar "$@" && rm "$4/bin/python" && sleep 60; }\n'  # half an environment, for a minute
    first = _container(tmp_path, archive, "container_1", slow)
    deadline = time.monotonic() + 10
    while not list(archive.parent.glob("knit-unpacking*/bulk")):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    waiting = _container(tmp_path, archive, "container_2")
    time.sleep(0.2)
    assert waiting.poll() is None  # it waits for the lock
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate()
    assert _ended(waiting) == (0, f"{archive.parent}/knit-unpacked python\n", "")
    assert not list(archive.parent.glob("knit-unpacking*"))


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    archive = _archive(tmp_path, size=4 << 20)
    code, out, errors = _ended(_container(tmp_path, archive, before="trap '' XFSZ; ulimit -f 1024\n"))  # 1 MiB a file
    assert (code, out) == (127, "")
    assert "knit: the environment could not be unpacked on" in errors
    assert "tar: bulk: Wrote only" in errors
    assert not list(archive.parent.glob("knit-unpack[!.]*ed")) and not list(archive.parent.glob("knit-unpacking*"))


def test_a_broken_archive_is_said(tmp_path: Path) -> None:
    archive = _archive(tmp_path, size=1 << 20)
    archive.write_bytes(archive.read_bytes()[: 1 << 19])
    code, out, errors = _ended(_container(tmp_path, archive))
    assert (code, out) == (127, "")
    assert "unexpected end of file" in errors.lower()
    assert not list(archive.parent.glob("knit-unpack*ed"))


def test_outside_yarns_folders_each_container_unpacks_for_itself(tmp_path: Path) -> None:
    archive = _archive(tmp_path)
    other = archive.rename(tmp_path / "source" / "environment.tar.gz")
    assert _ended(_container(tmp_path, other)) == (0, f"{tmp_path}/container_1/knit-unpacked python\n", "")


@pytest.mark.parametrize(
    ("needs", "sentence"),
    [
        ("s390x 2.17", "is for s390x processors and the node .* has"),
        (f"{platform.machine()} 9.99", "needs glibc 9.99 and the node .* has 2"),
    ],
)
def test_a_node_that_does_not_fit_is_said_in_one_sentence(needs: str, sentence: str, tmp_path: Path) -> None:
    code, out, errors = _ended(_container(tmp_path, _archive(tmp_path, needs)))
    assert (code, out) == (126, "")
    assert len(errors.splitlines()) == 1
    import re

    assert re.search(f"^knit: the environment mine.tar.gz {sentence}", errors)


def test_a_node_that_fits(tmp_path: Path) -> None:
    assert _ended(_container(tmp_path, _archive(tmp_path, f"{platform.machine()} 2.2")))[0] == 0


def test_the_platform_of_the_spec_is_enough(tmp_path: Path) -> None:
    wrong = "linux-ppc64le" if platform.machine() != "ppc64le" else "linux-64"
    code, _, errors = _ended(_container(tmp_path, _archive(tmp_path), platform=wrong))
    assert code == 126
    assert "processors" in errors
