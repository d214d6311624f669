"""A virtual environment of this machine ("ship what I have here") on a relocatable copy of its Python.

Each installed package travels as it is now, edits included: its digest is made of its files. Editable packages travel as
the sources that they stand for. What a virtual environment has of this machine (activation scripts, pyvenv.cfg,
configuration of pip) stays here.
"""

from __future__ import annotations

import ast
import csv
import hashlib
import io
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import unquote, urlparse

from knit_core.environments.cache import Cache
from knit_core.environments.errors import BadArchive
from knit_core.environments.pack.file_filter import looks_secret
from knit_core.environments.pack.packing import Installed
from knit_core.environments.pack.prefix import fingerprint
from knit_core.environments.pack.tarball import EMBEDDED_PREFIX, relocated, replace_in_binary
from knit_core.environments.pack.wheels import canonical, note_files, record_entry, record_text, tells_the_place
from knit_core.environments.progress import Progress, ProgressCallback, Stage
from knit_core.environments.request import machine_platform
from knit_core.environments.solution import Record, Solution
from knit_core.environments.solve.base_python import describe
from knit_core.environments.solve.python_session import HereSession

# pip would add 900 files that no container uses; uv is a program of this machine.
_LEFT_HERE = {"pip", "uv"}
_NOT_PACKAGES = {"build", "conftest", "dist", "docs", "examples", "node_modules", "noxfile", "setup", "tasks", "test"}
_NOT_PACKAGES |= {"tests", "venv"}
_HEAD = 1024  # bytes in which a NUL means that a file is binary


@dataclass(frozen=True)
class Venv:
    """What is installed for one Python."""

    python: Path
    found: dict[str, Any]

    @property
    def prefix(self) -> Path:
        return Path(self.found["prefix"])

    @property
    def key(self) -> str:
        """Changes when a file of it does, or one of an editable package's."""
        folders = [self.prefix, *sorted(set(self._editable_folders()))]
        text = "\n".join(fingerprint(folder, complete=False) for folder in folders if folder.is_dir())
        return hashlib.sha256(f"venv {self.found['base']}\n{text}".encode()).hexdigest()

    def document(self) -> dict[str, Any]:
        """As it may be written down."""
        return {"venv": str(self.prefix)}

    def packages(self) -> Iterator[tuple[Record, dict[str, Path]]]:
        """Each package's record and its files: place in the environment -> file here."""
        for each in sorted(self.found["installed"], key=lambda each: canonical(each["name"])):
            name = canonical(each["name"])
            if name in _LEFT_HERE:
                continue
            files = self._files(each)
            digest = _digest(files, self.prefix)
            yield (
                Record(name, each["version"], "", machine_platform(), f"{name}-{each['version']}", digest, "", "pypi"),
                files,
            )

    def _files(self, package: dict[str, Any]) -> dict[str, Path]:
        if package["files"] is None:
            raise BadArchive(
                f"{package['name']} in {self.prefix} has no list of its files (it was installed by an old tool): install "
                "it again with pip, or name your packages: create_env(…, pip=[…])"
            )
        editable = _is_editable(package)
        files: dict[str, Path] = {}
        for path in map(Path, package["files"]):
            linked = editable and (path.suffix == ".pth" or path.name.startswith("__editable__"))
            place = self._place(path)
            if place and not linked and path.suffix != ".pyc" and path.is_file() and not tells_the_place(path):
                files[place] = path
        if editable:
            sources = [*self._sources(package)]
            if not sources:
                raise BadArchive(
                    f"{package['name']} in {self.prefix} is editable, and where its modules are cannot be seen: install it "
                    "without -e, or build a wheel and name it: create_env(…, pip=[…])"
                )
            files.update(sources)
        return files

    def _place(self, path: Path) -> str:
        """Where a file of the virtual environment goes; empty: it stays here."""
        site = f"lib/python{self.found['minor']}/site-packages"
        for folder in (self.found["site"], self.found["platsite"]):
            if path.is_relative_to(folder):
                return f"{site}/{path.relative_to(folder).as_posix()}"
        return path.relative_to(self.prefix).as_posix() if path.is_relative_to(self.prefix) else ""

    def _sources(self, package: dict[str, Any]) -> Iterator[tuple[str, Path]]:
        """The files of an editable package, at the places where they are imported from."""
        site = f"lib/python{self.found['minor']}/site-packages"
        for name, path in _modules(package):
            if path.is_file():
                yield f"{site}/{path.name}", path
            for file in _walk(path) if path.is_dir() else ():
                if looks_secret(file.relative_to(path).as_posix(), path):
                    continue
                yield f"{site}/{name.replace('.', '/')}/{file.relative_to(path).as_posix()}", file

    def _editable_folders(self) -> Iterator[Path]:
        for each in self.found["installed"]:
            if _is_editable(each):
                yield from (path for _, path in _modules(each) if path.is_dir())


def read_venv(python: Path) -> Venv:
    """The virtual environment of a Python, or what is installed for a Python that is none.

    Args:
        python: its interpreter, or its folder.

    Raises `BadArchive` when there is no Python, or one whose packages are in the system's folders.
    """
    python = python.expanduser()
    if python.is_dir():
        python = python / "bin" / "python"
    if not python.exists():
        raise BadArchive(f"{python} is not there: give the folder of a virtual environment, or its Python")
    found = describe(python.absolute(), installed=True)
    if found["prefix"] == "/usr":
        raise BadArchive(
            f"{python} is the system's Python, whose packages are the system's: make a virtual environment, or name the "
            "packages: create_env(…, pip=[…])"
        )
    return Venv(python.absolute(), found)


def current_python() -> Path:
    """The Python that runs this."""
    return Path(sys.executable)


class VenvSession:
    """One build from a virtual environment: its packages are what the solver would have found."""

    def __init__(self, venv: Venv, cache: Cache, work: Path, progress: ProgressCallback) -> None:
        self._venv, self._progress = venv, progress
        self._below = HereSession(venv.python, cache, work, progress)
        self._files: list[tuple[Record, dict[str, Path]]] = []

    def __enter__(self) -> VenvSession:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        pass

    def solve(self) -> Solution:
        base = self._below.solve()
        self._progress(Progress(Stage.SOLVE, f"what is installed in {self._venv.prefix}"))
        self._files = [*self._venv.packages()]
        return Solution.of(base.platform, [*base.records, *(record for record, _ in self._files)])

    def install(self) -> Installed:
        done = self._below.install()
        for number, (record, files) in enumerate(self._files, 1):
            for place, source in files.items():
                target = done.prefix / place
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(_shipped(source, self._venv.prefix))
                target.chmod(0o755 if source.stat().st_mode & 0o100 else 0o644)
            note_files(done.prefix, record, sorted(files))
            self._progress(Progress(Stage.LINK, record.name, number, len(self._files)))
        return Installed(done.prefix, EMBEDDED_PREFIX)


def _shipped(path: Path, prefix: Path) -> bytes:
    """A file's bytes without the path of the virtual environment."""
    data = path.read_bytes()
    if path.name == "RECORD" and path.parent.suffix == ".dist-info":
        return _record(data.decode(), path, prefix)
    if str(prefix).encode() not in data:
        return data
    return replace_in_binary(data, str(prefix)) if b"\0" in data[:_HEAD] else relocated(data, str(prefix))


def _record(text: str, path: Path, prefix: Path) -> bytes:
    """RECORD with what is shipped: scripts have other bytes here, bytecode and notes about places stay."""
    rows = []
    for row in csv.reader(io.StringIO(text)):
        file = Path(os.path.normpath(path.parent.parent / row[0]))
        if file.suffix == ".pyc" or not file.is_file() or tells_the_place(file):
            continue
        scripted = file.parent == prefix / "bin"
        rows.append([row[0], *record_entry(_shipped(file, prefix))] if scripted else row)
    return record_text(rows)


def _digest(files: dict[str, Path], prefix: Path) -> str:
    digest = hashlib.sha256()
    for place, path in sorted(files.items()):
        data = _shipped(path, prefix)
        executable = path.stat().st_mode & 0o100
        digest.update(f"{place}\0{executable}\0{len(data)}\0".encode() + data)
    return digest.hexdigest()


def _is_editable(package: dict[str, Any]) -> bool:
    return bool(((package["direct"] or {}).get("dir_info") or {}).get("editable"))


def _modules(package: dict[str, Any]) -> Iterator[tuple[str, Path]]:
    """Top-level modules of an editable package and where they are, from what its build tool left in site-packages."""
    project = Path(unquote(urlparse(package["direct"]["url"]).path))
    for path in map(Path, package["files"] or ()):
        if path.name.startswith("__editable__") and path.suffix == ".py":
            yield from sorted((name, Path(place)) for name, place in _mapping(path.read_text()).items())
        elif path.suffix == ".pth" and path.is_file():
            for line in path.read_text().splitlines():
                folder = Path(line.strip())
                if line.strip() and not line.startswith("import ") and folder.is_relative_to(project):
                    yield from _importable(folder)


def _mapping(finder: str) -> dict[str, str]:
    """The MAPPING of setuptools' finder: module -> folder or file."""
    for node in ast.parse(finder).body:
        if isinstance(node, ast.AnnAssign | ast.Assign) and node.value is not None:
            targets = [node.target] if isinstance(node, ast.AnnAssign) else node.targets
            if any(isinstance(target, ast.Name) and target.id == "MAPPING" for target in targets):
                found: dict[str, str] = ast.literal_eval(node.value)
                return {
                    name: place if Path(place).exists() or not Path(f"{place}.py").exists() else f"{place}.py"
                    for name, place in found.items()
                }
    return {}


def _importable(folder: Path) -> Iterator[tuple[str, Path]]:
    """The packages and modules in a folder on the path, but what projects keep beside theirs."""
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.stem in _NOT_PACKAGES or not re.fullmatch(r"[A-Za-z_]\w*", path.stem):
            continue
        if path.suffix in {".py", ".so"} or (path / "__init__.py").is_file():
            yield path.stem, path


def _walk(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name != "__pycache__" and not name.startswith("."))
        yield from (Path(parent, name) for name in sorted(names) if _travels(name))


def _travels(name: str) -> bool:
    return not name.endswith(".pyc") and not name.startswith(".")
