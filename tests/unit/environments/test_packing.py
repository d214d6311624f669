"""Which files of a prefix are packed: unneeded files, secrets, links, unusual names, changes during the packing."""

from __future__ import annotations

import importlib.util
import json
import os
import py_compile
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from knit_core.environments import (
    BadArchive,
    DiskFull,
    Environment,
    EnvironmentBuilder,
    EnvironmentFailed,
    PrefixChanged,
    Progress,
    Stage,
)

MINOR = f"{sys.version_info[0]}.{sys.version_info[1]}"
SITE = f"lib/python{MINOR}/site-packages"
NOBODY = 65534
NEEDLESS = [
    "include/python/Python.h",
    "lib/libstatic.a",
    "lib/pkgconfig/x.pc",
    "share/man/man1/x.1",
    f"{SITE}/one/api.pyi",
    f"{SITE}/one/include/one.hpp",
    f"{SITE}/one/tests/test_one.py",
    f"{SITE}/one/deep/tests/data.txt",
    f"lib/python{MINOR}/test/test_json.py",
]
NEEDED = [
    f"{SITE}/one/__init__.py",
    f"{SITE}/one/testing.py",
    f"{SITE}/one/LICENSE",
    f"{SITE}/two/tests/runner.py",
    f"{SITE}/tests/__init__.py",
    f"lib/python{MINOR}/config/pyconfig.h",
    "ssl/cacert.pem",
]
SECRET = [
    ".netrc",
    ".pypirc",
    ".env",
    ".env.production",
    "pip.conf",
    "etc/credentials.json",
    "etc/aws-credentials",
    "home/.ssh/config",
    "id_ed25519",
    "service.keytab",
    "etc/server.pem",
]


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    """A small conda environment whose Python is the one that runs the tests."""
    folder = tmp_path / "opt" / "mine"
    _write(folder, "bin/python", f'#!/bin/sh\nexec {sys.executable} "$@"\n').chmod(0o755)
    _write(folder, f"{SITE}/one/__init__.py", "import one.testing\n")
    files = ["bin/python", *(path for path in (*NEEDED, *NEEDLESS) if path.startswith(f"{SITE}/one/"))]
    record = {"name": "python", "version": f"{MINOR}.0", "build": "0", "subdir": "linux-64", "link": None, "url": "x"}
    _write(folder, f"conda-meta/python-{MINOR}.0-0.json", json.dumps({**record, "files": files}))
    return folder


def _write(folder: Path, name: str, text: str = "x\n") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def _pack(prefix: Path, tmp_path: Path, progress: Callable[[Progress], None] | None = None, **more: bool) -> set[str]:
    return _names(EnvironmentBuilder(tmp_path / "cache", **more).pack_prefix(prefix, progress=progress))  # type: ignore[arg-type]


def _names(environment: Environment) -> set[str]:
    with tarfile.open(environment.archive) as archive:
        return set(archive.getnames())


def test_unneeded_files_are_packed_only_with_complete(prefix: Path, tmp_path: Path) -> None:
    for name in (*NEEDED, *NEEDLESS):
        _write(prefix, name)
    _write(prefix, f"{SITE}/two/__init__.py", "def test():\n    from .tests.runner import run\n")
    names = _pack(prefix, tmp_path)
    assert set(NEEDED) <= names
    assert not names & set(NEEDLESS)
    complete = _pack(prefix, tmp_path, complete=True)  # the same prefix, another key
    assert {*NEEDED, *NEEDLESS} <= complete


def test_with_a_compiler_all_files_are_packed(prefix: Path, tmp_path: Path) -> None:
    _write(prefix, NEEDLESS[0])
    record = {"name": "gxx_linux-64", "version": "13", "build": "0", "files": [], "link": None, "url": "x"}
    _write(prefix, "conda-meta/gxx_linux-64-13-0.json", json.dumps(record))
    assert NEEDLESS[0] in _pack(prefix, tmp_path)


def test_secrets_are_left_out_and_reported(prefix: Path, tmp_path: Path) -> None:
    for name in SECRET:
        text = "-----BEGIN RSA PRIVATE KEY-----\nTOPSECRET\n" if name.endswith(".pem") else "TOPSECRET\n"
        _write(prefix, name, text)
    (prefix / "etc/innocent").symlink_to(_write(tmp_path, ".pgpass", "TOPSECRET\n"))
    _write(prefix, "ssl/cacert.pem", "-----BEGIN CERTIFICATE-----\n")
    _write(prefix, f"{SITE}/credentials.py", "")
    _write(prefix, f"{SITE}/server/test.pem", "-----BEGIN PRIVATE KEY-----\nof a package's own example\n")
    _write(prefix, f"{SITE}/server-1.dist-info/RECORD", "server/test.pem,sha256=x,3\n")
    events: list[Progress] = []
    environment = EnvironmentBuilder(tmp_path / "cache").pack_prefix(prefix, progress=events.append)
    names = _names(environment)
    assert not names & {*SECRET, "etc/innocent"}
    assert {"ssl/cacert.pem", f"{SITE}/credentials.py", f"{SITE}/server/test.pem"} <= names
    said = " ".join(event.message for event in events)
    assert all(f"left out, as it looks like a secret: {name}" in said for name in (*SECRET, "etc/innocent"))
    with tarfile.open(environment.archive) as archive:
        assert not any(b"TOPSECRET" in f.read() for m in archive if (f := archive.extractfile(m)) is not None)


def test_links_stay_inside(prefix: Path, tmp_path: Path) -> None:
    _write(prefix, "share/real")
    outside = _write(tmp_path, "outside.txt", "from outside\n")
    links = {
        "share/relative": "real",
        "share/absolute": f"{prefix}/share/real",
        "share/deep/up": "../../share/real",
        "share/dangling": "nothing-there",
        "share/folder": f"{prefix}/etc",
        "share/out": str(outside),
    }
    (prefix / "share/deep").mkdir()
    _write(prefix, "etc/file")
    for name, target in links.items():
        (prefix / name).symlink_to(target)
    environment = EnvironmentBuilder(tmp_path / "cache").pack_prefix(prefix)
    with tarfile.open(environment.archive) as archive:
        found = {m.name: m.linkname for m in archive if m.issym()}
        copied = archive.extractfile("share/out")
        assert copied is not None and copied.read() == b"from outside\n"
    assert found == {
        "share/relative": "real",
        "share/absolute": "real",
        "share/deep/up": "../../share/real",
        "share/dangling": "nothing-there",
        "share/folder": "../etc",
    }


def test_links_to_folders_outside_are_refused_all_at_once(prefix: Path, tmp_path: Path) -> None:
    (prefix / "data").symlink_to("/usr/share")
    (prefix / "gone").symlink_to("../../../nothing-there")
    with pytest.raises(BadArchive, match=r"(?s)data -> /usr/share, gone -> .*copy it in"):
        _pack(prefix, tmp_path)
    assert not list((tmp_path / "cache").rglob("*.tar.gz"))


def test_names_of_any_length_and_kind(prefix: Path, tmp_path: Path) -> None:
    names = [
        "share/" + "/".join(["a-folder-of-thirty-characters"] * 9) + "/file",  # longer than 255
        "share/" + "n" * 200,
        "share/with a space, 'quotes' and \"more\"",
        "share/tab\tand\nnewline",
        "share/déjà vu 日本語",
        f"{SITE}/one/new\nline\ttab.py",
        "share/" + os.fsdecode(b"not-utf8-\xff\xfe"),
    ]
    for name in names:
        _write(prefix, name)
    environment = EnvironmentBuilder(tmp_path / "cache").pack_prefix(prefix)
    target = tmp_path / "unpacked"
    target.mkdir()
    subprocess.run(["tar", "-xzf", str(environment.archive), "-C", str(target)], check=True)
    assert [name for name in names if not (target / name).is_file()] == []
    assert list(target.rglob("new\nline\ttab.*.pyc"))


def test_files_that_cannot_be_read_are_named_all_at_once(prefix: Path, tmp_path: Path) -> None:
    for name in ("share/one", "share/two"):
        _write(prefix, name).chmod(0)
    code = (
        "import os, sys; from knit_core.environments import EnvironmentBuilder, BadArchive\n"
        "try:\n    EnvironmentBuilder(sys.argv[1]).pack_prefix(sys.argv[2])\n"
        "except BadArchive as error:\n    print(error)\n"
    )
    for folder in (tmp_path, *tmp_path.parents):
        if folder != Path("/tmp") and folder.is_relative_to("/tmp"):
            folder.chmod(0o755)
    cache = tmp_path / "cache"
    cache.mkdir()
    cache.chmod(0o777)
    setuid = f"import os; os.setuid({NOBODY})\n" if os.getuid() == 0 else ""
    run = (
        "import conda_pack, knit_core.environments.pack.prefix\n" + setuid + code
    )  # imported while this user can read them
    done = subprocess.run([sys.executable, "-c", run, cache, prefix], capture_output=True, text=True, cwd="/tmp")
    assert "2 files that cannot be read: share/one, share/two" in done.stdout, done.stderr
    assert not list(cache.rglob("*.tar.gz"))


@pytest.mark.parametrize("what", ["grows", "vanishes", "appears"])
def test_a_prefix_that_changes_while_it_is_packed_is_refused(what: str, prefix: Path, tmp_path: Path) -> None:
    big = prefix / "share" / "big"
    _write(prefix, "share/big").write_bytes(os.urandom(2 << 20))  # a part of its own

    def change(event: Progress) -> None:
        if event.stage is Stage.PACK and event.done == event.total:
            if what == "grows":
                with big.open("ab") as file:
                    file.write(b"more")
            elif what == "vanishes":
                big.unlink(missing_ok=True)
            else:
                _write(prefix, "share/new")

    builder = EnvironmentBuilder(tmp_path / "cache")
    with pytest.raises(PrefixChanged, match=r"changed while it was packed \(share/(big|new)\)") as caught:
        builder.pack_prefix(prefix, progress=change)
    assert caught.value.transient
    assert builder.list() == []
    assert not list((tmp_path / "cache").rglob("*.tar.gz"))
    again = builder.pack_prefix(prefix)  # without anything of the first call
    with tarfile.open(again.archive) as archive:
        sizes = {member.name: member.size for member in archive}
    expected = {"share/big": big.stat().st_size} if big.exists() else {}
    assert {name: size for name, size in sizes.items() if name == "share/big"} == expected


def test_only_the_part_that_changed_is_packed_again(prefix: Path, tmp_path: Path) -> None:
    for name in ("alpha", "beta"):
        _write(prefix, f"{SITE}/{name}/data.bin").write_bytes(os.urandom(2 << 20))
    builder = EnvironmentBuilder(tmp_path / "cache")
    builder.pack_prefix(prefix)
    before = {path.name for path in (tmp_path / "cache" / "members").glob("*.gz")}
    (prefix / SITE / "beta" / "data.bin").write_bytes(b"changed" * 300_000)
    changed = builder.pack_prefix(prefix)
    after = {path.name for path in (tmp_path / "cache" / "members").glob("*.gz")}
    assert len(after - before) == 1
    with tarfile.open(changed.archive) as archive:
        file = archive.extractfile(f"{SITE}/beta/data.bin")
        assert file is not None and file.read() == b"changed" * 300_000
    fresh = EnvironmentBuilder(tmp_path / "other").pack_prefix(prefix)
    assert fresh.sha256 == changed.sha256  # from kept parts and from scratch: the same bytes


@pytest.mark.parametrize("left", [0, 100])
def test_parts_cut_short_by_a_power_cut_are_packed_again(left: int, prefix: Path, tmp_path: Path) -> None:
    """Parts are not flushed to disk, so that a power cut may leave a part of their bytes."""
    builder = EnvironmentBuilder(tmp_path / "cache")
    whole = builder.pack_prefix(prefix)
    for path in [Path(whole.archive), *(tmp_path / "cache" / "members").glob("*.gz")]:
        os.truncate(path, left)
    again = builder.pack_prefix(prefix)
    assert again.sha256 == whole.sha256
    assert Path(again.archive).stat().st_size == whole.size


def test_variables_of_packages_are_set_where_it_is_unpacked(prefix: Path, tmp_path: Path) -> None:
    _write(
        prefix, "etc/conda/env_vars.d/pkg.json", json.dumps({"PROJ_DATA": f"{prefix}/share/proj", "KIND": "a 'b' $c"})
    )
    state = {"version": 1, "env_vars": {"KIND": "mine", "GONE": "***unset***", "MY_API_KEY": "TOPSECRET"}}
    _write(prefix, "conda-meta/state", json.dumps(state))
    _write(prefix, "etc/conda/activate.d/z.sh", 'export LAST="$PROJ_DATA/last"\n')
    events: list[Progress] = []
    environment = EnvironmentBuilder(tmp_path / "cache").pack_prefix(prefix, progress=events.append)
    target = tmp_path / "un packed"
    with tarfile.open(environment.archive) as archive:
        archive.extractall(target, filter="fully_trusted")
    everything = b"".join(path.read_bytes() for path in target.rglob("*") if path.is_file())
    assert b"TOPSECRET" not in everything
    assert any("the variable MY_API_KEY" in event.message for event in events)
    lines = (
        'for f in "$CONDA_PREFIX"/etc/conda/activate.d/*.sh; do . "$f"; done; echo "$PROJ_DATA|$KIND|$LAST|$MY_API_KEY"'
    )
    done = subprocess.run(
        ["bash", "-c", lines], env={"CONDA_PREFIX": str(target)}, capture_output=True, text=True, check=True
    )
    assert done.stdout == f"{target}/share/proj|mine|{target}/share/proj/last|\n"


def test_the_archive_has_what_its_binaries_need(prefix: Path, tmp_path: Path) -> None:
    shutil.copy(sys.executable, prefix / "bin" / "program")
    expected = max(
        tuple(map(int, name.split(b".")))
        for name in __import__("re").findall(rb"GLIBC_(2\.\d+(?:\.\d+)?)\0", Path(sys.executable).read_bytes())
    )
    for _ in range(2):  # the second time from kept parts
        environment = EnvironmentBuilder(tmp_path / "cache").pack_prefix(prefix)
        with tarfile.open(environment.archive) as archive:
            file = archive.extractfile("conda-meta/knit.needs")
            assert file is not None
            assert file.read().decode() == f"x86_64 {'.'.join(map(str, expected))}\n"
        (prefix / "share").mkdir(exist_ok=True)
        (prefix / "share" / "more").write_text("x")


def test_a_disk_that_fills_up_leaves_nothing(prefix: Path, tmp_path: Path) -> None:
    """The kernel raises the error: a file must not grow over a limit."""
    _write(prefix, "share/big").write_bytes(os.urandom(4 << 20))
    code = (
        "import errno, os, resource, signal, sys\n"
        "from knit_core.environments import EnvironmentBuilder, DiskFull\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))\n"
        "try:\n    EnvironmentBuilder(sys.argv[1]).pack_prefix(sys.argv[2])\n"
        "except DiskFull as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "cache", prefix], capture_output=True, text=True)
    assert "No space is left for environments in" in done.stdout, done.stderr[-500:]
    assert not list((tmp_path / "cache").rglob("environment.tar.gz"))
    assert list((tmp_path / "cache" / "work").iterdir()) == []
    assert _pack(prefix, tmp_path)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_ended_while_a_prefix_is_packed(how: signal.Signals, prefix: Path, tmp_path: Path) -> None:
    _write(prefix, "share/big").write_bytes(os.urandom(64 << 20))
    code = (
        "import sys; from knit_core.environments import EnvironmentBuilder\n"
        "EnvironmentBuilder(sys.argv[1]).pack_prefix(sys.argv[2])\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, tmp_path / "cache", prefix], stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 20
    while not any(path.stat().st_size > 1 << 20 for path in (tmp_path / "cache").rglob("*.gz")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(how)
    _, errors = process.communicate(timeout=20)
    assert process.returncode != 0
    assert ("KeyboardInterrupt" in errors) == (how is signal.SIGINT)
    builder = EnvironmentBuilder(tmp_path / "cache")
    assert builder.list() == []
    environment = builder.pack_prefix(prefix)
    assert list((tmp_path / "cache" / "work").iterdir()) == []
    with tarfile.open(environment.archive) as archive:
        assert archive.getmember("share/big").size == 64 << 20
    assert environment.sha256 == EnvironmentBuilder(tmp_path / "other").pack_prefix(prefix).sha256


@pytest.mark.slow
@pytest.mark.parametrize("size", [(2 << 30) + 12345, (4 << 30) + 12345])
def test_archives_over_two_and_four_gigabytes(size: int, prefix: Path, tmp_path: Path) -> None:
    block, left = os.urandom(64 << 20), size
    with _write(prefix, "share/huge").open("wb") as file:
        while left:
            left -= file.write(block[:left])
    environment = EnvironmentBuilder(tmp_path / "cache").pack_prefix(prefix)
    assert environment.size > size
    done = subprocess.run(["tar", "-tvzf", str(environment.archive)], capture_output=True, text=True, check=True)
    assert f" {size} " in next(line for line in done.stdout.splitlines() if line.endswith("share/huge"))


def test_errors_are_of_one_tree() -> None:
    assert issubclass(PrefixChanged, EnvironmentFailed) and issubclass(DiskFull, EnvironmentFailed)


@pytest.mark.parametrize("fits", [True, False])
def test_existing_bytecode_is_taken_over_if_it_fits(fits: bool, prefix: Path, tmp_path: Path) -> None:
    """As conda and pip leave it. Here it returns another value than the source, which shows which one was used."""
    source = _write(prefix, f"{SITE}/solo.py", "def value(): return 'from the bytecode'\n")
    compiled = Path(importlib.util.cache_from_source(str(source)))
    py_compile.compile(str(source), cfile=str(compiled), doraise=True)
    times = source.stat()
    source.write_text("def value(): return 'from the sources!'\n")  # the same size
    os.utime(source, ns=(times.st_atime_ns, times.st_mtime_ns + (0 if fits else 2_000_000_000)))
    environment = EnvironmentBuilder(tmp_path / "cache").pack_prefix(prefix)
    target = tmp_path / "unpacked"
    with tarfile.open(environment.archive) as archive:
        archive.extractall(target, filter="fully_trusted")
    code = "import solo as m; print(m.value(), m.value.__code__.co_filename)"
    environ = {"PYTHONPATH": str(target / SITE), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True, cwd="/"
    )
    expected = "from the bytecode" if fits else "from the sources!"
    assert done.stdout == f"{expected} {target}/{SITE}/solo.py\n"
    data = (target / SITE / "__pycache__" / compiled.name).read_bytes()
    assert data[4:8] == b"\1\0\0\0"
    assert str(prefix).encode() not in data
