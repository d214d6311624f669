"""The archive in use: unpacked in another folder by another user, it works and has no path of the build."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from knit_core.environments import Environment
from knit_core.environments.pack.tarball import EMBEDDED_PREFIX
from tests.unit.environments import unpacking
from tests.unit.environments.conftest import LONG_NAME, PACKAGES
from tests.unit.environments.unpacking import run


@pytest.fixture(scope="module")
def unpacked(built: Environment) -> Iterator[Path]:
    """Unpacked by GNU tar, without write permission, in a folder that every user can traverse."""
    with unpacking.unpacked(built) as folder:
        yield folder


SHOW_NUMPY = "import sys, numpy; print(sys.prefix); print(numpy.__file__); print(numpy.ones(3).sum())"


@pytest.mark.parametrize("by_path", [True, False])
def test_python_imports_its_own_numpy(unpacked: Path, by_path: bool) -> None:
    python = "python" if by_path else f"{unpacked}/bin/python"
    prefix, numpy, total = run(unpacked, python, "-c", SHOW_NUMPY).splitlines()
    assert prefix == str(unpacked)
    assert Path(numpy).is_relative_to(unpacked)
    assert total == "3.0"


def test_standard_library_extensions_work(unpacked: Path) -> None:
    run(unpacked, "python", "-c", "import ssl, sqlite3, ctypes, hashlib, multiprocessing, lzma, bz2, zlib")


def test_bytecode_is_used_though_the_files_have_new_times(unpacked: Path) -> None:
    command = [unpacked / "bin/python", "-v", "-c", "import bed_tools, numpy, json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd="/")
    loaded = [line for line in done.stderr.splitlines() if line.startswith("# code object from")]
    assert any(str(unpacked) in line and line.endswith(".pyc'") for line in loaded)
    assert [line for line in loaded if str(unpacked) in line and ".pyc" not in line] == []


def test_every_module_has_unchecked_bytecode(unpacked: Path) -> None:
    compiled = list(unpacked.rglob("*.pyc"))
    assert len(compiled) > 0.9 * len(list(unpacked.rglob("*.py")))
    assert {path.read_bytes()[4:8] for path in compiled} == {b"\1\0\0\0"}  # unchecked hash


def test_tracebacks_name_the_real_files(unpacked: Path) -> None:
    assert run(unpacked, "python", "-c", "import bed_tools; print(bed_tools.main.__code__.co_filename)") == (
        f"{unpacked}/lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages/bed_tools.py"
    )


def test_console_scripts_of_both_kinds_run(unpacked: Path) -> None:
    assert run(unpacked, "bed-hello").startswith(f"hello from {unpacked}/")
    assert run(unpacked, "bed-isolated") == "1"
    assert "numpy" in run(unpacked, "numpy-config", "--help")


def test_no_trace_of_the_build(unpacked: Path, cache: Path, difficult_channel: str) -> None:
    traces = [str(cache).encode(), difficult_channel.removeprefix("file://").encode(), b"conda_placeholder"]
    for path in unpacked.rglob("*"):
        if path.is_symlink():
            assert not path.readlink().is_absolute(), path
        elif path.is_file():
            data = path.read_bytes()
            assert not [trace for trace in traces if trace in data], path


def test_placeholders_are_replaced(unpacked: Path) -> None:
    assert (unpacked / "etc/bed.conf").read_text() == f"home = {EMBEDDED_PREFIX}/share\n"
    head, path, *_, tail = (unpacked / "lib/bed.bin").read_bytes().split(b"\0")
    assert (head, path, tail) == (b"\x7fBED", f"{EMBEDDED_PREFIX}/share/bed".encode(), b"tail")


def test_other_files(unpacked: Path) -> None:
    assert (unpacked / "lib/bed.link").readlink() == Path("bed.bin")
    assert (unpacked / "share/empty").read_bytes() == b""
    assert (unpacked / LONG_NAME).read_text() == "deep\n"


def test_members_have_no_owner_and_plain_modes(members: dict[str, tarfile.TarInfo]) -> None:
    assert {(m.uid, m.gid, m.uname, m.gname) for m in members.values()} == {(0, 0, "", "")}
    assert {m.mtime for m in members.values()} == {1577836800}
    assert {m.mode for m in members.values()} == {0o755, 0o644, 0o777}
    assert not [name for name in members if name.startswith("/") or ".." in Path(name).parts]


def test_conda_lists_its_packages(unpacked: Path, built: Environment) -> None:
    import json

    metadata = {path.name.split("-")[0]: path for path in (unpacked / "conda-meta").glob("*.json")}
    assert (unpacked / "conda-meta" / "history").exists()
    lock = json.loads((unpacked / "conda-meta" / "knit.lock").read_text())
    assert {package["name"] for package in lock["packages"]} == {"python", *PACKAGES}
    assert lock["platform"] == built.platform
    numpy = json.loads(metadata["numpy"].read_text())
    assert [file for file in numpy["files"] if not (unpacked / file).is_file()] == []
    assert "extracted_package_dir" not in numpy
