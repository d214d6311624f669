"""Building the package: the ApplicationMaster's jar from source, and what is said when it cannot be built."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def source_tree(folder: Path) -> Path:
    """A copy of what the jar is made of, without a jar."""
    shutil.copy(ROOT / "hatch_build.py", folder)
    shutil.copytree(ROOT / "java", folder / "java", ignore=shutil.ignore_patterns("target"))
    return folder


def build(folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "hatch_build.py"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
        env={**os.environ, **variables},
    )


def test_without_maven_and_jdk_one_sentence(tmp_path: Path) -> None:
    done = build(source_tree(tmp_path), PATH=str(tmp_path), JAVA_HOME="")
    assert done.returncode == 1
    assert done.stderr.strip().count("\n") == 0
    for word in ("Maven (mvn)", "a JDK (javac)", "install"):
        assert word in done.stderr


def test_the_installed_jar_is_thin_and_runs_on_java_8() -> None:
    jar = ROOT / "knit_core" / "jars" / "knit-am.jar"
    assert jar.stat().st_size < 350_000
    with zipfile.ZipFile(jar) as archive:
        classes = [name for name in archive.namelist() if name.endswith(".class")]
        assert all(name.startswith("knit/am/") for name in classes)
        assert {archive.read(name)[6:8] for name in classes} == {b"\x00\x34"}  # class file version 52


@pytest.mark.slow
def test_two_builds_in_two_folders_give_the_same_bytes(tmp_path: Path) -> None:
    digests = set()
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        done = build(source_tree(tmp_path / name))
        assert done.returncode == 0, done.stderr
        digests.add(hashlib.sha256((tmp_path / name / "knit_core/jars/knit-am.jar").read_bytes()).hexdigest())
    assert len(digests) == 1
