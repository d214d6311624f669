"""Input by a virtual environment of this machine: its packages as they are installed now, local changes included.

Editable packages are replaced by their sources. Files for this machine alone (activation scripts, pyvenv.cfg, pip's
configuration) are left out. The packages are copied onto a relocatable copy of the Python.
"""

from __future__ import annotations

import ast
import hashlib
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

from packaging.utils import canonicalize_name

from knit_core.environments.cache import Cache
from knit_core.environments.errors import BadArchive, PlatformMismatch
from knit_core.environments.pack.file_filter import looks_secret
from knit_core.environments.pack.prefix import fingerprint
from knit_core.environments.pack.wheels import is_private_address
from knit_core.environments.platforms import checked_platform, machine_platform, runs_here
from knit_core.environments.progress import ProgressCallback
from knit_core.environments.solution import Record
from knit_core.environments.solve.base_python import describe
from knit_core.environments.solve.venv_session import Files, VenvSession, shipped_bytes

# pip would add 900 files that no container uses; uv runs on this machine only.
_LEFT_OUT = {"pip", "uv"}
_NOT_PACKAGES = {"build", "conftest", "dist", "docs", "examples", "node_modules", "noxfile", "setup", "tasks", "test"}
_NOT_PACKAGES |= {"tests", "venv"}


@dataclass(frozen=True)
class Venv:
    """What is installed for one Python.

    Attributes:
        python: its interpreter.
        described: the output of programs/describe_python.py.
    """

    python: Path
    described: dict[str, Any]

    @property
    def prefix(self) -> Path:
        """The virtual environment's folder."""
        return Path(self.described["prefix"])

    @property
    def key(self) -> str:
        """Changes with any of its files, and any file of an editable package."""
        folders = [self.prefix, *sorted(set(self._editable_folders()))]
        text = "\n".join(fingerprint(folder, complete=False) for folder in folders if folder.is_dir())
        return hashlib.sha256(f"venv {self.described['base']}\n{text}".encode()).hexdigest()

    def document(self) -> dict[str, Any]:
        """The input as JSON's types."""
        return {"venv": str(self.prefix)}

    def session(self, cache: Cache, work: Path, progress: ProgressCallback) -> VenvSession:
        """A session that copies the packages."""
        return VenvSession(self.python, self.prefix, self.packages, cache, work, progress)

    def packages(self) -> Iterator[tuple[Record, Files]]:
        """Each package's record and its files."""
        for package in sorted(self.described["installed"], key=lambda each: canonicalize_name(each["name"])):
            name, version = str(canonicalize_name(package["name"])), package["version"]
            if name in _LEFT_OUT:
                continue
            files = self._files(package)
            digest = _digest(files, self.prefix)
            yield Record(name, version, "", machine_platform(), f"{name}-{version}", digest, "", "pypi"), files

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
            relative = self._relative(path)
            if relative and not linked and path.suffix != ".pyc" and path.is_file() and not is_private_address(path):
                files[relative] = path
        if editable:
            sources = [*self._sources(package)]
            if not sources:
                raise BadArchive(
                    f"{package['name']} in {self.prefix} is editable, and the folder of its modules is not known: install "
                    "it without -e, or build a wheel and name it: create_env(…, pip=[…])"
                )
            files.update(sources)
        return files

    @property
    def _site(self) -> str:
        """The relative site-packages folder in the environment."""
        return f"lib/python{self.described['minor']}/site-packages"

    def _relative(self, path: Path) -> str:
        """A file's path in the environment; empty for a file outside the virtual environment."""
        for folder in (self.described["site"], self.described["platsite"]):
            if path.is_relative_to(folder):
                return f"{self._site}/{path.relative_to(folder).as_posix()}"
        return path.relative_to(self.prefix).as_posix() if path.is_relative_to(self.prefix) else ""

    def _sources(self, package: dict[str, Any]) -> Iterator[tuple[str, Path]]:
        """The sources of an editable package, with their paths in the environment."""
        for name, path in _modules(package):
            if path.is_file():
                yield f"{self._site}/{path.name}", path
            for file in _source_files(path) if path.is_dir() else ():
                relative = file.relative_to(path).as_posix()
                if not looks_secret(relative, path):
                    yield f"{self._site}/{name.replace('.', '/')}/{relative}", file

    def _editable_folders(self) -> Iterator[Path]:
        for package in self.described["installed"]:
            if _is_editable(package):
                yield from (path for _, path in _modules(package) if path.is_dir())


def venv_source(venv: str | os.PathLike[str] | bool | None, platform: str | None) -> Venv:
    """The virtual environment of the argument `venv`: True or "current" is the running one.

    Raises `PlatformMismatch` for a platform that this machine cannot run, and what `read_venv` does.
    """
    target = checked_platform(platform)
    if not runs_here(target):
        raise PlatformMismatch(f"Packages that are installed here do not run on {target}")
    running = venv is True or venv == "current"
    return read_venv(Path(sys.executable) if running else Path(str(venv)))


def read_venv(python: Path) -> Venv:
    """The virtual environment of a Python, or the packages of a Python outside a virtual environment.

    Args:
        python: its interpreter, or its folder.

    Raises `BadArchive` if there is no Python, or if it is the system's, whose packages are in the system's folders.
    """
    python = python.expanduser()
    if python.is_dir():
        python = python / "bin" / "python"
    if not python.exists():
        raise BadArchive(f"{python} does not exist: give the folder of a virtual environment, or its Python")
    described = describe(python.absolute(), installed=True)
    if described["prefix"] == "/usr":
        raise BadArchive(
            f"{python} is the system's Python, whose packages belong to the system: make a virtual environment, or name "
            "the packages: create_env(…, pip=[…])"
        )
    return Venv(python.absolute(), described)


def _digest(files: Files, prefix: Path) -> str:
    digest = hashlib.sha256()
    for relative, path in sorted(files.items()):
        data = shipped_bytes(path, prefix)
        executable = path.stat().st_mode & 0o100
        digest.update(f"{relative}\0{executable}\0{len(data)}\0".encode() + data)
    return digest.hexdigest()


def _is_editable(package: dict[str, Any]) -> bool:
    return bool(((package["direct"] or {}).get("dir_info") or {}).get("editable"))


def _modules(package: dict[str, Any]) -> Iterator[tuple[str, Path]]:
    """Top-level modules of an editable package with their places, read from its build tool's files in site-packages."""
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
    """The packages and modules in a folder of the module path, without a project's usual other folders."""
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.stem in _NOT_PACKAGES or not re.fullmatch(r"[A-Za-z_]\w*", path.stem):
            continue
        if path.suffix in {".py", ".so"} or (path / "__init__.py").is_file():
            yield path.stem, path


def _source_files(folder: Path) -> Iterator[Path]:
    """All files without bytecode and hidden files."""
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name != "__pycache__" and not name.startswith("."))
        yield from (Path(parent, name) for name in sorted(names) if not name.endswith(".pyc") and name[0] != ".")
