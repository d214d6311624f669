"""Packing an installed prefix: as it is now, with all changes, and only if it changed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from knit_core.environments import BadArchive, Environment, EnvironmentBuilder, Progress, Stage


@pytest.fixture
def prefix(built: Environment, tmp_path: Path) -> Path:
    """A conda environment installed on this machine, with its path in its scripts as conda writes them."""
    folder = tmp_path / "opt" / "science"
    folder.mkdir(parents=True)
    subprocess.run(["tar", "-xzf", str(built.archive), "-C", str(folder)], check=True)
    script = folder / "bin" / "bed-hello"
    script.write_text(script.read_text().replace("#!/usr/bin/env python", f"#!{folder}/bin/python"))
    (folder / "etc" / "bed.conf").write_text(f"home = {folder}/share\n")
    (site_packages(folder) / "bed_place.py").write_text(f"place = {str(folder)!r}\n")
    return folder


def site_packages(folder: Path) -> Path:
    return next(folder.glob("lib/python3.*/site-packages"))


def unpack(environment: Environment, folder: Path) -> Path:
    with tarfile.open(environment.archive) as archive:
        archive.extractall(folder, filter="fully_trusted")
    return folder


def test_it_runs_elsewhere(prefix: Path, tmp_path: Path) -> None:
    environment = EnvironmentBuilder(tmp_path / "cache").pack_prefix(prefix)
    assert (environment.name, environment.platform) == ("science", "linux-64")
    assert {"numpy", "python"} <= {package.name for package in environment.packages}
    elsewhere = unpack(environment, tmp_path / "elsewhere")
    shutil.rmtree(prefix)
    env = {"PATH": f"{elsewhere}/bin:/usr/bin:/bin"}
    hello = subprocess.run(["bed-hello"], env=env, capture_output=True, text=True, check=True, cwd="/")
    assert f"hello from {elsewhere}" in hello.stdout
    subprocess.run(["python", "-c", "import numpy"], env=env, check=True, cwd="/")
    traces = [path for path in elsewhere.rglob("*") if path.is_file() and str(prefix).encode() in path.read_bytes()]
    assert traces == []


def test_unchanged_prefix_is_packed_once_and_read_only(prefix: Path, tmp_path: Path) -> None:
    before = sorted(prefix.rglob("*"))
    builder = EnvironmentBuilder(tmp_path / "cache")
    first = builder.pack_prefix(prefix)
    events: list[Progress] = []
    assert builder.pack_prefix(prefix, name="again", progress=events.append).archive == first.archive
    assert [event.stage for event in events] == [Stage.DONE]
    assert sorted(prefix.rglob("*")) == before


def test_same_contents_elsewhere_give_the_same_bytes(prefix: Path, tmp_path: Path) -> None:
    other = tmp_path / "a" / "place" / "with a longer name"
    shutil.copytree(prefix, other, symlinks=True)
    place = site_packages(prefix).relative_to(prefix) / "bed_place.py"
    for name in ("bin/bed-hello", "etc/bed.conf", place):
        (other / name).write_text((other / name).read_text().replace(str(prefix), str(other)))
    builder = EnvironmentBuilder(tmp_path / "cache")
    assert builder.pack_prefix(prefix).sha256 == builder.pack_prefix(other, name="other").sha256


def test_changes_by_hand_are_packed(prefix: Path, tmp_path: Path) -> None:
    """A managed file is edited, pip has replaced another one, a file is added, and conda's package cache exists."""
    builder = EnvironmentBuilder(tmp_path / "cache")
    first = builder.pack_prefix(prefix)
    site = site_packages(prefix)
    (site / "bed_tools.py").write_text("def main():\n    print('edited')\n")
    (site / "bed_broken.py").unlink()
    (site / "added.py").write_text("value = 42\n")
    record = next((prefix / "conda-meta").glob("bed-tools-*.json"))
    cached = tmp_path / "pkgs" / "bed-tools-1.0-0"
    (cached / "info").mkdir(parents=True)
    (cached / "site-packages").mkdir()
    (cached / "site-packages" / "bed_tools.py").write_text("def main():\n    print('from the package cache')\n")
    (cached / "info" / "link.json").write_text('{"noarch": {"type": "python"}}')
    path = {"_path": "site-packages/bed_tools.py", "path_type": "hardlink", "sha256": "", "size_in_bytes": 1}
    (cached / "info" / "paths.json").write_text(json.dumps({"paths": [path]}))
    record.write_text(json.dumps({**json.loads(record.read_text()), "link": {"source": str(cached), "type": 1}}))

    second = builder.pack_prefix(prefix)
    assert second.key != first.key
    elsewhere = unpack(second, tmp_path / "elsewhere")
    code = "import bed_tools, added; bed_tools.main(); print(added.value)"
    done = subprocess.run([elsewhere / "bin/python", "-c", code], capture_output=True, text=True, check=True, cwd="/")
    assert done.stdout.split() == ["edited", "42"]
    assert not (site_packages(elsewhere) / "bed_broken.py").exists()


def test_an_edit_that_keeps_size_and_time_is_packed(prefix: Path, tmp_path: Path) -> None:
    builder = EnvironmentBuilder(tmp_path / "cache")
    first = builder.pack_prefix(prefix)
    path = site_packages(prefix) / "bed_tools.py"
    times = path.stat()
    path.write_text(path.read_text().replace("hello", "HELLO"))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert builder.pack_prefix(prefix).key != first.key


def test_editable_packages_are_refused(prefix: Path, tmp_path: Path) -> None:
    info = site_packages(prefix) / "mine-1.0.dist-info"
    info.mkdir()
    (info / "direct_url.json").write_text('{"url": "file:///home/me/mine", "dir_info": {"editable": true}}')
    with pytest.raises(BadArchive, match=r"(?s)editable.*mine"):
        EnvironmentBuilder(tmp_path / "cache").pack_prefix(prefix)


def test_not_an_environment(tmp_path: Path) -> None:
    with pytest.raises(BadArchive, match="no conda-meta"):
        EnvironmentBuilder(tmp_path / "cache").pack_prefix(tmp_path)
    assert not (tmp_path / "cache").exists()
